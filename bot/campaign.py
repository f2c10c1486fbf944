"""A budgeted series of experiments: keeps `parallel` of them under way until a budget is used up or somebody stops it.

A slow experiment holds back no other: they are waited for in turn of finishing, not of starting.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dbos import DBOS, SetWorkflowID, WorkflowHandle

from bot.core import reply
from bot.core.model import Campaign, CampaignPlan, Experiment, Order, Origin, State
from bot.core.text import marker
from bot.engine import EXPERIMENT_QUEUE
from bot.experiment import run_experiment
from bot.lab import clock, lab, patient_step

STOP = "stop"  # the message topic that ends a campaign early
IN_VAIN = 3  # experiments in a row without a proposal that end it


@DBOS.workflow(name="campaign")
def run_campaign(plan: CampaignPlan) -> Campaign:
    """Start experiments, wait for them, say how it goes on the issue that asked for them."""
    campaign = Campaign(plan=plan, started_utc=clock())
    started = 0
    under_way: list[WorkflowHandle[Experiment]] = []
    while True:
        show(campaign)
        DBOS.set_event("campaign", campaign)
        reason = _why_to_stop(campaign, started, now_utc=clock())
        while not reason and started < plan.experiments and len(under_way) < plan.parallel:
            under_way.append(_start(plan, started))
            started += 1
        if not under_way:
            break
        done = DBOS.wait_first(under_way)
        under_way = [handle for handle in under_way if handle.workflow_id != done.workflow_id]
        campaign = replace(campaign, results=(*campaign.results, _result(plan, done)))
    campaign = replace(campaign, reason=reason or f"all {plan.experiments} experiments are done")
    show(campaign)
    DBOS.set_event("campaign", campaign)
    return campaign


def _start(plan: CampaignPlan, index: int) -> WorkflowHandle[Experiment]:
    order = Order(
        id=f"{plan.id}-{index + 1}", repository=plan.repository, origin=Origin(requested_by=plan.requested_by)
    )
    with SetWorkflowID(order.id):
        return DBOS.enqueue_workflow(EXPERIMENT_QUEUE, run_experiment, order)


def _why_to_stop(campaign: Campaign, started: int, *, now_utc: str) -> str:
    plan = campaign.plan
    if DBOS.recv(STOP, timeout_seconds=0) is not None:
        return "a person stopped it"
    if started >= plan.experiments:
        return f"all {plan.experiments} experiments are done"
    until = datetime.fromisoformat(campaign.started_utc) + timedelta(hours=plan.hours)
    if datetime.fromisoformat(now_utc) >= until:
        return f"its {plan.hours:g} hours are over"
    if len(orders_of_a_day(plan.repository)) >= plan.experiments_per_day:
        return f"the {plan.experiments_per_day} experiments that the contract allows in 24 hours are used up"
    last = campaign.results[-IN_VAIN:]
    if len(last) == IN_VAIN and all(result.proposal is None for result in last):
        return f"{IN_VAIN} times in a row there was nothing to propose: {last[-1].reason}"
    return ""


def _result(plan: CampaignPlan, handle: WorkflowHandle[Experiment]) -> Experiment:
    """What the campaign needs of an experiment; the rest is in the ledger. One that broke off is no reason to stop."""
    try:
        return replace(handle.get_result(), runs=(), diff="")
    except Exception as error:
        return Experiment(
            id=handle.workflow_id,
            repository=plan.repository,
            origin=Origin(requested_by=plan.requested_by),
            state=State.ABANDONED,
            started_utc="",
            reason=f"Nightlab could not go on: {str(error)[:300]}",
        )


@patient_step("show_campaign")
def show(campaign: Campaign) -> None:
    plan = campaign.plan
    forge = lab().access.forge(plan.repository)
    forge.comment(plan.issue_number, marker=marker(plan.id), body=reply.campaign(campaign))


@DBOS.step(name="orders_of_a_day")
def orders_of_a_day(repository: str) -> list[Order]:
    """The experiments of a repository that were asked for in the last 24 hours."""
    since = datetime.now(UTC) - timedelta(hours=24)
    found = DBOS.list_workflows(name="experiment", start_time=since.isoformat(), load_output=False)
    orders = [status.input["args"][0] for status in found if status.input]
    return [order for order in orders if isinstance(order, Order) and order.repository == repository]


def running(repository: str) -> list[str]:
    """The ids of this repository's campaigns that are not over."""
    found = []
    for status in DBOS.list_workflows(name="campaign", status=["PENDING", "ENQUEUED"], load_output=False):
        plan = status.input["args"][0] if status.input else None
        if isinstance(plan, CampaignPlan) and plan.repository == repository:
            found.append(plan.id)
    return found
