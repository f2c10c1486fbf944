"""kill -9 of the bot at every instant that matters, then a restart: the forge ends up as if nothing had happened."""

from typing import Any

import pytest
from living_lab import Lab, Target, Undisturbed, eventually
from quick_task import BETTER, WORSE, slow

from bot.hub import Fault

# (what took effect, idea, method, path, which such request)
WRITES = [
    ("tree of the branch", BETTER, "POST", "/git/trees$", 1),
    ("commit of the branch", BETTER, "POST", "/git/commits$", 1),
    ("branch", BETTER, "POST", "/git/refs$", 1),
    ("pull request", BETTER, "POST", "/pulls$", 1),
    ("comment", BETTER, "POST", "/issues/2/comments$", 1),
    ("edit of the comment", BETTER, "PATCH", "/issues/comments/", 1),
    ("last edit of the comment", WORSE, "PATCH", "/issues/comments/", 2),
    ("check run", BETTER, "POST", "/check-runs$", 1),
    ("change of the check run", BETTER, "PATCH", "/check-runs/", 1),
    ("conclusion of the check run", WORSE, "PATCH", "/check-runs/", 2),
    ("first label", BETTER, "POST", "/issues/2/labels$", 1),
    ("second label", BETTER, "POST", "/issues/2/labels$", 2),
    ("removal of a label", BETTER, "DELETE", "/issues/2/labels/", 1),
    ("merge commit", BETTER, "POST", "/git/commits$", 2),
    ("landing", BETTER, "PATCH", "/git/refs/heads/main$", 1),
    ("label after the merge", BETTER, "POST", "/issues/2/labels$", 4),
    ("close", WORSE, "PATCH", "/pulls/2$", 1),
    ("deletion of the branch", BETTER, "DELETE", "/git/refs/heads/nightlab/", 1),
    ("deletion of a rejected branch", WORSE, "DELETE", "/git/refs/heads/nightlab/", 1),
    ("reply", BETTER, "POST", "/issues/1/comments$", 1),
    ("tree of the ledger", WORSE, "POST", "/git/trees$", 2),
    ("commit of the ledger", WORSE, "POST", "/git/commits$", 2),
    ("ledger", WORSE, "POST", "/git/refs$", 2),
]
QUICK = ("landing",)


def _cases() -> list[Any]:
    return [pytest.param(*case, id=case[0], marks=() if case[0] in QUICK else pytest.mark.slow) for case in WRITES]


@pytest.mark.parametrize(("what", "idea", "method", "path", "nth"), _cases())
def test_killed_when_a_write_took_effect_and_its_answer_was_lost(
    lab: Lab,
    undisturbed: Undisturbed,
    what: str,
    idea: str,
    method: str,
    path: str,
    nth: int,
) -> None:
    expected = undisturbed(idea)
    target = lab.repository()
    identity = target.experiment(idea)
    kill = lab.hub.faults.add(at_nth(lab, target, method=method, path=path, nth=nth))
    eventually(lambda: not lab.bot.alive, f"the kill at the {what}")
    assert kill.hits == nth
    lab.bot.start()
    target.row(identity)
    assert target.settled() == expected
    assert lab.bot.offspring("train.py") == []


def at_nth(lab: Lab, target: Target, *, method: str, path: str, nth: int, after: bool = True) -> Fault:
    """Kills the bot at the nth such request to this repository."""
    seen = 0

    def act() -> None:
        nonlocal seen
        seen += 1
        if seen == nth:
            lab.bot.kill()

    return Fault(method=method, path_regex=f"/{target.name}.*{path}", after=after, times=nth, action=act)


@pytest.mark.slow
def test_killed_right_after_the_webhook_was_accepted(lab: Lab, undisturbed: Undisturbed) -> None:
    expected = undisturbed(BETTER)
    target = lab.repository()
    identity = target.experiment(BETTER)
    eventually(
        lambda: [d for d in target.deliveries() if d.event == "issue_comment" and d.status_code == 202],
        "the webhook's acceptance",
    )
    lab.bot.kill()
    lab.bot.start()
    target.row(identity)
    assert target.settled() == expected


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/contents/train.py$", "/pulls/2$"])
def test_killed_while_it_asks_the_forge(lab: Lab, undisturbed: Undisturbed, path: str) -> None:
    expected = undisturbed(BETTER)
    target = lab.repository()
    identity = target.experiment(BETTER)
    lab.hub.faults.add(at_nth(lab, target, method="GET", path=path, nth=1, after=False))
    eventually(lambda: not lab.bot.alive, "the kill")
    lab.bot.start()
    target.row(identity)
    assert target.settled() == expected


