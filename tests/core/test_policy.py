"""The policy against worked examples, and what it must do at each turn of an experiment."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from bot.core import evidence
from bot.core.model import Action, Decision, Kind, Observation, Stage
from bot.core.policy import PolicySettings, decide

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
