"""The dashboard: what is under way and what came of the rest, read from the engine's own rows."""

import os

from dbos import DBOS
from flask import render_template

from bot.core.outcome import number
from bot.notes import experiments

MOST_SHOWN = 200
BUSY = ("PENDING", "ENQUEUED", "DELAYED")


def health() -> dict[str, object]:
    """Whether the engine answers, and how much waits in it."""
    waiting = len(DBOS.list_workflows(name="run", status=list(BUSY), load_input=False, load_output=False))
    under_way = len(DBOS.list_workflows(name="experiment", status=list(BUSY), load_input=False, load_output=False))
    return {"ok": True, "pid": os.getpid(), "experiments_under_way": under_way, "runs_waiting_or_running": waiting}


def page() -> str:
    return render_template("dashboard.html", experiments=experiments(MOST_SHOWN), number=number)
