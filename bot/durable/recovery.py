"""What processes that are gone have left, given to others. On PostgreSQL only; SQLite has one process.

DBOS recovers a process's work when one of the same name starts. Here the bots look whose lease is free although work is
noted as theirs, and when it stayed free for a while, put that work back on its queues. DBOS counts each new beginning,
so work that kills whoever does it ends after a few. A step that the lost process may still be doing, because it is only
frozen, cannot be recorded any more: its owner is another.
"""

import logging
import threading
import time

from dbos import DBOS

from bot.edge.lease import Lease

log = logging.getLogger("nightlab")
LOOKS = 5  # in the time of grace


class Recovery(threading.Thread):
    """Looks until stopped. Every bot has one; the leases decide between them."""

    def __init__(self, lease: Lease, *, grace_s: float) -> None:
        super().__init__(name="recovery", daemon=True)
        self._lease, self._grace_s = lease, grace_s
        self._free_since_s: dict[str, float] = {}
        self._stopping = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._stopping.wait(self._grace_s / LOOKS):
            try:
                self._look(time.monotonic())
            except Exception:  # the database may be away; if it stays away, the lease is lost and we end
                if not self._stopping.is_set():
                    log.exception("could not look for work that others have left")

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def _look(self, now_s: float) -> None:
        free = {name for name in busy() if name != self._lease.name and not self._lease.held(name)}
        self._free_since_s = {name: self._free_since_s.get(name, now_s) for name in free}
        for name, since_s in self._free_since_s.items():
            if now_s - since_s >= self._grace_s:
                with self._lease.instead_of(name) as is_gone:
                    if is_gone:
                        log.warning("%s is gone: its work goes on elsewhere", name)
                        DBOS._recover_pending_workflows([name])


def busy() -> set[str]:
    """The processes that have work under way, as far as the database knows."""
    pending = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
    return {status.executor_id for status in pending if status.executor_id}
