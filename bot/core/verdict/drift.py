"""Which slots drift: main run against itself (A/A), read from the history of runs alone.

Where runs are repeatable, an A/A run repeats a seed of main, and any other number than the first one, in a single bit,
is drift: there is no false alarm. Elsewhere it takes a fresh seed, and its number must lie where Student's t puts the
next run of the same code in the same slot, given the slot's earlier runs of it and the noise within all code the slot
ran; FALSE_ALARM is how often a steady slot with normal noise is suspected by one A/A run.

A slot that failed is not judged on from its last clean A/A run to its next one: what it measured in between may have
been measured on another machine, so to speak.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from scipy.special import stdtrit

from bot.core.verdict.evidence import within_code
from runner.protocol import Run

FALSE_ALARM = 0.001  # two-sided, of one A/A run; one every six hours: once in eight months of a slot
LEAST_NU = 3  # degrees of freedom of the noise, below which nothing is said


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated:
    """A finished run that gave a number, and when it ended."""

    run: Run
    ended_ms: int
    repeatable: bool = False  # for an A/A run: what was promised of it
    selected: bool = False  # a screening run, of which the lucky ones became main: no measure of main where it varies


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The slots of one hardware class. `drifting` has a sentence for each that drifts now."""

    drifting: tuple[str, ...] = ()
    suspects: tuple[str, ...] = ()  # ids of runs that are not judged on
    elsewhere: bool = True  # there is a slot that does not drift, as far as is known
    slots: int = 1  # that are known

    @property
    def sentence(self) -> str:
        return "; ".join(self.drifting)


def health(checks: Sequence[Dated], runs: Sequence[Dated]) -> Health:
    """What the A/A runs of a hardware class, `checks`, say of its slots and of the other `runs` there."""
    history: list[Dated] = sorted(runs, key=lambda dated: dated.ended_ms)
    drifting, suspects = {}, set()
    for slot, own in _by_slot(sorted(checks, key=lambda dated: dated.ended_ms)).items():
        clean_ms, problem = -1, ""
        for check in own:
            before, earlier = bool(problem), [d for d in history if d.ended_ms < check.ended_ms]
            trusted = [d for d in earlier if d.run.run_id not in suspects]
            # After a first A/A run that failed, nothing older is trusted: then it must at least agree with that one.
            if before and clean_ms < 0:
                trusted = [d for d in own if d.ended_ms < check.ended_ms][-1:]
            problem = misfit(check, trusted)
            if problem or before:
                window = range(clean_ms + 1, check.ended_ms + 1)
                suspects |= {d.run.run_id for d in runs if d.run.slot == slot and d.ended_ms in window}
            if problem:
                suspects.add(check.run.run_id)
            else:
                clean_ms = check.ended_ms
                history = sorted([*history, check], key=lambda dated: dated.ended_ms)
        if problem:
            drifting[slot] = problem
            suspects |= {d.run.run_id for d in runs if d.run.slot == slot and d.ended_ms > clean_ms}
    slots = {dated.run.slot for dated in (*runs, *checks)}
    return Health(
        drifting=tuple(drifting[slot] for slot in sorted(drifting)),
        suspects=tuple(sorted(suspects)),
        elsewhere=not drifting or bool(slots - drifting.keys()),
        slots=len(slots),
    )


def misfit(check: Dated, earlier: Sequence[Dated]) -> str:
    """Why an A/A run does not fit what was measured before, in one sentence; empty when it does or nothing is known."""
    run = check.run
    if run.metric is None:
        return ""
    if check.repeatable:
        same = (d.run for d in earlier if (d.run.tree_sha, d.run.seed) == (run.tree_sha, run.seed))
        first = next((other for other in same if _comparable(other, run)), None)
        if first is None or first.metric is None or first.metric == run.metric:
            return ""
        return (
            f"slot {run.slot} drifts: main with seed {run.seed} gave {first.metric!r} on {first.slot} and now "
            f"{run.metric!r}, where runs are to be repeatable"
        )
    groups: dict[str, list[float]] = defaultdict(list)
    for dated in earlier:
        other = dated.run
        if other.slot == run.slot and other.metric is not None and not dated.selected and _comparable(other, run):
            groups[other.tree_sha].append(other.metric)
    known, noise = groups[run.tree_sha], within_code(groups.values())
    if noise is None or noise.nu < LEAST_NU or not known or noise.s == 0:
        return ""
    expected = fmean(known)
    error = noise.s * math.sqrt(1 + 1 / len(known))
    if abs(run.metric - expected) <= float(stdtrit(noise.nu, 1 - FALSE_ALARM / 2)) * error:
        return ""
    return (
        f"slot {run.slot} drifts: main gave {run.metric:.5f}, {abs(run.metric - expected) / error:.1f} standard errors "
        f"from the {expected:.5f} of its {len(known)} earlier runs there"
    )


def _by_slot(checks: Sequence[Dated]) -> dict[str, list[Dated]]:
    found: dict[str, list[Dated]] = defaultdict(list)
    for check in checks:
        found[check.run.slot].append(check)
    return found


def _comparable(one: Run, other: Run) -> bool:
    conditions = [(run.hardware_class, run.environment_digest) for run in (one, other)]
    return conditions[0] == conditions[1]
