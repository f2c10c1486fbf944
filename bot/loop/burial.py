"""Experiments whose own workflow broke off: found by the sweep, ended by another workflow."""

import time

from dbos import DBOS

from bot.core.model import Experiment, State
from bot.core.order import Order
from bot.core.verdict.judgement import ended
from bot.durable.engine import BROKEN, enqueue_experiment
from bot.durable.upgrade import REASON, begins_anew, is_of_another_version
from bot.loop.experiment import close

AGAIN_S = 3600.0  # after a burial that failed: the forge may not let us in, and do so later

_tried_s: dict[str, float] = {}  # by experiment, when this process last tried


@DBOS.workflow(name="bury")
def bury(x: Experiment) -> Experiment:
    """End an experiment whose own workflow broke off, so that its pull request does not say "in progress" for ever."""
    DBOS.set_event("experiment", x)  # so that people see it here, should the forge not let us say it there
    return close(x)


def bury_the_broken() -> None:
    """Find experiments whose workflow failed (a bug, a forge that stayed away, steps of another version) and end them.

    Asked again it does nothing: each has one burial, and another every hour if that failed.
    """
    for status in DBOS.list_workflows(name="experiment", status=list(BROKEN)):
        if is_of_another_version(status) and begins_anew(status):
            continue
        order = status.input["args"][0] if isinstance(status.input, dict) else None
        noted = DBOS.get_event(status.workflow_id, "experiment", timeout_seconds=0)
        if isinstance(noted, Experiment):
            x = noted
        elif isinstance(order, Order):
            x = Experiment(
                id=order.id,
                repository=order.repository,
                repository_id=order.repository_id,
                origin=order.origin,
                state=State.PROPOSING,
                started_utc="",
            )
        else:
            continue
        if not x.ended_utc and (identity := _next_burial(x.id)):
            broken = REASON if is_of_another_version(status) else str(status.error or status.status)[:300]
            why = f"Nightlab could not go on: {broken}"
            enqueue_experiment(identity, bury, x if x.state.ended else ended(x, State.ABANDONED, why))


def _next_burial(experiment_id: str) -> str:
    """The id of the burial to begin now; empty when one is under way, or failed a moment ago."""
    last_s = _tried_s.get(experiment_id)
    if last_s is not None and time.monotonic() - last_s < AGAIN_S:
        return ""
    earlier = DBOS.list_workflows(workflow_id_prefix=f"{experiment_id}-bury", load_input=False, load_output=False)
    if any(status.status not in BROKEN for status in earlier):
        return ""
    _tried_s[experiment_id] = time.monotonic()
    return f"{experiment_id}-bury" + (f"-{len(earlier) + 1}" if earlier else "")


def forget_failures() -> None:
    """Begin those burials again that failed: a door has opened."""
    _tried_s.clear()
