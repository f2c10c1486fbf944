"""Imports flow one way, from the command line down to `runner.protocol`: read from the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A folder or module may import from itself and from what is listed for it; longest prefix wins.
LAYERS = {
    "runner.protocol": (),
    "runner": (),
    "bot.hub": (),
    "bot.core": ("runner.protocol",),
    "bot.edge": ("bot.core", "runner.protocol"),
    "bot.durable": ("bot.core", "bot.edge", "runner.protocol"),
    "bot.loop": ("bot.core", "bot.edge", "bot.durable", "runner.protocol"),
    "bot.intake": ("bot.core", "bot.edge", "bot.durable", "bot.loop"),
    "bot.setup": ("bot.core", "bot.edge", "bot.durable"),
    "bot.hand": ("bot.core", "bot.edge", "runner.protocol"),
    "bot.web": ("bot.core", "bot.durable", "bot.loop", "bot.intake", "bot.setup", "runner.protocol"),
    "bot.fleet": ("bot.core", "bot.edge", "bot.durable", "bot.setup"),
    "bot.service": (
        "bot.core",
        "bot.edge",
        "bot.durable",
        "bot.loop",
        "bot.intake",
        "bot.setup",
        "bot.fleet",
        "bot.web",
    ),
    "bot.doctor": ("bot.core", "bot.edge", "bot.setup", "bot.service"),
    "bot.process": ("bot",),
    "bot.demo": ("bot", "runner.protocol"),
    "bot.cli": ("bot",),
}
# Each outside party has one place that knows its library.
ONLY_IN = {
    "github": ("bot.edge.github", "bot.hand.action", "bot.durable.lab"),
    "anthropic": ("bot.edge.claude",),
    "optuna": ("bot.edge.tuner",),
    "psycopg": ("bot.edge.grants", "bot.edge.lease"),
    "docker": ("runner.sandbox",),
    "torch": ("runner",),
    "flask": ("bot.web", "bot.hub"),
    "prometheus_client": ("bot.loop.meters", "bot.web"),
}
SERVER = "bot.hub.server"  # waitress in a thread: the bot's web server is the same one


def modules() -> list[tuple[str, Path]]:
    found = []
    for top in ("bot", "runner"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


def layer(module: str) -> str | None:
    fitting = [name for name in LAYERS if module == name or module.startswith(f"{name}.")]
    return max(fitting, key=len, default=None)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_flow_one_way(module: str, path: Path) -> None:
    if module == "bot":
        return
    mine = layer(module)
    assert mine is not None, f"{module} has no layer: say in this test what it may import"
    for name in imports(path):
        top = name.split(".")[0]
        if top in ("bot", "runner") and not within(name, SERVER):
            may = (mine, *LAYERS[mine])
            assert any(within(name, prefix) for prefix in may), f"{module} ({mine}) must not import {name}"
        if top in ONLY_IN:
            assert any(within(module, place) for place in ONLY_IN[top]), f"{module} must not import {name}"


@pytest.mark.parametrize("folder", ["intake", "verdict", "proposal"])
def test_core_folders_know_neither_one_another_nor_the_words(folder: str) -> None:
    others = {f"bot.core.{name}" for name in ("intake", "verdict", "proposal", "words") if name != folder}
    for module, path in modules():
        if within(module, f"bot.core.{folder}"):
            wrong = {name for name in imports(path) for other in others if within(name, other)}
            assert not wrong, f"{module} must not import {wrong}"


def test_no_module_needs_itself() -> None:
    paths = dict(modules())
    needs = {
        module: {found for name in imports(path) for found in (name, name.rpartition(".")[0]) if found in paths}
        - {module}
        for module, path in paths.items()
        if path.name != "__init__.py"
    }
    while ground := {module for module, needed in needs.items() if not needed & needs.keys()}:
        needs = {module: needed for module, needed in needs.items() if module not in ground}
    assert not needs, "these import one another in a circle, or stand above one"
