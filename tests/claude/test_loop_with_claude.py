"""The loop with Claude as the proposer, every party real but the model's provider: killed, poor, without a key."""

import json
import sqlite3
from typing import Any

import pytest
from living_lab import Lab, Target, eventually
from quick_task import BETTER, CONTRACT, TRAIN, slow
from stand_in import KEY, Fail, Say, StandIn

CLAUDE = CONTRACT + "proposer: claude\n"
SUBMIT = {
    "title": "Raise LR to 0.7",
    "hypothesis": "The optimum lies above today's learning rate, as the program hints.",
    "mechanism": "The loss is a parabola in LR, and 0.7 lies nearer to its minimum.",
    "expected_gain": 0.3,
    "expected_low": 0.1,
    "expected_high": 0.4,
    "risk": "None that I can see.",
    "kind": "improve",
}
RAISE = ("replace", {"path": "train.py", "old": "LR = 0.5", "new": "LR = 0.7"})


def whole() -> list[Say | Fail]:
    return [
        Say(thinking="Hm.", calls=[("read_file", {"path": "train.py"}), ("find_experiments", {})]),
        Say(calls=[RAISE]),
        Say(calls=[("submit", SUBMIT)]),
    ]


def test_claude_proposes_and_the_numbers_merge_it(lab: Lab, api: StandIn) -> None:
    target = lab.repository(contract=CLAUDE)
    api.script = whole()
    row = target.row(target.experiment("try a higher learning rate"))
    assert row["state"] == "merged", row["reason"]
    assert "LR = 0.7" in target.git("show", "main:train.py")
    body = target.pull().body
    assert "**Mechanism:** The loss is a parabola in LR" in body
    assert "better by 0.3 (likely 0.1 to 0.4) bpb: a guess by `claude-opus-5-5`" in body
    assert "from its cache) and wrote 300 in 3 answers" in body
    use = row["model_use"]
    assert (use["turns"], use["output_tokens"], use["model"]) == (3, 300, "claude-opus-5-5")
    assert row["model_cost_usd"] == use["cost_usd"] > 0
    assert api.complaints == []


def test_no_secret_leaves_the_bot(lab: Lab, api: StandIn) -> None:
    target = lab.repository(contract=CLAUDE, train=_spying_train())
    api.script = whole()
    target.row(target.experiment("try a higher learning rate"))
    assert KEY not in json.dumps(api.requests)
    assert KEY not in lab.bot.log.read_text()
    with sqlite3.connect(f"file:{lab.bot.database}?mode=ro", uri=True) as database:
        assert not any(KEY in line for line in database.iterdump())
    assert KEY not in target.git("log", "--all", "-p")
    assert "KEYS: []" in json.dumps(target.row(target.asked[0])["runs"])


def _spying_train() -> str:
    return TRAIN.replace(
        'print(f"step', 'print("KEYS:", [n for n in os.environ if "ANTHROPIC" in n or "KEY" in n])\n    print(f"step', 1
    )


