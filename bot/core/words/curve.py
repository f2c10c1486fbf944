"""The learning curve of an experiment, as a mermaid chart that GitHub draws."""

import math
from collections.abc import Sequence

from bot.core.model import MeasuredRun, Side
from bot.core.verdict.outcome import mean

POINTS = 30
SKIPPED = 0.1  # of the steps: the first drop is so deep that nothing later would be visible

Curve = Sequence[tuple[int, float]]


def curve(runs: Sequence[MeasuredRun]) -> str:
    """Mean claimed training loss over steps, candidate and main; empty when neither claimed a usable curve.

    Both are resampled on the steps that every run reached, because a mermaid line always spans the whole axis.
    """
    curves = {side: [c for r in runs if r.side is side and (c := _usable(r.run.curve))] for side in Side}
    every = [c for group in curves.values() for c in group]
    if not curves[Side.CANDIDATE]:
        return ""
    last = min(c[-1][0] for c in every)
    first = max(int(last * SKIPPED), *(c[0][0] for c in every))
    if last - first < 2:
        return ""
    grid = [first + (last - first) * i / (POINTS - 1) for i in range(POINTS)]
    lines = [_mean(group, grid) for group in (curves[Side.BASELINE], curves[Side.CANDIDATE]) if group]
    low, high = min(map(min, lines)), max(map(max, lines))
    margin = (high - low) * 0.05 or 0.1
    palette = "#8b949e, #2f81f7" if curves[Side.BASELINE] else "#2f81f7"
    legend = "blue: candidate, grey: main" if curves[Side.BASELINE] else "blue: candidate"
    chart = [
        "```mermaid",
        '%%{init: {"themeVariables": {"xyChart": {"plotColorPalette": "' + palette + '"}}}}%%',
        "xychart-beta",
        f'    x-axis "step" {first} --> {last}',
        f'    y-axis "training loss, nats" {low - margin:.4f} --> {high + margin:.4f}',
        *(f"    line [{', '.join(f'{value:.4f}' for value in line)}]" for line in lines),
        "```",
    ]
    summary = f"Learning curve ({legend}), as claimed by the code under test"
    return "\n\n".join([f"<details><summary>{summary}</summary>", "\n".join(chart), "</details>"])


def _usable(points: Curve) -> list[tuple[int, float]]:
    """Finite points of sane size with rising steps; empty when fewer than two are left."""
    kept: list[tuple[int, float]] = []
    for step, loss in points:
        if math.isfinite(loss) and abs(loss) < 1e4 and (not kept or step > kept[-1][0]):
            kept.append((step, loss))
    return kept if len(kept) > 1 else []


def _mean(curves: Sequence[Curve], grid: Sequence[float]) -> list[float]:
    return [mean([_at(points, step) for points in curves]) or 0.0 for step in grid]


def _at(points: Curve, step: float) -> float:
    """Linear interpolation; the end values outside."""
    before = points[0]
    for after in points:
        if after[0] >= step:
            if after[0] == before[0]:
                return after[1]
            share = (step - before[0]) / (after[0] - before[0])
            return before[1] + share * (after[1] - before[1])
        before = after
    return before[1]
