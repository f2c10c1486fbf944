"""Smoke runs of a draft: a few seconds in the sandbox that say whether it works at all, nothing of how good it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bot.core.proposal.fence import fence
from bot.core.text import clipped, line, printable
from runner.protocol import DraftFile, Run, Status, Task

STEPS = 20  # of the baseline's work: about a second of the reference task's 25
TRAIN_S = 5.0  # where the budget is wall clock
MOST_S = 180.0  # for everything, a compiler's first step included
CLAIMS_S = 60.0  # of a command that has no small budget: whatever it has not done by then is left undone
TAIL_LINES, TAIL_CHARACTERS = 40, 3_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoke:
    """What came of trying these whole files over the base commit. `said` is for the model, outside text fenced."""

    files: tuple[DraftFile, ...]
    works: bool  # or nobody knows, through no fault of the draft
    said: str
    wall_s: float = 0.0


def drafted(after: Mapping[str, str]) -> tuple[DraftFile, ...]:
    """The changed files of a draft, in an order of their own."""
    return tuple(DraftFile(path=path, text=text) for path, text in sorted(after.items()))


def found(smokes: Sequence[Smoke], files: Sequence[DraftFile]) -> Smoke | None:
    """What is known of exactly this draft."""
    return next((smoke for smoke in smokes if smoke.files == tuple(files)), None)


def brief_task(task: Task) -> Task:
    """The contract's task with next to no budget."""
    return replace(
        task,
        budget_steps=None if task.budget_steps is None else min(task.budget_steps, STEPS),
        budget_s=None if task.budget_s is None else min(task.budget_s, TRAIN_S),
        timeout_s=min(task.timeout_s, MOST_S if task.claims is None else CLAIMS_S),
    )


def smoke_of(files: Sequence[DraftFile], run: Run, *, claims: bool = False) -> Smoke:
    """What a smoke run found, in the words for the model.

    With `claims` the output is not shown, since the number that counts would stand in it, and a command that is
    stopped for its length has shown no error.
    """
    tried = tuple(files)
    if claims and run.status is Status.TIMED_OUT:
        said = f"The draft ran for {run.wall_s:.0f} s without an error and was stopped: a smoke run is no longer."
        return Smoke(files=tried, works=True, said=said, wall_s=run.wall_s)
    if run.status in (Status.INFRASTRUCTURE, Status.STOPPED):
        why = line(run.reason, 200)
        said = f"The smoke run could not be made, which is not your draft's fault ({why}). You may submit without one."
        return Smoke(files=tried, works=True, said=said, wall_s=run.wall_s)
    if run.status is Status.OK:
        said = (
            "The draft works: it trained for a moment and its model answers. How good it is, only the runs will tell."
        )
    else:
        said = f"The draft does not work: {fence('how the smoke run ended', line(run.reason, 600))}"
    if claims:
        return Smoke(files=tried, works=run.status is Status.OK, said=said, wall_s=run.wall_s)
    tail = "\n".join(printable(run.log_tail).splitlines()[-TAIL_LINES:])[-TAIL_CHARACTERS:]
    shown = f"\nThe end of its output:\n{fence('output of the draft', clipped(tail, TAIL_CHARACTERS))}" if tail else ""
    return Smoke(files=tried, works=run.status is Status.OK, said=said + shown, wall_s=run.wall_s)
