"""The loop: propose, open, measure, decide, land, record. One durable workflow per experiment.

Everything outside is a step that may run twice and leaves the world as if it ran once; everything between the steps is
pure, so that a restarted process replays it to the same point. See docs/decisions.md for what binds a verdict.
"""

from dataclasses import replace

from dbos import DBOS, SetWorkflowID

from bot.core.contract import Contract
from bot.core.intake.message import Look
from bot.core.model import Action, Decision, Experiment, Kind, MeasuredRun, Side, State
from bot.core.order import Carried, Order
from bot.core.proposal.plan import order as next_order
from bot.core.proposal.plan import plan_id
from bot.core.verdict.drift import Health
from bot.core.verdict.judgement import decide, ended, judged, verdict
from bot.core.words import figures
from bot.durable import mail
from bot.durable.engine import CAMPAIGN_QUEUE, enqueue_experiment
from bot.durable.lab import clock, lab
from bot.loop import ahead, auditing, branch, holdout, merging, opening, plans, publication, reading, revision
from bot.loop.dialogue import Dialogue
from bot.loop.measurement import Pool, measure, noise, pool
from bot.loop.messages import heed
from bot.loop.upkeep import look_after

LOOK_S = 900.0  # how often to look at the forge while people are waited for, besides whenever something is said


@DBOS.workflow(name="experiment")
def run_experiment(order: Order) -> Experiment:
    """One proposal from draft to merge or close."""
    x = _to_its_end(opening.begin(order), waits=order.waits)
    DBOS.set_event("experiment", x)  # how it ended stands, whatever goes wrong from here on
    x = close(x)
    if x.plan is not None and x.origin.issue_number is not None:
        carried = Carried(
            id=plan_id(x.id),
            repository=x.repository,
            repository_id=x.repository_id,
            requested_by=x.origin.requested_by,
            issue_number=x.origin.issue_number,
            plan=x.plan,
        )
        with SetWorkflowID(carried.id):
            DBOS.enqueue_workflow(CAMPAIGN_QUEUE, run_plan, carried)
    return x


@DBOS.workflow(name="plan")
def run_plan(carried: Carried) -> Carried:
    """The steps of a plan, each an experiment begun when the one before has ended."""
    reason = ""
    while not reason and len(carried.results) < len(carried.plan.steps):
        plans.show(carried)
        if not (reason := plans.why_to_stop(carried)):
            carried = replace(carried, results=(*carried.results, _step(carried)))
    carried = replace(carried, reason=reason or "all steps are done")
    plans.show(carried)
    return carried


def _step(carried: Carried) -> Experiment:
    """What came of the next step."""
    order = next_order(carried)
    enqueue_experiment(order.id, run_experiment, order)
    x = plans.watch(carried, order.id, opened=False)
    if not x.state.ended:
        plans.show(carried, x)
        x = plans.watch(carried, order.id, opened=True)
    return replace(x, runs=(), diff="")


def _to_its_end(x: Experiment, *, waits: bool) -> Experiment:
    contract = reading.contract(x)
    if isinstance(contract, str):
        return ended(x, State.ABANDONED, contract)
    if x.theirs:
        return _to_a_verdict(opening.admitted(x, contract) if not x.state.ended else x, None, contract)
    x, talk = opening.propose(x, contract)
    if waits and not x.state.ended:
        DBOS.set_event("experiment", x)  # so that nobody else drafts the same
        x, talk, contract = ahead.wait(x, talk, contract)
    if not x.state.ended:
        DBOS.set_event("experiment", x)
        x = opening.open_pull(x, terms=figures.terms(contract))
    return _to_a_verdict(x, talk, contract)


