"""A slot that drifts is not judged on, everybody can see it, and it comes back by itself."""

from pathlib import Path

import pytest
import requests
from living_lab import eventually, opened
from quick_task import BETTER, TRAIN, WORSE, bits


@pytest.mark.slow
def test_nothing_that_was_measured_while_a_slot_drifted_is_judged_on(tmp_path: Path) -> None:
    drift = tmp_path / "drift"  # while it is there, the machine measures something else
    train = TRAIN.replace("return 1.5", f"return 0.05 * os.path.exists({str(drift)!r}) + 1.5")
    with opened(tmp_path, environment={"NIGHTLAB_UPKEEP_HOURS": "0.0001", "NIGHTLAB_SLOTS": "1"}) as lab:
        target = lab.repository(train=train)
        assert target.row(target.experiment(WORSE))["state"] == "rejected"  # main has runs now
        target.row(target.experiment("LR 0.25"))  # and was run against itself
        eventually(lambda: lab.bot.idle, "the end of the A/A run")
        drift.touch()
        identity = target.experiment(BETTER)

        def said() -> str | None:
            pull = next(iter(target.ada.get_pulls()), None)
            bodies = [comment.body for comment in target.ada.get_issue(pull.number).get_comments()] if pull else []
            return next((body for body in bodies if "drifts" in body), None)

        body = eventually(said, "a word about the drift")
        assert "where runs are to be repeatable. What was measured there meanwhile is not counted." in body
        assert "**Next:** an A/A run, main against itself, that fits again; nothing is judged until then" in body
        assert "slot cpu" in requests.get(lab.bot.url, timeout=30).text
        state = requests.get(f"{lab.bot.url}/healthz", timeout=30).json()
        assert [sentence for sentence in state["drifting"] if sentence.startswith("slot cpu")], state
        assert "drifts: main with seed" in lab.bot.log.read_text()

        lab.bot.kill()
        lab.bot.start()
        drift.unlink()
        row = target.row(identity)
        assert row["state"] == "merged", row["reason"]
        assert requests.get(f"{lab.bot.url}/healthz", timeout=30).json()["drifting"] == []
        for measured in row["runs"]:
            lr = 0.7 if measured["side"] == "candidate" else 0.5
            expected = bits(lr=lr, seed=measured["run"]["seed"])
            assert measured["run"]["metric"] == pytest.approx(expected, abs=1e-6)
