"""The shipped task itself, trained for real by torch."""

import ast
import re
import shutil
from dataclasses import replace

import pytest
from fake_task import ROOT, Bench, limited, measured

from runner.protocol import Run, Status

TASK = ROOT / "runner" / "task"
STEPS = 40


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("shipped")
    bench = Bench(repository=folder / "repository", cache=folder / "cache", base_sha="HEAD")
    shutil.copytree(TASK, bench.repository, ignore=shutil.ignore_patterns("__pycache__"))
    bench.git("init", "--quiet")
    bench.git("add", "--all")
    bench.git("commit", "--quiet", "-m", "main")
    return replace(bench, base_sha=bench.git("rev-parse", "HEAD"))


def trained(bench: Bench, *edits: tuple[str, str], steps: int = STEPS) -> Run:
    """A run of train.py with these replacements, for the work of so many baseline steps."""
    source = (TASK / "train.py").read_text()
    for old, new in edits:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    request = limited(bench.request(bench.commit({"train.py": source})), timeout_s=200, memory_mib=2048)
    return measured(replace(request, task=replace(request.task, budget_steps=steps)))[0]


@pytest.mark.slow
def test_a_run_is_repeatable_to_the_last_bit(shipped: Bench) -> None:
    first, second = trained(shipped), trained(shipped)
    assert (first.status, first.reason) == (Status.OK, "")
    assert first.steps == STEPS  # the budget's unit is one step of this very file
    assert first.metric is not None
    assert 1.5 < first.metric < 3.5
    assert first.artefact_sha256 == second.artefact_sha256
    assert first.metric == second.metric
    assert first.audit_max_gap == 0.0
    assert first.train_cpu_s > 0.5


@pytest.mark.slow
@pytest.mark.docker
def test_a_container_changes_no_digit(shipped: Bench, in_docker: Bench) -> None:
    outside, inside = trained(shipped), trained(replace(shipped, sandbox=in_docker.sandbox))
    assert (inside.status, inside.reason) == (Status.OK, "")
    assert inside.metric == outside.metric
    assert inside.environment_digest != outside.environment_digest  # and yet they are not compared


@pytest.mark.slow
def test_the_budget_counts_work(shipped: Bench) -> None:
    deeper = trained(shipped, ("DEPTH = 2 ", "DEPTH = 4 "))
    halved = trained(shipped, ("BATCH_SIZE = 8 ", "BATCH_SIZE = 4 "))
    assert deeper.status is halved.status is Status.OK
    assert 20 < deeper.steps < 32
    assert 70 < halved.steps <= 80  # the optimiser's own work does not halve


@pytest.mark.slow
def test_a_causal_leak_is_rejected(shipped: Bench) -> None:
    run = trained(shipped, ("is_causal=True", "is_causal=False"), steps=150)
    assert run.status is Status.INVALID
    assert run.reason.startswith("asked again without the text that follows")


@pytest.mark.slow
def test_a_diverging_run_says_so(shipped: Bench) -> None:
    run = trained(shipped, ("UNEMBEDDING_LR = 0.008 ", "UNEMBEDDING_LR = float('inf') "))
    assert run.status is Status.CRASHED
    assert run.reason == "train.py failed: training diverged: the loss is nan at step 20"


@pytest.mark.slow
def test_the_example_in_the_documentation_runs(shipped: Bench) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "task.md").read_text(), re.DOTALL)
    run, _ = measured(limited(shipped.train_with(example), timeout_s=120, memory_mib=2048, output_mib=64))
    assert (run.status, run.reason) == (Status.OK, "")
    assert run.metric is not None
    assert 2.0 < run.metric < 4.0  # better than its first guess, 11 bits a token


def test_constants_are_plain_so_that_a_tuner_can_turn_them() -> None:
    """One line, one number, one comment; and no second place where the same text stands."""
    source = (TASK / "train.py").read_text()
    lines = re.findall(r"^([A-Z][A-Z0-9_]+ = [-\d.e_]+)  # \S.*$", source, re.MULTILINE)
    assert len(lines) >= 25
    for line in lines:
        assert source.count(f"{line} ") == 1
        assert isinstance(ast.literal_eval(line.partition(" = ")[2]), int | float)
    assert "argparse" not in source
