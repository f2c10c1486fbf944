"""Experiments whose own workflow broke off: found by the sweep, ended by another workflow."""

from dbos import DBOS, SetWorkflowID

from bot.core.model import Experiment, Order, State
from bot.engine import EXPERIMENT_QUEUE
from bot.experiment import close, ended

BROKEN = ("ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


@DBOS.workflow(name="bury")
def bury(x: Experiment) -> Experiment:
    """End an experiment whose own workflow broke off, so that its pull request does not say "in progress" for ever."""
    return close(x)


def bury_the_broken() -> None:
    """Find experiments whose workflow failed (a bug, a forge that stayed away, steps of another version) and end them.

    Asked again it does nothing: each has one burial.
    """
    for status in DBOS.list_workflows(name="experiment", status=list(BROKEN)):
        order = status.input["args"][0] if status.input else None
        noted = DBOS.get_event(status.workflow_id, "experiment", timeout_seconds=0)
        if isinstance(noted, Experiment):
            x = noted
        elif isinstance(order, Order):
            x = Experiment(
                id=order.id, repository=order.repository, origin=order.origin, state=State.PROPOSING, started_utc=""
            )
        else:
            continue
        if not x.ended_utc:
            why = f"Nightlab could not go on: {str(status.error or status.status)[:300]}"
            with SetWorkflowID(f"{x.id}-bury"):
                DBOS.enqueue_workflow(EXPERIMENT_QUEUE, bury, x if x.state.ended else ended(x, State.ABANDONED, why))
