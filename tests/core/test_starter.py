"""What `nightlab init` reads off a repository's code; whatever it finds, the contract is a valid one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.contract import Contract, parse
from bot.core.starter import NothingToTrainError, Start, begin, pull_body

TASK = Path(__file__).parents[2] / "runner" / "task"
CLAIMS = """
import torch
LR = 0.1
WIDTH = 64
model = torch.nn.Linear(WIDTH, 1).cuda()
loss.backward(); optimiser.step()
print(f"step: {step}")
print(f"val_acc: {accuracy:.4f}")
"""


def contract(start: Start) -> Contract:
    parsed = parse(start.contract)
    assert isinstance(parsed, Contract), (parsed, start.contract)
    return parsed


def test_the_shipped_task_is_scored_by_the_runner() -> None:
    files = {name: (TASK / name).read_text() for name in ("train.py", "prepare.py")}
    start = begin(files)
    found = contract(start)
    assert (found.allow, found.task.claims, found.metric.name) == (("/train.py",), None, "val_bpb")
    assert start.todo == ()
    assert "Lower `val_bpb` of what `train.py` trains" in start.program
    assert found.task.budget_steps == 400


def test_a_script_of_ones_own_is_taken_at_its_word() -> None:
    start = begin({"src/fit.py": CLAIMS, "src/test_fit.py": CLAIMS, "setup.py": ""})
    found = contract(start)
    assert found.task.claims is not None
    assert found.task.claims.command == ("python3", "fit.py")
    assert not found.may_land_claims
    assert (found.task.directory, found.allow) == ("src", ("/src/fit.py",))
    assert (found.metric.name, found.metric.direction.value) == ("val_acc", "higher")
    assert (found.task.preset, found.task.budget_s) == ("gpu", None)
    assert "Raise `val_acc` of what `src/fit.py` trains" in start.program
    assert "`LR`, `WIDTH`" in start.program
    assert "`hardware` must be the class" in start.todo[0]
    body = pull_body(start, added=[".github/nightlab.yml"], kept=["program.md"])
    assert "| `metric.name` | `val_acc` |" in body
    assert "Left as it is: `program.md`." in body
    assert "- [ ] The metric is self-reported" in body


def test_what_is_not_printed_is_asked_for() -> None:
    start = begin({"train.py": "loss.backward()"})
    assert contract(start).metric.name == "val_loss"
    assert "let it print `val_loss: <number>`" in start.todo[0]


def test_the_bots_own_hardware_is_what_runs_are_for() -> None:
    assert contract(begin({"train.py": CLAIMS}, hardware="h100")).hardware_class == "h100"


@pytest.mark.parametrize(
    ("files", "train", "said"),
    [
        ({"README.py": "", "util.py": "x = 1"}, "", "name it with --train PATH"),
        ({"train.py": ""}, "fit.py", "there is no Python file fit.py"),
    ],
)
def test_nothing_to_train(files: dict[str, str], train: str, said: str) -> None:
    with pytest.raises(NothingToTrainError, match=said):
        begin(files, train=train)


@given(st.dictionaries(st.text(max_size=12).map(lambda name: f"{name}train.py"), st.text(), min_size=1), st.text())
def test_whatever_is_found_makes_a_valid_contract(files: dict[str, str], printed: str) -> None:
    files = {path: f"{text}\nprint({printed!r} ': {{}}')\n" for path, text in files.items()}
    try:
        start = begin(files)
    except NothingToTrainError:
        return
    contract(start)
