"""Audits of claimed gains and A/A checks."""

import json
from pathlib import Path

import pytest

from bot.core.audit import audit, drift, welch
from bot.core.evidence import Noise

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


def test_a_machine_that_moved_by_three_sigma_is_seen_in_one_run() -> None:
    earlier = [1.00, 1.01, 0.99, 1.00, 1.02, 0.98, 1.0, 1.0]
    steady = drift(earlier=earlier, latest=[1.005], known=Noise(s=0.01, nu=40))
    moved = drift(earlier=earlier, latest=[1.03], known=Noise(s=0.01, nu=40))
    assert steady.level_p > 0.5
    assert moved.level_in_s == pytest.approx(3.0)
    assert moved.level_p == pytest.approx(0.0073, abs=1e-4)  # t = 3 / sqrt(1 + 1/8) = 2.83, 40 degrees of freedom


def test_a_machine_that_scatters_more_is_seen() -> None:
    known = Noise(s=0.01, nu=40)
    steady = drift(earlier=[1.0], latest=[1.0, 1.01, 0.99, 1.005], known=known)
    worse = drift(earlier=[1.0], latest=[1.0, 1.03, 0.97, 1.015], known=known)
    assert steady.spread_p > 0.1
    assert worse.spread_p < 0.005


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [([1.0], [1.0, 2.0], "at least two runs"), ([1.0, 1.0], [2.0, 2.0], "no noise at all")],
)
def test_welch_names_what_it_lacks(first: list[float], second: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        welch(first, second)


def test_drift_names_what_it_lacks() -> None:
    with pytest.raises(ValueError, match="runs of both times"):
        drift(earlier=[], latest=[1.0], known=Noise(s=1.0, nu=4))