@pytest.mark.slow
def test_killed_while_a_run_trains(lab: Lab, undisturbed: Undisturbed) -> None:
    expected = undisturbed(WORSE)
    target = lab.repository(train=slow(1.0))
    identity = target.experiment(WORSE)
    lab.bot.wait_for_training()
    lab.bot.kill()
    eventually(lambda: not lab.bot.offspring(), "the end of the killed bot's runners", patience_s=30)
    lab.bot.start()
    row = target.row(identity)
    assert [(m["side"], m["run"]["seed"]) for m in row["runs"]] == [
        ("candidate", 0),
        ("baseline", 0),
        ("candidate", 1),
        ("baseline", 1),
    ]
    assert target.settled() == expected


@pytest.mark.slow
def test_killed_its_runners_die_with_it(lab: Lab) -> None:
    """Though each would train for another minute."""
    target = lab.repository(train=slow(60.0))
    identity = target.experiment(WORSE)
    lab.bot.wait_for_training()
    lab.bot.kill()
    eventually(lambda: not lab.bot.offspring(), "the end of the killed bot's runners", patience_s=30)
    target.pull().edit(state="closed")
    lab.bot.start()
    assert target.row(identity)["reason"] == "a person closed it"


@pytest.mark.slow
def test_asked_to_stop_while_a_run_trains_it_stops_at_once_and_goes_on_later(
    lab: Lab, undisturbed: Undisturbed
) -> None:
    expected = undisturbed(WORSE)
    target = lab.repository(train=slow(2.0))
    identity = target.experiment(WORSE)
    lab.bot.wait_for_training()
    lab.bot.stop()
    eventually(lambda: not lab.bot.offspring(), "the end of its runners", patience_s=30)
    lab.bot.start()
    target.row(identity)
    assert target.settled() == expected


@pytest.mark.slow
def test_killed_between_two_runs(lab: Lab, undisturbed: Undisturbed) -> None:
    expected = undisturbed(WORSE)
    target = lab.repository(train=slow(0.7))
    identity = target.experiment(WORSE)
    lab.bot.wait_for_training()
    eventually(lambda: not lab.bot.offspring("train.py"), "the end of the first trainings")
    lab.bot.kill()
    lab.bot.start()
    target.row(identity)
    assert target.settled() == expected


@pytest.mark.slow
def test_killed_again_and_again(lab: Lab, undisturbed: Undisturbed) -> None:
    """At every third write: a step that never gets further than its first write could never end.

    It ends when nothing is left to be killed at, or the kill would reach the test that follows.
    """
    expected = undisturbed(BETTER)
    target = lab.repository()
    identity = target.experiment(BETTER)
    writes = kills = 0

    def act() -> None:
        nonlocal writes, kills
        writes += 1
        if writes % 3 == 0:
            kills += 1
            lab.bot.kill()

    lab.hub.faults.add(
        Fault(method="POST|PATCH|PUT|DELETE", path_regex=f"/repos/{target.name}/", after=True, times=1000, action=act)
    )

    def done() -> bool:
        if not lab.bot.alive:
            lab.bot.start()
        return target.has(f"nightlab-ledger:experiments/{identity}.json") and lab.bot.is_done_in(target.name)

    eventually(done, "the ledger row")
    assert kills > 5
    assert target.settled() == expected


@pytest.mark.slow
def test_killed_during_a_campaign(lab: Lab) -> None:
    target = lab.repository(train=slow(0.5))
    comment = target.ask("/campaign start n=2")
    for _ in range(2):
        lab.bot.wait_for_training()
        lab.bot.kill()
        lab.bot.start()
    eventually(lambda: "Campaign ended" in target.replies(1)[0], "the campaign's end")
    settled = target.settled()
    assert settled["rows"] == len(settled["table"]) == len(settled["pulls"]) == 2
    for number, pull in settled["pulls"].items():
        assert pull["state"] != "open", number
        assert pull["comments"] == ["nightlab[bot]"]
        assert len(pull["checks"]) == 1
    assert len(target.replies(1)) == 1
    assert target.reactions(comment) == ["eyes"]
