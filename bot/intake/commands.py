"""What people ask for in comments, carried out. One durable workflow per comment, named by the comment: however often
and by whichever hook it is delivered, it is obeyed once.
"""

from dataclasses import dataclass

from dbos import DBOS, SetWorkflowID

from bot.core import contract as contracts
from bot.core.contract import Contract, Proposer
from bot.core.intake.command import parse
from bot.core.intake.event import CommentPosted, IssueOpened
from bot.core.intake.grammar import GRAMMAR, Command, CommandError, Thread, Verb
from bot.core.layout import Role
from bot.core.model import Experiment, Origin
from bot.core.order import Campaign, CampaignPlan, Order
from bot.core.text import MARKER_PREFIX, marker
from bot.core.words import reply
from bot.durable.engine import CAMPAIGN_QUEUE, enqueue_experiment
from bot.durable.lab import lab, patient_step
from bot.durable.notes import experiments, reached, under_way
from bot.intake.steering import head, steer
from bot.loop import campaign
from bot.loop.experiment import run_experiment
from bot.loop.reading import read

# Whose reply is what was asked for; any other command's says why it is not done.
QUESTIONS = (Verb.HELP, Verb.EXPLAIN, Verb.CAMPAIGN_STATUS, Verb.CAMPAIGN_STOP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A comment (or the text of a new issue) that may hold a command."""

    repository: str
    repository_id: int
    number: int
    on_pull: bool
    thread_open: bool
    comment_id: int | None  # None: the issue's own text
    order_id: str
    author: str
    body: str


def asked_in(happened: CommentPosted | IssueOpened) -> Asked:
    if isinstance(happened, CommentPosted):
        return Asked(
            repository=happened.repository,
            repository_id=happened.repository_id,
            number=happened.number,
            on_pull=happened.on_pull,
            thread_open=happened.thread_open,
            comment_id=happened.comment_id,
            order_id=f"c{happened.comment_id}",
            author=happened.author,
            body=happened.body,
        )
    return Asked(
        repository=happened.repository,
        repository_id=happened.repository_id,
        number=happened.number,
        on_pull=False,
        thread_open=True,
        comment_id=None,
        order_id=f"i{happened.issue_id}",
        author=happened.author,
        body=happened.body,
    )


def command_in(asked: Asked) -> Command | CommandError | None:
    """With a person's token, what we write ourselves comes back to us under that person's name: it has our marker."""
    if asked.body.startswith(MARKER_PREFIX):
        return None
    return parse(asked.body, thread=Thread.PULL if asked.on_pull else Thread.ISSUE, mention=lab().mention)


def obey(asked: Asked) -> None:
    """Acknowledge with a reaction, then do it; or say in one sentence why not."""
    command = command_in(asked)
    if command is None:
        return
    contract = contract_today(asked.repository)
    needed = role_needed(contract, command)
    if not may_command(asked.repository, asked.author, needed):
        answer(asked, reply.refused_permission(login=asked.author, needed=needed), "-1")
    elif isinstance(command, CommandError):
        answer(asked, reply.command_error(command=command.line, problem=command.message), "confused")
    elif not asked.thread_open:
        answer(asked, reply.closed_thread(), "confused")
    else:
        answer(asked, "", "eyes")
        if said := _do(asked, command, contract):
            answer(asked, said, "" if command.verb in QUESTIONS else "confused")


def _do(asked: Asked, command: Command, contract: Contract | str) -> str:
    """Carry out a command that its author may give; a sentence for them when there is something to say."""
    if command.verb is Verb.HELP:
        thread = Thread.PULL if asked.on_pull else Thread.ISSUE
        return reply.commands([rule for rule in GRAMMAR if thread in rule.threads])
    if command.verb is Verb.EXPERIMENT:
        return _over_budget(asked, contract) or _experiment(asked, command.text)
    if command.verb in (Verb.CAMPAIGN_START, Verb.CAMPAIGN_STOP, Verb.CAMPAIGN_STATUS):
        return _campaign(asked, command, contract)
    x = experiment_of(asked.repository_id, asked.number)
    if command.verb is Verb.MEASURE:
        return _measure(asked, x, contract)
    if x is None:
        return reply.no_experiment()
    return steer(x, command, by=asked.author, key=asked.order_id)


def _over_budget(asked: Asked, contract: Contract | str) -> str:
    """Why no more experiments may be asked for today; empty when they may. Without a contract there is no limit:
    the experiment itself will say that there is none."""
    if isinstance(contract, str):
        return ""
    limits = contract.limits
    limit = reached(
        asked.repository_id,
        by=asked.author,
        of_all=limits.experiments_per_day,
        of_one=limits.experiments_per_person_per_day,
    )
    return reply.refused_limit(limit=limit) if limit else ""


def _experiment(asked: Asked, idea: str) -> str:
    order = Order(
        id=asked.order_id,
        repository=asked.repository,
        repository_id=asked.repository_id,
        origin=Origin(requested_by=asked.author, idea=idea, issue_number=asked.number, comment_id=asked.comment_id),
    )
    enqueue_experiment(order.id, run_experiment, order)
    return ""


def _measure(asked: Asked, x: Experiment | None, contract: Contract | str) -> str:
    if x is not None and not x.state.ended:
        return reply.measured_already()
    if refusal := _over_budget(asked, contract):
        return refusal
    order = Order(
        id=f"m{asked.order_id[1:]}",
        repository=asked.repository,
        repository_id=asked.repository_id,
        origin=Origin(requested_by=asked.author, comment_id=asked.comment_id),
        pull_number=asked.number,
        head_sha=head(asked.repository, asked.number),
    )
    enqueue_experiment(order.id, run_experiment, order)
    return ""


def _campaign(asked: Asked, command: Command, contract: Contract | str) -> str:
    running = campaigns(asked.repository_id)
    if command.verb is Verb.CAMPAIGN_START:
        if running:
            return reply.campaign_runs_already()
        if isinstance(contract, str):
            return contract
        if refusal := _over_budget(asked, contract):
            return refusal
        plan = CampaignPlan(
            id=f"k{asked.order_id[1:]}",
            repository=asked.repository,
            repository_id=asked.repository_id,
            requested_by=asked.author,
            issue_number=asked.number,
            experiments=command.experiments or contract.campaign.experiments,
            hours=command.hours or contract.campaign.hours,
            usd=command.usd or contract.campaign.usd,
            parallel=contract.campaign.parallel,
            ahead=0 if contract.proposer is Proposer.TUNER else contract.campaign.ahead,  # the tuner takes no time
            experiments_per_day=contract.limits.experiments_per_day,
            experiments_per_person_per_day=contract.limits.experiments_per_person_per_day,
        )
        with SetWorkflowID(plan.id):
            DBOS.enqueue_workflow(CAMPAIGN_QUEUE, campaign.run_campaign, plan)
        return ""
    if not running:
        return reply.no_campaign()
    if command.verb is Verb.CAMPAIGN_STOP:
        for identity in running:
            DBOS.send(identity, asked.author, topic=campaign.STOP)
        return reply.campaign_stops()
    return reply.campaign(campaign_as_noted(running[0]))


def contract_today(repository: str) -> Contract | str:
    """The contract on the default branch now, or why there is none that can be used."""
    text = read(repository, contracts.PATH, "HEAD")
    if text is None:
        return reply.no_contract()
    parsed = contracts.parse(text)
    return parsed if isinstance(parsed, Contract) else reply.broken_contract(parsed)


def role_needed(contract: Contract | str, command: Command | CommandError) -> Role:
    """The least role for a command, by today's contract."""
    if isinstance(contract, str) or isinstance(command, CommandError):
        return Role.WRITE
    return contract.commands.needed(command.verb)


@patient_step("may_command")
def may_command(repository: str, login: str, needed: Role = Role.WRITE) -> bool:
    role = lab().access.forge(repository).role(login)
    return role != "none" and Role(role).reaches(needed)


@patient_step("answer")
def answer(asked: Asked, text: str, reaction: str) -> None:
    """React to the comment, and reply, where there is something to say."""
    forge = lab().access.forge(asked.repository)
    if reaction:
        forge.react(asked.number, asked.comment_id, reaction)
    if text:
        mark = marker(f"reply-{asked.order_id}")
        forge.comment(asked.number, marker=mark, body=f"{mark}\n\n{text}")


@DBOS.step(name="experiment_of")
def experiment_of(repository_id: int, pull_number: int) -> Experiment | None:
    """The experiment behind a pull request, as last noted: the one under way, else the newest."""
    for known in (under_way, experiments):
        for x in known():
            if (x.repository_id, x.pull_number) == (repository_id, pull_number):
                return x
    return None


@DBOS.step(name="campaigns")
def campaigns(repository_id: int) -> list[str]:
    return campaign.running(repository_id)


@DBOS.step(name="campaign_as_noted")
def campaign_as_noted(identity: str) -> Campaign:
    noted = DBOS.get_event(identity, "campaign", timeout_seconds=5)
    if not isinstance(noted, Campaign):
        raise RuntimeError(f"campaign {identity} has noted nothing yet")
    return noted
