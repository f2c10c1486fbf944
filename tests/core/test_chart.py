"""The progress chart: well-formed, honest about its range, and untouched by what labels hold."""

import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import pairwise

import pytest
from golden_text import assert_golden
from hypothesis import given
from hypothesis import strategies as st
from report_examples import ATTACK, MERGED, METRIC, VERDICT

from bot.core.history import Commit, landed
from bot.core.metric import Direction
from bot.core.words.chart import Frame, Point, frame, from_landings, summary, svg
from bot.core.words.merge_message import merge_message
from bot.core.words.plot import plot

POINTS = [
    Point(value=2.0203, kept=True, label="baseline"),
    Point(value=2.0310, kept=False, label="a loser far off"),
    Point(value=2.0168, kept=True, label="Decay over the last 70 % of the steps", standard_error=0.0004),
    Point(value=None, kept=False, label="out of memory"),
    Point(value=2.0172, kept=False, label="a near miss"),
    Point(value=2.0121, kept=True, label="Embedding LR x1.5", standard_error=0.0008),
    Point(value=2.0123, kept=True, label="Drop <unused> softcap & co", standard_error=0.0008),
]
UP = replace(METRIC, name="accuracy", direction=Direction.HIGHER)
NAMESPACE = {"svg": "http://www.w3.org/2000/svg"}
point = st.builds(
    Point,
    value=st.none() | st.floats(),
    kept=st.booleans(),
    label=st.text(max_size=50),
    standard_error=st.none() | st.floats(),
)


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # noqa: S314 - written by the code under test


def test_svg() -> None:
    assert_golden(svg(POINTS, metric=METRIC), "progress.svg")


def test_plot() -> None:
    text = plot(POINTS, metric=METRIC, width=72, height=14)
    assert_golden(text, "progress.txt")
    assert max(map(len, text.split("\n"))) <= 72


def test_plot_of_a_metric_that_should_rise() -> None:
    assert_golden(
        plot(
            [Point(value=0.6, kept=True, label="a"), Point(value=0.7, kept=True, label="b")],
            metric=UP,
            width=40,
            height=6,
        ),
        "progress_up.txt",
    )


def test_nothing_measured_yet() -> None:
    assert "Nothing measured yet" in svg([], metric=METRIC)
    assert plot([], metric=METRIC) == "0 experiments, 0 merged\n"


def test_every_experiment_has_one_mark() -> None:
    root = parsed(svg(POINTS, metric=METRIC))
    circles = [circle.get("class") for circle in root.iterfind("svg:circle", NAMESPACE)]
    crosses = [path for path in root.iterfind("svg:path", NAMESPACE) if path.get("class") == "crash"]
    assert (circles.count("merged"), circles.count("closed"), len(crosses)) == (4, 2, 1)


def test_losers_far_off_do_not_squeeze_the_gains() -> None:
    shown = frame([*POINTS, Point(value=9.0, kept=False, label="diverged")], METRIC)
    assert shown is not None
    assert shown.low < 2.0113 < 2.0203 < shown.high < 2.026
    assert shown.share(9.0) == 1.0


def test_summary() -> None:
    assert summary(POINTS, METRIC) == "6 experiments, 3 merged, 1 crashed: val_bpb 2.02030 → 2.01230"
    assert summary(POINTS[1:2], METRIC) == "1 experiment, 0 merged"


@pytest.mark.parametrize("metric", [METRIC, UP])
@given(points=st.lists(point, max_size=12))
def test_any_points_make_a_well_formed_chart(metric: object, points: list[Point]) -> None:
    text = svg(points, metric=metric)  # type: ignore[arg-type]
    parsed(text)
    assert "nan" not in "".join(part for part in text.split("<") if part.startswith(("circle", "path")))


@pytest.mark.parametrize("metric", [METRIC, UP])
@given(points=st.lists(point, max_size=12), width=st.integers(1, 120), height=st.integers(1, 30))
def test_any_points_make_a_plot_within_its_width(metric: object, points: list[Point], width: int, height: int) -> None:
    text = plot(points, metric=metric, width=width, height=height)  # type: ignore[arg-type]
    assert max(map(len, text.split("\n"))) <= max(width, 30)
    assert text.endswith("\n")


@pytest.mark.parametrize("value", [0.0, 2e-313, 1e-11, 999999999999.0, -5.0])
def test_one_value_of_any_size_has_a_frame(value: float) -> None:
    shown = frame([Point(value=value, kept=True, label="")], METRIC)
    assert shown is not None
    assert shown.low < value < shown.high
    assert shown.ticks(5)


def test_labels_are_text_only() -> None:
    hostile = [replace(item, label=ATTACK + "<script>x</script>]]>") for item in POINTS]
    root = parsed(svg(hostile, metric=replace(METRIC, name="<b>")))
    kinds = {element.tag.removeprefix("{http://www.w3.org/2000/svg}") for element in root.iter()}
    assert kinds == {"svg", "title", "style", "text", "path", "circle", "g"}
    assert ATTACK[:20] not in plot(hostile, metric=METRIC)


def test_labels_do_not_lie_on_each_other() -> None:
    crowd = [Point(value=1 - i / 1000, kept=True, label=f"change number {i}") for i in range(100)]
    places = re.findall(r'class="label" transform="translate\((\S+) (\S+)\) rotate\(-28\)">', svg(crowd, metric=METRIC))
    slope = math.radians(28)
    offsets = sorted(float(y) * math.cos(slope) + float(x) * math.sin(slope) for x, y in places)
    assert len(offsets) > 5
    assert min(b - a for a, b in pairwise(offsets)) > 11


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(1, 12))
def test_ticks_are_few_and_inside(low: float, span: float, most: int) -> None:
    shown = Frame(low=low, high=low + span)
    ticks = shown.ticks(most)
    assert len(ticks) <= most + 1
    rounding = span * 1e-6 + abs(low) * 1e-12
    assert all(low - rounding <= tick <= shown.high + rounding for tick in ticks)


def test_points_of_git_log() -> None:
    message = merge_message(MERGED, verdict=VERDICT, metric=METRIC)
    points = from_landings(landed([Commit(sha="x", committed_utc="", message=message)]))
    assert [(item.value, item.kept) for item in points] == [(2.0203, True), (2.01678, True)]
    assert from_landings([]) == []
