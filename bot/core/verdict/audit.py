"""Does what was merged hold? Claimed gains against fresh runs; what simplifications may cost until the next audit."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter
from scipy.special import stdtr

from bot.core.metric import Metric, number, places
from bot.core.model import Kind, LedgerRow, State
from bot.core.text import neutral
from bot.core.verdict.policy import PolicySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Welch:
    """Difference of two means, its standard error, and the test that the first is not the lower."""

    difference: float
    standard_error: float
    t: float
    df: float
    p: float  # one-sided: small when the first is lower


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What main gained since an earlier main, measured afresh, beside what its merges claimed. Positive is better."""

    gain: float
    standard_error: float
    claimed: float
    ratio: float | None  # realised / claimed; None when nothing was claimed


def welch(first: Sequence[float], second: Sequence[float]) -> Welch:
    """Welch's unequal variances t test of first - second (Biometrika 34, 1947). Two runs a side at least."""
    if min(len(first), len(second)) < 2:
        raise ValueError("a Welch test needs at least two runs on each side")
    parts = [statistics.variance(values) / len(values) for values in (first, second)]
    difference = statistics.fmean(first) - statistics.fmean(second)
    if not sum(parts):
        raise ValueError("a Welch test needs runs that differ: these have no noise at all")
    standard_error = math.sqrt(sum(parts))
    t = difference / standard_error
    df = sum(parts) ** 2 / sum(part**2 / (len(values) - 1) for part, values in zip(parts, (first, second), strict=True))
    return Welch(difference=difference, standard_error=standard_error, t=t, df=df, p=float(stdtr(df, t)))


def audit(*, before: Sequence[float], now: Sequence[float], claimed: float) -> Audit:
    """Realised / claimed gain from fresh runs of an earlier main and of main, lower better.

    `claimed` is the sum of the gains reported by the merges between, from their confirmation runs.
    """
    test = welch(before, now)
    return Audit(
        gain=test.difference,
        standard_error=test.standard_error,
        claimed=claimed,
        ratio=test.difference / claimed if claimed else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """An audit to make: the merges between two commits of main, and the gain they claimed together."""

    before_sha: str
    now_sha: str
    merges: int
    claimed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A finished audit as it is published; `failed` says why there is no result."""

    repository: str
    due: Due
    audit: Audit | None
    runs_before: tuple[float, ...]
    runs_now: tuple[float, ...]
    failed: str = ""
    ended_utc: str = ""


def merged(rows: Sequence[LedgerRow]) -> list[LedgerRow]:
    """The merges among `rows`, oldest first as these are."""
    return [row for row in rows if row.state is State.MERGED and row.merge_sha]


def due(rows: Sequence[LedgerRow], *, merge_sha: str, every: int) -> Due | None:
    """The audit that this merge is the occasion of, if it is an `every`-th one; rows are the ledger's, oldest first."""
    merges = merged(rows)
    position = next((index for index, row in enumerate(merges, 1) if row.merge_sha == merge_sha), 0)
    if not position or position % every:
        return None
    latest = merges[position - every : position]
    return Due(
        before_sha=latest[0].base_sha,
        now_sha=merge_sha,
        merges=every,
        claimed=math.fsum(row.gain or 0.0 for row in latest),
    )


def allowance(rows: Sequence[LedgerRow], settings: PolicySettings) -> float:
    """How many s simplifications may still cost until the next audit."""
    merges = merged(rows)
    since = merges[len(merges) // settings.audit_every * settings.audit_every :]
    spent = math.fsum(row.shift_in_s for row in since if row.kind is Kind.SIMPLIFY)
    return max(0.0, settings.simplify_allowance - spent)


def sentence(report: Report, metric: Metric) -> str:
    """One paragraph of Markdown."""
    merges = f"{report.due.merges} merges" if report.due.merges > 1 else "merge"
    title = f"**Audit of the last {merges}:**"
    found = report.audit
    if found is None:
        return f"{title} no result, because {neutral(report.failed, 300)}."
    decimals, unit = places(found.standard_error), f" {neutral(metric.suffix, 40)}" if metric.suffix else ""
    gain = f"{number(found.gain, decimals, signed=True)} ± {number(found.standard_error, decimals)}{unit}"
    runs = f"{len(report.runs_before)} and {len(report.runs_now)} fresh runs"
    if found.ratio is None:
        return f"{title} main gained {gain} since then, by {runs}; no gain had been claimed."
    error = abs(found.standard_error / found.claimed)
    return (
        f"{title} main gained {gain} since then, by {runs}. Claimed was "
        f"{number(found.claimed, decimals, signed=True)}, so {found.ratio:.0%} ± {error:.0%} of it was realised."
    )


def report_json(report: Report) -> str:
    """A report as the ledger keeps it."""
    return _REPORT.dump_json(report, indent=2).decode() + "\n"


_REPORT = TypeAdapter(Report)
