"""What one identity may ask of a forge: turns to write, the pauses that the forge asks for, what is left of its budget.

All threads of this process share an identity's allowance. Another process has one of its own, so with several bots on
one installation each of them writes once a second.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from github.GithubException import RateLimitExceededException

SHORT_S = 10.0  # a pause that a thread sits out where it is; longer ones are the caller's to plan
FIRST_BACKOFF_S = 60.0  # where the forge does not say how long
LONGEST_S = 3600.0  # budgets are renewed every hour
JITTER = 0.1  # of a pause, so that not everybody is back in the same instant

log = logging.getLogger("nightlab.forge")


class LimitedError(RateLimitExceededException):
    """The forge asked for a pause of `wait_s` from now, too long to sit out."""

    def __init__(self, identity: str, wait_s: float) -> None:
        super().__init__(429, None, None, f"the forge limits {identity}")
        self.wait_s = wait_s

    def __str__(self) -> str:
        return f"{self.message}: it can be asked again in {self.wait_s:.0f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How it stands with an identity. `limit` and `remaining` are None until the forge has said."""

    identity: str
    requests: int  # made by this process
    unchanged: int  # of these, answered "not modified", which GitHub does not count
    limit: int | None
    remaining: int | None
    reset_utc_s: int | None
    pause_s: float  # that the forge asked for and that is not over
    writes_waiting: int  # for the one before them, in this process


class Allowance:
    """Raises LimitedError from `turn` and `heard`."""

    def __init__(
        self,
        identity: str,
        *,
        write_spacing_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.identity = identity
        self._spacing_s, self._clock, self._sleep = write_spacing_s, clock, sleep
        self._writer = threading.Lock()
        self._wrote_s = -write_spacing_s + clock()
        self._lock = threading.Lock()  # of what follows
        self._until_s = clock()
        self._in_vain = 0  # pauses in a row whose length was ours to choose
        self._requests = self._unchanged = self._waiting = 0
        self._limit: int | None = None
        self._remaining: int | None = None
        self._reset_utc_s: int | None = None

    @property
    def budget(self) -> Budget:
        with self._lock:
            return Budget(
                identity=self.identity,
                requests=self._requests,
                unchanged=self._unchanged,
                limit=self._limit,
                remaining=self._remaining,
                reset_utc_s=self._reset_utc_s,
                pause_s=max(self._until_s - self._clock(), 0.0),
                writes_waiting=self._waiting,
            )

    @contextmanager
    def turn(self, verb: str) -> Iterator[None]:
        """The right to make one request now: anybody may read, one at a time may write, with a second in between."""
        if verb in ("GET", "HEAD"):
            self._sit_out()
            yield
            return
        with self._my_turn():
            self._sit_out()
            self._sleep(max(self._wrote_s + self._spacing_s - self._clock(), 0.0))
            try:
                yield
            finally:
                self._wrote_s = self._clock()

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        with self._lock:
            self._waiting += 1
        with self._writer:
            with self._lock:
                self._waiting -= 1
            yield

    def heard(self, status: int, headers: Mapping[str, str], message: str) -> bool:
        """Take note of an answer; True when it was a short pause, which is over: ask again."""
        with self._lock:
            self._note(status, headers)
            wait_s = self._pause_of(status, headers, message)
            if wait_s is None:
                return False
            wait_s = min(wait_s, LONGEST_S)
            wait_s *= 1 + JITTER * random.random()  # noqa: S311 - spreads load, guards nothing
            self._until_s = max(self._until_s, self._clock() + wait_s)
        log.warning("the forge limits %s (%s: %s); pausing for %.0f s", self.identity, status, message[:100], wait_s)
        self._sit_out()
        return True

    def _sit_out(self) -> None:
        while (left_s := self._until_s - self._clock()) > 0:
            if left_s > SHORT_S:
                raise LimitedError(self.identity, left_s)
            self._sleep(left_s)

    def _note(self, status: int, headers: Mapping[str, str]) -> None:
        self._requests += 1
        self._unchanged += status == 304
        if status < 400:
            self._in_vain = 0
        if headers.get("x-ratelimit-resource", "core") == "core":
            self._limit = _number(headers, "x-ratelimit-limit", self._limit)
            self._remaining = _number(headers, "x-ratelimit-remaining", self._remaining)
            self._reset_utc_s = _number(headers, "x-ratelimit-reset", self._reset_utc_s)

    def _pause_of(self, status: int, headers: Mapping[str, str], message: str) -> float | None:
        """The pause that an answer asks for, by GitHub's order: `retry-after`, an empty budget's reset, our own."""
        if status not in (403, 429):
            return None
        after_s = _number(headers, "retry-after", None)
        if after_s is not None:
            return float(after_s)
        reset_s = _number(headers, "x-ratelimit-reset", None)
        if headers.get("x-ratelimit-remaining") == "0" and reset_s is not None:
            return max(reset_s - server_time_s(headers), 1.0)
        if status == 429 or "rate limit" in message.lower():
            self._in_vain += 1
            return FIRST_BACKOFF_S * 2.0 ** min(self._in_vain - 1, 10)
        return None


def server_time_s(headers: Mapping[str, str]) -> float:
    """The Unix time by the forge's own clock when it answered; by ours where it does not say."""
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError):
        return time.time()


def _number(headers: Mapping[str, str], name: str, otherwise: int | None) -> int | None:
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() else otherwise
