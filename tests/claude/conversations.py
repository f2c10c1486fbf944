"""Ready-made things for the tests of the conversation: a desk, a contract, a way to talk to the stand-in."""

from collections.abc import Callable, Sequence
from typing import Any

from stand_in import KEY, StandIn

from bot.core.contract import Contract, parse
from bot.core.model import Edit, Kind, LedgerRow, State
from bot.core.proposal.conversation import Turn, exchange
from bot.core.proposal.desk import Desk
from bot.core.proposal.draft import Draft
from bot.core.proposal.prices import price_of
from bot.core.proposal.prompt import Briefing, briefing
from bot.core.proposal.smoke import Smoke
from bot.core.proposal.strategy import strategy
from bot.edge.claude import Claude, Via
from runner.protocol import DraftFile

TRAIN = """import math

LR = 0.5
WEIGHT_DECAY = 0.1


def loss(x):
    # the square
    return (x - LR) ** 2 + WEIGHT_DECAY


def unused(x):
    return math.sqrt(x)
"""
FILES = {
    "train.py": TRAIN,
    "prepare.py": "import json\n",
    "program.md": "Make it better.\n",
    ".github/nightlab.yml": "version: 1\npaths:\n  allow: [/train.py]\n",
    ".github/workflows/ci.yml": "on: push\n",
    "notes.md": "A paper says that a longer warm-up helps.\n",
}
SUBMIT = {
    "title": "Raise LR to 0.7",
    "hypothesis": "The minimum of the loss lies above today's learning rate.",
    "mechanism": "A larger step gets nearer to the minimum within the budget.",
    "expected_gain": 0.01,
    "expected_low": 0.0,
    "expected_high": 0.02,
    "risk": "It may diverge.",
    "kind": "improve",
}
RAISE = ("replace", {"path": "train.py", "old": "LR = 0.5", "new": "LR = 0.7"})


def contract(text: str = "") -> Contract:
    parsed = parse(f"version: 1\npaths: {{allow: [/train.py]}}\nproposer: claude\n{text}")
    assert isinstance(parsed, Contract), parsed
    return parsed


def row(number: int, **more: Any) -> LedgerRow:
    values: dict[str, Any] = {
        "experiment_id": f"c{number}",
        "pull_number": number,
        "title": f"Experiment {number}",
        "hypothesis": "It helps.",
        "kind": Kind.IMPROVE,
        "edits": (Edit(path="train.py", old="LR = 0.5\n", new=f"LR = {0.5 + number / 1000}\n"),),
        "state": State.REJECTED,
        "reason": "not better",
        "requested_by": "campaign",
        "proposed_by": "tuner",
        "metric_name": "val_bpb",
        "metric_before": 1.0,
        "metric_after": 1.01,
        "gain": -0.01,
        "standard_error": 0.004,
        "evalue": 0.1,
        "form": "paired",
        "n": 3,
        "n_confirm": 0,
        "n_baseline": 3,
        "hardware_class": "cpu",
        "environment_digest": "e",
        "base_sha": "a" * 40,
        "head_sha": "b" * 40,
        "merge_sha": "",
        "peak_memory_mib": 100.0,
        "gpu_s": 60.0,
        "model_cost_usd": 0.0,
        "started_utc": "2026-01-01T00:00:00Z",
        "ended_utc": "2026-01-01T00:10:00Z",
        "runs": (),
    }
    return LedgerRow(**{**values, **more})


def desk(*, files: dict[str, str] | None = None, history: Sequence[LedgerRow] = (), **more: Any) -> Desk:
    texts = {**FILES, **(files or {})}
    values: dict[str, Any] = {
        "files": texts,
        "tree": frozenset(texts),
        "sizes": {path: len(text) for path, text in texts.items()},
        "allow": ("/train.py",),
        "protected": contract().protected,
        "history": history,
        "in_flight": (),
    }
    return Desk(**{**values, **more})


def prompt(place: Desk, terms: Contract, *, idea: str = "") -> Briefing:
    return briefing(
        contract=terms,
        program=place.files.get("program.md", ""),
        files={"train.py": place.files["train.py"]},
        history=place.history,
        in_flight=place.in_flight,
        strategy=strategy(place.history),
        idea=idea,
    )


def claude(stand_in: StandIn, *, key: str = KEY) -> Claude:
    return Claude(via=Via.ANTHROPIC, api_key=key, base_url=stand_in.url)


def converse(
    stand_in: StandIn,
    *,
    place: Desk | None = None,
    terms: Contract | None = None,
    idea: str = "",
    granted_usd: float = 2.0,
    key: str = KEY,
    smoke: Callable[[Sequence[DraftFile]], Smoke] | None = None,
) -> list[Turn]:
    way = claude(stand_in, key=key)
    return converse_by(way, place=place, terms=terms, idea=idea, granted_usd=granted_usd, smoke=smoke)


def converse_by(
    way: Claude,
    *,
    place: Desk | None = None,
    terms: Contract | None = None,
    idea: str = "",
    granted_usd: float = 2.0,
    smoke: Callable[[Sequence[DraftFile]], Smoke] | None = None,
) -> list[Turn]:
    """What bot/loop/dialogue.py does in durable steps, without the engine; `smoke` tries drafts out."""
    place, terms = place or desk(), terms or contract()
    limits = terms.claude
    price = price_of(limits.model, input_usd=limits.input_usd, output_usd=limits.output_usd)
    assert not isinstance(price, str)
    said = prompt(place, terms, idea=idea)
    turns: list[Turn] = []
    smokes: list[Smoke] = []
    while not (turns and turns[-1].over):
        draft = Draft(
            desk=place,
            edits=turns[-1].edits if turns else (),
            author=limits.model,
            strategy=said.strategy,
            smokes=smokes,
            most_smokes=limits.smoke_runs if smoke else 0,
            splittable=bool(idea.strip()),
        )
        turn = way.turn(draft=draft, prompt=said, turns=turns, limits=limits, granted_usd=granted_usd, price=price)
        while turn.wants and smoke:
            smokes.append(smoke(turn.wants))
            turn = exchange(
                draft,
                content=turn.content,
                stop_reason=turn.stop_reason,
                turns=turns,
                limits=limits,
                use=turn.use,
                waited_s=turn.waited_s,
            )
        turns.append(turn)
    return turns
