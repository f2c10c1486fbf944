"""Contracts as people write them, with every mistake answered, and as hypothesis does."""

import dataclasses
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.contract import Commands, Contract, Effort, Land, Proposer, Sandbox, parse, unusable
from bot.core.layout import Role
from bot.core.metric import Direction
from bot.core.schema import json_schema
from bot.core.verdict.policy import PolicySettings

ROOT = Path(__file__).resolve().parents[2]

SHORTEST = "version: 1\npaths: {allow: [train.py]}\n"
FULL = """\
version: 1
task:
  directory: lab/small
  preset: gpu
  budget: {seconds: 300}
  timeout_s: 900
  memory_mib: 65536
  output_mib: 2048
metric: {name: accuracy, direction: higher, unit: "%"}
claims: {command: [python3, train.py], data: shards, merge: true}
hardware: h100-80gb
repeatable: false
sandbox: bubblewrap
paths:
  allow:
    - /lab/small/train.py
    - "*.py"
    - "!/lab/small/prepare.py"
program: lab/program.md
proposer: mixed
claude:
  model: claude-sonnet-5-5
  effort: high
  turns: 12
  tokens: 90000
  minutes: 7.5
  usd: 0.5
  input_usd: 3
  smoke_runs: 5
  repairs: 2
  output_usd: 15
land: after-approval
policy: {e_merge: 20, n_max: 20, form: unpaired}
campaign: {experiments: 50, hours: 7.5, parallel: 2, ahead: 3, usd: 12.5}
commands: {merge: maintain}
limits: {experiments_per_day: 60, experiments_per_person_per_day: 5, usd_per_day: 8, usd_per_person_per_day: 4}
"""


def contract(text: str) -> Contract:
    parsed = parse(text)
    assert isinstance(parsed, Contract), parsed
    return parsed


def complaints(text: str) -> list[str]:
    parsed = parse(text)
    assert isinstance(parsed, list)
    return [str(problem) for problem in parsed]


def test_the_shortest_contract_has_a_default_for_everything_else() -> None:
    parsed = contract(SHORTEST)
    assert parsed.allow == ("train.py",)
    assert (parsed.task.directory, parsed.task.preset, parsed.task.budget_steps, parsed.task.budget_s) == (
        ".",
        "cpu",
        400,
        None,
    )
    assert (parsed.hardware_class, parsed.sandbox, parsed.proposer, parsed.land) == (
        "cpu",
        Sandbox.DOCKER,
        Proposer.TUNER,
        Land.AUTO,
    )
    assert parsed.policy == PolicySettings(repeatable=True)
    assert parsed.protected == (".github/nightlab.yml", "prepare.py", "program.md")


def test_every_key_arrives() -> None:
    parsed = contract(FULL)
    assert dataclasses.asdict(parsed) == {
        "task": {
            "directory": "lab/small",
            "preset": "gpu",
            "budget_steps": None,
            "budget_s": 300.0,
            "timeout_s": 900.0,
            "memory_mib": 65536,
            "output_mib": 2048,
            "claims": {"command": ("python3", "train.py"), "metric": "accuracy", "data": "shards"},
            "image": "",
            "higher_is_better": True,
        },
        "metric": {"name": "accuracy", "direction": Direction.HIGHER, "unit": "%", "self_reported": True},
        "hardware_class": "h100-80gb",
        "sandbox": Sandbox.BUBBLEWRAP,
        "allow": ("/lab/small/train.py", "*.py", "!/lab/small/prepare.py"),
        "program_path": "lab/program.md",
        "proposer": Proposer.MIXED,
        "claude": {
            "model": "claude-sonnet-5-5",
            "effort": Effort.HIGH,
            "turns": 12,
            "tokens": 90_000,
            "minutes": 7.5,
            "usd": 0.5,
            "input_usd": 3.0,
            "smoke_runs": 5,
            "repairs": 2,
            "output_usd": 15.0,
        },
        "land": Land.AFTER_APPROVAL,
        "policy": dataclasses.asdict(PolicySettings(e_merge=20, n_max=20, form="unpaired")),
        "campaign": {"experiments": 50, "hours": 7.5, "parallel": 2, "ahead": 3, "usd": 12.5},
        "limits": {
            "experiments_per_day": 60,
            "experiments_per_person_per_day": 5,
            "usd_per_day": 8.0,
            "usd_per_person_per_day": 4.0,
        },
        "may_land_claims": True,
        "commands": Commands(merge=Role.MAINTAIN),
    }


CLAIMS = SHORTEST + "claims: {command: [python3, train.py]}\n"


