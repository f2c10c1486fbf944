"""The bot as one process: forge access, engine, web server, started and stopped together."""

import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from bot.core.app import web_url
from bot.core.intake import payload as payloads
from bot.durable.engine import Engine, bot_post, lone_post
from bot.durable.lab import Lab, open_lab
from bot.durable.rows import open_rows
from bot.durable.running import KINDS
from bot.durable.upgrade import take_over
from bot.edge.claude import Claude
from bot.edge.github import deliveries
from bot.edge.github.access import Access
from bot.edge.github.allowance import LimitedError
from bot.edge.github.wire import ClosedError
from bot.edge.grants import admit_runners
from bot.edge.slot import open_slots
from bot.fleet import host_name, local_slots
from bot.intake import events
from bot.intake.reconciliation import bury_the_lost, reconcile
from bot.loop import campaign
from bot.loop.burial import bury_the_broken
from bot.setup.access import access_of
from bot.setup.settings import Settings
from bot.web.app import make_app
from bot.web.door import Door

log = logging.getLogger("nightlab")
SWEEP_S = 120.0
OVERLAP = timedelta(minutes=10)  # between sweeps: clocks differ, and a delivery is listed when its answer is in
WORKFLOWS = (campaign.run_campaign, events.react)  # known to the engine because their modules are imported here


def claude_of(settings: Settings) -> Claude | None:
    """The way to the language model. Raises ValueError, one sentence, when what is configured cannot work."""
    if settings.claude_via is None:
        return None
    return Claude(via=settings.claude_via, api_key=settings.anthropic_api_key, base_url=settings.claude_url or "")


def engine_of(settings: Settings, access: Access) -> Engine:
    """The bot's engine. On SQLite this process measures too; on PostgreSQL runners do, each a process of its own."""
    if settings.database_url:
        post = bot_post(settings.name or host_name(), experiments_at_once=settings.experiments_at_once)
        engine = Engine(post, database=settings.database_url, lease_s=settings.lease_s)
        if settings.runner_role:
            admit_runners(settings.database_url, settings.runner_role, kinds=KINDS)
        return engine
    slots = local_slots(settings)
    open_slots(slots, cache=settings.state / "cache", clone_token=access.clone_token)
    post = lone_post(
        experiments_at_once=settings.experiments_at_once, hardware_class=settings.hardware, slots=len(slots)
    )
    return Engine(post, database=settings.state / "nightlab.sqlite")


class Service:
    """A running bot. Raises EngineLockedError, LeaseError, PortTakenError or ValueError, one sentence each."""

    def __init__(self, settings: Settings, *, door: Door | None = None) -> None:
        """`door` is the one that showed the set-up pages, when this is the first start."""
        claude = claude_of(settings)
        os.environ.update(settings.runner_environment)
        settings.state.mkdir(parents=True, exist_ok=True)
        # It warns whenever a request waits for a thread, which is what its queue is for.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._door = door or Door(settings.host, settings.port)
        self.url = self._door.url
        access = access_of(settings)
        open_lab(
            Lab(
                access=access,
                mention=settings.mention,
                local=settings.is_local,
                claude=claude,
                progress_s=settings.progress_s,
                upkeep_s=settings.upkeep_hours * 3600,
                started_s=time.time(),
            )
        )
        try:
            self._engine = engine_of(settings, access)
        except BaseException:
            self._door.close()
            raise
        open_rows(settings.database_url or f"sqlite:///{(settings.state / 'nightlab.sqlite').resolve()}")
        self._door.open(
            make_app(
                webhook_secret=settings.webhook_secret,
                forge_url=web_url(settings.api_url),
                password=settings.dashboard_password,
            )
        )
        self._stopping = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, args=(access,), name="sweeper", daemon=True)
        self._sweeper.start()

    def _sweep(self, access: Access) -> None:
        """What nobody else notices, at the start and then every few minutes: webhooks that came while we were away,
        work of another version, experiments whose workflow broke off, and what people did on the forge meanwhile."""
        since: datetime | None = None
        sought = False
        while not self._stopping.is_set():
            began = datetime.now(UTC)
            _done(lambda: take_over(self._engine.is_alive))
            _done(bury_the_broken)
            sought = sought or _done(bury_the_lost)
            _done(reconcile)
            if _done(partial(_catch_up, access, since)):
                since = began - OVERLAP
            self._stopping.wait(SWEEP_S)

    def stop(self) -> None:
        """Take no more webhooks, then no more work. What is unfinished goes on at the next start."""
        self._stopping.set()
        self._door.close()
        self._sweeper.join(timeout=5)
        self._engine.stop()


def _done(part: Callable[[], None]) -> bool:
    """Whether a part of the sweep came to its end; if not, the other parts are done all the same."""
    try:
        part()
    except (LimitedError, ClosedError) as error:
        log.warning("the sweep waits: %s", error)
    except Exception:  # the forge may be down as well; the next sweep finds the same
        log.exception("a part of the sweep did not finish; again in %d s", SWEEP_S)
    else:
        return True
    return False


def _catch_up(access: Access, since: datetime | None) -> None:
    for name, payload in deliveries.missed(access, since=since):
        happened = payloads.parse(name, payload)
        if happened is not None:
            events.accept(happened)
