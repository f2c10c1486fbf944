"""The sequential policy: after each batch of runs, what to do with the candidate and why.

How it decides and what it cannot do, for users: docs/policy.md. How often it errs: benchmarks/policy_simulation.md.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, islice
from typing import Literal, TypeVar

from bot.core.model import Action, Decision, Estimate, Kind, Observation, Stage
from bot.core.text import counted
from bot.core.verdict import evidence
from bot.core.verdict.evidence import Correlation, Noise

_ONE_SIDED_95 = 1.645  # standard normal quantile
_T = TypeVar("_T")


def _setting(default: _T, description: str) -> _T:
    """A dataclass field with its description, which the contract's reference and schema repeat."""
    made: _T = field(default=default, metadata={"description": description})
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """Constants of the merge policy. Counts are of candidate runs, or of pairs in the paired form.

    `min_correlation` is 0.5 because pairs then do as well as main measured for ever: the variance of a mean of n
    differences is 2 (1 - rho) sigma^2 / n, against sigma^2 / n for n runs and an exactly known main.
    """

    e_confirm: float = _setting(2.5, "Evidence that starts confirmation.")
    e_merge: float = _setting(10.0, "Evidence that merges.")
    e_today: float = _setting(1.0, "Evidence that merging requires from runs against today's main alone.")
    n_confirm: int = _setting(6, "Confirmation runs against today's main before a merge.")
    n_max: int = _setting(16, "Runs of the candidate at most; leave room to confirm twice, for main may move.")
    futility: float = _setting(0.5, "Give up when the candidate looks less than this many s better.")
    nb0: int = _setting(6, "Unpaired: runs of main to begin with.")
    nb_cap: int = _setting(24, "Unpaired: main gets as many runs as the candidate, up to this many.")
    g: float = _setting(1.0, "Prior variance of an effect, in units of s squared.")
    form: Literal["auto", "paired", "unpaired"] = _setting(
        "auto", "Compare runs of the same seed, or the means of both sides; auto: by their correlation."
    )
    min_correlation: float = _setting(0.5, "Correlation of same-seed runs from which pairs are worth comparing.")
    repeatable: bool = _setting(False, "The same tree and seed give the same number, bit for bit.")
    omega: float = _setting(2.25, "Variance of the slots' offsets / variance of a run, e.g. (0.0006 / 0.0004)^2.")
    batch: int = _setting(1, "Runs asked for at once: the number of free slots.")
    simplify_shift: float = _setting(1.0, "How many s worse a simplification may be.")
    simplify_allowance: float = _setting(2.0, "How many s all simplifications between two audits may cost.")
    audit_every: int = _setting(10, "Merges after which main and main before them are run again, to see what is real.")
    audit_runs: int = _setting(8, "Fresh runs of each of the two in an audit.")

    def __post_init__(self) -> None:
        positive = ("e_confirm", "e_merge", "g", "n_confirm", "batch")
        not_negative = ("e_today", "futility", "omega", "simplify_shift", "simplify_allowance")
        for name in positive + not_negative:
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0 or (value == 0 and name in positive):
                raise ValueError(f"{name} must be {'above' if name in positive else 'at least'} 0, not {value}")
        if self.e_merge < self.e_confirm:
            raise ValueError(f"e_merge ({self.e_merge}) must be at least e_confirm ({self.e_confirm})")
        if self.n_max < self.n_confirm + 2:
            raise ValueError(f"n_max ({self.n_max}) must leave two screening runs beside n_confirm ({self.n_confirm})")
        if self.audit_every < 1 or self.audit_runs < 2:
            name, least = ("audit_every", 1) if self.audit_every < 1 else ("audit_runs", 2)
            raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if self.nb0 < 2:
            raise ValueError(f"nb0 must be at least 2 to show any noise, not {self.nb0}")
        if self.nb_cap < self.nb0:
            raise ValueError(f"nb_cap ({self.nb_cap}) must be at least nb0 ({self.nb0})")
        if self.form not in ("auto", "paired", "unpaired"):
            raise ValueError(f"form must be auto, paired or unpaired, not {self.form!r}")
        if not -1 < self.min_correlation < 1:
            raise ValueError(f"min_correlation must lie between -1 and 1, not {self.min_correlation}")


