"""Evidence in numbers: contrasts of candidate and main, their noise, and the e-value that weighs them.

Values are lower-is-better throughout. Sums are `math.fsum`, so that the order of runs cannot change a digit.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from scipy.special import stdtr, stdtrit

from bot.core.model import Estimate, Observation, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Standard deviation `s` between runs of identical code, in the metric's units, and its degrees of freedom."""

    s: float
    nu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Candidate mean - main mean with variance `v0 * sigma^2`, and what the runs say about sigma.

    `v0` is infinite where a side has no runs: such a fit tells of the noise only.
    """

    difference: float
    v0: float
    sum_of_squares: float
    nu: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """Correlation `r` of same-seed runs, `nu` the degrees of freedom of its covariance (pairs - versions of main)."""

    r: float
    nu: int


def evalue(*, difference: float, v0: float, s: float, nu: float, g: float = 1.0, shift: float = 0.0) -> float:
    """Bayes factor of "the true difference is below `shift`" against "it is `shift`", the best case of no better.

    Under the alternative the effect in units of the noise is half-normal with variance `g` on the better side; sigma
    has the scale prior 1/sigma in both. This is the one-sided form of the two-sample Bayes factor of Gonen, Johnson,
    Lu and Westfall (The American Statistician 59, 2005). `difference`, `s` and `shift` are in the metric's units,
    `v0` is the variance of the difference in units of sigma^2. It stays finite at s = 0. Neither it nor 1/E is a
    probability of being wrong.

    Written in q = t / sqrt(nu + t^2), the sine of the angle between data and null: t may then be infinite.
    """
    if not (v0 > 0 and s >= 0 and nu > 0 and g > 0):
        raise ValueError("an e-value needs v0, nu and g above zero and s not below zero")
    effect = shift - difference
    q = effect / math.hypot(s * math.sqrt(nu * v0), effect) if effect else 0.0
    r = g / (g + v0)
    shrunk = 1 - r * q * q
    z = math.sqrt(r * (nu + 1) / shrunk) * q
    exponent = 0.5 * (math.log1p(-r) - (nu + 1) * math.log(shrunk))
    return 2 * float(stdtr(nu + 1, z)) * math.exp(min(exponent, 700.0))  # above e^700 a float would overflow


def interval(*, difference: float, standard_error: float, nu: float, share: float = 0.95) -> tuple[float, float]:
    """Where the true difference lies with confidence `share`, by Student's t with `nu` degrees of freedom."""
    margin = float(stdtrit(nu, (1 + share) / 2)) * standard_error
    return difference - margin, difference + margin


def mixed(*, candidate: Sequence[tuple[str, float]], baseline: Sequence[tuple[str, float]], omega: float = 0.0) -> Fit:
    """Generalised least squares for two means of (slot, value) runs, with a random offset per slot.

    V = I + omega Z Z' in units of sigma^2, `omega` = variance of the slots' offsets / variance of a run; omega 0
    is the ordinary unpaired contrast. Each slot's block of V is inverted by Sherman and Morrison's formula:
    I - w 1 1' with w = omega / (1 + omega m) for a slot with m runs.
    """
    if not candidate and not baseline:
        return Fit(difference=0.0, v0=math.inf, sum_of_squares=0.0, nu=0)
    # Runs differ in the fourth digit: without the common part the sums below keep all of theirs.
    common = min(value for _, value in (*candidate, *baseline))
    slots: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for side, runs in enumerate((candidate, baseline)):
        for slot, value in runs:
            slots[slot][side].append(value - common)
    blocks = [(omega / (1 + omega * (len(c) + len(b))), c, b) for c, b in slots.values()]

    a_cc = len(candidate) - math.fsum(w * len(c) ** 2 for w, c, _ in blocks)
    a_bb = len(baseline) - math.fsum(w * len(b) ** 2 for w, _, b in blocks)
    a_cb = -math.fsum(w * len(c) * len(b) for w, c, b in blocks)
    h_c = math.fsum(math.fsum(c) - w * len(c) * math.fsum((*c, *b)) for w, c, b in blocks)
    h_b = math.fsum(math.fsum(b) - w * len(b) * math.fsum((*c, *b)) for w, c, b in blocks)
    if candidate and baseline:
        determinant = a_cc * a_bb - a_cb * a_cb
        mean_c = (a_bb * h_c - a_cb * h_b) / determinant
        mean_b = (a_cc * h_b - a_cb * h_c) / determinant
        difference, v0 = mean_c - mean_b, (a_cc + a_bb + 2 * a_cb) / determinant
    else:
        mean_c = mean_b = h_c / a_cc if candidate else h_b / a_bb
        difference, v0 = 0.0, math.inf
    residuals = [(w, [x - mean_c for x in c] + [x - mean_b for x in b]) for w, c, b in blocks]
    sum_of_squares = math.fsum(math.fsum(e * e for e in es) - w * math.fsum(es) ** 2 for w, es in residuals)
    nu = len(candidate) + len(baseline) - (1 if math.isinf(v0) else 2)
    return Fit(difference=difference, v0=v0, sum_of_squares=max(0.0, sum_of_squares), nu=nu)


