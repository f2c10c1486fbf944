"""What the forge tells us, taken in and acted upon. One durable workflow per event, named by what happened: however
often and by whichever hook it is delivered, it is acted upon once.
"""

from dbos import DBOS

from bot.core import contract as contracts
from bot.core.intake.event import (
    CommentPosted,
    DoorMoved,
    Event,
    IssueOpened,
    MainPushed,
    PullChanged,
    RerunClicked,
    ReviewLeft,
)
from bot.core.intake.grammar import Command, Verb
from bot.core.intake.message import Look, Message, Rerun, Revise
from bot.core.intake.review import Opinion, request
from bot.core.model import Experiment
from bot.core.text import marker
from bot.core.words import reply
from bot.durable import mail
from bot.durable.engine import SERIALIZER, enqueue_event
from bot.durable.lab import lab, patient_step
from bot.durable.notes import experiments, under_way
from bot.edge.github import reviews
from bot.intake.commands import asked_in, command_in, contract_today, experiment_of, may_command, obey, role_needed
from bot.loop import burial
from bot.loop.reading import read

for stored in (CommentPosted, IssueOpened, MainPushed, PullChanged, ReviewLeft, RerunClicked, DoorMoved):
    SERIALIZER.register(stored)


def accept(happened: Event) -> bool:
    """Queue an event that something is to be done about. Called again with the same event it does nothing."""
    if isinstance(happened, CommentPosted | IssueOpened) and (
        happened.by_bot or command_in(asked_in(happened)) is None
    ):
        return False
    if isinstance(happened, PullChanged) and not happened.ours and not _is_measured(happened):
        return False
    line = happened.installation_id if isinstance(happened, DoorMoved) else happened.repository_id
    enqueue_event(happened.key, react, happened, line=line)
    return True


def _is_measured(changed: PullChanged) -> bool:
    """Whether somebody had a pull request of their own measured, and it is not over yet."""
    place = (changed.repository_id, changed.number)
    return any(x.theirs and (x.repository_id, x.pull_number) == place for x in under_way())


@DBOS.workflow(name="event")
def react(happened: Event) -> None:
    match happened:
        case MainPushed():
            check_contract(happened)
        case CommentPosted() | IssueOpened():
            obey(asked_in(happened))
        case ReviewLeft():
            tell(happened, requested(happened) or Look())
        case PullChanged():
            x = tell(happened, Look())
            if x is not None and x.state.ended and happened.action == "reopened":
                say(happened, happened.number, reply.reopened(x))
        case RerunClicked():
            rerun(happened)
        case DoorMoved(opened=True):
            forget_failures()
        case DoorMoved():
            for identity in experiments_in(happened):
                mail.send(identity, Look())  # which finds the door closed, and ends


def tell(happened: PullChanged | ReviewLeft, said: Message) -> Experiment | None:
    """Pass it on to the experiment whose pull request it is about, unless it has ended; the experiment."""
    x = experiment_of(happened.repository_id, happened.number)
    if x is not None and not x.state.ended:
        mail.send(x.id, said)
    return x


@DBOS.step(name="forget_failures")
def forget_failures() -> None:
    """What could not be said on the forge is tried again at the next sweep."""
    burial.forget_failures()


@DBOS.step(name="experiments_in")
def experiments_in(moved: DoorMoved) -> list[str]:
    def is_there(repository: str) -> bool:
        return repository in moved.repositories or (
            not moved.repositories and repository.startswith(f"{moved.account}/")
        )

    return [x.id for x in under_way() if is_there(x.repository)]


def rerun(clicked: RerunClicked) -> None:
    """As `/rerun` by that person, of the commit whose check it was; about others' checks there is nothing to say."""
    x = experiment_at(clicked)
    if x is None or x.pull_number is None:
        return
    command = Command(verb=Verb.RERUN)
    needed = role_needed(contract_today(clicked.repository), command)
    if not may_command(clicked.repository, clicked.by, needed):
        say(clicked, x.pull_number, reply.refused_permission(login=clicked.by, needed=needed))
    elif x.state.ended:
        say(clicked, x.pull_number, reply.refused_state(doing=command.verb.value, state=x.state.value))
    else:
        mail.send(x.id, Rerun(by=clicked.by, runs=command.runs, head_sha=clicked.head_sha, key=clicked.key))


@DBOS.step(name="experiment_at")
def experiment_at(clicked: RerunClicked) -> Experiment | None:
    """The experiment that has, or had last, this head."""
    for known in (under_way, experiments):
        for x in known():
            if (x.repository_id, x.head_sha) == (clicked.repository_id, clicked.head_sha):
                return x
    return None


@patient_step("say")
def say(happened: PullChanged | RerunClicked, pull_number: int, text: str) -> None:
    mark = marker(f"reply-{happened.key}")
    lab().access.forge(happened.repository).comment(pull_number, marker=mark, body=f"{mark}\n\n{text}")


def requested(left: ReviewLeft) -> Revise | None:
    """What a review by somebody who may say so asks for; None when it asks for nothing."""
    if left.action != "submitted":
        return None
    asked = review_now(left)
    return asked if asked and may_command(left.repository, asked.by) else None


@patient_step("review")
def review_now(left: ReviewLeft) -> Revise | None:
    """The review as it is on the forge now, if it asks for anything."""
    forge = lab().access.forge(left.repository)
    found = reviews.review(forge, number=left.number, review_id=left.review_id)
    if found is None:
        return None
    review, remarks = found
    text = request(review, remarks)
    if review.by_bot or not text or review.opinion not in (Opinion.CHANGES_REQUESTED, Opinion.COMMENTED):
        return None
    return Revise(by=review.author, text=text, key=f"r{review.id}")


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
