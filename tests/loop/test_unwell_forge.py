"""The forge fails, limits, repeats and loses: every command is still carried out exactly once."""

import dataclasses
import json
import sqlite3
import urllib.request

import pytest
from living_lab import Lab, Undisturbed, eventually
from quick_task import BETTER, CONTRACT, WORSE, slow
from test_bad_input import post
from test_killed import WRITES

from bot.hub import Fault
from bot.hub.faults import DeliveryFault
from bot.hub.hooks import redeliver
from bot.hub.records import Delivery

DISTINCT = sorted({(method, path) for _, _, method, path, _ in WRITES})


@pytest.mark.slow
def test_every_kind_of_write_fails_once(lab: Lab, undisturbed: Undisturbed) -> None:
    """In one repository before it took effect, in another after; most of the time both wait for the next attempt."""
    expected = undisturbed(BETTER)
    begun = []
    for status, after in ((500, False), (502, True)):
        target = lab.repository()
        begun.append((target, target.experiment(BETTER)))
        for method, path in DISTINCT:
            place = f"/{target.name}{path}|/{target.name}/.*{path}"
            lab.hub.faults.add(Fault(method=method, path_regex=place, status=status, after=after))
    for target, identity in begun:
        target.row(identity)
        assert target.settled() == expected


@pytest.mark.slow
def test_every_kind_of_read_fails_now_and_then(lab: Lab, undisturbed: Undisturbed) -> None:
    expected = undisturbed(BETTER)
    target = lab.repository()
    identity = target.experiment(BETTER)
    for path in ("/git/ref/", "/git/commits/", "/pulls/2$", "/pulls$", "/contents/", "/git/trees/", "/compare/"):
        lab.hub.faults.add(Fault(method="GET", path_regex=f"/{target.name}{path}", status=503, times=2))
    target.row(identity)
    assert target.settled() == expected


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["primary", "secondary", "too many"])
def test_a_rate_limit_only_delays(lab: Lab, undisturbed: Undisturbed, kind: str) -> None:
    expected = undisturbed(WORSE)
    target = lab.repository()
    identity = target.experiment(WORSE)
    path = f"/repos/{target.name}/"
    if kind == "primary":
        limit = lab.hub.faults.add_primary_rate_limit(path_regex=path, times=2)
    else:
        status = 403 if kind == "secondary" else 429
        limit = lab.hub.faults.add_secondary_rate_limit(path_regex=path, times=2, status=status)
    target.row(identity)
    assert limit.hits == 2
    assert target.settled() == expected


@pytest.mark.slow
def test_a_long_limit_is_slept_out_between_steps_and_survives_a_kill(lab: Lab, undisturbed: Undisturbed) -> None:
    expected = undisturbed(WORSE)
    target = lab.repository()
    identity = target.experiment(WORSE)
    limit = lab.hub.faults.add_secondary_rate_limit(path_regex=f"/{target.name}/check-runs$", retry_after_s=15)

    def steps() -> list[str]:
        with sqlite3.connect(f"file:{lab.bot.database}?mode=ro", uri=True) as database:
            query = "SELECT function_name FROM operation_outputs WHERE workflow_uuid = ? ORDER BY function_id"
            return [name for (name,) in database.execute(query, (identity,))]

    eventually(lambda: "DBOS.sleep" in steps(), "the sleep")
    lab.bot.kill()
    lab.bot.start()
    target.row(identity)
    assert limit.hits == 1
    assert steps().count("show") == 3, "one more than the two of an undisturbed experiment"
    assert target.settled() == expected


@pytest.mark.slow
def test_a_door_that_closes_ends_the_experiment_in_one_sentence_and_is_tried_again_later(lab: Lab) -> None:
    target = lab.repository(train=slow(0.5))
    identity = target.experiment(WORSE)
    lab.bot.wait_for_training()
    pull = target.pull()
    closed = Fault(path_regex=f"/repos/{target.name}", status=403, message="This installation has been suspended")
    closed.times = 1000
    lab.hub.faults.add(closed)

    def dashboard() -> str:
        with urllib.request.urlopen(f"{lab.bot.url}/") as page:  # noqa: S310 - the bot's own address
            return page.read().decode()

    eventually(lambda: lab.bot.is_done_in(target.name), "the end of the experiment's workflow")
    assert closed.hits < 20, "no storm"
    lab.bot.kill()
    lab.bot.start()  # whose sweep finds it
    eventually(lambda: "is suspended: an owner of the account can end that" in dashboard(), "the sentence")
    eventually(lambda: lab.bot.is_done_in(target.name), "the end of a burial in vain")
    lab.hub.faults.clear()
    assert target.pull().state == "open"
    lab.bot.kill()
    lab.bot.start()
    target.row(identity)
    assert target.pull().state == "closed"
    assert "is suspended" in "".join(target.replies(pull.number))


