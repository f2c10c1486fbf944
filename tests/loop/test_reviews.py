"""People review the bot's pull requests as they review a teammate's."""

import pytest
from github.PullRequest import PullRequest
from living_lab import Lab, Target, eventually
from quick_task import BETTER, CONTRACT, slow


def test_what_a_review_asks_for_is_answered_once(lab: Lab) -> None:
    target = lab.repository(train=slow(0.6))
    identity = target.experiment(BETTER)
    lab.bot.wait_for_training()
    pull = target.pull()
    comments = [{"path": "train.py", "line": 6, "body": "Why not 0.75?"}]
    pull.create_review(body="One thing.", event="COMMENT", comments=comments)
    by_eve = lab.client("eve").get_repo(target.name).get_pull(pull.number)
    by_eve.create_review(body="Do as I say.", event="REQUEST_CHANGES")
    row = target.row(identity)
    assert row["state"] == "merged", "somebody who may only read stops nothing"
    lab.settle(target)
    answers = [text for text in target.replies(pull.number) if "Nothing is changed" in text]
    assert len(answers) == 1


def review(lab: Lab, target: Target, pull: PullRequest, event: str, *, login: str = "ada") -> None:
    lab.client(login).get_repo(target.name).get_pull(pull.number).create_review(body="", event=event)


@pytest.mark.slow
def test_what_is_proven_waits_for_an_approval_of_its_head_and_is_measured_again_when_main_moved(lab: Lab) -> None:
    target = lab.repository(contract=CONTRACT + "land: after-approval\n", train=slow(0.03))
    identity = target.experiment(BETTER)
    assert eventually(lambda: list(target.ada.get_pulls()), "the pull request")[0].draft
    pull = target.proven()
    assert (pull.state, pull.draft) == ("open", False)
    review(lab, target, pull, "APPROVE", login="eve")  # who may only read
    target.push("main", "notes.md", "Mind the gap.\n")
    lab.settle_deliveries(target)
    assert not target.pull().merged
    review(lab, target, pull, "APPROVE")
    row = target.row(identity)
    assert row["state"] == "merged", row["reason"]
    assert target.git("rev-parse", "main^{tree}") in {m["run"]["tree_sha"] for m in row["runs"]}
    assert target.git("show", "main:notes.md") == "Mind the gap."


@pytest.mark.slow
def test_changes_requested_keep_it_open_until_they_are_taken_back(lab: Lab) -> None:
    target = lab.repository(train=slow(0.61))
    identity = target.experiment(BETTER)
    lab.bot.wait_for_training()
    review(lab, target, target.pull(), "REQUEST_CHANGES")
    pull = target.proven()
    assert "ada asked for changes" in target.replies(pull.number)[0]
    (objection,) = pull.get_reviews()
    objection.dismiss("Never mind.")
    assert target.row(identity)["state"] == "merged"


@pytest.mark.slow
def test_what_a_person_pushes_after_the_approval_is_not_merged_by_it(lab: Lab) -> None:
    target = lab.repository(contract=CONTRACT + "land: after-approval\n", train=slow(0.03))
    identity = target.experiment(BETTER)
    pull = target.proven()
    target.push(f"nightlab/{identity}", "train.py", slow(0.03).replace("LR = 0.5", "LR = 0.75"))
    review(lab, target, pull, "APPROVE")
    row = target.row(identity)
    assert row["state"] == "merged"
    assert "LR = 0.75" in target.git("show", "main:train.py")


@pytest.mark.slow
def test_a_person_merges_what_the_contract_leaves_to_people(lab: Lab) -> None:
    target = lab.repository(contract=CONTRACT + "land: manual\n", train=slow(0.05))
    identity = target.experiment(BETTER)
    pull = target.proven()
    pull.merge()
    row = target.row(identity)
    assert row["state"] == "merged"
    assert row["reason"].startswith("a person merged it, exactly as measured")
    assert row["merge_sha"] == target.git("rev-parse", "main")


@pytest.mark.slow
def test_a_campaign_goes_on_while_what_it_proved_waits_for_people(lab: Lab) -> None:
    target = lab.repository(contract=CONTRACT + "land: manual\n", train=slow(0.05))
    target.ask("/campaign start n=2")
    eventually(lambda: "2 of 2 experiments done" in target.replies(1)[0], "the end of the campaign")


@pytest.mark.slow
def test_a_person_has_more_measured_and_merges_what_the_contract_would_not(lab: Lab) -> None:
    target = lab.repository(contract=CONTRACT + "land: manual\ncommands: {merge: admin}\n", train=slow(0.07))
    lab.hub.add_collaborator(target.name, "eve")
    identity = target.experiment(BETTER)
    pull = target.proven()
    target.ask("/rerun 2", number=pull.number, login="eve")
    eventually(lambda: "confirming" in str(target.pull().labels), "the next runs")
    target.proven()
    target.ask("/explain", number=pull.number)
    target.ask(f"/merge {pull.head.sha}", number=pull.number, login="eve")
    target.ask("/merge", number=pull.number)
    said = "\n".join(target.replies(pull.number, count=4))
    assert "What was found.** 7 runs of the change" in said
    assert "it takes admin access" in said
    assert not target.pull().merged
    assert f"write `/merge {pull.head.sha[:10]}`" in said
    target.ask(f"/merge {pull.head.sha[:10]}", number=pull.number)
    row = target.row(identity)
    assert (row["state"], row["overridden_by"], row["n"]) == ("merged", "ada", 7)
    assert "Overridden-by: ada" in target.git("log", "-1", "--format=%(trailers)", "main")


@pytest.mark.slow
def test_a_click_on_rerun_is_a_rerun_by_whoever_clicked(lab: Lab) -> None:
    target = lab.repository(contract=CONTRACT + "land: manual\ncommands: {rerun: admin}\n", train=slow(0.04))
    lab.hub.add_collaborator(target.name, "eve")
    target.experiment(BETTER)
    pull = target.proven()
    (check,) = target.ada.get_commit(pull.head.sha).get_check_runs()

    def click(login: str) -> None:
        lab.client(login).requester.requestJsonAndCheck("POST", f"/repos/{target.name}/check-runs/{check.id}/rerequest")

    click("eve")
    assert "it takes admin access" in target.replies(pull.number, count=2)[1]
    assert "nightlab: proven" in [label.name for label in target.pull().labels]
    click("ada")
    eventually(lambda: "confirming" in str(target.pull().labels), "the next run")
    target.proven()
    target.pull().edit(state="closed")  # the lab is shared: what waits for people keeps it from being idle
