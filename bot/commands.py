"""What people ask for in comments, carried out. One durable workflow per comment, named by the comment: however often
and by whichever hook it is delivered, it is obeyed once.
"""

from dataclasses import dataclass

from dbos import DBOS, SetWorkflowID

from bot import campaign
from bot.core import contract as contracts
from bot.core import reply
from bot.core.command import GRAMMAR, Command, CommandError, Thread, Verb, parse
from bot.core.contract import Contract
from bot.core.event import CommentPosted, Event, IssueOpened, MainPushed
from bot.core.label import HOLD
from bot.core.model import Campaign, CampaignPlan, Experiment, Order, Origin
from bot.core.text import marker
from bot.engine import EVENT_QUEUE, EXPERIMENT_QUEUE, SERIALIZER
from bot.experiment import RESUME, run_experiment
from bot.lab import lab, patient_step
from bot.notes import experiments
from bot.opening import read

for stored in (CommentPosted, IssueOpened, MainPushed):
    SERIALIZER.register(stored)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A comment (or the text of a new issue) that may hold a command."""

    repository: str
    number: int
    on_pull: bool
    thread_open: bool
    comment_id: int | None  # None: the issue's own text
    order_id: str
    author: str
    body: str


def accept(happened: Event) -> bool:
    """Queue an event that something is to be done about. Called again with the same event it does nothing."""
    if not isinstance(happened, MainPushed) and (happened.by_bot or _command(_asked(happened)) is None):
        return False
    with SetWorkflowID(happened.key):
        DBOS.enqueue_workflow(EVENT_QUEUE, react, happened)
    return True


@DBOS.workflow(name="event")
def react(happened: Event) -> None:
    if isinstance(happened, MainPushed):
        check_contract(happened)
    else:
        obey(_asked(happened))


def _asked(happened: CommentPosted | IssueOpened) -> Asked:
    if isinstance(happened, CommentPosted):
        return Asked(
            repository=happened.repository,
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
        number=happened.number,
        on_pull=False,
        thread_open=True,
        comment_id=None,
        order_id=f"i{happened.issue_id}",
        author=happened.author,
        body=happened.body,
    )


def _command(asked: Asked) -> Command | CommandError | None:
    return parse(asked.body, thread=Thread.PULL if asked.on_pull else Thread.ISSUE, mention=lab().mention)


def obey(asked: Asked) -> None:
    """Acknowledge with a reaction, then do it; or say in one sentence why not."""
    command = _command(asked)
    if command is None:
        return
    if not may_command(asked.repository, asked.author):
        answer(asked, reply.refused_permission(login=asked.author), "-1")
    elif isinstance(command, CommandError):
        answer(asked, reply.command_error(command=command.line, problem=command.message), "confused")
    elif not asked.thread_open:
        answer(asked, reply.closed_thread(), "confused")
    else:
        answer(asked, "", "eyes")
        if refusal := _do(asked, command):
            answer(asked, refusal, "confused")


def _do(asked: Asked, command: Command) -> str:
    """Carry out a command that its author may give; a sentence for them when there is something to say."""
    if command.verb is Verb.HELP:
        thread = Thread.PULL if asked.on_pull else Thread.ISSUE
        return reply.commands([rule for rule in GRAMMAR if thread in rule.threads])
    if command.verb is Verb.EXPERIMENT:
        return _over_budget(asked) or _experiment(asked, command.text)
    if command.verb in (Verb.CAMPAIGN_START, Verb.CAMPAIGN_STOP, Verb.CAMPAIGN_STATUS):
        return _campaign(asked, command)
    x = experiment_of(asked.repository, asked.number)
    if x is None:
        return reply.no_experiment()
    if x.state.ended:
        return reply.refused_state(doing=command.verb.value, state=x.state.value)
    if command.verb is Verb.CLOSE:
        close_pull(asked.repository, asked.number)
    elif command.verb is Verb.HOLD:
        set_hold(asked.repository, asked.number, True)
    elif command.verb is Verb.RESUME:
        set_hold(asked.repository, asked.number, False)
        DBOS.send(x.id, asked.author, topic=RESUME)
    return ""


def _over_budget(asked: Asked) -> str:
    """Why no more experiments may be asked for today; empty when they may. Without a contract there is no limit:
    the experiment itself will say that there is none."""
    contract = contract_today(asked.repository)
    if isinstance(contract, str):
        return ""
    limits, orders = contract.limits, campaign.orders_of_a_day(asked.repository)
    if len(orders) >= limits.experiments_per_day:
        return reply.refused_budget(limit=f"the {limits.experiments_per_day} experiments of 24 hours")
    if sum(order.origin.requested_by == asked.author for order in orders) >= limits.experiments_per_person_per_day:
        return reply.refused_budget(limit=f"your {limits.experiments_per_person_per_day} experiments of 24 hours")
    return ""


def _experiment(asked: Asked, idea: str) -> str:
    order = Order(
        id=asked.order_id,
        repository=asked.repository,
        origin=Origin(requested_by=asked.author, idea=idea, issue_number=asked.number, comment_id=asked.comment_id),
    )
    with SetWorkflowID(order.id):
        DBOS.enqueue_workflow(EXPERIMENT_QUEUE, run_experiment, order)
    return ""


def _campaign(asked: Asked, command: Command) -> str:
    running = campaigns(asked.repository)
    if command.verb is Verb.CAMPAIGN_START:
        if running:
            return reply.campaign_runs_already()
        contract = contract_today(asked.repository)
        if isinstance(contract, str):
            return contract
        if refusal := _over_budget(asked):
            return refusal
        plan = CampaignPlan(
            id=f"k{asked.order_id[1:]}",
            repository=asked.repository,
            requested_by=asked.author,
            issue_number=asked.number,
            experiments=command.experiments or contract.campaign.experiments,
            hours=command.hours or contract.campaign.hours,
            parallel=contract.campaign.parallel,
            experiments_per_day=contract.limits.experiments_per_day,
        )
        with SetWorkflowID(plan.id):
            DBOS.start_workflow(campaign.run_campaign, plan)
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


def check_contract(pushed: MainPushed) -> None:
    """A push that breaks the contract gets a failed check, so that its author sees it before anyone needs it."""
    text = read(pushed.repository, contracts.PATH, pushed.sha)
    parsed = contracts.parse(text) if text is not None else None
    if isinstance(parsed, list):
        fail_check(pushed.repository, pushed.sha, reply.broken_contract(parsed))


@patient_step("fail_check")
def fail_check(repository: str, sha: str, summary: str) -> None:
    lab().access.forge(repository).check(
        head_sha=sha, external_id="contract", conclusion="failure", title="Broken contract", summary=summary, text=""
    )


@patient_step("may_command")
def may_command(repository: str, login: str) -> bool:
    return lab().access.forge(repository).may_write(login)


@patient_step("answer")
def answer(asked: Asked, text: str, reaction: str) -> None:
    """React to the comment, and reply when there is something to say."""
    forge = lab().access.forge(asked.repository)
    forge.react(asked.number, asked.comment_id, reaction)
    if text:
        mark = marker(f"reply-{asked.order_id}")
        forge.comment(asked.number, marker=mark, body=f"{mark}\n\n{text}")


@DBOS.step(name="experiment_of")
def experiment_of(repository: str, pull_number: int) -> Experiment | None:
    """The experiment behind a pull request, as last noted."""
    mine = (x for x in experiments() if (x.repository, x.pull_number) == (repository, pull_number))
    return next(mine, None)


@DBOS.step(name="campaigns")
def campaigns(repository: str) -> list[str]:
    return campaign.running(repository)


@patient_step("close_pull")
def close_pull(repository: str, number: int) -> None:
    lab().access.forge(repository).close(number)


@patient_step("hold")
def set_hold(repository: str, number: int, held: bool) -> None:
    """The hold is a label, so that people see it, and can set and remove it by hand as well."""
    lab().access.forge(repository).tag(number, name=HOLD.name, color=HOLD.color, on=held)


@DBOS.step(name="campaign_as_noted")
def campaign_as_noted(identity: str) -> Campaign:
    noted = DBOS.get_event(identity, "campaign", timeout_seconds=5)
    if not isinstance(noted, Campaign):
        raise RuntimeError(f"campaign {identity} has noted nothing yet")
    return noted
