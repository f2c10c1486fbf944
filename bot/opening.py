"""The first half of an experiment: where it starts from, what it proposes, its branch and pull request."""

import difflib
import zlib
from collections.abc import Mapping
from dataclasses import replace

from dbos import DBOS

from bot.core import contract as contracts
from bot.core import report, scope
from bot.core.contract import Contract
from bot.core.figures import Terms
from bot.core.model import Edit, Experiment, LedgerRow, Order, Proposal, State
from bot.edge import ledger, tuner
from bot.lab import lab, now_utc, patient_step

MAX_DIFF_CHARACTERS = 60_000


@patient_step("begin")
def begin(order: Order) -> Experiment:
    """Pin the commit of main that this experiment is about."""
    forge = lab().access.forge(order.repository)
    tip = forge.tip(forge.default_branch)
    return Experiment(
        id=order.id,
        repository=order.repository,
        origin=order.origin,
        state=State.PROPOSING,
        started_utc=now_utc(),
        branch=f"nightlab/{order.id}",
        base_sha=tip.sha if tip else "",
        base_tree_sha=tip.tree_sha if tip else "",
    )


def contract(x: Experiment) -> Contract | str:
    """The contract at the base commit, or one sentence that says what is wrong with it."""
    text = read(x.repository, contracts.PATH, x.base_sha) if x.base_sha else None
    if text is None:
        return f"there is no {contracts.PATH} on the default branch; add one, docs/contract.md shows the shortest"
    parsed = contracts.parse(text)
    return parsed if isinstance(parsed, Contract) else report.contract_problems(parsed)


@patient_step("read")
def read(repository: str, path: str, sha: str) -> str | None:
    return lab().access.forge(repository).read(path, sha=sha)


@patient_step("paths")
def paths(repository: str, sha: str) -> list[str]:
    return sorted(lab().access.forge(repository).paths(sha=sha))


def propose(x: Experiment, contract: Contract) -> Experiment:
    """The experiment with its proposal, applied to the base and checked against the scope; ended when there is none."""
    answer = ask(x, contract)
    if isinstance(answer, str):
        return replace(x, state=State.ABANDONED, reason=answer)
    problems = scope.check(
        scope.changes_of(answer.edits),
        allow=contract.allow,
        protected=contract.protected,
        tree=paths(x.repository, x.base_sha),
    )
    if problems:
        return replace(x, proposal=answer, state=State.ABANDONED, reason="the proposal is out of scope: " + problems[0])
    return replace(x, proposal=answer)


@patient_step("propose")
def ask(x: Experiment, contract: Contract) -> Proposal | str:
    """A proposal from the offline tuner, or one sentence that says why there is none."""
    directory = contract.task.directory
    path = "train.py" if directory == "." else f"{directory}/train.py"
    forge = lab().access.forge(x.repository)
    source = forge.read(path, sha=x.base_sha)
    if source is None:
        return f"there is no {path} on the default branch, so there is nothing to tune"
    answer = tuner.propose(
        source=source,
        path=path,
        preset=contract.task.preset,
        history=[row for row in ledger.rows(forge) if _teaches(row, contract)],
        in_flight=in_flight(x),
        idea=x.origin.idea,
        seed=zlib.crc32(x.id.encode()),
    )
    return answer if isinstance(answer, Proposal) else answer.reason


def _teaches(row: LedgerRow, contract: Contract) -> bool:
    """An attempt that was not measured to its end may be made again, and one on other hardware says little."""
    return row.state is not State.ABANDONED and row.hardware_class in ("", contract.hardware_class)


def in_flight(x: Experiment) -> list[Edit]:
    """What other experiments of this repository are trying right now."""
    edits: list[Edit] = []
    for status in DBOS.list_workflows(name="experiment", status="PENDING", load_input=False, load_output=False):
        other = DBOS.get_event(status.workflow_id, "experiment", timeout_seconds=0)
        if isinstance(other, Experiment) and other.id != x.id and other.repository == x.repository and other.proposal:
            edits.extend(other.proposal.edits)
    return edits


@patient_step("open")
def open_pull(x: Experiment, *, terms: Terms) -> Experiment:
    """Push the proposal as one commit on the base, and open the pull request; the experiment with both."""
    proposal = x.proposal
    if proposal is None:
        raise ValueError("nothing is proposed")
    forge = lab().access.forge(x.repository)
    before: dict[str, str] = {}
    for path in {edit.path for edit in proposal.edits}:
        text = forge.read(path, sha=x.base_sha)
        if text is not None:
            before[path] = text
    after = scope.apply_edits(before, proposal.edits)
    if isinstance(after, scope.EditProblem):
        return replace(x, state=State.ABANDONED, reason=f"the proposal cannot be applied: {after.message}")
    message = f"{report.pull_title(proposal)}\n\n{report.commit_message(proposal)}"
    commit = forge.push_files(x.branch, base_sha=x.base_sha, files=dict(after), message=message, when_utc=x.started_utc)
    x = replace(x, head_sha=commit.sha, head_tree_sha=commit.tree_sha, diff=diff(before, after), state=State.MEASURING)
    number = forge.open_pull(branch=x.branch, title=report.pull_title(proposal), body=report.pull_body(x, terms=terms))
    return replace(x, pull_number=number)


def diff(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """A unified diff, cut at a whole line."""
    lines: list[str] = []
    for path in sorted(after):
        old = before.get(path)
        source = f"a/{path}" if old is not None else "/dev/null"
        lines += difflib.unified_diff(
            (old or "").splitlines(keepends=True), after[path].splitlines(keepends=True), source, f"b/{path}"
        )
    text = "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    if len(text) <= MAX_DIFF_CHARACTERS:
        return text
    return text[: text.rindex("\n", 0, MAX_DIFF_CHARACTERS) + 1] + "(cut)\n"
