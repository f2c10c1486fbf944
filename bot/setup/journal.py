"""The log of a process: lines for people in a terminal, JSON lines elsewhere, and never a secret in either.

Every line of a workflow carries its id, and whatever `about` says for the thread: the repository, the delivery.
"""

import json
import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

from dbos import DBOS

from bot.core.words.redaction import Redactor
from bot.setup.settings import SECRETS, Settings

_about: ContextVar[dict[str, str]] = ContextVar("about", default={})  # noqa: B039 - never changed in place


@contextmanager
def about(**facts: str) -> Iterator[None]:
    """What lines of this thread are about, from here to the end of the block."""
    token = _about.set(_about.get() | {name: value for name, value in facts.items() if value})
    try:
        yield
    finally:
        _about.reset(token)


def open_journal(settings: Settings, *, stream: TextIO | None = None) -> None:
    """Log to `stream` (standard error) as the settings say. What ends a thread is logged, too: its traceback may hold
    what was being sent."""
    stream = stream or sys.stderr
    as_json = settings.log == "json" or (settings.log == "auto" and not stream.isatty())
    redactor = Redactor(str(getattr(settings, name)) for name in SECRETS)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(redactor) if as_json else PlainLines(redactor))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("nightlab").setLevel(logging.INFO)
    for name in ("dbos", "waitress", "werkzeug", "urllib3"):
        theirs = logging.getLogger(name)
        theirs.handlers[:] = [handler]  # with none, some bring one of their own, which redacts nothing
        theirs.propagate = False
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    sys.excepthook = _uncaught


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):
        logging.getLogger("nightlab").critical("nobody expected this", exc_info=(kind, error, trace))


def _facts(record: logging.LogRecord) -> dict[str, str]:
    facts = dict(_about.get())
    if DBOS.workflow_id:
        facts["workflow"] = DBOS.workflow_id
    return facts | getattr(record, "facts", {})


class JsonLines(logging.Formatter):
    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_facts(record),
        }
        if record.exc_info:
            line["error"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps({name: self._redactor(str(value)) for name, value in line.items()}, ensure_ascii=False)


class PlainLines(logging.Formatter):
    def __init__(self, redactor: Redactor) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        facts = " ".join(f"{name}={value}" for name, value in _facts(record).items())
        first, *rest = super().format(record).split("\n")
        return self._redactor("\n".join([f"{first}  [{facts}]" if facts else first, *rest]))
