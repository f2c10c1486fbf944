"""A whole conversation about the shipped task, and what came of it measured for real by `python -m runner`."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest
from conversations import SUBMIT, contract, converse, desk
from stand_in import Say, StandIn

from bot.core.scope import apply_edits
from bot.edge import slot
from runner.protocol import Progress, Request, Run, Source, Status, Task

ROOT = Path(__file__).parents[2]
STEPS = 40


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def measured(folder: Path, base_sha: str, head_sha: str, cache: Path) -> Run:
    async def ignore(_: Progress) -> None:
        return None

    request = Request(
        run_id=f"replay-{head_sha[:8]}",
        source=Source(git_url=str(folder), base_sha=base_sha, head_sha=head_sha, allowed=("/train.py",)),
        task=Task(
            directory=".",
            preset="cpu",
            budget_steps=STEPS,
            budget_s=None,
            timeout_s=240,
            memory_mib=2048,
            output_mib=256,
        ),
        seed=0,
        sandbox="subprocess",
        cache_dir=str(cache),
        hardware_class="cpu",
    )
    return asyncio.run(slot.measure(request, on_progress=ignore))


@pytest.mark.slow
def test_what_claude_wrote_is_measured(tmp_path: Path) -> None:
    folder, cache = tmp_path / "repository", tmp_path / "cache"
    cache.mkdir()
    shutil.copytree(ROOT / "runner" / "task", folder, ignore=shutil.ignore_patterns("__pycache__"))
    files = {path.name: path.read_text() for path in folder.iterdir() if path.suffix in (".py", ".md")}
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "start")
    base_sha = git(folder, "rev-parse", "HEAD")
    wider = {"path": "train.py", "old": "EMBEDDING_LR = 0.3 ", "new": "EMBEDDING_LR = 0.003 "}
    floor = {"path": "train.py", "old": "    return FINAL_LR_FRAC + (", "new": "    return FINAL_LR_FRAC + 0.0 + ("}
    script = [
        Say(thinking="What does the program want?", calls=[("read_file", {"path": "program.md"})]),
        Say(calls=[("search", {"text": "EMBEDDING_LR"}), ("read_file", {"path": "train.py", "first_line": 30})]),
        Say(calls=[("replace", {**wider, "old": "EMBEDDING_LR = "}), ("replace", wider), ("replace", floor)]),
        Say(text="Now I check it.", calls=[("show_draft", {}), ("check_draft", {})]),
        Say(calls=[("submit", {**SUBMIT, "title": "Slow the embeddings down"})]),
    ]
    place = desk(files=files)
    with StandIn(list(script)) as stand_in:
        turns = converse(stand_in, place=place, terms=contract())
    assert stand_in.complaints == []
    proposal = turns[-1].proposal
    assert proposal is not None, turns[-1]
    assert len(proposal.edits) == 2
    after = apply_edits({"train.py": files["train.py"]}, proposal.edits)
    assert isinstance(after, dict)
    git(folder, "checkout", "-qb", "proposal")
    (folder / "train.py").write_text(after["train.py"])
    git(folder, "commit", "-qam", proposal.title)
    head_sha = git(folder, "rev-parse", "HEAD")
    main, candidate = measured(folder, base_sha, base_sha, cache), measured(folder, base_sha, head_sha, cache)
    assert (main.status, candidate.status) == (Status.OK, Status.OK), (main.reason, candidate.reason)
    assert main.metric is not None
    assert candidate.metric is not None
    assert candidate.steps == main.steps == STEPS
    assert candidate.metric > main.metric + 0.05, "a hundredth of the learning rate learns less"
