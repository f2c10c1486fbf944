"""Landing what is proven, once the contract, the people and the forge's rules let it."""

from dataclasses import replace

from bot.core.contract import Contract, Land, Sandbox
from bot.core.intake.review import approvers, objectors
from bot.core.model import Experiment, State, Verdict
from bot.core.words import label, merge_message, reply
from bot.core.words.refusal import explained
from bot.durable.lab import lab, patient_step
from bot.edge.github import landing, reviews
from bot.edge.github.forge import Forge


@patient_step("land")
def land(x: Experiment, contract: Contract, verdict: Verdict, *, when_utc: str) -> Experiment:
    """Merged, or proven and waiting, or still LANDING when something moved and it must be measured again."""
    forge = lab().access.forge(x.repository)
    if x.pull_number is None:
        raise ValueError(f"{x.id} has no pull request yet")
    if obstacle := _obstacle(x, contract, forge, x.pull_number):
        return replace(x, state=State.PROVEN, reason=f"{verdict.reason}; {obstacle}")
    if x.overridden_by:
        verdict = replace(verdict, reason=f"{x.overridden_by} had it merged; by the numbers: {verdict.reason}")
    message = merge_message.merge_message(x, verdict=verdict, metric=contract.metric)
    result = landing.land(forge, verdict, number=x.pull_number, ours=not x.theirs, message=message, when_utc=when_utc)
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
        return replace(x, state=State.PROVEN, reason=f"{verdict.reason}; {explained(result.refused)}")
    return x


def _obstacle(x: Experiment, contract: Contract, forge: Forge, number: int) -> str:
    """What has to happen before the bot may merge, in words; empty when nothing has to."""
    if stopped := forge.open_issue_with(label.STOPPED.name):
        return f"merging is stopped, see #{stopped}"
    if not x.overridden_by and (reserved := _left_to_people(x, contract)):
        return reserved
    found = reviews.reviews(forge, number=number)
    if against := [login for login in objectors(found) if forge.may_write(login)]:
        return f"{_people(against)} asked for changes: it waits for another review, or for that one to be dismissed"
    if contract.land is Land.AFTER_APPROVAL and not x.overridden_by:
        approving = approvers(found, heads=(*x.updated_from, x.head_sha))
        if not any(forge.may_write(login) for login in approving):
            return f"it waits for an approving review of {x.head_sha[:10]} by somebody with write access"
    return ""


def _left_to_people(x: Experiment, contract: Contract) -> str:
    """Why only a person may merge here; empty when the bot may."""
    if x.theirs:
        return "the pull request is a person's, and so is its merge"
    if contract.land is Land.MANUAL:
        return "the contract leaves merging to a person"
    if not contract.may_land_claims:
        return "the metric is self-reported, so a person merges it (or the contract says `claims.merge: true`)"
    if contract.sandbox is Sandbox.SUBPROCESS and not lab().local:
        return "what ran without a sandbox is merged by a person only"
    return ""


def _people(logins: list[str]) -> str:
    return ", ".join(logins[:5]) + (f" and {len(logins) - 5} more" if len(logins) > 5 else "")
