"""The forge fails, limits, repeats and loses: every command is still carried out exactly once."""

import dataclasses

import pytest
from living_lab import Lab, Undisturbed, eventually
from quick_task import BETTER, WORSE, slow
from test_killed import WRITES

from bot.hub import Fault
from bot.hub.faults import DeliveryFault
from bot.hub.records import Delivery

DISTINCT = sorted({(method, path) for _, _, method, path, _ in WRITES})


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("status", [500, 502])
def test_every_kind_of_write_fails_once(lab: Lab, undisturbed: Undisturbed, after: bool, status: int) -> None:
    expected = undisturbed(BETTER)
    target = lab.repository()
    identity = target.experiment(BETTER)
    for method, path in DISTINCT:
        lab.hub.faults.add(
            Fault(method=method, path_regex=f"/{target.name}{path}|/{target.name}/.*{path}", status=status, after=after)
        )
    target.row(identity, patience_s=120)
    assert target.settled() == expected


@pytest.mark.slow
def test_every_kind_of_read_fails_now_and_then(lab: Lab, undisturbed: Undisturbed) -> None:
    expected = undisturbed(BETTER)
    target = lab.repository()
    identity = target.experiment(BETTER)
    for path in ("/git/ref/", "/git/commits/", "/pulls/2$", "/pulls$", "/contents/", "/git/trees/", "/compare/"):
        lab.hub.faults.add(Fault(method="GET", path_regex=f"/{target.name}{path}", status=503, times=2))
    target.row(identity, patience_s=120)
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
    target.row(identity, patience_s=120)
    assert limit.hits == 2
    assert target.settled() == expected


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

    eventually(lambda: lab.bot.idle and landed.hits, "the landing")
    lab.bot.kill()
    lab.bot.start()  # whose sweep finds the broken experiment
    row = target.row(identity)
    assert row["state"] == "merged", row["reason"]
    assert target.pull().merged
    assert [label.name for label in target.pull().labels] == ["nightlab: merged"]
