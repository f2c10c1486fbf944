"""Drafting ahead: while one experiment is measured, the next is written; and looked at again when its turn comes."""

import json
from typing import Any

import pytest
from living_lab import Lab, Target, eventually
from quick_task import slow
from stand_in import Fail, Say, StandIn
from test_loop_with_claude import CLAUDE, SUBMIT

SUBMITTED = ("submit", SUBMIT)


def set_lr(value: float) -> Say:
    return Say(calls=[("replace", {"path": "train.py", "old": "LR = 0.5", "new": f"LR = {value}"}), SUBMITTED])


def campaign(lab: Lab, api: StandIn, script: list[Say | Fail], *, slow_s: float, n: int) -> tuple[Target, list[str]]:
    """A campaign whose first experiment is being measured, and whose second is drafted and waits."""
    target = lab.repository(contract=CLAUDE + "claude: {smoke_runs: 0}\n", train=slow(slow_s))
    api.script = script
    identity = target.ask(f"/campaign start n={n}").id
    lab.bot.wait_for_training()
    eventually(lambda: api.attempts >= 2, "the second draft, while the first is under way")
    return target, [f"k{identity}-1", f"k{identity}-2"]


@pytest.mark.slow
def test_the_next_is_drafted_meanwhile_and_drafted_again_when_main_moved(lab: Lab, api: StandIn) -> None:
    other: Any = ("replace", {"path": "train.py", "old": "WEIGHT_DECAY = 0.1", "new": "WEIGHT_DECAY = 0.2"})
    script = [set_lr(0.7), set_lr(0.72), Say(calls=[other, SUBMITTED])]
    target, (first, second) = campaign(lab, api, script, slow_s=0.4, n=2)
    assert not target.has(f"nightlab-ledger:experiments/{first}.json")
    assert len(list(target.ada.get_pulls(state="all"))) == 1
    before, after = target.row(first), target.row(second)
    assert before["state"] == "merged", before["reason"]
    told = api.requests[2]["messages"][-1]["content"][-1]["text"]
    assert "Your proposal waited for a free slot" in told
    assert "`old` is not in `train.py`" in told
    assert (after["state"], after["base_sha"]) == ("rejected", before["merge_sha"])
    assert "WEIGHT_DECAY" in json.dumps(after["edits"])
    assert [row["model_use"]["turns"] for row in (before, after)] == [1, 2]
    assert (api.attempts, api.complaints) == (3, [])


@pytest.mark.slow
def test_a_draft_whose_campaign_is_stopped_never_becomes_a_pull_request(lab: Lab, api: StandIn) -> None:
    target, (first, second) = campaign(lab, api, [set_lr(0.2), set_lr(0.25)], slow_s=1.0, n=5)
    target.ask("/campaign stop", number=1)
    dropped = target.row(second)
    assert (dropped["state"], dropped["pull_number"]) == ("abandoned", None)
    assert dropped["reason"] == "the campaign was stopped before its turn came"
    assert dropped["model_cost_usd"] > 0
    assert target.row(first)["state"] == "rejected"
    eventually(lambda: "a person stopped it" in target.replies(1)[0], "the campaign's end")
    assert api.attempts == 2
