"""The log: each line with what it is about, as JSON or for people, and no secret however it got there."""

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator

import pytest
from dbos._logger import init_logger

from bot.setup.journal import about, open_journal
from bot.setup.settings import Settings

SECRET = "s3cr3t-of-a-bot"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAx1y2z3\n-----END RSA PRIVATE KEY-----"
log = logging.getLogger("nightlab.test")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("", "nightlab", "dbos", "waitress", "werkzeug", "urllib3")]
    before = [(one, one.handlers[:], one.level, one.propagate) for one in loggers]
    hooks = sys.excepthook, threading.excepthook
    yield
    for one, handlers, level, propagate in before:
        one.handlers[:], one.propagate = handlers, propagate
        one.setLevel(level)
    sys.excepthook, threading.excepthook = hooks


def journal(kind: str) -> io.StringIO:
    stream = io.StringIO()
    open_journal(Settings(token=SECRET, private_key=KEY, webhook_secret="w3bh00k-secret", log=kind), stream=stream)
    return stream


def speak() -> None:
    """Every way in which a secret has been seen to get into a log."""
    log.info("our token is %s", SECRET)
    log.warning("headers: %r", {"Authorization": "token 0123456789abcdef"})
    log.info("about", extra={"facts": {"experiment": SECRET}})
    with about(repository=f"https://x:{SECRET}@github.com/a/b"):
        log.info("cloning")
    try:
        raise ValueError(f"cannot sign with {KEY}")
    except ValueError:
        log.exception("signing failed")
    logging.getLogger("urllib3").warning("retrying with w3bh00k-secret")
    init_logger()  # as the engine does at its start
    logging.getLogger("dbos").error("a step failed: %s", SECRET)
    thread = threading.Thread(target=lambda: 1 / len(SECRET.replace(SECRET, "")))
    thread.start()
    thread.join()


@pytest.mark.parametrize("kind", ["json", "text"])
def test_no_secret_gets_through(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    stream = journal(kind)
    speak()
    said = stream.getvalue() + "".join(capfd.readouterr())
    for secret in (SECRET, "MIIEowIBAAKCAQEAx1y2z3", "w3bh00k-secret", "0123456789abcdef"):
        assert secret not in said
    assert "signing failed" in said
    assert "a step failed" in stream.getvalue()
    assert "ZeroDivisionError" in said  # what ends a thread is told


def test_lines_for_programs() -> None:
    stream = journal("json")
    with about(delivery="d-1", event="push"), about(repository="ada/model"):
        log.info("webhook: queued")
    log.info("outside")
    inside, outside = (json.loads(line) for line in stream.getvalue().splitlines())
    assert inside["message"] == "webhook: queued"
    assert (inside["delivery"], inside["event"], inside["repository"]) == ("d-1", "push", "ada/model")
    assert inside["level"] == "info"
    assert "delivery" not in outside


def test_a_terminal_gets_lines_for_people() -> None:
    stream = journal("text")
    with about(repository="ada/model"):
        log.info("webhook: queued")
    assert stream.getvalue().endswith("INFO webhook: queued  [repository=ada/model]\n")


def test_newlines_in_what_was_said_make_no_line_of_their_own() -> None:
    stream = journal("json")
    log.info('first\n{"level": "critical"}')
    assert len(stream.getvalue().splitlines()) == 1
