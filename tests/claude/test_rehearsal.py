"""`nightlab propose --dry-run` in a real clone, as a person runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conversations import FILES, RAISE, SUBMIT
from stand_in import KEY, Say, StandIn
from test_plans import SPLIT

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for path, text in {**FILES, ".github/nightlab.yml": FILES[".github/nightlab.yml"] + "proposer: claude\n"}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "start"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *command], cwd=tmp_path, check=True)
    return tmp_path


def nightlab(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bot.cli", "propose", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_shows_the_prompt_the_cost_and_the_diff(clone: Path) -> None:
    with StandIn([Say(calls=[RAISE]), Say(calls=[("submit", SUBMIT)])]) as stand_in:
        done = nightlab("--dry-run", str(clone), NIGHTLAB_ANTHROPIC_API_KEY=KEY, NIGHTLAB_CLAUDE_URL=stand_in.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "You are a research engineer" in done.stdout
    assert "claude-opus-5-5 as of 2026-11-23" in done.stdout
    assert "-LR = 0.5\n+LR = 0.7" in done.stdout
    assert KEY not in done.stdout + done.stderr


def test_it_shows_a_plan(clone: Path) -> None:
    with StandIn([Say(calls=[SPLIT])]) as stand_in:
        way = {"NIGHTLAB_ANTHROPIC_API_KEY": KEY, "NIGHTLAB_CLAUDE_URL": stand_in.url}
        done = nightlab("--dry-run", "--idea", "retune it", str(clone), **way)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2. Raise LR further" in done.stdout


def test_the_prompt_alone_needs_no_key_and_costs_nothing(clone: Path) -> None:
    done = nightlab("--dry-run", "--prompt-only", "--idea", "try a warm-up", str(clone))
    assert done.returncode == 0
    assert "try a warm-up" in done.stdout


def test_without_a_key_it_says_what_to_do(clone: Path) -> None:
    done = nightlab("--dry-run", str(clone))
    assert done.returncode == 1
    assert "set NIGHTLAB_ANTHROPIC_API_KEY" in done.stdout


def test_where_there_is_no_contract(tmp_path: Path) -> None:
    done = nightlab("--dry-run", str(tmp_path))
    assert done.returncode == 1
    assert "cannot rehearse in" in done.stdout
