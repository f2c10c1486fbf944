"""Runs as durable jobs, on the queue of their hardware class: all that a process which only measures must know."""

import time

from dbos import DBOS, WorkflowStatus

from bot.edge.slot import slots
from runner.protocol import Phase, Progress, Request, Run

KINDS = ("run", "again", "smoke", "holdout_run")  # the workflows below, which is all that a runner may see and do
ATTEMPTS = 3  # of a run that failed through no fault of the candidate


@DBOS.workflow(name="run", max_recovery_attempts=ATTEMPTS)
async def one_run(request: Request, screening: bool) -> Run:
    """One training of one tree with one seed, in a slot of this process."""
    return await _measure(request)


@DBOS.workflow(name="again", max_recovery_attempts=ATTEMPTS)
async def again(request: Request, repeatable: bool) -> Run:
    """An A/A run: main once more, to see whether a slot still measures what it did. Never taken for a run of main."""
    return await _measure(request)


@DBOS.step(name="measure", preemptible=True)
async def _measure(request: Request) -> Run:
    told = 0.0

    async def tell(progress: Progress) -> None:
        nonlocal told
        if progress.phase is Phase.DONE or time.monotonic() - told >= 1.0:
            told = time.monotonic()
            await DBOS.set_event_async("progress", progress)

    return await slots().measure(request, on_progress=tell)


@DBOS.workflow(name="smoke", max_recovery_attempts=ATTEMPTS)
async def smoke_run(request: Request) -> Run:
    """A short one, of files that no commit has. A kind of its own: what it finds is never taken for a measurement."""
    return await _try_out(request)


@DBOS.step(name="try_out", preemptible=True)
async def _try_out(request: Request) -> Run:
    return await slots().measure(request, on_progress=_unwatched)


@DBOS.workflow(name="holdout_run", max_recovery_attempts=ATTEMPTS)
async def holdout_run(request: Request) -> Run:
    """One of main on the split that never selects. A kind of its own: no decision ever finds it."""
    return await _score_holdout(request)


@DBOS.step(name="score_holdout", preemptible=True)
async def _score_holdout(request: Request) -> Run:
    return await slots().measure(request, on_progress=_unwatched)


async def _unwatched(_: Progress) -> None:
    """Of runs that nobody watches as they go."""


def request_of(status: WorkflowStatus) -> Request:
    """What one of these workflows was asked for. Raises TypeError for any other."""
    request = status.input["args"][0] if status.input else None
    if not isinstance(request, Request):
        raise TypeError(f"{status.workflow_id} is not a run")
    return request
