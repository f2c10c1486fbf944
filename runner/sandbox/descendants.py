"""All processes below this one: finding them wherever they went, measuring them, and ending them.

On systems without /proc and prctl(2), which is everything but Linux, only a process group can be ended, descendants
that leave it are not found, and their memory is not seen.
"""

import ctypes
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

TIDY_S = 5.0
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
_spared: set[int] = set()
starting = threading.Lock()  # to hold while starting a process; the thread that ends this one takes it for good


def die_with_parent() -> None:
    """For the child between fork and exec: SIGKILL when the runner is gone (Linux)."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Makes descendants whose parent ends children of this process, wherever they went (Linux)."""
    if _prctl is not None:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def exit_when_closed(stdin: int) -> None:
    """Kills everything below this process and ends it as soon as `stdin` is closed: whoever asked is gone.

    It is ended by SIGTERM, so that it can tidy up, and by force when it does not.
    """

    def watch() -> None:
        while os.read(stdin, 4096):
            pass
        starting.acquire()
        sweep(None)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(TIDY_S)
        os._exit(1)

    threading.Thread(target=watch, name="stdin", daemon=True).start()


def spare(pid: int) -> None:
    """Leaves this child alone when everything below this process is ended or counted."""
    _spared.add(pid)


@contextmanager
def sparing(pid: int) -> Iterator[None]:
    """The same for as long as it lives: its number may become another process's afterwards."""
    spare(pid)
    try:
        yield
    finally:
        _spared.discard(pid)


def sweep(group: int | None) -> None:
    """SIGKILLs process group `group` and every descendant of this process, and reaps them."""
    if group is not None:
        _signal(-group, signal.SIGKILL)
    deadline_s = time.monotonic() + 10
    while pids := descendants(os.getpid()):
        for pid in pids:
            _signal(pid, signal.SIGSTOP)  # first, so that a fork bomb cannot outrun the second loop
        for pid in pids:
            _signal(pid, signal.SIGKILL)
        _reap()
        if time.monotonic() > deadline_s:
            raise OSError(f"processes {pids[:5]} do not die")
        time.sleep(0.002)
    _reap()


def descendants(root: int) -> list[int]:
    """Process ids below `root`, without those already dead or spared."""
    children: dict[int, list[int]] = {}
    for entry in _numbered("/proc"):
        try:
            with open(f"/proc/{entry}/stat", "rb") as stat:
                state, parent = stat.read().rpartition(b")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in (b"Z", b"X") and entry not in _spared:
            children.setdefault(int(parent), []).append(entry)
    found, queue = [], [root]
    while queue:
        below = children.pop(queue.pop(), [])
        found += below
        queue += below
    return found


def own_tasks() -> int:
    """Processes and threads of this user, which is what RLIMIT_NPROC counts."""
    count = 0
    for entry in _numbered("/proc"):
        try:
            if os.stat(f"/proc/{entry}").st_uid == os.getuid():
                count += len(os.listdir(f"/proc/{entry}/task"))
        except OSError:
            continue  # it ended in between
    return count


def _numbered(folder: str) -> list[int]:
    try:
        return [int(name) for name in os.listdir(folder) if name.isdigit()]
    except FileNotFoundError:
        return []  # no /proc on this system


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        if pid < 0:
            os.killpg(-pid, number)
        else:
            os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # it ended in between


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def memory_mib(pids: Sequence[int], limit_mib: int) -> float:
    """What `pids` hold together. Shared pages count once per process, unless that would pass the limit."""
    resident_mib = sum(_resident_mib(pid) for pid in pids)
    return resident_mib if resident_mib <= limit_mib else sum(_proportional_mib(pid) for pid in pids)


def _resident_mib(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/statm", "rb") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize() / 2**20
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def _proportional_mib(pid: int) -> float:
    """Resident memory with shared pages divided among those who share them: exact, and much slower to read."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as rollup:
            return next(int(line.split()[1]) for line in rollup if line.startswith(b"Pss:")) / 1024
    except (OSError, StopIteration):
        return 0.0


def children_cpu_s() -> float:
    """User and system seconds of all that was reaped."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
