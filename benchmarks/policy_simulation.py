"""How often the merge policy errs: `decide` itself, played against runs drawn from a fixed random generator.

    python benchmarks/policy_simulation.py            # about three minutes on one core; rewrites policy_simulation.md
    python benchmarks/policy_simulation.py --trials 200 --print

Effects are gains in units of the noise of the form used: of one run (unpaired), of a same-seed difference (paired).
"""

import argparse
import math
import random
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bot.core.model import Action, Kind, Observation, Stage
from bot.core.verdict.audit import welch
from bot.core.verdict.policy import PolicySettings, decide

RESULTS = Path(__file__).with_suffix(".md")
SEED = 20_260


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Where an experiment takes place. Noise of one run is 1."""

    gain: float = 0.0  # in units of one run's noise; negative is worse
    correlation: float = 0.0  # of same-seed runs
    slots: int = 1
    slot_sd: float = 0.0
    main_moves: float = 0.0  # probability, after each batch of confirmation runs
    cached: int = 0  # runs of main that were there before


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    merged: bool
    n: int
    n_baseline: int
    rounds: int  # times that all free slots were filled, one after the other


def experiment(world: World, settings: PolicySettings, kind: Kind, rng: random.Random) -> Outcome:
    """One experiment from its first run to MERGE or REJECT, as the workflow plays it."""
    candidate: list[Observation] = []
    baseline: list[Observation] = []
    offsets = [rng.gauss(0.0, world.slot_sd) for _ in range(world.slots)]
    shared: dict[tuple[str, int], float] = {}
    main, stage, rounds = 0, Stage.SCREEN, 0

    def run(seed: int, gain: float, of: Stage | None) -> Observation:
        common = shared.setdefault((f"main{main}", seed), rng.gauss(0.0, 1.0))
        noise = math.sqrt(world.correlation) * common + math.sqrt(1 - world.correlation) * rng.gauss(0.0, 1.0)
        slot = rng.randrange(world.slots)
        return Observation(
            value=noise - gain + offsets[slot], seed=seed, slot=f"gpu{slot}", base_sha=f"main{main}", stage=of
        )

    baseline += [run(seed, 0.0, None) for seed in range(world.cached)]
    while True:
        decision = decide(
            candidate=candidate,
            baseline=baseline,
            today_sha=f"main{main}",
            confirming=stage is Stage.CONFIRM,
            kind=kind,
            settings=settings,
        )
        if decision.action in (Action.MERGE, Action.REJECT):
            return Outcome(
                merged=decision.action is Action.MERGE,
                n=len(candidate),
                n_baseline=len(baseline) - world.cached,
                rounds=rounds,
            )
        if decision.action is Action.CONFIRM:
            stage = Stage.CONFIRM
            continue
        baseline += [run(seed, 0.0, None) for seed in decision.baseline_seeds]
        candidate += [run(seed, world.gain, stage) for seed in decision.candidate_seeds]
        rounds += math.ceil((len(decision.baseline_seeds) + len(decision.candidate_seeds)) / settings.batch)
        if stage is Stage.CONFIRM and rng.random() < world.main_moves:
            main += 1


def fixed_welch(world: World, rng: random.Random) -> Outcome:
    """The fixed-sample rule for comparison: eight runs a side, one-sided p < 0.01."""
    candidate, main = ([rng.gauss(-gain, 1.0) for _ in range(8)] for gain in (world.gain, 0.0))
    test = welch(candidate, main)
    return Outcome(merged=test.p < 0.01, n=8, n_baseline=8, rounds=16)


def one_run(world: World, rng: random.Random) -> Outcome:
    """The rule without statistics for comparison: one run a side, lower wins."""
    return Outcome(merged=rng.gauss(-world.gain, math.sqrt(2)) < 0, n=1, n_baseline=1, rounds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One line of a table."""

    name: str
    world: World
    settings: PolicySettings
    kind: Kind = Kind.IMPROVE


UNPAIRED = PolicySettings(form="unpaired")
PAIRED = PolicySettings(form="paired", repeatable=True)
GAINS = (-0.5, -0.25, 0.0, 0.5, 1.0, 2.0)


def same_seeds(gain: float, *, main_moves: float = 0.0, cached: int = 0) -> World:
    """A world of correlation 0.9 with `gain` in units of the noise of a same-seed difference."""
    gain_in_runs = gain * math.sqrt(2 * (1 - 0.9))
    return World(gain=gain_in_runs, correlation=0.9, main_moves=main_moves, cached=cached)


def demo(n_confirm: int, n_max: int, *, futility: float = 0.5, e_merge: float = 10.0) -> PolicySettings:
    return replace(PAIRED, batch=2, n_confirm=n_confirm, n_max=n_max, futility=futility, e_merge=e_merge)