@pytest.mark.slow
def test_a_repository_that_is_renamed_meanwhile_is_followed(lab: Lab) -> None:
    """As are a default branch of another name, and people's commands, which come under the new one."""
    target = lab.repository(train=slow(1.5))
    target.ada.create_git_ref("refs/heads/trunk", target.git("rev-parse", "main"))
    target.ada.edit(default_branch="trunk")
    identity = target.experiment(BETTER)
    lab.bot.wait_for_training()
    number = target.pull().number
    target.name = f"{target.name}-renamed"
    target.ada.edit(name=target.name.split("/")[1])
    target.ask("/hold", number=number)
    eventually(lambda: "on hold" in [label.name for label in target.pull().labels], "the hold")
    target.ask("/resume", number=number)
    row = target.row(identity)
    assert row["state"] == "merged", row["reason"]
    assert target.pull().base.ref == "trunk"
    assert row["merge_sha"] == target.git("rev-parse", "trunk")


@pytest.mark.slow
def test_another_name_is_no_new_budget(lab: Lab) -> None:
    target = lab.repository(contract=CONTRACT + "limits:\n  experiments_per_day: 1\n")
    assert target.row(target.experiment(WORSE))["state"] == "rejected"
    target.name = f"{target.name}-renamed"
    target.ada.edit(name=target.name.split("/")[1])
    number = target.ada.create_issue(title="One more").number
    target.ask("/experiment LR 0.4", number=number)
    assert "limit on experiments in 24 hours (1)" in target.replies(number)[0]


@pytest.mark.slow
@pytest.mark.parametrize("protected", [False, True])
def test_a_rate_limit_at_the_instant_of_landing_is_no_refusal(lab: Lab, protected: bool) -> None:
    """And no reason to merge in a way that is guarded less."""
    target = lab.repository()
    if protected:
        lab.hub.protect(target.name, "main", require_pull=True)
    main, merge = f"/{target.name}/git/refs/heads/main$", f"/{target.name}/pulls/2/merge$"
    identity = target.experiment(BETTER)
    limit = lab.hub.faults.add_secondary_rate_limit(path_regex=merge if protected else main)
    merged = lab.hub.faults.add(Fault(method="PUT", path_regex=merge))
    row = target.row(identity)
    assert row["state"] == "merged", row["reason"]
    assert limit.hits == 1
    assert merged.hits == int(protected)


@pytest.mark.slow
def test_a_ledger_that_moves_at_the_instant_of_writing_keeps_both_rows(lab: Lab) -> None:
    target = lab.repository()
    target.row(target.experiment("LR 0.3"))
    identity = target.experiment(WORSE)
    lab.hub.faults.add(
        Fault(
            method="PATCH",
            path_regex=f"/{target.name}/git/refs/heads/nightlab-ledger$",
            action=lambda: target.push("nightlab-ledger", "notes.md", "By hand.\n") and None,
        )
    )
    target.row(identity)
    settled = target.settled()
    assert settled["rows"] == 2
    assert settled["table"] == ["rejected", "rejected"]
    assert target.git("show", "nightlab-ledger:notes.md") == "By hand."


def test_a_webhook_that_comes_twice_is_obeyed_once(lab: Lab, undisturbed: Undisturbed) -> None:
    expected = undisturbed(WORSE)
    target = lab.repository()
    lab.hub.faults.add_to_deliveries(DeliveryFault(event="issue_comment", duplicate=True))
    identity = target.experiment(WORSE)
    target.row(identity)
    first = next(delivery for delivery in target.deliveries() if delivery.event == "issue_comment")
    lab.hub.forge.store.add(
        dataclasses.replace(first, id=0, redelivery=True, status_code=None, delivered_at=None, status="")
    )
    lab.settle(target)
    assert target.settled() == expected


