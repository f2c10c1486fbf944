"""What an experiment asks of the runs: who needs which, which are there already, how far they are.

A run's workflow id is its identity: tree, seed, attempt. Asking for a run that was done, or is under way for another
experiment, gives that one. So main's runs are shared by all experiments built on it, and a merged candidate's
confirmation runs are the new main's baseline without being run again.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count

from dbos import DBOS, WorkflowStatus

from bot.core.contract import Contract
from bot.core.model import Decision, Experiment, MeasuredRun, Side, Stage, State
from bot.core.verdict import tolerance as tolerances
from bot.core.verdict.evidence import Noise, within_code
from bot.core.words.figures import LiveRun
from bot.durable.engine import BROKEN, SERIALIZER, enqueue_run
from bot.durable.lab import lab, patient_step
from bot.durable.running import ATTEMPTS, one_run, request_of
from bot.edge import slot
from bot.loop.publication import show_progress
from bot.loop.reading import clone_url
from bot.loop.upkeep import suspects, unserved
from runner.protocol import AUDIT_TOLERANCE, AUDIT_TOLERANCE_CAP, Phase, Progress, Request, Run, Source, Status

NOISE_RUNS = 500  # the newest, of all repositories
FINISHED = ("SUCCESS", *BROKEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What was measured of one tree before. `burnt` seeds were screening runs: selected for being lucky."""

    runs: tuple[Run, ...]
    burnt: tuple[int, ...]


SERIALIZER.register(Pool)
SERIALIZER.register(Noise)


def run_id(tree_sha: str, seed: int, attempt: int = 1) -> str:
    return f"run-{tree_sha[:20]}-s{seed}" + (f"-a{attempt}" if attempt > 1 else "")


@DBOS.step(name="pool")
def pool(tree_sha: str) -> Pool:
    """The finished runs of a tree, so that nothing is measured twice."""
    runs, burnt, doubtful = [], [], suspects()
    for status in DBOS.list_workflows(workflow_id_prefix=run_id(tree_sha, 0)[:-1], status="SUCCESS"):
        run = status.output
        if isinstance(run, Run) and run.status is Status.OK and status.input is not None:
            if status.workflow_id not in doubtful:
                runs.append(run)
            if status.input["args"][1]:
                burnt.append(run.seed)
    return Pool(runs=tuple(runs), burnt=tuple(sorted(burnt)))


@DBOS.step(name="noise")
def noise(x: Experiment, contract: Contract) -> Noise | None:
    """What other code's runs under the same conditions say of the noise of one run; None when they say nothing.

    The experiment's own trees are left out: the policy has their runs already.
    """
    environment = next((m.run.environment_digest for m in reversed(x.runs)), "")
    groups: dict[str, list[float]] = {}
    doubtful = suspects()
    for status in DBOS.list_workflows(name=["run", "again"], status="SUCCESS", sort_desc=True, limit=NOISE_RUNS):
        run = status.output
        if status.workflow_id in doubtful or not isinstance(run, Run) or run.metric is None:
            continue
        if run.tree_sha in (x.head_tree_sha, x.base_tree_sha):
            continue
        conditions = (run.hardware_class, run.environment_digest, request_of(status).task)
        if conditions == (contract.hardware_class, environment, contract.task):
            groups.setdefault(run.tree_sha, []).append(run.metric)
    return within_code(groups.values())


def measure(x: Experiment, contract: Contract, decision: Decision) -> Experiment:
    """Do the runs a decision asks for, candidate and main side by side, and add them to the experiment."""
    stage = Stage.CONFIRM if x.state is State.CONFIRMING else Stage.SCREEN
    known = set()
    wanted = []
    for index in range(max(len(decision.candidate_seeds), len(decision.baseline_seeds))):
        for side, seeds in ((Side.CANDIDATE, decision.candidate_seeds), (Side.BASELINE, decision.baseline_seeds)):
            if index < len(seeds):
                wanted.append((side, seeds[index]))
    tolerated = AUDIT_TOLERANCE if contract.metric.self_reported else tolerance(x, contract)
    for attempt in range(1, ATTEMPTS + 1):
        ids, git_url = identities(x, wanted), clone_url(x.repository)
        for (side, seed), identity in zip(wanted, ids, strict=True):
            _start(x, contract, side, seed, stage, identity, tolerated, git_url)
        retry = []
        for (side, seed), identity, run in zip(wanted, ids, watch(x, contract, ids), strict=True):
            if run.status is Status.STOPPED or (run.status is Status.INFRASTRUCTURE and attempt < ATTEMPTS):
                retry.append((side, seed))
            elif identity not in known:
                known.add(identity)
                x = replace(x, runs=(*x.runs, _measured(x, side, stage, run)))
        wanted = retry
        if not wanted or not still_open(x):
            break
    return x


def _measured(x: Experiment, side: Side, stage: Stage, run: Run) -> MeasuredRun:
    candidate = side is Side.CANDIDATE
    if run.status is Status.OK and run.tree_sha != (x.head_tree_sha if candidate else x.base_tree_sha):
        reason = "the branch changes files that the contract does not allow, so what was measured is not the branch"
        run = replace(run, status=Status.INVALID, metric=None, reason=reason)
    return MeasuredRun(
        side=side,
        stage=stage if candidate else None,
        base_sha=x.base_sha,
        commit_sha=x.head_sha if candidate else x.base_sha,
        run=run,
    )


