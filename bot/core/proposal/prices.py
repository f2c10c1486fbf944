"""What model tokens cost. List prices of Anthropic's own API; other sellers' differ, so the contract may say its own.

As of 2026-11-23, from the table "Model pricing" of https://platform.claude.com/docs/en/about-claude/pricing and the
model pages beside it; cache writes are those that live for five minutes. claude-haiku-5-5 is priced by the length of
the prompt: its higher band stands here, so that a budget is never passed.
"""

from dataclasses import dataclass

AS_OF = "2026-11-23"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars for a million tokens."""

    input: float
    output: float
    cache_write: float
    cache_read: float

    def usd(self, *, input_tokens: int, output_tokens: int, cache_read_tokens: int, cache_write_tokens: int) -> float:
        return (
            self.input * input_tokens
            + self.output * output_tokens
            + self.cache_read * cache_read_tokens
            + self.cache_write * cache_write_tokens
        ) / 1e6


PRICES = {
    "claude-fable-5-1": Price(input=10, output=50, cache_write=12.5, cache_read=0.25),
    "claude-fable-5": Price(input=10, output=50, cache_write=12.5, cache_read=1),
    "claude-opus-5-5": Price(input=4, output=20, cache_write=5, cache_read=0.2),
    "claude-opus-5": Price(input=5, output=25, cache_write=6.25, cache_read=0.5),
    "claude-opus-4-8": Price(input=5, output=25, cache_write=6.25, cache_read=0.5),
    "claude-opus-4-7": Price(input=5, output=25, cache_write=6.25, cache_read=0.5),
    "claude-opus-4-6": Price(input=5, output=25, cache_write=6.25, cache_read=0.5),
    "claude-opus-4-5": Price(input=5, output=25, cache_write=6.25, cache_read=0.5),
    "claude-sonnet-5-5": Price(input=2, output=10, cache_write=2.5, cache_read=0.1),
    "claude-sonnet-5": Price(input=2, output=10, cache_write=2.5, cache_read=0.2),
    "claude-haiku-5-5": Price(input=0.5, output=2.5, cache_write=0.625, cache_read=0.05),
    "claude-haiku-4-5": Price(input=1, output=5, cache_write=1.25, cache_read=0.1),
}


def price_of(model: str, *, input_usd: float = 0.0, output_usd: float = 0.0) -> Price | str:
    """The price of a model, or one sentence that says how to give one.

    `input_usd` and `output_usd` are the contract's own prices. The cache is then charged as input costs, and a quarter
    more to write: never less than a seller asks.
    """
    if input_usd > 0 and output_usd > 0:
        return Price(input=input_usd, output=output_usd, cache_write=1.25 * input_usd, cache_read=input_usd)
    found = PRICES.get(model)
    if found is not None:
        return found
    return (
        f"there is no price on file for the model {model} (the table is of {AS_OF}): write `claude.input_usd` and "
        "`claude.output_usd` into the contract, dollars for a million tokens"
    )
