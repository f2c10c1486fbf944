"""What the policy promises whatever the runs show."""

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.model import Action, Decision, Kind, Observation, Stage
from bot.core.verdict import evidence
from bot.core.verdict.policy import PolicySettings, decide

GRID = 1 / 1024  # values on a binary grid, so that scaling and shifting them is exact in floating point

values = st.integers(-2000, 2000).map(lambda i: i * GRID)
settings_in_use = st.builds(
    PolicySettings,
    form=st.sampled_from(["auto", "paired", "unpaired"]),
    repeatable=st.booleans(),
    batch=st.integers(1, 9),
    n_confirm=st.integers(1, 6),
    n_max=st.integers(8, 16),
    nb0=st.integers(2, 6),
    omega=st.sampled_from([0.0, 2.25]),
)
kinds = st.sampled_from(Kind)


@st.composite
def sides(draw: st.DrawFn) -> tuple[list[Observation], list[Observation]]:
    """Runs of both sides against one or two versions of main; seeds are distinct within a side and version."""
    candidate, baseline = [], []
    for base_sha, stages in (("main1", (Stage.SCREEN, Stage.CONFIRM)), ("main2", (Stage.CONFIRM,))):
        for seed in draw(st.lists(st.integers(0, 12), unique=True, max_size=8)):
            baseline.append(draw(observations(seed, base_sha, st.none())))
        seeds = st.integers(0, 12) if base_sha == "main1" else st.integers(13, 20)
        for seed in draw(st.lists(seeds, unique=True, max_size=8)):
            candidate.append(draw(observations(seed, base_sha, st.sampled_from(stages))))
        if base_sha == "main2":
            for run in [run for run in candidate if run.base_sha == "main2"]:
                if draw(st.booleans()):
                    baseline.append(draw(observations(run.seed, base_sha, st.none())))
    return candidate, baseline


def observations(seed: int, base_sha: str, stages: st.SearchStrategy[Stage | None]) -> st.SearchStrategy[Observation]:
    return st.builds(
        Observation,
        value=values,
        seed=st.just(seed),
        slot=st.sampled_from(["gpu0", "gpu1"]),
        base_sha=st.just(base_sha),
        stage=stages,
    )


def judge(
    runs: tuple[list[Observation], list[Observation]],
    settings: PolicySettings,
    kind: Kind = Kind.IMPROVE,
    today_sha: str = "main2",
    confirming: bool = True,
) -> Decision:
    return decide(
        candidate=runs[0],
        baseline=runs[1],
        today_sha=today_sha,
        confirming=confirming,
        kind=kind,
        settings=settings,
        excluded_seeds={14},
    )


def mapped(runs: list[Observation], change: Callable[[float], float]) -> list[Observation]:
    return [replace(run, value=change(run.value)) for run in runs]


@given(sides(), settings_in_use, kinds, st.sampled_from([2.0**-20, 0.5, 8.0, 2.0**20]), st.booleans())
def test_the_unit_of_the_metric_does_not_matter(runs, settings, kind, factor, confirming) -> None:
    today_sha = "main2" if confirming else "main1"
    plain = judge(runs, settings, kind, today_sha, confirming)
    scaled_runs = tuple(mapped(side, lambda value: value * factor) for side in runs)
    scaled = judge(scaled_runs, settings, kind, today_sha, confirming)
    assert replace(scaled, reason="", estimate=None) == replace(plain, reason="", estimate=None)
    if plain.estimate is not None:
        assert scaled.estimate.evalue == plain.estimate.evalue
        assert scaled.estimate.difference == factor * plain.estimate.difference
        assert scaled.estimate.standard_error == factor * plain.estimate.standard_error


@given(sides(), settings_in_use, kinds, st.integers(-(2**20), 2**20))
def test_only_differences_matter(runs, settings, kind, shift) -> None:
    plain = judge(runs, settings, kind)
    shifted = judge(tuple(mapped(side, lambda value: value + shift * GRID) for side in runs), settings, kind)
    assert replace(shifted, estimate=None) == replace(plain, estimate=None)
    if plain.estimate is not None:
        assert replace(shifted.estimate, correlation=None) == replace(plain.estimate, correlation=None)


@given(sides(), settings_in_use, kinds, st.randoms(use_true_random=False))
def test_the_order_of_runs_does_not_matter(runs, settings, kind, shuffler: random.Random) -> None:
    shuffled = tuple(shuffler.sample(side, len(side)) for side in runs)
    assert judge(shuffled, settings, kind) == judge(runs, settings, kind)


@given(sides(), settings_in_use, kinds, st.integers(1, 3000), st.booleans())
def test_a_candidate_better_by_a_constant_never_fares_worse(runs, settings, kind, gain, confirming) -> None:
    """All of the candidate's runs lower by one amount: the noise is the same, the difference better."""
    rank = {Action.REJECT: 0, Action.MEASURE: 1, Action.CONFIRM: 2, Action.MERGE: 2}
    today_sha = "main2" if confirming else "main1"
    plain = judge(runs, settings, kind, today_sha, confirming)
    better = judge((mapped(runs[0], lambda value: value - gain * GRID), runs[1]), settings, kind, today_sha, confirming)
    assert rank[better.action] >= rank[plain.action]


