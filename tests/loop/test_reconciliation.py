"""What happened on the forge while the bot was away, and what is there in its name that it knows nothing of."""

import shutil
import sqlite3

import pytest
from living_lab import Lab, eventually
from quick_task import BETTER, CONTRACT, slow


def notes(lab: Lab, identity: str, state: str) -> bool:
    """Whether the database says that an experiment is in this state."""
    with sqlite3.connect(f"file:{lab.bot.database}?mode=ro", uri=True) as database:
        query = "SELECT value FROM workflow_events WHERE workflow_uuid = ? AND key = 'experiment'"
        return any(f'"state": "{state}"' in value for (value,) in database.execute(query, (identity,)))


@pytest.mark.slow
def test_what_people_did_while_the_bot_was_away_is_seen_at_its_start_without_any_webhook(lab: Lab) -> None:
    target = lab.repository(contract=CONTRACT + "land: manual\n", train=slow(0.08))
    merged = target.experiment(BETTER)
    pull = target.proven()
    eventually(lambda: notes(lab, merged, "proven"), "the note that it waits")
    lab.bot.kill()
    lab.hub.set_webhook("nightlab", url="", secret="")  # no delivery is even recorded
    pull.merge()
    lab.bot.start()
    row = target.row(merged)
    assert (row["state"], row["merge_sha"]) == ("merged", target.git("rev-parse", "main"))


@pytest.mark.slow
def test_a_pull_request_that_the_database_knows_nothing_of_is_closed_with_a_sentence(lab: Lab) -> None:
    target = lab.repository(train=slow(3.0))
    identity = target.experiment(BETTER)
    lab.bot.wait_for_training()
    lab.bot.kill()
    eventually(lambda: not lab.bot.offspring(), "the end of the runners")
    shutil.rmtree(lab.bot.database.parent)
    lab.bot.start()
    row = target.row(identity)
    assert row["state"] == "abandoned"
    assert "no record of it any more" in row["reason"]
    pull = target.pull()
    assert pull.state == "closed"
    assert "no record of it any more" in target.replies(pull.number)[0]
    assert not target.has(f"refs/heads/nightlab/{identity}")
    assert [status for _, status, _ in target.checks(pull.head.sha)] == ["completed"]
