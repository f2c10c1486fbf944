"""The figures of an experiment that reports, merge messages and the ledger share: means, gain, throughput."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bot.core.metric import Metric, sign
from bot.core.model import Estimate, MeasuredRun, Side, Stage
from runner.protocol import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is reported: `gain` is positive when better; `before` and `after` are values of the metric.

    From confirmation runs where there are any (`confirmed`), because the others were selected for being lucky.
    """

    before: float | None
    after: float | None
    gain: float | None
    standard_error: float | None
    confirmed: bool


def scored(runs: Sequence[MeasuredRun], side: Side) -> list[MeasuredRun]:
    """The runs of one side that have a metric that counts."""
    return [r for r in runs if r.side is side and r.run.status is Status.OK and r.run.metric is not None]


def mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def outcome(runs: Sequence[MeasuredRun], *, estimate: Estimate | None, base_sha: str, metric: Metric) -> Outcome:
    """The figures of an experiment whose newest base is `base_sha`.

    With an estimate `before` is `after` plus the gain, so that the three always agree: that is exactly main's mean
    in the paired and unpaired forms, and main's mean freed of the offsets between GPUs in the mixed form.
    """
    candidates = scored(runs, Side.CANDIDATE)
    confirmed = estimate is not None and estimate.confirm_difference is not None
    if confirmed:
        confirming = [r for r in candidates if r.stage is Stage.CONFIRM and r.base_sha == base_sha]
        candidates = confirming or candidates
    after = mean([r.run.metric for r in candidates if r.run.metric is not None])
    if estimate is None:
        before = mean([r.run.metric for r in scored(runs, Side.BASELINE) if r.run.metric is not None])
        return Outcome(before=before, after=after, gain=None, standard_error=None, confirmed=False)
    difference, error = (
        (estimate.confirm_difference, estimate.confirm_standard_error)
        if confirmed
        else (estimate.difference, estimate.standard_error)
    )
    gain = -difference if difference is not None else None
    before = after + sign(metric) * gain if after is not None and gain is not None else None
    return Outcome(before=before, after=after, gain=gain, standard_error=error, confirmed=confirmed)


def throughput(runs: Sequence[MeasuredRun], side: Side) -> float | None:
    """Mean training steps per second of one side's scored runs."""
    return mean([r.run.steps / r.run.train_s for r in scored(runs, side) if r.run.steps > 0 and r.run.train_s > 0])
