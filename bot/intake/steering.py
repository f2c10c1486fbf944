"""Commands about an experiment, on its pull request."""

from dataclasses import replace

from bot.core.intake.grammar import Command, Verb
from bot.core.intake.message import Look, Override, Rerun, Revise
from bot.core.model import Experiment
from bot.core.words import reply
from bot.core.words.explanation import explained, numbers
from bot.core.words.figures import terms
from bot.core.words.label import HOLD
from bot.durable import mail
from bot.durable.lab import lab, patient_step
from bot.loop import reading


def steer(x: Experiment, command: Command, *, by: str, key: str) -> str:
    """Do it, or pass it on to the experiment; a sentence for the author when there is something to say."""
    if command.verb is Verb.EXPLAIN:
        contract = reading.contract(x)
        return contract if isinstance(contract, str) else explained(x, terms=terms(contract))
    if x.state.ended:
        return reply.refused_state(doing=command.verb.value, state=x.state.value)
    match command.verb:
        case Verb.CLOSE:
            close_pull(x)
        case Verb.HOLD:
            set_hold(x, True)
        case Verb.RESUME:
            set_hold(x, False)
            mail.send(x.id, Look())
        case Verb.REVISE:
            mail.send(x.id, Revise(by=by, text=command.text, key=key))
        case Verb.RERUN:
            mail.send(x.id, Rerun(by=by, runs=command.runs, head_sha=head(x.repository, x.pull_number or 0), key=key))
        case Verb.MERGE:
            return _merge(x, command, by=by, key=key)
        case _:
            raise ValueError(f"{command.verb} is about no experiment")
    return ""


def _merge(x: Experiment, command: Command, *, by: str, key: str) -> str:
    """Ask back with the numbers; with the head's hash, pass it on."""
    head_sha = head(x.repository, x.pull_number or 0)
    if command.sha and head_sha.startswith(command.sha):
        mail.send(x.id, Override(by=by, head_sha=head_sha, key=key))
        return ""
    if command.sha or head_sha != x.head_sha:
        return reply.another_head(replace(x, head_sha=head_sha), doing="merged")
    contract = reading.contract(x)
    if isinstance(contract, str):
        return contract
    return reply.confirm_merge(x, said=numbers(x, terms=terms(contract)))


@patient_step("head")
def head(repository: str, pull_number: int) -> str:
    """What a command is about: the head that its author saw, if nobody pushed meanwhile."""
    return lab().access.forge(repository).pull(pull_number).head.sha


@patient_step("close_pull")
def close_pull(x: Experiment) -> None:
    lab().access.forge(x.repository).close(x.pull_number or 0)


@patient_step("hold")
def set_hold(x: Experiment, held: bool) -> None:
    """The hold is a label, so that people see it, and can set and remove it by hand as well."""
    lab().access.forge(x.repository).tag(x.pull_number or 0, name=HOLD.name, color=HOLD.color, on=held)
