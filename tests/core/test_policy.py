"""The policy against worked examples, and what it must do at each turn of an experiment."""

import json
import math
import re
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from scipy import integrate

from bot.core.model import Action, Decision, Kind, Observation, Stage
from bot.core.verdict import evidence
from bot.core.verdict.policy import PolicySettings, decide

VECTORS = json.loads((Path(__file__).parent / "policy_vectors.json").read_text())
ONE_SLOT = "gpu0"
PAIRED = PolicySettings(form="paired", repeatable=True)


def observation(
    value: float, seed: int, *, base_sha: str = "main1", stage: Stage | None = None, slot: str = ONE_SLOT
) -> Observation:
    return Observation(value=value, seed=seed, slot=slot, base_sha=base_sha, stage=stage)


def runs(values: list[float], *, first_seed: int = 0, base_sha: str = "main1", stage: Stage | None = None):
    return [observation(v, first_seed + i, base_sha=base_sha, stage=stage) for i, v in enumerate(values)]


def play(
    candidate_values: list[float],
    baseline_values: list[float],
    *,
    settings: PolicySettings,
    kind: Kind = Kind.IMPROVE,
) -> tuple[Decision, int, int]:
    """Run an experiment as the workflow does, taking values in order; ends early when they run out."""
    candidate: list[Observation] = []
    baseline: list[Observation] = []
    stage = Stage.SCREEN
    while True:
        decision = decide(
            candidate=candidate,
            baseline=baseline,
            today_sha="main1",
            confirming=stage is Stage.CONFIRM,
            kind=kind,
            settings=settings,
        )
        if decision.action in (Action.MERGE, Action.REJECT):
            break
        if decision.action is Action.CONFIRM:
            stage = Stage.CONFIRM
            continue
        if len(candidate) + len(decision.candidate_seeds) > len(candidate_values):
            break
        baseline += [
            observation(baseline_values[len(baseline) + i], seed) for i, seed in enumerate(decision.baseline_seeds)
        ]
        candidate += [
            observation(candidate_values[len(candidate) + i], seed, stage=stage)
            for i, seed in enumerate(decision.candidate_seeds)
        ]
    return decision, len(candidate), len(baseline)


@pytest.mark.parametrize("row", VECTORS["evalues"], ids=lambda row: f"D={row['D']},n={row['n_c']}")
def test_evalue_agrees_with_quadrature(row: dict[str, float]) -> None:
    value = evidence.evalue(
        difference=row["D"], v0=1 / row["n_c"] + 1 / row["n_b"], s=row["s"], nu=row["nu"], shift=row["shift"]
    )
    assert value == pytest.approx(row["E"], rel=2e-6)


def test_mixed_contrast_agrees() -> None:
    example = VECTORS["mixed"]
    fit = evidence.mixed(candidate=example["cand"], baseline=example["base"], omega=example["omega"])
    assert fit.difference == pytest.approx(example["D"], abs=5e-10)
    assert fit.v0 == pytest.approx(example["v0"], abs=5e-10)


@pytest.mark.parametrize("row", VECTORS["sequences"], ids=lambda row: f"{row['name']}-{row['kind']}")
def test_sequence_is_decided_as_worked_out_by_hand(row: dict) -> None:
    decision, n, n_baseline = play(
        row["candidate"],
        VECTORS["baseline"],
        settings=PolicySettings(form="unpaired"),
        kind=Kind(row["kind"]),
    )
    action = {"DROP": Action.REJECT, "MERGE": Action.MERGE, "OUT_OF_DATA": Action.MEASURE}[row["decision"]]
    estimate = decision.estimate
    assert estimate is not None
    assert (decision.action, n, estimate.nu) == (action, row["runs_candidate"], row["nu"])
    assert n_baseline == estimate.n_baseline == row["runs_baseline"]
    assert estimate.difference == pytest.approx(row["D"], abs=6e-8)
    assert estimate.s == pytest.approx(row["s"], abs=6e-8)
    assert estimate.evalue == pytest.approx(row["E"], abs=6e-5)


def test_evalue_agrees_with_integrating_over_effect_and_noise() -> None:
    """The definition by brute force, for pairs: v0 = 1/n and few degrees of freedom, beyond the worked examples."""
    difference, v0, s, nu = -0.8, 1 / 5, 1.3, 4

    def likelihood(effect: float, log_sigma: float) -> float:
        sigma = math.exp(log_sigma)
        z = (difference + effect * sigma) / (sigma * math.sqrt(v0))
        return math.exp(-(nu + 1) * log_sigma - nu * s * s / (2 * sigma * sigma) - z * z / 2)

    def prior(effect: float) -> float:
        return 2 * math.exp(-effect * effect / 2) / math.sqrt(2 * math.pi)

    better, _ = integrate.dblquad(lambda e, ls: likelihood(e, ls) * prior(e), -4, 5, 0, 9)
    no_better, _ = integrate.quad(lambda ls: likelihood(0.0, ls), -4, 5)
    value = evidence.evalue(difference=difference, v0=v0, s=s, nu=nu)
    assert value == pytest.approx(better / no_better, rel=1e-5)


