"""Failures on demand, so that tests can see what a client does when the forge misbehaves."""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Fault:
    """What goes wrong with the next `times` requests that match.

    With a `status`, the answer is that error: instead of the effect, or with `after`, although the effect took place.
    `action` is called at that instant (before or after the effect), so that a test can change the world in between.
    """

    method: str = ".*"  # a regular expression that must match the whole method
    path_regex: str = ""  # a regular expression searched for in the request's path
    status: int | None = None
    message: str = "Server Error"
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    after: bool = False
    delay_s: float = 0.0
    action: Callable[[], None] | None = None
    hits: int = 0


@dataclass(slots=True, kw_only=True)
class DeliveryFault:
    """What goes wrong with the next `times` webhooks of `event`: lost, sent twice, or late."""

    event: str
    lose: bool = False
    duplicate: bool = False
    delay_s: float = 0.0
    times: int = 1


class Faults:
    """The faults waiting to happen. Safe to use from the test's thread while the hub serves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[Fault] = []
        self._deliveries: list[DeliveryFault] = []

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._requests.append(fault)
        return fault

    def add_primary_rate_limit(self, *, path_regex: str = "", times: int = 1, reset_in_s: int = 1) -> Fault:
        """403 with no requests remaining until `reset_in_s` from now."""
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + reset_in_s)}
        message = "API rate limit exceeded for user."
        return self.add(Fault(path_regex=path_regex, status=403, message=message, headers=headers, times=times))

    def add_secondary_rate_limit(
        self, *, path_regex: str = "", times: int = 1, retry_after_s: int = 1, status: int = 403
    ) -> Fault:
        """403 or 429 that asks to wait `retry_after_s`."""
        headers = {"Retry-After": str(retry_after_s)}
        message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        return self.add(Fault(path_regex=path_regex, status=status, message=message, headers=headers, times=times))

    def add_to_deliveries(self, fault: DeliveryFault) -> None:
        with self._lock:
            self._deliveries.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._requests.clear()
            self._deliveries.clear()

    def take(self, *, method: str, path: str, after: bool) -> Fault | None:
        """The first waiting fault for this request and instant, used up by one; its delay and action are over."""
        with self._lock:
            for fault in self._requests:
                if (
                    fault.after == after
                    and fault.hits < fault.times
                    and re.fullmatch(fault.method, method)
                    and re.search(fault.path_regex, path)
                ):
                    fault.hits += 1
                    break
            else:
                return None
        if fault.delay_s:
            time.sleep(fault.delay_s)
        if fault.action is not None:
            fault.action()
        return fault

    def take_delivery(self, event: str) -> DeliveryFault | None:
        with self._lock:
            for fault in self._deliveries:
                if fault.event == event and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None
