"""What language models cost: reserved before a conversation, settled after it, counted per day, person and campaign.

A conversation first writes down all it might cost and then looks at what others wrote: two that start at the same
instant may both be refused, but can never both take the last dollar.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dbos import DBOS

from bot.core.contract import Contract
from bot.core.model import Experiment
from bot.core.order import CampaignPlan
from bot.durable.engine import SERIALIZER

LEAST_USD = 0.05  # a conversation that may not even use this is not begun


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What one experiment costs for the model, or may still cost while it is being written."""

    repository_id: int
    requested_by: str
    campaign: str  # its id; empty when the experiment is of none
    usd: float
    settled: bool


SERIALIZER.register(Spending)


def note(x: Experiment, usd: float, *, settled: bool) -> None:
    """For a workflow, not a step: of `x`, now."""
    spending = Spending(
        repository_id=x.repository_id,
        requested_by=x.origin.requested_by,
        campaign=campaign_of(x.id),
        usd=usd,
        settled=settled,
    )
    DBOS.set_event("spending", spending)


def campaign_of(experiment_id: str) -> str:
    """The campaign that an experiment belongs to, from its id."""
    return experiment_id.rpartition("-")[0] if experiment_id.startswith("k") else ""


@DBOS.step(name="grant")
def grant(x: Experiment, contract: Contract) -> float | str:
    """The dollars that `x` may use, at most what the contract gives one proposal; or which budget is used up."""
    day = [one for one in _since(hours=24, but=x.id) if one.repository_id == x.repository_id]
    mine = [one for one in day if one.requested_by == x.origin.requested_by]
    limits, campaign = contract.limits, campaign_of(x.id)
    left = {
        f"the ${limits.usd_per_day:g} for the model in 24 hours": limits.usd_per_day - _sum(day),
        f"your ${limits.usd_per_person_per_day:g} for the model in 24 hours": limits.usd_per_person_per_day
        - _sum(mine),
    }
    if campaign:
        before, usd = _sum(_of_campaign(campaign, but=x.id)), _budget_of(campaign, contract)
        left[f"the ${usd:g} for the model in this campaign"] = usd - before
    name, least = min(left.items(), key=lambda item: item[1])
    if least < LEAST_USD:
        return f"{name} are used up: ask again later, or raise the limit in the contract"
    return min(least, contract.claude.usd)


def _budget_of(campaign: str, contract: Contract) -> float:
    """What its command said, else the contract."""
    for status in DBOS.list_workflows(workflow_ids=[campaign], load_output=False):
        plan = status.input["args"][0] if status.input else None
        if isinstance(plan, CampaignPlan):
            return plan.usd
    return contract.campaign.usd


def _since(*, hours: float, but: str) -> list[Spending]:
    start = datetime.now(UTC) - timedelta(hours=hours)
    found = DBOS.list_workflows(name="experiment", start_time=start.isoformat(), load_input=False, load_output=False)
    return _noted([status.workflow_id for status in found if status.workflow_id != but])


def _of_campaign(campaign: str, *, but: str) -> list[Spending]:
    found = DBOS.list_workflows(
        name="experiment", workflow_id_prefix=f"{campaign}-", load_input=False, load_output=False
    )
    return _noted([status.workflow_id for status in found if status.workflow_id != but])


def _noted(ids: list[str]) -> list[Spending]:
    noted = (DBOS.get_event(identity, "spending", timeout_seconds=0) for identity in ids)
    return [one for one in noted if isinstance(one, Spending)]


def _sum(spendings: list[Spending]) -> float:
    return sum(one.usd for one in spendings)
