"""From runs to the policy and back: which of them count, which way is better, what a verdict is bound to."""

from dataclasses import replace

import pytest
from report_examples import BASE, HEAD, MERGED, SCREENING, TREE, run

from bot.core.contract import Contract, parse
from bot.core.model import Action, Experiment, MeasuredRun, Side, Stage, State
from bot.core.verdict import judgement
from runner.protocol import Status

MEASURING = replace(MERGED, state=State.MEASURING, base_sha=BASE, head_sha=HEAD, runs=SCREENING, decision=None)


def contract(text: str = "") -> Contract:
    parsed = parse(f"version: 1\npaths: {{allow: [/train.py]}}\n{text}")
    assert isinstance(parsed, Contract), parsed
    return parsed


def candidate(seed: int, metric: float | None, **more: object) -> MeasuredRun:
    measured = run(seed, metric, **more)  # type: ignore[arg-type]
    return MeasuredRun(side=Side.CANDIDATE, stage=Stage.SCREEN, base_sha=BASE, commit_sha=HEAD, run=measured)


@pytest.mark.parametrize(("direction", "action"), [("lower", Action.CONFIRM), ("higher", Action.REJECT)])
def test_the_contract_says_which_way_is_better(direction: str, action: Action) -> None:
    decision = judgement.decide(MEASURING, contract(f"metric: {{direction: {direction}}}"))
    assert decision.action is action
    assert decision.estimate is not None
    assert (decision.estimate.difference < 0) == (direction == "lower")


def test_runs_of_another_environment_are_not_compared_and_their_seeds_are_not_used_again() -> None:
    """A run of main is known by tree and seed: asked for again with an old seed, the old run would come back."""
    newer = candidate(0, 2.01, environment_digest="another")
    decision = judgement.decide(replace(MEASURING, runs=(*SCREENING, newer)), contract())
    assert decision.action is Action.MEASURE
    assert decision.estimate is None
    assert not {0, 1} & {*decision.candidate_seeds, *decision.baseline_seeds}


def test_burnt_seeds_are_not_used_for_main() -> None:
    nothing = replace(MEASURING, runs=())
    decision = judgement.decide(nothing, contract(), burnt={0, 1, 2})
    assert decision.baseline_seeds
    assert min(decision.baseline_seeds) > 2


@pytest.mark.parametrize(("repeatable", "partners"), [(True, (3, 4)), (False, ())])
def test_more_runs_take_the_seeds_that_main_has_first(repeatable: bool, partners: tuple[int, ...]) -> None:
    only_main = tuple(measured for measured in SCREENING if measured.side is Side.BASELINE)
    x = replace(MEASURING, runs=(only_main[1], candidate(0, 2.0)))
    decision = judgement.more(x, runs=3, repeatable=repeatable, burnt={2}, reason="ada asked")
    assert decision.candidate_seeds == (1, 3, 4)
    assert decision.baseline_seeds == partners


@pytest.mark.parametrize(
    ("side", "status", "state", "said"),
    [
        (Side.CANDIDATE, Status.CRASHED, State.CRASHED, "it broke"),
        (Side.BASELINE, Status.CRASHED, State.ABANDONED, "main itself did not give a number: it broke"),
        (Side.CANDIDATE, Status.INFRASTRUCTURE, State.ABANDONED, "the measurement failed three times: it broke"),
    ],
)
def test_a_run_without_a_number_ends_it(side: Side, status: Status, state: State, said: str) -> None:
    broken = replace(candidate(9, None, status=status, reason="it broke"), side=side)
    ended = judgement.judged(replace(MEASURING, runs=(*SCREENING, broken)))
    assert (ended.state, ended.reason) == (state, said)
    assert judgement.judged(MEASURING) is MEASURING


def test_a_verdict_is_bound_to_all_that_was_measured() -> None:
    terms = contract()
    decision = judgement.decide(MEASURING, terms)
    found = judgement.verdict(MEASURING, terms, decision)
    assert (found.head_sha, found.base_sha, found.tree_sha) == (HEAD, BASE, TREE)
    assert (found.hardware_class, found.environment_digest) == ("cpu-zen4", "e5" * 32)
    assert found.contract_digest == terms.digest != contract("hardware: h100").digest
    with pytest.raises(ValueError, match="needs an estimate"):
        judgement.verdict(MEASURING, terms, replace(decision, estimate=None))


def test_a_run_without_a_number_cannot_be_weighed() -> None:
    x: Experiment = replace(MEASURING, runs=(*SCREENING, candidate(5, None)))
    with pytest.raises(ValueError, match="run-5 has no metric"):
        judgement.decide(x, contract())