@given(sides(), settings_in_use, kinds, st.booleans())
def test_what_it_asks_for_is_fresh_and_fits(runs, settings, kind, confirming) -> None:
    today_sha = "main2" if confirming else "main1"
    decision = judge(runs, settings, kind, today_sha, confirming)
    if decision.action is not Action.MEASURE:
        assert decision.candidate_seeds == decision.baseline_seeds == ()
        return
    candidate, baseline = runs
    asked, asked_of_main = decision.candidate_seeds, decision.baseline_seeds
    on_today = {run.seed for run in baseline if run.base_sha == today_sha} - {14}
    assert asked
    assert len(candidate) + len(asked) <= settings.n_max
    assert len({*asked, *(run.seed for run in candidate)}) == len(asked) + len({run.seed for run in candidate})
    assert len({*asked_of_main, *on_today}) == len(asked_of_main) + len(on_today)
    assert 14 not in asked_of_main
    if settings.form == "paired":
        assert set(asked) <= on_today | set(asked_of_main)
    if len(asked) > 2:
        assert len(asked) + len(asked_of_main) <= settings.batch


@given(settings_in_use, kinds, st.integers(0, 2**32), st.floats(-3, 3), st.sampled_from([0.0, 0.95]), st.booleans())
def test_every_experiment_ends_with_its_runs_and_confirmations_counted(
    settings, kind, seed, gain, correlation, main_moves
) -> None:
    """Played to the end: within n_max runs, and merged only after n_confirm runs against today's main."""
    rng = random.Random(seed)
    candidate: list[Observation] = []
    baseline: list[Observation] = []
    shared: dict[tuple[str, int], float] = {}
    main, stage = 0, Stage.SCREEN

    def run(seed: int, gain: float, of: Stage | None) -> Observation:
        common = shared.setdefault((f"main{main}", seed), rng.gauss(0, 1))
        value = correlation**0.5 * common + (1 - correlation) ** 0.5 * rng.gauss(0, 1) - gain
        return Observation(value=value, seed=seed, slot=f"gpu{rng.randrange(2)}", base_sha=f"main{main}", stage=of)

    for _ in range(2 * settings.n_max + 2):
        decision = decide(
            candidate=candidate,
            baseline=baseline,
            today_sha=f"main{main}",
            confirming=stage is Stage.CONFIRM,
            kind=kind,
            settings=settings,
        )
        if decision.action in (Action.MERGE, Action.REJECT):
            break
        if decision.action is Action.CONFIRM:
            stage = Stage.CONFIRM
        baseline += [run(seed, 0.0, None) for seed in decision.baseline_seeds]
        candidate += [run(seed, gain, stage) for seed in decision.candidate_seeds]
        if main_moves and stage is Stage.CONFIRM and rng.random() < 0.1:
            main += 1
    assert decision.action in (Action.MERGE, Action.REJECT)
    assert len(candidate) <= settings.n_max
    if decision.action is Action.MERGE:
        confirmations = sum(run.stage is Stage.CONFIRM and run.base_sha == f"main{main}" for run in candidate)
        assert decision.estimate is not None
        assert decision.estimate.n_confirm == confirmations >= settings.n_confirm
        assert decision.estimate.evalue >= settings.e_merge


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(-3, 3)), min_size=1, max_size=6),
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(-3, 3)), min_size=1, max_size=6),
    st.sampled_from([0.0, 0.5, 2.25, 40.0]),
)
def test_mixed_is_generalised_least_squares(candidate, baseline, omega) -> None:
    """Against the textbook's matrices."""
    slots = [slot for slot, _ in candidate + baseline]
    y = np.array([value for _, value in candidate + baseline])
    x = np.array([[1.0, 0.0]] * len(candidate) + [[0.0, 1.0]] * len(baseline))
    v_inverse = np.linalg.inv(np.eye(len(y)) + omega * np.array([[float(a == b) for a in slots] for b in slots]))
    covariance = np.linalg.inv(x.T @ v_inverse @ x)
    means = covariance @ x.T @ v_inverse @ y
    residuals = y - x @ means
    contrast = np.array([1.0, -1.0])
    fit = evidence.mixed(candidate=candidate, baseline=baseline, omega=omega)
    assert fit.difference == pytest.approx(contrast @ means, abs=1e-9)
    assert fit.v0 == pytest.approx(contrast @ covariance @ contrast, rel=1e-9)
    assert fit.sum_of_squares == pytest.approx(residuals @ v_inverse @ residuals, abs=1e-9)
    assert fit.nu == len(y) - 2


@given(
    st.floats(-10, 10),
    st.floats(0, 5),
    st.floats(0.02, 2),
    st.floats(0.01, 3),
    st.integers(1, 200),
    st.floats(0, 1),
)
def test_evalue_falls_with_the_difference(difference, more, v0, s, nu, shift) -> None:
    low = evidence.evalue(difference=difference, v0=v0, s=s, nu=nu, shift=shift)
    high = evidence.evalue(difference=difference + more, v0=v0, s=s, nu=nu, shift=shift)
    assert high <= low * (1 + 1e-9)