def _to_a_verdict(x: Experiment, talk: Dialogue | None, contract: Contract) -> Experiment:
    """Measure and decide until nothing is left to do, heeding people."""
    read_at = x.base_sha
    while not x.state.ended:
        DBOS.set_event("experiment", x)
        wait_s = LOOK_S if x.waiting else lab().progress_s if x.stalled else 0
        for said in (*mail.read(wait_s=wait_s), Look()):
            if not x.state.ended:
                x = branch.observe(x, contract)  # a person may have closed it, held it or pushed to it
            if not x.state.ended and x.base_sha != read_at:
                today, read_at = reading.contract(x), x.base_sha
                x, contract = (ended(x, State.ABANDONED, today), contract) if isinstance(today, str) else (x, today)
            x, talk = heed(under(x, contract), talk, contract, said)
        if not (x.held or x.state.ended):
            x, talk = revision.repair(_go_on(x, contract), talk, contract)
    return x


def _go_on(x: Experiment, contract: Contract) -> Experiment:
    """One decision, shown and acted upon."""
    if x.state is State.PROVEN and x.decision is not None:  # nothing moved since it was decided
        return _land(x, contract, x.decision)
    health = look_after(x, contract)
    x = without(x, health)
    if x.stalled:
        return publication.show(x, contract)
    known = pool(x.base_tree_sha)
    x = with_runs_of_main(x, known)
    prior = None if contract.repeatable else noise(x, contract)
    simpler = x.proposal is not None and x.proposal.kind is Kind.SIMPLIFY
    left = auditing.allowance(x, contract) if simpler else None
    decision = decide(x, contract, burnt=known.burnt, prior=prior, allowance=left)
    landing = State.LANDING if decision.action is Action.MERGE else x.state
    x = publication.show(replace(x, decision=decision, state=landing), contract)
    if decision.action is Action.REJECT:
        return ended(x, State.REJECTED, decision.reason)
    if decision.action is Action.CONFIRM:
        return branch.update_to_main(x)
    if decision.action is Action.MERGE:
        return _land(x, contract, decision)
    return judged(measure(x, contract, decision))


def _land(x: Experiment, contract: Contract, decision: Decision) -> Experiment:
    """Merged, or waiting for people; when main or the branch moved in the last instant, it is measured again."""
    known = (x.state, x.reason)
    x = merging.land(replace(x, state=State.LANDING), contract, verdict(x, contract, decision), when_utc=clock())
    if x.state is State.LANDING:
        return branch.update_to_main(x)
    return publication.show(x, contract) if x.state is State.PROVEN and (x.state, x.reason) != known else x


def close(x: Experiment) -> Experiment:
    """Say how it ended, tidy up, and record it."""
    contract = reading.contract(x)
    if isinstance(contract, Contract):
        x = publication.finish(x, contract)
        publication.record(x, contract)
        holdout.follow(x)
        auditing.follow(x)
    else:
        x = publication.finish(x, None)
    DBOS.set_event("experiment", x)
    return x


def under(x: Experiment, contract: Contract) -> Experiment:
    """The experiment by main's rules of today: what was measured by others does not count."""
    if x.state.ended or x.contract_digest == contract.digest:
        return x
    return replace(x, contract_digest=contract.digest, metric=contract.metric, runs=(), decision=None)


def without(x: Experiment, health: Health) -> Experiment:
    """The experiment without what was measured in a slot that drifted; stalled when there is no other slot."""
    runs = tuple(measured for measured in x.runs if measured.run.run_id not in health.suspects)
    return replace(x, runs=runs, drifting=health.sentence, stalled=not health.elsewhere)


def with_runs_of_main(x: Experiment, known: Pool) -> Experiment:
    """The experiment with the runs of its base that others measured."""
    mine = {measured.run.run_id for measured in x.runs}
    shared = tuple(
        MeasuredRun(side=Side.BASELINE, stage=None, base_sha=x.base_sha, commit_sha=x.base_sha, run=run, shared=True)
        for run in known.runs
        if run.run_id not in mine and run.seed not in known.burnt
    )
    return replace(x, runs=(*x.runs, *shared))
