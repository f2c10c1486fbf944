"""Constants found, changed and read back: bot/core/proposal/constants.py, edits.py and idea.py."""

import ast
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.model import Edit
from bot.core.proposal.constants import Constant, UnparsableError, find_constants
from bot.core.proposal.edits import edit_constants, read_change, render
from bot.core.proposal.idea import Wish, read_idea
from bot.core.proposal.priors import is_protected, prior_of
from bot.core.proposal.steps import candidate_values

TRAIN = (Path(__file__).parents[2] / "runner" / "task" / "train.py").read_text()

# What a training script in the manner of autoresearch holds.
SCRIPT = '''"""Trains. EMBEDDING_LR = 0.6 is only prose here."""
from prepare import MAX_SEQ_LEN

# Model
ASPECT_RATIO = 64       # width = depth * ASPECT_RATIO
HEAD_DIM = 128
WINDOW_PATTERN = "SSSL"

# Optimisation
TOTAL_BATCH_SIZE = 2**19 # tokens a step
EMBEDDING_LR = 0.6
UNEMBEDDING_LR = 4e-3
ADAM_BETAS = (0.8, 0.95)
WARMUP_RATIO: float = 0.0
SHIFT = -0.5
VOCAB_SIZE = 8_192
USE_BIAS = False
MODELS = {"small": dict(depth=2, width=64), "large": {"depth": 12, "lr": 3e-4}}
TWICE = 1
TWICE = 2
WIDTH = ASPECT_RATIO * 8
LIMITS = [1, "two", 3.0]


def main():
    LOCAL = 3
    return LOCAL
'''


def apply_edit(source: str, edit: Edit) -> str:
    assert source.count(edit.old) == 1
    return source.replace(edit.old, edit.new)


def by_name(source: str, preset: str = "") -> dict[str, Constant]:
    return {constant.name: constant for constant in find_constants(source, preset=preset)}


def test_every_simple_number_is_found_and_nothing_else() -> None:
    assert {name: constant.value for name, constant in by_name(SCRIPT).items()} == {
        "ASPECT_RATIO": 64,
        "HEAD_DIM": 128,
        "TOTAL_BATCH_SIZE": 2**19,
        "EMBEDDING_LR": 0.6,
        "UNEMBEDDING_LR": 0.004,
        "ADAM_BETAS[0]": 0.8,
        "ADAM_BETAS[1]": 0.95,
        "WARMUP_RATIO": 0.0,
        "SHIFT": -0.5,
        "VOCAB_SIZE": 8192,
        "USE_BIAS": False,
        "MODELS.small.depth": 2,
        "MODELS.small.width": 64,
        "MODELS.large.depth": 12,
        "MODELS.large.lr": 3e-4,
        "LIMITS[0]": 1,
        "LIMITS[2]": 3.0,
    }


def test_the_comment_beside_a_constant_comes_with_it() -> None:
    assert by_name(SCRIPT)["ASPECT_RATIO"].comment == "Model width = depth * ASPECT_RATIO"
    assert by_name(SCRIPT)["HEAD_DIM"].comment == ""


@pytest.mark.parametrize(
    "source",
    [
        "X = 10**10**10",
        "X = 1 / 0",
        "X = 1e999",
        "X = (-8) ** 0.5",
        "X = 1j",
        "X = None",
        "X = 'text'",
        "X = Y = 1",
        "X += 1",
        "x = 1",
        "X = 1\ndel X",
        "X = 1\ndef f():\n    global X\n    X = 2",
        "X = 1\nfor X in (1, 2): pass",
        "X = 1; Y = 2",
        '"""a\nb"""; X = 1',
        "X = " + "1 + " * 50 + "1",
        "X: int",
        "X, *Y = 1, 2",
        "if True:\n    X = 1",
        "",
    ],
)
def test_no_constant_where_the_value_is_not_plain(source: str) -> None:
    assert find_constants(source) == ()


