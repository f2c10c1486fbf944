"""benchmarks/gpu_check.py rewrites a few lines of the shipped task: they must still be there."""

import shutil
from pathlib import Path

from benchmarks.gpu_check import NEW, OLD, TASK, Plan, commit, stand_in
from bot.core.contract import Contract, parse


def test_its_repository_can_be_made(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(TASK, repository, ignore=shutil.ignore_patterns("__pycache__"))
    stand_in(repository)
    compile((repository / "prepare.py").read_text(), "prepare.py", "exec")
    commit(repository, Plan(preset="gpu", budget=300, pairs=2, page=tmp_path / "page.md"))
    contract = parse((repository / ".github" / "nightlab.yml").read_text())
    assert isinstance(contract, Contract)
    assert (contract.task.preset, contract.task.budget_s) == ("gpu", 300)
    assert OLD in (repository / "train.py").read_text()
    assert NEW not in (repository / "train.py").read_text()  # that is on the branch
