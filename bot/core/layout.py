"""The layout of `.github/nightlab.yml`: its keys, what each may hold, and what it is when left out.

docs/contract.md and contract.schema.json are generated from these classes.
"""

import dataclasses
from enum import StrEnum
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, WithJsonSchema, create_model
from pydantic.dataclasses import dataclass

from bot.core import advice
from bot.core.intake.grammar import WORDS, Verb
from bot.core.metric import Direction
from bot.core.verdict.policy import PolicySettings

PROGRAM = "program.md"

_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)

Name = Annotated[str, Field(max_length=40, pattern=advice.NAME)]
RelativePath = Annotated[str, Field(max_length=200, pattern=advice.RELATIVE_PATH)]
Pattern = Annotated[str, Field(max_length=200, pattern=advice.PRINTABLE)]
Unit = Annotated[str, Field(max_length=20, pattern=advice.PRINTABLE_OR_EMPTY)]
Word = Annotated[str, Field(max_length=200, pattern=advice.PRINTABLE)]
ImageName = Annotated[str, Field(max_length=300, pattern=advice.IMAGE)]
FolderName = Annotated[str, Field(max_length=100, pattern=advice.FOLDER_NAME)]


class Sandbox(StrEnum):
    DOCKER = "docker"
    BUBBLEWRAP = "bubblewrap"
    SUBPROCESS = "subprocess"  # no isolation: for a demo on code one trusts


class Proposer(StrEnum):
    TUNER = "tuner"
    CLAUDE = "claude"
    MIXED = "mixed"


class Effort(StrEnum):
    DEFAULT = "default"  # the model's own
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    XHIGH = "xhigh"
    MAX = "max"


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
    ahead: Annotated[
        int,
        Field(
            ge=0,
            le=16,
            description="Experiments that Claude drafts while those are under way, so that no slot waits for it.",
        ),
    ] = 1
    usd: Annotated[float, Field(ge=0, le=100_000, description="Dollars for the model in one campaign.")] = 50.0