def decide(
    *,
    candidate: Sequence[Observation],
    baseline: Sequence[Observation],
    today_sha: str,
    confirming: bool,
    kind: Kind,
    settings: PolicySettings,
    prior: Noise | None = None,
    excluded_seeds: Collection[int] = (),
    allowance: float | None = None,
    unit: str = "",
) -> Decision:
    """What to do after a batch of runs.

    `candidate` and `baseline` hold all runs so far that may be compared at all (one hardware class, budget and
    environment), lower better and finite, against this and earlier versions of main; runs of main without any
    candidate run beside them still tell of the noise. `today_sha` is the commit of main that the branch is on and
    the next runs are compared with; while `confirming` the caller keeps the branch on today's main, so when main
    moves, confirmation runs against the old one stop counting as such.

    `prior` is the noise of other groups of identical code (`evidence.within_code`); the paired form leaves it out.
    `excluded_seeds` are never used for main: screening runs of the tree that is main now, lucky by selection.
    `allowance` is what is left for simplifications until the next audit, in s (default: all of it); a merged one
    has spent `estimate.shift / estimate.s`.

    MEASURE names the seeds to run next, at least one for the candidate. CONFIRM: update the branch to today's
    main and ask again with confirming=True. Raises ValueError for a value that is not finite.
    """
    if not all(math.isfinite(run.value) for run in (*candidate, *baseline)):
        raise ValueError("a run without a finite value cannot be weighed: reject the candidate or run main again")
    baseline = [run for run in baseline if run.base_sha != today_sha or run.seed not in excluded_seeds]
    if settings.repeatable:
        candidate, baseline = evidence.distinct(candidate), evidence.distinct(baseline)
    in_pairs = use_pairs(evidence.correlation(evidence.pairs(candidate, baseline)), settings)
    several_slots = len({run.slot for run in (*candidate, *baseline)}) > 1
    left = settings.simplify_allowance if allowance is None else max(0.0, allowance)
    weighed = evidence.weigh(
        candidate=candidate,
        baseline=baseline,
        today_sha=today_sha,
        in_pairs=in_pairs,
        omega=settings.omega if several_slots and not settings.repeatable else 0.0,
        g=settings.g,
        shift_in_s=min(settings.simplify_shift, left) if kind is Kind.SIMPLIFY else 0.0,
        prior=prior,
    )
    estimate, evalue_today = weighed or (None, 0.0)
    say = _Words(kind=kind, unit=unit, settings=settings)
    on_today = [run for run in candidate if run.base_sha == today_sha]
    left_to_run = settings.n_max - len(candidate)
    left_to_confirm = settings.n_confirm
    if confirming:
        left_to_confirm -= sum(run.stage is Stage.CONFIRM for run in on_today)

    if estimate is not None:
        saving = estimate.shift - estimate.difference
        if saving < settings.futility * estimate.s or saving <= 0:  # the latter when no run differs from another
            return Decision(action=Action.REJECT, reason=say.futile(estimate), estimate=estimate)
        proven = estimate.evalue >= settings.e_merge and evalue_today >= settings.e_today
        if confirming and estimate.n_confirm >= settings.n_confirm and proven:
            return Decision(action=Action.MERGE, reason=say.proven(estimate), estimate=estimate)
        if not confirming and estimate.evalue >= settings.e_confirm:
            return Decision(action=Action.CONFIRM, reason=say.promising(estimate), estimate=estimate)
    # Runs that could not change the outcome any more are not started: enough must be left to confirm.
    room = left_to_run - (0 if confirming else settings.n_confirm)
    if room < 1 or left_to_run < left_to_confirm:
        return Decision(action=Action.REJECT, reason=say.exhausted(estimate), estimate=estimate)

    candidate_seeds, baseline_seeds = _next_seeds(
        candidate,
        baseline,
        today_sha=today_sha,
        in_pairs=in_pairs,
        at_least=max(1, 2 - len(on_today)) if in_pairs and estimate is None else 1,
        at_most=min(room, left_to_confirm) if confirming and left_to_confirm > 0 else room,
        excluded_seeds=excluded_seeds,
        settings=settings,
    )
    return Decision(
        action=Action.MEASURE,
        reason=say.undecided(estimate, confirming=confirming),
        estimate=estimate,
        candidate_seeds=candidate_seeds,
        baseline_seeds=baseline_seeds,
    )


def use_pairs(correlation: Correlation | None, settings: PolicySettings) -> bool:
    """Whether same-seed differences are the better evidence.

    Both forms are valid tests at any correlation; what would be invalid is to pick, run by run, the one that looks
    better. A sample correlation of three unrelated pairs passes 0.5 one time in three, and does so just when the
    deviation of the differences came out too small. So "auto" starts from what the hardware promises, pairs where
    runs are repeatable (CPU, fixed work) and separate means elsewhere (GPU), and leaves that only when the one-sided
    95 % bound of the correlation (Fisher's z transform) is on the other side of `min_correlation`.
    """
    if settings.form != "auto":
        return settings.form == "paired"
    if correlation is None or correlation.nu < 3:
        return settings.repeatable
    z = math.atanh(max(-1 + 1e-12, min(1 - 1e-12, correlation.r)))
    margin = _ONE_SIDED_95 / math.sqrt(correlation.nu - 2)
    return z + (margin if settings.repeatable else -margin) >= math.atanh(settings.min_correlation)


