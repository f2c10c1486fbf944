"""A runner that does not keep to the protocol."""

import asyncio
import sys
import time
from pathlib import Path

import pytest

from bot.edge import slot
from runner.protocol import Progress, Request, Source, Status, Task

REQUEST = Request(
    run_id="r1",
    source=Source(git_url="/nowhere", base_sha="a" * 40, head_sha="b" * 40, allowed=("/train.py",)),
    task=Task(directory=".", preset="cpu", budget_steps=1, budget_s=None, timeout_s=60, memory_mib=512, output_mib=16),
    seed=0,
    sandbox="subprocess",
    cache_dir="",
    hardware_class="cpu",
)


@pytest.mark.parametrize("left_behind", ["", "sleep 40 & "])
def test_a_runner_that_talks_nonsense_and_stays_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_behind: str
) -> None:
    """Also when something that it started holds its pipes open."""
    stand_in = tmp_path / "python"
    stand_in.write_text(f"#!/bin/sh\necho 'cannot go on' >&2\n{left_behind}echo nonsense\nexec sleep 40\n")
    stand_in.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stand_in))
    monkeypatch.setattr(slot, "GRACE_S", 0.3)

    async def ignore(_: Progress) -> None:
        return None

    started_s = time.monotonic()
    run = asyncio.run(slot.measure(REQUEST, on_progress=ignore))
    assert time.monotonic() - started_s < 30
    assert run.status is Status.INFRASTRUCTURE
    assert "stopped without a result" in run.reason
    assert "cannot go on" in run.reason
