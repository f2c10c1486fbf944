"""What the dashboard shows, made from experiments as last noted: pure, newest first in, newest first out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.core.metric import Metric, number, places
from bot.core.model import Experiment, Side, State
from bot.core.record import row
from bot.core.text import counted, duration, line
from bot.core.verdict.outcome import outcome
from bot.core.words import chart
from runner.protocol import Phase, Progress, Request

MOST_ENDED = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRun:
    """A run under way, as a line: what it is, how far, and how long still."""

    what: str
    phase: str
    done: float  # of the phase, 0 to 1
    left: str  # empty: not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One experiment in words. `figures` are empty before anything was measured."""

    repository: str
    pull_number: int | None
    title: str
    state: str
    proposer: str
    figures: str
    reason: str
    when: str
    spent: str
    runs: tuple[LiveRun, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The last 24 hours."""

    ended: int
    merged: int
    usd: float
    slot_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A run that the engine works on."""

    request: Request
    progress: Progress | None


def under_way(shown: Sequence[Experiment], live: Sequence[Live], *, now: datetime) -> list[Card]:
    """What is not over, each with its runs; a run of main is shown with the first that compares itself with it."""
    left = list(live)
    cards = []
    for x in shown:
        if x.state.ended:
            continue
        heads = {x.head_sha: "this change", x.base_sha: "main"}
        mine = [one for one in left if one.request.source.head_sha in heads]
        left = [one for one in left if one not in mine]
        runs = tuple(_run(one, heads[one.request.source.head_sha]) for one in mine)
        cards.append(_card(x, when=f"for {_ago(x.started_utc, now)}", runs=runs))
    return cards


def ended(shown: Sequence[Experiment], *, now: datetime) -> list[Card]:
    """Newest first, before them those whose end could not be said on the forge yet: nobody sees them anywhere else."""
    over = sorted((x for x in shown if x.state.ended), key=lambda x: (not x.ended_utc, x.ended_utc), reverse=True)
    return [
        _card(x, when=f"{_ago(x.ended_utc, now)} ago" if x.ended_utc else "not said on the forge yet")
        for x in over[:MOST_ENDED]
    ]


def last_day(shown: Sequence[Experiment], *, now: datetime) -> Day:
    recent = [x for x in shown if _age(x.ended_utc or x.started_utc, now) < timedelta(days=1)]
    over = [x for x in recent if x.state.ended]
    return Day(
        ended=len(over),
        merged=sum(x.state is State.MERGED for x in over),
        usd=sum(x.model_use.cost_usd for x in recent if x.model_use is not None),
        slot_s=sum(x.gpu_s for x in recent),
    )


def charts(shown: Sequence[Experiment]) -> list[tuple[str, str, str]]:
    """(repository, the chart in a sentence, the chart as SVG) of each repository in which something was measured, by
    the metric of its newest experiment."""
    found = []
    for repository in sorted({x.repository for x in shown}):
        ended = [x for x in reversed(shown) if x.repository == repository and x.state.ended and x.metric]
        metric = ended[-1].metric if ended else None
        if metric is None:
            continue
        points = _points([x for x in ended if x.metric == metric], metric)
        if any(point.shown is not None for point in points):
            found.append((repository, chart.summary(points, metric), chart.svg(points, metric=metric)))
    return found


def _points(oldest_first: Sequence[Experiment], metric: Metric) -> list[chart.Point]:
    rows = [row(x, metric=metric) for x in oldest_first if x.state is not State.ABANDONED]
    points = [
        chart.Point(
            value=one.metric_after,
            kept=one.state is State.MERGED,
            label=one.title,
            standard_error=one.standard_error,
        )
        for one in rows
    ]
    before = next((one.metric_before for one in rows if one.metric_before is not None), None)
    start = [] if before is None else [chart.Point(value=before, kept=True, label="baseline")]
    return [*start, *points]


def _card(x: Experiment, *, when: str, runs: tuple[LiveRun, ...] = ()) -> Card:
    return Card(
        repository=x.repository,
        pull_number=x.pull_number,
        title=x.proposal.title if x.proposal else "being drafted" if not x.state.ended else "no proposal",
        state="on hold" if x.held and not x.state.ended else x.state.value,
        proposer=x.proposal.proposed_by if x.proposal else "",
        figures=_figures(x),
        reason=line(x.reason or (x.decision.reason if x.decision else ""), 300),
        when=when,
        spent=duration(x.gpu_s) if x.gpu_s else "",
        runs=runs,
    )


def _figures(x: Experiment) -> str:
    estimate = x.decision.estimate if x.decision else None
    if estimate is None or x.metric is None:
        return ""
    found = outcome(x.runs, estimate=estimate, base_sha=x.base_sha, metric=x.metric)
    digits = places(found.standard_error)
    gain = f"{number(found.gain, digits, signed=True)} ± {number(found.standard_error, digits)}"
    unit = f" {x.metric.suffix}" if x.metric.suffix else ""
    runs = len({measured.run.run_id for measured in x.runs if measured.side is Side.CANDIDATE})
    return f"gain {gain}{unit}, E = {estimate.evalue:.3g}, {counted(runs, 'run')}"


def _run(live: Live, side: str) -> LiveRun:
    seen = live.progress or Progress(phase=Phase.BUILD)
    left = f"{duration(seen.eta_s)} left" if seen.eta_s is not None else ""
    return LiveRun(what=f"{side}, seed {live.request.seed}", phase=seen.phase.value, done=seen.fraction, left=left)


def _age(when_utc: str, now: datetime) -> timedelta:
    return now - datetime.fromisoformat(when_utc) if when_utc else timedelta()


def _ago(when_utc: str, now: datetime) -> str:
    return duration(_age(when_utc, now).total_seconds())
