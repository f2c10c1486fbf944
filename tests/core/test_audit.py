"""Audits of claimed gains, and what they leave to simplifications."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from report_examples import METRIC, PROPOSED

from bot.core.model import Kind, LedgerRow, State
from bot.core.record import row
from bot.core.verdict.audit import Due, Report, allowance, audit, due, sentence, welch
from bot.core.verdict.policy import PolicySettings

EXAMPLE = json.loads((Path(__file__).parent / "policy_vectors.json").read_text())["welch"]


def test_welch_agrees_with_the_worked_example() -> None:
    test = welch(EXAMPLE["cand"], EXAMPLE["base"])
    assert (test.t, test.p, test.df) == pytest.approx((EXAMPLE["t"], EXAMPLE["p"], EXAMPLE["df"]), rel=1e-12)


def test_an_audit_compares_what_was_realised_with_what_was_claimed() -> None:
    result = audit(before=[2.04, 2.02, 2.03], now=[2.01, 2.00, 2.02], claimed=0.04)
    assert (result.gain, result.ratio) == (pytest.approx(0.02), pytest.approx(0.5))
    assert result.standard_error == pytest.approx(0.01 * (2 / 3) ** 0.5)


def test_an_audit_without_a_claim_has_no_ratio() -> None:
    assert audit(before=[2.04, 2.02], now=[2.01, 2.00], claimed=0.0).ratio is None


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [([1.0], [1.0, 2.0], "at least two runs"), ([1.0, 1.0], [2.0, 2.0], "no noise at all")],
)
def test_welch_names_what_it_lacks(first: list[float], second: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        welch(first, second)


def merge(number: int, *, gain: float = 0.001, kind: Kind = Kind.IMPROVE, shift_in_s: float = 0.0) -> LedgerRow:
    made = row(PROPOSED, metric=METRIC)
    return replace(
        made,
        state=State.MERGED,
        merge_sha=f"m{number}",
        base_sha=f"m{number - 1}",
        gain=gain,
        kind=kind,
        shift_in_s=shift_in_s,
    )


def test_every_tenth_merge_is_audited_against_main_before_the_ten() -> None:
    rows = [merge(number, gain=number / 1000) for number in range(1, 26)]
    rows.insert(3, row(PROPOSED, metric=METRIC))  # not merged
    assert due(rows, merge_sha="m19", every=10) is None
    assert due(rows, merge_sha="m99", every=10) is None
    found = due(rows, merge_sha="m20", every=10)
    assert found is not None
    assert (found.before_sha, found.merges) == ("m10", 10)
    assert found.claimed == pytest.approx(sum(range(11, 21)) / 1000)


def test_simplifications_share_an_allowance_until_the_next_audit() -> None:
    settings = PolicySettings(audit_every=3)
    simpler = [merge(number, kind=Kind.SIMPLIFY, shift_in_s=0.75) for number in range(1, 6)]
    assert [allowance(simpler[:n], settings) for n in range(6)] == [2.0, 1.25, 0.5, 2.0, 1.25, 0.5]
    assert allowance([merge(1, shift_in_s=9)], settings) == 2.0
    assert allowance([replace(one, shift_in_s=5) for one in simpler[:1]], settings) == 0.0


def test_an_audit_says_how_much_of_the_claim_was_realised() -> None:
    found = audit(before=[2.04, 2.02, 2.03], now=[2.01, 2.00, 2.02], claimed=0.04)
    report = Report(
        repository="r",
        due=Due(before_sha="a", now_sha="b", merges=10, claimed=0.04),
        audit=found,
        runs_before=(2.04, 2.02, 2.03),
        runs_now=(2.01, 2.00, 2.02),
    )
    assert sentence(report, METRIC) == (
        "**Audit of the last 10 merges:** main gained +0.0200 ± 0.0082 bpb since then, by 3 and 3 fresh runs. Claimed "
        "was +0.0400, so 50% ± 20% of it was realised."
    )
    assert "no result, because main broke" in sentence(replace(report, audit=None, failed="main broke"), METRIC)