@pytest.mark.parametrize("source", ["X = (", "\0", "\ud800 = 1", "(" * 5000, "X = " + "9" * 5000, "\ufeffX = 1"])
def test_what_python_refuses_is_one_error(source: str) -> None:
    with pytest.raises(UnparsableError, match="it is not valid Python"):
        find_constants(source)


def test_a_preset_branch_replaces_the_constants_above_it() -> None:
    source = (
        'DEPTH = 2\nLR = 0.1\nif PRESET == "gpu":\n    DEPTH, WIDTH = 9, 512\nelif PRESET == "tpu":\n    LR = 0.2\n'
    )
    values = {preset: {n: c.value for n, c in by_name(source, preset).items()} for preset in ("cpu", "gpu", "tpu")}
    assert values == {
        "cpu": {"DEPTH": 2, "LR": 0.1},
        "gpu": {"DEPTH": 9, "LR": 0.1, "WIDTH": 512},
        "tpu": {"DEPTH": 2, "LR": 0.2},
    }
    (edit,) = edit_constants(source=source, path="t.py", values={"WIDTH": 640}, preset="gpu")
    assert (edit.old, edit.new) == ("    DEPTH, WIDTH = 9, 512", "    DEPTH, WIDTH = 9, 640")
    assert read_change([edit]).after == {"WIDTH": 640}


def test_an_edit_is_widened_until_it_is_unique() -> None:
    source = "EMBEDDING_LR = 0.3\nLR = 0.3\n"
    (edit,) = edit_constants(source=source, path="t.py", values={"LR": 0.4})
    assert apply_edit(source, edit) == "EMBEDDING_LR = 0.3\nLR = 0.4\n"
    (edit,) = edit_constants(source="LR = 0.3\nA = 1\n'''\nLR = 0.3\n'''\n", path="t.py", values={"LR": 0.4})
    assert apply_edit("LR = 0.3\nA = 1\n'''\nLR = 0.3\n'''\n", edit) == "LR = 0.4\nA = 1\n'''\nLR = 0.3\n'''\n"


def test_two_constants_of_one_statement_make_one_edit() -> None:
    (edit,) = edit_constants(source=SCRIPT, path="t.py", values={"ADAM_BETAS[1]": 0.9, "ADAM_BETAS[0]": 0.7})
    assert edit == Edit(path="t.py", old="ADAM_BETAS = (0.8, 0.95)", new="ADAM_BETAS = (0.7, 0.9)")


def test_edits_that_would_disturb_each_other_become_one() -> None:
    source = "A_LR = 1\nLR = 3\nB_LR = 5\n"
    edits = edit_constants(source=source, path="t.py", values={"A_LR": 3, "LR": 1})
    for order in (edits, edits[::-1]):
        text = source
        for edit in order:
            text = apply_edit(text, edit)
        assert text == "A_LR = 3\nLR = 1\nB_LR = 5\n"


@pytest.mark.parametrize(
    ("value", "like", "text"),
    [
        (2**20, "2**19", "2**20"),
        (3 * 2**18, "2**19", "786432"),
        (20_000, "10_000", "20_000"),
        (6e-4, "3e-4", "6e-4"),
        (1.25e-3, "1e-3", "1.25e-3"),
        (1e-05, "0.001", "1e-5"),
        (0.45, ".3", "0.45"),
        (0.0, "1e-3", "0.0"),
        (True, "False", "True"),
        (-3, "-2", "-3"),
    ],
)
def test_a_value_is_written_in_the_manner_of_the_old_one(value: float, like: str, text: str) -> None:
    assert render(value=value, like=like) == text
    assert ast.literal_eval(text) == value if "**" not in text else True