def paired(differences: Sequence[float]) -> Fit:
    """The mean of same-seed differences, candidate - main; sigma is here the deviation of one difference."""
    if not differences:
        return Fit(difference=0.0, v0=math.inf, sum_of_squares=0.0, nu=0)
    mean = math.fsum(differences) / len(differences)
    sum_of_squares = math.fsum((d - mean) ** 2 for d in differences)
    return Fit(difference=mean, v0=1 / len(differences), sum_of_squares=sum_of_squares, nu=len(differences) - 1)


def combine(fits: Iterable[Fit]) -> Fit:
    """Fits against several versions of main as one: differences by inverse variance, noise by degrees of freedom."""
    fits = list(fits)
    weight = math.fsum(1 / fit.v0 for fit in fits)
    return Fit(
        difference=math.fsum(fit.difference / fit.v0 for fit in fits) / weight if weight else 0.0,
        v0=1 / weight if weight else math.inf,
        sum_of_squares=math.fsum(fit.sum_of_squares for fit in fits),
        nu=sum(fit.nu for fit in fits),
    )


def noise(fit: Fit, prior: Noise | None = None) -> Noise | None:
    """Standard deviation from the fit's residuals and, if given, from other groups of identical code."""
    nu = fit.nu + (prior.nu if prior else 0)
    if nu < 1:
        return None
    sum_of_squares = fit.sum_of_squares + (prior.nu * prior.s**2 if prior else 0.0)
    return Noise(s=math.sqrt(sum_of_squares / nu), nu=nu)


def within_code(groups: Iterable[Sequence[float]]) -> Noise | None:
    """Noise from groups of values, each of identical code on one hardware class; None below two runs of one code."""
    return noise(combine(mixed(candidate=(), baseline=[("", value) for value in group]) for group in groups))


def distinct(observations: Iterable[Observation]) -> list[Observation]:
    """One observation per version of main and seed, the mean where a seed was run again.

    Where runs are repeatable a second run of a seed is the same number, not a second sample.
    """
    same: dict[tuple[str, int], list[Observation]] = defaultdict(list)
    for observation in observations:
        same[observation.base_sha, observation.seed].append(observation)
    return [
        replace(
            runs[0],
            value=math.fsum(run.value for run in runs) / len(runs),
            stage=Stage.SCREEN if any(run.stage is Stage.SCREEN for run in runs) else runs[0].stage,
        )
        if len(runs) > 1
        else runs[0]
        for runs in same.values()
    ]


def by_base(observations: Iterable[Observation]) -> dict[str, list[Observation]]:
    """Observations by the version of main they are compared with."""
    groups: dict[str, list[Observation]] = defaultdict(list)
    for observation in observations:
        groups[observation.base_sha].append(observation)
    return dict(groups)


