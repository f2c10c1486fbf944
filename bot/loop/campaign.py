"""A budgeted series of experiments: keeps `parallel` of them under way until a budget is used up or somebody stops it,
and has the next ones drafted meanwhile.

A slow experiment holds back no other: they are waited for in turn of finishing, not of starting.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from dbos import DBOS

from bot.core.model import Experiment, Origin, State
from bot.core.order import Campaign, CampaignPlan, Order
from bot.core.text import marker
from bot.core.words import reply
from bot.durable.engine import BROKEN, enqueue_experiment
from bot.durable.lab import clock, lab, patient_step
from bot.durable.notes import reached
from bot.loop import ahead
from bot.loop.experiment import run_experiment

STOP = "stop"  # the message topic that ends a campaign early
POLL_S = 0.5
STOPPED = "a person stopped it"
IN_VAIN = 3  # experiments in a row without a proposal that end it


@DBOS.workflow(name="campaign")
def run_campaign(plan: CampaignPlan) -> Campaign:
    """Start experiments, wait for them, say how it goes on the issue that asked for them."""
    campaign = Campaign(plan=plan, started_utc=clock())
    started, reason = 0, ""
    under_way: list[str] = []  # those whose turn it is first, then those drafted ahead
    waiting: list[str] = []
    while True:
        show(campaign)
        DBOS.set_event("campaign", campaign)
        # Asked before each, so that those started together do not share the last place of the day.
        while not (reason := reason or _why_to_stop(campaign, started, now_utc=clock())):
            if len(under_way) >= plan.parallel + plan.ahead:
                break
            waits = len(under_way) >= plan.parallel
            under_way.append(_start(plan, started, waits=waits))
            started += 1
            waiting += [under_way[-1]] * waits
        waiting = _turns(plan, under_way, waiting, stopped=reason == STOPPED)
        if not under_way:
            break
        done = first_settled(plan, under_way)
        under_way.remove(done.id)
        campaign = replace(campaign, results=(*campaign.results, done))
    campaign = replace(campaign, reason=reason or _all_done(plan))
    show(campaign)
    DBOS.set_event("campaign", campaign)
    return campaign


def _turns(plan: CampaignPlan, under_way: Sequence[str], waiting: Sequence[str], *, stopped: bool) -> list[str]:
    """Those still waiting after every draft for which there is room now, or never will be, was told so."""
    still = []
    for identity in waiting:
        if stopped or identity in under_way[: plan.parallel]:
            ahead.tell(identity, ahead.DROP if stopped else ahead.GO)
        else:
            still.append(identity)
    return still


def _start(plan: CampaignPlan, index: int, *, waits: bool) -> str:
    order = Order(
        id=f"{plan.id}-{index + 1}",
        repository=plan.repository,
        repository_id=plan.repository_id,
        origin=Origin(requested_by=plan.requested_by),
        waits=waits,
    )
    enqueue_experiment(order.id, run_experiment, order)
    return order.id


def _all_done(plan: CampaignPlan) -> str:
    return "its experiment is done" if plan.experiments == 1 else f"all {plan.experiments} experiments are done"


def _why_to_stop(campaign: Campaign, started: int, *, now_utc: str) -> str:
    plan = campaign.plan
    if DBOS.recv(STOP, timeout_seconds=0) is not None:
        return STOPPED
    if started >= plan.experiments:
        return _all_done(plan)
    until = datetime.fromisoformat(campaign.started_utc) + timedelta(hours=plan.hours)
    if datetime.fromisoformat(now_utc) >= until:
        return f"its {plan.hours:g} hours are over"
    limit = reached(
        plan.repository_id,
        by=plan.requested_by,
        of_all=plan.experiments_per_day,
        of_one=plan.experiments_per_person_per_day,
    )
    if limit:
        return f"{limit} is reached"
    last = campaign.results[-IN_VAIN:]
    if len(last) == IN_VAIN and all(result.proposal is None for result in last):
        return f"{IN_VAIN} times in a row there was nothing to propose: {last[-1].reason}"
    return ""


@DBOS.step(name="first_settled")
def first_settled(plan: CampaignPlan, ids: list[str]) -> Experiment:
    """The first of these experiments that has ended or is proven, once there is one: what is proven may wait for
    people for days, and the campaign goes on meanwhile."""
    while True:
        for identity in ids:
            x = _settled(plan, identity)
            if x is not None:
                return replace(x, runs=(), diff="")  # what a campaign needs of it; the rest is in the ledger
        time.sleep(POLL_S)


def _settled(plan: CampaignPlan, identity: str) -> Experiment | None:
    noted = DBOS.get_event(identity, "experiment", timeout_seconds=0)
    if isinstance(noted, Experiment) and (noted.ended_utc or noted.state is State.PROVEN):
        return noted
    status = DBOS.get_workflow_status(identity)
    if status is None or status.status not in BROKEN:
        return None
    return Experiment(  # that one broke off is no reason to stop
        id=identity,
        repository=plan.repository,
        repository_id=plan.repository_id,
        origin=Origin(requested_by=plan.requested_by),
        state=State.ABANDONED,
        started_utc="",
        reason=f"Nightlab could not go on: {str(status.error or status.status)[:300]}",
    )


@patient_step("show_campaign")
def show(campaign: Campaign) -> None:
    plan = campaign.plan
    forge = lab().access.forge(plan.repository)
    forge.comment(plan.issue_number, marker=marker(plan.id), body=reply.campaign(campaign))


def running(repository_id: int) -> list[str]:
    """The ids of this repository's campaigns that are not over."""
    found = []
    for status in DBOS.list_workflows(name="campaign", status=["PENDING", "ENQUEUED"], load_output=False):
        plan = status.input["args"][0] if status.input else None
        if isinstance(plan, CampaignPlan) and plan.repository_id == repository_id:
            found.append(plan.id)
    return found
