"""The metric and the audit as mathematics."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from runner.score import AUDIT_TOLERANCE, RejectedError, Text, bits_per_byte, draw_audit, judge, log_probabilities


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0, 1e4))
def test_log_probabilities_are_a_log_softmax(seed: int, scale: float) -> None:
    generator = np.random.default_rng(seed)
    logits = (generator.normal(size=(3, 4, 7)) * scale).astype(np.float32)
    targets = generator.integers(7, size=(3, 4))
    expected = np.take_along_axis(log_softmax(logits.astype(np.float64), axis=-1), targets[..., None], -1)[..., 0]
    np.testing.assert_allclose(log_probabilities(logits, targets), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_is_enough(value: float) -> None:
    logits = np.zeros((2, 3, 5), np.float32)
    logits[1, 2, 4] = value
    with pytest.raises(RejectedError, match="not finite"):
        log_probabilities(logits, np.zeros((2, 3), np.int64))


def test_bits_per_byte_leaves_out_tokens_without_bytes() -> None:
    validation = Text(np.array([[0, 1, 2], [0, 2, 0]]), np.array([0, 1, 3]))
    # targets 1, 2, 2, 0: 1 + 3 + 3 bytes, and the last one is not scored
    claimed = np.log(np.array([[1 / 2, 1 / 4], [1 / 16, 1e-9]]))
    assert bits_per_byte(claimed, validation) == pytest.approx((1 + 2 + 4) / 7)


@given(rows=st.integers(2, 9), columns=st.integers(1, 9), seed=st.integers(0, 99))
def test_an_audited_sequence_is_another_one_after_its_position(rows: int, columns: int, seed: int) -> None:
    inputs = np.arange(rows * columns).reshape(rows, columns)
    audit = draw_audit(inputs, random.Random(seed), count=30)  # type: ignore[arg-type]  # repeatable here
    assert len(set(zip(audit.rows.tolist(), audit.columns.tolist(), strict=True))) == min(30, rows * columns)
    for row, column, asked in zip(audit.rows, audit.columns, audit.inputs, strict=True):
        assert (asked[: column + 1] == inputs[row, : column + 1]).all()
        assert not np.isin(asked[column + 1 :], inputs[row]).any()


def test_the_tolerance_is_for_each_position_and_a_tenth_of_it_for_the_mean() -> None:
    audited = np.full(320, -3.0)
    assert judge(audited, audited) == 0.0
    one_off = audited.copy()
    one_off[7] += 1.01 * AUDIT_TOLERANCE
    with pytest.raises(RejectedError, match="other probabilities"):
        judge(one_off, audited)
    with pytest.raises(RejectedError, match="worse on average"):
        judge(audited + 0.11 * AUDIT_TOLERANCE, audited)
    assert judge(audited - 0.5 * AUDIT_TOLERANCE, audited) == pytest.approx(0.5 * AUDIT_TOLERANCE)
