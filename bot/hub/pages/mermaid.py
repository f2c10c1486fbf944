"""Line charts from Mermaid's `xychart-beta`, as inline SVG without scripts: title, x-axis, y-axis and line only."""

import html
import math
import re
from dataclasses import dataclass

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_TEXT = r'(?:"(?P<quoted>[^"]*)"|(?P<plain>[^"\[\]]*?))'
_TITLE = re.compile(rf"title\s+{_TEXT}")
_AXIS_LIST = re.compile(rf"(?P<axis>[xy])-axis\s*{_TEXT}\s*\[(?P<labels>.*)\]")
_AXIS_RANGE = re.compile(rf"(?P<axis>[xy])-axis\s*{_TEXT}\s*(?P<low>{_NUMBER})\s*-->\s*(?P<high>{_NUMBER})")
_AXIS_NAME = re.compile(rf"(?P<axis>[xy])-axis\s+{_TEXT}")
_LINE = re.compile(rf"line\s*{_TEXT}\s*\[(?P<values>[^\]]*)\]")

_PALETTE = re.compile(r'"plotColorPalette"\s*:\s*"([#0-9a-fA-F, ]+)"')

_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 36, 48  # margins around the plot
_POINT_LIMIT = 2_000
_ROW_LIMIT, _NAME_LIMIT = 50_000, 300  # characters of a row with and without a list
_DOT_LIMIT = 40  # points of a line up to which each gets a dot
_LABEL_LIMIT = 12  # as many as fit under the axis


@dataclass(slots=True, kw_only=True)
class Chart:
    title: str = ""
    x_name: str = ""
    y_name: str = ""
    x_labels: tuple[str, ...] = ()
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    lines: tuple[tuple[float, ...], ...] = ()
    palette: tuple[str, ...] = ()  # hex colours; empty: the page's own


def parse_xychart(source: str) -> Chart | None:
    """The chart, or None for anything outside the subset, which is then shown as text."""
    rows = [" ".join(row.split()) for row in source.strip().splitlines()]  # long blanks are slow to match
    rows = [row for row in rows if row and not row.startswith("%%")]
    if not rows or re.fullmatch(r"xychart(-beta)?(\s+vertical)?", rows[0]) is None:
        return None
    colours = _PALETTE.search(source)
    named = [colour.strip() for colour in colours[1].split(",")] if colours else []
    chart = Chart(palette=tuple(c for c in named if re.fullmatch("#[0-9a-fA-F]{3,8}", c)))
    if not all(_read_row(chart, row) for row in rows[1:]):
        return None
    points = sum(len(line) for line in chart.lines)
    return chart if 0 < points <= _POINT_LIMIT and all(chart.lines) else None


def _read_row(chart: Chart, row: str) -> bool:
    if len(row) > (_ROW_LIMIT if row.startswith(("line", "x-axis")) and row.endswith("]") else _NAME_LIMIT):
        return False
    if found := _TITLE.fullmatch(row):
        chart.title = _text(found)
    elif found := _LINE.fullmatch(row):
        words = [word.strip() for word in found["values"].split(",")]
        if not all(re.fullmatch(_NUMBER, word) for word in words):
            return False
        values = tuple(float(word) for word in words)
        if not all(math.isfinite(value) for value in values):
            return False
        chart.lines += (values,)
    elif found := _AXIS_RANGE.fullmatch(row):
        low, high = float(found["low"]), float(found["high"])
        if not low < high or not math.isfinite(high - low):
            return False
        _set_axis(chart, found["axis"], _text(found), (low, high))
    elif (found := _AXIS_LIST.fullmatch(row)) and found["axis"] == "x":
        chart.x_name = _text(found)
        labels = re.findall(r'"([^"]*)"|([^,"\s][^,"]*)', found["labels"])
        chart.x_labels = tuple((quoted or plain).strip() for quoted, plain in labels)
    elif found := _AXIS_NAME.fullmatch(row):
        _set_axis(chart, found["axis"], _text(found), None)
    else:
        return False
    return True


def _text(found: re.Match[str]) -> str:
    return (found["quoted"] or found["plain"] or "").strip()


def _set_axis(chart: Chart, axis: str, name: str, span: tuple[float, float] | None) -> None:
    if axis == "x":
        chart.x_name, chart.x_range = name, span
    else:
        chart.y_name, chart.y_range = name, span


def render_svg(chart: Chart) -> str:
    """Colours come from the page's style sheet; every text is escaped."""
    low, high = chart.y_range or _span([value for line in chart.lines for value in line])
    count = max(len(line) for line in chart.lines)

    def x(index: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (index / (count - 1) if count > 1 else 0.5)

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low)

    parts = [f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{html.escape(chart.title)}">']
    for tick in _ticks(low, high):
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.6g}</text>')
    for share, text in _x_labels(chart, count):
        place = f'x="{x(share * (count - 1)):.1f}" y="{_HEIGHT - _BOTTOM + 18}"'
        parts.append(f'<text class="tick" {place} text-anchor="middle">{html.escape(text)}</text>')
    for number, line in enumerate(chart.lines):
        points = [(x(index), y(value)) for index, value in enumerate(line)]
        path = " ".join(f"{left:.1f},{top:.1f}" for left, top in points)
        parts.append(f'<polyline fill="none" {_paint(chart, number, "stroke")} points="{path}"/>')
        if len(line) <= _DOT_LIMIT:
            paint = _paint(chart, number, "fill")
            parts.extend(f'<circle {paint} cx="{left:.1f}" cy="{top:.1f}" r="3"/>' for left, top in points)
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text class="title" x="{middle}" y="20" text-anchor="middle">{html.escape(chart.title)}</text>')
    below = f'x="{middle}" y="{_HEIGHT - 8}"'
    parts.append(f'<text class="axis" {below} text-anchor="middle">{html.escape(chart.x_name)}</text>')
    turned = f'x="14" y="{_HEIGHT / 2}" transform="rotate(-90 14 {_HEIGHT / 2})"'
    parts.append(f'<text class="axis" {turned} text-anchor="middle">{html.escape(chart.y_name)}</text></svg>')
    return "".join(parts)


def _paint(chart: Chart, number: int, attribute: str) -> str:
    if chart.palette:
        return f'{attribute}="{chart.palette[number % len(chart.palette)]}"'
    return f'class="{attribute}{number % 4}"'


def _span(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.1 or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers within the range."""
    rough = (high - low) / 5
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    first = math.ceil(low / step)
    return [index * step for index in range(first, math.floor(high / step) + 1)][:20]


def _x_labels(chart: Chart, count: int) -> list[tuple[float, str]]:
    """(share of the axis, text): the names given, or round numbers within the range."""
    if chart.x_labels:
        step = max(1, math.ceil(min(len(chart.x_labels), count) / _LABEL_LIMIT))
        shown = range(0, min(len(chart.x_labels), count), step)
        return [(index / max(count - 1, 1), chart.x_labels[index]) for index in shown]
    low, high = chart.x_range or (1.0, max(count, 2))
    return [((tick - low) / (high - low), f"{tick:.6g}") for tick in _ticks(low, high)]
