"""Recorded steps are a format: an experiment in flight is replayed against them after an upgrade."""

import sqlite3

from living_lab import Lab
from quick_task import WORSE, slow

from bot.durable.engine import WORKFLOW_VERSION

# What a rejected experiment records, in order. If this changes, an experiment that is under way during the upgrade
# cannot be replayed: make the change behind DBOS.patch, or raise WORKFLOW_VERSION and write its new sequence here.
STEPS = {
    "1": [
        "begin",
        "read",  # the contract
        "propose",
        "paths",
        "DBOS.setEvent",
        "open",
        "DBOS.setEvent",
        *["DBOS.recv", "DBOS.sleep"],  # messages
        "observe",
        "upkeep",
        "pool",
        "show",
        "tolerance",
        "identities",
        "clone_url",
        *["run"] * 4,  # two pairs
        "watch",
        "DBOS.setEvent",
        *["DBOS.recv", "DBOS.sleep"],  # messages
        "observe",
        "upkeep",
        "pool",
        "show",
        "DBOS.setEvent",
        "read",
        "finish",
        "record",
        "DBOS.setEvent",
    ]
}


def test_the_steps_of_an_experiment_are_those_of_this_version(lab: Lab) -> None:
    target = lab.repository(train=slow(0.02))  # a tree that no other test had measured
    identity = target.experiment(WORSE)
    assert target.row(identity)["state"] == "rejected"
    lab.settle(target)
    with sqlite3.connect(f"file:{lab.bot.database}?mode=ro", uri=True) as database:
        query = "SELECT function_name FROM operation_outputs WHERE workflow_uuid = ? ORDER BY function_id"
        recorded = [name for (name,) in database.execute(query, (identity,))]
    assert recorded == STEPS[WORKFLOW_VERSION]
