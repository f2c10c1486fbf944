"""`nightlab bench` and `nightlab verify` as commands: real git, real runners, no forge and no database."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from living_process import ROOT, eventually
from quick_task import TRAIN, bits, slow, write

from bot.edge.clone import Clone
from runner.sandbox.descendants import descendants

BETTER = TRAIN.replace("LR = 0.5", "LR = 0.7")
NAMED = ("-c", "user.name=ada", "-c", "user.email=ada@localhost")


class Desk:
    """A clone whose main holds the quick task, and the commands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.repository = folder, write(folder / "repository")
        (folder / "t").mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.main = self.commit("main")

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.repository), *NAMED, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def commit(self, message: str) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", message)
        return self.git("rev-parse", "HEAD")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "bot.cli", *arguments, "--repository", str(self.repository)],
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "TMPDIR": str(self.folder / "t"),
                "XDG_CACHE_HOME": str(self.folder / "cache"),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        process = self.start(*arguments)
        said, _ = process.communicate()
        return process.returncode, " ".join(said.split())

    @property
    def left_over(self) -> list[str]:
        return [path.name for path in (self.folder / "t").rglob("*") if path.is_dir()]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_what_is_not_committed_is_measured_and_the_clone_stays_as_it_is(desk: Desk) -> None:
    (desk.repository / "train.py").write_text(BETTER)
    (desk.repository / "scratch.txt").write_text("mine\n")
    before = (desk.git("status", "--porcelain"), desk.git("count-objects", "-v"), desk.git("for-each-ref"))
    written = desk.folder / "out.json"
    status, said = desk.run("bench", "-n", "2", "--json", str(written), "--fail-unless", "better")
    assert status == 3, said  # two pairs are no proof, however good they look
    assert "out: scratch.txt" in said
    found: dict[str, Any] = json.loads(written.read_text())
    assert (found["result"], found["form"], found["n"], found["better"]) == ("measured", "paired", 2, False)
    assert (found["decision"], found["not_worse"]) == ("confirm", True)
    measured = {(run["side"], run["seed"]): run["metric"] for run in found["runs"]}
    for seed in range(2):
        assert measured["head", seed] == pytest.approx(bits(lr=0.7, seed=seed), abs=1e-6)
        assert measured["base", seed] == pytest.approx(bits(lr=0.5, seed=seed), abs=1e-6)
    assert [run["side"] for run in found["runs"]] == ["head", "base", "base", "head"]
    assert before == (desk.git("status", "--porcelain"), desk.git("count-objects", "-v"), desk.git("for-each-ref"))
    assert desk.left_over == [f"nightlab-{os.getuid()}"]


def test_a_merge_is_verified_with_fresh_seeds(desk: Desk) -> None:
    (desk.repository / "train.py").write_text(BETTER)
    claim = f"Metric: val_bpb 1.9 -> 1.5\nGain: 0.4 +/- 0.001 bpb\nEvidence: E=99 n=4/4\nBase: {desk.main}"
    merge = desk.commit(f"Raise LR\n\nIt was low.\n\nExperiment: x1\n{claim}\n")
    status, said = desk.run("verify", merge, "-n", "2", "--fail-unless", "not-worse")
    assert status == 0, said
    assert "Claimed was a gain of +0.4" in said
    assert "the gain holds, but it is smaller than was claimed" in said
    assert "head, seed 0:" not in said
    assert desk.run("verify", desk.main)[0] == 1


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whoever_stops_it_finds_nothing_left(desk: Desk, number: signal.Signals) -> None:
    (desk.repository / "train.py").write_text(slow(60))
    process = desk.start("bench", "-n", "2")

    def training() -> list[int] | None:
        found = descendants(process.pid)
        return found if any("train.py" in _command(pid) for pid in found) else None

    below = eventually(training, "a training")
    process.send_signal(number)
    process.wait(timeout=30)
    if number is not signal.SIGKILL:
        assert process.returncode == 128 + number
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below), "the end of all that it started")
    eventually(lambda: desk.left_over == [f"nightlab-{os.getuid()}"], "the end of its folders")


def _break_contract(desk: Desk) -> None:
    (desk.repository / ".github" / "nightlab.yml").write_text("version: 2\n")
    desk.commit("break it")
    (desk.repository / "train.py").write_text(BETTER)


def _no_contract(desk: Desk) -> None:
    desk.git("rm", "--quiet", "-r", ".github")
    desk.commit("no contract")


MISTAKES = {
    "nothing differs": (lambda desk: None, [], "nothing differs between . and main"),
    "unknown revision": (lambda desk: None, ["--base", "v9"], "there is no commit 'v9'"),
    "an option as a revision": (lambda desk: None, ["--base=--help"], "there is no commit '--help'"),
    "out of scope": (
        lambda desk: (desk.repository / "prepare.py").write_text("x = 1\n"),
        [],
        "out of scope: `prepare.py`",
    ),
    "no contract": (_no_contract, [], "there is no .github/nightlab.yml"),
    "broken contract": (_break_contract, [], "cannot be used: line 1: paths: this key is required"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_in_one_sentence(
    desk: Desk, mistake: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bot.cli import main

    monkeypatch.setenv("XDG_CACHE_HOME", str(desk.folder / "cache"))
    prepare, arguments, sentence = MISTAKES[mistake]
    prepare(desk)
    assert main(["bench", *arguments, "--repository", str(desk.repository)]) == 1
    said = capsys.readouterr().out
    assert sentence in said
    assert len(said.splitlines()) == 1


def test_a_folder_without_git_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bot.cli import main

    assert main(["bench", "--repository", str(tmp_path)]) == 1
    assert "is not in a git clone" in capsys.readouterr().out


def test_the_changes_of_a_clone_are_those_of_git(desk: Desk, tmp_path: Path) -> None:
    (desk.repository / "größe\tx.py").write_text("a\nb\n")
    (desk.repository / "train.py").chmod(0o755)
    (desk.repository / "program.md").unlink()
    head = desk.commit("many things")
    clone = Clone(desk.repository, cache=tmp_path / "c")
    found = {change.path: change for change in clone.changes(desk.main, head)}
    assert found["größe\tx.py"].old_mode is None
    assert found["größe\tx.py"].lines == 2
    assert (found["train.py"].old_mode, found["train.py"].new_mode) == ("100644", "100755")
    assert found["program.md"].new_mode is None
    assert clone.read("program.md", sha=head) is None
