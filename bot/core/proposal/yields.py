"""Which proposer finds more: what its merges gained, for the accelerator's hours and the dollars that it all took."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bot.core.model import Experiment, LedgerRow, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Yield:
    """Of one proposer: the tuner, or one model. `gain` is the sum over its merges, in the metric's unit.

    Attempts that were never measured are not counted, but what they cost is.
    """

    proposer: str
    experiments: int
    merged: int
    gain: float
    gpu_h: float
    usd: float  # for the model
    prompt_tokens: int = 0
    cached_tokens: int = 0  # of those, read from the provider's cache

    @property
    def gain_per_gpu_h(self) -> float | None:
        return self.gain / self.gpu_h if self.gpu_h > 0 else None

    @property
    def gain_per_usd(self) -> float | None:
        """None for what costs nothing."""
        return self.gain / self.usd if self.usd > 0 else None

    @property
    def cached(self) -> float | None:
        """The share of the prompts' tokens that came from the cache; None without a model."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else None


def yields(history: Iterable[LedgerRow | Experiment]) -> list[Yield]:
    """One for every proposer, in the order of their names; of one repository, for gains of others do not add up.

    Dollars are the model's that was asked, also where the tuner stepped in for it.
    """
    found: dict[str, list[LedgerRow | Experiment]] = {}
    asked: dict[str, list[LedgerRow | Experiment]] = {}
    for one in history:
        if _proposer(one) and one.state.ended and one.state is not State.ABANDONED:
            found.setdefault(_proposer(one), []).append(one)
        if one.model_use is not None:
            asked.setdefault(one.model_use.model, []).append(one)
    return [_yield(name, found.get(name, ()), asked.get(name, ())) for name in sorted({*found, *asked})]


def table(found: Sequence[Yield], *, unit: str) -> list[list[str]]:
    """Head and rows of a table, as text."""
    per = f"{unit} " if unit else ""
    head = [
        "proposer",
        "merged",
        f"{per}gained",
        f"{per}per hour measured",
        f"{per}per dollar",
        "dollars",
        "from cache",
    ]
    return [head] + [
        [
            one.proposer,
            f"{one.merged} of {one.experiments}",
            f"{one.gain:.4g}",
            _number(one.gain_per_gpu_h),
            _number(one.gain_per_usd),
            f"{one.usd:.2f}",
            "" if one.cached is None else f"{one.cached:.0%}",
        ]
        for one in found
    ]


def _yield(name: str, found: Sequence[LedgerRow | Experiment], asked: Sequence[LedgerRow | Experiment]) -> Yield:
    merged = [one for one in found if one.state is State.MERGED]
    uses = [one.model_use for one in asked if one.model_use is not None]
    return Yield(
        proposer=name,
        experiments=len(found),
        merged=len(merged),
        gain=sum(_gain(one) for one in merged),
        gpu_h=sum(one.gpu_s for one in found) / 3600,
        usd=sum(use.cost_usd for use in uses),
        prompt_tokens=sum(use.prompt_tokens for use in uses),
        cached_tokens=sum(use.cache_read_tokens for use in uses),
    )


def _proposer(one: LedgerRow | Experiment) -> str:
    if isinstance(one, LedgerRow):
        return one.proposed_by
    return one.proposal.proposed_by if one.proposal else ""


def _gain(one: LedgerRow | Experiment) -> float:
    """Positive when better, from confirmation runs where there are any, as the ledger has it."""
    if isinstance(one, LedgerRow):
        return one.gain or 0.0
    estimate = one.decision.estimate if one.decision else None
    if estimate is None:
        return 0.0
    return -(estimate.difference if estimate.confirm_difference is None else estimate.confirm_difference)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