DEMOS = {
    "n_confirm 3, n_max 8": demo(3, 8),
    "n_confirm 3, n_max 8, e_merge 20": demo(3, 8, e_merge=20.0),
    "n_confirm 3, n_max 8, futility 1": demo(3, 8, futility=1.0),
    "n_confirm 4, n_max 8": demo(4, 8),
    "n_confirm 4, n_max 10": demo(4, 10),
    "n_confirm 6, n_max 16 (default)": demo(6, 16),
}
SECTIONS = {
    "Default settings, unpaired (GPU), no run of main at hand": [
        Case(name=f"gain {gain:g} sd", world=World(gain=gain), settings=UNPAIRED) for gain in GAINS
    ],
    "Default settings, paired (CPU), no run of main at hand": [
        Case(name=f"gain {gain:g} sd of a difference", world=same_seeds(gain), settings=PAIRED) for gain in GAINS
    ],
    "Default settings, unpaired, a simplification (a loss under 1 sd is allowed)": [
        Case(name=f"gain {gain:g} sd", world=World(gain=gain), settings=UNPAIRED, kind=Kind.SIMPLIFY)
        for gain in (-2.0, -1.0, -0.5, 0.0, 0.5)
    ],
    "What `auto` makes of each machine": [
        Case(
            name=f"{'' if repeatable else 'not '}repeatable, correlation {correlation:g}, gain {gain:g} sd of a run",
            world=World(gain=gain, correlation=correlation),
            settings=PolicySettings(repeatable=repeatable),
        )
        for repeatable in (True, False)
        for correlation in (0.0, 0.5, 0.9)
        for gain in (0.0, 1.0)
    ],
    "Four GPUs whose offsets have a sd of 1.5 runs, with and without the offsets in the model": [
        Case(
            name=f"omega {omega:g}, gain {gain:g} sd",
            world=World(gain=gain, slots=4, slot_sd=1.5),
            settings=replace(UNPAIRED, omega=omega),
        )
        for omega in (2.25, 0.0)
        for gain in (0.0, 1.0, 2.0)
    ],
    "Main moves with probability 0.1 after each batch of confirmation runs, paired": [
        Case(
            name=f"n_max {n_max}, gain {gain:g} sd of a difference",
            world=same_seeds(gain, main_moves=0.1),
            settings=replace(PAIRED, n_max=n_max),
        )
        for n_max in (16, 24)
        for gain in (0.0, 1.0, 2.0)
    ],
    "Fewer runs, for a demo on two slots: paired, batch 2, no run of main at hand": [
        Case(name=f"{name}; gain {gain:g} sd of a difference", world=same_seeds(gain), settings=settings)
        for name, settings in DEMOS.items()
        for gain in (-0.5, 0.0, 1.0, 2.0, 3.0)
    ],
    "The same with ten runs of main at hand": [
        Case(name=f"{name}; gain {gain:g} sd of a difference", world=same_seeds(gain, cached=10), settings=settings)
        for name, settings in DEMOS.items()
        for gain in (0.0, 1.0, 2.0, 3.0)
    ],
}


def row(name: str, outcomes: list[Outcome]) -> str:
    trials = len(outcomes)
    merged = sum(outcome.merged for outcome in outcomes) / trials
    error = math.sqrt(max(merged * (1 - merged), 1 / trials) / trials)
    n, n_baseline, rounds = (
        sum(getattr(outcome, field) for outcome in outcomes) / trials for field in ("n", "n_baseline", "rounds")
    )
    return f"| {name} | {merged:.1%} ± {error:.1%} | {n:.1f} | {n_baseline:.1f} | {rounds:.1f} |"


def tables(trials: int) -> list[str]:
    """All tables, as lines of markdown."""
    rng = random.Random(SEED)
    head = ["", "| world | merged | candidate runs | new runs of main | rounds |", "|---|---|---|---|---|"]
    lines = []
    for title, cases in SECTIONS.items():
        lines += ["", f"## {title}", *head]
        lines += [
            row(case.name, [experiment(case.world, case.settings, case.kind, rng) for _ in range(trials)])
            for case in cases
        ]
    lines += ["", "## Rules to compare with, unpaired", *head]
    for name, rule in (("one run a side, lower wins", one_run), ("eight runs a side, p < 0.01", fixed_welch)):
        lines += [
            row(f"{name}; gain {gain:g} sd", [rule(World(gain=gain), rng) for _ in range(trials)]) for gain in GAINS[2:]
        ]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=4000, help="experiments per line")
    parser.add_argument("--print", action="store_true", dest="print_only", help="print, leave the results file alone")
    arguments = parser.parse_args()
    cpu_before_s = time.process_time()
    text = "\n".join(
        [
            "# Simulated error rates of the merge policy",
            "",
            f"Written by `python benchmarks/policy_simulation.py`: {arguments.trials} experiments a line, the standard "
            "error beside the rate. A *round* fills all free slots once.",
            *tables(arguments.trials),
            "",
        ]
    )
    if arguments.print_only:
        print(text)
    else:
        RESULTS.write_text(text)
    print(f"{time.process_time() - cpu_before_s:.0f} CPU seconds", file=sys.stderr)


if __name__ == "__main__":
    main()