def pairs(candidate: Iterable[Observation], baseline: Iterable[Observation]) -> list[tuple[Observation, Observation]]:
    """Candidate and main runs of the same seed against the same version of main."""
    partners: Mapping[tuple[str, int], Observation] = {(run.base_sha, run.seed): run for run in distinct(baseline)}
    return [
        (run, partners[run.base_sha, run.seed]) for run in distinct(candidate) if (run.base_sha, run.seed) in partners
    ]


def correlation(matched: Sequence[tuple[Observation, Observation]]) -> Correlation | None:
    """Correlation of same-seed runs, each version of main about its own means; None below three pairs."""
    groups: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for run, partner in matched:
        groups[run.base_sha].append((run.value, partner.value))
    nu = len(matched) - len(groups)
    if nu < 2:
        return None
    products: list[tuple[float, float, float]] = []
    for group in groups.values():
        mean_c = math.fsum(c for c, _ in group) / len(group)
        mean_b = math.fsum(b for _, b in group) / len(group)
        products += [((c - mean_c) ** 2, (b - mean_b) ** 2, (c - mean_c) * (b - mean_b)) for c, b in group]
    cc, bb, cb = (math.fsum(column) for column in zip(*products, strict=True))
    if cc <= 0 or bb <= 0:
        return None
    return Correlation(r=max(-1.0, min(1.0, cb / math.sqrt(cc * bb))), nu=nu)


def weigh(
    *,
    candidate: Sequence[Observation],
    baseline: Sequence[Observation],
    today_sha: str,
    in_pairs: bool,
    omega: float,
    g: float,
    shift_in_s: float,
    prior: Noise | None,
) -> tuple[Estimate, float] | None:
    """The estimate, and the e-value of the runs against today's main alone (0 without any).

    None when nothing can be estimated yet: no run on one side, or no degree of freedom for the noise. `shift_in_s`
    is the allowed loss in units of s; `omega` as in `mixed`; `prior` adds to the noise of single runs, so not in pairs.
    """
    matched = pairs(candidate, baseline)
    if in_pairs:
        candidate, baseline, prior = [run for run, _ in matched], [run for _, run in matched], None
    candidates, baselines = by_base(candidate), by_base(baseline)

    def fit(runs: Sequence[Observation], base_sha: str) -> Fit:
        of_main = baselines.get(base_sha, [])
        if in_pairs:
            return paired([run.value - partner.value for run, partner in pairs(runs, of_main)])
        return mixed(
            candidate=[(run.slot, run.value) for run in runs],
            baseline=[(run.slot, run.value) for run in of_main],
            omega=omega,
        )

    fits = {sha: fit(candidates.get(sha, []), sha) for sha in sorted({*candidates, *baselines})}
    total = combine(fits.values())
    sigma = noise(total, prior)
    if sigma is None or math.isinf(total.v0):
        return None
    today = fits.get(today_sha, combine(()))
    confirmed = [run for run in candidates.get(today_sha, []) if run.stage is Stage.CONFIRM]
    confirm = fit(confirmed, today_sha)
    shift = shift_in_s * sigma.s
    total_e, today_e = (
        0.0
        if math.isinf(part.v0)
        else evalue(difference=part.difference, v0=part.v0, s=sigma.s, nu=sigma.nu, g=g, shift=shift)
        for part in (total, today)
    )
    known = correlation(matched)
    estimate = Estimate(
        form="paired" if in_pairs else "mixed" if omega else "unpaired",
        difference=total.difference,
        standard_error=sigma.s * math.sqrt(total.v0),
        v0=total.v0,
        s=sigma.s,
        nu=sigma.nu,
        evalue=total_e,
        shift=shift,
        n=len(candidate),
        n_confirm=len(confirmed),
        n_baseline=sum(len(runs) for sha, runs in baselines.items() if sha in candidates),
        correlation=known.r if known else None,
        confirm_difference=None if math.isinf(confirm.v0) else confirm.difference,
        confirm_standard_error=None if math.isinf(confirm.v0) else sigma.s * math.sqrt(confirm.v0),
    )
    return estimate, today_e
