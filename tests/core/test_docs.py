"""What the documentation names exists: links, commands and their options, settings, the contract's keys, scripts."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.cli import main
from bot.core.schema import json_schema
from bot.setup.settings import SCHEMA, SECRETS, variable

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])
CALLED = [*PAGES, ROOT / "action.yml", ROOT / "compose.yaml", ROOT / "Dockerfile", *ROOT.glob(".github/**/*.yml")]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
MODULE = re.compile(r"(?:-m |import )((?:bot|runner)(?:\.[a-z_]+)*)")
SCRIPT = re.compile(r"\b((?:benchmarks|docs)/[a-z_]+\.py)\b")
# Kubernetes sets the second for a service of that name, and compose itself reads the rest.
OTHER_VARIABLES = {"NIGHTLAB_CONFIG", "NIGHTLAB_SERVICE_HOST"}
OTHER_VARIABLES |= set(re.findall(r"\$\{(NIGHTLAB_[A-Z_]+)", (ROOT / "compose.yaml").read_text()))


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def spans(page: Path) -> Iterator[str]:
    """Inline code, and the lines of code blocks."""
    fenced = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.strip()
        else:
            yield from SPAN.findall(line)


def calls(page: Path) -> Iterator[list[str]]:
    """The words after `nightlab`, wherever it is called."""
    for span in spans(page):
        found = re.match(r"(?:[A-Z_]+=\S+ )*nightlab (.+)", span.split(" #")[0].split("   ")[0])
        if found:
            words = shlex.split(found[1].replace("'", ""))
            if re.fullmatch(r"[a-z-]+", words[0]):
                yield words


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert re.match(r"https?:", target) or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_and_their_options_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command, *words in calls(page):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0, f"nightlab {command}"
        known = capsys.readouterr().out
        for word in words:
            option = word.strip("[]").partition("=")[0]
            if option.startswith("-"):
                assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", known), f"nightlab {command} {option}"


@pytest.mark.parametrize("page", CALLED, ids=named)
def test_modules_scripts_and_targets_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for module in MODULE.findall(text):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or path.is_dir(), module
    for script in SCRIPT.findall(text):
        assert (ROOT / script).exists(), script
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    if page.suffix == ".md":
        for target in (words[1] for words in map(str.split, spans(page)) if words[:1] == ["make"] and len(words) > 1):
            assert "=" in target or target in targets, f"make {target}"


@pytest.mark.parametrize("page", CALLED, ids=named)
def test_settings_exist(page: Path) -> None:
    known = {variable(name) for name in SCHEMA} | {f"{variable(name)}_FILE" for name in SECRETS} | OTHER_VARIABLES
    for name in re.findall(r"\bNIGHTLAB_[A-Z0-9_]+\b", page.read_text(encoding="utf-8")):
        assert name in known, name


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_keys_of_the_contract_exist(page: Path) -> None:
    schema = json_schema()
    sections = {
        name: schema["$defs"][one["$ref"].rpartition("/")[2]]["properties"]
        for name, one in schema["properties"].items()
        if "$ref" in one and "properties" in schema["$defs"][one["$ref"].rpartition("/")[2]]
    }
    for span in spans(page):
        found = re.fullmatch(r"([a-z]+)\.([a-z_]+)(?:: .*)?", span)
        if found and found[1] in sections and found[2] not in ("py", "md", "yml", "json"):
            assert found[2] in sections[found[1]], span


def test_the_list_of_benchmarks_is_whole() -> None:
    text = (ROOT / "benchmarks" / "README.md").read_text()
    assert [path.name for path in ROOT.glob("benchmarks/*.py") if f"benchmarks/{path.name}" not in text] == []
