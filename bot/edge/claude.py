"""Claude over the official SDK: one answer of the model at a time. The only module that imports anthropic.

The SDK does the transport: authentication, retries of what may pass (408, 409, 429, 5xx, lost connections) with the
server's own waiting times, streaming, putting an answer together, counting tokens. Its tool runner is not used: it owns
the loop, and ours must be able to stop between any two answers and go on in another process (see docs/decisions.md).
"""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from bot.core.contract import Claude as Limits
from bot.core.model import ModelUse
from bot.core.proposal import tools
from bot.core.proposal.conversation import Turn, exchange, room, the_end
from bot.core.proposal.draft import Draft
from bot.core.proposal.prices import Price
from bot.core.proposal.prompt import Briefing
from bot.core.proposal.request import CHARACTERS_PER_TOKEN, Ask, estimated_tokens, messages, system
from bot.core.text import line

if TYPE_CHECKING:
    from anthropic import Anthropic
    from anthropic.types import Message, MessageParam, Usage
    from anthropic.types.output_config_param import OutputConfigParam

log = logging.getLogger("nightlab")
RETRIES = 3  # by the SDK, before an answer has begun
MAX_SILENCE_S = 300.0
COUNT_S = 30.0


class Via(StrEnum):
    ANTHROPIC = "anthropic"
    BEDROCK = "bedrock"
    VERTEX = "vertex"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What answers used, as the API bills them."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            input=self.input + other.input,
            output=self.output + other.output,
            cache_read=self.cache_read + other.cache_read,
            cache_write=self.cache_write + other.cache_write,
        )

    def use(self, model: str, price: Price) -> ModelUse:
        """One answer's, with what it costs."""
        return ModelUse(
            model=model,
            turns=1,
            input_tokens=self.input,
            output_tokens=self.output,
            cache_read_tokens=self.cache_read,
            cache_write_tokens=self.cache_write,
            cost_usd=price.usd(
                input_tokens=self.input,
                output_tokens=self.output,
                cache_read_tokens=self.cache_read,
                cache_write_tokens=self.cache_write,
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer. `content` are the content blocks as JSON, to be sent back as they are; `problem` ends it all."""

    content: str = "[]"
    stop_reason: str = ""
    tokens: Tokens = Tokens()
    problem: str = ""


class Claude:
    """A way to the model. Holds the key; nothing that is sent, returned or raised contains it."""

    def __init__(self, *, via: Via, api_key: str = "", base_url: str = "") -> None:
        """`api_key` is for Via.ANTHROPIC; Bedrock and Vertex take their clouds' own credentials and region.

        Raises ValueError, one sentence, when that cannot work.
        """
        self._client = _client(via=via, api_key=api_key, base_url=base_url)
        self._counts = via is not Via.BEDROCK  # Bedrock does not offer it

    def turn(
        self,
        *,
        draft: Draft,
        prompt: Briefing,
        turns: Sequence[Turn],
        limits: Limits,
        granted_usd: float,
        price: Price,
    ) -> Turn:
        """One answer and what its tools say about `draft`; the end at once when a limit forbids another answer.

        Never raises for what the model, the provider or the network does.
        """
        exchanges = [(turn.content, turn.results) for turn in turns if turn.spoken]
        ask = Ask(model=limits.model, effort=limits.effort.value, briefing=prompt, exchanges=exchanges)
        space = room(turns, limits=limits, granted_usd=granted_usd, price=price, prompt_tokens=self.prompt_tokens(ask))
        if isinstance(space, str):
            return the_end(turns, space)
        started_s = time.monotonic()
        reply = self.reply(replace(ask, max_tokens=space.max_tokens, attempts=space.attempts), limit_s=space.limit_s)
        waited_s = time.monotonic() - started_s
        use = reply.tokens.use(limits.model, price)
        if reply.problem:
            return the_end(turns, reply.problem, use=use, waited_s=waited_s)
        return exchange(
            draft,
            content=reply.content,
            stop_reason=reply.stop_reason,
            turns=turns,
            limits=limits,
            use=use,
            waited_s=waited_s,
        )

    def prompt_tokens(self, ask: Ask) -> int:
        """How many tokens a request has: counted by the provider, estimated from above where it cannot be."""

        if self._counts:
            try:
                return (
                    self._client.with_options(timeout=COUNT_S, max_retries=1)
                    .messages.count_tokens(
                        model=ask.model,
                        system=cast("Any", system(ask.briefing)),
                        messages=cast("list[MessageParam]", messages(ask)),
                        tools=cast("Any", tools.definitions()),
                    )
                    .input_tokens
                )
            except Exception as error:  # a cloud's own library has errors of its own; the request itself will tell
                log.warning("the provider did not count the tokens: %s", line(str(error), 200))
        return estimated_tokens(ask)

    def refusal(self, model: str) -> str:
        """Why the provider would not answer, by counting tokens, which costs nothing; empty when it would, or when it
        cannot be asked for free."""
        import anthropic

        if not self._counts:
            return ""
        try:
            self._client.with_options(timeout=COUNT_S, max_retries=1).messages.count_tokens(
                model=model, messages=[{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
            )
        except anthropic.AnthropicError as error:
            return sentence(error)
        except Exception as error:  # a cloud's own library: no credentials, no region, no such project
            return f"asking the provider failed: {type(error).__name__}"
        return ""

    def reply(self, ask: Ask, *, limit_s: float) -> Reply:
        """One answer within about `limit_s` seconds. Never raises for what the provider or the network does."""
        import anthropic
        from httpx2 import HTTPError

        deadline_s = time.monotonic() + limit_s
        spent = Tokens()
        for attempt in range(1, ask.attempts + 1):
            part: list[Message] = []
            try:
                reply = self._stream(ask, deadline_s=deadline_s, part=part)
                return Reply(
                    content=reply.content,
                    stop_reason=reply.stop_reason,
                    tokens=spent + reply.tokens,
                    problem=reply.problem,
                )
            except (anthropic.AnthropicError, HTTPError) as error:
                broken = bool(part)  # it had begun: paid for, and worth asking again
                spent = spent + (_cut_off(part[-1], ask.max_tokens) if part else Tokens())
                if not broken or attempt == ask.attempts or time.monotonic() >= deadline_s:
                    return Reply(tokens=spent, problem=sentence(error))
            except Exception as error:  # a cloud's own library: no credentials, no region, no such project
                log.exception("asking the model failed")
                return Reply(
                    tokens=spent, problem=f"asking the model failed: {type(error).__name__}; the log says more"
                )
        raise AssertionError("the loop returns")

    def _stream(self, ask: Ask, *, deadline_s: float, part: "list[Message]") -> Reply:
        """`part` is left holding what has come of the answer, also when it breaks off."""
        import anthropic

        left_s = max(1.0, deadline_s - time.monotonic())
        effort = anthropic.omit if ask.effort == "default" else cast("OutputConfigParam", {"effort": ask.effort})
        client = self._client.with_options(timeout=min(MAX_SILENCE_S, max(1.0, left_s / (RETRIES + 1))))
        with client.messages.stream(
            model=ask.model,
            max_tokens=ask.max_tokens,
            system=cast("Any", system(ask.briefing)),
            messages=cast("list[MessageParam]", messages(ask)),
            tools=cast("Any", tools.definitions()),
            output_config=effort,
        ) as stream:
            for _ in stream:
                part[:] = [stream.current_message_snapshot]
                if time.monotonic() >= deadline_s:
                    used = _cut_off(part[-1], ask.max_tokens)
                    return Reply(tokens=used, problem="the model took longer than it was given")
            message = stream.get_final_message()
        if message.stop_reason is None:
            raise anthropic.AnthropicError("the answer ended without a reason")
        blocks = [block.to_dict(mode="json") for block in message.content]
        for block in blocks:
            block.pop("parsed_output", None)
        return Reply(
            content=json.dumps(blocks, ensure_ascii=False).encode("utf-8", "replace").decode(),  # no lone surrogates
            stop_reason=message.stop_reason,
            tokens=_tokens(message.usage),
        )


def sentence(error: Exception) -> str:
    """What went wrong, for the person who asked. Repeats the provider's words, never our request or its headers."""
    import anthropic

    match error:
        case anthropic.AuthenticationError() | anthropic.PermissionDeniedError():
            return "our key is not accepted: check NIGHTLAB_ANTHROPIC_API_KEY or your cloud's credentials"
        case anthropic.RateLimitError():
            return f"the model's provider limits us, also after {RETRIES} more tries: ask again later"
        case anthropic.APITimeoutError():
            return "the model's provider did not answer in time: ask again later"
        case anthropic.APIStatusError() if error.status_code >= 500 or error.type == "overloaded_error":
            return f"the model's provider is overloaded or down, also after {RETRIES} more tries: ask again later"
        case anthropic.NotFoundError():
            return "the model's provider does not know this model: change `claude.model` in the contract"
        case anthropic.APIStatusError():
            said = line(str(error.api_message or ""), 200)
            return f"the model's provider refused the request ({error.status_code}): {said or 'it does not say why'}"
        case anthropic.APIConnectionError():
            return "the model's provider cannot be reached: check the network and ask again later"
    return "the model's answer broke off: ask again later"


def _client(*, via: Via, api_key: str, base_url: str) -> "Anthropic":
    import anthropic

    needs = {Via.BEDROCK: "boto3", Via.VERTEX: "google.auth"}.get(via)
    if needs and not _installed(needs):
        raise ValueError(f"Claude via {via.value} cannot be used: pip install 'anthropic[{via.value}]'")
    try:
        if via is Via.BEDROCK:
            return cast("Anthropic", anthropic.AnthropicBedrock(base_url=base_url or None, max_retries=RETRIES))
        if via is Via.VERTEX:
            return cast("Anthropic", anthropic.AnthropicVertex(base_url=base_url or None, max_retries=RETRIES))
    except (ImportError, ValueError, RuntimeError, anthropic.AnthropicError) as error:
        raise ValueError(f"Claude via {via.value} cannot be used: {line(str(error), 300)}") from None
    if not api_key:
        raise ValueError("Claude needs a key: set NIGHTLAB_ANTHROPIC_API_KEY")
    return anthropic.Anthropic(
        api_key=api_key, base_url=base_url or "https://api.anthropic.com", max_retries=RETRIES, open_telemetry=False
    )


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it would be in
        return False


def _cut_off(message: "Message", max_tokens: int) -> Tokens:
    """What an answer used that did not come to its end, where the API would have told: estimated from above."""
    told = _tokens(message.usage)
    written = sum(len(block.to_json(indent=None)) for block in message.content) / CHARACTERS_PER_TOKEN
    return replace(told, output=max(told.output, min(max_tokens, int(written))))


def _tokens(usage: "Usage") -> Tokens:
    return Tokens(
        input=usage.input_tokens or 0,
        output=usage.output_tokens or 0,
        cache_read=usage.cache_read_input_tokens or 0,
        cache_write=usage.cache_creation_input_tokens or 0,
    )
