"""Claude over real HTTP: every way that a conversation can go, with what it costs."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conversations import FILES, RAISE, SUBMIT, TRAIN, contract, converse, desk, prompt, row
from stand_in import KEY, Fail, Say, StandIn

from bot.core.model import Edit, State
from bot.core.proposal import tools
from bot.core.proposal.conversation import Room, room, total
from bot.core.proposal.draft import Draft
from bot.core.proposal.prices import PRICES, Price
from bot.core.scope import apply_edits

LATER = {"retry-after": "0"}


def last_results(stand_in: StandIn) -> list[dict[str, Any]]:
    return list(stand_in.requests[-1]["messages"][-1]["content"])


def test_a_conversation_ends_in_a_proposal_that_applies() -> None:
    script: list[Say | Fail] = [
        Say(thinking="Where is the rate?", text="I look first.", calls=[("read_file", {"path": "train.py"})]),
        Say(calls=[RAISE, ("check_draft", {})]),
        Say(calls=[("submit", SUBMIT)]),
    ]
    with StandIn(script) as stand_in:
        turns = converse(stand_in)
    assert stand_in.complaints == []
    proposal = turns[-1].proposal
    assert proposal is not None
    assert (proposal.title, proposal.proposed_by, proposal.expected_low) == ("Raise LR to 0.7", "claude-opus-5-5", 0.0)
    assert apply_edits({"train.py": TRAIN}, proposal.edits) == {"train.py": TRAIN.replace("0.5", "0.7")}
    assert proposal.edits == (Edit(path="train.py", old="LR = 0.5\n", new="LR = 0.7\n"),)
    said = stand_in.requests[1]["messages"][1]["content"]
    assert said[0] == {"type": "thinking", "thinking": "Where is the rate?", "signature": "c2lnbmF0dXJl"}
    assert "LR = 0.5" in stand_in.requests[1]["messages"][2]["content"][0]["content"]


def test_what_it_cost_is_what_the_api_billed_and_most_of_the_prompt_comes_from_the_cache() -> None:
    script: list[Say | Fail] = [Say(calls=[("list_files", {})]) for _ in range(5)]
    with StandIn([*script, Say(calls=[RAISE]), Say(calls=[("submit", SUBMIT)])]) as stand_in:
        turns = converse(stand_in)
    use = total(turns, model="claude-opus-5-5")
    price = PRICES["claude-opus-5-5"]
    assert use.turns == 7
    assert use.output_tokens == 700
    assert use.cost_usd == pytest.approx(
        (
            use.input_tokens * price.input
            + use.output_tokens * price.output
            + use.cache_read_tokens * price.cache_read
            + use.cache_write_tokens * price.cache_write
        )
        / 1e6
    )
    assert use.cache_read_tokens / use.prompt_tokens > 0.75


def test_a_second_conversation_reads_rules_program_and_code_from_the_cache() -> None:
    script: list[Say | Fail] = [Say(calls=[("decline", {"reason": "there is nothing left to try"})]) for _ in range(2)]
    with StandIn(script) as stand_in:
        first = converse(stand_in)[-1].use
        second = converse(stand_in, place=desk(history=[row(1)]))[-1].use
    assert first.cache_read_tokens == 0
    assert second.cache_read_tokens > 0.7 * second.prompt_tokens


@pytest.mark.parametrize(
    "failure",
    [
        Fail(429, "rate_limit_error", LATER),
        Fail(529, "overloaded_error", LATER),
        Fail(500, "api_error", LATER),
        Fail(503, "api_error", LATER),
        Fail(408, "timeout_error", LATER),
        Fail(409, "conflict", LATER),
    ],
    ids=lambda failure: str(failure.status),
)
def test_what_may_pass_is_tried_again(failure: Fail) -> None:
    with StandIn([failure, Say(calls=[RAISE, ("submit", SUBMIT)])]) as stand_in:
        turns = converse(stand_in)
    assert turns[-1].proposal is not None
    assert stand_in.attempts == 2


@pytest.mark.parametrize(
    ("failure", "attempts", "said"),
    [
        (Fail(429, "rate_limit_error", LATER), 4, "limits us, also after 3 more tries"),
        (Fail(529, "overloaded_error", LATER), 4, "overloaded or down, also after 3 more tries"),
        (Fail(500, "api_error", {**LATER, "x-should-retry": "false"}), 1, "overloaded or down"),
        (Fail(400, "invalid_request_error", message="max_tokens: too large"), 1, "(400): max_tokens: too large"),
        (Fail(403, "permission_error"), 1, "our key is not accepted"),
        (Fail(402, "billing_error", message="your credit is used up"), 1, "(402): your credit is used up"),
        (Fail(413, "request_too_large"), 1, "refused the request (413)"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Fail) else "",
)
def test_what_does_not_pass_ends_in_one_sentence(failure: Fail, attempts: int, said: str) -> None:
    with StandIn([failure] * 4) as stand_in:
        turns = converse(stand_in)
    assert said in turns[-1].ended
    assert "\n" not in turns[-1].ended
    assert stand_in.attempts == attempts
    assert turns[-1].use.cost_usd == 0


def test_a_wrong_key_and_a_model_that_is_not_there() -> None:
    with StandIn() as stand_in:
        assert "our key is not accepted" in converse(stand_in, key="wrong")[-1].ended
        terms = contract("claude: {model: unknown-1, input_usd: 1, output_usd: 5}")
        assert "does not know this model" in converse(stand_in, terms=terms)[-1].ended


def test_nobody_listens() -> None:
    with StandIn() as stand_in:
        stand_in.server.server_close()
        assert "cannot be reached" in converse(stand_in)[-1].ended


@pytest.mark.parametrize(
    ("broken", "begun"),
    [
        (Say(calls=[RAISE], break_after=4), True),
        (Say(calls=[RAISE], sse_error=("overloaded_error", "Overloaded")), False),
    ],
)
def test_an_answer_that_breaks_off_is_asked_for_again_and_both_are_paid_for(broken: Say, begun: bool) -> None:
    """Before its end the API tells of one token only, whatever had come by then."""
    with StandIn([broken, Say(calls=[RAISE, ("submit", SUBMIT)])]) as stand_in:
        turns = converse(stand_in)
    assert turns[-1].proposal is not None
    assert stand_in.requests[0] == stand_in.requests[1]
    use = turns[0].use
    assert 101 < use.output_tokens < 200 if begun else use.output_tokens == 101
    assert use.cache_read_tokens > 0


def test_an_answer_that_always_breaks_off_ends_it() -> None:
    with StandIn([Say(calls=[RAISE], break_after=4)] * 5) as stand_in:
        turns = converse(stand_in)
    assert "ask again later" in turns[-1].ended
    assert stand_in.attempts == 3
    assert turns[-1].use.cost_usd > 0


def test_a_slow_answer_is_cut_off_at_the_limit() -> None:
    calls = 50
    with StandIn([Say(calls=[RAISE] * calls, delay_s=0.4)]) as stand_in:
        started_s = time.monotonic()
        turns = converse(stand_in, terms=contract("claude: {minutes: 0.03}"))
    assert time.monotonic() - started_s < 0.5 * (3 * calls * 0.4)  # of the whole answer: three events a call
    assert turns[-1].ended in ("the model took longer than it was given", "the model's provider did not answer in time")


@pytest.mark.parametrize(
    ("stop_reason", "said"),
    [
        ("refusal", "the model refused to work on this"),
        ("model_context_window_exceeded", "longer than the model can read"),
    ],
)
def test_answers_that_are_no_answers(stop_reason: str, said: str) -> None:
    with StandIn([Say(text="No.", stop_reason=stop_reason)]) as stand_in:
        assert said in converse(stand_in)[-1].ended


def test_an_empty_answer_ends_it() -> None:
    with StandIn([Say()]) as stand_in:
        assert converse(stand_in)[-1].ended == "the model gave an empty answer"


def test_talk_without_tools_is_put_up_with_twice() -> None:
    with StandIn([Say(text="Let me think."), Say(text="Well."), Say(text="Hm.")]) as stand_in:
        turns = converse(stand_in)
    assert len(turns) == 3
    assert turns[-1].ended == "the model stopped without handing anything in"
    assert "submit or decline" in json.dumps(stand_in.requests[1]["messages"][-1])


def test_a_truncated_call_is_not_carried_out() -> None:
    cut = Say(calls=[RAISE], stop_reason="max_tokens", raw_json='{"path": "train.py", "old": "LR = 0')
    with StandIn([cut, Say(calls=[("show_draft", {})]), Say(calls=[RAISE, ("submit", SUBMIT)])]) as stand_in:
        turns = converse(stand_in)
    assert turns[-1].proposal is not None
    results = stand_in.requests[1]["messages"][-1]["content"][0]
    assert results["is_error"]
    assert "cut off" in results["content"]
    assert turns[0].edits == ()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("rm", {"path": "/"}), "there is no tool 'rm'"),
        (("replace", {"path": "train.py"}), "replace: old: Field required"),
        (("replace", {"path": 7, "old": "", "new": ""}), "replace: path: Input should be a valid string"),
        (("replace", {"path": "train.py", "old": "nowhere", "new": "x"}), "`old` is not in"),
        (("replace", {"path": "train.py", "old": "x", "new": "y"}), "more than once"),
        (("replace", {"path": "train.py", "old": "", "new": "y"}), "exists already"),
        (("submit", SUBMIT), "the edits change nothing"),
        (("read_file", {"path": "../../etc/passwd"}), "is not a text file of this repository"),
        (("read_experiment", {"experiment": "c999"}), "there is no experiment c999"),
        (("list_files", {"folder": "", "also": 1}), "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_call_is_answered_with_one_sentence_and_goes_on(call: tuple[str, Any], said: str) -> None:
    with StandIn([Say(calls=[call]), Say(calls=[RAISE, ("submit", SUBMIT)])]) as stand_in:
        turns = converse(stand_in)
    result = stand_in.requests[1]["messages"][-1]["content"][0]
    assert result["is_error"]
    assert said in result["content"]
    assert turns[-1].proposal is not None


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (("LR = 0.5", "LR = = 0.5"), "is not valid Python in line 3"),
        (("import math", "import math, apex"), "imports apex, which the task does not have"),
        (("LR = 0.5", "LR = 0.5\n" + "x = 1\n" * 301), "one idea takes at most 300"),
    ],
)
def test_a_draft_that_would_not_do_is_refused(edit: tuple[str, str], said: str) -> None:
    replace = ("replace", {"path": "train.py", "old": edit[0], "new": edit[1]})
    script: list[Say | Fail] = [
        Say(calls=[replace, ("submit", SUBMIT)]),
        Say(calls=[("decline", {"reason": "too hard"})]),
    ]
    with StandIn(script) as stand_in:
        turns = converse(stand_in)
    assert turns[-1].proposal is None
    assert said in stand_in.requests[1]["messages"][-1]["content"][1]["content"]


def test_a_simplification_must_remove_lines() -> None:
    submit = ("submit", {**SUBMIT, "kind": "simplify"})
    shorter = ("replace", {"path": "train.py", "old": "\n\ndef unused(x):\n    return math.sqrt(x)\n", "new": "\n"})
    with StandIn([Say(calls=[RAISE, submit]), Say(calls=[("discard_draft", {}), shorter, submit])]) as stand_in:
        turns = converse(stand_in)
    assert "removes more lines than it adds" in stand_in.requests[1]["messages"][-1]["content"][1]["content"]
    assert turns[-1].proposal is not None


def test_a_repetition_is_refused_with_a_pointer_to_the_attempt() -> None:
    earlier = row(4, edits=(Edit(path="train.py", old="LR = 0.5", new="LR = 0.7  # higher"),), title="Raise LR")
    script: list[Say | Fail] = [
        Say(calls=[RAISE, ("submit", SUBMIT)]),
        Say(calls=[("decline", {"reason": "everything was tried"})]),
    ]
    with StandIn(script) as stand_in:
        turns = converse(stand_in, place=desk(history=[earlier]))
    assert turns[-1].ended == "everything was tried"
    assert "the same program as c4 (#4), rejected, gain -0.01" in last_results(stand_in)[1]["content"]


def test_a_file_that_was_emptied_is_shown_empty_and_can_be_written_again() -> None:
    emptied = desk(draft={"notes.md": ""})
    assert "warm-up" not in emptied.look(tools.ReadFile(path="notes.md"))
    assert "warm-up" not in emptied.look(tools.Search(text="warm-up"))
    assert "warm-up" in desk().look(tools.Search(text="warm-up"))
    empty = Draft(desk=desk(files={"train.py": ""}))
    answer = empty.use("replace", {"path": "train.py", "old": "", "new": "LR = 1\n"})
    assert not answer.is_error
    assert replace(empty, edits=answer.edits).hunks() == (Edit(path="train.py", old="", new="LR = 1\n"),)


def test_a_command_without_a_budget_has_a_prompt() -> None:
    terms = contract("claims: {command: [python3, train.py]}\nmetric: {name: val_loss, unit: ''}")
    assert "trains as long as its command takes" in "".join(prompt(desk(), terms).system)


def test_the_limit_on_turns_holds() -> None:
    with StandIn([Say(calls=[("list_files", {})])] * 9) as stand_in:
        turns = converse(stand_in, terms=contract("claude: {turns: 5}"))
    assert stand_in.attempts == 5
    assert turns[-1].ended == "the model used its 5 answers without a proposal"
    assert "You have 1 answers left" in json.dumps(stand_in.requests[-1]["messages"][-1])


def test_the_limit_on_tokens_holds() -> None:
    with StandIn([Say(calls=[("list_files", {})], output_tokens=9_000)] * 30) as stand_in:
        turns = converse(stand_in, terms=contract("claude: {tokens: 60000}"))
    use = total(turns, model="")
    assert "60,000 tokens" in turns[-1].ended
    assert 30_000 < use.prompt_tokens + use.output_tokens <= 60_000


def test_the_limit_on_tokens_holds_when_answers_break_off() -> None:
    """An answer is asked for again only when the limit leaves room for another one as long as it may be."""
    price = Price(input=0, output=0, cache_write=0, cache_read=0)
    for tokens, attempts in ((20_000, 1), (45_000, 1), (52_000, 2), (78_000, 3), (1_000_000, 3)):
        limits = contract(f"claude: {{tokens: {tokens}}}").claude
        space = room([], limits=limits, granted_usd=1.0, price=price, prompt_tokens=10_000)
        assert isinstance(space, Room)
        assert space.attempts == attempts
        assert space.attempts * (10_000 + space.max_tokens) <= tokens


@pytest.mark.parametrize("granted_usd", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("counts", [True, False])
def test_the_limit_on_money_is_never_passed(granted_usd: float, counts: bool) -> None:
    """Even when every answer is as long as it may be."""
    with StandIn(counts=counts) as stand_in:
        used = _spend_it_all(stand_in, granted_usd)
    assert granted_usd / 3 < used <= granted_usd


def _spend_it_all(stand_in: StandIn, granted_usd: float) -> float:
    class Greedy(list[Any]):
        def pop(self, _: Any = -1) -> Say:
            return Say(calls=[("list_files", {})], output_tokens=stand_in.requests[-1]["max_tokens"])

        def __bool__(self) -> bool:
            return True

    stand_in.script = Greedy()
    turns = converse(stand_in, granted_usd=granted_usd)
    assert f"${granted_usd:.2f}" in turns[-1].ended
    return total(turns, model="").cost_usd


def test_a_refusal_is_explained_in_the_models_words() -> None:
    reason = "the idea needs two GPUs, and this task has none"
    with StandIn([Say(calls=[("decline", {"reason": reason})])]) as stand_in:
        turns = converse(stand_in, idea="use pipeline parallelism")
    assert turns[-1].ended == reason
    assert "use pipeline parallelism" in json.dumps(stand_in.requests[0]["messages"])


def test_after_failures_the_search_changes_and_the_proposal_says_so() -> None:
    history = [row(number, state=State.REJECTED) for number in range(1, 8)]
    with StandIn(
        [Say(calls=[("replace", {"path": "train.py", "old": "- LR", "new": "- 2 * LR"}), ("submit", SUBMIT)])]
    ) as s:
        turns = converse(s, place=desk(history=history))
    assert "Combine two or three near misses" in json.dumps(s.requests[0]["messages"])
    assert turns[-1].proposal is not None
    assert turns[-1].proposal.strategy == (
        "After 7 attempts without a merge the search was changed: this one combines near misses."
    )


def test_the_key_is_sent_as_a_header_and_nowhere_else() -> None:
    with StandIn([Say(calls=[RAISE, ("submit", SUBMIT)])]) as stand_in:
        turns = converse(stand_in)
    assert all(headers["authorization"] == f"Bearer {KEY}" for headers in stand_in.headers)
    assert KEY not in json.dumps(stand_in.requests)
    assert KEY not in repr(turns)


def test_the_default_model_is_one_the_sdk_lists_and_has_a_price() -> None:
    import typing

    from anthropic.resources.messages.messages import DEPRECATED_MODELS
    from anthropic.types.model import Model

    (listed,) = (typing.get_args(part) for part in typing.get_args(Model) if typing.get_args(part))
    model = contract().claude.model
    assert model in listed
    assert model not in DEPRECATED_MODELS
    assert set(PRICES) <= set(listed)


def test_every_file_shown_is_the_file() -> None:
    calls = [("read_file", {"path": path}) for path in FILES]
    with StandIn([Say(calls=calls), Say(calls=[("decline", {"reason": "just looking"})])]) as stand_in:
        converse(stand_in)
    results = stand_in.requests[1]["messages"][-1]["content"]
    for result, text in zip(results, FILES.values(), strict=False):
        assert text in result["content"]
    assert Path(__file__).name not in json.dumps(stand_in.requests)