def test_a_webhook_that_got_lost_is_found_at_the_next_start(lab: Lab, undisturbed: Undisturbed) -> None:
    """Although more has been delivered since than one page of the forge's list shows."""
    expected = undisturbed(WORSE)
    target = lab.repository()
    lab.hub.faults.add_to_deliveries(DeliveryFault(event="issue_comment", lose=True))
    identity = target.experiment(WORSE)
    eventually(
        lambda: [d for d in target.deliveries() if d.event == "issue_comment" and d.status_code == 0], "the loss"
    )
    later = next(delivery for delivery in lab.hub.forge.store.all(Delivery) if delivery.status_code == 202)
    for number in range(120):
        lab.hub.forge.store.add(dataclasses.replace(later, id=0, guid=f"later-{number}", event="ping", repo_id=None))
    lab.bot.kill()
    lab.bot.start()
    target.row(identity)
    assert target.settled() == expected


@pytest.mark.slow
def test_what_was_asked_while_the_bot_was_away_is_done_once_when_it_is_back(lab: Lab) -> None:
    """Whatever people did with the delivery in the meantime, and after."""
    target = lab.repository()
    lab.bot.kill()
    asked = [target.ask("/hold", number=None if number == 0 else 1) for number in range(3)]
    comments = lambda: [d for d in target.deliveries() if d.event == "issue_comment" and not d.redelivery]  # noqa: E731
    eventually(lambda: [d.status_code for d in comments()] == [0, 0, 0], "three lost webhooks")
    redeliver(lab.hub.forge, comments()[0])  # by hand, in vain as well
    eventually(lambda: all(d.status_code is not None for d in target.deliveries()), "the redelivery")
    lab.bot.start()

    def answers() -> list[str]:
        return [body for body in target.replies(1, count=3) if "opens with" in body or "pull request" in body]

    eventually(lambda: len(answers()) == 3, "three answers")
    again = redeliver(lab.hub.forge, comments()[1])
    assert again.guid == comments()[1].guid
    lab.settle(target)
    lab.bot.kill()
    lab.bot.start()
    lab.settle(target)
    assert len(target.replies(1)) == 3
    assert [target.reactions(comment).count("confused") for comment in asked] == [1, 1, 1]


@pytest.mark.slow
def test_a_measurement_that_the_forge_made_impossible_can_be_had_later(lab: Lab) -> None:
    """Three failed attempts at main's runs must not stand for ever for what main is."""
    target = lab.repository(train=slow(0.01))
    lab.hub.faults.add(Fault(path_regex=rf"^/{target.name}\.git/", status=503, times=1000))
    row = target.row(target.experiment(WORSE))
    assert row["state"] == "abandoned"
    assert row["reason"].startswith("the measurement failed three times: ")
    lab.hub.faults.clear()
    row = target.row(target.experiment(WORSE))
    assert row["state"] == "rejected", row["reason"]


@pytest.mark.slow
def test_what_was_merged_is_recorded_as_merged_though_the_bot_stumbled_right_after(lab: Lab) -> None:
    target = lab.repository()
    identity = target.experiment(BETTER)
    landed = lab.hub.faults.add(
        Fault(method="PATCH", path_regex=f"/{target.name}/git/refs/heads/main$", after=True, action=lambda: stumble())
    )

    def stumble() -> None:
        lab.hub.faults.add(Fault(method="PATCH", path_regex=f"/{target.name}/check-runs/", status=422))

    eventually(lambda: lab.bot.is_done_in(target.name) and landed.hits, "the landing")
    lab.bot.kill()
    lab.bot.start()  # whose sweep finds the broken experiment
    row = target.row(identity)
    assert row["state"] == "merged", row["reason"]
    assert target.pull().merged
    assert [label.name for label in target.pull().labels] == ["nightlab: merged"]


@pytest.mark.slow
def test_an_app_that_is_suspended_ends_what_waits_for_people_at_once(lab: Lab) -> None:
    target = lab.repository(contract=CONTRACT + "land: manual\n")
    target.experiment(BETTER)
    target.proven()
    lab.settle_deliveries(target)
    assert not lab.bot.is_done_in(target.name)
    closed = Fault(path_regex=f"/repos/{target.name}", status=403, message="This installation has been suspended")
    closed.times = 1000
    lab.hub.faults.add(closed)
    moved = {
        "action": "suspend",
        "installation": {"id": 1, "account": {"login": "ada"}, "updated_at": "2026-01-02T03:04:05Z"},
    }
    assert post(lab, json.dumps(moved).encode(), event="installation")[0] == 202
    eventually(lambda: lab.bot.is_done_in(target.name), "the end of the experiment's workflow")
