"""A/A runs: main against itself, so that a slot that drifts is noticed and not judged on.

Experiments see to it before each decision: who uses a slot looks after it, and where nothing is measured nothing is
checked. An A/A run is due at the start of a bot, then at times, the slots of a class in turn as they come free. It
waits behind every other run, so it delays nobody; when none was done for twice the time that may pass, it takes its
turn.
"""

import logging
import time
from dataclasses import dataclass, replace

from dbos import DBOS, WorkflowStatus

from bot.core.contract import Contract
from bot.core.model import Experiment
from bot.core.verdict.drift import Dated, Health, health
from bot.core.words import reply
from bot.durable import rows
from bot.durable.engine import SERIALIZER, enqueue_run, slot_queue
from bot.durable.lab import lab
from bot.durable.running import KINDS, again, request_of
from runner.protocol import Request, Run, Status

MOST = 500  # of the newest runs that are looked at
LAST_IN_LINE = 1000  # priority; runs of the repository without one come first
RECHECK_S = 600.0  # between two A/A runs of a class with a slot that drifts
UNSERVED_LOOKS = 9  # at the progress of runs, none of which began or ended, before people are told: three minutes
FRESH_SEED = 1_000_000  # of A/A runs where runs are not repeatable; experiments count theirs from 0

log = logging.getLogger("nightlab")
_said: set[str] = set()
_troubles: tuple[str, list[str]] = ("", [])  # the A/A run that ended last, and what follows from it


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """What is known of the slots of a class, and the A/A run that is due there, if one is."""

    health: Health
    due: Request | None = None
    last_in_line: bool = True


SERIALIZER.register(Health)
SERIALIZER.register(Upkeep)


def look_after(x: Experiment, contract: Contract) -> Health:
    """How the slots are that this experiment is measured in. Starts an A/A run when one is due."""
    found = look(x, contract)
    if found.due is not None:
        priority = LAST_IN_LINE if found.last_in_line else None
        enqueue_run(x.repository, again, found.due, contract.repeatable, priority=priority)
    return found.health


@DBOS.step(name="upkeep")
def look(x: Experiment, contract: Contract) -> Upkeep:
    found = slots_of(contract.hardware_class)
    for sentence in found.drifting:
        if sentence not in _said:
            _said.add(sentence)
            log.warning("%s; nothing is judged on it until an A/A run fits again", sentence)
    pause_s = lab().upkeep_s
    mine = [s for s in _newest("again", load_output=False) if request_of(s).hardware_class == contract.hardware_class]
    if not pause_s or any(status.completed_at is None for status in mine):
        return Upkeep(health=found)
    last_s = max((status.completed_at or 0 for status in mine), default=0) / 1000
    waited_s = time.time() - last_s
    pause_s = min(pause_s, RECHECK_S) if found.drifting else pause_s / max(1, found.slots)
    if waited_s < pause_s and last_s > lab().started_s:
        return Upkeep(health=found)
    urgent = bool(found.drifting) or (bool(mine) and waited_s > 2 * pause_s)
    due = _main_again(x, repeatable=contract.repeatable)
    return Upkeep(health=found, due=due, last_in_line=not urgent)


def slots_of(hardware_class: str) -> Health:
    """The health of a class, from the history alone."""
    checks = _dated("again", hardware_class)
    return health(checks, _dated("run", hardware_class)) if checks else Health()


def suspects() -> set[str]:
    """The ids of the runs, in all classes, that are not judged on."""
    return {identity for one in _classes() for identity in slots_of(one).suspects}


def troubles() -> list[str]:
    """A sentence for every slot that drifts now. Only the end of an A/A run changes that, so it is read once for each:
    monitors ask every few seconds."""
    global _troubles
    ended = rows.last_ended("again")
    if _troubles[0] != ended:
        _troubles = (ended, [sentence for one in _classes() for sentence in slots_of(one).drifting])
    return _troubles[1]


def unserved() -> dict[str, str]:
    """A sentence for every hardware class that nobody measures in: runs wait, and for a while none began or ended."""
    runs, patience_s = rows.unfinished(*KINDS), UNSERVED_LOOKS * lab().progress_s
    found: dict[str, str] = {}
    busy = {run.queue for run in runs if run.status == rows.RUNNING}
    for run in runs:  # oldest first
        waited_s, hardware_class = time.time() - run.since_s, run.queue.removeprefix(slot_queue(""))
        if run.queue in busy or hardware_class in found or waited_s < patience_s:
            continue
        if not rows.ended_since(run.queue, time.time() - patience_s):
            found[hardware_class] = reply.unserved(hardware_class, waited_s=waited_s)
    return found


def _classes() -> list[str]:
    """Those that any A/A run was made in."""
    return sorted({request_of(status).hardware_class for status in _newest("again", load_output=False)})


def _dated(name: str, hardware_class: str) -> list[Dated]:
    """Finished runs of a class that gave a number."""
    found = []
    for status in _newest(name, only="SUCCESS"):
        run, flag = status.output, bool(status.input and status.input["args"][1])
        if isinstance(run, Run) and run.status is Status.OK and run.hardware_class == hardware_class:
            found.append(
                Dated(
                    run=run,
                    ended_ms=status.completed_at or 0,
                    repeatable=name == "again" and flag,
                    selected=name == "run" and flag,
                )
            )
    return found


def _main_again(x: Experiment, *, repeatable: bool) -> Request | None:
    """Main's newest run once more, with a fresh seed where the same one says nothing; None before its first."""
    for status in _newest("run", only="SUCCESS"):
        run, request = status.output, request_of(status)
        if isinstance(run, Run) and run.status is Status.OK and run.tree_sha == x.base_tree_sha:
            now_s = int(time.time())
            return replace(
                request,
                run_id=f"again-{x.base_tree_sha[:20]}-{now_s}",
                source=replace(request.source, base_sha=x.base_sha, head_sha=x.base_sha),
                seed=request.seed if repeatable else FRESH_SEED + now_s % FRESH_SEED,
            )
    return None


def _newest(name: str, *, only: str | None = None, load_output: bool = True) -> list[WorkflowStatus]:
    return DBOS.list_workflows(name=name, status=only, sort_desc=True, limit=MOST, load_output=load_output)
