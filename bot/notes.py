"""Experiments as their workflows last noted them: what the dashboard, commands and the demo read."""

from dbos import DBOS

from bot.core.model import Experiment


def experiments(most: int = 1000) -> list[Experiment]:
    """The newest experiments of all repositories as last noted, newest first."""
    found: dict[str, Experiment] = {}
    statuses = DBOS.list_workflows(
        name=["experiment", "bury"], sort_desc=True, limit=most, load_input=False, load_output=False
    )
    for status in statuses:
        x = DBOS.get_event(status.workflow_id, "experiment", timeout_seconds=0)
        if isinstance(x, Experiment) and not (x.id in found and found[x.id].ended_utc):
            found[x.id] = x
    return list(found.values())
