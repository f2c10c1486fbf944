"""What the README promises, with every party real."""

import pytest
from living_lab import Lab, eventually
from quick_task import BETTER, CONTRACT, TRAIN, WORSE, bits


def test_a_better_value_is_proposed_measured_and_merged(lab: Lab) -> None:
    target = lab.repository()
    comment = target.ask(f"/experiment {BETTER}")
    identity = f"c{comment.id}"
    row = target.row(identity)
    pull = target.pull()

    assert row["state"] == "merged", row["reason"]
    assert pull.merged
    assert [label.name for label in pull.labels] == ["nightlab: merged"]
    assert len(target.replies(pull.number)) == 1
    assert target.checks(pull.head.sha) == [(identity, "completed", "success")]
    assert not target.has(f"refs/heads/nightlab/{identity}")
    assert target.reactions(comment) == ["eyes"]
    (reply,) = target.replies(1)
    assert f"#{pull.number}, asked for here, is merged" in reply

    for measured in row["runs"]:
        lr = 0.7 if measured["side"] == "candidate" else 0.5
        assert measured["run"]["metric"] == pytest.approx(bits(lr=lr, seed=measured["run"]["seed"]), abs=1e-5)
    assert sum(measured["stage"] == "confirm" for measured in row["runs"]) == 3

    tree = target.git("rev-parse", "main^{tree}")
    assert {m["run"]["tree_sha"] for m in row["runs"] if m["stage"] == "confirm"} == {tree}
    assert row["merge_sha"] == target.git("rev-parse", "main")
    assert "LR = 0.7" in target.git("show", "main:train.py")
    trailers = dict(
        line.split(": ", 1)
        for line in target.git("log", "-1", "--format=%(trailers:only,unfold)", "main").splitlines()
        if line
    )
    assert trailers["Experiment"] == identity
    assert trailers["Tree"] == tree
    assert trailers["Base"] == target.git("rev-parse", "main^1")
    assert trailers["Head"] == target.git("rev-parse", "main^2") == pull.head.sha
    assert trailers["Requested-by"] == "ada"
    assert trailers["Metric"].startswith("val_bpb 1.")

    settled = target.settled()
    assert settled["table"] == ["merged"]
    assert settled["rows"] == 1
    assert settled["branches"] == ["main", "nightlab-ledger"]


def test_a_worse_value_is_closed_with_its_numbers(lab: Lab) -> None:
    target = lab.repository(private=True)  # which the runner can clone because the App gives it a token to read with
    identity = target.experiment(WORSE)
    row = target.row(identity)
    pull = target.pull()
    assert row["state"] == "rejected"
    assert pull.state == "closed"
    assert not pull.merged
    assert [label.name for label in pull.labels] == ["nightlab: rejected"]
    assert target.checks(pull.head.sha) == [(identity, "completed", "neutral")]
    (comment,) = target.replies(pull.number)
    assert "bpb worse than main" in comment
    assert target.git("log", "--format=%s", "main") == "Initial commit"
    assert target.settled()["branches"] == ["main", "nightlab-ledger"]


def test_a_value_that_crashes_is_closed_with_the_exceptions_sentence(lab: Lab) -> None:
    target = lab.repository()
    identity = target.experiment("SABOTAGE 1")
    row = target.row(identity)
    pull = target.pull()
    assert row["state"] == "crashed"
    assert pull.state == "closed"
    assert target.checks(pull.head.sha) == [(identity, "completed", "failure")]
    (comment,) = target.replies(pull.number)
    assert "ZeroDivisionError: the loss is zero: sabotage" in comment
    assert "ZeroDivisionError: the loss is zero: sabotage" in target.replies(1)[0]


@pytest.mark.slow
def test_a_campaign_runs_as_many_experiments_as_asked_and_ends(lab: Lab) -> None:
    calm = "".join(line for line in TRAIN.splitlines(keepends=True) if not line.startswith(("SABOTAGE", "SLOW_S")))
    target = lab.repository(train=calm.replace("SLOW_S", "0").replace("SABOTAGE", "0"))
    target.ask("/campaign start n=2")
    text = eventually(
        lambda: next((reply for reply in target.replies(1) if "Campaign ended" in reply), None), "the campaign's end"
    )
    assert "all 2 experiments are done" in text
    assert "2 of 2 experiments done" in text
    settled = target.settled()
    assert settled["rows"] == 2
    assert len(settled["pulls"]) == 2
    assert all(pull["state"] != "open" for pull in settled["pulls"].values())
    assert settled["branches"] == ["main", "nightlab-ledger"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("experiments_per_day", "limit on experiments in 24 hours (1) is reached"),
        ("experiments_per_person_per_day", "limit on one person's experiments in 24 hours (1) is reached"),
    ],
    ids=["all together", "one person"],
)
def test_experiments_that_a_campaign_starts_together_do_not_share_the_last_place_of_the_day(
    lab: Lab, limit: str, said: str
) -> None:
    target = lab.repository(contract=CONTRACT + f"limits: {{{limit}: 1}}\ncampaign: {{parallel: 3}}\n")
    target.ask("/campaign start n=3")
    eventually(lambda: said in target.replies(1)[0], "the campaign's end")
    lab.settle(target)
    assert len(target.settled()["pulls"]) <= 1
    assert "1 of 3 experiments done" in target.replies(1)[0]
