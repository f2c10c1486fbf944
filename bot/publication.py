"""The second half of an experiment, as people see it: its comment, check and label, its landing, its ledger row."""

import time
from collections.abc import Sequence
from dataclasses import replace

from bot.core import history, label, merge_message, reply, report, scope
from bot.core.contract import Contract, Land, Sandbox
from bot.core.figures import LiveRun, Terms
from bot.core.model import Experiment, State, Verdict
from bot.core.text import marker
from bot.edge import landing, ledger
from bot.edge.github import Forge
from bot.lab import lab, now_utc, patient_step

UPDATE_TIMEOUT_S = 60.0  # the forge updates a branch in its own time


def terms(contract: Contract) -> Terms:
    """What reports say about how an experiment is judged."""
    task = contract.task
    budget = f"{task.budget_steps} steps" if task.budget_steps else f"{task.budget_s:g} s"
    return Terms(
        metric=contract.metric,
        policy=contract.policy,
        hardware_class=contract.hardware_class,
        budget=budget,
        lands=contract.land is Land.AUTO,
    )


@patient_step("observe")
def observe(x: Experiment, contract: Contract) -> Experiment:
    """The experiment as the forge has it now: ended when a person closed it, begun anew when one pushed to it."""
    forge = _forge(x)
    pull = forge.pull(_number(x))
    if pull.merged:
        return replace(x, state=State.ABANDONED, reason="a person merged it before the measurement was done")
    if not pull.open:
        return replace(x, state=State.ABANDONED, reason="a person closed it")
    x = replace(x, held=label.HOLD.name in pull.labels)
    if pull.head.sha == x.head_sha:
        return x
    base = forge.merge_base(pull.head.sha)
    changes = forge.changes(base_sha=base.sha, head_sha=pull.head.sha)
    tree = forge.paths(sha=base.sha)
    problems = scope.check(changes, allow=contract.allow, protected=contract.protected, tree=tree)
    if problems:
        reason = f"someone pushed {pull.head.sha[:10]}, which is out of scope: {problems[0]}"
        return replace(x, state=State.ABANDONED, reason=reason)
    _retire_check(forge, x, pull.head.sha)
    return replace(
        x,
        state=State.MEASURING,
        head_sha=pull.head.sha,
        head_tree_sha=pull.head.tree_sha,
        base_sha=base.sha,
        base_tree_sha=base.tree_sha,
        runs=(),
        decision=None,
    )


@patient_step("show")
def show(x: Experiment, contract: Contract, live: Sequence[LiveRun] = (), eta_s: float | None = None) -> Experiment:
    """Bring the comment, the check and the label up to date."""
    forge, said = _forge(x), terms(contract)
    forge.comment(_number(x), marker=marker(x.id), body=report.comment(x, terms=said, live=live, eta_s=eta_s))
    _check(forge, x, said, live, eta_s)
    shown = label.label(x.state)
    forge.label(_number(x), prefix=label.PREFIX, name=shown.name, color=shown.color)
    return x


def show_progress(x: Experiment, contract: Contract, live: Sequence[LiveRun], eta_s: float | None) -> bool:
    """Bring the check up to date in mid-measurement; False when a person closed the pull request meanwhile."""
    forge = _forge(x)
    _check(forge, x, terms(contract), live, eta_s)
    return forge.pull(_number(x)).open


def _check(forge: Forge, x: Experiment, said: Terms, live: Sequence[LiveRun] = (), eta_s: float | None = None) -> None:
    title, summary, text = report.check(x, terms=said, live=live, eta_s=eta_s)
    forge.check(
        head_sha=x.head_sha,
        external_id=x.id,
        conclusion=label.conclusion(x.state),
        title=title,
        summary=summary,
        text=text,
    )


def _retire_check(forge: Forge, x: Experiment, new_head_sha: str) -> None:
    """The old head's check must not stay in progress for ever."""
    forge.check(
        head_sha=x.head_sha,
        external_id=x.id,
        conclusion="neutral",
        title="Measured again on a newer commit",
        summary=f"The branch is now at {new_head_sha}.",
        text="",
    )


