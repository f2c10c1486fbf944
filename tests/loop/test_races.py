"""People move things while the bot works. Whatever the instant: nothing that was not measured is merged."""

from collections.abc import Callable
from typing import Any

import pytest
from living_lab import Lab, Target, eventually
from quick_task import BETTER, TRAIN, WORSE, slow

from bot.hub import Fault


def at(lab: Lab, target: Target, *, method: str, path: str, act: Callable[[], object]) -> Fault:
    """Something that a person does right before the first such request takes effect."""

    def action() -> None:
        act()

    return lab.hub.faults.add(Fault(method=method, path_regex=f"/{target.name}/{path}", action=action))


def at_landing(lab: Lab, target: Target, act: Callable[[], object]) -> Fault:
    return at(lab, target, method="PATCH", path="git/refs/heads/main$", act=act)


def move_main(target: Target) -> None:
    """Without a conflict."""
    target.push("main", "notes.md", "Mind the gap.\n")


def with_lr(value: float, train: str = TRAIN) -> str:
    return train.replace("LR = 0.5", f"LR = {value}")


def require_measured(target: Target, row: dict[str, Any]) -> None:
    """What is on main was measured as often as the contract demands, on the commit that it was merged into."""
    assert row["state"] == "merged", row["reason"]
    tree, base = target.git("rev-parse", "main^{tree}"), target.git("rev-parse", "main^1")
    confirmed = [
        measured
        for measured in row["runs"]
        if measured["stage"] == "confirm" and measured["run"]["tree_sha"] == tree and measured["base_sha"] == base
    ]
    assert len({measured["run"]["seed"] for measured in confirmed}) >= 3
    assert all(measured["run"]["status"] == "ok" for measured in confirmed)
    assert target.git("rev-parse", "main") == row["merge_sha"]


@pytest.mark.slow
def test_a_push_to_the_branch_in_mid_measurement_is_measured_instead(lab: Lab) -> None:
    target = lab.repository(train=slow(0.5))
    identity = target.experiment(BETTER)
    lab.bot.wait_for_training()
    old = target.pull().head.sha
    pushed = target.push(f"nightlab/{identity}", "train.py", with_lr(0.75, slow(0.5)))
    row = target.row(identity)
    require_measured(target, row)
    assert "LR = 0.75" in target.git("show", "main:train.py")
    assert row["head_sha"] == pushed
    assert target.checks(old) == [(identity, "completed", "neutral")]
    assert target.checks(pushed) == [(identity, "completed", "success")]


@pytest.mark.slow
def test_a_push_to_the_branch_that_is_out_of_scope_ends_it(lab: Lab) -> None:
    target = lab.repository()
    at(lab, target, method="POST", path="issues/2/comments$", act=lambda: push_prepare(target))
    identity = target.experiment(BETTER)
    row = target.row(identity)
    assert row["state"] == "abandoned"
    assert "out of scope" in row["reason"]
    assert "prepare.py" in row["reason"]
    pull = target.pull()
    assert pull.state == "closed"
    assert not pull.merged
    assert [status for _, status, _ in target.checks(row["head_sha"])] == ["completed"]
    assert target.has(f"refs/heads/nightlab/{identity}"), "a person's work must not be deleted"


def push_prepare(target: Target) -> None:
    target.push(target.pull().head.ref, "prepare.py", "print('the data is mine')\n")


@pytest.mark.slow
def test_a_push_to_the_branch_at_the_instant_of_landing_is_not_merged(lab: Lab) -> None:
    target = lab.repository()
    identity = target.experiment(BETTER)
    moved = at_landing(lab, target, lambda: target.push(f"nightlab/{identity}", "train.py", with_lr(9.0)))
    row = target.row(identity)
    assert moved.hits == 1
    require_measured(target, row)
    assert "LR = 0.7\n" in target.git("show", "main:train.py")
    assert "LR = 9.0" in target.git("show", f"nightlab/{identity}:train.py"), "a person's push must not be deleted"


def test_a_push_to_main_at_the_instant_of_landing_is_measured_first(lab: Lab) -> None:
    target = lab.repository()
    identity = target.experiment(BETTER)
    at_landing(lab, target, lambda: move_main(target))
    row = target.row(identity)
    require_measured(target, row)
    assert target.git("show", "main:notes.md") == "Mind the gap."
    assert "LR = 0.7" in target.git("show", "main:train.py")
    assert target.settled()["branches"] == ["main", "nightlab-ledger"]


@pytest.mark.slow
def test_a_push_to_main_in_mid_measurement_is_measured_too(lab: Lab) -> None:
    target = lab.repository(train=slow(0.51))
    identity = target.experiment(BETTER)
    lab.bot.wait_for_training()
    move_main(target)
    row = target.row(identity)
    require_measured(target, row)
    assert target.git("show", "main:notes.md") == "Mind the gap."


