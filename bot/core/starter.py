"""What a repository needs to begin with: a contract and a program, with values read off its code.

Nothing is run: what cannot be seen in the source is guessed, and the guess is said.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from bot.core.advice import NAME
from bot.core.proposal.constants import UnparsableError, find_constants
from bot.core.text import neutral

GPU_SIGNS = (".cuda()", '"cuda"', "'cuda'", "torchrun", "bfloat16")
HIGHER_SIGNS = ("acc", "f1", "auc", "bleu", "rouge", "score", "reward", "win", "map", "pass")
HELD_OUT = ("val", "valid", "eval", "test", "dev")
MOST_NAMED = 8
WORKFLOW = ".github/workflows/nightlab.yml"
ACTION = re.compile(r"[A-Za-z0-9-]{1,39}/[A-Za-z0-9_.-]{1,100}@[A-Za-z0-9_.-]{1,100}")
HEADING = "# What Nightlab may do here, and how it decides. All keys: docs/contract.md of Nightlab."
PRINTED = re.compile(r"(?:^|[\s|])([A-Za-z][A-Za-z0-9_.-]{1,39}):\s*(?:$|[{%])")
SUITABLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")  # as the contract spells paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One key of the contract: what it is set to, and why."""

    key: str
    value: str  # as YAML
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    train: str  # the path of the training script
    hardware: str
    contract: str
    program: str
    choices: tuple[Choice, ...]
    todo: tuple[str, ...]  # sentences for the person who reviews it


class NothingToTrainError(ValueError):
    """There is no training script; the message says what to do."""


def begin(files: Mapping[str, str], *, train: str = "", hardware: str = "cpu") -> Start:
    """`files` are the Python files of the repository, path -> text; `train` names the script where it is known.

    `hardware` is the class that the bot measures. Raises NothingToTrainError.
    """
    path = _training_script(files, train)
    source, folder = files[path], str(PurePosixPath(path).parent)
    prefix = "" if folder == "." else f"{folder}/"
    scored = PurePosixPath(path).name == "train.py" and _defines_load(source) and f"{prefix}prepare.py" in files
    # A task of ours follows its preset; other code says what it wants.
    on_gpu = not hardware.startswith("cpu") or (not scored and _wants_gpu(source))
    choices = [
        Choice(key="paths.allow", value=f"[/{path}]", why=f"`{path}` is what trains; proposals edit nothing else")
    ]
    if folder != ".":
        choices.append(Choice(key="task.directory", value=folder, why="that is where the training script is"))
    choices += _budget(on_gpu=on_gpu, scored=scored)
    choices.append(Choice(key="hardware", value=_class(hardware, on_gpu), why=_hardware_reason(hardware, on_gpu)))
    todo = []
    if on_gpu and hardware.startswith("cpu"):
        todo.append("`hardware` must be the class that your runner has (`NIGHTLAB_HARDWARE` there).")
    if not scored:
        more, doubts = _claimed(path, source)
        choices += more
        todo += doubts
    choices += [
        Choice(key="proposer", value="tuner", why="needs no key; `claude` or `mixed` once the bot has one"),
        Choice(key="land", value="after-approval", why="a person approves every merge; `auto` goes by the evidence"),
    ]
    return Start(
        train=path,
        hardware=_class(hardware, on_gpu),
        contract=contract_text(choices),
        program=program_text(path, source, choices),
        choices=tuple(choices),
        todo=tuple(todo),
    )


def _training_script(files: Mapping[str, str], named: str) -> str:
    if named:
        if named not in files or SUITABLE.fullmatch(named) is None:
            raise NothingToTrainError(f"there is no Python file {named} in the last commit: check the path")
        return named
    suitable = [path for path in files if SUITABLE.fullmatch(path) and "test" not in path.lower()]
    found = [path for path in suitable if PurePosixPath(path).name == "train.py"]
    found = found or [path for path in suitable if ".backward(" in files[path] and ".step(" in files[path]]
    if not found:
        raise NothingToTrainError("there is no train.py, nor another script that trains: name it with --train PATH")
    return min(found, key=lambda path: (path.count("/"), "train" not in path.lower(), path))


def _defines_load(source: str) -> bool:
    try:
        return any(isinstance(node, ast.FunctionDef) and node.name == "load" for node in ast.parse(source).body)
    except (SyntaxError, ValueError):
        return False


def _wants_gpu(source: str) -> bool:
    return any(sign in source for sign in GPU_SIGNS) and "is_available" not in source


def _budget(*, on_gpu: bool, scored: bool) -> Iterator[Choice]:
    if on_gpu:
        yield Choice(key="task.preset", value="gpu", why="the code trains on a GPU")
    if scored and on_gpu:
        yield Choice(key="task.budget", value="{seconds: 300}", why="five minutes for every run, by an outside clock")
    elif scored:
        yield Choice(
            key="task.budget", value="{steps: 400}", why="the work of so many steps, which a clock cannot blur"
        )
    yield Choice(key="task.timeout_s", value="900", why="a guess: a run that takes longer is killed")
    if on_gpu:
        yield Choice(key="task.memory_mib", value="65536", why="a guess: of the machine's memory, for one run")


def _class(hardware: str, on_gpu: bool) -> str:
    return "gpu" if on_gpu and hardware.startswith("cpu") else hardware


