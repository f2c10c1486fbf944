"""Does what was merged hold, and does the machine? Audits of claimed gains and A/A checks of the noise."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import fdtrc, stdtr

from bot.core.evidence import Noise


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Main against itself: how far its level moved, in s, and how likely chance moves level or spread as far."""

    level_in_s: float
    level_p: float  # two-sided
    spread_p: float  # one-sided: the latest runs scatter more than s


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


def drift(*, earlier: Sequence[float], latest: Sequence[float], known: Noise) -> Drift:
    """A/A check: the same commit on the same hardware class at two times, one run each at least.

    The level is tested with the known noise (a t test with `known.nu` degrees of freedom: a single fresh run can
    tell), the spread of the latest runs by the ratio of variances (F test).
    """
    if not earlier or not latest or known.s <= 0:
        raise ValueError("a drift check needs runs of both times and a noise above zero")
    level = (statistics.fmean(latest) - statistics.fmean(earlier)) / known.s
    t = level / math.sqrt(1 / len(earlier) + 1 / len(latest))
    spread_p = 1.0
    if len(latest) > 1:
        spread_p = float(fdtrc(len(latest) - 1, known.nu, statistics.variance(latest) / known.s**2))
    return Drift(level_in_s=level, level_p=2 * float(stdtr(known.nu, -abs(t))), spread_p=spread_p)
