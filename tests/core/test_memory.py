"""What a proposer remembers: whole prompts as files, and any history within the budget."""

import random
from dataclasses import replace

from golden_text import assert_golden
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.contract import Contract, parse
from bot.core.model import Edit, Kind, LedgerRow, ModelUse, State
from bot.core.proposal.likeness import earlier_attempt
from bot.core.proposal.memory import MEMORY_CHARACTERS, memory
from bot.core.proposal.prompt import Briefing, briefing
from bot.core.proposal.strategy import failures, strategy
from bot.core.proposal.tools import definitions
from bot.core.proposal.yields import table, yields

SOURCE = "LR = 0.5\nWEIGHT_DECAY = 0.1\nDEPTH = 4\nWARMUP = 0.05\n\n\ndef step(x):\n    return x - LR\n"
STATES = [State.REJECTED] * 7 + [State.MERGED, State.CRASHED, State.ABANDONED]


def row(number: int, state: State, edits: tuple[Edit, ...], gain: float | None, error: float = 0.004) -> LedgerRow:
    return LedgerRow(
        experiment_id=f"k9-{number}",
        pull_number=number,
        title=f"Experiment number {number}, which has a title of about this length",
        hypothesis="It helps because of this and that.",
        kind=Kind.IMPROVE,
        edits=edits,
        state=state,
        reason="ZeroDivisionError: the loss is zero" if state is State.CRASHED else "not better than main",
        requested_by="ada",
        proposed_by="tuner" if number % 2 else "claude-opus-5-5",
        metric_name="val_bpb",
        metric_before=1.5,
        metric_after=1.5 - (gain or 0),
        gain=gain,
        standard_error=None if gain is None else error,
        evalue=1.0,
        form="paired",
        n=4,
        n_confirm=0,
        n_baseline=4,
        hardware_class="cpu",
        environment_digest="e",
        base_sha="a" * 40,
        head_sha="b" * 40,
        merge_sha="",
        peak_memory_mib=300.0,
        gpu_s=120.0,
        model_cost_usd=0.0,
        started_utc="2026-01-01T00:00:00Z",
        ended_utc=f"2026-01-{1 + number // 100:02}T00:00:00Z",
        runs=(),
    )


def history(length: int) -> list[LedgerRow]:
    """As a campaign leaves it: constants, some code, one merge in ten."""
    chance = random.Random(length)
    rows = []
    for number in range(1, length + 1):
        state = chance.choice(STATES)
        name, value = chance.choice([("LR", 0.5), ("WEIGHT_DECAY", 0.1), ("DEPTH", 4)])
        new = round(value * chance.choice([0.3, 0.5, 0.7, 1.4, 2.0]), 4)
        edits: tuple[Edit, ...] = (Edit(path="train.py", old=f"{name} = {value}\n", new=f"{name} = {new}\n"),)
        if chance.random() < 0.3:
            edits = (Edit(path="train.py", old="    return x - LR\n", new=f"    return x - LR * {number}\n"),)
        gain = None if state in (State.CRASHED, State.ABANDONED) else chance.gauss(-0.003, 0.006)
        rows.append(row(number, state, edits, abs(gain) if gain and state is State.MERGED else gain))
    return rows


def contract() -> Contract:
    parsed = parse("version: 1\npaths: {allow: [/train.py]}\nproposer: claude\n")
    assert isinstance(parsed, Contract)
    return parsed


def prompt(rows: list[LedgerRow], idea: str = "") -> Briefing:
    return briefing(
        contract=contract(),
        program="Lower the loss.\n",
        files={"train.py": SOURCE},
        history=rows,
        in_flight=(),
        strategy=strategy(rows),
        idea=idea,
    )


def text(said: Briefing) -> str:
    return "\n\n=====\n\n".join((*said.system, *said.parts)) + "\n"


def test_prompts_word_for_word() -> None:
    assert_golden(text(prompt([])), "prompt_first.txt")
    assert_golden(text(prompt(history(10), idea="try a warm-up of 10 %")), "prompt_10.txt")
    assert_golden(text(prompt(history(100))), "prompt_100.txt")


def test_tools_word_for_word() -> None:
    import json

    assert_golden(json.dumps(definitions(), indent=1) + "\n", "prompt_tools.json")