@pytest.mark.slow
def test_a_conflicting_push_to_main_ends_it_with_the_reason(lab: Lab) -> None:
    target = lab.repository()
    identity = target.experiment(BETTER)
    at_landing(lab, target, lambda: target.push("main", "train.py", with_lr(0.65)))
    row = target.row(identity)
    assert row["state"] == "abandoned"
    assert "main changed the same lines" in row["reason"]
    assert "LR = 0.65" in target.git("show", "main:train.py")
    assert target.pull().state == "closed"
    assert target.settled()["branches"] == ["main", "nightlab-ledger"]


@pytest.mark.slow
def test_a_push_to_the_branch_right_before_it_is_brought_up_to_date_is_measured(lab: Lab) -> None:
    target = lab.repository()
    identity = target.experiment(BETTER)
    at_landing(lab, target, lambda: move_main(target))
    better = with_lr(0.75)
    push = lambda: target.push(f"nightlab/{identity}", "train.py", better)  # noqa: E731
    moved = at(lab, target, method="PUT", path="pulls/2/update-branch$", act=push)
    row = target.row(identity)
    assert moved.hits == 1
    require_measured(target, row)
    assert "LR = 0.75" in target.git("show", "main:train.py")
    assert target.git("show", "main:notes.md") == "Mind the gap."


@pytest.mark.slow
def test_a_push_to_main_right_before_the_branch_is_brought_up_to_date(lab: Lab) -> None:
    target = lab.repository()
    identity = target.experiment(BETTER)
    first, second = (
        at(
            lab,
            target,
            method=method,
            path=path,
            act=lambda name=path[0]: target.push("main", f"{name}.md", "Mind the gap.\n"),
        )
        for method, path in (("PATCH", "git/refs/heads/main$"), ("PUT", "pulls/2/update-branch$"))
    )
    row = target.row(identity)
    assert (first.hits, second.hits) == (1, 1)
    require_measured(target, row)
    assert {"g.md", "p.md"} < set(target.git("ls-tree", "--name-only", "main").splitlines())


@pytest.mark.slow
def test_a_pull_request_that_a_person_closes_stops_its_runs_and_may_be_asked_for_again(lab: Lab) -> None:
    target = lab.repository(train=slow(2.0))
    identity = target.experiment(WORSE)
    lab.bot.wait_for_training()
    target.pull().edit(state="closed")
    row = target.row(identity)
    assert row["state"] == "abandoned"
    assert row["reason"] == "a person closed it"
    assert "a person closed it" in target.replies(1)[0]
    assert not [m for m in row["runs"] if m["side"] == "candidate" and m["run"]["status"] == "ok"]
    again = target.row(target.experiment(WORSE))
    assert again["state"] == "rejected", again["reason"]


@pytest.mark.slow
def test_a_pull_request_that_a_person_merges_is_said_to_be(lab: Lab) -> None:
    target = lab.repository(train=slow(1.01))
    identity = target.experiment(BETTER)
    lab.bot.wait_for_training()
    pull = target.pull()
    pull.mark_ready_for_review()
    pull.merge()
    row = target.row(identity)
    assert row["state"] == "abandoned"
    assert row["reason"] == "a person merged it before the measurement was done"
    assert target.pull().merged
    assert target.git("log", "--format=%s", "-1", "main").startswith("Merge pull request #2")


@pytest.mark.slow
def test_a_pull_request_closed_at_the_instant_of_landing(lab: Lab) -> None:
    """Either order is fine; main holds what was measured or what was there before."""
    target = lab.repository()
    identity = target.experiment(BETTER)
    at_landing(lab, target, lambda: target.pull().edit(state="closed"))
    row = target.row(identity)
    if row["state"] == "merged":
        require_measured(target, row)
    else:
        assert target.git("log", "--format=%s", "main") == "Initial commit"


@pytest.mark.slow
def test_a_protected_main_is_merged_into_through_the_pull_request(lab: Lab) -> None:
    target = lab.repository()
    lab.hub.protect(target.name, "main", require_pull=True, required_checks=["nightlab"])
    row = target.row(target.experiment(BETTER))
    require_measured(target, row)
    assert "Experiment: " in target.git("log", "-1", "--format=%(trailers)", "main")