@patient_step("update")
def update_to_main(x: Experiment) -> Experiment:
    """The experiment on today's main; ended when the two conflict. A push to the branch is left for `observe`."""
    forge, number = _forge(x), _number(x)
    today = forge.tip(forge.default_branch)
    if today is None:
        return replace(x, state=State.ABANDONED, reason="the default branch is gone")
    if forge.pull(number).head.sha == x.head_sha and not forge.update_branch(
        number, head_sha=x.head_sha, base_sha=today.sha
    ):
        pull = forge.pull(number)
        if pull.open and pull.head.sha == x.head_sha:
            return replace(x, state=State.ABANDONED, reason="main changed the same lines meanwhile; propose it again")
        return x
    deadline_s = time.monotonic() + UPDATE_TIMEOUT_S
    while time.monotonic() < deadline_s:
        head = forge.pull(number).head
        if head.sha != x.head_sha and not forge.is_update_of(head.sha, x.head_sha):
            return x
        if forge.contains(head.sha, today.sha):
            break
        time.sleep(1.0)
    else:
        raise TimeoutError("the forge did not bring the branch up to date within a minute")
    if head.sha != x.head_sha:
        _retire_check(forge, x, head.sha)
    base = forge.merge_base(head.sha)  # newer than `today` when main moved in between
    return replace(
        x,
        state=State.CONFIRMING,
        head_sha=head.sha,
        head_tree_sha=head.tree_sha,
        base_sha=base.sha,
        base_tree_sha=base.tree_sha,
    )


@patient_step("land")
def land(x: Experiment, contract: Contract, verdict: Verdict, *, when_utc: str) -> Experiment:
    """Merged, or proven and left to a person, or still LANDING when something moved and it must be measured again."""
    forge = _forge(x)
    if contract.land is not Land.AUTO:
        return replace(x, state=State.PROVEN, reason=f"{verdict.reason}; the contract leaves merging to a person")
    if contract.sandbox is Sandbox.SUBPROCESS and not lab().local:
        reason = f"{verdict.reason}; what ran without a sandbox is merged by a person only"
        return replace(x, state=State.PROVEN, reason=reason)
    if stopped := forge.open_issue_with(label.STOPPED.name):
        return replace(x, state=State.PROVEN, reason=f"{verdict.reason}; merging is stopped, see #{stopped}")
    message = merge_message.merge_message(x, verdict=verdict, metric=contract.metric)
    result = landing.land(forge, verdict, number=_number(x), message=message, when_utc=when_utc)
    if result.merge_sha and not result.refused:
        return replace(x, state=State.MERGED, merge_sha=result.merge_sha, reason=verdict.reason)
    if result.merge_sha:
        forge.open_issue(
            title="Nightlab has stopped merging",
            body=reply.merging_stopped(x, result.refused),
            label=label.STOPPED.name,
            color=label.STOPPED.color,
        )
        return replace(x, state=State.ABANDONED, merge_sha=result.merge_sha, reason=result.refused)
    if result.refused:
        return replace(x, state=State.PROVEN, reason=f"{verdict.reason}; the forge refuses: {result.refused}")
    return x


@patient_step("finish")
def finish(x: Experiment, contract: Contract | None) -> Experiment:
    """Say how it ended wherever someone may look, and leave the forge tidy."""
    x = replace(x, ended_utc=now_utc())
    forge = _forge(x)
    if x.pull_number is not None and contract is not None:
        show(x, contract)
        if x.state is not State.PROVEN:
            forge.close(x.pull_number)
            forge.delete_branch(x.branch, at_sha=x.head_sha)
    if x.origin.issue_number is not None:
        forge.comment(x.origin.issue_number, marker=marker(x.id), body=reply.how_it_ended(x))
    return x


@patient_step("record")
def record(x: Experiment, contract: Contract) -> None:
    """Write the ledger row."""
    ledger.append(_forge(x), history.row(x, metric=contract.metric))


def _forge(x: Experiment) -> Forge:
    return lab().access.forge(x.repository)


def _number(x: Experiment) -> int:
    if x.pull_number is None:
        raise ValueError(f"{x.id} has no pull request yet")
    return x.pull_number
