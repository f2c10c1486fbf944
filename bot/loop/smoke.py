"""Smoke runs, in the slots where runs are measured: a draft needs the machine it is written for."""

from collections.abc import Sequence

from bot.core.contract import Contract
from bot.core.model import Experiment
from bot.core.proposal.smoke import Smoke, brief_task, smoke_of
from bot.durable.engine import SERIALIZER, enqueue_run
from bot.durable.running import smoke_run
from bot.edge import slot
from bot.loop.reading import clone_url
from runner.protocol import DraftFile, Request, Source

LOOK_S = 0.3

SERIALIZER.register(Smoke)


def smoke(x: Experiment, contract: Contract, files: Sequence[DraftFile], *, number: int) -> Smoke:
    """For a workflow, not a step: the `number`th smoke run of an experiment. Asked for again it is the same one."""
    request = Request(
        run_id=f"smoke-{x.id}-{number}",
        source=Source(
            git_url=clone_url(x.repository),
            base_sha=x.base_sha,
            head_sha=x.base_sha,
            allowed=contract.allow,
            drafts=tuple(files),
        ),
        task=brief_task(contract.task),
        seed=0,
        sandbox=contract.sandbox,
        cache_dir="",
        hardware_class=contract.hardware_class,
        smoke=True,
    )
    claims = contract.task.claims is not None
    handle = enqueue_run(x.repository, smoke_run, request)
    try:
        run = handle.get_result(polling_interval_sec=LOOK_S)
    except Exception as error:  # it broke off: killed with the bot again and again, or cancelled by hand
        return smoke_of(files, slot.failed_run(request, str(error)[:300]), claims=claims)
    return smoke_of(files, run, claims=claims)