def _hardware_reason(hardware: str, on_gpu: bool) -> str:
    if on_gpu and hardware.startswith("cpu"):
        return "the code wants a GPU, and the bot's machine has none: a name to be set on the runner as well"
    return "what the bot's machine measures"


def _claimed(path: str, source: str) -> tuple[list[Choice], list[str]]:
    """For a script without `load`: the metric is what it prints."""
    command = json.dumps(["python3", PurePosixPath(path).name])
    choices = [Choice(key="claims.command", value=command, why="there is no `load`, so the number is what this prints")]
    todo = [
        "The metric is self-reported: the code under test prints it. A `load` function of ten lines lets the runner "
        "make it instead, which a proposal cannot talk its way around. The bot merges by self-reported numbers only "
        "where `claims.merge` says so."
    ]
    name = _printed_metric(source)
    if name:
        why = f"`{path}` prints `{name}: ...`"
    else:
        name, why = "val_loss", "a guess"
        todo.insert(0, f"`{path}` prints no `val_...: <number>`: let it print `{name}: <number>` at its end.")
    higher = any(sign in name.lower() for sign in HIGHER_SIGNS)
    choices += [
        Choice(key="metric.name", value=name, why=why),
        Choice(key="metric.direction", value="higher" if higher else "lower", why="by its name"),
        Choice(key="metric.unit", value='""', why="none"),
    ]
    return choices, todo


def _printed_metric(source: str) -> str:
    """The name in what looks like `print(f"val_loss: {loss}")`; one that speaks of held-out data comes first."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ""
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    found: list[str] = [name for text in texts for name in PRINTED.findall(text) if re.fullmatch(NAME, name)]
    held_out = [name for name in found if name.startswith(HELD_OUT)]
    praised = [name for name in found if any(sign in name for sign in HIGHER_SIGNS)]
    return (held_out or praised or [""])[-1]


def contract_text(choices: Sequence[Choice]) -> str:
    """The choices as the contract's YAML, each with its reason."""
    sections: dict[str, list[str]] = {}
    for choice in choices:
        top, _, inner = choice.key.partition(".")
        reason = choice.why.replace("`", "")
        lines = sections.setdefault(top, [f"{top}:"] if inner else [])
        lines.append(f"{f'  {inner}' if inner else top}: {choice.value}  # {reason}")
    written = "\n".join("\n".join(lines) for lines in sections.values())
    return f"{HEADING}\nversion: 1\n{written}\n"


def program_text(path: str, source: str, choices: Sequence[Choice]) -> str:
    metric = next((choice.value for choice in choices if choice.key == "metric.name"), "val_bpb")
    direction = next((choice.value for choice in choices if choice.key == "metric.direction"), "lower")
    verb = "Raise" if direction == "higher" else "Lower"
    try:
        names = [constant.name for constant in find_constants(source)]
    except UnparsableError:
        names = []
    listed = ", ".join(f"`{name}`" for name in names[:MOST_NAMED]) or "the learning rate and its schedule"
    return f"""# Research program

{verb} `{metric}` of what `{path}` trains, within its fixed budget.

Worth trying, in this order:

1. The constants: {listed}.
2. The learning rate's schedule: warm-up, and how it ends.
3. Regularisation, and the optimiser.
4. The model's shape at the same cost.

Rules of the house:

- One idea in one proposal. Say what you expect and why.
- A small gain that adds ugly code is not worth it; the same result with less code is.
- Data, evaluation and budget are fixed.
"""


def workflow_text(path: str, *, action: str, hardware: str) -> str:
    """A workflow that measures every pull request to the training script at `path`, by people too."""
    machine = "ubuntu-latest" if hardware.startswith("cpu") else "[self-hosted, gpu]"
    return f"""name: nightlab
on:
  pull_request:
    paths: ["{path}"]
permissions: {{}}
jobs:
  bench:
    runs-on: {machine}  # one job at a time, and the hardware class that the contract names
    permissions:
      contents: read
      pull-requests: write  # for the comment
    steps:
      - uses: actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0
        with: {{fetch-depth: 0, persist-credentials: false}}
      - uses: {action}
"""


def pull_body(start: Start, *, added: Sequence[str], kept: Sequence[str], by_hand: str = "") -> str:
    """What the person reads who reviews the pull request that `nightlab init` opens. `by_hand` is a workflow that we
    may not add ourselves."""
    names = " and ".join(f"`{path}`" for path in added)
    parts = [
        f"This adds {names}. Once it is merged, Nightlab works here: comment `/experiment <idea>` on an issue. Until "
        "then it does nothing.",
        "| key | value | why |\n|---|---|---|\n"
        + "\n".join(f"| `{one.key}` | `{one.value}` | {neutral(one.why)} |" for one in start.choices),
        "Every value was read off the code or guessed from it, so look at each.",
    ]
    if kept:
        parts.append(f"Left as it is: {', '.join(f'`{path}`' for path in kept)}.")
    if start.todo:
        parts.append("Before merging:\n\n" + "\n".join(f"- [ ] {sentence}" for sentence in start.todo))
    if by_hand:
        parts.append(
            f"To measure people's pull requests as well, add this as `{WORKFLOW}`, which Nightlab's App may not write:"
            f"\n\n```yaml\n{by_hand}```"
        )
    return "\n\n".join(parts) + "\n"
