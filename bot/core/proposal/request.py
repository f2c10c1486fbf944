"""A request to the model as the API takes it: what is asked, with marks for the provider's cache, and its size."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bot.core.proposal import tools
from bot.core.proposal.prompt import Briefing

CHARACTERS_PER_TOKEN = 2.0  # less than in any real text: the estimate where the provider does not count


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request: the briefing, then (content of an answer, content of the tools' results) in turn, both JSON."""

    model: str
    effort: str
    briefing: Briefing
    exchanges: Sequence[tuple[str, str]]
    max_tokens: int = 0
    attempts: int = 1  # how often an answer that broke off may be asked for again, less one: each is paid for


def estimated_tokens(ask: Ask) -> int:
    """More than the request can have."""
    sent = ask.briefing.characters + len(json.dumps(tools.definitions()))
    return int((sent + sum(len(a) + len(b) for a, b in ask.exchanges)) / CHARACTERS_PER_TOKEN)


def system(briefing: Briefing) -> list[dict[str, Any]]:
    """Rules and repository, cached to their end: they are the same for every experiment of a repository."""
    blocks: list[dict[str, Any]] = [{"type": "text", "text": text} for text in briefing.system]
    blocks[-1]["cache_control"] = {"type": "ephemeral"}
    return blocks


def messages(ask: Ask) -> list[dict[str, Any]]:
    """The briefing, then the exchanges. Cache marks stand behind the code, which experiments on one main share, and
    behind everything so far: the next request of the conversation reads it from there."""
    first: list[dict[str, Any]] = [{"type": "text", "text": text} for text in ask.briefing.parts]
    first[0]["cache_control"] = {"type": "ephemeral"}
    found: list[dict[str, Any]] = [{"role": "user", "content": first}]
    for answer, results in ask.exchanges:
        found.append({"role": "assistant", "content": json.loads(answer)})
        found.append({"role": "user", "content": json.loads(results)})
    found[-1]["content"][-1]["cache_control"] = {"type": "ephemeral"}
    return found
