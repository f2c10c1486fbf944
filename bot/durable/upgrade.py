"""Work that an earlier version of Nightlab began, after an upgrade that changed the steps: none of it is left lying.

The engine gives work only to its own version. What has done nothing yet, and what may be done from the start again
because every step of it looks before it acts, begins anew in this version. An experiment cannot: its branch, its
proposal and its runs are those of the steps it has taken. It ends with a sentence, and so do its runs: see burial.py.
"""

import logging
from collections.abc import Callable

from dbos import DBOS, WorkflowStatus

from bot.durable.engine import CAMPAIGN_QUEUE, EVENT_QUEUE, EXPERIMENT_QUEUE, UNDER_WAY, WORKFLOW_VERSION

log = logging.getLogger("nightlab")
QUEUES = {
    "event": EVENT_QUEUE,
    "campaign": CAMPAIGN_QUEUE,
    "plan": CAMPAIGN_QUEUE,
    "holdout": CAMPAIGN_QUEUE,
    "audit": CAMPAIGN_QUEUE,
    "bury": EXPERIMENT_QUEUE,
    "experiment": EXPERIMENT_QUEUE,
}
REASON = "it was under way when Nightlab was upgraded, and this version cannot go on with it: ask for it again"


def take_over(is_alive: Callable[[str], bool]) -> None:
    """Begin anew or cancel what no process of its own version does any more; `is_alive` tells of one by its name.

    A kill in the middle leaves something cancelled that was to begin anew; the next call finds it.
    """
    waiting = DBOS.list_workflows(status=list(UNDER_WAY), load_input=False, load_output=False)
    halfway = DBOS.list_workflows(name=list(QUEUES), status="CANCELLED", load_input=False, load_output=False)
    for status in (*waiting, *halfway):
        if not is_of_another_version(status) or is_alive(status.executor_id or ""):
            continue
        if status.status in UNDER_WAY:
            log.warning("%s %s was begun by another version of Nightlab", status.name, status.workflow_id)
            DBOS.cancel_workflow(status.workflow_id)
        if begins_anew(status):
            DBOS.rewind_workflow(
                status.workflow_id,
                application_version=WORKFLOW_VERSION,
                queue_name=QUEUES[status.name],
                queue_partition_key=status.queue_partition_key,
            )


def is_of_another_version(status: WorkflowStatus) -> bool:
    return status.app_version not in (None, WORKFLOW_VERSION)


def begins_anew(status: WorkflowStatus) -> bool:
    """Whether cancelled work of another version is to be done from its start."""
    if status.name == "experiment":
        return not DBOS.list_workflow_steps(status.workflow_id, limit=1, load_output=False)
    return status.name in QUEUES
