"""The offline proposer against made-up outcomes: what it proposes, what it learns, and that it never repeats itself."""

import math
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.model import Edit, Kind, LedgerRow, Proposal, State
from bot.core.proposal.constants import Value, find_constants
from bot.core.proposal.edits import edit_constants
from bot.core.proposal.priors import Shape, is_protected, prior_of
from bot.core.proposal.steps import candidate_values
from bot.edge.tuner import NoProposal, propose

TRAIN = (Path(__file__).parents[2] / "runner" / "task" / "train.py").read_text()
SMALL = """\
EMBEDDING_LR = 0.3
MATRIX_LR = 0.04
WEIGHT_DECAY = 0.2
WARMDOWN_RATIO = 0.5
FINAL_LR_FRAC = 0.0
ROPE_BASE = 10000
X0_INIT = 0.1
ADAM_BETAS = (0.8, 0.95)
DEPTH = 8
TOTAL_BATCH_SIZE = 2**19
"""


def values_of(source: str) -> dict[str, Value]:
    return {constant.name: constant.value for constant in find_constants(source)}


def applied(source: str, edits: Sequence[Edit]) -> str:
    for edit in edits:
        assert source.count(edit.old) == 1
        source = source.replace(edit.old, edit.new)
    return source


def row(
    number: int, edits: Sequence[Edit], state: State, gain: float | None = None, error: float | None = 0.001
) -> LedgerRow:
    return LedgerRow(
        experiment_id=f"x{number}",
        pull_number=number,
        title="",
        hypothesis="",
        kind=Kind.IMPROVE,
        edits=tuple(edits),
        state=state,
        reason="",
        requested_by="campaign",
        proposed_by="tuner",
        metric_name="val_bpb",
        metric_before=None,
        metric_after=None,
        gain=gain,
        standard_error=None if gain is None else error,
        evalue=None,
        form="paired",
        n=1,
        n_confirm=0,
        n_baseline=1,
        hardware_class="cpu",
        environment_digest="",
        base_sha="",
        head_sha="",
        merge_sha="",
        peak_memory_mib=0.0,
        gpu_s=0.0,
        model_cost_usd=0.0,
        started_utc="",
        ended_utc="",
        runs=(),
    )


def tried(
    source: str, values: Mapping[str, Value], state: State, gain: float | None = None, number: int = 1
) -> LedgerRow:
    return row(number, edit_constants(source=source, path="train.py", values=values), state, gain)


def ask(
    source: str = SMALL,
    history: Sequence[LedgerRow] = (),
    in_flight: Sequence[Edit] = (),
    idea: str = "",
    seed: int = 0,
    preset: str = "",
) -> Proposal | NoProposal:
    return propose(
        source=source, path="train.py", history=history, in_flight=in_flight, idea=idea, seed=seed, preset=preset
    )


def proposed(**inputs: object) -> Proposal:
    answer = ask(**inputs)  # type: ignore[arg-type]
    assert isinstance(answer, Proposal), answer
    return answer


def refused(**inputs: object) -> str:
    answer = ask(**inputs)  # type: ignore[arg-type]
    assert isinstance(answer, NoProposal), answer
    assert answer.reason.endswith(".")
    return answer.reason


def change_of(source: str, proposal: Proposal) -> dict[str, Value]:
    before, after = values_of(source), values_of(applied(source, proposal.edits))
    assert before.keys() == after.keys()
    return {name: value for name, value in after.items() if value != before[name]}


def test_an_idea_becomes_exactly_that_edit() -> None:
    assert proposed(source=TRAIN, idea="FINAL_LR_FRAC 0.05") == Proposal(
        title="Raise FINAL_LR_FRAC from 0.0 to 0.05",
        hypothesis="FINAL_LR_FRAC 0.0 -> 0.05: a floor under the decayed learning rate keeps the last steps of a short "
        "run learning. The ledger has no measurement of this constant yet.",
        edits=(
            Edit(
                path="train.py",
                old="FINAL_LR_FRAC = 0.0  # where the fall ends, as a share of the peak",
                new="FINAL_LR_FRAC = 0.05  # where the fall ends, as a share of the peak",
            ),
        ),
        kind=Kind.IMPROVE,
        expected_gain=None,
        proposed_by="tuner",
    )


