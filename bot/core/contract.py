"""The contract: `.github/nightlab.yml` of the target repository, text -> `Contract` or every problem in it.

The classes below are the file's layout; docs/contract.md and contract.schema.json are generated from them. The
contract is read from the base branch, never from a pull request.
"""

import dataclasses
import hashlib
import json
import re
from enum import StrEnum
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, WithJsonSchema, create_model
from pydantic.dataclasses import dataclass

from bot.core import advice, scope
from bot.core.document import Document, Place, Problem, read
from bot.core.model import Direction
from bot.core.outcome import Metric
from bot.core.policy import PolicySettings
from runner.protocol import Task, allowed

PATH = ".github/nightlab.yml"
MAX_WILDCARDS = 3  # in one pattern: matching takes the path's length to this power

_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)

Name = Annotated[str, Field(max_length=40, pattern=advice.NAME)]
RelativePath = Annotated[str, Field(max_length=200, pattern=advice.RELATIVE_PATH)]
Pattern = Annotated[str, Field(max_length=200, pattern=advice.PRINTABLE)]

Unit = Annotated[str, Field(max_length=20, pattern=advice.PRINTABLE)]


class Sandbox(StrEnum):
    DOCKER = "docker"
    BUBBLEWRAP = "bubblewrap"
    SUBPROCESS = "subprocess"  # no isolation: for a demo on code one trusts


class Proposer(StrEnum):
    TUNER = "tuner"
    CLAUDE = "claude"
    MIXED = "mixed"


class Land(StrEnum):
    AUTO = "auto"
    AFTER_APPROVAL = "after-approval"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class Campaign:
    """What a campaign may use when the command that starts it does not say."""

    experiments: Annotated[int, Field(ge=1, le=10_000, description="Experiments in one campaign.")] = 100
    hours: Annotated[float, Field(gt=0, le=720, description="Hours after which it starts no new experiment.")] = 24.0
    parallel: Annotated[int, Field(ge=1, le=64, description="Experiments under way at the same time.")] = 1


