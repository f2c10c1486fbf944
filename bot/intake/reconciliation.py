"""Experiments that wait for people, held against the forge, for the case that a webhook never came; and pull requests
of ours that nobody works on any more.

An experiment that measures looks at the forge by itself before every decision. One that waits is told to look when its
pull request is not what it was at the last sweep: one list of open pull requests per repository tells of all of them.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable

from dbos import DBOS

from bot.core.intake.event import BRANCHES
from bot.core.intake.message import Look
from bot.core.model import Experiment, Origin, State
from bot.durable import mail
from bot.durable.engine import enqueue_experiment
from bot.durable.lab import lab
from bot.durable.notes import under_way
from bot.edge.github.forge import Glimpse
from bot.edge.github.installations import installed
from bot.edge.github.wire import ClosedError
from bot.loop.burial import bury

log = logging.getLogger("nightlab")
LOST = "this bot has no record of it any more, perhaps because its database is a new one: ask for it again"

_seen: dict[str, Glimpse | None] = {}  # by experiment, at the last sweep of this process


def reconcile() -> None:
    """Tell those experiments to look whose pull request changed since the last sweep, or since we were last there."""
    waiting: dict[str, list[Experiment]] = defaultdict(list)
    for x in under_way():
        if x.waiting and x.pull_number is not None:
            waiting[x.repository].append(x)
    for repository, found in waiting.items():
        try:
            glimpses = {glimpse.number: glimpse for glimpse in lab().access.forge(repository).open_pulls()}
        except ClosedError as closed:  # it waits on, and asks by itself now and then
            log.warning("%s: %s", repository, closed)
            continue
        for x in found:
            glimpse = glimpses.get(x.pull_number or 0)
            if x.id not in _seen or _seen[x.id] != glimpse:
                mail.send(x.id, Look())
                _seen[x.id] = glimpse
    waits = {x.id for found in waiting.values() for x in found}
    for over in _seen.keys() - waits:
        del _seen[over]


def bury_the_lost() -> None:
    """At the start: end what is open on the forge in our name and that our database knows nothing of."""
    for repository in _repositories():
        try:
            forge = lab().access.forge(repository)
            lost = [pull for pull in forge.open_pulls() if pull.author == forge.login and _is_lost(pull, repository)]
            for pull in lost:
                _bury(repository, pull, base_sha=forge.merge_base(pull.head_sha).sha)
        except ClosedError as closed:
            log.warning("%s: %s", repository, closed)


def _repositories() -> Iterable[str]:
    for installation in installed(lab().access):
        yield from installation.repositories


def _is_lost(pull: Glimpse, repository: str) -> bool:
    if not pull.branch.startswith(BRANCHES) or pull.head_repository != repository:
        return False
    return DBOS.get_workflow_status(pull.branch.removeprefix(BRANCHES)) is None


def _bury(repository: str, pull: Glimpse, *, base_sha: str) -> None:
    identity = pull.branch.removeprefix(BRANCHES)
    x = Experiment(
        id=identity,
        repository=repository,
        origin=Origin(requested_by="unknown"),
        state=State.ABANDONED,
        started_utc="",
        branch=pull.branch,
        pull_number=pull.number,
        head_sha=pull.head_sha,
        base_sha=base_sha,
        reason=LOST,
    )
    enqueue_experiment(f"{identity}-bury", bury, x)
