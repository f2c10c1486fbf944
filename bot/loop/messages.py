"""What people say to an experiment under way, done: revise it, measure more, merge it all the same.

The loop has looked at the forge just before, so what is said meets what is there now.
"""

from dataclasses import replace

from bot.core.contract import Contract
from bot.core.intake.message import Look, Message, Override, Rerun, Revise
from bot.core.model import Experiment, State
from bot.core.verdict.judgement import judged, more, verdict
from bot.core.words import reply
from bot.durable.lab import clock
from bot.loop import branch, merging, publication, revision
from bot.loop.dialogue import Dialogue
from bot.loop.measurement import measure, pool

DOING = {Revise: "revise", Rerun: "rerun", Override: "merge"}  # messages as commands


def heed(x: Experiment, talk: Dialogue | None, contract: Contract, said: Message) -> tuple[Experiment, Dialogue | None]:
    """The experiment after a message; one that comes too late is answered, too."""
    if x.state.ended:
        if not isinstance(said, Look):
            publication.answer(x, said, reply.refused_state(doing=DOING[type(said)], state=x.state.value))
        return x, talk
    match said:
        case Revise() if x.theirs:
            publication.answer(x, said, reply.not_revised("the branch is a person's own"))
            return x, talk
        case Revise():
            return revision.revise(x, talk, contract, said)
        case Rerun():
            return _rerun(x, contract, said), talk
        case Override():
            return _override(x, contract, said), talk
        case _:  # somebody thinks that it should look at the forge, which the loop has done
            return x, talk


def _rerun(x: Experiment, contract: Contract, said: Rerun) -> Experiment:
    """More runs of the head that the person saw. They count like any other."""
    if x.head_sha != said.head_sha:
        publication.answer(x, said, reply.another_head(x, doing="measured"))
        return x
    decision = more(
        x,
        runs=said.runs,
        repeatable=contract.repeatable,
        burnt=pool(x.base_tree_sha).burnt,
        reason=reply.reran(by=said.by, runs=said.runs),
    )
    state = State.CONFIRMING if x.state in (State.PROVEN, State.LANDING) else x.state
    x = publication.show(replace(x, state=state, reason="", decision=decision), contract)
    return judged(measure(x, contract, decision))


def _override(x: Experiment, contract: Contract, said: Override) -> Experiment:
    """Merged as it was measured, because a person takes it upon themselves; or as it is, and they are told why."""
    if x.head_sha != said.head_sha:
        publication.answer(x, said, reply.another_head(x, doing="merged"))
        return x
    if x.decision is None or x.decision.estimate is None:
        publication.answer(x, said, reply.nothing_measured(x))
        return x
    asked = replace(x, state=State.LANDING, overridden_by=said.by)
    landed = merging.land(asked, contract, verdict(asked, contract, x.decision), when_utc=clock())
    if landed.state.ended:
        return landed
    if landed.state is State.LANDING and x.theirs:
        publication.answer(x, said, reply.not_merged("main moved since; update the branch, and have that measured"))
        return x
    if landed.state is State.LANDING:
        publication.answer(x, said, reply.main_moved(x))
        return branch.update_to_main(x)
    publication.answer(x, said, reply.not_merged(landed.reason))
    return x
