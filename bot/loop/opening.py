"""The first half of an experiment: where it starts from, what it proposes, its branch and pull request."""

import difflib
from collections.abc import Mapping
from dataclasses import replace

from bot.core import scope
from bot.core.contract import Contract, Sandbox
from bot.core.intake.event import BRANCHES
from bot.core.model import Experiment, Kind, Plan, Proposal, State
from bot.core.order import Order
from bot.core.words import description
from bot.core.words.figures import Terms
from bot.durable.lab import lab, now_utc, patient_step
from bot.edge.github.submission import Submission, submission
from bot.loop import proposing
from bot.loop.dialogue import Dialogue
from bot.loop.reading import paths

MAX_DIFF_CHARACTERS = 60_000
MAX_TITLE_CHARACTERS = 200
MAX_BODY_CHARACTERS = 3_000


@patient_step("begin")
def begin(order: Order) -> Experiment:
    """Pin the commit of main that this experiment is about."""
    forge = lab().access.forge(order.repository)
    if order.pull_number is not None:
        return _begin_with(order, submission(forge, number=order.pull_number), forge.default_branch)
    tip = forge.tip(forge.default_branch)
    return Experiment(
        id=order.id,
        repository=order.repository,
        repository_id=order.repository_id,
        origin=order.origin,
        state=State.PROPOSING,
        started_utc=now_utc(),
        branch=f"{BRANCHES}{order.id}",
        base_sha=tip.sha if tip else "",
        base_tree_sha=tip.tree_sha if tip else "",
    )


def _begin_with(order: Order, theirs: Submission, main: str) -> Experiment:
    """A person's own pull request, at the head that they saw."""
    x = Experiment(
        id=order.id,
        repository=order.repository,
        repository_id=order.repository_id,
        origin=order.origin,
        state=State.MEASURING,
        started_utc=now_utc(),
        theirs=True,
        pull_number=order.pull_number,
        branch=theirs.branch,
        head_sha=theirs.head.sha,
        head_tree_sha=theirs.head.tree_sha,
        base_sha=theirs.base.sha,
        base_tree_sha=theirs.base.tree_sha,
        diff=theirs.diff,
        from_fork=theirs.from_fork,
        proposal=Proposal(
            title=theirs.title[:MAX_TITLE_CHARACTERS],
            hypothesis=(theirs.body or theirs.title)[:MAX_BODY_CHARACTERS],
            edits=(),
            kind=Kind.IMPROVE,
            expected_gain=None,
            proposed_by=theirs.author,
        ),
    )
    if theirs.head.sha != order.head_sha:
        return replace(x, state=State.ABANDONED, reason=f"somebody pushed {theirs.head.sha[:10]} meanwhile; ask again")
    if theirs.into != main:
        return replace(x, state=State.ABANDONED, reason=f"it is not for {main}, and only that is compared with")
    return x


@patient_step("admitted")
def admitted(x: Experiment, contract: Contract) -> Experiment:
    """A person's own pull request, ended when it is not to be measured here."""
    if x.from_fork and contract.sandbox is Sandbox.SUBPROCESS and not lab().local:
        return replace(x, state=State.ABANDONED, reason="what comes from a fork is measured in a sandbox only")
    forge = lab().access.forge(x.repository)
    problems = scope.check(
        forge.changes(base_sha=x.base_sha, head_sha=x.head_sha),
        allow=contract.allow,
        protected=contract.protected,
        tree=forge.paths(sha=x.base_sha),
    )
    if problems:
        return replace(x, state=State.ABANDONED, reason=f"it is out of scope: {problems[0]}")
    return x


def propose(x: Experiment, contract: Contract) -> tuple[Experiment, Dialogue | None]:
    """The experiment with its proposal, checked against the scope, and the conversation that led to it; ended when
    there is none."""
    x, talk, answer = proposing.propose(x, contract)
    return accepted(x, contract, answer), talk


def accepted(x: Experiment, contract: Contract, answer: Proposal | Plan | str) -> Experiment:
    """The experiment with a proposal that is in scope; ended when it is not, or there is none, or a plan."""
    if isinstance(answer, Plan):
        why = f"it is split into {len(answer.steps)} experiments: {answer.reason}"
        return replace(x, plan=answer, state=State.ABANDONED, reason=why)
    if isinstance(answer, str):
        return replace(x, proposal=None, state=State.ABANDONED, reason=answer)
    problems = scope.check(
        scope.changes_of(answer.edits),
        allow=contract.allow,
        protected=contract.protected,
        tree=paths(x.repository, x.base_sha),
    )
    if problems:
        why = "the proposal is out of scope: " + problems[0]
        return replace(x, proposal=answer, state=State.ABANDONED, reason=why)
    return replace(x, proposal=answer)


@patient_step("open")
def open_pull(x: Experiment, *, terms: Terms) -> Experiment:
    """Push the proposal as one commit on the base, and open the pull request as a draft; the experiment with both."""
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
    message = f"{description.pull_title(proposal)}\n\n{description.commit_message(proposal)}"
    commit = forge.push_files(x.branch, base_sha=x.base_sha, files=dict(after), message=message, when_utc=x.started_utc)
    x = replace(x, head_sha=commit.sha, head_tree_sha=commit.tree_sha, diff=diff(before, after), state=State.MEASURING)
    title, body = description.pull_title(proposal), description.pull_body(x, terms=terms)
    number = forge.open_pull(branch=x.branch, title=title, body=body, draft=True)
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
