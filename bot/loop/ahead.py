"""Drafting ahead: a proposal that is written while all slots are busy waits for its turn, and is looked at again then.

So no slot waits for a model. What was true of the draft when it was written need not be true when its turn comes: main
has moved, the ledger has grown.
"""

from dataclasses import replace

from dbos import DBOS

from bot.core.contract import Contract
from bot.core.model import Experiment, State
from bot.durable.engine import UNDER_WAY, leaving_room
from bot.durable.lab import lab, patient_step
from bot.durable.spending import campaign_of
from bot.loop import dialogue, opening, proposing, reading
from bot.loop.dialogue import Dialogue, Errand

TOPIC = "turn"
GO, DROP = "go", "drop"
LOOK_S = 600.0  # how often to see whether the campaign is still there
DROPPED = "the campaign was stopped before its turn came"


def tell(experiment_id: str, word: str) -> None:
    """For a workflow: GO when there is a slot for it, DROP when there never will be."""
    DBOS.send(experiment_id, word, topic=TOPIC)


def wait(x: Experiment, talk: Dialogue | None, contract: Contract) -> tuple[Experiment, Dialogue | None, Contract]:
    """The experiment on today's main, once it may go on; ended when it may not, or nothing is left of the draft."""
    with leaving_room():
        while (said := DBOS.recv(TOPIC, timeout_seconds=LOOK_S)) is None:
            if not campaign_lives(x):
                said = DROP
                break
    if said != GO:
        return replace(x, state=State.ABANDONED, reason=DROPPED), talk, contract
    x = today(x)
    now = reading.contract(x)
    if isinstance(now, str):
        return replace(x, state=State.ABANDONED, reason=now), talk, contract
    if talk is None:  # the tuner's: another one costs nothing
        return opening.accepted(x, now, proposing.tune(x, now)), None, now
    if problem := dialogue.look_again(x, now, talk):
        told = (
            "Your proposal waited for a free slot. Meanwhile main or the history of this repository changed, and now "
            f"this speaks against it: {problem}. Your draft is empty again; the files are today's. Propose what is "
            "best now: the same idea on today's code, or another one. Then submit, or decline."
        )
        x, talk, answer = dialogue.go_on(x, now, talk, Errand(told=told))
        x = opening.accepted(x, now, answer)
    return x, talk, now


@patient_step("today")
def today(x: Experiment) -> Experiment:
    """The experiment on the commit that main is at now."""
    forge = lab().access.forge(x.repository)
    tip = forge.tip(forge.default_branch)
    return replace(x, base_sha=tip.sha if tip else "", base_tree_sha=tip.tree_sha if tip else "")


@DBOS.step(name="campaign_lives")
def campaign_lives(x: Experiment) -> bool:
    status = DBOS.get_workflow_status(campaign_of(x.id))
    return status is not None and status.status in UNDER_WAY
