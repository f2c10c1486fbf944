"""A proposal after its pull request is open: mended when its runs crash, changed when a person asks for it.

Either way its author goes on with the same conversation, and one more commit is measured as the new head.
"""

from dataclasses import replace

from bot.core import scope
from bot.core.contract import Contract
from bot.core.intake.message import Revise
from bot.core.model import Edit, Experiment, Proposal, State, Why
from bot.core.proposal import heads
from bot.core.words import description, reply
from bot.core.words.figures import terms
from bot.durable.lab import clock, lab, patient_step
from bot.edge import tuner
from bot.edge.github import followup
from bot.loop import dialogue, opening, publication
from bot.loop.dialogue import Dialogue, Errand
from bot.loop.publication import retire_check

MOVED = "somebody pushed to the branch meanwhile, or closed the pull request"


def repair(x: Experiment, talk: Dialogue | None, contract: Contract) -> tuple[Experiment, Dialogue | None]:
    """An experiment whose run crashed on a commit that mends it, where its author can; any other as it is."""
    crash = heads.crash(x)
    if crash is None or talk is None or heads.repairs(x) >= contract.claude.repairs:
        return x, talk
    start = in_pull(x)
    if not isinstance(start, list):
        return x, talk
    errand = Errand(told=heads.mend(crash), start=tuple(start), leeway=heads.LEEWAY)
    x, talk, answer = dialogue.go_on(x, contract, talk, errand)
    if isinstance(answer, str):
        return replace(x, reason=f"{x.reason.rstrip('.')}; it was not mended: {answer}"), talk
    followed = follow_up(
        x, contract, answer, why=Why.REPAIR, reason=crash.run.reason, by=answer.proposed_by, when_utc=clock()
    )
    if followed.head_sha == x.head_sha:  # the loop looks at the forge next, and sees what happened there
        return replace(x, state=State.MEASURING, runs=(), decision=None, reason=""), talk
    return followed, talk


def revise(
    x: Experiment, talk: Dialogue | None, contract: Contract, said: Revise
) -> tuple[Experiment, Dialogue | None]:
    """The experiment as a person wants it, or as it is, with one reply that says which and why."""
    answer: Proposal | str
    if talk is None:
        answer = retuned(x, contract, said.text)
    else:
        start = in_pull(x)
        if isinstance(start, list):
            errand = Errand(told=heads.revise(by=said.by, text=said.text), start=tuple(start))
            x, talk, answer = dialogue.go_on(x, contract, talk, errand)
        else:
            answer = start
    if isinstance(answer, str):
        publication.answer(x, said, reply.not_revised(answer))
        return x, talk
    followed = follow_up(x, contract, answer, why=Why.REVISION, reason=said.text, by=said.by, when_utc=clock())
    moved = followed.head_sha != x.head_sha
    publication.answer(x, said, reply.revised(followed) if moved else reply.not_revised(MOVED))
    return followed, talk


@patient_step("in_pull")
def in_pull(x: Experiment) -> list[Edit] | str:
    """What the pull request changes now, a person's commits included."""
    return followup.edits(lab().access.forge(x.repository), base_sha=x.base_sha, head_sha=x.head_sha)


@patient_step("retune")
def retuned(x: Experiment, contract: Contract, wish: str) -> Proposal | str:
    """The tuner's proposal with one constant set to a value; or why not, in one sentence."""
    forge, path = lab().access.forge(x.repository), contract.train_path
    base, head = (forge.read(path, sha=sha) or "" for sha in (x.base_sha, x.head_sha))
    answer = tuner.revise(base=base, head=head, path=path, preset=contract.task.preset, wish=wish)
    return answer if isinstance(answer, Proposal) else answer.reason


@patient_step("follow_up")
def follow_up(
    x: Experiment, contract: Contract, proposal: Proposal, *, why: Why, reason: str, by: str, when_utc: str
) -> Experiment:
    """The experiment at one more commit, with a description that fits it; as it is when somebody was faster."""
    forge, number = lab().access.forge(x.repository), x.pull_number or 0
    before = {edit.path: forge.read(edit.path, sha=x.base_sha) for edit in proposal.edits}
    known = {path: text for path, text in before.items() if text is not None}
    after = scope.apply_edits(known, proposal.edits)
    problems = scope.check(
        scope.changes_of(proposal.edits),
        allow=contract.allow,
        protected=contract.protected,
        tree=forge.paths(sha=x.base_sha),
    )
    if isinstance(after, scope.EditProblem) or problems:
        raise ValueError("a draft that was checked cannot be committed")
    title = heads.commit_title(proposal, why)
    made = followup.commit(
        forge,
        number=number,
        branch=x.branch,
        head_sha=x.head_sha,
        files=followup.files(forge, base_sha=x.base_sha, head_sha=x.head_sha, after=after),
        message=f"{title}\n\n{description.commit_message(proposal)}",
        when_utc=when_utc,
    )
    if made is None:
        return x
    retire_check(forge, x, made.sha)
    moved = heads.moved_on(
        replace(x, proposal=proposal, diff=opening.diff(known, after)),
        head_sha=made.sha,
        head_tree_sha=made.tree_sha,
        base_sha=x.base_sha,
        base_tree_sha=x.base_tree_sha,
        why=why,
        reason=reason,
        by=by,
    )
    body = description.pull_body(moved, terms=terms(contract))
    followup.describe(forge, number=number, title=description.pull_title(proposal), body=body)
    return moved
