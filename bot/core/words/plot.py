"""The progress chart in a terminal: plain characters, so that it survives a pipe, a log and `less`."""

from collections.abc import Sequence
from itertools import pairwise

from bot.core.metric import Direction, Metric, number
from bot.core.words.chart import Frame, Point, frame, summary

CLOSED, MERGED, CRASHED = "·", "●", "×"
_MOST_TICKS = 5


def plot(points: Sequence[Point], *, metric: Metric, width: int = 80, height: int = 16) -> str:
    """Lines of at most `width` characters; `height` of them are the drawing. Newline at the end.

    Where experiments share a column, a merge hides a closed one.
    """
    width, height = max(width, 30), max(height, 4)
    shown = frame(points, metric)
    if shown is None:
        return f"{summary(points, metric)[:width]}\n"
    decimals = shown.decimals()
    margin = max(len(number(value, decimals)) for value in (shown.low, shown.high))
    columns = width - margin - 2
    grid = [[" "] * columns for _ in range(height)]
    _draw(grid, points, shown, metric)
    ticks = {_row(tick, shown, height): tick for tick in shown.ticks(min(_MOST_TICKS, height // 2))}
    lines = [summary(points, metric)[:width]]
    for index, cells in enumerate(grid):
        name = number(ticks[index], decimals) if index in ticks else ""
        lines.append(f"{name:>{margin}} {'┤' if index in ticks else '│'}{''.join(cells)}".rstrip())
    lines.append(f"{'':>{margin}} └{'─' * columns}")
    last = str(len(points) - 1)
    lines.append(f"{'':>{margin}}  0{last:>{columns - 1}}")
    lines.append(f"{'':>{margin}}  {MERGED} merged  {CLOSED} closed  {CRASHED} crashed  ─ main"[:width])
    return "\n".join(lines) + "\n"


def _row(value: float, shown: Frame, height: int) -> int:
    return round((1 - shown.share(value)) * (height - 1))


def _draw(grid: list[list[str]], points: Sequence[Point], shown: Frame, metric: Metric) -> None:
    """Main's line first, the closed ones over it, the merges on top."""
    height, columns = len(grid), len(grid[0])
    worst = 0 if metric.direction is Direction.LOWER else height - 1
    merges: list[tuple[int, int]] = []
    others: list[tuple[int, int, str]] = []
    for index, point in enumerate(points):
        x = round(index * (columns - 1) / max(1, len(points) - 1))
        value = point.shown
        if value is None:
            others.append((x, worst, CRASHED))
        elif point.kept:
            merges.append((x, _row(value, shown, height)))
        else:
            others.append((x, _row(value, shown, height), CLOSED))
    if merges:
        _draw_main(grid, [*merges, (columns - 1, merges[-1][1])])
    for x, y, mark in [*others, *((x, y, MERGED) for x, y in merges)]:
        grid[y][x] = mark


def _draw_main(grid: list[list[str]], corners: Sequence[tuple[int, int]]) -> None:
    """A step line: along the row of each corner to the column of the next."""
    for (x, y), (next_x, next_y) in pairwise(corners):
        grid[y][x:next_x] = "─" * (next_x - x)
        if next_y == y:
            grid[y][next_x] = "─"
            continue
        for row in range(min(y, next_y) + 1, max(y, next_y)):
            grid[row][next_x] = "│"
        grid[y][next_x] = "┐" if next_y > y else "┘"
