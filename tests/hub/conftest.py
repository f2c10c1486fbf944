"""A hub that serves, with one account, one repository and one installed app, for every test of the hub."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_world import FILES, Git, World, furnish

from bot.hub import Hub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    for name, text in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    return source


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub(tmp_path / "hub") as running:
        yield running


@pytest.fixture
def world(hub: Hub, folder: Path) -> World:
    return furnish(hub, folder)


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """Runs git with an identity of its own; returns what it prints. Raises when it fails."""

    def run(*arguments: str, cwd: Path = tmp_path) -> str:
        env = {
            "PATH": "/usr/bin:/bin:/usr/local/bin",
            "HOME": str(tmp_path),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_AUTHOR_NAME": "Ada",
            "GIT_AUTHOR_EMAIL": "ada@example.org",
            "GIT_COMMITTER_NAME": "Ada",
            "GIT_COMMITTER_EMAIL": "ada@example.org",
        }
        done = subprocess.run(["git", *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    return run
