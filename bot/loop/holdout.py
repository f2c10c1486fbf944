"""After a merge: one run of what main is now, on the split that never selects.

Its runs wait behind everybody else's and are of a kind of their own, which neither the policy nor the noise looks at.
"""

from dataclasses import replace

from dbos import DBOS, SetWorkflowID

from bot.core import record
from bot.core.contract import Contract
from bot.core.model import Experiment, Holdout, State
from bot.core.words import holdout as holdouts
from bot.durable.engine import CAMPAIGN_QUEUE, enqueue_run
from bot.durable.lab import lab, now_utc, patient_step
from bot.durable.running import ATTEMPTS, holdout_run
from bot.edge import slot
from bot.edge.github import ledger
from bot.loop import reading
from bot.loop.publication import show
from runner.protocol import AUDIT_TOLERANCE_CAP, Request, Run, Source, Status

SEED = 1_000_000  # of every such run; decisions count their seeds from 0, so none was ever selected by it
LAST = 1_000  # priority in the queue; runs that decisions wait for have none, which comes first
LOOK_S = 2.0


def follow(x: Experiment) -> None:
    """Have a merged experiment scored, where its task has such a split."""
    if x.state is State.MERGED and any(measured.run.has_holdout for measured in x.runs):
        with SetWorkflowID(f"{x.id}-holdout"):
            DBOS.enqueue_workflow(CAMPAIGN_QUEUE, score, x)


@DBOS.workflow(name="holdout")
def score(x: Experiment) -> Experiment:
    """Score the merge, and say so on its pull request and in the ledger."""
    contract = reading.contract(x)
    if isinstance(contract, str):
        return x
    return tell(replace(x, holdout=Holdout(run=_run(x, contract))), contract)


def _run(x: Experiment, contract: Contract) -> Run:
    """In at most so many attempts; what comes of the last one, whatever it is."""
    git_url = reading.clone_url(x.repository)
    for attempt in range(1, ATTEMPTS + 1):
        request = Request(
            run_id=f"holdout-{x.id}-{attempt}",
            source=Source(git_url=git_url, base_sha=x.merge_sha, head_sha=x.merge_sha, allowed=contract.allow),
            task=contract.task,
            seed=SEED,
            sandbox=contract.sandbox,
            cache_dir="",
            hardware_class=contract.hardware_class,
            split="holdout",
            audit_tolerance=AUDIT_TOLERANCE_CAP,
        )
        handle = enqueue_run(x.repository, holdout_run, request, priority=LAST)
        try:
            run = handle.get_result(polling_interval_sec=LOOK_S)
        except Exception as error:  # it broke off: killed with the bot again and again, or cancelled by hand
            run = slot.failed_run(request, str(error)[:300])
        if run.status is not Status.INFRASTRUCTURE:
            break
    return run


@patient_step("tell_holdout")
def tell(x: Experiment, contract: Contract) -> Experiment:
    """The experiment with what the merge before it had, told wherever its other numbers are."""
    forge = lab().access.forge(x.repository)
    if x.holdout is not None:
        x = replace(x, holdout=replace(x.holdout, before=holdouts.before(ledger.rows(forge), x)))
    show(x, contract)
    ledger.amend(forge, record.row(x, metric=contract.metric), when_utc=now_utc())
    return x