def test_a_change_is_read_from_fragments_too() -> None:
    fragment = Edit(path="t.py", old="LR = 0.1\n\n\ndef f(:\n  x", new="LR = 0.2\n\n\ndef f(:\n  y")
    change = read_change([fragment])
    assert (change.before, change.after, change.only_constants) == ({"LR": 0.1}, {"LR": 0.2}, False)
    assert not read_change([Edit(path="t.py", old="LR = 0.1\nx = 1", new="LR = 0.2\nx = 2")]).only_constants
    assert read_change([Edit(path="t.py", old="", new="new file")]).after == {}


line = st.sampled_from(
    [
        "LR = 0.1",
        "A_LR = 0.1",
        "A, B = 1, 2.5",
        "T = (1, 0.5)",
        "# é LR = 0.1",
        "'''é\nLR = 0.1\n'''",
        "",
        "D = {'k': -2}",
        "S = 2**4  # multiple of 4",
        "x = 3",
        "F = True",
        "if P == 'g':\n    LR = 3.0",
        "'é'; X = 1",
        "N = 1_000 # 中文",
    ]
)


@given(
    lines=st.lists(line, max_size=8), ending=st.sampled_from(["\n", "\r\n", "\r"]), last=st.booleans(), data=st.data()
)
def test_an_edit_changes_exactly_its_constant(lines: list[str], ending: str, last: bool, data: st.DataObject) -> None:
    source = ending.join("\n".join(lines).split("\n")) + ending * last
    preset = data.draw(st.sampled_from(["", "g"]))
    before = by_name(source, preset)
    if not before:
        return
    name = data.draw(st.sampled_from(sorted(before)))
    value: bool | float = not before[name].value if before[name].text == "True" else before[name].value + 3
    (edit,) = edit_constants(source=source, path="t.py", values={name: value}, preset=preset)
    after = by_name(apply_edit(source, edit), preset)
    assert {n: c.value for n, c in after.items()} == {**{n: c.value for n, c in before.items()}, name: value}
    change = read_change([edit])
    assert (change.before, change.after, change.only_constants) == ({name: before[name].value}, {name: value}, True)


@settings(max_examples=300)
@given(
    st.text(max_size=80)
    | st.from_regex(r"([A-Z]{1,3} ?= ?[-+0-9.*/e_()\[\]{}:,'TrueFals #]{0,20}\n?){1,4}", fullmatch=True)
)
def test_any_text_gives_constants_that_read_as_their_value_or_one_error(source: str) -> None:
    try:
        constants = find_constants(source)
    except UnparsableError:
        return
    for constant in constants:
        assert eval(constant.text) == constant.value  # noqa: S307  # our own strategy's arithmetic
        assert source[constant.start : constant.end] == constant.text


def test_protected_constants_of_the_reference_task_are_few() -> None:
    assert [constant.name for constant in find_constants(TRAIN, preset="cpu") if is_protected(constant)] == [
        "LOG_EVERY"
    ]
    assert [constant.name for constant in find_constants(SCRIPT) if is_protected(constant)] == ["VOCAB_SIZE"]


@pytest.mark.parametrize("preset", ["cpu", "gpu"])
def test_candidates_of_the_reference_task_respect_its_divisions(preset: str) -> None:
    constants = by_name(TRAIN, preset)
    values = {name: constant.value for name, constant in constants.items()}
    for name, constant in constants.items():
        candidates = candidate_values(constant=constant, prior=prior_of(constant), values=values)
        assert candidates, name
        assert constant.value not in candidates
        if name == "WIDTH":
            assert all(value % values["HEAD_WIDTH"] == 0 for value in candidates)
        if name == "HEAD_WIDTH":
            assert all(values["WIDTH"] % value == 0 for value in candidates)
        if name.endswith("_FRAC") or "BETA" in name:
            assert all(0 <= value <= 1 for value in candidates)