def test_a_hypothesis_tells_what_the_ledger_knows() -> None:
    history = [
        tried(SMALL, {"EMBEDDING_LR": 0.9}, State.CRASHED, number=6),
        tried(SMALL, {"EMBEDDING_LR": 0.2}, State.REJECTED, -0.004, number=7),
    ]
    proposal = proposed(history=history, idea="embedding lr 0.45")
    assert proposal.hypothesis == (
        "EMBEDDING_LR 0.3 -> 0.45: a short budget rewards larger steps until training becomes unstable. The ledger has "
        "2 attempts on it, the latest: 0.3 -> 0.2 lost 0.0040 ± 0.0010 and was rejected (#7); 0.3 -> 0.9 crashed (#6)."
    )
    assert proposal.expected_gain is not None
    assert -0.004 < proposal.expected_gain < 0


def test_a_direction_without_a_number_is_granted() -> None:
    for seed in range(10):
        assert change_of(SMALL, proposed(idea="raise matrix lr", seed=seed))["MATRIX_LR"] > 0.04
        assert change_of(SMALL, proposed(idea="lower depth", seed=seed))["DEPTH"] < 8


def test_free_text_is_declined_with_what_the_tuner_can_do() -> None:
    reason = refused(idea="replace attention by a state space model")
    assert reason == (
        "The tuner changes one constant by name and number, such as EMBEDDING_LR, MATRIX_LR, WEIGHT_DECAY, "
        "WARMDOWN_RATIO; this idea names none. Free text needs the Claude proposer: `proposer: claude` in the contract."
    )


def test_what_was_tried_is_not_tried_again() -> None:
    history = [tried(SMALL, {"DEPTH": 9}, State.REJECTED, -0.003, number=12)]
    assert "in the ledger, 8 -> 9 lost 0.0030 ± 0.0010 and was rejected (#12)" in refused(
        history=history, idea="depth 9"
    )
    other = SMALL.replace("0.04", "0.05")
    merged = tried(SMALL, {"MATRIX_LR": 0.05}, State.MERGED, 0.002)
    assert change_of(other, proposed(source=other, history=[*history, merged], idea="depth 9")) == {"DEPTH": 9}
    assert "already" in refused(source=other, history=[*history, merged], idea="matrix lr 0.04")


def test_what_is_in_flight_is_not_proposed() -> None:
    in_flight = edit_constants(source=SMALL, path="train.py", values={"DEPTH": 9})
    assert "in flight" in refused(in_flight=in_flight, idea="depth 9")
    assert change_of(SMALL, proposed(in_flight=in_flight, idea="depth 10")) == {"DEPTH": 10}
    source = "USE_BIAS = False\nUSE_GATE = True\n"
    history = [
        tried(source, {"USE_BIAS": True}, State.REJECTED, 0.001),
        tried(source, {"USE_GATE": False}, State.REJECTED, 0.0005),
    ]
    both = edit_constants(source=source, path="train.py", values={"USE_BIAS": True, "USE_GATE": False})
    elsewhere = Edit(path="other.py", old="A = 1", new="A = 2")
    assert "tried every step" in refused(source=source, history=history, in_flight=[elsewhere, *both])


def test_a_row_without_a_finite_gain_is_no_measurement() -> None:
    history = [tried(SMALL, {"DEPTH": 9}, State.REJECTED, float("nan")), tried(SMALL, {"DEPTH": 7}, State.CRASHED)]
    assert proposed(history=history, idea="depth").expected_gain is None


@pytest.mark.parametrize(("source", "words"), [("def f(:", "cannot read train.py"), ("x = 1", "found no constant")])
def test_a_file_without_constants_gets_a_sentence(source: str, words: str) -> None:
    assert words in refused(source=source)


def test_first_proposals_are_spread_and_lean_on_what_usually_helps() -> None:
    names = [next(iter(change_of(SMALL, proposed(seed=seed)))) for seed in range(60)]
    assert len(set(names)) >= 7
    schedule = ("EMBEDDING_LR", "MATRIX_LR", "WARMDOWN_RATIO", "FINAL_LR_FRAC")
    assert sum(name in schedule for name in names) > 30
    assert ask(seed=5) == ask(seed=5)