def ask(
    candidate: list[Observation] | None = None,
    baseline: list[Observation] | None = None,
    *,
    settings: PolicySettings = PAIRED,
    today_sha: str = "main1",
    confirming: bool = False,
    kind: Kind = Kind.IMPROVE,
    prior: evidence.Noise | None = None,
    excluded_seeds: frozenset[int] = frozenset(),
    allowance: float | None = None,
) -> Decision:
    return decide(
        candidate=candidate or [],
        baseline=baseline or [],
        today_sha=today_sha,
        confirming=confirming,
        kind=kind,
        settings=settings,
        prior=prior,
        excluded_seeds=excluded_seeds,
        allowance=allowance,
        unit="bpb",
    )


def seeds(decision: Decision) -> tuple[tuple[int, ...], tuple[int, ...]]:
    assert decision.action is Action.MEASURE
    return decision.candidate_seeds, decision.baseline_seeds


MAIN = [2.0213, 2.0251, 2.0187, 2.0302, 2.0240, 2.0222, 2.0269, 2.0198]


def paired_runs(differences: list[float], *, screen: int, base_sha: str = "main1", first_seed: int = 0):
    """Candidate and main runs with the given same-seed differences, the first `screen` of them screening runs."""
    baseline = runs(MAIN[: len(differences)], first_seed=first_seed, base_sha=base_sha)
    candidate = [
        replace(run, value=run.value + d, stage=Stage.SCREEN if i < screen else Stage.CONFIRM)
        for i, (run, d) in enumerate(zip(baseline, differences, strict=True))
    ]
    return candidate, baseline


class TestWhatIsAskedFor:
    def test_pairs_start_with_two_seeds_on_both_sides(self) -> None:
        assert seeds(ask()) == ((0, 1), (0, 1))

    def test_pairs_use_the_runs_of_main_at_hand(self) -> None:
        assert seeds(ask(baseline=runs(MAIN[:3], first_seed=5))) == ((5, 6), ())

    def test_pairs_go_on_with_new_seeds_when_those_of_main_are_used_up(self) -> None:
        candidate, baseline = paired_runs([-0.003, -0.002], screen=2)
        assert seeds(ask(candidate, baseline, confirming=True)) == ((2,), (2,))

    def test_a_batch_is_filled_with_pairs(self) -> None:
        candidate, baseline = paired_runs([-0.003, -0.002], screen=2)
        at_hand = [*baseline, *runs(MAIN[2:4], first_seed=2)]
        batch = replace(PAIRED, batch=4)
        assert seeds(ask(candidate, baseline, settings=batch, confirming=True)) == ((2, 3), (2, 3))
        assert seeds(ask(candidate, at_hand, settings=batch, confirming=True)) == ((2, 3, 4), (4,))

    def test_a_batch_asks_for_no_more_confirmations_than_are_needed(self) -> None:
        candidate, baseline = paired_runs([-0.003, -0.002], screen=2)
        wide = replace(PAIRED, batch=100)
        assert seeds(ask(candidate, baseline, settings=wide, confirming=True)) == (tuple(range(2, 8)),) * 2

    def test_a_batch_of_screening_runs_leaves_room_to_confirm(self) -> None:
        assert seeds(ask(settings=replace(PAIRED, batch=100))) == (tuple(range(10)),) * 2

    def test_main_is_never_run_with_the_seeds_it_was_selected_by(self) -> None:
        lucky = runs(MAIN[:1], first_seed=0)
        assert seeds(ask(baseline=lucky, excluded_seeds=frozenset({0, 1}))) == ((2, 3), (2, 3))

    def test_a_seed_that_main_still_lacks_is_asked_for_again(self) -> None:
        candidate, baseline = paired_runs([-0.003, -0.002, -0.001], screen=3)
        assert seeds(ask(candidate, baseline[:2], confirming=True)) == ((3,), (2, 3))

    def test_separate_means_start_with_several_runs_of_main(self) -> None:
        unpaired = PolicySettings(form="unpaired")
        assert seeds(ask(settings=unpaired)) == ((0,), (0, 1, 2, 3, 4, 5))
        assert seeds(ask(settings=replace(unpaired, batch=8))) == ((0, 1), (0, 1, 2, 3, 4, 5))

    def test_a_new_main_gets_runs_of_its_own(self) -> None:
        candidate, baseline = paired_runs([-0.0030, -0.0020, -0.0040, -0.0025], screen=2)
        assert seeds(ask(candidate, baseline, today_sha="main2", confirming=True)) == ((4,), (4,))


