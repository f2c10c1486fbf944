"""A conversation with a language model, one exchange at a time: what may be asked next, and what an answer leads to.

An exchange is an answer of the model with the results of the tools it called. The exchanges are all there is to know
about a conversation: another process can go on from them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bot.core.contract import Claude
from bot.core.model import Edit, ModelUse, Plan, Proposal
from bot.core.proposal.draft import Draft
from bot.core.proposal.prices import Price
from bot.core.proposal.smoke import drafted
from runner.protocol import DraftFile

ANSWER_TOKENS = 16_000  # of one answer at most, thinking included
LEAST_TOKENS = 2_000  # a shorter answer is not worth paying the prompt for
MOST_CALLS = 16  # tools in one answer
ATTEMPTS = 3  # at an answer that breaks off in its middle
REMINDERS = 2  # answers without a tool that are put up with
FEW_TURNS = 4

REMINDER = "Go on with your tools: submit or decline ends your work."


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One exchange. `content` and `results` are JSON texts, so that nothing in them is taken for a value of ours.

    While it `wants` a smoke run of these files, its results are not there yet.
    """

    content: str
    results: str
    edits: tuple[Edit, ...]
    use: ModelUse
    waited_s: float
    proposal: Proposal | None = None
    plan: Plan | None = None
    ended: str = ""  # why it ends without a proposal, one sentence
    stop_reason: str = ""
    wants: tuple[DraftFile, ...] = ()

    @property
    def over(self) -> bool:
        return self.proposal is not None or self.plan is not None or bool(self.ended)

    @property
    def spoken(self) -> bool:
        """Whether there was an answer, which the next request repeats."""
        return self.content != "[]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What the next answer may take."""

    max_tokens: int
    attempts: int
    limit_s: float


def total(turns: Sequence[Turn], *, model: str) -> ModelUse:
    """What a conversation used so far."""
    return ModelUse(
        model=model,
        turns=len(turns),
        input_tokens=sum(turn.use.input_tokens for turn in turns),
        output_tokens=sum(turn.use.output_tokens for turn in turns),
        cache_read_tokens=sum(turn.use.cache_read_tokens for turn in turns),
        cache_write_tokens=sum(turn.use.cache_write_tokens for turn in turns),
        cost_usd=sum(turn.use.cost_usd for turn in turns),
    )


def room(turns: Sequence[Turn], *, limits: Claude, granted_usd: float, price: Price, prompt_tokens: int) -> Room | str:
    """What the next answer may take so that no limit is passed even at its longest; or which limit is reached.

    `prompt_tokens` of the next request. They are reckoned at the dearest way a prompt can be billed.
    """
    if len(turns) >= limits.turns:
        return f"the model used its {limits.turns} answers without a proposal"
    left_s = limits.minutes * 60 - sum(turn.waited_s for turn in turns)
    if left_s < 1:
        return f"the model used its {limits.minutes:g} minutes without a proposal"
    used = total(turns, model="")
    left_tokens = limits.tokens - used.prompt_tokens - used.output_tokens
    tokens = min(ANSWER_TOKENS, left_tokens - prompt_tokens)
    if tokens < LEAST_TOKENS:
        return f"the model used its {limits.tokens:,} tokens without a proposal"
    left_usd = granted_usd - used.cost_usd
    prompt_usd = prompt_tokens * max(price.input, price.cache_write) / 1e6
    tokens = min(tokens, int((left_usd - prompt_usd) / price.output * 1e6)) if price.output else tokens
    if tokens < LEAST_TOKENS:
        return f"the model's next answer might pass the ${granted_usd:.2f} that are left for this proposal"
    longest_usd = prompt_usd + tokens * price.output / 1e6
    attempts = min(ATTEMPTS, left_tokens // (prompt_tokens + tokens))
    if longest_usd:
        attempts = min(attempts, int(left_usd / longest_usd))
    return Room(max_tokens=tokens, attempts=max(1, attempts), limit_s=left_s)


def the_end(turns: Sequence[Turn], why: str, *, use: ModelUse | None = None, waited_s: float = 0.0) -> Turn:
    """The last exchange when there is no answer to go on from; `use` is what the attempt cost all the same."""
    edits = turns[-1].edits if turns else ()
    return Turn(content="[]", results="[]", edits=edits, use=use or ModelUse(model=""), waited_s=waited_s, ended=why)


def continued(turns: Sequence[Turn], *, told: str, edits: tuple[Edit, ...]) -> list[Turn]:
    """A conversation that had ended, with one more thing said to the model, whose draft is `edits` from here on."""
    last = max(at for at, turn in enumerate(turns) if turn.spoken)
    results = [*json.loads(turns[last].results), {"type": "text", "text": told}]
    again = [*turns]
    again[last] = replace(turns[last], results=json.dumps(results, ensure_ascii=False))
    again[-1] = replace(again[-1], edits=edits, proposal=None, ended="")
    return again


def exchange(
    draft: Draft,
    *,
    content: str,
    stop_reason: str,
    turns: Sequence[Turn],
    limits: Claude,
    use: ModelUse,
    waited_s: float,
) -> Turn:
    """An answer with what its tools say. Whatever it holds, it leads on or to an end with one sentence; or to a smoke
    run that is wanted first, and then to another exchange about the same answer, which knows what came of it."""
    turn = Turn(content=content, results="[]", edits=draft.edits, use=use, waited_s=waited_s, stop_reason=stop_reason)
    blocks: list[dict[str, Any]] = json.loads(content)
    calls = [block for block in blocks if block.get("type") == "tool_use"]
    ended = _ended(stop_reason, blocks, calls, turns)
    results: list[dict[str, Any]] = []
    proposal, plan = None, None
    for count, call in enumerate(calls):
        if ended or proposal is not None or plan is not None:
            text, wrong = "this was not done: your work had ended", True
        elif stop_reason != "tool_use":
            text, wrong = "your answer was cut off here, so this was not done: say less in one answer", True
        elif count >= MOST_CALLS:
            text, wrong = f"at most {MOST_CALLS} tools in one answer: call it again", True
        else:
            answer = draft.use(str(call.get("name", "")), call.get("input"))
            if answer.needs_smoke:
                return replace(turn, wants=drafted(draft.after()))
            draft = replace(draft, edits=answer.edits)
            text, wrong, ended = answer.text, answer.is_error, answer.declined
            proposal, plan = answer.proposal, answer.plan
        results.append({"type": "tool_result", "tool_use_id": call.get("id"), "content": text, "is_error": wrong})
    left = limits.turns - len(turns) - 1
    if not calls:
        results.append({"type": "text", "text": REMINDER})
    elif left <= FEW_TURNS:
        results.append({"type": "text", "text": f"You have {left} answers left. {REMINDER}"})
    said = json.dumps(results, ensure_ascii=False)
    return replace(turn, results=said, edits=draft.edits, proposal=proposal, plan=plan, ended=ended)


def _ended(
    stop_reason: str, blocks: Sequence[dict[str, Any]], calls: Sequence[dict[str, Any]], turns: Sequence[Turn]
) -> str:
    if stop_reason == "refusal":
        return "the model refused to work on this"
    if stop_reason == "model_context_window_exceeded":
        return "the conversation became longer than the model can read"
    if not blocks:
        return "the model gave an empty answer"
    silent = sum(turn.spoken and '"tool_result"' not in turn.results for turn in turns)
    return "the model stopped without handing anything in" if not calls and silent >= REMINDERS else ""
