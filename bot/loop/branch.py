"""The branch of an experiment: what people did to it, and bringing it up to today's main."""

import time
from dataclasses import replace

from bot.core import scope
from bot.core.contract import Contract
from bot.core.model import Experiment, State, Why
from bot.core.proposal.heads import moved_on
from bot.core.words import label
from bot.durable.lab import lab, patient_step
from bot.edge.github.forge import Forge
from bot.loop.publication import number, retire_check

UPDATE_TIMEOUT_S = 60.0  # the forge updates a branch in its own time


@patient_step("observe")
def observe(x: Experiment, contract: Contract) -> Experiment:
    """The experiment as the forge has it now: ended when a person closed it, begun anew when one pushed to it."""
    forge = lab().access.forge(x.repository)
    pull = forge.pull(number(x))
    if pull.merged:
        return _merged_by_a_person(x, forge, pull.merge_sha)
    if not pull.open:
        return replace(x, state=State.ABANDONED, reason="a person closed it")
    x = replace(x, held=label.HOLD.name in pull.labels)
    if pull.head.sha == x.head_sha:
        return x
    if x.theirs:
        reason = f"somebody pushed {pull.head.sha[:10]} meanwhile, and nobody has asked for that to be measured"
        return replace(x, state=State.ABANDONED, reason=reason)
    base = forge.merge_base(pull.head.sha)
    changes = forge.changes(base_sha=base.sha, head_sha=pull.head.sha)
    tree = forge.paths(sha=base.sha)
    problems = scope.check(changes, allow=contract.allow, protected=contract.protected, tree=tree)
    if problems:
        reason = f"someone pushed {pull.head.sha[:10]}, which is out of scope: {problems[0]}"
        return replace(x, state=State.ABANDONED, reason=reason)
    retire_check(forge, x, pull.head.sha)
    return moved_on(
        x,
        head_sha=pull.head.sha,
        head_tree_sha=pull.head.tree_sha,
        base_sha=base.sha,
        base_tree_sha=base.tree_sha,
        why=Why.PUSH,
    )


def _merged_by_a_person(x: Experiment, forge: Forge, merge_sha: str) -> Experiment:
    if x.state is not State.PROVEN or x.decision is None:
        return replace(x, state=State.ABANDONED, reason="a person merged it before the measurement was done")
    measured = forge.tree_sha(merge_sha) == x.head_tree_sha
    how = "exactly as measured" if measured else "into a main that was no longer the measured one"
    return replace(x, state=State.MERGED, merge_sha=merge_sha, reason=f"a person merged it, {how}: {x.decision.reason}")


@patient_step("update")
def update_to_main(x: Experiment) -> Experiment:
    """The experiment on today's main; ended when the two conflict. A push to the branch is left for `observe`.

    A person's own pull request stays on the main that it is built on, and is compared with that.
    """
    if x.theirs:
        return replace(x, state=State.CONFIRMING, reason="")
    forge, pull_number = lab().access.forge(x.repository), number(x)
    today = forge.tip(forge.default_branch)
    if today is None:
        return replace(x, state=State.ABANDONED, reason="the default branch is gone")
    if forge.pull(pull_number).head.sha == x.head_sha and not forge.update_branch(
        pull_number, head_sha=x.head_sha, base_sha=today.sha
    ):
        pull = forge.pull(pull_number)
        if pull.open and pull.head.sha == x.head_sha:
            return replace(x, state=State.ABANDONED, reason="main changed the same lines meanwhile; propose it again")
        return x
    deadline_s = time.monotonic() + UPDATE_TIMEOUT_S
    while time.monotonic() < deadline_s:
        head = forge.pull(pull_number).head
        if head.sha != x.head_sha and not forge.is_update_of(head.sha, x.head_sha):
            return x
        if forge.contains(head.sha, today.sha):
            break
        time.sleep(1.0)
    else:
        raise TimeoutError("the forge did not bring the branch up to date within a minute")
    if head.sha != x.head_sha:
        retire_check(forge, x, head.sha)
    base = forge.merge_base(head.sha)  # newer than `today` when main moved in between
    return replace(
        x,
        state=State.CONFIRMING,
        reason="",
        updated_from=(*x.updated_from, x.head_sha) if head.sha != x.head_sha else x.updated_from,
        head_sha=head.sha,
        head_tree_sha=head.tree_sha,
        base_sha=base.sha,
        base_tree_sha=base.tree_sha,
    )
