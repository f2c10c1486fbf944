"""What a measurement by hand says, to people and to programs."""

import json
from dataclasses import replace

import pytest
from report_examples import ESTIMATE, PROPOSED, SCREENING, run

from bot.core.contract import Contract, parse
from bot.core.metric import Direction
from bot.core.model import Action, Decision, Estimate, Side
from bot.core.verdict.evidence import interval
from bot.core.words.comparison import Comparison, Demand, as_json, markdown, verdict_rows
from runner.protocol import Status

CONTRACT = parse("version: 1\npaths:\n  allow: [/train.py]\n")
assert isinstance(CONTRACT, Contract)
REASON = "proven better by 8 pairs"


def compared(estimate: Estimate | None = ESTIMATE, *, direction: Direction = Direction.LOWER) -> Comparison:
    decision = Decision(action=Action.MERGE, reason=REASON, estimate=estimate)
    metric = replace(CONTRACT.metric, direction=direction)
    return Comparison(
        head=".",
        base="origin/main",
        experiment=replace(PROPOSED, runs=SCREENING, decision=decision),
        contract=replace(CONTRACT, metric=metric),
        notes=("origin/main has moved on",),
    )


def test_the_interval_is_students() -> None:
    low, high = interval(difference=1.0, standard_error=0.5, nu=7)  # 2.3646 in any table of t
    assert (low, high) == pytest.approx((1 - 1.18231, 1 + 1.18231), abs=1e-5)


@pytest.mark.parametrize(
    ("difference", "evalue", "better", "not_worse"),
    [(-0.004, 400.0, True, True), (-0.004, 9.0, False, True), (0.0001, 0.3, False, True), (0.004, 0.01, False, False)],
)
def test_what_a_pipeline_may_demand(difference: float, evalue: float, better: bool, not_worse: bool) -> None:
    found = compared(replace(ESTIMATE, difference=difference, evalue=evalue))
    assert (found.meets(Demand.BETTER), found.meets(Demand.NOT_WORSE)) == (better, not_worse)


def test_differences_are_in_the_metrics_own_direction() -> None:
    lower, higher = compared(), compared(direction=Direction.HIGHER)
    assert lower.interval is not None
    assert higher.interval == (-lower.interval[1], -lower.interval[0])
    assert lower.interval_of_gain == higher.interval_of_gain
    assert json.loads(as_json(lower))["difference"] == -json.loads(as_json(higher))["difference"] < 0


def test_a_run_without_a_number_is_no_result() -> None:
    found = compared()
    crashed = replace(SCREENING[0], run=run(0, None, status=Status.CRASHED, reason="train.py failed: <b>no</b>"))
    found = replace(found, experiment=replace(found.experiment, runs=(crashed, *SCREENING[1:])))
    assert found.failed == "head gave no number with seed 0: train.py failed: <b>no</b>"
    assert not found.meets(Demand.NOT_WORSE)
    document = json.loads(as_json(found))
    assert (document["result"], "difference" in document) == ("failed", False)
    assert [one["side"] for one in document["runs"]] == ["head", "base", "head", "base"]
    assert "<b>" not in markdown(found)


def test_both_forms_say_the_same() -> None:
    found = compared()
    rows = dict(verdict_rows(found))
    assert rows["val_bpb, head - base"] == "−0.00373 ± 0.00017 bpb"
    assert rows["95 % interval"] == "−0.00413 to −0.00333 bpb (lower is better)"
    assert rows["policy"] == f"merge: {REASON}"
    text = markdown(found)
    assert f"**{REASON}.** The difference is −0.00413 to −0.00333 bpb with 95 % confidence." in text
    assert "Origin/main has moved on." in text
    assert sum(r.side is Side.CANDIDATE for r in found.experiment.runs) == 2