class TestMainMoves:
    STRONG = (-0.0030, -0.0020, -0.0031, -0.0025, -0.0028, -0.0022)

    def test_confirmations_against_an_older_main_do_not_count_but_stay_evidence(self) -> None:
        candidate, baseline = paired_runs(list(self.STRONG), screen=2)
        decision = ask(candidate, baseline, today_sha="main2", confirming=True)
        assert decision.action is Action.MEASURE
        assert decision.estimate is not None
        assert (decision.estimate.n, decision.estimate.n_confirm) == (6, 0)
        assert decision.estimate.evalue > 10
        assert decision.estimate.confirm_difference is None

    @pytest.mark.parametrize(("n_max", "action"), [(11, Action.REJECT), (12, Action.MEASURE)])
    def test_it_gives_up_when_no_room_is_left_to_confirm_again(self, n_max: int, action: Action) -> None:
        candidate, baseline = paired_runs(list(self.STRONG), screen=2)
        settings = replace(PAIRED, n_max=n_max)
        decision = ask(candidate, baseline, today_sha="main2", confirming=True, settings=settings)
        assert decision.action is action

    @pytest.mark.parametrize(
        ("on_today", "action"),
        [
            ([-0.0030, -0.0020, -0.0031, -0.0025, -0.0028, -0.0022], Action.MERGE),
            ([0.0010, -0.0011, 0.0012, -0.0008, 0.0004, -0.0005], Action.MEASURE),
        ],
    )
    def test_old_evidence_alone_does_not_merge(self, on_today: list[float], action: Action) -> None:
        old, old_main = paired_runs(list(self.STRONG), screen=2)
        new, new_main = paired_runs(on_today, screen=0, base_sha="main2", first_seed=6)
        decision = ask(old + new, old_main + new_main, today_sha="main2", confirming=True)
        assert decision.estimate is not None
        assert decision.estimate.evalue > 10
        assert decision.estimate.n_confirm == 6
        assert decision.action is action

    def test_versions_of_main_are_pooled_by_inverse_variance(self) -> None:
        """Differences -2 (one run against two: variance 3/2) and -5 (two against two: 1) weigh 2/3 and 1."""
        candidate = [
            observation(1.0, 0, base_sha="main1", stage=Stage.SCREEN),
            *runs([2.0, 6.0], first_seed=1, base_sha="main2", stage=Stage.CONFIRM),
        ]
        baseline = [*runs([2.0, 4.0], base_sha="main1"), *runs([8.0, 10.0], first_seed=1, base_sha="main2")]
        weighed = evidence.weigh(
            candidate=candidate,
            baseline=baseline,
            today_sha="main2",
            in_pairs=False,
            omega=0.0,
            g=1.0,
            shift_in_s=0.0,
            prior=None,
        )
        assert weighed is not None
        estimate, evalue_today = weighed
        assert estimate.difference == pytest.approx((-2 * 2 / 3 - 5) / (2 / 3 + 1))
        assert estimate.v0 == pytest.approx(1 / (2 / 3 + 1))
        assert (estimate.nu, estimate.s) == (3, pytest.approx(math.sqrt((2 + 8 + 2) / 3)))
        assert (estimate.n, estimate.n_confirm, estimate.n_baseline) == (3, 2, 4)
        assert estimate.confirm_difference == pytest.approx(-5)
        assert evalue_today == pytest.approx(evidence.evalue(difference=-5, v0=1, s=2, nu=3))


