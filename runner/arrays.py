"""The score and the audit of models that answer about one array at a time: regression and classification.

Such a model sees no target, so there is nothing to look ahead at. What it could do is learn from its questions, and
answer what depends on the company a row is asked in: the audit asks some rows again, in other company and order.
"""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from runner.protocol import AUDIT_TOLERANCE, AUDIT_TOLERANCE_CAP
from runner.score import AUDIT_POSITIONS, MEAN_SHARE, Audit, RejectedError

LEAD_NATS = 2 * AUDIT_TOLERANCE  # what two answers that agree cannot turn round

Answers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Regression:
    """`inputs` float32 [N, ...] and `targets` float64 [N, K]. The metric is the root mean square error."""

    inputs: NDArray[np.float32]
    targets: NDArray[np.float64]

    @classmethod
    def load(cls, folder: Path, *, outputs: int) -> Self:
        """Raises OSError or ValueError."""
        inputs, targets = _loaded(folder)
        if targets.shape != (len(inputs), outputs) or not outputs or not np.isfinite(targets).all():
            raise ValueError("targets.npy must be finite numbers [N, K], K being meta.json's outputs")
        return cls(inputs, targets.astype(np.float64))

    @property
    def answer(self) -> tuple[int, ...]:
        return (self.targets.shape[1],)

    @property
    def measure(self) -> str:
        return "root mean square error"

    @property
    def higher_is_better(self) -> bool:
        return False

    @property
    def gap_unit(self) -> str:
        return "standard deviations of the targets"

    @property
    def tolerance_cap(self) -> float:
        return AUDIT_TOLERANCE_CAP

    def random_inputs(self, count: int) -> NDArray[np.float32]:
        return np.random.default_rng().standard_normal((count, *self.inputs.shape[1:]), dtype=np.float32)

    def blank(self) -> Answers:
        return np.empty(self.targets.shape)

    def read(self, answers: NDArray[np.float32], rows: NDArray[np.int64]) -> Answers:
        return _finite(answers)

    def draw(self, source: random.SystemRandom) -> Audit:
        return draw_rows(self.inputs, source)

    def read_again(self, answers: NDArray[np.float32], audit: Audit, part: slice) -> Answers:
        return _finite(answers)

    def judge(self, claimed: Answers, audited: Answers, audit: Audit, tolerance: float) -> float:
        deviation = self.targets.std(axis=0)
        scale, targets = np.where(deviation > 0, deviation, 1.0), self.targets[audit.rows]
        first, second = claimed[audit.rows], audited
        worse = (np.abs(second - targets) - np.abs(first - targets)) / scale
        return agree((first - second) / scale, worse, tolerance=tolerance, unit=self.gap_unit)

    def metric(self, claimed: Answers) -> float:
        return float(np.sqrt(np.mean((claimed - self.targets) ** 2)))

    def cheat_gain(self) -> float:
        return 0.0  # a few far outliers may make most of a mean square, so it does not grow with the share cheated on

    def hidden_gain(self, tolerance: float) -> float:
        return MEAN_SHARE * tolerance * float(self.targets.std(axis=0).max())


@dataclass(frozen=True, slots=True)
class Classification:
    """`inputs` float32 [N, ...] and `targets` int64 [N], of `classes`. The metric is the accuracy, from 0 to 1.

    Scores are read as logits. A row is right when its class leads by more than the audit could miss: otherwise scores
    that are all but equal would hide from it which class was chosen.
    """

    inputs: NDArray[np.float32]
    targets: NDArray[np.int64]
    classes: int

    @classmethod
    def load(cls, folder: Path, *, outputs: int) -> Self:
        """Raises OSError or ValueError."""
        inputs, targets = _loaded(folder)
        known = targets.shape == (len(inputs),) and outputs > 1 and np.isin(targets, range(outputs)).all()
        if not known:
            raise ValueError("targets.npy must be classes [N] from 0 to K - 1, K being meta.json's outputs")
        return cls(inputs, targets.astype(np.int64), outputs)

    @property
    def answer(self) -> tuple[int, ...]:
        return (self.classes,)

    @property
    def measure(self) -> str:
        return "accuracy"

    @property
    def higher_is_better(self) -> bool:
        return True

    @property
    def gap_unit(self) -> str:
        return "nats"

    @property
    def tolerance_cap(self) -> float:
        return AUDIT_TOLERANCE  # the lead that counts is made of it

    def random_inputs(self, count: int) -> NDArray[np.float32]:
        return np.random.default_rng().standard_normal((count, *self.inputs.shape[1:]), dtype=np.float32)

    def blank(self) -> Answers:
        return np.empty((len(self.targets), self.classes))

    def read(self, answers: NDArray[np.float32], rows: NDArray[np.int64]) -> Answers:
        return _log_softmax(_finite(answers))

    def draw(self, source: random.SystemRandom) -> Audit:
        return draw_rows(self.inputs, source)

    def read_again(self, answers: NDArray[np.float32], audit: Audit, part: slice) -> Answers:
        return _log_softmax(_finite(answers))

    def judge(self, claimed: Answers, audited: Answers, audit: Audit, tolerance: float) -> float:
        gap = claimed[audit.rows] - audited
        worse = np.take_along_axis(gap, self.targets[audit.rows][:, None], axis=-1)
        return agree(gap, worse, tolerance=tolerance, unit=self.gap_unit)

    def metric(self, claimed: Answers) -> float:
        rows = np.arange(len(claimed))
        others = claimed.copy()
        others[rows, self.targets] = -np.inf
        return float(np.mean(claimed[rows, self.targets] > others.max(axis=-1) + LEAD_NATS))

    def cheat_gain(self) -> float:
        return 1.0  # every row right instead of wrong

    def hidden_gain(self, tolerance: float) -> float:
        return 0.0  # no class that counts leads by so little


def _loaded(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
    inputs, targets = (np.load(folder / name, allow_pickle=False) for name in ("inputs.npy", "targets.npy"))
    if inputs.ndim < 2 or not inputs.size or not np.issubdtype(inputs.dtype, np.floating):
        raise ValueError("inputs.npy must be floats [N, ...] with at least two dimensions")
    return inputs.astype(np.float32), targets


def _finite(answers: NDArray[np.float32]) -> Answers:
    if not np.isfinite(answers).all():
        raise RejectedError("the model's outputs are not finite")
    return answers.astype(np.float64)


def _log_softmax(scores: Answers) -> Answers:
    shifted = scores - scores.max(axis=-1, keepdims=True)
    result: Answers = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def draw_rows(inputs: NDArray[np.float32], source: random.SystemRandom, count: int = AUDIT_POSITIONS) -> Audit:
    """`count` rows from OS entropy, in an order of their own: most are asked beside others than the first time."""
    rows = np.array(source.sample(range(len(inputs)), min(count, len(inputs))), dtype=np.int64)
    return Audit(rows, np.zeros_like(rows), inputs[rows])


def agree(gap: Answers, worse: Answers, *, tolerance: float, unit: str) -> float:
    """The largest difference; `worse` is how much the second answers were. Raises RejectedError."""
    largest = float(np.abs(gap).max())
    if largest > tolerance:
        raise RejectedError(
            f"asked again in other company, the model gave other answers (up to {largest:.3g} {unit} apart): "
            "it looks at other rows, keeps state, or is not deterministic"
        )
    if float(worse.mean()) > MEAN_SHARE * tolerance:
        raise RejectedError("asked again in other company, the model did worse on average")
    return largest