@pytest.mark.parametrize("at", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_killed_in_the_middle_of_a_conversation(lab: Lab, api: StandIn, at: int) -> None:
    """While the answer is on its way: it is asked for again, and everything is there and paid for once."""
    target = lab.repository(contract=CLAUDE)
    script = whole()
    api.script = [*script[: at - 1], Fail(529, "overloaded_error", delay_s=30), *script[at - 1 :]]
    identity = target.experiment("try a higher learning rate")
    eventually(lambda: api.attempts == at, f"request {at}")
    lab.bot.kill()
    lab.bot.start()
    row = target.row(identity)
    assert row["state"] == "merged", row["reason"]
    assert api.attempts == 4
    assert api.requests[at] == api.requests[at - 1]
    assert (row["model_use"]["turns"], row["model_use"]["output_tokens"]) == (3, 300)
    assert len(list(target.ada.get_pulls(state="all"))) == 1
    assert target.settled()["rows"] == 1


def test_an_idea_that_cannot_be_done_is_answered(lab: Lab, api: StandIn) -> None:
    target = lab.repository(contract=CLAUDE)
    api.script = [Say(calls=[("decline", {"reason": "the task has one GPU, so there is no pipeline to parallelise"})])]
    target.experiment("use pipeline parallelism")
    (reply,) = target.replies(1)
    assert "the task has one GPU, so there is no pipeline to parallelise" in reply
    assert list(target.ada.get_pulls(state="all")) == []


def test_a_provider_that_is_down_is_told_in_one_sentence(lab: Lab, api: StandIn) -> None:
    target = lab.repository(contract=CLAUDE)
    api.script = [Fail(529, "overloaded_error", {"retry-after": "0"})] * 4
    target.experiment("anything")
    assert "overloaded or down, also after 3 more tries: ask again later" in target.replies(1)[0]


@pytest.mark.slow
def test_the_budget_of_a_day_stops_before_it_is_passed(lab: Lab, api: StandIn) -> None:
    terms = CLAUDE + "limits: {usd_per_day: 0.5}\nclaude: {usd: 0.4}\n"
    target = lab.repository(contract=terms)
    spent = []
    for _ in range(4):
        api.script = [Say(calls=[("list_files", {})], output_tokens=2_000)] * 40
        spent.append(_spent(target, target.experiment("something new")))
    assert sum(spent) <= 0.5
    assert spent[0] > 0.25
    assert "for the model in 24 hours are used up" in target.replies(target.ada.get_issues(state="all")[0].number)[0]


def _spent(target: Target, identity: str) -> float:
    return float(target.row(identity)["model_cost_usd"])


@pytest.mark.slow
def test_mixed_takes_turns_and_the_ledger_knows_who_found_what(lab: Lab, api: StandIn) -> None:
    target = lab.repository(contract=CONTRACT + "proposer: mixed\n")
    api.script = whole()
    target.ask("/campaign start n=2")
    eventually(
        lambda: next((reply for reply in target.replies(1) if "Campaign ended" in reply), None), "the campaign's end"
    )
    rows: list[dict[str, Any]] = [
        json.loads(target.git("show", f"nightlab-ledger:{path}"))
        for path in target.git("ls-tree", "-r", "--name-only", "nightlab-ledger").splitlines()
        if path.endswith(".json")
    ]
    assert sorted(row["proposed_by"] for row in rows) == ["claude-opus-5-5", "tuner"]


@pytest.mark.slow
def test_mixed_leaves_constants_to_the_tuner_and_falls_back_to_it(lab: Lab, api: StandIn) -> None:
    target = lab.repository(contract=CONTRACT + "proposer: mixed\n")
    row = target.row(target.experiment(BETTER))
    assert row["proposed_by"] == "tuner"
    assert api.attempts == 0
    api.script = [Fail(529, "overloaded_error", {"retry-after": "0"})] * 8
    issue = target.ada.create_issue(title="A campaign")
    target.ask("/campaign start n=1", number=issue.number)
    eventually(lambda: "Campaign ended" in target.replies(issue.number)[0], "the campaign's end")
    assert "Proposed by `tuner`" in target.pull().body
    assert api.attempts == 4


def sabotage(old: int, new: int) -> tuple[str, dict[str, str]]:
    return ("replace", {"path": "train.py", "old": f"SABOTAGE = {old}", "new": f"SABOTAGE = {new}"})


def test_a_draft_that_crashes_is_mended_before_anybody_sees_it(lab: Lab, api: StandIn) -> None:
    target = lab.repository(contract=CLAUDE)
    api.script = [
        Say(calls=[RAISE, sabotage(0, 1), ("submit", SUBMIT)]),
        Say(calls=[sabotage(1, 0), ("submit", SUBMIT)]),
    ]
    row = target.row(target.experiment("try a higher learning rate"))
    assert row["state"] == "merged", row["reason"]
    refused = api.requests[1]["messages"][-1]["content"][-1]
    assert "ZeroDivisionError: the loss is zero: sabotage" in refused["content"]
    assert row["smoke_runs"] == 2
    assert row["gpu_s"] > sum(m["run"]["train_s"] for m in row["runs"] if not m["shared"])
    assert len(list(target.ada.get_pulls(state="all"))) == 1


@pytest.mark.slow
def test_killed_in_a_smoke_run(lab: Lab, api: StandIn) -> None:
    """The answer is not asked for again, and the draft is run to its end."""
    target = lab.repository(contract=CLAUDE, train=slow(1.5))
    api.script = [Say(calls=[RAISE, ("submit", SUBMIT)])]
    identity = target.experiment("try a higher learning rate")
    lab.bot.wait_for_training()
    assert list(target.ada.get_pulls(state="all")) == []
    lab.bot.kill()
    lab.bot.start()
    row = target.row(identity)
    assert row["state"] == "merged", row["reason"]
    assert (api.attempts, row["smoke_runs"]) == (1, 1)
