"""Turns, pauses and budgets, by a clock that the tests turn."""

import threading
import time

import pytest

from bot.edge.github.allowance import FIRST_BACKOFF_S, JITTER, LONGEST_S, Allowance, LimitedError

SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
PRIMARY = {"x-ratelimit-limit": "5000", "x-ratelimit-remaining": "0", "date": "Tue, 24 Nov 2026 12:00:00 GMT"}
NOON_UTC_S = 1_795_521_600


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def allowance(clock: Clock) -> Allowance:
    return Allowance("installation 1", write_spacing_s=1.0, clock=clock, sleep=clock.sleep)


def write(allowance: Allowance, clock: Clock, *, takes_s: float = 0.0) -> float:
    """When the write began."""
    with allowance.turn("POST"):
        began_s = clock.now_s
        clock.sleep(takes_s)
    return began_s


def pause(allowance: Allowance, status: int, headers: dict[str, str], message: str = "") -> float:
    with pytest.raises(LimitedError) as limited:
        allowance.heard(status, headers, message)
    return limited.value.wait_s


def test_a_second_lies_between_the_end_of_a_write_and_the_next(allowance: Allowance, clock: Clock) -> None:
    first = write(allowance, clock, takes_s=0.4)
    assert write(allowance, clock) == first + 1.4


def test_reads_wait_for_no_write(allowance: Allowance, clock: Clock) -> None:
    began = write(allowance, clock)
    with allowance.turn("GET"):
        assert clock.now_s == began


def test_only_one_thread_writes_at_a_time() -> None:
    allowance = Allowance("installation 1", write_spacing_s=0.0)
    inside, most = 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with allowance.turn("PATCH"):
                with lock:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0.0005)
                with lock:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_retry_after_comes_first(allowance: Allowance) -> None:
    headers = PRIMARY | {"retry-after": "120", "x-ratelimit-reset": str(NOON_UTC_S + 3000)}
    assert 120 <= pause(allowance, 403, headers, SECONDARY) <= 120 * (1 + JITTER)


def test_an_empty_budget_is_waited_for_by_the_forges_clock(allowance: Allowance) -> None:
    """Whatever this machine's clock says."""
    headers = PRIMARY | {"x-ratelimit-reset": str(NOON_UTC_S + 1800)}
    assert 1800 <= pause(allowance, 403, headers, "API rate limit exceeded for installation.") <= 1800 * (1 + JITTER)


def test_without_a_word_of_how_long_pauses_double_and_are_capped(allowance: Allowance, clock: Clock) -> None:
    found = []
    for _ in range(9):
        wait_s = pause(allowance, 403, {}, SECONDARY)
        found.append(wait_s)
        clock.sleep(wait_s)
    for count, wait_s in enumerate(found):
        expected = min(FIRST_BACKOFF_S * 2**count, LONGEST_S)
        assert expected <= wait_s <= expected * (1 + JITTER)
    allowance.heard(200, {}, "")
    assert pause(allowance, 429, {}, "") <= FIRST_BACKOFF_S * (1 + JITTER)


def test_nobody_asks_while_the_forge_wants_a_pause(allowance: Allowance, clock: Clock) -> None:
    pause(allowance, 429, {"retry-after": "60"})
    for verb in ("GET", "POST"):
        with pytest.raises(LimitedError), allowance.turn(verb):
            pytest.fail("it must not come to a request")
    clock.sleep(60 * (1 + JITTER))
    with allowance.turn("GET"):
        pass


def test_a_short_pause_is_sat_out(allowance: Allowance, clock: Clock) -> None:
    began = clock.now_s
    assert allowance.heard(429, {"retry-after": "2"}, "")
    assert began + 2 <= clock.now_s <= began + 2 * (1 + JITTER)


@pytest.mark.parametrize(
    ("status", "message"), [(403, "Resource not accessible by integration"), (404, "Not Found"), (500, "rate limit")]
)
def test_other_refusals_are_no_limits(allowance: Allowance, status: int, message: str) -> None:
    assert not allowance.heard(status, {"x-ratelimit-remaining": "4000"}, message)


def test_the_budget_is_what_the_forge_said_last(allowance: Allowance, clock: Clock) -> None:
    allowance.heard(200, {"x-ratelimit-limit": "5000", "x-ratelimit-remaining": "4321"}, "")
    allowance.heard(304, {"x-ratelimit-reset": "7"}, "")
    allowance.heard(200, {"x-ratelimit-remaining": "1", "x-ratelimit-resource": "search"}, "")
    pause(allowance, 429, {"retry-after": "60"})
    budget = allowance.budget
    assert (budget.limit, budget.remaining, budget.reset_utc_s) == (5000, 4321, 7)
    assert (budget.requests, budget.unchanged) == (4, 1)
    assert budget.pause_s > 59
