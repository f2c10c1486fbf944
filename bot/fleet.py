"""`nightlab runner`: one slot as a process of its own, beside others on other machines, around one PostgreSQL database.

It knows how to do a run and nothing else: no workflow that talks to a forge or a model is loaded, and it needs no
credential of theirs. See docs/fleet.md for what it can reach.
"""

import os
import platform
import re

from bot.durable import running
from bot.durable.engine import Engine, runner_post
from bot.edge.grants import await_admission
from bot.edge.slot import Slot, open_slots
from bot.setup.settings import Settings, variable

WORKFLOWS = running.KINDS  # known to the engine because their module is imported here
# Of the bot. A runner has no use for them, and its machine runs strangers' code.
NEEDLESS = ("private_key", "token", "webhook_secret", "dashboard_password", "anthropic_api_key")


class MisplacedError(ValueError):
    """These settings are not those of a runner; one sentence."""


def host_name() -> str:
    """This machine's name, as names are written in settings."""
    return re.sub(r"[^a-z0-9_.-]+", "-", platform.node().lower()).strip("-._")[:40] or "host"


def local_slots(settings: Settings) -> list[Slot]:
    """The slots of this machine. A GPU that is named gives its slot a name that stays with it."""
    if settings.gpus:
        return [Slot(name="-".join(gpu.lower().split("-")[:2]), gpu=gpu) for gpu in settings.gpus]
    kind = "cpu" if settings.hardware.startswith("cpu") else "gpu"
    return [Slot(name=f"{kind}{index}") for index in range(settings.slots)]


class Runner:
    """A running slot. Raises MisplacedError or LeaseError, one sentence each."""

    def __init__(self, settings: Settings) -> None:
        if not settings.database_url:
            raise MisplacedError(
                f"a runner of its own needs {variable('database_url')}: on SQLite, `nightlab serve` measures by itself"
            )
        if held := [variable(name) for name in NEEDLESS if getattr(settings, name)]:
            raise MisplacedError(f"a runner needs no {' and no '.join(held)}: keep secrets of the bot off its machine")
        slots = local_slots(settings)
        if len(slots) > 1:
            raise MisplacedError("a runner serves one slot: start one for each, with one UUID in NIGHTLAB_GPU")
        self.name = settings.name or f"{host_name()}-{slots[0].name}"
        self.hardware_class = settings.hardware
        os.environ.update(settings.runner_environment)
        await_admission(settings.database_url)
        open_slots([Slot(name=self.name, gpu=slots[0].gpu)], cache=settings.state / "cache")
        self._engine = Engine(
            runner_post(self.name, hardware_class=settings.hardware),
            database=settings.database_url,
            lease_s=settings.lease_s,
        )

    def stop(self) -> None:
        """Take no more runs. One under way begins again elsewhere, or here at the next start."""
        self._engine.stop()
