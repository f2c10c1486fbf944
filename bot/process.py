"""`nightlab serve` and `nightlab runner` as processes: their settings, the signals that stop them, an orderly end."""

import errno
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from rich.console import Console

from bot.setup.journal import open_journal
from bot.setup.settings import Settings, settings_from, variable

if TYPE_CHECKING:
    from bot.web.door import Door

STOP_S = 10.0  # of an orderly end; what is unfinished goes on at the next start, whichever way this one ends


def serve(*, console: Console) -> int:
    """The bot, until a signal; exit status."""
    from bot.durable.engine import EngineLockedError
    from bot.edge.lease import LeaseError
    from bot.hub.server import PortTakenError
    from bot.service import Service
    from bot.setup.credentials import BrokenFileError

    settings = _settings(console)
    if settings is None:
        return 1
    open_journal(settings)
    stop = _stopped_by_signals()
    try:
        door = None
        if not settings.has_credentials:
            settings, door = _set_up(settings, stop, console)
            open_journal(settings)  # there are more secrets now
            if stop.is_set():
                door.close()
                return 0
        service = Service(settings, door=door)
    except (BrokenFileError, EngineLockedError, LeaseError, PortTakenError, ValueError) as error:
        return _fail(console, error)
    console.print(f"Nightlab listens on {service.url}; the webhook's path is /webhook. Ctrl-C stops it.")
    stop.wait()
    threading.Timer(STOP_S, os._exit, (0,)).start()
    service.stop()
    sys.stdout.flush()
    os._exit(0)  # an experiment that waits for people holds a thread, perhaps for days; a kill loses nothing


def serve_slot(*, console: Console) -> int:
    """One slot, until a signal; exit status. Loads nothing that knows the forge or the model."""
    from bot.edge.lease import LeaseError
    from bot.fleet import MisplacedError, Runner

    settings = _settings(console)
    if settings is None:
        return 1
    open_journal(settings)
    try:
        runner = Runner(settings)
    except (LeaseError, MisplacedError) as error:
        return _fail(console, error)
    stop = _stopped_by_signals()
    console.print(f"{runner.name} measures for hardware class {runner.hardware_class}. Ctrl-C stops it.", markup=False)
    stop.wait()
    runner.stop()
    return 0


def _stopped_by_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _set_up(settings: Settings, stop: threading.Event, console: Console) -> "tuple[Settings, Door]":
    """Show the set-up pages until there are credentials, or until we are stopped."""
    from bot.setup.first_start import Setup
    from bot.web.door import Door
    from bot.web.setup import make_setup_app

    setup = Setup(settings)
    door = Door(settings.host, settings.port)
    door.show_setup(make_setup_app(setup))
    if not setup.made.is_set():
        link = (settings.public_url or door.url).rstrip("/") + setup.path
        console.print("This bot has no identity on the forge yet. To give it one, open this link, which works once:")
        console.print(link, markup=False, highlight=False, soft_wrap=True)
    while not setup.made.wait(0.2) and not stop.is_set():
        pass
    return setup.settings, door


def _settings(console: Console) -> Settings | None:
    """What this process is to work with, its state folder made; None, and said why, when that cannot be."""
    settings = settings_from(os.environ)
    if isinstance(settings, list):
        _fail(console, *settings)
        return None
    try:
        settings.state.mkdir(parents=True, exist_ok=True)
        if not os.access(settings.state, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        _fail(console, f"cannot use the folder {settings.state}: {error.strerror}; {variable('state')} names another")
        return None
    return settings


def _fail(console: Console, *sentences: object) -> int:
    """Say why; the exit status."""
    for sentence in sentences:
        console.print(str(sentence), style="red", markup=False, highlight=False, soft_wrap=True)
    return 1