def test_success_is_followed_and_failure_turned_away_from() -> None:
    up = SMALL.replace("0.3", "0.45")
    won = [tried(SMALL, {"EMBEDDING_LR": 0.45}, State.MERGED, 0.01)]
    after_win = [change_of(up, proposed(source=up, history=won, idea="embedding lr", seed=s)) for s in range(20)]
    assert statistics.mean(change["EMBEDDING_LR"] > 0.45 for change in after_win) > 0.8
    lost = [tried(SMALL, {"EMBEDDING_LR": 0.45}, State.REJECTED, -0.01)]
    after_loss = [change_of(SMALL, proposed(history=lost, idea="embedding lr", seed=s)) for s in range(20)]
    assert statistics.mean(change["EMBEDDING_LR"] < 0.3 for change in after_loss) > 0.8


def test_two_near_misses_are_combined_when_nothing_else_is_left() -> None:
    source = "USE_BIAS = False\nUSE_GATE = True\n"
    history = [
        tried(source, {"USE_BIAS": True}, State.REJECTED, 0.001),
        tried(source, {"USE_GATE": False}, State.REJECTED, 0.0005),
    ]
    proposal = proposed(source=source, history=history)
    assert proposal.title == "Set USE_BIAS to True and USE_GATE to False"
    assert change_of(source, proposal) == {"USE_BIAS": True, "USE_GATE": False}
    both = tried(source, {"USE_BIAS": True, "USE_GATE": False}, State.REJECTED, 0.0)
    assert "tried every step of every constant" in refused(source=source, history=[*history, both])


def test_the_measured_preset_is_the_one_that_changes() -> None:
    for seed in range(20):
        text = applied(TRAIN, proposed(source=TRAIN, preset="gpu", seed=seed).edits)
        cpu = {c.name: c.value for c in find_constants(text, preset="gpu")}
        assert cpu != {c.name: c.value for c in find_constants(TRAIN, preset="gpu")}


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32), outcomes=st.randoms(use_true_random=False))
def test_sixty_proposals_never_repeat_an_assignment(seed: int, outcomes: random.Random) -> None:
    source, history = SMALL, [row(0, [Edit(path="README.md", old="", new="LR = 3")], State.MERGED, 0.1)]
    seen = {tuple(values_of(source).items())}
    in_flight: list[Edit] = []
    for number in range(1, 61):
        proposal = ask(source=source, history=history, in_flight=in_flight, seed=seed)
        if isinstance(proposal, NoProposal):
            break
        candidate = applied(source, proposal.edits)
        assert len(change_of(source, proposal)) == len(proposal.edits) == 1
        assert len(proposal.title) <= 72
        assignment = tuple(values_of(candidate).items())
        assert assignment not in seen
        seen.add(assignment)
        in_flight = [*in_flight, *proposal.edits]
        if outcomes.random() < 0.5:
            continue  # two or more wait together, all on today's main
        states = [outcomes.choice([State.REJECTED, State.CRASHED, State.ABANDONED]) for _ in in_flight]
        gains = [outcomes.gauss(0, 0.003) if state is State.REJECTED else None for state in states]
        history += [row(number, [e], s, g) for e, s, g in zip(in_flight, states, gains, strict=True)]
        if outcomes.random() < 0.4:
            history[-1] = replace(history[-1], state=State.MERGED, gain=abs(outcomes.gauss(0, 0.003)))
            source = candidate
        in_flight = []


@settings(max_examples=150, deadline=None)
@given(
    source=st.text(max_size=60) | st.just(SMALL),
    idea=st.text(max_size=60),
    edits=st.lists(st.text(max_size=20), max_size=3),
)
def test_hostile_text_is_harmless(source: str, idea: str, edits: list[str]) -> None:
    history = [row(1, [Edit(path="train.py", old=text, new=text + " = 2") for text in edits], State.MERGED, 0.1)]
    answer = ask(source=source, history=history, idea=idea)
    if isinstance(answer, Proposal):
        assert len(change_of(source, answer)) == 1
    else:
        assert "\n" not in answer.reason or "\n" in source


