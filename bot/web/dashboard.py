"""The dashboard: what is under way and what came of the rest, read from the engine's own rows."""

import base64
import logging
import os
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from dbos import DBOS
from flask import render_template

from bot.core.metric import number
from bot.core.model import Experiment
from bot.core.order import Campaign
from bot.core.proposal import yields
from bot.core.text import duration
from bot.core.words import board
from bot.durable.notes import experiments
from bot.durable.rows import RUNNING, WAITING, Unfinished, newest, noted, unfinished
from bot.loop.auditing import latest
from bot.loop.upkeep import troubles, unserved
from runner.protocol import Progress, Request

MOST_SHOWN = 200
MOST_CAMPAIGNS = 5
log = logging.getLogger("nightlab")


def health() -> dict[str, object]:
    """Whether the engine answers, and how much waits in it."""
    try:
        found, drifting = unfinished("run", "experiment"), troubles()
    except Exception as error:  # whatever the database's driver raises
        log.warning("not ready: %s", error)
        return {"ok": False, "pid": os.getpid()}
    counts = Counter(one.kind for one in found)
    return {
        "ok": True,
        "pid": os.getpid(),
        "experiments_under_way": counts["experiment"],
        "runs_waiting_or_running": counts["run"],
        "drifting": drifting,
    }


def page(*, forge_url: str) -> str:
    """`forge_url` is where people find the forge."""
    shown, runs, now = experiments(MOST_SHOWN), unfinished("run"), datetime.now(UTC)
    return render_template(
        "dashboard.html",
        forge=forge_url,
        now=board.under_way(shown, _live(runs), now=now),
        ended=board.ended(shown, now=now),
        day=board.last_day(shown, now=now),
        charts=[(name, sentence, _image(svg)) for name, sentence, svg in board.charts(shown)],
        queue=_queue(runs),
        campaigns=_campaigns(),
        drifting=troubles(),
        unserved=list(unserved().values()),
        found=_found(shown),
        audits=latest(),
        number=number,
    )


def _live(runs: Sequence[Unfinished]) -> list[board.Live]:
    found = []
    ids = [one.id for one in runs if one.status == RUNNING]
    for status in DBOS.list_workflows(workflow_ids=ids, load_output=False) if ids else []:
        request = status.input["args"][0] if status.input else None
        progress = DBOS.get_event(status.workflow_id, "progress", timeout_seconds=0)
        if isinstance(request, Request):
            found.append(board.Live(request=request, progress=progress if isinstance(progress, Progress) else None))
    return found


def _queue(runs: Sequence[Unfinished]) -> dict[str, object]:
    waiting = [one for one in runs if one.status == WAITING]
    return {"waiting": len(waiting), "oldest": duration(time.time() - waiting[0].since_s) if waiting else ""}


def _campaigns() -> list[Campaign]:
    """The newest; `results` and `reason` as last noted."""
    found = noted("campaign", newest("campaign", most=MOST_CAMPAIGNS))
    return [one for one in found if isinstance(one, Campaign)]


def _image(svg: str) -> str:
    """As an address, so that the styles of page and chart do not meet."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def _found(shown: Sequence[Experiment]) -> dict[str, list[list[str]]]:
    """For every repository, a table of what its proposers found in the experiments shown."""
    tables = {}
    for repository in sorted({x.repository for x in shown}):
        here = [x for x in shown if x.repository == repository]
        unit = next((x.metric.suffix for x in here if x.metric), "")
        if mine := yields.yields(here):
            tables[repository] = yields.table(mine, unit=unit)
    return tables
