"""An experiment as people see it: its comment, check and label, its replies, its ledger row."""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from bot.core.contract import Contract
from bot.core.intake.message import Override, Rerun, Revise
from bot.core.model import Experiment, State
from bot.core.record import row
from bot.core.text import marker
from bot.core.words import label, reply, report
from bot.core.words.figures import LiveRun, Terms, terms
from bot.durable.lab import lab, now_utc, patient_step
from bot.edge.github import ledger
from bot.edge.github.allowance import LimitedError
from bot.edge.github.forge import Forge
from bot.loop import meters

log = logging.getLogger("nightlab")
MARK_TIMEOUT_S = 30.0


@patient_step("show")
def show(x: Experiment, contract: Contract, live: Sequence[LiveRun] = (), eta_s: float | None = None) -> Experiment:
    """Bring the comment, the check and the label up to date, and say on the issue when people are waited for."""
    forge, said = _forge(x), terms(contract)
    forge.comment(number(x), marker=marker(x.id), body=report.comment(x, terms=said, live=live, eta_s=eta_s))
    _check(forge, x, said, live, eta_s)
    if x.state is State.PROVEN and not x.theirs:
        forge.make_ready(number(x))  # from here on people are asked
    shown = label.label(x.state)
    forge.label(number(x), prefix=label.PREFIX, name=shown.name, color=shown.color)
    if x.state is State.PROVEN and x.origin.issue_number is not None:
        forge.comment(x.origin.issue_number, marker=marker(x.id), body=reply.how_it_ended(x))
    return x


def show_progress(
    x: Experiment, contract: Contract, live: Sequence[LiveRun], eta_s: float | None, *, everywhere: bool
) -> bool:
    """Bring the check up to date in mid-measurement, with `everywhere` the comment too; False when a person closed the
    pull request meanwhile."""
    try:
        forge = _forge(x)
        if everywhere:
            show(x, contract, live, eta_s)
        else:
            _check(forge, x, terms(contract), live, eta_s)
        return forge.pull(number(x)).open
    except LimitedError:  # a look that can wait: the runs go on
        return True


def _check(forge: Forge, x: Experiment, said: Terms, live: Sequence[LiveRun] = (), eta_s: float | None = None) -> None:
    title, summary, text = report.check(x, terms=said, live=live, eta_s=eta_s)
    forge.check(
        head_sha=x.head_sha,
        external_id=x.id,
        conclusion=label.conclusion(x.state),
        title=title,
        summary=summary,
        text=text,
    )


def retire_check(forge: Forge, x: Experiment, new_head_sha: str) -> None:
    """The old head's check must not stay in progress for ever."""
    forge.check(
        head_sha=x.head_sha,
        external_id=x.id,
        conclusion="neutral",
        title="Measured again on a newer commit",
        summary=f"The branch is now at {new_head_sha}.",
        text="",
    )


@patient_step("answer_in_thread")
def answer(x: Experiment, said: Revise | Rerun | Override, text: str) -> None:
    """Reply on the pull request to something that was said; once, however often this runs."""
    mark = marker(f"reply-{said.key}")
    _forge(x).comment(number(x), marker=mark, body=f"{mark}\n\n{text}")


@patient_step("finish")
def finish(x: Experiment, contract: Contract | None) -> Experiment:
    """Say how it ended wherever someone may look, and leave the forge tidy."""
    x = replace(x, ended_utc=now_utc())
    forge = _forge(x)
    if x.pull_number is not None and contract is not None:
        show(x, contract)
        if not x.theirs:
            if x.state is State.MERGED:
                _wait_for_the_mark(forge, x.pull_number)
            forge.close(x.pull_number)
            forge.delete_branch(x.branch, at_sha=x.head_sha)
    elif x.theirs and x.pull_number is not None:
        forge.comment(x.pull_number, marker=marker(x.id), body=reply.how_it_ended(x))
    if x.origin.issue_number is not None and not x.origin.plan:  # a plan has a comment of its own
        forge.comment(x.origin.issue_number, marker=marker(x.id), body=reply.how_it_ended(x))
    meters.ended(x)
    told = {"experiment": x.id, "repository": x.repository, "state": x.state.value}
    log.info("%s: %s", x.state.value, x.reason, extra={"facts": told})
    return x


def _wait_for_the_mark(forge: Forge, pull_number: int) -> None:
    """The forge marks a pull request merged a moment after main has moved; closed before, it would never say so."""
    deadline_s = time.monotonic() + MARK_TIMEOUT_S
    while time.monotonic() < deadline_s:
        pull = forge.pull(pull_number)
        if pull.merged or not pull.open:
            return
        time.sleep(1.0)


@patient_step("record")
def record(x: Experiment, contract: Contract) -> None:
    """Write the ledger row."""
    ledger.append(_forge(x), row(x, metric=contract.metric))


def _forge(x: Experiment) -> Forge:
    return lab().access.forge(x.repository)


def number(x: Experiment) -> int:
    """Of its pull request. Raises ValueError before there is one."""
    if x.pull_number is None:
        raise ValueError(f"{x.id} has no pull request yet")
    return x.pull_number