@settings(max_examples=150, deadline=None)
@given(
    words=st.lists(
        st.sampled_from(
            [
                "embedding",
                "matrix",
                "lr",
                "depth",
                "rope",
                "base",
                "batch",
                "to",
                "by",
                "x2",
                "1.5x",
                "50%",
                "halve",
                "from",
                "0.3",
                "1e-3",
                "->",
                "raise",
                "less",
                "2**3",
                "-1",
                "9e99",
                "0",
            ]
        ),
        max_size=6,
    )
)
def test_ideas_of_the_right_words_give_one_change_or_one_sentence(words: list[str]) -> None:
    answer = ask(idea=" ".join(words))
    if isinstance(answer, Proposal):
        assert len(change_of(SMALL, answer)) == 1
    else:
        assert answer.reason.endswith(".")


def test_optuna_is_loaded_only_when_it_is_asked() -> None:
    code = "import sys, bot.edge.tuner; sys.exit('optuna' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


def test_a_thousand_rows_are_read_in_time() -> None:
    history = []
    rng = random.Random(0)
    for number in range(1000):
        name = rng.choice(["EMBEDDING_LR", "MATRIX_LR", "X0_INIT", "INIT_SCALE"])
        edit = Edit(path="train.py", old=f"{name} = 0.1", new=f"{name} = {rng.uniform(0.01, 0.9):.4f}")
        history.append(row(number, [edit], State.REJECTED, rng.gauss(0, 0.002)))
    proposed(source=TRAIN, history=history[:3], idea="embedding lr")  # imports optuna
    started = time.perf_counter()
    proposed(source=TRAIN, history=history, idea="embedding lr")
    assert time.perf_counter() - started < 3
    started = time.perf_counter()
    proposed(source=TRAIN, history=history[:20], idea="embedding lr")
    assert time.perf_counter() - started < 1


Objective = Callable[[str], float]


def _objective(seed: int) -> Objective:
    """A separable quadratic in the coordinates in which constants act, with its optimum away from today's values."""
    rng = random.Random(seed)
    terms = {}
    for constant in find_constants(SMALL):
        logarithmic = prior_of(constant).shape in (Shape.SCALE, Shape.SIZE)
        scale = 1.0 if logarithmic else 0.3 * prior_of(constant).high
        at = math.log2(constant.value) if logarithmic else constant.value / scale
        terms[constant.name] = (logarithmic, scale, at + rng.gauss(0, 0.8), 0.01 * rng.random() ** 2)

    def level(source: str) -> float:
        total = 0.0
        for name, value in values_of(source).items():
            logarithmic, scale, optimum, steepness = terms[name]
            total -= steepness * ((math.log2(value) if logarithmic else value / scale) - optimum) ** 2
        return total

    return level


def _at_random(source: str, seen: set[tuple[str, Value]], rng: random.Random) -> Sequence[Edit]:
    """A proposer that never repeats itself and has the same steps to choose from, but no memory of outcomes."""
    values = values_of(source)
    steps = [
        (constant.name, value)
        for constant in find_constants(source)
        if not is_protected(constant)
        for value in candidate_values(constant=constant, prior=prior_of(constant), values=values)
    ]
    name, value = rng.choice([step for step in steps if step not in seen])
    seen.add((name, value))
    return edit_constants(source=source, path="train.py", values={name: value})


def _gain_after(runs: int, *, seed: int, tuned: bool, noise: float = 0.001) -> float:
    """What is really gained when every measured gain above two standard errors is merged."""
    level, rng = _objective(seed), random.Random(seed + 1000)
    source, history, seen = SMALL, list[LedgerRow](), set[tuple[str, Value]]()
    for number in range(runs):
        edits = proposed(source=source, history=history, seed=seed).edits if tuned else _at_random(source, seen, rng)
        candidate = applied(source, edits)
        gain = level(candidate) - level(source) + rng.gauss(0, noise)
        state = State.MERGED if gain > 2 * noise else State.REJECTED
        history.append(row(number, edits, state, gain, noise))
        source = candidate if state is State.MERGED else source
    return level(source) - level(SMALL)


def test_it_learns_more_from_noisy_runs_than_chance() -> None:
    tuned = statistics.mean(_gain_after(25, seed=seed, tuned=True) for seed in range(16))
    by_chance = statistics.mean(_gain_after(25, seed=seed, tuned=False) for seed in range(16))
    assert tuned > 1.2 * by_chance, f"mean gain of 25 runs: tuned {tuned:.4f}, by chance {by_chance:.4f}"
