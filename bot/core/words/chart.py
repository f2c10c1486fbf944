"""The progress chart: the metric over experiments, as SVG for a page and as text for a terminal (see plot.py).

Grey dots are experiments that were closed, coloured ones were merged; the line is main. Pure: points in, text out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bot.core.history import Landing
from bot.core.metric import Direction, Metric, number
from bot.core.text import clipped, counted, line

WIDTH, HEIGHT = 960, 460
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 76, 48
LABEL_CHARACTERS = 36
_LARGEST = 1e12  # what is larger, or not a number, is shown as a crash
_SMALLEST = 1e-12  # a smaller range is none
_ANGLE = 28  # degrees that labels lean, so that neighbours do not collide
_CHARACTER, _LINE = 6.1, 13.0  # size of label text, px


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One experiment; `value` is None when there is nothing to plot, after a crash."""

    value: float | None
    kept: bool
    label: str
    standard_error: float | None = None

    @property
    def shown(self) -> float | None:
        """The value if it can be drawn."""
        return self.value if self.value is not None and abs(self.value) < _LARGEST else None

    @property
    def error(self) -> float:
        """The standard error if it can be drawn, else 0."""
        return self.standard_error if self.standard_error is not None and 0 < self.standard_error < _LARGEST else 0.0


def from_landings(landings: Sequence[Landing]) -> list[Point]:
    """The points that git alone knows: the merges, oldest first."""
    points = [Point(value=x.after, kept=True, label=x.title, standard_error=x.standard_error) for x in landings]
    return [Point(value=landings[0].before, kept=True, label="baseline"), *points] if landings else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The range of values that is shown; what lies outside is drawn at the edge."""

    low: float
    high: float

    def share(self, value: float) -> float:
        """0 at `low`, 1 at `high`, clamped."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def ticks(self, most: int) -> list[float]:
        """Round values within the frame: multiples of 1, 2 or 5 times a power of ten."""
        rough = (self.high - self.low) / max(1, most)
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
        first = math.ceil(self.low / step)
        return [i * step for i in range(first, first + most + 2) if i * step <= self.high]

    def decimals(self) -> int:
        return min(8, max(0, 2 - math.floor(math.log10(self.high - self.low))))


def frame(points: Sequence[Point], metric: Metric) -> Frame | None:
    """Every merged value with its error, and half as much again for losers; None when nothing can be drawn.

    Losers far off would squeeze the gains into a flat line, and how bad they were is of no interest.
    """
    values = [value for p in points if (value := p.shown) is not None]
    if not values:
        return None
    kept = [(value, p.error) for p in points if p.kept and (value := p.shown) is not None]
    ranges = kept or [(value, 0.0) for value in values]
    low, high = min(value - error for value, error in ranges), max(value + error for value, error in ranges)
    span = max(high - low, 1e-9 * max(abs(low), abs(high)))
    span = span if span > _SMALLEST else 1.0
    better, worse = 0.12 * span, 0.5 * span
    if metric.direction is Direction.LOWER:
        return Frame(low=low - better, high=min(high + worse, max(high, *values) + better))
    return Frame(low=max(low - worse, min(low, *values) - better), high=high + better)


def summary(points: Sequence[Point], metric: Metric) -> str:
    """One sentence: how many were tried and merged, and how far main came."""
    values = [value for p in points if p.kept and (value := p.shown) is not None]
    tried = len(points) - (1 if points and points[0].label == "baseline" else 0)
    merged = len(values) - (1 if points and points[0].label == "baseline" and values else 0)
    crashed = sum(p.shown is None for p in points)
    text = f"{counted(tried, 'experiment')}, {merged} merged" + (f", {crashed} crashed" if crashed else "")
    if len(values) > 1:
        text += f": {line(metric.title, 60)} {number(values[0], 5)} → {number(values[-1], 5)}"
    return text


