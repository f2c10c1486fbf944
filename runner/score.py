"""The score and the audit of a language model, computed outside, where no candidate code runs and nothing is unpickled.

Bump SCORE_VERSION with every change that can move a number: results of two versions are never compared.
"""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.protocol import AUDIT_TOLERANCE, AUDIT_TOLERANCE_CAP

SCORE_VERSION = 1
AUDIT_POSITIONS = 320  # a cheat on a share f of positions passes with probability (1 - f) ** 320: 4 % at f = 0.01

MEAN_SHARE = 0.1  # of the tolerance that the mean difference may be, in the direction that pays

Tokens = NDArray[np.int64]
LogProbabilities = NDArray[np.float64]


class RejectedError(Exception):
    """The model's answers cannot be what an honest model gives."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What to ask again: `inputs` [M, ...] stand for `rows` of the split, of a text for the position `columns` there.

    The inputs agree with the text up to that position, and then are filler.
    """

    rows: Tokens
    columns: Tokens
    inputs: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Text:
    """`sequences` [N, T + 1]: T inputs and, one later, T targets. `token_bytes` [V]; 0 is not scored."""

    sequences: Tokens
    token_bytes: Tokens

    @classmethod
    def load(cls, folder: Path, *, vocab_size: int) -> "Text":
        """Raises OSError or ValueError."""
        sequences, token_bytes = (
            np.load(folder / name, allow_pickle=False).astype(np.int64) for name in ("sequences.npy", "token_bytes.npy")
        )
        if sequences.ndim != 2 or not sequences.size or token_bytes.shape != (vocab_size,):
            raise ValueError("sequences.npy must be [N, T + 1] and token_bytes.npy [V], V being meta.json's vocab_size")
        return cls(sequences, token_bytes)

    @property
    def inputs(self) -> Tokens:
        return self.sequences[:, :-1]

    @property
    def targets(self) -> Tokens:
        return self.sequences[:, 1:]

    @property
    def answer(self) -> tuple[int, ...]:
        return (self.inputs.shape[1], len(self.token_bytes))

    @property
    def measure(self) -> str:
        return "bits per byte"

    @property
    def higher_is_better(self) -> bool:
        return False

    @property
    def gap_unit(self) -> str:
        return "nats"

    @property
    def tolerance_cap(self) -> float:
        return AUDIT_TOLERANCE_CAP

    def random_inputs(self, count: int) -> Tokens:
        return np.random.default_rng().integers(len(self.token_bytes), size=(count, self.inputs.shape[1]))

    def blank(self) -> LogProbabilities:
        return np.empty(self.inputs.shape)

    def read(self, answers: NDArray[np.float32], rows: Tokens) -> LogProbabilities:
        return log_probabilities(answers, self.targets[rows])

    def draw(self, source: random.SystemRandom) -> Audit:
        return draw_audit(self.inputs, source)

    def read_again(self, answers: NDArray[np.float32], audit: Audit, part: slice) -> LogProbabilities:
        rows, columns = audit.rows[part], audit.columns[part]
        return log_probabilities(answers[np.arange(len(rows)), columns], self.targets[rows, columns])

    def judge(self, claimed: LogProbabilities, audited: LogProbabilities, audit: Audit, tolerance: float) -> float:
        return judge(claimed[audit.rows, audit.columns], audited, tolerance)

    def metric(self, claimed: LogProbabilities) -> float:
        return bits_per_byte(claimed, self)

    def cheat_gain(self) -> float:
        """Knowing every target against not knowing anything: an honest model can always answer 1 / V."""
        return float(self.targets.size * np.log2(len(self.token_bytes)) / self.token_bytes[self.targets].sum())

    def hidden_gain(self, tolerance: float) -> float:
        bits = MEAN_SHARE * tolerance / np.log(2) * self.targets.size
        return float(bits / self.token_bytes[self.targets].sum())


def log_probabilities(logits: NDArray[np.float32], targets: Tokens) -> LogProbabilities:
    """Log-softmax of `logits` [N, ..., V] at `targets` [N, ...], in nats. Raises RejectedError on the non-finite."""
    result = np.empty(targets.shape)
    for row, (scores, wanted) in enumerate(zip(logits, targets, strict=True)):  # one after another stays in the cache
        if not np.isfinite(scores).all():
            raise RejectedError("the model's logits are not finite")
        shifted = scores - scores.max(axis=-1, keepdims=True)
        chosen = np.take_along_axis(shifted, wanted[..., None], axis=-1)[..., 0].astype(np.float64)
        result[row] = chosen - np.log(np.exp(shifted, out=shifted).sum(axis=-1, dtype=np.float64))
    return result


def bits_per_byte(log_probability: LogProbabilities, text: Text) -> float:
    """Total bits over total bytes of the scored targets; `log_probability` [N, T] in nats."""
    lengths = text.token_bytes[text.targets]
    return float(-log_probability[lengths > 0].sum() / (np.log(2) * lengths.sum()))


def draw_audit(inputs: Tokens, source: random.SystemRandom, count: int = AUDIT_POSITIONS) -> Audit:
    """`count` positions from OS entropy, behind each the end of an unrelated sequence."""
    sequences, length = inputs.shape
    places = source.sample(range(inputs.size), min(count, inputs.size))
    rows, columns = np.divmod(np.array(places, dtype=np.int64), length)
    others = (rows + np.array([source.randrange(1, sequences) if sequences > 1 else 0 for _ in places])) % sequences
    is_prefix = np.arange(length) <= columns[:, None]
    return Audit(rows, columns, np.where(is_prefix, inputs[rows], inputs[others]))


def judge(claimed: LogProbabilities, audited: LogProbabilities, tolerance: float = AUDIT_TOLERANCE) -> float:
    """The largest difference in nats between both workers at the audited positions. Raises RejectedError."""
    gap = claimed - audited
    largest = float(np.abs(gap).max())
    if largest > tolerance:
        raise RejectedError(
            f"asked again without the text that follows, the model gave other probabilities (up to {largest:.3g} nats "
            "apart): it looks ahead, keeps state, or is not deterministic"
        )
    if float(gap.mean()) > MEAN_SHARE * tolerance:
        raise RejectedError("asked again without the text that follows, the model did worse on average")
    return largest
