"""The loop: propose, open, measure, decide, land, record. One durable workflow per experiment.

Everything outside is a step that may run twice and leaves the world as if it ran once; everything between the steps is
pure, so that a restarted process replays it to the same point. See docs/decisions.md for what binds a verdict.
"""

from dataclasses import replace

from dbos import DBOS

from bot import opening, publication
from bot.core import policy
from bot.core.contract import Contract
from bot.core.evidence import Noise
from bot.core.model import (
    Action,
    Decision,
    Direction,
    Experiment,
    Kind,
    MeasuredRun,
    Observation,
    Order,
    Side,
    State,
    Verdict,
)
from bot.lab import clock
from bot.measurement import Pool, measure, noise, pool
from runner.protocol import Status

RESUME = "resume"  # the message topic that ends a hold at once
HOLD_LOOK_S = 300.0  # how often to see whether somebody took the label off by hand


@DBOS.workflow(name="experiment")
def run_experiment(order: Order) -> Experiment:
    """One proposal from draft to merge or close."""
    x = _to_its_end(opening.begin(order))
    DBOS.set_event("experiment", x)  # how it ended stands, whatever goes wrong from here on
    return close(x)


def _to_its_end(x: Experiment) -> Experiment:
    contract = opening.contract(x)
    if isinstance(contract, str):
        return ended(x, State.ABANDONED, contract)
    x = opening.propose(x, contract)
    if not x.state.ended:
        DBOS.set_event("experiment", x)
        x = opening.open_pull(x, terms=publication.terms(contract))
    while not x.state.ended:
        DBOS.set_event("experiment", x)
        x = publication.observe(x, contract)  # a person may have closed it, held it or pushed to it
        if x.held:
            DBOS.recv(RESUME, timeout_seconds=HOLD_LOOK_S)
        elif not x.state.ended:
            x = _go_on(x)
    return x


def _go_on(x: Experiment) -> Experiment:
    """One decision, shown and acted upon."""
    contract = opening.contract(x)
    if isinstance(contract, str):
        return ended(x, State.ABANDONED, contract)
    if x.contract_digest != contract.digest:  # main has new rules: what was measured by the old ones does not count
        x = replace(x, contract_digest=contract.digest, runs=(), decision=None)
    known = pool(x.base_tree_sha)
    x = with_runs_of_main(x, known)
    prior = None if contract.repeatable else noise(x, contract)
    decision = decide(x, contract, burnt=known.burnt, prior=prior)
    landing = State.LANDING if decision.action is Action.MERGE else x.state
    x = publication.show(replace(x, decision=decision, state=landing), contract)
    if decision.action is Action.REJECT:
        return ended(x, State.REJECTED, decision.reason)
    if decision.action is Action.CONFIRM:
        return publication.update_to_main(x)
    if decision.action is Action.MERGE:
        x = publication.land(x, contract, verdict(x, contract, decision), when_utc=clock())
        # When main or the branch moved in the last instant, it is measured again.
        return x if x.state.ended else publication.update_to_main(x)
    return _judged(measure(x, contract, decision))


def close(x: Experiment) -> Experiment:
    """Say how it ended, tidy up, and record it."""
    contract = opening.contract(x)
    if isinstance(contract, Contract):
        x = publication.finish(x, contract)
        publication.record(x, contract)
    else:
        x = publication.finish(x, None)
    DBOS.set_event("experiment", x)
    return x


def with_runs_of_main(x: Experiment, known: Pool) -> Experiment:
    """The experiment with the runs of its base that others measured."""
    mine = {measured.run.run_id for measured in x.runs}
    shared = tuple(
        MeasuredRun(side=Side.BASELINE, stage=None, base_sha=x.base_sha, commit_sha=x.base_sha, run=run, shared=True)
        for run in known.runs
        if run.run_id not in mine and run.seed not in known.burnt
    )
    return replace(x, runs=(*x.runs, *shared))


def decide(x: Experiment, contract: Contract, *, burnt: tuple[int, ...], prior: Noise | None) -> Decision:
    """The policy on all runs that may be compared: those of the environment that the newest candidate run had."""
    environment = next((m.run.environment_digest for m in reversed(x.runs) if m.side is Side.CANDIDATE), None)
    comparable = [m for m in x.runs if environment in (None, m.run.environment_digest)]
    today = {m.run.seed for m in x.runs if m.side is Side.BASELINE and m.base_sha == x.base_sha}
    stale = today - {m.run.seed for m in comparable if m.side is Side.BASELINE and m.base_sha == x.base_sha}
    return policy.decide(
        candidate=[_observation(m, contract) for m in comparable if m.side is Side.CANDIDATE],
        baseline=[_observation(m, contract) for m in comparable if m.side is Side.BASELINE],
        today_sha=x.base_sha,
        confirming=x.state is State.CONFIRMING,
        kind=x.proposal.kind if x.proposal else Kind.IMPROVE,
        settings=replace(contract.policy, repeatable=contract.repeatable),
        prior=prior,
        excluded_seeds={*burnt, *stale},
        unit=contract.metric.unit,
    )


def _observation(measured: MeasuredRun, contract: Contract) -> Observation:
    """A run for the policy, where lower is better."""
    if measured.run.metric is None:
        raise ValueError(f"{measured.run.run_id} has no metric")
    lower = contract.metric.direction is Direction.LOWER
    return Observation(
        value=measured.run.metric if lower else -measured.run.metric,
        seed=measured.run.seed,
        slot=measured.run.slot,
        base_sha=measured.base_sha,
        stage=measured.stage,
    )


def _judged(x: Experiment) -> Experiment:
    """The experiment, ended when one of its runs did not give a number."""
    for measured in x.runs:
        run = measured.run
        if run.status is Status.OK:
            continue
        if run.status is Status.INFRASTRUCTURE:
            return ended(x, State.ABANDONED, f"the measurement failed three times: {run.reason}")
        if measured.side is Side.BASELINE:
            return ended(x, State.ABANDONED, f"main itself did not give a number: {run.reason}")
        return ended(x, State.CRASHED, run.reason)
    return x


def verdict(x: Experiment, contract: Contract, decision: Decision) -> Verdict:
    """A MERGE decision with what it is bound to."""
    last = next(m.run for m in reversed(x.runs) if m.side is Side.CANDIDATE)
    if decision.estimate is None:
        raise ValueError("a verdict needs an estimate")
    return Verdict(
        experiment_id=x.id,
        head_sha=x.head_sha,
        base_sha=x.base_sha,
        tree_sha=last.tree_sha,
        hardware_class=last.hardware_class,
        environment_digest=last.environment_digest,
        contract_digest=contract.digest,
        estimate=decision.estimate,
        reason=decision.reason,
    )


def ended(x: Experiment, state: State, reason: str) -> Experiment:
    return replace(x, state=state, reason=reason)
