"""The first half of an experiment: where it starts from, what it proposes, its branch and pull request."""

import difflib
from collections.abc import Mapping
from dataclasses import replace

from bot import proposing
from bot.core import contract as contracts
from bot.core import report, scope
from bot.core.contract import Contract
from bot.core.figures import Terms
from bot.core.model import Experiment, Order, State
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
    x, answer = proposing.propose(x, contract)
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
