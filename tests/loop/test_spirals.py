"""The second example, from the repository's folder to a merge: no torch, arrays instead of text, higher is better."""

import io
import shutil
from pathlib import Path

import pytest
from living_lab import Lab
from living_process import ROOT, eventually
from rich.console import Console

from bot.hand.log import log


@pytest.mark.slow
def test_a_better_classifier_is_proven_and_merged(lab: Lab, tmp_path: Path) -> None:
    source = shutil.copytree(
        ROOT / "runner" / "spirals", tmp_path / "spirals", ignore=shutil.ignore_patterns("__pycache__")
    )
    contract = source / ".github" / "nightlab.yml"
    quick = contract.read_text().replace("steps: 3000", "steps: 1200") + "sandbox: subprocess\n"
    contract.write_text(quick + "policy: {n_confirm: 2, n_max: 6, batch: 2}\n")
    target = lab.repository(source=source)
    identity = target.experiment("LR 0.01")
    row = target.row(identity)
    assert row["state"] == "merged", row["reason"]
    assert row["gain"] > 0.02
    assert row["metric_after"] - row["metric_before"] > 0.02
    assert 0.5 < row["metric_before"] < row["metric_after"] < 1
    message = target.git("log", "-1", "--format=%B", "main")
    assert "Metric: accuracy 0." in message
    (comment,) = target.replies(target.pull().number)
    assert "places asked again, all agree" in comment

    # The split that never selects is scored afterwards, whatever happens to the bot meanwhile.
    lab.bot.kill()
    lab.bot.start()
    row = eventually(lambda: (found := target.row(identity))["holdout"] and found, "the score of the holdout")
    run = row["holdout"]["run"]
    assert (run["status"], run["tree_sha"]) == ("ok", target.git("rev-parse", "main^{tree}"))
    assert row["metric_before"] < run["metric"] != row["metric_after"]
    assert run["seed"] not in {measured["run"]["seed"] for measured in row["runs"]}
    lab.settle(target)
    commits = target.git("log", "--format=%s", "nightlab-ledger").splitlines()
    assert [commit.partition(":")[0] for commit in commits] == ["holdout", "merged"]
    (comment,) = target.replies(target.pull().number)
    assert f"**On the split that never selects** `accuracy` is {run['metric']:.5f} after this merge" in comment
    said = io.StringIO()
    assert log(lab.hub.git_path(target.name), revision="main", svg=None, console=Console(file=said, width=160)) == 0
    assert "holdout" in said.getvalue()

    # The next experiment on that main knows nothing of it.
    again = target.row(target.experiment("LR 0.0001"))
    assert again["state"] == "rejected"
    assert run["seed"] not in {measured["run"]["seed"] for measured in again["runs"]}
