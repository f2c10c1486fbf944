"""An experiment's runs as the policy sees them, and what it says of them."""

from collections.abc import Collection
from dataclasses import replace
from itertools import chain, count, islice

from bot.core.contract import Contract
from bot.core.metric import Direction
from bot.core.model import Action, Decision, Experiment, Kind, MeasuredRun, Observation, Side, State, Verdict
from bot.core.verdict import policy
from bot.core.verdict.evidence import Noise
from runner.protocol import Status


def decide(
    x: Experiment,
    contract: Contract,
    *,
    burnt: Collection[int] = (),
    prior: Noise | None = None,
    allowance: float | None = None,
) -> Decision:
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
        settings=contract.policy,
        prior=prior,
        excluded_seeds={*burnt, *stale},
        allowance=allowance,
        unit=contract.metric.suffix,
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


def more(x: Experiment, *, runs: int, repeatable: bool, burnt: Collection[int], reason: str) -> Decision:
    """So many more runs of the head, whatever the policy wants: with seeds that main has first, else fresh ones, and
    their partners on main where pairs are compared."""
    today = {m.run.seed for m in x.runs if m.side is Side.BASELINE and m.base_sha == x.base_sha} - set(burnt)
    used = {m.run.seed for m in x.runs if m.side is Side.CANDIDATE}
    unseen = 1 + max((*(m.run.seed for m in x.runs), *burnt), default=-1)
    seeds = tuple(islice(chain(sorted(today - used), count(unseen)), runs))
    return Decision(
        action=Action.MEASURE,
        reason=reason,
        estimate=x.decision.estimate if x.decision else None,
        candidate_seeds=seeds,
        baseline_seeds=tuple(seed for seed in seeds if seed not in today) if repeatable else (),
    )


def judged(x: Experiment) -> Experiment:
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