@dataclass(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class Limits:
    """What this repository may use in any 24 hours."""

    experiments_per_day: Annotated[
        int, Field(ge=1, le=100_000, description="Experiments started, from any source.")
    ] = 200
    experiments_per_person_per_day: Annotated[
        int, Field(ge=1, le=100_000, description="Experiments started for one person, campaigns of theirs included.")
    ] = 100
    usd_per_day: Annotated[float, Field(ge=0, le=100_000, description="Dollars for the model, from any source.")] = 20.0
    usd_per_person_per_day: Annotated[
        float,
        Field(ge=0, le=100_000, description="Dollars for the model for one person, campaigns of theirs included."),
    ] = 20.0


class Role(StrEnum):
    """A person's role on the forge, each with what the ones before may do."""

    READ = "read"
    TRIAGE = "triage"
    WRITE = "write"
    MAINTAIN = "maintain"
    ADMIN = "admin"

    def reaches(self, needed: "Role") -> bool:
        order = list(Role)
        return order.index(self) >= order.index(needed)


def _command_keys() -> dict[str, Any]:
    """Every command's first word as a key."""
    return {word: (Role, Field(Role.WRITE, description=f"The least role for `/{word}`.")) for word in WORDS}


class Commands(create_model("CommandKeys", __config__=ConfigDict(**_CONFIG, frozen=True), **_command_keys())):  # type: ignore[misc]  # its keys are the grammar's
    """The role that each command takes; `write` unless it says otherwise."""

    def needed(self, verb: Verb) -> Role:
        role: Role = getattr(self, verb.word)
        return role


@dataclass(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class Claude:
    """How Claude writes proposals, and what one proposal may use; used when `proposer` is `claude` or `mixed`."""

    model: Annotated[
        str, Field(max_length=120, pattern=advice.PRINTABLE, description="The model's id, as its provider names it.")
    ] = "claude-opus-5-5"
    effort: Annotated[
        Effort, Field(description="How much it thinks; `default` is the model's own, and not every model has the rest.")
    ] = Effort.DEFAULT
    turns: Annotated[int, Field(ge=1, le=200, description="Answers of the model.")] = 40
    tokens: Annotated[
        int, Field(ge=1_000, le=100_000_000, description="Tokens of all requests and answers, cached ones included.")
    ] = 2_000_000
    minutes: Annotated[float, Field(gt=0, le=240, description="Minutes of waiting for the model.")] = 30.0
    usd: Annotated[float, Field(gt=0, le=1_000, description="Dollars.")] = 2.0
    smoke_runs: Annotated[
        int,
        Field(
            ge=0, le=20, description="Times that drafts of one experiment are run for a few seconds, to find errors."
        ),
    ] = 3
    repairs: Annotated[
        int, Field(ge=0, le=2, description="Times that Claude may mend a proposal of its own whose runs crash.")
    ] = 1
    input_usd: Annotated[
        float,
        Field(ge=0, le=10_000, description="Your price of a million input tokens; 0 takes Anthropic's list price."),
    ] = 0.0
    output_usd: Annotated[
        float, Field(ge=0, le=10_000, description="Your price of a million output tokens; goes with `input_usd`.")
    ] = 0.0


def _no_default(schema: dict[str, Any]) -> None:
    del schema["default"]


@dataclass(
    frozen=True,
    slots=True,
    kw_only=True,
    config=_CONFIG | {"json_schema_extra": {"minProperties": 1, "maxProperties": 1}},
)
class BudgetSection:
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
        Field(description="What one training may use: one of the two.", json_schema_extra={"default": {"steps": 400}}),
    ] = BudgetSection(steps=400)
    timeout_s: Annotated[float, Field(gt=0, le=172_800, description="A run is killed after this many seconds.")] = 300.0
    memory_mib: Annotated[int, Field(ge=256, le=4_194_304, description="Memory of one run.")] = 4096
    output_mib: Annotated[int, Field(ge=1, le=1_048_576, description="Files that one run may leave.")] = 256


@dataclass(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class ClaimsSection:
    """Claims mode: the metric is what the repository's own command prints."""

    command: Annotated[
        list[Word],
        Field(
            min_length=1,
            max_length=50,
            description="What is run in the task's directory, such as `[python3, train.py]`. It prints "
            "`<metric.name>: <number>`; the last such line counts.",
        ),
    ]
    data: Annotated[
        FolderName | None,
        WithJsonSchema({"type": "string", "maxLength": 100, "pattern": advice.FOLDER_NAME}),
        Field(
            description="The folder below `NIGHTLAB_DATA` of the runner's machine that is the command's home, "
            "read-only.",
            json_schema_extra=_no_default,
        ),
    ] = None
    merge: Annotated[
        bool, Field(description="Whether the bot may merge by a self-reported number, as far as `land` lets it.")
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class MetricSection:
    name: Annotated[Name, Field(description="What the number is called in reports.")] = "val_bpb"
    direction: Annotated[Direction, Field(description="Which way is better.")] = Direction.LOWER
    unit: Annotated[Unit, Field(description="Written after the number; may be empty.")] = "bpb"


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
    keys = {}
    for setting in dataclasses.fields(PolicySettings):
        if setting.name != "repeatable":
            kind = types[setting.name]
            keys[setting.name] = (
                kind,
                Field(
                    setting.default,
                    ge=0 if kind in (int, float) else None,  # PolicySettings itself checks the rest
                    le=10_000 if kind is int else None,
                    description=setting.metadata.get("description"),
                ),
            )
    return keys


class PolicySection(create_model("PolicyKeys", __config__=_CONFIG, **_policy_keys())):  # type: ignore[misc]  # its keys are PolicySettings'
    """Constants of the merge policy."""


@dataclass(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class File:
    """The contract of a Nightlab repository, `.github/nightlab.yml`. Only `version` and `paths` are required."""

    version: Annotated[  # Literal[1] would take `true` for 1
        int,
        Field(ge=1, le=1, description="The version of this layout."),
        WithJsonSchema({"type": "integer", "const": 1}),
    ]
    paths: Annotated[PathsSection, Field(description="What a proposal may edit.")]
    task: Annotated[TaskSection, Field(default_factory=TaskSection, description="What one run trains, and its limits.")]
    metric: Annotated[MetricSection, Field(default_factory=MetricSection, description="The number that decides.")]
    claims: Annotated[
        ClaimsSection | None,
        Field(
            description="Claims mode, for a repository without `load`: where this section is written, the metric is "
            "what its own command prints. Such a number is self-reported, and called so wherever it stands.",
            json_schema_extra=_no_default,
        ),
    ] = None
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
    image: Annotated[
        ImageName | None,
        WithJsonSchema({"type": "string", "maxLength": 300, "pattern": advice.IMAGE}),
        Field(
            description="With `sandbox: docker`, what containers are made of: the digest of an image that the runner's "
            "machine has, or the path of a Dockerfile on main, which the runner builds. By default the machine's own.",
            json_schema_extra=_no_default,
        ),
    ] = None
    program: Annotated[RelativePath, Field(description="The research directions that the proposer reads.")] = PROGRAM
    proposer: Annotated[
        Proposer,
        Field(
            description="Who writes proposals: `tuner` edits constants and needs no API key, `claude` is a language "
            "model with tools, `mixed` lets them take turns and goes on with the tuner when Claude cannot."
        ),
    ] = Proposer.TUNER
    claude: Annotated[
        Claude, Field(default_factory=Claude, description="How Claude writes proposals, and what one may use.")
    ]
    land: Annotated[
        Land, Field(description="Who merges what is proven: the bot, the bot after an approving review, a person.")
    ] = Land.AUTO
    policy: Annotated[PolicySection, Field(default_factory=PolicySection, description="Constants of the merge policy.")]
    campaign: Annotated[Campaign, Field(default_factory=Campaign, description="What a campaign may use by default.")]
    limits: Annotated[Limits, Field(default_factory=Limits, description="What may be used in any 24 hours.")]
    commands: Annotated[
        Commands, Field(default_factory=Commands, description="The role on the forge that each command takes.")
    ]


FILE = TypeAdapter(File)
