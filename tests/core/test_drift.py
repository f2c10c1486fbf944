"""Drift is found where there is some, and seldom where there is none."""

import random
from dataclasses import replace

from report_examples import run

from bot.core.verdict.drift import FALSE_ALARM, Dated, health, misfit

S = 0.0005


def dated(
    ended_ms: int, metric: float, *, seed: int = 0, slot: str = "gpu0", repeatable: bool = False, tree: str = "t"
) -> Dated:
    one = replace(run(seed, metric), slot=slot, tree_sha=tree, run_id=f"{slot}-{ended_ms}")
    return Dated(run=one, ended_ms=ended_ms, repeatable=repeatable)


def test_one_bit_is_drift_where_runs_are_repeatable() -> None:
    first = dated(1, 2.0)
    assert misfit(dated(2, 2.0, repeatable=True), [first]) == ""
    assert "gave 2.0 on gpu0 and now 2.0000000000000004" in misfit(
        dated(2, 2.0000000000000004, repeatable=True), [first]
    )
    other_seed = dated(2, 2.1, seed=1, repeatable=True)
    assert misfit(other_seed, [first]) == ""
    elsewhere = replace(first, run=replace(first.run, environment_digest="another torch"))
    assert misfit(dated(2, 2.1, repeatable=True), [elsewhere]) == ""


def test_what_was_measured_between_two_clean_checks_around_a_failed_one_is_suspect() -> None:
    runs = [dated(1, 2.0), *(dated(at, 1.9, seed=at) for at in (15, 25, 35, 45)), dated(26, 1.9, slot="gpu1", seed=9)]
    checks = [dated(10, 2.0, repeatable=True), dated(20, 2.0, repeatable=True), dated(30, 2.3, repeatable=True)]
    found = health(checks, runs)
    assert [sentence.partition(":")[0] for sentence in found.drifting] == ["slot gpu0 drifts"]
    assert found.suspects == ("gpu0-25", "gpu0-30", "gpu0-35", "gpu0-45")
    assert found.elsewhere  # gpu1
    assert not health(checks, [one for one in runs if one.run.slot == "gpu0"]).elsewhere
    recovered = health([*checks, dated(40, 2.0, repeatable=True)], runs)
    assert recovered.drifting == ()
    assert recovered.suspects == ("gpu0-25", "gpu0-30", "gpu0-35")


def test_a_slot_whose_first_check_fails_is_let_in_when_it_agrees_with_itself() -> None:
    runs, failed = [dated(1, 2.0)], dated(10, 2.2, repeatable=True)
    assert health([failed], runs).suspects == ("gpu0-1", "gpu0-10")
    assert health([failed, dated(20, 2.3, repeatable=True)], runs).drifting
    found = health([failed, dated(20, 2.2, repeatable=True)], runs)
    assert found.drifting == ()
    assert "gpu0-1" in found.suspects


def test_false_alarms_are_as_rare_as_promised_and_a_shift_is_seen() -> None:
    chance = random.Random(7)
    alarms = found = 0
    times = 4000
    for _ in range(times):
        known = [dated(at, chance.gauss(2.0, S), seed=at) for at in range(6)]
        known += [dated(at, chance.gauss(1.9, S), seed=at, tree="other") for at in range(6, 10)]
        alarms += bool(misfit(dated(20, chance.gauss(2.0, S), seed=20), known))
        found += bool(misfit(dated(20, chance.gauss(2.0 + 8 * S, S), seed=20), known))
    assert alarms <= 12  # 4 expected; more than 12 has a probability of 0.0003
    assert FALSE_ALARM == 0.001
    assert found > 0.9 * times


def test_too_little_is_known_to_say_anything() -> None:
    few = [dated(1, 2.0), dated(2, 2.001, seed=1), dated(3, 2.002, seed=2)]
    assert misfit(dated(9, 3.0, seed=5), few) == ""
    lucky = [replace(one, selected=True) for one in (dated(at, 2.0 + at * S, seed=at) for at in range(9))]
    assert misfit(dated(10, 3.0, seed=5), lucky) == ""


def test_the_mean_of_few_runs_is_itself_uncertain() -> None:
    """Four runs 0, 1, 2, 3: t at 0.05 % with 3 degrees of freedom is 12.92, times s = 1.291, times sqrt(1 + 1/4)."""
    known = [dated(at, float(at), seed=at) for at in range(4)]
    assert misfit(dated(9, 1.5 + 18.5, seed=9), known) == ""
    assert misfit(dated(9, 1.5 + 18.8, seed=9), known) != ""
