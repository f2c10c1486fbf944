"""The metric and the audit, computed outside: this process runs no candidate code and unpickles nothing.

Bump SCORE_VERSION with every change that can move a number: results of two versions are never compared.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SCORE_VERSION = 1
AUDIT_POSITIONS = 320  # a cheat on a share f of positions passes with probability (1 - f) ** 320: 4 % at f = 0.01
AUDIT_TOLERANCE_NATS = 0.01  # honest models differ by 0 in float32, by rounding in bfloat16

Tokens = NDArray[np.int64]
LogProbabilities = NDArray[np.float64]


class RejectedError(Exception):
    """The model's answers cannot be what an honest model gives."""


@dataclass(frozen=True, slots=True)
class Validation:
    """`sequences` [N, T + 1]: T inputs and, one later, T targets. `token_bytes` [V]; 0 is not scored."""

    sequences: Tokens
    token_bytes: Tokens

    @classmethod
    def load(cls, folder: Path) -> "Validation":
        sequences, token_bytes = (
            np.load(folder / name, allow_pickle=False).astype(np.int64) for name in ("sequences.npy", "token_bytes.npy")
        )
        return cls(sequences, token_bytes)

    @property
    def inputs(self) -> Tokens:
        return self.sequences[:, :-1]

    @property
    def targets(self) -> Tokens:
        return self.sequences[:, 1:]


def log_probabilities(logits: NDArray[np.float32], targets: Tokens) -> LogProbabilities:
    """Log-softmax of `logits` [..., V] at `targets` [...], in nats. Raises RejectedError on anything non-finite."""
    if not np.isfinite(logits).all():
        raise RejectedError("the model's logits are not finite")
    peak = logits.max(axis=-1, keepdims=True)
    normaliser = np.log(np.exp(logits - peak).sum(axis=-1, dtype=np.float64))
    chosen = np.take_along_axis(logits, targets[..., None], axis=-1) - peak
    result: LogProbabilities = chosen[..., 0].astype(np.float64) - normaliser
    return result


def bits_per_byte(log_probability: LogProbabilities, validation: Validation) -> float:
    """Total bits over total bytes of the scored targets; `log_probability` [N, T] in nats."""
    lengths = validation.token_bytes[validation.targets]
    return float(-log_probability[lengths > 0].sum() / (np.log(2) * lengths.sum()))


def cheat_gain_bits_per_byte(vocab_size: int, validation: Validation) -> float:
    """What knowing every target could gain over not knowing anything: an honest model can always answer 1 / V."""
    return float(validation.targets.size * np.log2(vocab_size) / validation.token_bytes[validation.targets].sum())


@dataclass(frozen=True, slots=True)
class Audit:
    """Positions to ask again: `inputs` [M, T] agree with sequence `rows[i]` up to `columns[i]`, then are filler."""

    rows: Tokens
    columns: Tokens
    inputs: Tokens


def draw_audit(inputs: Tokens, source: random.SystemRandom, count: int = AUDIT_POSITIONS) -> Audit:
    """`count` positions from OS entropy, behind each the end of an unrelated sequence."""
    sequences, length = inputs.shape
    places = source.sample(range(inputs.size), min(count, inputs.size))
    rows, columns = np.divmod(np.array(places, dtype=np.int64), length)
    others = (rows + np.array([source.randrange(1, sequences) if sequences > 1 else 0 for _ in places])) % sequences
    is_prefix = np.arange(length) <= columns[:, None]
    return Audit(rows, columns, np.where(is_prefix, inputs[rows], inputs[others]))


def judge(claimed: LogProbabilities, audited: LogProbabilities) -> float:
    """The largest difference in nats between both workers at the audited positions. Raises RejectedError."""
    gap = claimed - audited
    largest = float(np.abs(gap).max())
    if largest > AUDIT_TOLERANCE_NATS:
        raise RejectedError(
            f"asked again without the text that follows, the model gave other probabilities (up to {largest:.3g} nats "
            "apart): it looks ahead, keeps state, or is not deterministic"
        )
    if float(gap.mean()) > AUDIT_TOLERANCE_NATS / 10:
        raise RejectedError("asked again without the text that follows, the model did worse on average")
    return largest
