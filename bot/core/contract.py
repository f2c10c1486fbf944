"""The contract: `.github/nightlab.yml` of the target repository, text -> `Contract` or every problem in it.

It is read from the base branch, never from a pull request. The keys are in layout.py.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence

from pydantic import ValidationError

from bot.core import advice, scope
from bot.core.document import Document, Problem, read
from bot.core.layout import (
    FILE,
    PROGRAM,
    Campaign,
    Claude,
    Commands,
    Effort,
    File,
    Land,
    Limits,
    PolicySection,
    Proposer,
    Sandbox,
    TaskSection,
)
from bot.core.metric import Direction, Metric
from bot.core.schema import keys
from bot.core.text import line
from bot.core.verdict.policy import PolicySettings
from runner.protocol import Claims, Task, allowed

__all__ = [
    "PATH",
    "Campaign",
    "Claude",
    "Contract",
    "Effort",
    "Land",
    "Limits",
    "Problem",
    "Proposer",
    "Sandbox",
    "parse",
]

PATH = ".github/nightlab.yml"
MAX_WILDCARDS = 3  # in one pattern: matching takes the path's length to this power


def protected_paths(*, directory: str, program_path: str) -> tuple[str, ...]:
    inside = "" if directory == "." else f"{directory}/"
    return (PATH, f"{inside}prepare.py", program_path)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The parsed contract. A verdict is bound to `digest`."""

    task: Task
    metric: Metric
    hardware_class: str
    sandbox: Sandbox
    allow: tuple[str, ...]  # gitignore-style patterns of what a proposal may edit
    program_path: str
    proposer: Proposer
    claude: Claude
    land: Land
    policy: PolicySettings
    campaign: Campaign
    limits: Limits
    commands: Commands = dataclasses.field(default_factory=Commands)
    may_land_claims: bool = True  # false where the metric is self-reported and the contract leaves its merges to people

    @property
    def train_path(self) -> str:
        """Of the script that trains, from the root."""
        return "train.py" if self.task.directory == "." else f"{self.task.directory}/train.py"

    @property
    def repeatable(self) -> bool:
        """Whether the same tree and seed give the same number."""
        return self.policy.repeatable

    @property
    def protected(self) -> tuple[str, ...]:
        """Paths no proposal may touch whatever `allow` says, besides those `scope` always refuses."""
        return protected_paths(directory=self.task.directory, program_path=self.program_path)

    @property
    def digest(self) -> str:
        """sha256, hex, over what a measurement or a verdict depends on.

        That is task, metric, hardware_class, sandbox, allow and policy (with repeatable). The program, the proposer,
        `claude`, `land` and the budgets decide which experiments happen and who merges, not what was measured: they may
        change while an experiment runs.
        """
        binding = ("task", "metric", "hardware_class", "sandbox", "allow", "policy")
        values = {name: value for name, value in dataclasses.asdict(self).items() if name in binding}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def parse(text: str) -> Contract | list[Problem]:
    """The contract in `text`, or all that is wrong with it in the order of its lines. Never raises."""
    document = read(text)
    if document.value is None:
        if not document.problems:
            document.report((), "the contract is empty: docs/contract.md shows the shortest one")
        return document.problems
    try:
        file = FILE.validate_json(json.dumps(document.value), strict=True)
    except ValidationError as error:
        file = None
        for detail in error.errors(include_url=False):
            document.report(detail["loc"], advice.sentence(detail, keys=keys(detail["loc"][:-1])))
    policy = _policy(document)
    _check_budget(document)
    _check_image(document)
    _check_patterns(document)
    if file is None or policy is None or document.problems:
        return sorted(set(document.problems), key=lambda problem: (problem.line, problem.path, problem.message))
    unbudgeted = file.claims is not None and document.get("task", "budget") is None
    return _contract(file, policy, unbudgeted=unbudgeted)


def unusable(problems: Sequence[Problem]) -> str:
    """One sentence with every problem of a contract, as the reason why an experiment ended."""
    return f"the contract {PATH} cannot be used: " + "; ".join(line(str(problem), 300) for problem in problems)


