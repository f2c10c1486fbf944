"""What the workflows of this process work with: the forge's access, where to keep things, how patient to be.

Workflows are module-level functions that the engine may call at any start, so what they need is set here once, before
the engine is launched.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import ParamSpec, TypeVar

from dbos import DBOS
from github.GithubException import GithubException
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import Timeout

from bot.edge.access import Access
from bot.edge.claude import Claude


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    access: Access
    cache: Path  # prepared data and bare clones, for the runners of this machine
    mention: str  # the name people address in comments, without "@"
    local: bool  # the forge is on this machine: a demo, a test
    claude: Claude | None = None  # the way to the language model, where one is configured
    progress_s: float = 20.0  # how often a pull request's check is brought up to date during a measurement


_lab: Lab | None = None


def open_lab(lab: Lab) -> None:
    """Set once per process, before the engine starts."""
    global _lab
    _lab = lab


def lab() -> Lab:
    if _lab is None:
        raise RuntimeError("open_lab must be called before the engine is started")
    return _lab


def passing(error: BaseException) -> bool:
    """Whether trying the same call again later may help: the forge is down, overloaded or limits us."""
    if isinstance(error, GithubException):
        return (
            error.status >= 500 or error.status == 429 or (error.status == 403 and "rate limit" in str(error).lower())
        )
    return isinstance(error, NoConnection | Timeout)


P = ParamSpec("P")
R = TypeVar("R")


def patient_step(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A step that talks to the forge: about four minutes of patience, then the experiment ends and says so."""
    return DBOS.step(
        name=name, retries_allowed=True, interval_seconds=1.0, backoff_rate=1.6, max_attempts=11, should_retry=passing
    )


def now_utc() -> str:
    """ISO 8601, seconds, Z. Only steps may ask: a workflow must replay to the same values."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@DBOS.step(name="clock")
def clock() -> str:
    return now_utc()
