"""A version with other steps finds experiments under way: each goes on, begins anew, or ends with a sentence."""

import re
import sqlite3

import pytest
from living_lab import Lab
from living_process import ROOT, eventually
from quick_task import slow

from bot.durable.running import KINDS
from bot.durable.upgrade import QUEUES


def test_every_kind_of_work_is_thought_of() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "bot").rglob("*.py"))
    kinds = set(re.findall(r'@DBOS\.workflow\(\s*name="(\w+)"', sources))
    assert kinds == {*QUEUES, *KINDS}
    running = (ROOT / "bot" / "durable" / "running.py").read_text()
    assert set(KINDS) == set(re.findall(r'workflow\(name="(\w+)"', running))


@pytest.mark.slow
def test_an_upgrade_in_the_middle_of_a_campaign_leaves_nothing_lying(lab: Lab) -> None:
    target = lab.repository(train=slow(0.9))
    lab.settle(target)  # what trains from here on is its own
    target.ask("/campaign start n=2")
    lab.bot.wait_for_training()
    lab.bot.kill()
    with sqlite3.connect(lab.bot.database) as database:
        under_way = "status IN ('PENDING', 'ENQUEUED', 'DELAYED')"
        database.execute(f"UPDATE workflow_status SET application_version = '0' WHERE {under_way}")  # noqa: S608
        begun = {name for (name,) in database.execute(f"SELECT name FROM workflow_status WHERE {under_way}")}  # noqa: S608
    assert begun == {"campaign", "experiment", "run"}
    lab.bot.start()
    eventually(lambda: "Campaign ended" in target.replies(1)[0], "the campaign's end")
    lab.settle(target)
    settled = target.settled()
    first, second = settled["pulls"][2], settled["pulls"][3]
    assert (first["state"], first["checks"]) == ("closed", [("completed", "cancelled")])
    assert "this version cannot go on with it: ask for it again" in target.replies(2)[0]
    assert second["state"] in ("merged", "closed")
    assert "Nightlab could not go on" not in target.replies(3)[0]
    assert settled["rows"] == 2
    with sqlite3.connect(lab.bot.database) as database:
        old = "SELECT name, status FROM workflow_status WHERE application_version = '0'"
        assert {status for _, status in database.execute(old)} == {"CANCELLED"}