def test_claims_are_chosen_and_their_merges_chosen_again() -> None:
    assert contract(SHORTEST).task.claims is None
    claiming = contract(CLAIMS)
    assert claiming.metric.self_reported
    assert not claiming.may_land_claims
    assert (claiming.repeatable, claiming.task.budget_steps, claiming.task.budget_s) == (False, None, None)
    assert claiming.digest != contract(SHORTEST).digest
    merging = contract(CLAIMS.replace("3, train.py]", "3, train.py], merge: true"))
    assert merging.may_land_claims
    assert merging.digest == claiming.digest
    assert contract(CLAIMS + "task: {budget: {seconds: 60}}").task.budget_s == 60
    assert [complaint.partition(": ")[2] for complaint in complaints(SHORTEST + "claims: {data: ../etc}")] == [
        "claims.command: this key is required: add it",
        "claims.data: write the name of one folder: letters, digits, `_`, `-` and `.`",
    ]
    assert "this key has no value" in complaints(SHORTEST + "claims:")[0]


def test_every_setting_of_the_policy_is_a_key() -> None:
    for setting in dataclasses.fields(PolicySettings):
        if setting.name != "repeatable":
            parsed = contract(SHORTEST + f"policy: {{{setting.name}: {setting.default}}}")
            assert parsed.policy == PolicySettings(repeatable=True)


@pytest.mark.parametrize(
    ("lines", "repeatable"),
    [
        ("", True),
        ("task: {preset: gpu}", False),
        ("task: {budget: {seconds: 60}}", False),
        ("repeatable: false", False),
        ("task: {preset: gpu}\nrepeatable: true", True),
    ],
)
def test_runs_repeat_unless_the_clock_or_a_gpu_is_in_them(lines: str, repeatable: bool) -> None:
    assert contract(SHORTEST + lines).policy.repeatable is repeatable


def test_all_problems_are_told_at_once_with_line_and_advice() -> None:
    text = """\
version: 2
path: [train.py]
metric: {direction: lowr, unit: 7}
land: atuo
policy: {e_merg: 3, n_max: 2.5}
paths: {allow: ['**', 4, '#a']}
task:
  budget: {steps: 1, seconds: 400}
  directory: ../x
  memory_mib: 1
program:
repeatable: yes
hardware: A 100
campaign: {hours: .inf, experiments: -1}
land: manual
limits: []
"""
    assert complaints(text) == [
        "line 1: version: it must be at most 1, not `2`",
        "line 2: path: unknown key `path`: did you mean `paths`?",
        "line 3: metric.direction: `lowr` is not known here: did you mean `lower`?",
        "line 3: metric.unit: write text (put quotes around a number), not `7`",
        "line 4: land: `atuo` is not known here: did you mean `auto`?",
        "line 5: policy.e_merg: unknown key `e_merg`: did you mean `e_merge`?",
        "line 5: policy.n_max: write a whole number, not `2.5`",
        "line 6: paths.allow[0]: this covers `.github/nightlab.yml`, which no proposal may edit: "
        "name files more narrowly, or add `!/.github/nightlab.yml`",
        "line 6: paths.allow[1]: write text (put quotes around a number), not `4`",
        "line 6: paths.allow[2]: a pattern that begins with `#` is a comment: write a path, or `\\#` for a real one",
        "line 7: task.timeout_s: it must be longer than the 400 seconds of training: raise it",
        "line 8: task.budget: write exactly one of `steps` and `seconds`",
        "line 9: task.directory: write a path inside the repository, such as `training`: "
        "letters, digits, `_`, `-`, `.` and `/`, no part beginning with a dot",
        "line 10: task.memory_mib: it must be at least 256, not `1`",
        "line 11: program: this key has no value: write one, or leave the key out",
        "line 12: repeatable: write `true` or `false`, not `yes`",
        "line 13: hardware: write a name of small letters, digits, `_`, `-` and `.`, such as `h100-80gb`",
        "line 14: campaign.experiments: it must be at least 1, not `-1`",
        "line 14: campaign.hours: write a number, not `.inf`",
        "line 15: land: this key is already on line 4: keep one of the two",
        "line 16: limits: write keys with values here, not `[]`",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "line 1: the contract is empty: docs/contract.md shows the shortest one"),
        ("# nothing\n", "line 1: the contract is empty: docs/contract.md shows the shortest one"),
        ("version", "line 1: write keys with values here, not `version`"),
        (SHORTEST.replace("1", "true"), "line 1: version: write a whole number, not `true`"),
        ("version: 1", "line 1: paths: this key is required: add it"),
        ("version: 1\npaths: {}", "line 2: paths.allow: this key is required: add it"),
        ("version: 1\npaths: {allow: []}", "line 2: paths.allow: it needs at least 1 entry, not `[]`"),
        (
            "version: 1\npaths: {allow: train.py}",
            "line 2: paths.allow: write a list here, such as `[train.py]`, not `train.py`",
        ),
        ("a: [", "line 1: this is not YAML (expected the node content, but found '<stream end>'): correct it"),
        ("a: 1\n---\nb: 1", "line 2: this is not YAML (but found another document): correct it"),
        ("a: &x 1\nb: *x", "line 1: anchors and aliases are not used here: write the value out"),
        ("a: !!python/name:os.system", "line 1: tags are not used here: remove the part that begins with `!`"),
        ("[" * 9, "line 1: this is nested deeper than 8 levels: flatten it"),
        ("a: \x00", "line 1: the file holds a control character: remove it"),
        ("#" * 65_537, "line 1: the file is larger than 64 KiB: shorten it"),
        ("? [a]\n: 1\n" + SHORTEST, "line 1: a key is one word: write it so"),
    ],
)
def test_a_file_that_is_no_contract(text: str, expected: str) -> None:
    assert complaints(text) == [expected]


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ("[.github/workflows/x.yml]", "no proposal may edit this: leave it out"),
        ("[/.GitHub/]", "no proposal may edit this: leave it out"),
        ("[Dockerfile.gpu]", "no proposal may edit this: leave it out"),
        ("[prepare.py]", "no proposal may edit this: leave it out"),
        ("[program.md]", "no proposal may edit this: leave it out"),
        (
            "['*.py']",
            "this covers `prepare.py`, which no proposal may edit: name files more narrowly, or add `!/prepare.py`",
        ),
        (
            "['!/prepare.py', '*.py']",
            "this covers `prepare.py`, which no proposal may edit: name files more narrowly, or add `!/prepare.py`",
        ),
        (
            "['*.yml']",
            "this covers `.github/nightlab.yml`, which no proposal may edit: name files more narrowly, "
            "or add `!/.github/nightlab.yml`",
        ),
        (
            "['D*']",
            "this covers `Dockerfile`, which no proposal may edit: name files more narrowly, or add `!/Dockerfile`",
        ),
        ("['a*a*a*a*']", "it may hold at most 3 wildcards: write it more simply"),
        ("['!']", "this is not a gitignore-style pattern: write a path such as `train.py` or `src/**/*.py`"),
        ("[' train.py']", "write plain ASCII characters, with no space at either end"),
    ],
)
def test_patterns_that_open_too_much(patterns: str, message: str) -> None:
    assert complaints(f"version: 1\npaths: {{allow: {patterns}}}")[0].endswith(f"]: {message}")