@pytest.mark.slow
def test_where_no_merge_commit_may_be_it_is_squashed_with_the_evidence(lab: Lab) -> None:
    """By a setting that changes after the bot has read it; by a rule that shows only when one tries."""
    by_setting, by_rule = lab.repository(train=slow(0.5)), lab.repository()
    lab.hub.protect(by_rule.name, "main", require_pull=True)
    words = "Repository rule violations found: This branch must not contain merge commits."
    refused = Fault(method="PUT", path_regex=f"/{by_rule.name}/pulls/2/merge$", status=405, message=words)
    lab.hub.faults.add(refused)
    for target in (by_setting, by_rule):
        identity = target.experiment(BETTER)
        if target is by_setting:
            lab.bot.wait_for_training()
            target.ada.edit(allow_merge_commit=False)
        row = target.row(identity)
        assert row["state"] == "merged", row["reason"]
        assert row["merge_sha"] == target.git("rev-parse", "main")
        assert len(target.git("log", "-1", "--format=%P", "main").split()) == 1
        assert target.git("rev-parse", "main^{tree}") in {m["run"]["tree_sha"] for m in row["runs"]}
        assert f"Experiment: {identity}" in target.git("log", "-1", "--format=%(trailers)", "main")
        assert target.pull().merged
    assert refused.hits == 1


@pytest.mark.slow
def test_a_rule_that_the_bot_cannot_meet_leaves_the_pull_request_open_and_proven(lab: Lab) -> None:
    target = lab.repository()
    lab.hub.protect(target.name, "main", require_pull=True, required_checks=["legal"])
    identity = target.experiment(BETTER)
    pull = target.proven()
    assert pull.state == "open"
    assert [label.name for label in pull.labels] == ["nightlab: proven"]
    assert "the status check legal has to succeed" in target.replies(1)[0]
    assert target.checks(pull.head.sha) == [(identity, "completed", "success")]
    assert 'Required status check "legal" is expected' in target.replies(2)[0].replace("“", '"').replace("”", '"')
    assert target.git("log", "--format=%s", "main") == "Initial commit"
    pull.edit(state="closed")  # the lab is shared: what waits for people keeps it from being idle


@pytest.mark.slow
def test_a_push_to_the_branch_right_before_a_protected_merge_is_measured_first(lab: Lab) -> None:
    target = lab.repository()
    lab.hub.protect(target.name, "main", require_pull=True)
    identity = target.experiment(BETTER)
    better = with_lr(0.75)
    push = lambda: target.push(f"nightlab/{identity}", "train.py", better)  # noqa: E731
    moved = at(lab, target, method="PUT", path="pulls/2/merge$", act=push)
    row = target.row(identity)
    assert moved.hits == 1
    require_measured(target, row)
    assert "LR = 0.75" in target.git("show", "main:train.py")


@pytest.mark.slow
def test_a_merge_that_is_not_what_was_measured_stops_all_merging(lab: Lab) -> None:
    """GitHub's merge call guards the head only: a push to main in its last instant gets in."""
    target = lab.repository()
    identity = target.experiment(BETTER)
    lab.hub.protect(target.name, "main", require_pull=True)
    at(lab, target, method="PUT", path="pulls/2/merge$", act=lambda: unprotected_push(lab, target))
    row = target.row(identity)
    assert row["state"] == "abandoned"
    assert "its tree is not the one that was measured" in row["reason"]
    (alarm,) = target.ada.get_issues(state="open", labels=["merging stopped"])
    assert alarm.title == "Nightlab has stopped merging"
    target.experiment("LR 0.8")
    held = target.proven()
    assert "merging is stopped, see" in target.replies(held.number)[0]


def unprotected_push(lab: Lab, target: Target) -> None:
    lab.hub.protect(target.name, "main")
    move_main(target)


@pytest.mark.slow
def test_a_hold_keeps_it_from_landing_until_it_is_resumed(lab: Lab) -> None:
    target = lab.repository(train=slow(0.52))
    identity = target.experiment(BETTER)
    lab.bot.wait_for_training()
    hold = target.ask("/hold", number=2)
    eventually(lambda: "eyes" in target.reactions(hold), "the hold")
    eventually(lambda: not lab.bot.offspring("train.py"), "the end of the runs")
    eventually(lambda: "on hold" in [label.name for label in target.pull().labels], "the label")
    assert not target.has(f"nightlab-ledger:experiments/{identity}.json")
    target.ask("/resume", number=2)
    require_measured(target, target.row(identity))


@pytest.mark.slow
def test_a_contract_that_changes_in_mid_measurement_counts_from_then_on(lab: Lab) -> None:
    target = lab.repository(train=slow(0.53))
    identity = target.experiment(BETTER)
    lab.bot.wait_for_training()
    stricter = target.git("show", "main:.github/nightlab.yml").replace("n_confirm: 3", "n_confirm: 5") + "\n"
    target.push("main", ".github/nightlab.yml", stricter)
    row = target.row(identity)
    require_measured(target, row)
    assert row["n_confirm"] >= 5
