"""Imports flow one way: cli, web -> workflows -> edge -> core -> runner.protocol. Read from the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A module may import from its own layer and from the layers listed for it; longest prefix wins.
LAYERS = {
    "bot.core": ("runner.protocol",),
    "bot.edge": ("bot.core", "runner.protocol"),
    "bot.hub": (),
    "bot.engine": ("bot.core", "runner.protocol"),
    "bot.lab": ("bot.edge",),
    "bot.spending": ("bot.core", "bot.engine"),
    "bot.proposing": ("bot.core", "bot.edge", "bot.engine", "bot.lab", "bot.spending"),
    "bot.opening": ("bot.core", "bot.edge", "bot.lab", "bot.proposing"),
    "bot.publication": ("bot.core", "bot.edge", "bot.lab"),
    "bot.measurement": ("bot.core", "bot.edge", "bot.engine", "bot.lab", "bot.publication", "runner.protocol"),
    "bot.experiment": (
        "bot.core",
        "bot.engine",
        "bot.lab",
        "bot.measurement",
        "bot.opening",
        "bot.publication",
        "runner.protocol",
    ),
    "bot.notes": ("bot.core",),
    "bot.burial": ("bot.core", "bot.engine", "bot.experiment"),
    "bot.campaign": ("bot.core", "bot.engine", "bot.experiment", "bot.lab"),
    "bot.commands": ("bot.campaign", "bot.core", "bot.engine", "bot.experiment", "bot.lab", "bot.notes", "bot.opening"),
    "bot.web": ("bot.commands", "bot.core", "bot.notes"),
    "bot.service": (
        "bot.campaign",
        "bot.commands",
        "bot.core",
        "bot.edge",
        "bot.engine",
        "bot.burial",
        "bot.lab",
        "bot.web",
    ),
    "bot.log": ("bot.core",),
    "bot.rehearsal": ("bot.core", "bot.edge"),
    "bot.demo": ("bot", "runner.protocol"),
    "bot.cli": ("bot",),
    "runner.protocol": (),
    "runner": (),
}
# Each outside party has one place that knows its library.
ONLY_IN = {
    "github": ("bot.edge.github", "bot.edge.access", "bot.edge.deliveries", "bot.edge.landing", "bot.lab"),
    "anthropic": ("bot.edge.claude",),
    "optuna": ("bot.edge.tuner",),
    "docker": ("runner.container", "runner.engine"),
    "torch": ("runner",),
    "flask": ("bot.web", "bot.hub"),
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