@dataclass(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class Limits:
    """What this repository may use in any 24 hours."""

    experiments_per_day: Annotated[
        int, Field(ge=1, le=100_000, description="Experiments started, from any source.")
    ] = 200
    commands_per_person_per_day: Annotated[int, Field(ge=1, le=10_000, description="Commands obeyed per person.")] = 20


def protected_paths(*, directory: str, program_path: str) -> tuple[str, ...]:
    inside = "" if directory == "." else f"{directory}/"
    return (PATH, f"{inside}prepare.py", program_path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The parsed contract. A verdict is bound to `digest`."""

    task: Task
    metric: Metric
    hardware_class: str
    sandbox: Sandbox
    allow: tuple[str, ...]  # gitignore-style patterns of what a proposal may edit
    program_path: str
    proposer: Proposer
    land: Land
    policy: PolicySettings
    campaign: Campaign
    limits: Limits

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
        `land` and the budgets decide which experiments happen and who merges, not what was measured: they may change
        while an experiment runs.
        """
        binding = ("task", "metric", "hardware_class", "sandbox", "allow", "policy")
        values = {name: value for name, value in dataclasses.asdict(self).items() if name in binding}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _no_default(schema: dict[str, Any]) -> None:
    del schema["default"]


@dataclass(
    frozen=True,
    slots=True,
    kw_only=True,
    config=_CONFIG | {"json_schema_extra": {"minProperties": 1, "maxProperties": 1}},
)
class BudgetSection:
    """What one training may use: `steps` or `seconds`."""

    steps: Annotated[
        int,
        Field(
            ge=1,
            le=10_000_000,
            description="Work: the FLOPs of this many steps of the baseline, so that a larger model gets fewer steps.",
            json_schema_extra=_no_default,
        ),
    ] = 0
    seconds: Annotated[
        float, Field(gt=0, le=86_400, description="Wall-clock seconds of training.", json_schema_extra=_no_default)
    ] = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class TaskSection:
    directory: Annotated[RelativePath, Field(description="Where prepare.py and train.py are; `.` is the root.")] = "."
    preset: Annotated[Literal["cpu", "gpu"], Field(description="Which constants of the task's code to use.")] = "cpu"
    budget: Annotated[
        BudgetSection,
        Field(description="`{steps: 400}` or `{seconds: 300}`.", json_schema_extra={"default": {"steps": 400}}),
    ] = BudgetSection(steps=400)
    timeout_s: Annotated[float, Field(gt=0, le=172_800, description="A run is killed after this many seconds.")] = 300.0
    memory_mib: Annotated[int, Field(ge=256, le=4_194_304, description="Memory of one run.")] = 4096
    output_mib: Annotated[int, Field(ge=1, le=1_048_576, description="Files that one run may leave.")] = 256


@dataclass(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class MetricSection:
    name: Annotated[Name, Field(description="What the number is called in reports.")] = "val_bpb"
    direction: Annotated[Direction, Field(description="Which way is better.")] = Direction.LOWER
    unit: Annotated[Unit, Field(description="Written after the number.")] = "bpb"


@dataclass(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class PathsSection:
    allow: Annotated[
        list[Pattern],
        Field(
            min_length=1,
            max_length=100,
            description="Gitignore-style patterns, from the root, of the files a proposal may edit or create. "
            "`/train.py` is that one file, `train.py` one in any folder; the last pattern that matches wins.",
        ),
    ]


def _policy_keys() -> dict[str, Any]:
    """Every setting of the policy as a key; `repeatable` is a key of its own because the runs depend on it too."""
    types = get_type_hints(PolicySettings, include_extras=True)
    limits = {int: Field(ge=0, le=10_000), float: Field(ge=0, le=1_000_000)}
    settings = [setting for setting in dataclasses.fields(PolicySettings) if setting.name != "repeatable"]
    return {
        setting.name: (Annotated[types[setting.name], limits.get(types[setting.name], Field())], setting.default)
        for setting in settings
    }


class PolicySection(create_model("PolicyKeys", __config__=_CONFIG, **_policy_keys())):  # type: ignore[misc]  # its keys are PolicySettings'
    """Constants of the merge policy."""


@dataclass(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class File:
    """The contract of a Nightlab repository, `.github/nightlab.yml`. Only `version` and `paths` are required."""

    version: Annotated[Literal[1], Field(description="The version of this layout.")]
    paths: Annotated[PathsSection, Field(description="What a proposal may edit.")]
    task: Annotated[TaskSection, Field(default_factory=TaskSection, description="What one run trains, and its limits.")]
    metric: Annotated[MetricSection, Field(default_factory=MetricSection, description="The number that decides.")]
    hardware: Annotated[Name, Field(description="Hardware class that runs go to: the queue `gpu-<class>`.")] = "cpu"
    repeatable: Annotated[
        bool | None,
        WithJsonSchema({"type": "boolean"}),
        Field(
            description="Whether the same code and seed give the same number, so that pairs are worth comparing. "
            "By default true for the cpu preset with a budget in steps.",
            json_schema_extra=_no_default,
        ),
    ] = None
    sandbox: Annotated[
        Sandbox, Field(description="What runs are shut in. `subprocess` shuts in nothing: for a demo on trusted code.")
    ] = Sandbox.DOCKER
    program: Annotated[RelativePath, Field(description="The research directions that the proposer reads.")] = (
        "program.md"
    )
    proposer: Annotated[
        Proposer, Field(description="Who writes proposals: `tuner` edits constants and needs no API key.")
    ] = Proposer.TUNER
    land: Annotated[
        Land, Field(description="Who merges what is proven: the bot, the bot after an approving review, a person.")
    ] = Land.AUTO
    policy: Annotated[PolicySection, Field(default_factory=PolicySection, description="Constants of the merge policy.")]
    campaign: Annotated[Campaign, Field(default_factory=Campaign, description="What a campaign may use by default.")]
    limits: Annotated[Limits, Field(default_factory=Limits, description="What may be used in any 24 hours.")]


_FILE = TypeAdapter(File)


def parse(text: str) -> Contract | list[Problem]:
    """The contract in `text`, or all that is wrong with it in the order of its lines. Never raises."""
    document = read(text)
    if document.problems and document.value is None:
        return document.problems
    try:
        file = _FILE.validate_json(json.dumps(document.value), strict=True)
    except ValidationError as error:
        file = None
        for detail in error.errors(include_url=False):
            document.report(detail["loc"], advice.sentence(detail, keys=_keys(detail["loc"][:-1])))
    policy = _policy(document)
    _check_budget(document)
    _check_patterns(document)
    if file is None or policy is None or document.problems:
        return sorted(set(document.problems), key=lambda problem: (problem.line, problem.path, problem.message))
    return _contract(file, policy)


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the file, for editors. What compares two keys is left to the parser."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_FILE.json_schema()}


def _contract(file: File, policy: PolicySettings) -> Contract:
    return Contract(
        task=Task(
            directory=file.task.directory,
            preset=file.task.preset,
            budget_steps=file.task.budget.steps or None,
            budget_s=file.task.budget.seconds or None,
            timeout_s=file.task.timeout_s,
            memory_mib=file.task.memory_mib,
            output_mib=file.task.output_mib,
        ),
        metric=Metric(name=file.metric.name, unit=file.metric.unit, direction=file.metric.direction),
        hardware_class=file.hardware,
        sandbox=file.sandbox,
        allow=tuple(file.paths.allow),
        program_path=file.program,
        proposer=file.proposer,
        land=file.land,
        policy=policy,
        campaign=file.campaign,
        limits=file.limits,
    )


def _policy(document: Document) -> PolicySettings | None:
    """The settings, or None where the section is not even well-formed, which is reported elsewhere."""
    repeatable = document.get("repeatable")
    if repeatable is None:
        repeatable = document.get("task", "preset") != "gpu" and document.get("task", "budget", "seconds") is None
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


def _check_patterns(document: Document) -> None:
    """No pattern may open what a proposal must not edit, match nothing at all, or take long to match."""
    written = document.get("paths", "allow")
    entries = list(enumerate(written)) if isinstance(written, list) else []
    patterns = [(position, pattern) for position, pattern in entries if isinstance(pattern, str)]
    directory, program = document.get("task", "directory"), document.get("program")
    closed = protected_paths(
        directory=directory if isinstance(directory, str) else ".",
        program_path=program if isinstance(program, str) else "program.md",
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
    if patterns and all(pattern.startswith("!") for _, pattern in patterns):
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


def _keys(place: Place) -> list[str]:
    """The keys that may stand at `place`."""
    schema = json_schema()
    here = schema
    for part in place:
        here = here.get("properties", {}).get(part, {})
        here = schema["$defs"][here["$ref"].rpartition("/")[2]] if "$ref" in here else here
    return list(here.get("properties", {}))
