"""Models that answer about arrays: the score and the audit as mathematics, then real processes that cheat."""

import random
from dataclasses import replace

import numpy as np
import pytest
from fake_task import Bench, measured

from runner.arrays import Classification, Regression, draw_rows
from runner.protocol import Request, Run, Status
from runner.score import AUDIT_TOLERANCE, RejectedError

PREPARE = """
import json, os
from pathlib import Path
import numpy as np

data, random = Path(os.environ["DATA_DIR"]), np.random.default_rng(0)
for name, count in (("train", 500), ("validation", 700)):
    (data / name).mkdir()
    inputs = random.normal(size=(count, 2, 3)).astype(np.float32)
    values = inputs.sum(axis=2) + 0.1 * random.normal(size=(count, 2))
    np.save(data / name / "inputs.npy", inputs)
    np.save(data / name / "targets.npy", TARGETS)
(data / "meta.json").write_text(json.dumps({"kind": KIND, "outputs": 2, "corpus_sha256": "c"}))
"""
KINDS = {
    "regression": PREPARE.replace("TARGETS", "values").replace("KIND", "'regression'"),
    "classification": PREPARE.replace("TARGETS", "values.argmax(axis=1)").replace("KIND", "'classification'"),
}
TRAIN = """
import os
from pathlib import Path
import numpy as np

def load(out_dir, device):
    memory = []
    def predict(inputs):
        return inputs.sum(axis=2)
    return predict

if __name__ == "__main__":
    (Path(os.environ["OUT_DIR"]) / "nothing-learnt").touch()
"""
HONEST = "        return inputs.sum(axis=2)\n"


def asked_about(bench: Bench, kind: str, answer: str = HONEST, *, higher: bool = False) -> Run:
    base_sha = bench.commit({"prepare.py": KINDS[kind], "train.py": TRAIN})
    with_kind = replace(bench, base_sha=base_sha)
    request: Request = with_kind.train_with(TRAIN.replace(HONEST, answer))
    return measured(replace(request, task=replace(request.task, higher_is_better=higher)))[0]


def test_a_regression_is_scored_by_its_root_mean_square_error(bench: Bench) -> None:
    run = asked_about(bench, "regression")
    assert (run.status, run.reason) == (Status.OK, "")
    assert run.metric == pytest.approx(0.1, abs=0.01)
    assert (run.audited_positions, run.audit_max_gap) == (320, 0.0)


def test_a_classification_is_scored_by_its_accuracy(bench: Bench) -> None:
    run = asked_about(bench, "classification", higher=True)
    assert (run.status, run.reason) == (Status.OK, "")
    assert run.metric is not None
    assert 0.9 < run.metric < 1
    assert (run.audited_positions, run.cheat_gain) == (320, 1.0)


def test_a_contract_that_would_merge_what_is_worse_is_refused_before_anything_is_trained(bench: Bench) -> None:
    run = asked_about(bench, "classification", higher=False)
    assert (run.status, run.train_s) == (Status.INFRASTRUCTURE, 0.0)
    assert run.reason == (
        "this task is scored by accuracy, where higher is better, but the contract says lower: "
        "set `metric.direction` to `higher`"
    )


COMPANY = "asked again in other company, the model gave other answers"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param("return inputs.sum(axis=2) - 0.5 * inputs.mean(axis=(0, 2))", COMPANY, id="mean of the batch"),
        pytest.param("memory.append(1); return inputs.sum(axis=2) + 0.1 * len(memory)", COMPANY, id="counts"),
        pytest.param("return inputs.sum(axis=2) + np.random.default_rng().normal(size=2)", COMPANY, id="random"),
        pytest.param("return inputs.sum(axis=2) * np.nan", "the model's outputs are not finite", id="nan"),
        pytest.param(
            "return inputs.sum(axis=2)[:, :1]", "the model answered [256, 1] outputs where [256, 2] were due", id="K"
        ),
        pytest.param(
            "return inputs.sum(axis=(1, 2))",
            "the model failed: ValueError: load's function answered [256] where [B, K] was due",
            id="no K",
        ),
    ],
)
def test_answers_that_no_honest_model_gives(bench: Bench, answer: str, reason: str) -> None:
    run = asked_about(bench, "regression", f"        {answer}\n")
    assert run.metric is None
    assert run.reason.startswith(reason)


def test_scores_too_close_for_the_audit_do_not_count() -> None:
    """A cheat could make all scores nearly equal, so that the audit sees no difference between any two choices."""
    split = Classification(np.zeros((4, 1), np.float32), np.array([0, 1, 0, 1]), 2)
    honest = np.array([[3, 0], [0, 3], [0, 3], [1, 2]], np.float32)
    rows = np.arange(4)
    assert split.metric(split.read(honest, rows)) == 0.75
    assert split.metric(split.read(honest / 1000, rows)) == 0.0
    audit = split.draw(random.SystemRandom())
    assert split.judge(split.read(honest, rows), split.read(honest[audit.rows] + 7, rows), audit, 1.0) < 1e-6
    turned = honest[audit.rows]
    first = audit.rows == 0
    turned[first] = turned[first, ::-1]
    with pytest.raises(RejectedError, match="other answers"):
        split.judge(split.read(honest, rows), split.read(turned, rows), audit, 1.0)


def test_the_tolerance_of_a_regression_is_in_its_targets_deviations() -> None:
    targets = np.random.default_rng(1).normal(size=(400, 2)) * [1, 1000]
    split = Regression(np.zeros((400, 1), np.float32), targets)
    audit = split.draw(random.SystemRandom())
    near = 0.9 * AUDIT_TOLERANCE * targets.std(axis=0) * np.sign(targets)
    assert len(audit.rows) == 320
    guess = np.zeros((400, 2))
    assert 0.008 < split.judge(guess, guess[audit.rows] - 0.9 * AUDIT_TOLERANCE, audit, 1.0) < 0.01
    with pytest.raises(RejectedError, match="worse on average"):
        split.judge(guess + near, guess[audit.rows], audit, AUDIT_TOLERANCE)
    with pytest.raises(RejectedError, match="other answers"):
        split.judge(guess + 2 * near, guess[audit.rows], audit, AUDIT_TOLERANCE)


def test_rows_are_asked_again_once_each() -> None:
    inputs = np.arange(50, dtype=np.float32)[:, None]
    audit = draw_rows(inputs, random.SystemRandom(), count=30)
    assert len(set(audit.rows.tolist())) == 30
    assert (audit.inputs[:, 0] == audit.rows).all()