def _contract(file: File, policy: PolicySettings, *, unbudgeted: bool) -> Contract:
    """Of a command that prints its own metric, the budget is its own affair unless the contract has one."""
    claims = None
    if file.claims is not None:
        claims = Claims(command=tuple(file.claims.command), metric=file.metric.name, data=file.claims.data or "")
    return Contract(
        task=Task(
            directory=file.task.directory,
            preset=file.task.preset,
            budget_steps=None if unbudgeted else file.task.budget.steps or None,
            budget_s=None if unbudgeted else file.task.budget.seconds or None,
            timeout_s=file.task.timeout_s,
            memory_mib=file.task.memory_mib,
            output_mib=file.task.output_mib,
            claims=claims,
            image=file.image or "",
            higher_is_better=file.metric.direction is Direction.HIGHER,
        ),
        metric=Metric(
            name=file.metric.name,
            unit=file.metric.unit,
            direction=file.metric.direction,
            self_reported=claims is not None,
        ),
        hardware_class=file.hardware,
        sandbox=file.sandbox,
        allow=tuple(file.paths.allow),
        program_path=file.program,
        proposer=file.proposer,
        claude=file.claude,
        land=file.land,
        policy=policy,
        campaign=file.campaign,
        limits=file.limits,
        commands=file.commands,
        may_land_claims=file.claims is None or file.claims.merge,
    )


def _policy(document: Document) -> PolicySettings | None:
    """The settings, or None where the section is not even well-formed, which is reported elsewhere."""
    repeatable = document.get("repeatable")
    if repeatable is None:
        is_counted = document.get("task", "budget", "seconds") is None and document.get("claims") is None
        repeatable = document.get("task", "preset") != "gpu" and is_counted
    try:
        section = PolicySection.model_validate_json(json.dumps(document.get("policy") or {}), strict=True)
        return PolicySettings(repeatable=repeatable is True, **section.model_dump())
    except ValidationError:
        return None
    except ValueError as error:
        document.report(("policy", str(error).partition(" ")[0]), f"{error}: change it")
        return None


def _check_budget(document: Document) -> None:
    budget = document.get("task", "budget")
    if not isinstance(budget, dict):
        return
    if ("steps" in budget) == ("seconds" in budget):
        document.report(("task", "budget"), "write exactly one of `steps` and `seconds`")
    seconds, timeout_s = budget.get("seconds"), document.get("task", "timeout_s") or TaskSection().timeout_s
    if isinstance(seconds, int | float) and isinstance(timeout_s, int | float) and timeout_s <= seconds:
        document.report(("task", "timeout_s"), f"it must be longer than the {seconds} seconds of training: raise it")
    if seconds is not None and document.get("repeatable") is True:
        message = "a budget in seconds never gives the same number twice: write `false`, or count the budget in `steps`"
        document.report(("repeatable",), message)


def _check_image(document: Document) -> None:
    sandbox = document.get("sandbox")
    if document.get("image") is not None and sandbox not in (None, "docker"):
        document.report(("image",), "only containers are made of images: leave it out, or set `sandbox: docker`")


def _check_patterns(document: Document) -> None:
    """No pattern may open what a proposal must not edit, match nothing at all, or take long to match."""
    written = document.get("paths", "allow")
    entries = list(enumerate(written)) if isinstance(written, list) else []
    patterns = [(position, pattern) for position, pattern in entries if isinstance(pattern, str)]
    directory, program = document.get("task", "directory"), document.get("program")
    closed = protected_paths(
        directory=directory if isinstance(directory, str) else ".",
        program_path=program if isinstance(program, str) else PROGRAM,
    )
    wrong = {position: _pattern_problem(pattern, closed) for position, pattern in patterns}
    sound = [(position, pattern) for position, pattern in patterns if not wrong[position]]
    for path in (*closed, *scope.EXAMPLES):
        if allowed(path, tuple(pattern for _, pattern in sound)):
            culprit = max(position for position, pattern in sound if allowed(path, (pattern,)))
            wrong[culprit] = wrong[culprit] or (
                f"this covers `{path}`, which no proposal may edit: name files more narrowly, or add `!/{path}`"
            )
    for position, message in wrong.items():
        if message:
            document.report(("paths", "allow", position), message)
    if sound and all(pattern.startswith("!") for _, pattern in sound):
        document.report(("paths", "allow"), "these patterns only take away: name the files that a proposal may edit")


def _pattern_problem(pattern: str, closed: tuple[str, ...]) -> str:
    if not pattern.startswith("!") and scope.reserved(pattern.strip("/"), closed):
        return "no proposal may edit this: leave it out"
    if pattern.startswith("#"):
        return "a pattern that begins with `#` is a comment: write a path, or `\\#` for a real one"
    if len(re.findall(r"\*+", pattern)) > MAX_WILDCARDS:
        return f"it may hold at most {MAX_WILDCARDS} wildcards: write it more simply"
    try:
        allowed("train.py", (pattern,))
    except ValueError:
        return "this is not a gitignore-style pattern: write a path such as `train.py` or `src/**/*.py`"
    return ""