@pytest.mark.parametrize(
    ("idea", "name", "value"),
    [
        ("FINAL_LR_FRAC 0.05", "FINAL_LR_FRAC", 0.05),
        ("final_lr_frac=.05", "FINAL_LR_FRAC", 0.05),
        ("embedding lr x1.5", "EMBEDDING_LR", 0.45),
        ("1.5x embedding LR", "EMBEDDING_LR", 0.45),
        ("warmdown 0.75", "WARMDOWN_FRAC", 0.75),
        ("warmdown 0.5 -> 0.75", "WARMDOWN_FRAC", 0.75),
        ("change the warmdown from 0.5 to 0.75", "WARMDOWN_FRAC", 0.75),
        ("increase the warmdown to 75%", "WARMDOWN_FRAC", 0.75),
        ("set rope base to 20k", "ROPE_BASE", 20_000),
        ("try rotary base 200k", "ROPE_BASE", 200_000),
        ("ROPE_BASE = 50_000", "ROPE_BASE", 50_000),
        ("rope base 200,000", "ROPE_BASE", 200_000),
        ("halve the batch size", "BATCH_SIZE", 4),
        ("double depth", "DEPTH", 4),
        ("batch size 2**4", "BATCH_SIZE", 16),
        ("try 50% more embedding lr", "EMBEDDING_LR", 0.45),
        ("lower muon decay by 20%", "MUON_DECAY", 0.08),
        ("lower the embedding learning rate by a factor of 2", "EMBEDDING_LR", 0.15),
        ("lower ADAM_BETA1 by 0.05", "ADAM_BETA1", 0.75),
        ("x0 init 0.05", "X0_INIT", 0.05),
        ("x0 init x2", "X0_INIT", 0.2),
        ("set the unembedding learning rate to 6e-3", "UNEMBEDDING_LR", 0.006),
        ("matrix lr", "MATRIX_LR", None),
    ],
)
def test_an_idea_is_read(idea: str, name: str, value: float | None) -> None:
    assert read_idea(idea, find_constants(TRAIN, preset="cpu")) == Wish(name=name, value=value)


@pytest.mark.parametrize(
    ("idea", "sentence"),
    [
        ("use a mixture of experts", "this idea names none"),
        ("EMBEDING_LR 0.4", "did you mean EMBEDDING_LR?"),
        ("lr x2", "name one of EMBEDDING_LR, UNEMBEDDING_LR, MATRIX_LR, SCALAR_LR"),
        ("depth 2", "DEPTH is 2 already."),
        ("depth 2.5", "DEPTH is a whole number and 2.5 is not"),
        ("final lr -1", "FINAL_LR_FRAC is not negative"),
        ("warmdown 3", "WARMDOWN_FRAC is a fraction: give a number from 0 to 1."),
        ("width 1e999", "WIDTH cannot take a number that large"),
        ("embedding lr 0.3.4", "The number for EMBEDDING_LR cannot be read"),
        ("embedding lr 0.3 or 0.4", "The idea gives several numbers for EMBEDDING_LR"),
        ("embedding lr 0.2 and 0.4", "The idea gives several numbers for EMBEDDING_LR"),
        ("log every 5", "LOG_EVERY binds the metric, the data or the budget"),
        ("depth " + "9" * 400, "Free text needs the Claude proposer"),
        ("<script>alert(1)</script> @everyone", "Free text needs the Claude proposer"),
    ],
)
def test_an_idea_that_cannot_be_read_gets_one_sentence(idea: str, sentence: str) -> None:
    answer = read_idea(idea, find_constants(TRAIN, preset="cpu"))
    assert isinstance(answer, str)
    assert sentence in answer
    assert "<script>" not in answer
    assert "@" not in answer


@pytest.mark.parametrize(("idea", "value"), [("use bias", True), ("turn use_bias on", True), ("toggle bias", None)])
def test_a_switch_is_flipped(idea: str, value: bool | None) -> None:
    answer = read_idea(idea, find_constants("USE_BIAS = False\n"))
    assert answer == Wish(name="USE_BIAS", value=value) if value else isinstance(answer, str)
    assert read_idea("use bias off", find_constants("USE_BIAS = False\n")) == "USE_BIAS is False already."
