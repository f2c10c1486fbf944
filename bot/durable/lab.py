"""What the workflows of this process work with: the forge's access, our name, how patient to be.

Workflows are module-level functions that the engine may call at any start, so what they need is set here once, before
the engine is launched.
"""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import ParamSpec, TypeVar

from dbos import DBOS
from github.GithubException import GithubException
from requests.exceptions import ChunkedEncodingError, Timeout
from requests.exceptions import ConnectionError as NoConnection

from bot.durable.engine import SERIALIZER
from bot.edge.claude import Claude
from bot.edge.github.access import Access
from bot.edge.github.allowance import LimitedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    access: Access
    mention: str  # the name people address in comments, without "@"
    local: bool  # the forge is on this machine: a demo, a test
    claude: Claude | None = None  # the way to the language model, where one is configured
    progress_s: float = 20.0  # how often a pull request's check is brought up to date during a measurement
    upkeep_s: float = 0.0  # between two A/A runs of a slot; 0: none
    started_s: float = 0.0  # when this process did, as time.time() has it


DELAYS_S = tuple(1.6**n for n in range(10))  # between attempts within a step: about three minutes
AWAY_S = 600.0  # between steps, when that was not enough
PAUSES = 72

_lab: Lab | None = None
log = logging.getLogger("nightlab")


def open_lab(lab: Lab) -> None:
    """Set once per process, before the engine starts."""
    global _lab
    _lab = lab


def lab() -> Lab:
    if _lab is None:
        raise RuntimeError("open_lab must be called before the engine is started")
    return _lab


def passing(error: BaseException) -> bool:
    """Whether trying the same call again later may help: the forge is down or overloaded."""
    if isinstance(error, GithubException):
        return error.status >= 500
    return isinstance(error, NoConnection | Timeout | ChunkedEncodingError | TimeoutError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """What a step gives back when the forge cannot be asked now: the workflow sleeps, and takes the step again."""

    wait_s: float


SERIALIZER.register(Pause)
P = ParamSpec("P")
R = TypeVar("R")


def patient_step(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A step that talks to the forge: minutes of patience inside the step, then hours of durable sleep between
    attempts; after half a day the experiment ends and says why.

    A limit of the forge is always slept out, so it holds up neither a step nor a row of the database.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        def attempt(*args: P.args, **kwargs: P.kwargs) -> R | Pause:
            return _patiently(name, lambda: function(*args, **kwargs))

        step = DBOS.step(name=name)(wraps(function)(attempt))

        @wraps(function)
        def patient(*args: P.args, **kwargs: P.kwargs) -> R:
            if DBOS.step_id is not None:  # part of another step, whose patience counts
                return function(*args, **kwargs)
            for _ in range(PAUSES):
                result = step(*args, **kwargs)
                if not isinstance(result, Pause):
                    return result
                DBOS.sleep(result.wait_s)
            raise TimeoutError(f"the forge could not be asked for {PAUSES} pauses on end ({name})")

        return patient

    return decorate


def _patiently(name: str, call: Callable[[], R]) -> R | Pause:
    for delay_s in DELAYS_S:
        try:
            return call()
        except LimitedError as limit:
            return Pause(wait_s=limit.wait_s)
        except Exception as error:
            if not passing(error):
                raise
            log.info("%s is tried again: %s", name, error)
            time.sleep(delay_s * random.uniform(0.8, 1.2))  # noqa: S311 - not all at once
    log.warning("the forge is away; %s waits for %.0f min", name, AWAY_S / 60)
    return Pause(wait_s=AWAY_S)


def now_utc() -> str:
    """ISO 8601, seconds, Z. Only steps may ask: a workflow must replay to the same values."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@DBOS.step(name="clock")
def clock() -> str:
    return now_utc()