@DBOS.step(name="identities")
def identities(x: Experiment, wanted: Sequence[tuple[Side, int]]) -> list[str]:
    """The ids of the runs that will answer: done or under way already, or the next attempt.

    An attempt that failed through no fault of the code, or in a slot that drifted, says nothing about the tree, whoever
    asked for it.
    """
    trees = {Side.CANDIDATE: x.head_tree_sha, Side.BASELINE: x.base_tree_sha}
    in_vain = {
        status.workflow_id
        for tree_sha in trees.values()
        for status in DBOS.list_workflows(workflow_id_prefix=run_id(tree_sha, 0)[:-1], status=list(FINISHED))
        if not isinstance(status.output, Run) or status.output.status in (Status.INFRASTRUCTURE, Status.STOPPED)
    } | suspects()

    def answering(side: Side, seed: int) -> str:
        attempts = (run_id(trees[side], seed, attempt) for attempt in count(1))
        return next(identity for identity in attempts if identity not in in_vain)

    return [answering(side, seed) for side, seed in wanted]


@DBOS.step(name="tolerance")
def tolerance(x: Experiment, contract: Contract) -> float:
    """How far a candidate's two answers may lie apart here, as main's own runs of this repository show."""
    of_main, proposed, git_url = [], set(), lab().access.forge(x.repository).clone_url
    for status in DBOS.list_workflows(name=["run", "again"], sort_desc=True, limit=NOISE_RUNS):
        run, request = status.output, request_of(status)
        if not isinstance(run, Run) or request.source.git_url != git_url:
            continue
        if request.source.head_sha != request.source.base_sha:
            proposed.add(run.tree_sha)
        elif (run.hardware_class, request.task) == (contract.hardware_class, contract.task):
            of_main.append(run)
    return tolerances.tolerance(of_main, proposed=proposed)


def _start(
    x: Experiment,
    contract: Contract,
    side: Side,
    seed: int,
    stage: Stage,
    identity: str,
    tolerated: float,
    git_url: str,
) -> None:
    candidate = side is Side.CANDIDATE
    request = Request(
        run_id=identity,
        source=Source(
            git_url=git_url,
            base_sha=x.base_sha,
            head_sha=x.head_sha if candidate else x.base_sha,
            allowed=contract.allow,
        ),
        task=contract.task,
        seed=seed,
        sandbox=contract.sandbox,
        cache_dir="",  # the slot's, wherever that is
        hardware_class=contract.hardware_class,
        audit_tolerance=tolerated if candidate else AUDIT_TOLERANCE_CAP,  # main itself shows what is normal
    )
    enqueue_run(x.repository, one_run, request, candidate and stage is Stage.SCREEN)


@patient_step("still_open")
def still_open(x: Experiment) -> bool:
    return lab().access.forge(x.repository).pull(x.pull_number or 0).open


@patient_step("watch")
def watch(x: Experiment, contract: Contract, ids: list[str]) -> list[Run]:
    """Wait for runs, and keep the pull request's check up to date meanwhile; the runs in the order of `ids`.

    When a person closes the pull request, the candidate's runs are stopped, since nobody else needs them, and main's
    are left to whoever does.
    """
    shown_s = -math.inf
    while True:
        statuses = {status.workflow_id: status for status in DBOS.list_workflows(workflow_ids=ids)}
        waiting = [identity for identity in ids if statuses[identity].status not in FINISHED]
        if not waiting:
            return [_result(statuses[identity]) for identity in ids]
        if time.monotonic() - shown_s >= lab().progress_s:
            shown_s = time.monotonic()
            live = [_live(x, identity, statuses[identity]) for identity in waiting]
            was, x = x.unserved, replace(x, unserved=unserved().get(contract.hardware_class, ""))
            changed = bool(was) != bool(x.unserved)
            if not show_progress(x, contract, live, _eta_s(live), everywhere=changed):
                mine = run_id(x.head_tree_sha, 0)[:-1]
                DBOS.cancel_workflows([identity for identity in waiting if identity.startswith(mine)])
                return [_result(statuses[identity]) for identity in ids]
        time.sleep(0.3)


def _live(x: Experiment, identity: str, status: WorkflowStatus) -> LiveRun:
    request = request_of(status)
    progress = DBOS.get_event(identity, "progress", timeout_seconds=0)
    side = Side.CANDIDATE if request.source.head_sha != request.source.base_sha else Side.BASELINE
    known = progress if isinstance(progress, Progress) else Progress(phase=Phase.QUEUED)
    return LiveRun(side=side, seed=request.seed, slot=request.hardware_class, progress=known)


def _eta_s(live: Sequence[LiveRun]) -> float | None:
    """When the slowest of them will be done, as far as they know."""
    known = [run.progress.eta_s for run in live if run.progress.eta_s is not None]
    return max(known, default=None)


def _result(status: WorkflowStatus) -> Run:
    if isinstance(status.output, Run):
        return status.output
    if status.status == "CANCELLED" or status.status not in FINISHED:
        return slot.failed_run(request_of(status), "it was stopped", Status.STOPPED)
    return slot.failed_run(request_of(status), str(status.error or status.status)[:300])