class TestForm:
    @pytest.mark.parametrize(
        ("repeatable", "correlated", "n", "form"),
        [
            (True, True, 2, "paired"),  # too few to tell: what the hardware promises
            (False, True, 3, "unpaired"),
            (True, True, 8, "paired"),
            (True, False, 8, "unpaired"),
            (False, True, 8, "paired"),
            (False, False, 8, "unpaired"),
        ],
    )
    def test_auto_follows_the_hardware_until_the_correlation_is_clear(
        self, repeatable: bool, correlated: bool, n: int, form: str
    ) -> None:
        baseline = runs(MAIN[:n])
        jitter = [0.0002, -0.0001, 0.0, 0.0001, -0.0002, 0.0001, 0.0, 0.0002]
        mirrored = [2 * 2.0235 - value for value in MAIN]
        values = [value + j for value, j in zip(MAIN if correlated else mirrored, jitter, strict=True)]
        candidate = runs([value - 0.02 for value in values[:n]], stage=Stage.SCREEN)
        decision = ask(candidate, baseline, settings=PolicySettings(repeatable=repeatable))
        assert decision.estimate is not None
        assert decision.estimate.form == form

    @pytest.mark.parametrize("repeatable", [True, False])
    def test_auto_is_not_swayed_by_an_uncertain_correlation(self, repeatable: bool) -> None:
        """Six pairs of correlation 0.4 or 0.8 leave 0.5 within reach, so the hardware's form stays."""
        baseline = runs([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
        values = [0.2, 0.0, 0.5, 0.1, 0.3, 0.4] if repeatable else [0.1, 0.0, 0.3, 0.2, 0.5, 0.4]
        candidate = runs([value - 1 for value in values], stage=Stage.SCREEN)
        estimate = ask(candidate, baseline, settings=PolicySettings(repeatable=repeatable)).estimate
        assert estimate is not None
        assert estimate.correlation == pytest.approx(0.4286 if repeatable else 0.8286, abs=1e-4)
        assert estimate.form == ("paired" if repeatable else "unpaired")

    def test_the_correlation_is_told_from_three_pairs_on(self) -> None:
        differences = [-0.0030, -0.0020, -0.0031]
        two, three = (ask(*paired_runs(differences[:n], screen=n)).estimate for n in (2, 3))
        values = [value + difference for value, difference in zip(MAIN, differences, strict=False)]
        assert two is not None
        assert three is not None
        assert two.correlation is None
        assert three.correlation == pytest.approx(statistics.correlation(values, MAIN[:3]))

    def test_several_slots_of_noisy_hardware_are_weighed_with_their_offsets(self) -> None:
        baseline = [replace(run, slot=f"gpu{run.seed % 2}") for run in runs(MAIN[:6])]
        candidate = runs([2.0], stage=Stage.SCREEN)
        noisy, exact = (
            ask(candidate, baseline, settings=PolicySettings(form="unpaired", repeatable=repeatable)).estimate
            for repeatable in (False, True)
        )
        assert noisy is not None
        assert exact is not None
        assert (noisy.form, exact.form) == ("mixed", "unpaired")
        assert noisy.v0 > exact.v0 == pytest.approx(1 + 1 / 6)

    def test_a_repeated_seed_is_no_second_sample_where_runs_are_repeatable(self) -> None:
        candidate, baseline = paired_runs([-0.003, -0.002], screen=2)
        settings = PolicySettings(form="unpaired", repeatable=True)
        again = ask(candidate + candidate, baseline + baseline, settings=settings)
        assert again == ask(candidate, baseline, settings=settings)

    def test_known_noise_adds_degrees_of_freedom_to_separate_means_only(self) -> None:
        candidate, baseline = paired_runs([-0.003, -0.002], screen=2)
        prior = evidence.within_code([[1.0, 1.002], [5.0, 5.002, 5.004]])
        assert prior == evidence.Noise(s=pytest.approx(math.sqrt((2e-6 + 8e-6) / 3)), nu=3)
        unpaired = ask(candidate, baseline, settings=PolicySettings(form="unpaired"), prior=prior).estimate
        in_pairs = ask(candidate, baseline, prior=prior).estimate
        assert unpaired is not None
        assert in_pairs is not None
        assert (unpaired.nu, in_pairs.nu) == (5, 1)


class TestVerdicts:
    def test_a_change_without_any_effect_is_rejected_though_nothing_scatters(self) -> None:
        assert ask(*paired_runs([0.0, 0.0], screen=2)).action is Action.REJECT

    def test_a_gain_without_any_scatter_has_finite_evidence(self) -> None:
        decision = ask(*paired_runs([-0.25, -0.25], screen=2))
        assert decision.action is Action.CONFIRM
        assert decision.estimate is not None
        assert 2.5 < decision.estimate.evalue < 4

    def test_the_gain_is_that_of_the_confirmations(self) -> None:
        differences = [-0.0090, -0.0080, -0.0030, -0.0020, -0.0031, -0.0025, -0.0028, -0.0022]
        decision = ask(*paired_runs(differences, screen=2), confirming=True)
        assert decision.action is Action.MERGE
        assert decision.estimate is not None
        assert decision.estimate.confirm_difference == pytest.approx(sum(differences[2:]) / 6)
        assert decision.estimate.confirm_standard_error == pytest.approx(decision.estimate.s / math.sqrt(6))

    def test_five_confirmations_are_not_six(self) -> None:
        differences = [-0.0030, -0.0020, -0.0031, -0.0025, -0.0028, -0.0022, -0.0025, -0.0026]
        assert ask(*paired_runs(differences, screen=3), confirming=True).action is Action.MEASURE
        assert ask(*paired_runs(differences, screen=2), confirming=True).action is Action.MERGE

    def test_runs_that_cannot_lead_to_a_merge_any_more_are_not_started(self) -> None:
        settings = replace(PAIRED, n_max=8)
        differences = [-0.003, -0.0002]  # neither futile nor promising, and six confirmations need all that is left
        assert ask(*paired_runs(differences, screen=2), settings=settings).action is Action.REJECT
        assert ask(*paired_runs(differences, screen=2), settings=replace(PAIRED, n_max=9)).action is Action.MEASURE

    @pytest.mark.parametrize(("allowance", "shift_in_s"), [(None, 1.0), (0.25, 0.25), (0.0, 0.0), (-1.0, 0.0)])
    def test_a_simplification_may_cost_what_is_left_of_the_allowance(
        self, allowance: float | None, shift_in_s: float
    ) -> None:
        runs_of_both = paired_runs([-0.003, -0.002], screen=2)
        estimate = ask(*runs_of_both, kind=Kind.SIMPLIFY, allowance=allowance).estimate
        assert estimate is not None
        assert estimate.shift == shift_in_s * estimate.s

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_a_value_that_is_not_finite_is_refused(self, value: float) -> None:
        with pytest.raises(ValueError, match="without a finite value"):
            ask(runs([value], stage=Stage.SCREEN))


@pytest.mark.parametrize(
    ("differences", "kind", "confirming", "n_max", "reason"),
    [
        ([], Kind.IMPROVE, False, 16, "too few runs for an estimate yet"),
        (
            [0.0029, 0.0013],
            Kind.IMPROVE,
            False,
            16,
            "not proven better after 2 pairs: 0.00210 ± 0.00080 bpb worse than main "
            "(futility: it must look 0.00057 bpb better to go on)",
        ),
        (
            [0.0029, 0.0013],
            Kind.SIMPLIFY,
            False,
            16,
            "not proven no worse after 2 pairs: 0.00210 ± 0.00080 bpb worse than main "
            "(futility: a simplification must look at most 0.00057 bpb worse to go on)",
        ),
        (
            [-0.003, -0.0002],
            Kind.IMPROVE,
            False,
            16,
            "undecided after 2 pairs: 0.0016 ± 0.0014 bpb better than main, E = 1.5 (2.5 needed to start confirming)",
        ),
        (
            [-0.003, -0.0002],
            Kind.IMPROVE,
            False,
            8,
            "not proven better after 2 pairs: 0.0016 ± 0.0014 bpb better than main, E = 1.5 (10 needed), "
            "and the 8 runs allowed leave too few to prove it",
        ),
        (
            [-0.003, -0.0029],
            Kind.IMPROVE,
            False,
            16,
            "promising after 2 pairs: 0.002950 ± 0.000050 bpb better than main, to be confirmed on today's main",
        ),
        (
            [-0.0030, -0.0020, -0.0031, -0.0025, -0.0028, -0.0022, -0.0025, -0.0026],
            Kind.IMPROVE,
            True,
            16,
            "proven better by 8 pairs, 6 of them to confirm: 0.00259 ± 0.00013 bpb better than main, "
            "E = 2,545 (10 needed)",
        ),
    ],
)
def test_the_reason_stands_by_itself(
    differences: list[float], kind: Kind, confirming: bool, n_max: int, reason: str
) -> None:
    decision = ask(
        *paired_runs(differences, screen=2),
        kind=kind,
        confirming=confirming,
        settings=replace(PAIRED, n_max=n_max),
    )
    assert decision.reason == reason


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"e_merge": 0.0}, "e_merge must be above 0, not 0.0"),
        ({"futility": -0.5}, "futility must be at least 0, not -0.5"),
        ({"g": math.nan}, "g must be above 0, not nan"),
        ({"e_confirm": 20.0}, "e_merge (10.0) must be at least e_confirm (20.0)"),
        ({"n_max": 7}, "n_max (7) must leave two screening runs beside n_confirm (6)"),
        ({"nb0": 1}, "nb0 must be at least 2 to show any noise, not 1"),
        ({"nb_cap": 5}, "nb_cap (5) must be at least nb0 (6)"),
        ({"form": "pairs"}, "form must be auto, paired or unpaired, not 'pairs'"),
        ({"min_correlation": 1.0}, "min_correlation must lie between -1 and 1, not 1.0"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(setting: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        PolicySettings(**setting)