def _next_seeds(
    candidate: Sequence[Observation],
    baseline: Sequence[Observation],
    *,
    today_sha: str,
    in_pairs: bool,
    at_least: int,
    at_most: int,
    excluded_seeds: Collection[int],
    settings: PolicySettings,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Seeds for the candidate and for main: as many candidate runs as fill the batch with the runs of main they need.

    Seeds that today's main has and the candidate lacks come first, in both forms: they cost no run of main in the
    paired form and show the correlation in the other. A seed the candidate ever ran is not fresh.
    """
    measured = {run.seed for run in baseline if run.base_sha == today_sha}
    n_baseline = sum(run.base_sha == today_sha for run in baseline)
    used = {run.seed for run in candidate}
    owed = sorted({run.seed for run in candidate if run.base_sha == today_sha} - measured - set(excluded_seeds))
    unseen = 1 + max((*used, *(run.seed for run in baseline), *excluded_seeds), default=-1)
    n_today = sum(run.base_sha == today_sha for run in candidate)

    def plan(more: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        seeds = tuple(islice(chain(sorted(measured - used), count(unseen)), more))
        partners = (*owed, *(seed for seed in seeds if seed not in measured))
        if in_pairs:
            return seeds, partners
        target = max(settings.nb0, min(settings.nb_cap, n_today + more))
        further = count(max((unseen - 1, *seeds)) + 1)
        return seeds, tuple(islice(chain(partners, further), max(0, target - n_baseline)))

    more = min(at_least, at_most)
    while more < at_most and sum(map(len, plan(more + 1))) <= settings.batch:
        more += 1
    return plan(more)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """The reasons, each one sentence. "Better" and "worse" instead of a sign, since the caller may have flipped it."""

    kind: Kind
    unit: str
    settings: PolicySettings

    def futile(self, estimate: Estimate) -> str:
        threshold = abs(estimate.shift - self.settings.futility * estimate.s)
        if self.kind is Kind.SIMPLIFY:
            goal = f"a simplification must look at most {threshold:.2g}{self._unit} worse to go on"
        else:
            goal = f"it must look {threshold:.2g}{self._unit} better to go on"
        return f"not proven {self._claim} after {_runs(estimate)}: {self._amount(estimate)} (futility: {goal})"

    def exhausted(self, estimate: Estimate | None) -> str:
        limit = f"the {self.settings.n_max} runs allowed leave too few to prove it"
        if estimate is None:
            return f"not proven {self._claim}: no estimate yet, and {limit}"
        return (
            f"not proven {self._claim} after {_runs(estimate)}: {self._amount(estimate)}, E = {_evidence(estimate)} "
            f"({self.settings.e_merge:g} needed), and {limit}"
        )

    def promising(self, estimate: Estimate) -> str:
        return f"promising after {_runs(estimate)}: {self._amount(estimate)}, to be confirmed on today's main"

    def proven(self, estimate: Estimate) -> str:
        return (
            f"proven {self._claim} by {_runs(estimate)}, {estimate.n_confirm} of them to confirm: "
            f"{self._amount(estimate)}, E = {_evidence(estimate)} ({self.settings.e_merge:g} needed)"
        )

    def undecided(self, estimate: Estimate | None, *, confirming: bool) -> str:
        if estimate is None:
            return "too few runs for an estimate yet"
        goal, purpose = (
            (self.settings.e_merge, "to merge") if confirming else (self.settings.e_confirm, "to start confirming")
        )
        return (
            f"undecided after {_runs(estimate)}: {self._amount(estimate)}, E = {_evidence(estimate)} "
            f"({goal:g} needed {purpose})"
        )

    @property
    def _claim(self) -> str:
        return "no worse" if self.kind is Kind.SIMPLIFY else "better"

    @property
    def _unit(self) -> str:
        return f" {self.unit}" if self.unit else ""

    def _amount(self, estimate: Estimate) -> str:
        """E.g. "0.0021 ± 0.0008 bpb worse than main", two digits of the standard error."""
        error = estimate.standard_error
        digits = max(0, min(12, 1 - math.floor(math.log10(error)))) if error > 0 else 6
        side = "worse" if estimate.difference > 0 else "better"
        return f"{abs(estimate.difference):.{digits}f} ± {error:.{digits}f}{self._unit} {side} than main"


def _runs(estimate: Estimate) -> str:
    return counted(estimate.n, "pair" if estimate.form == "paired" else "run")


def _evidence(estimate: Estimate) -> str:
    evalue = estimate.evalue
    return "over 10,000" if evalue > 10_000 else f"{evalue:,.0f}" if evalue > 100 else f"{evalue:.3g}"
