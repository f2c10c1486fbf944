"""The steps of a plan as people see them, and what there is to know before each: is it still wanted, and paid for?"""

import time

from dbos import DBOS

from bot.core import contract as contracts
from bot.core.contract import Contract
from bot.core.model import Experiment, State
from bot.core.order import Carried
from bot.core.text import marker
from bot.core.words import reply
from bot.durable.engine import BROKEN
from bot.durable.lab import lab, patient_step
from bot.durable.notes import reached

POLL_S = 0.5


@patient_step("show_plan")
def show(carried: Carried, now: Experiment | None = None) -> None:
    """Bring the plan's comment up to date; `now` is the step under way."""
    forge = lab().access.forge(carried.repository)
    forge.comment(carried.issue_number, marker=marker(carried.id), body=reply.plan(carried, now))


@patient_step("why_to_stop_plan")
def why_to_stop(carried: Carried) -> str:
    """Why the next step is not begun; empty when it is."""
    forge = lab().access.forge(carried.repository)
    if forge.repo.get_issue(carried.issue_number).state != "open":
        return "this issue was closed"
    parsed = contracts.parse(forge.read(contracts.PATH, sha="HEAD") or "")
    if not isinstance(parsed, Contract):
        return f"{contracts.PATH} cannot be used"
    limits = parsed.limits
    limit = reached(
        carried.repository_id,
        by=carried.requested_by,
        of_all=limits.experiments_per_day,
        of_one=limits.experiments_per_person_per_day,
    )
    return f"{limit} is reached" if limit else ""


@DBOS.step(name="watch_step")
def watch(carried: Carried, identity: str, *, opened: bool) -> Experiment:
    """The experiment of a step: once its pull request is open, unless that is known; or when it has ended."""
    while True:
        status = DBOS.get_workflow_status(identity)
        x = DBOS.get_event(identity, "experiment", timeout_seconds=0)
        if status is not None and status.status in (*BROKEN, "SUCCESS"):
            return _ended(carried, identity, x, str(status.error or status.status))
        if isinstance(x, Experiment) and x.pull_number is not None and not opened:
            return x
        time.sleep(POLL_S)


def _ended(carried: Carried, identity: str, noted: object, why: str) -> Experiment:
    """As it noted itself; one that broke off is no reason to stop the plan."""
    if isinstance(noted, Experiment) and noted.state.ended:
        return noted
    return Experiment(
        id=identity,
        repository=carried.repository,
        repository_id=carried.repository_id,
        origin=noted.origin if isinstance(noted, Experiment) else carried.origin,
        state=State.ABANDONED,
        started_utc="",
        pull_number=noted.pull_number if isinstance(noted, Experiment) else None,
        reason=f"Nightlab could not go on: {why[:300]}",
    )
