"""A split of the data that only the runner has: what a model is asked, and what its answers are worth."""

import random
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from runner.arrays import Classification, Regression
from runner.corpus import Corpus, Kind, PrepareError
from runner.score import Audit, Text


class Split(Protocol):
    """Rows to ask a model about. What is kept of its answers to a row has the same form in both workers."""

    @property
    def inputs(self) -> NDArray[Any]:
        """[N, ...], tokens as int64 or anything as float32."""
        ...

    @property
    def answer(self) -> tuple[int, ...]:
        """The shape of the answer to one row: (T, V) logits, or (K,) outputs."""
        ...

    @property
    def measure(self) -> str:
        """What the metric is."""
        ...

    @property
    def higher_is_better(self) -> bool: ...

    @property
    def gap_unit(self) -> str:
        """What differences between two answers are counted in."""
        ...

    @property
    def tolerance_cap(self) -> float:
        """How far two answers of an honest model may lie apart at most, whatever the hardware."""
        ...

    def random_inputs(self, count: int) -> NDArray[Any]:
        """Rows of the same form that say nothing about this split."""
        ...

    def blank(self) -> NDArray[np.float64]:
        """Room for what `read` keeps of all rows."""
        ...

    def read(self, answers: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """What is kept of the answers to `rows`. Raises RejectedError on anything that is not finite."""
        ...

    def draw(self, source: random.SystemRandom) -> Audit:
        """What to ask again, and in other circumstances."""
        ...

    def read_again(self, answers: NDArray[np.float32], audit: Audit, part: slice) -> NDArray[np.float64]:
        """What is kept of the second worker's answers to that part of the audit."""
        ...

    def judge(
        self, claimed: NDArray[np.float64], audited: NDArray[np.float64], audit: Audit, tolerance: float
    ) -> float:
        """The largest difference between both workers. Raises RejectedError when it cannot be an honest model's."""
        ...

    def metric(self, claimed: NDArray[np.float64]) -> float: ...

    def cheat_gain(self) -> float:
        """What a cheat everywhere could gain at most, in the metric's unit; 0 where that is not known."""
        ...

    def hidden_gain(self, tolerance: float) -> float:
        """What a cheat could gain by differences within the tolerance, in the metric's unit."""
        ...


def load(data: Corpus, folder: Path) -> Split:
    """The split in `folder`. Raises PrepareError, one sentence, when prepare.py left something else."""
    try:
        if data.meta.kind is Kind.LANGUAGE:
            return Text.load(folder, vocab_size=data.meta.vocab_size)
        arrays = Regression if data.meta.kind is Kind.REGRESSION else Classification
        return arrays.load(folder, outputs=data.meta.outputs)
    except (OSError, ValueError) as error:
        raise PrepareError(f"what prepare.py left in {folder.name}/ cannot be used: {error}") from None


def require_direction(split: Split, *, higher_is_better: bool) -> None:
    """Raises PrepareError when the contract would merge what is worse."""
    if split.higher_is_better is not higher_is_better:
        right, wrong = ("higher", "lower") if split.higher_is_better else ("lower", "higher")
        raise PrepareError(
            f"this task is scored by {split.measure}, where {right} is better, but the contract says {wrong}: "
            f"set `metric.direction` to `{right}`"
        )