def test_patterns_are_tried_together_as_git_would() -> None:
    assert contract("version: 1\npaths: {allow: ['*.py', '!/prepare.py']}").allow == ("*.py", "!/prepare.py")
    assert complaints("version: 1\npaths: {allow: ['!x']}") == [
        "line 2: paths.allow: these patterns only take away: name the files that a proposal may edit"
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("policy: {e_merge: 1}", "policy.e_merge: e_merge (1.0) must be at least e_confirm (2.5): change it"),
        ("task: {budget: {}}", "task.budget: write exactly one of `steps` and `seconds`"),
        (
            "sandbox: bubblewrap\nimage: Dockerfile",
            "image: only containers are made of images: leave it out, or set `sandbox: docker`",
        ),
        (
            "image: pytorch:latest",
            "image: write a digest, `sha256:...` or `name@sha256:...`, or the path of a Dockerfile on main",
        ),
        (
            "task: {budget: {seconds: 300}}",
            "task.timeout_s: it must be longer than the 300 seconds of training: raise it",
        ),
        (
            "task: {budget: {seconds: 30}}\nrepeatable: true",
            "repeatable: a budget in seconds never gives the same number twice: "
            "write `false`, or count the budget in `steps`",
        ),
    ],
)
def test_keys_that_do_not_go_together(lines: str, expected: str) -> None:
    assert [complaint.partition(": ")[2] for complaint in complaints(SHORTEST + lines)] == [expected]