def svg(points: Sequence[Point], *, metric: Metric) -> str:
    """The chart as a stand-alone SVG of `WIDTH` by `HEIGHT` px that follows the reader's light or dark theme."""
    shown = frame(points, metric)
    title = summary(points, metric)
    parts = [_head(title), f'<text class="title" x="{LEFT}" y="26">{_xml(title)}</text>']
    if shown is None:
        parts.append(f'<text x="{WIDTH / 2:.0f}" y="{HEIGHT / 2:.0f}" text-anchor="middle">Nothing measured yet</text>')
    else:
        parts += [*_axes(shown, len(points), metric), *_marks(points, shown, metric), *_legend(points)]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _head(title: str) -> str:
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">
<title>{_xml(title)}</title>
<style>
svg {{ color: #1f2328; background: #ffffff; font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; }}
text {{ fill: #59636e; }} .title {{ fill: currentColor; font-size: 15px; font-weight: 600; }}
.grid {{ stroke: #d1d9e0; stroke-width: 1; }} .main {{ fill: none; stroke: #1a7f37; stroke-width: 2; }}
.closed {{ fill: #9198a1; fill-opacity: 0.55; }} .merged {{ fill: #1a7f37; stroke: #ffffff; stroke-width: 1.5; }}
.error {{ stroke: #1a7f37; stroke-width: 1.5; stroke-opacity: 0.6; }} .label {{ fill: #1a7f37; font-size: 11px; }}
.crash {{ stroke: #cf222e; stroke-width: 1.5; stroke-opacity: 0.7; }}
@media (prefers-color-scheme: dark) {{
svg {{ color: #f0f6fc; background: #0d1117; }} text {{ fill: #9198a1; }} .title {{ fill: currentColor; }}
.grid {{ stroke: #2a313c; }} .main, .error {{ stroke: #3fb950; }} .label {{ fill: #56d364; }}
.closed {{ fill: #656c76; }} .merged {{ fill: #3fb950; stroke: #0d1117; }} .crash {{ stroke: #f85149; }}
}}
</style>"""


def _xml(text: str) -> str:
    return escape(line(text), {'"': "&quot;"})


def _x(index: int, count: int) -> float:
    return LEFT + 14 + (WIDTH - RIGHT - LEFT - 28) * (index / (count - 1) if count > 1 else 0.5)


def _y(value: float, shown: Frame) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * shown.share(value)


def _axes(shown: Frame, count: int, metric: Metric) -> list[str]:
    ticks = shown.ticks(6)
    decimals = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9)) if len(ticks) > 1 else shown.decimals()
    parts = []
    for tick in ticks:
        y = _y(tick, shown)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number(tick, decimals)}</text>')
    for tick in Frame(low=0, high=max(1, count - 1)).ticks(8):
        if tick != int(tick):
            continue
        index = int(tick)
        x = _x(index, count)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{index}</text>')
    name = f"{metric.title} ({metric.direction.value} is better)"
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text transform="translate(16 {middle:.0f}) rotate(-90)" text-anchor="middle">{_xml(name)}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 10}" text-anchor="middle">experiment</text>')
    return parts


def _marks(points: Sequence[Point], shown: Frame, metric: Metric) -> list[str]:
    closed, merged, path, anchors = [], [], "", []
    count = len(points)
    worst = shown.high if metric.direction is Direction.LOWER else shown.low
    for index, point in enumerate(points):
        x = _x(index, count)
        tip = f"<title>{_xml(f'{index}: {clipped(point.label, 200)}, {number(point.value, 5)}')}</title>"
        value = point.shown
        if value is None:
            y = _y(worst, shown)
            closed.append(f'<path class="crash" d="M{x - 3:.1f} {y - 3:.1f}l6 6m0 -6l-6 6">{tip}</path>')
            continue
        y = _y(value, shown)
        if not point.kept:
            closed.append(f'<circle class="closed" cx="{x:.1f}" cy="{y:.1f}" r="3.5">{tip}</circle>')
            continue
        path += f"H{x:.1f}V{y:.1f}" if path else f"M{x:.1f} {y:.1f}"
        if error := point.error:
            top, bottom = _y(value + error, shown), _y(value - error, shown)
            merged.append(f'<path class="error" d="M{x:.1f} {top:.1f}V{bottom:.1f}"/>')
        merged.append(f'<circle class="merged" cx="{x:.1f}" cy="{y:.1f}" r="5">{tip}</circle>')
        anchors.append((x, y, point))
    line_to_end = [f'<path class="main" d="{path}H{WIDTH - RIGHT}"/>'] if path else []
    return [*closed, *line_to_end, *merged, *_labels(anchors, metric)]


def _labels(anchors: Sequence[tuple[float, float, Point]], metric: Metric) -> list[str]:
    """Labels of the merges, the largest steps first, leaving out those that would lie on another or leave the chart."""
    down = metric.direction is Direction.HIGHER
    angle = math.radians(_ANGLE if down else -_ANGLE)
    cos, sin = math.cos(angle), math.sin(angle)
    steps = [
        (abs((point.shown or 0.0) - (anchors[i - 1][2].shown or 0.0)) if i else math.inf, x, y, point)
        for i, (x, y, point) in enumerate(anchors)
    ]
    parts: list[str] = []
    taken: list[tuple[float, float, float]] = []  # start, end and offset in the leaning coordinates
    for _, x, y, point in sorted(steps, key=lambda step: -step[0]):
        text = clipped(line(point.label), LABEL_CHARACTERS)
        start_x, start_y = x + 6, y + (12 if down else -8)
        length = len(text) * _CHARACTER
        end_x, end_y = start_x + length * cos, start_y + length * sin
        along, offset = start_x * cos + start_y * sin, start_y * cos - start_x * sin
        free = all(abs(offset - o) >= _LINE or along > b + 6 or along + length < a - 6 for a, b, o in taken)
        if text and free and end_x < WIDTH and 56 < end_y < HEIGHT - BOTTOM:
            taken.append((along, along + length, offset))
            turn = f"translate({start_x:.1f} {start_y:.1f}) rotate({_ANGLE if down else -_ANGLE})"
            parts.append(f'<text class="label" transform="{turn}">{_xml(text)}</text>')
    return parts


def _legend(points: Sequence[Point]) -> list[str]:
    entries = [('<circle class="merged" cx="0" cy="-4" r="5"/>', "merged")]
    if any(not p.kept and p.shown is not None for p in points):
        entries.append(('<circle class="closed" cx="0" cy="-4" r="3.5"/>', "closed"))
    if any(p.shown is None for p in points):
        entries.append(('<path class="crash" d="M-3 -7l6 6m0 -6l-6 6"/>', "crashed"))
    entries.append(('<path class="main" d="M-6 -4h12"/>', "main"))
    return [
        f'<g transform="translate({LEFT + 6 + 80 * i} 50)">{mark}<text x="11">{name}</text></g>'
        for i, (mark, name) in enumerate(entries)
    ]
