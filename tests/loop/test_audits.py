"""An audit after a merge: main and main before it run afresh, and the result where people look."""

import json

import pytest
import requests
from living_lab import Lab, eventually
from quick_task import BETTER, CONTRACT, slow


@pytest.mark.slow
def test_what_a_merge_claimed_is_measured_again(lab: Lab) -> None:
    contract = CONTRACT.replace("policy:", "policy:\n  audit_every: 1\n  audit_runs: 2")
    target = lab.repository(train=slow(0.03), contract=contract)
    row = target.row(target.experiment(BETTER))
    assert row["state"] == "merged", row["reason"]
    place = f"nightlab-ledger:audits/{row['merge_sha'][:10]}.json"
    eventually(lambda: target.has(place), "the audit")
    report = json.loads(target.git("show", place))
    assert not report["failed"]
    assert report["due"]["before_sha"] == row["base_sha"]
    assert report["due"]["claimed"] == row["gain"]
    assert (len(report["runs_before"]), len(report["runs_now"])) == (2, 2)
    assert report["audit"]["ratio"] == pytest.approx(1, abs=0.2)
    (said,) = [body for body in target.replies(target.pull().number, count=2) if "Audit of the last merge" in body]
    assert "by 2 and 2 fresh runs" in said
    lab.settle(target)
    assert "The last 1 merge, run again" in requests.get(lab.bot.url, timeout=30).text