def test_the_digest_is_of_what_binds_a_verdict() -> None:
    digest = contract(SHORTEST).digest
    for same in (
        "# a comment\n" + SHORTEST,
        SHORTEST + "task: {timeout_s: 300, budget: {steps: 400.0}}\nrepeatable: true\npolicy: {e_merge: 10}",
        SHORTEST
        + "program: other.md\nproposer: claude\nland: manual\ncampaign: {hours: 1}\nlimits: {experiments_per_day: 1}",
    ):
        assert contract(same).digest == digest
    others = [
        contract(other).digest
        for other in (
            SHORTEST.replace("train.py", "/train.py"),
            SHORTEST + "task: {memory_mib: 512}",
            SHORTEST + "metric: {direction: higher}",
            SHORTEST + "hardware: cpu2",
            SHORTEST + "sandbox: bubblewrap",
            SHORTEST + "policy: {e_merge: 11}",
            SHORTEST + "repeatable: false",
            SHORTEST + "image: docker/gpu.Dockerfile",
            SHORTEST + f"image: ghcr.io/ada/lab@sha256:{'0' * 64}",
            SHORTEST + f"image: sha256:{'0' * 64}",
        )
    ]
    assert len({digest, *others}) == 11


def _generated() -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.PAGES)


@pytest.mark.parametrize("path", ["docs/contract.md", "docs/commands.md", "bot/core/contract.schema.json"])
def test_generated_files_are_current(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == _generated()[path](), "run `python docs/generate.py`"


def test_examples_in_the_reference_are_contracts() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "contract.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        contract(example)


SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "bot" / "core" / "contract.schema.json").read_text()))
KEYS = sorted({key for one in [json_schema(), *json_schema()["$defs"].values()] for key in one.get("properties", {})})
WORDS = [
    "cpu",
    "gpu",
    "lower",
    "docker",
    "auto",
    "manual",
    "paired",
    "program.md",
    "train.py",
    "*.py",
    "!x",
    "",
    ".",
    "..",
    "a b",
]
values = st.recursive(
    st.booleans()
    | st.integers(-3, 20_000)
    | st.floats(-1, 1000, width=16)
    | st.sampled_from(WORDS)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A valid contract with up to three values replaced, added or taken out."""
    value = draw(st.sampled_from([yaml.safe_load(SHORTEST), yaml.safe_load(FULL)]))
    value = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(0, 3))):
        here = value
        while (inner := [one for one in here.values() if isinstance(one, dict)]) and draw(st.booleans()):
            here = draw(st.sampled_from(inner))
        key = draw(st.sampled_from([*here, *here, *KEYS]))
        if draw(st.booleans()):
            here[key] = draw(values)
        else:
            here.pop(key, None)
    return value


BEYOND_THE_SCHEMA = re.compile(
    r"covers|no proposal|only take away|gitignore|is a comment|wildcards|longer than|never gives|: change it$"
)


@settings(deadline=None)
@given(mutated())
def test_schema_and_parser_agree(value: Any) -> None:
    text = json.dumps(value)  # JSON is YAML
    parsed, valid = parse(text), SCHEMA.is_valid(value)
    if isinstance(parsed, Contract):
        assert valid
    elif valid:
        assert all(BEYOND_THE_SCHEMA.search(problem.message) for problem in parsed), parsed


@settings(deadline=None)
@given(
    mutated().map(lambda value: yaml.safe_dump(value, allow_unicode=True)),
    st.integers(0, 2000),
    st.text(max_size=3),
    st.integers(0, 9),
)
def test_any_text_is_answered(text: str, position: int, inserted: str, cut: int) -> None:
    position %= len(text) + 1
    _is_answered(text[:position] + inserted + text[position + cut :])


@settings(deadline=None)
@given(st.text() | st.text("{}[]:-?&*!|>%@#'\",~ \n\tab01.", max_size=60))
def test_any_characters_are_answered(text: str) -> None:
    _is_answered(text)


def _is_answered(text: str) -> None:
    parsed = parse(text)
    if isinstance(parsed, list):
        assert parsed
        lines = len(text.splitlines()) + 1
        assert all(1 <= problem.line <= lines and len(str(problem).splitlines()) == 1 for problem in parsed)
    else:
        assert len(parsed.digest) == 64


@pytest.mark.parametrize(
    "text", ["- " * 30_000, "{" * 60_000, "a: " * 20_000, "? " * 30_000, "9" * 60_000, "a: 1e999", "a: \ud800"]
)
def test_hostile_text_is_answered(text: str) -> None:
    assert isinstance(parse(text), list)


def test_the_reason_why_a_contract_cannot_be_used_is_one_sentence() -> None:
    problems = parse("version: 1\npaths: {allow: [/train.py]}\npolicy: {e_merge: 0}\nlan: auto")
    assert isinstance(problems, list)
    said = unusable(problems)
    assert said.startswith("the contract .github/nightlab.yml cannot be used: line ")
    assert said.count("; line ") == len(problems) - 1 == 1
    assert "\n" not in said
