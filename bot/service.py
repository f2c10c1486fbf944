"""The bot as one process: forge access, engine, web server, started and stopped together."""

import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from bot import campaign, commands
from bot.burial import bury_the_broken
from bot.core import event
from bot.edge import deliveries
from bot.edge.access import Access
from bot.edge.claude import Claude, Via
from bot.engine import Engine
from bot.hub.server import Server, bind
from bot.lab import Lab, open_lab
from bot.web.app import make_app

log = logging.getLogger("nightlab")
SWEEP_S = 120.0
OVERLAP = timedelta(minutes=10)  # between sweeps: clocks differ, and a delivery is listed when its answer is in
GITHUB_API = "https://api.github.com"
WORKFLOWS = (campaign.run_campaign, commands.react)  # known to the engine because their modules are imported here


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one bot process needs to know. Secrets are not in its repr."""

    state: Path  # the database, prepared data, bare clones
    api_url: str
    app_id: int | None
    private_key: str
    token: str
    webhook_secret: str
    host: str = "127.0.0.1"
    port: int = 8700
    hardware_class: str = "cpu"
    slots: int = 1
    experiments_at_once: int = 4
    mention: str = "nightlab"
    write_spacing_s: float = 1.0  # GitHub asks for a second between writes
    progress_s: float = 20.0
    claude_via: Via | None = None  # None: no language model
    claude_key: str = ""
    claude_url: str = ""

    def __repr__(self) -> str:
        return f"Settings(state={self.state}, api_url={self.api_url}, app_id={self.app_id})"


def settings_from(environment: Mapping[str, str]) -> Settings | list[str]:
    """Settings from NIGHTLAB_* variables, or one sentence for each that is missing or wrong."""
    problems = []

    def value(name: str, default: str = "") -> str:
        return environment.get(f"NIGHTLAB_{name}", default).strip()

    def number(name: str, default: int) -> int:
        text = value(name, str(default))
        if text.isdecimal():
            return int(text)
        problems.append(f"NIGHTLAB_{name} must be a whole number, not {text!r}")
        return default

    app_id = number("APP_ID", 0) or None
    private_key = ""
    if app_id is not None:
        path = Path(value("PRIVATE_KEY_FILE"))
        try:
            private_key = path.read_text()
        except OSError as error:
            problems.append(f"NIGHTLAB_PRIVATE_KEY_FILE: cannot read {str(path)!r}: {error.strerror}")
    elif not value("TOKEN"):
        problems.append("set NIGHTLAB_APP_ID and NIGHTLAB_PRIVATE_KEY_FILE of your GitHub App, or NIGHTLAB_TOKEN")
    if not value("WEBHOOK_SECRET"):
        problems.append("set NIGHTLAB_WEBHOOK_SECRET to the secret of the webhook")
    key = value("ANTHROPIC_API_KEY") or environment.get("ANTHROPIC_API_KEY", "").strip()
    via = value("CLAUDE_VIA", "anthropic" if key else "")
    if via and via not in list(Via):
        problems.append(f"NIGHTLAB_CLAUDE_VIA must be one of {', '.join(Via)}, not {via!r}")
        via = ""
    if via == Via.ANTHROPIC and not key:
        problems.append("set NIGHTLAB_ANTHROPIC_API_KEY, or leave NIGHTLAB_CLAUDE_VIA out")
    settings = Settings(
        state=Path(value("STATE", ".nightlab/state")),
        api_url=value("API_URL", GITHUB_API),
        app_id=app_id,
        private_key=private_key,
        token=value("TOKEN"),
        webhook_secret=value("WEBHOOK_SECRET"),
        host=value("HOST", "127.0.0.1"),
        port=number("PORT", 8700),
        hardware_class=value("HARDWARE", "cpu"),
        slots=number("SLOTS", 1),
        experiments_at_once=number("EXPERIMENTS_AT_ONCE", 4),
        mention=value("MENTION", "nightlab"),
        write_spacing_s=number("WRITE_SPACING_MS", 1000) / 1000,
        progress_s=float(number("PROGRESS_S", 20)),
        claude_via=Via(via) if via else None,
        claude_key=key,
        claude_url=value("CLAUDE_URL"),
    )
    return problems or settings


def claude_of(settings: Settings) -> Claude | None:
    """The way to the language model. Raises ValueError, one sentence, when what is configured cannot work."""
    if settings.claude_via is None:
        return None
    return Claude(via=settings.claude_via, api_key=settings.claude_key, base_url=settings.claude_url)


class Service:
    """A running bot. Raises EngineLockedError, PortTakenError or ValueError, one sentence each, if it cannot start."""

    def __init__(self, settings: Settings) -> None:
        claude = claude_of(settings)
        settings.state.mkdir(parents=True, exist_ok=True)
        # It warns whenever a request waits for a thread, which is what its queue is for.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        listener = bind(settings.host, settings.port)
        self.url = f"http://{settings.host}:{listener.getsockname()[1]}"
        access = Access(
            api_url=settings.api_url,
            app_id=settings.app_id,
            private_key=settings.private_key,
            token=settings.token,
            write_spacing_s=settings.write_spacing_s,
        )
        open_lab(
            Lab(
                access=access,
                cache=settings.state.resolve() / "cache",
                mention=settings.mention,
                local=urlsplit(settings.api_url).hostname in ("127.0.0.1", "::1", "localhost"),
                claude=claude,
                progress_s=settings.progress_s,
            )
        )
        os.makedirs(settings.state / "cache", exist_ok=True)
        try:
            self._engine = Engine(
                database=settings.state / "nightlab.sqlite",
                slots={settings.hardware_class: settings.slots},
                experiments_at_once=settings.experiments_at_once,
            )
        except BaseException:
            listener.close()
            raise
        self._server = Server(make_app(webhook_secret=settings.webhook_secret), listener)
        self._server.start()
        self._stopping = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, args=(access,), name="sweeper", daemon=True)
        self._sweeper.start()

    def _sweep(self, access: Access) -> None:
        """What nobody else notices, at the start and then every few minutes: webhooks that came while we were away,
        and experiments whose workflow broke off."""
        since: datetime | None = None
        while not self._stopping.is_set():
            began = datetime.now(UTC)
            try:
                bury_the_broken()
                for name, payload in deliveries.missed(access, since=since):
                    happened = event.parse(name, payload)
                    if happened is not None:
                        commands.accept(happened)
                since = began - OVERLAP
            except Exception:  # the forge may be down as well; the next sweep finds the same
                log.exception("the sweep did not finish; again in %d s", SWEEP_S)
            self._stopping.wait(SWEEP_S)

    def stop(self) -> None:
        """Take no more webhooks, then no more work. What is unfinished goes on at the next start."""
        self._stopping.set()
        self._server.stop()
        self._sweeper.join(timeout=5)
        self._engine.stop()
