"""Runs by hand: in this machine's slot, without forge or database, with what is going on shown in the terminal."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from bot.core.metric import number
from bot.core.model import MeasuredRun, Side, Stage
from bot.core.text import duration
from bot.core.words import comparison
from bot.core.words.comparison import PHASES, Comparison
from bot.edge import slot
from runner.protocol import Phase, Request, Run, Status
from runner.protocol import Progress as Said

T = TypeVar("T")
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FIRST_GUESS_S = 60.0  # for a run, before anything is known


def cache_folder() -> Path:
    """Where prepared data and bare clones are kept between commands."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").resolve() / "nightlab"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A run to do, and its role."""

    side: Side
    stage: Stage | None
    base_sha: str
    commit_sha: str
    request: Request

    def measured(self, run: Run) -> MeasuredRun:
        return MeasuredRun(
            side=self.side, stage=self.stage, base_sha=self.base_sha, commit_sha=self.commit_sha, run=run
        )

    @property
    def title(self) -> str:
        return f"{'head' if self.side is Side.CANDIDATE else 'base'}, seed {self.request.seed}"


class StoppedError(Exception):
    """Somebody asked for the end with this signal."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number


def until_stopped(work: Coroutine[Any, Any, T]) -> T:
    """Does `work`; SIGINT, SIGTERM and SIGHUP end it and its runners. Raises StoppedError."""
    received: list[signal.Signals] = []

    async def guarded() -> T:
        task = asyncio.ensure_future(work)

        def stop(signum: signal.Signals) -> None:
            received.append(signum)
            task.cancel()

        for signum in STOPPING:
            asyncio.get_running_loop().add_signal_handler(signum, stop, signum)
        return await task

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        raise StoppedError(received[0]) from None


@dataclass(slots=True)
class Display:
    """A line for each finished run, and below them, on a terminal, a bar for all runs and one for each under way."""

    console: Console
    metric: str
    progress: Progress
    whole: TaskID
    wall_s: list[float] = field(default_factory=list)  # of the runs that ended

    @property
    def usual_s(self) -> float:
        return sum(self.wall_s) / len(self.wall_s) if self.wall_s else FIRST_GUESS_S

    def more(self, runs: int) -> None:
        """That many runs were asked for besides."""
        task = self.progress.tasks[0]
        self.progress.update(self.whole, total=(task.total or 0) + runs)

    def ended(self, wanted: Wanted, run: Run) -> None:
        self.wall_s.append(run.wall_s)
        result = f"{self.metric} {number(run.metric, 5)}" if run.status is Status.OK else run.status.value
        seconds = f"{run.steps} steps in {run.train_s:.1f} s, {run.wall_s:.1f} s in all"
        self.progress.console.print(f"{wanted.title}: {result}, {seconds}")

    def refresh(self, left_s: float) -> None:
        done = len(self.wall_s)
        total = self.progress.tasks[0].total or 0
        share = sum(task.completed for task in self.progress.tasks[1:] if task.visible)
        self.progress.update(
            self.whole, completed=done + share, note=f"{done} of {total:.0f} runs, about {duration(left_s)} left"
        )


@contextmanager
def display(console: Console, *, metric: str) -> Iterator[Display]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        whole = progress.add_task("measuring", total=0, note="")
        yield Display(console=console, metric=metric, progress=progress, whole=whole)


async def measure(wanted: Sequence[Wanted], *, at_once: int, shown: Display) -> list[MeasuredRun]:
    """Runs in the order they are wanted, `at_once` at a time; a run that gives no number is the last to be started."""
    shown.more(len(wanted))
    results: dict[int, Run] = {}
    waiting = iter(enumerate(wanted))

    async def worker() -> None:
        for index, one in waiting:
            results[index] = await _one(one, shown, left=lambda: len(wanted) - len(results), at_once=at_once)
            shown.ended(one, results[index])
            if any(run.status is not Status.OK for run in results.values()):
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())
    return [wanted[index].measured(results[index]) for index in sorted(results)]


async def _one(wanted: Wanted, shown: Display, *, left: Callable[[], int], at_once: int) -> Run:
    started_s = time.monotonic()
    bar = shown.progress.add_task(wanted.title, total=1.0, note=Phase.BUILD.value)
    said = Said(phase=Phase.BUILD)
    expected_s = shown.usual_s

    async def tell(progress: Said) -> None:
        nonlocal said, expected_s
        said = progress
        if progress.eta_s is not None:
            expected_s = time.monotonic() - started_s + progress.eta_s

    async def tick() -> None:
        while True:
            elapsed_s = time.monotonic() - started_s
            usual_s = shown.usual_s if shown.wall_s else expected_s
            step = f" step {said.step}" if said.step else ""
            loss = f", claimed loss {said.loss:.3f}" if said.loss is not None else ""
            share = min(0.99, elapsed_s / max(expected_s, elapsed_s + 0.5))
            shown.progress.update(bar, completed=share, note=f"{said.phase.value}{step}{loss}")
            shown.refresh(max(0.0, (left() - at_once) * usual_s / at_once + max(0.0, expected_s - elapsed_s)))
            await asyncio.sleep(0.25)

    ticking = asyncio.create_task(tick())
    try:
        return await slot.measure(wanted.request, on_progress=tell)
    finally:
        ticking.cancel()
        shown.progress.remove_task(bar)


def show(compared: Comparison, console: Console) -> None:
    """The result: every run, where its time went, and the verdict."""
    runs = compared.experiment.runs
    name = compared.contract.metric.name
    of_runs = Table("side", "seed", name, "steps", "train s", "steps/s", "wall s", "status", box=None)
    for r in runs:
        run = r.run
        speed = f"{run.steps / run.train_s:.1f}" if run.train_s > 0 else "n/a"
        of_runs.add_row(
            "head" if r.side is Side.CANDIDATE else "base",
            str(run.seed),
            number(run.metric, 5),
            str(run.steps),
            f"{run.train_s:.1f}",
            speed,
            f"{run.wall_s:.1f}",
            run.status.value,
        )
    console.print(of_runs)
    of_phases = Table("mean seconds", *(phase.removesuffix("_s") for phase in PHASES), "all", box=None)
    for title, side in (("head", Side.CANDIDATE), ("base", Side.BASELINE)):
        if seconds := comparison.phases(runs, side):
            of_phases.add_row(title, *(f"{one:.1f}" for one in seconds))
    console.print(of_phases)
    verdict = Table(box=None, show_header=False)
    for what, value in comparison.verdict_rows(compared):
        verdict.add_row(what, value)
    console.print(verdict)
