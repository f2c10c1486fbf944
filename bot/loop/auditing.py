"""Audits: every so many merges, main and main before them are run afresh, to see how much of their gain is real.

Each merge asks whether it is the occasion. The runs wait behind everybody else's; the result stands on the pull request
of the last merge, on the ledger's branch and on the dashboard.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from dbos import DBOS, SetWorkflowID, WorkflowHandle

from bot.core.contract import Contract
from bot.core.metric import sign
from bot.core.model import Experiment, State
from bot.core.text import marker
from bot.core.verdict import audit as audits
from bot.core.verdict.audit import Due, Report
from bot.durable.engine import CAMPAIGN_QUEUE, SERIALIZER, enqueue_run
from bot.durable.lab import lab, now_utc, patient_step
from bot.durable.running import one_run
from bot.edge.github import ledger
from bot.loop import reading
from bot.loop.upkeep import LAST_IN_LINE, suspects
from runner.protocol import Request, Run, Source, Status

FIRST_SEED = 2_000_000  # experiments count theirs from 0
LOOK_S = 2.0

log = logging.getLogger("nightlab")

SERIALIZER.register(Due)
SERIALIZER.register(audits.Audit)
SERIALIZER.register(Report)


def follow(x: Experiment) -> None:
    """See whether a merge is the occasion of an audit."""
    if x.state is State.MERGED:
        with SetWorkflowID(f"{x.id}-audit"):
            DBOS.enqueue_workflow(CAMPAIGN_QUEUE, audit, x)


@patient_step("allowance")
def allowance(x: Experiment, contract: Contract) -> float:
    """How many s simplifications may still cost in this repository until its next audit."""
    return audits.allowance(ledger.rows(lab().access.forge(x.repository)), contract.policy)


@DBOS.workflow(name="audit")
def audit(x: Experiment) -> Report | None:
    """The audit that `x`, just merged, is the occasion of; None when it is none."""
    contract = reading.contract(replace(x, base_sha=x.merge_sha))
    if isinstance(contract, str):
        return None
    due = occasion(x, contract)
    if due is None:
        return None
    before, now = (_start(x, contract, sha) for sha in (due.before_sha, due.now_sha))
    report = judge(x, contract, due, _finished(before), _finished(now))
    publish(x, contract, report)
    return report


@patient_step("occasion")
def occasion(x: Experiment, contract: Contract) -> Due | None:
    rows = ledger.rows(lab().access.forge(x.repository))
    return audits.due(rows, merge_sha=x.merge_sha, every=contract.policy.audit_every)


def _start(x: Experiment, contract: Contract, sha: str) -> list[WorkflowHandle[Run]]:
    """Fresh runs of a commit of main, under today's contract."""
    git_url = reading.clone_url(x.repository)
    started = []
    for seed in range(FIRST_SEED, FIRST_SEED + contract.policy.audit_runs):
        request = Request(
            run_id=f"audit-{x.merge_sha[:20]}-{sha[:20]}-s{seed}",
            source=Source(git_url=git_url, base_sha=sha, head_sha=sha, allowed=contract.allow),
            task=contract.task,
            seed=seed,
            sandbox=contract.sandbox,
            cache_dir="",
            hardware_class=contract.hardware_class,
        )
        started.append(enqueue_run(x.repository, one_run, request, False, priority=LAST_IN_LINE))
    return started


def _finished(started: Sequence[WorkflowHandle[Run]]) -> list[Run]:
    """Their results; one that broke off again and again is left out."""
    found = []
    for handle in started:
        try:
            found.append(handle.get_result(polling_interval_sec=LOOK_S))
        except Exception as error:  # the others are enough, or the report says that they are not
            log.warning("an audit's run %s broke off: %s", handle.workflow_id, error)
    return found


@DBOS.step(name="judge")
def judge(x: Experiment, contract: Contract, due: Due, before: Sequence[Run], now: Sequence[Run]) -> Report:
    doubtful = suspects()
    better_low = sign(contract.metric)

    def values(runs: Sequence[Run]) -> tuple[float, ...]:
        good = [run for run in runs if run.status is Status.OK and run.run_id not in doubtful]
        return tuple(better_low * run.metric for run in good if run.metric is not None)

    made, failed = None, ""
    environments = {run.environment_digest for run in (*before, *now) if run.status is Status.OK}
    reasons = [run.reason for run in (*before, *now) if run.status is not Status.OK]
    if len(environments) > 1:
        failed = "its fixed part or the environment changed between the two, so that their numbers cannot be compared"
    else:
        try:
            made = audits.audit(before=values(before), now=values(now), claimed=due.claimed)
        except ValueError as error:
            failed = f"{error} ({reasons[0]})" if reasons else str(error)
    return Report(
        repository=x.repository,
        due=due,
        audit=made,
        runs_before=tuple(better_low * value for value in values(before)),
        runs_now=tuple(better_low * value for value in values(now)),
        failed=failed,
        ended_utc=now_utc(),
    )


@patient_step("publish_audit")
def publish(x: Experiment, contract: Contract, report: Report) -> None:
    """On the pull request of the last merge, and on the ledger's branch."""
    forge, said = lab().access.forge(x.repository), audits.sentence(report, contract.metric)
    hidden = marker(f"{x.id}-audit")
    if x.pull_number is not None:
        forge.comment(x.pull_number, marker=hidden, body=f"{hidden}\n\n{said}\n")
    path = f"audits/{report.due.now_sha[:10]}.json"
    ledger.add(forge, path, audits.report_json(report), message=f"audit: {path}", when_utc=report.ended_utc)


def latest() -> list[Report]:
    """The newest audit of each repository, for the dashboard."""
    found: dict[str, Report] = {}
    for status in DBOS.list_workflows(name="audit", status="SUCCESS", sort_desc=True, limit=500, load_input=False):
        if isinstance(status.output, Report):
            found.setdefault(status.output.repository, status.output)
    return list(found.values())