def test_a_thousand_experiments_fit_and_nothing_is_dropped_in_silence() -> None:
    remembered = memory(history=history(1000), in_flight=(), sources={"train.py": SOURCE})
    assert 8_000 < len(remembered) <= MEMORY_CHARACTERS
    assert "1000 experiments:" in remembered
    assert "earlier ones: find_experiments lists them" in remembered
    assert "train.py: WARMUP = 0.05" in remembered
    assert remembered == memory(history=history(1000), in_flight=(), sources={"train.py": SOURCE})


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 300), st.integers(400, 30_000))
def test_every_history_fits_every_budget(length: int, budget: int) -> None:
    assert len(memory(history=history(length), in_flight=(), sources={"train.py": SOURCE}, budget=budget)) <= budget


def test_the_search_changes_after_failures_and_goes_back_after_a_merge() -> None:
    rejected = row(1, State.REJECTED, (), -0.01)
    names = [strategy([rejected] * count).name for count in (4, 5, 10, 15, 20, 25)]
    assert names == ["usual", "combine", "ablate", "elsewhere", "read", "combine"]
    assert strategy([rejected] * 9 + [replace(rejected, state=State.MERGED)]).name == "usual"
    assert failures([rejected, replace(rejected, state=State.ABANDONED)]) == 1


def test_yields_are_gain_per_gpu_hour() -> None:
    rows = [row(1, State.MERGED, (), 0.02), row(3, State.REJECTED, (), -0.01), row(2, State.ABANDONED, (), None)]
    (tuner,) = yields(rows)
    assert (tuner.proposer, tuner.experiments, tuner.merged) == ("tuner", 2, 1)
    assert tuner.gain_per_gpu_h is not None
    assert abs(tuner.gain_per_gpu_h - 0.02 / (240 / 3600)) < 1e-12
    assert tuner.gain_per_usd is None


def test_yields_know_what_the_model_cost_also_where_it_found_nothing() -> None:
    use = ModelUse(model="claude-opus-5-5", turns=3, input_tokens=100, cache_read_tokens=300, cost_usd=0.25)
    rows = [
        replace(row(2, State.MERGED, (), 0.02), model_use=use),
        replace(row(4, State.ABANDONED, (), None), model_use=use, proposed_by=""),
        replace(row(1, State.REJECTED, (), -0.01), model_use=use),  # the tuner stepped in
    ]
    claude, tuner = yields(rows)
    assert (claude.proposer, claude.experiments, claude.usd, claude.gain_per_usd) == (use.model, 1, 0.75, 0.02 / 0.75)
    assert (claude.cached, tuner.usd, tuner.cached) == (0.75, 0.0, None)
    assert table([claude, tuner], unit="bpb") == [
        ["proposer", "merged", "bpb gained", "bpb per hour measured", "bpb per dollar", "dollars", "from cache"],
        ["claude-opus-5-5", "1 of 1", "0.02", "0.6", "0.0267", "0.75", "75%"],
        ["tuner", "0 of 1", "0", "0", "", "0.00", ""],
    ]


def change(old: str, new: str) -> tuple[Edit, ...]:
    return (Edit(path="train.py", old=old, new=new),)


def test_likeness() -> None:
    def like(
        edits: tuple[Edit, ...],
        *,
        state: State = State.REJECTED,
        earlier: tuple[Edit, ...] = change("LR = 0.5\n", "LR = 0.9\n"),
        gain: float = -0.01,
    ) -> str:
        rows = [row(7, state, earlier, gain)]
        return earlier_attempt(files={"train.py": SOURCE}, edits=edits, history=rows, in_flight=())

    assert "the same program as k9-7 (#7)" in like(change("LR = 0.5", "LR = 0.9  # higher"))
    assert "less than a measurement can tell" in like(change("LR = 0.5\n", "LR = 0.91\n"))
    assert "less than a measurement can tell" in like(change("LR = 0.5\n", "LR = 0.98\n"))  # 17 % of a step of -0.01
    assert like(change("LR = 0.5\n", "LR = 0.98\n"), gain=-0.1) == ""
    assert like(change("LR = 0.5\n", "LR = 0.3\n")) == ""
    assert like(change("LR = 0.5\n", "LR = 0.91\n"), earlier=change("LR = 0.3\n", "LR = 0.9\n")) == ""  # another main
    assert like(change("DEPTH = 4\n", "DEPTH = 9\n")) == ""
    assert like(change("LR = 0.5", "LR = 0.9"), state=State.ABANDONED) == ""
    flying = earlier_attempt(
        files={"train.py": SOURCE},
        edits=change("LR = 0.5", "LR = 0.9"),
        history=[],
        in_flight=change("LR = 0.5", "LR = 9e-1"),
    )
    assert "right now" in flying
