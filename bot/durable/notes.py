"""Experiments as their workflows last noted them: what the dashboard, commands and the demo read."""

from datetime import UTC, datetime, timedelta

from dbos import DBOS

from bot.core.model import Experiment
from bot.core.order import Order
from bot.durable.rows import RUNNING, newest, noted, unfinished


def experiments(most: int = 1000) -> list[Experiment]:
    """The newest experiments of all repositories as last noted, newest first."""
    found: dict[str, Experiment] = {}
    for x in noted("experiment", newest("experiment", "bury", most=most)):
        if isinstance(x, Experiment) and not (x.id in found and found[x.id].state.ended):
            found[x.id] = x
    return list(found.values())


def under_way() -> list[Experiment]:
    """Those that are not over, as last noted: as many as there are at once, however many there ever were."""
    running = [one.id for one in unfinished("experiment") if one.status == RUNNING]
    return [x for x in noted("experiment", running) if isinstance(x, Experiment)]


def reached(repository_id: int, *, by: str, of_all: int, of_one: int) -> str:
    """Which limit on a repository's experiments leaves none for the person `by`; empty when there is one left."""
    orders = orders_of_a_day(repository_id)
    if len(orders) >= of_all:
        return f"the contract's limit on experiments in 24 hours ({of_all})"
    if sum(order.origin.requested_by == by for order in orders) >= of_one:
        return f"the contract's limit on one person's experiments in 24 hours ({of_one})"
    return ""


@DBOS.step(name="orders_of_a_day")
def orders_of_a_day(repository_id: int) -> list[Order]:
    """The experiments of a repository that were asked for in the last 24 hours."""
    since = datetime.now(UTC) - timedelta(hours=24)
    found = DBOS.list_workflows(name="experiment", start_time=since.isoformat(), load_output=False)
    orders = [status.input["args"][0] for status in found if status.input]
    return [order for order in orders if isinstance(order, Order) and order.repository_id == repository_id]
