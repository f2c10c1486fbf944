"""Where candidate code runs: one small interface, and its weakest implementation.

`subprocess` bounds what a candidate uses (time, memory, processes, files, output) and kills every descendant, also one
that left its session. It does *not* separate: the candidate runs as the runner's user and could read any file or reach
the network. It serves trusted code such as the shipped task on one's own machine, and nothing that may merge by itself
on a real forge. On systems without /proc, memory is not watched and only the process group is killed.
"""

import ctypes
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

TAIL_BYTES = 32_768
LINE_BYTES = 4_096
MAX_PROCESSES = 256
MAX_FILES = 10_000
TICK_S = 0.1
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
_starting = threading.Lock()  # held for good by the thread that ends this process, so that nothing starts behind it


class Cause(StrEnum):
    """Why a process is over."""

    EXITED = "exited"
    KILLED = "killed"  # by us, on purpose
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    OUTPUT_FULL = "output_full"
    TOO_MANY_PROCESSES = "too_many_processes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on one process and all its descendants together. `writable` folders share `output_mib`."""

    wall_s: float
    memory_mib: int
    output_mib: int
    writable: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How it ended and what it used, descendants included. `code` is negative for a signal, as in subprocess."""

    cause: Cause
    code: int
    wall_s: float
    cpu_s: float
    peak_memory_mib: float


class Process(Protocol):
    """A started process. It is only supervised while the caller keeps calling `poll`."""

    def poll(self, *, timeout_s: float = 0.0, on_line: Callable[[str], None] | None = None) -> Exit | None:
        """Waits up to `timeout_s`, passes on lines of output, enforces the limits. Not None: all of it is gone."""
        ...

    def kill(self) -> Exit:
        """Ends the process and all its descendants. May be called again."""
        ...

    @property
    def tail(self) -> str:
        """The end of what it printed, untrusted."""
        ...


class Sandbox(Protocol):
    """Starts processes. `readable` and `limits.writable` are all of the file system a real sandbox would show."""

    def start(
        self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], readable: tuple[Path, ...], limits: Limits
    ) -> Process: ...


class UnknownSandboxError(ValueError):
    """No such sandbox in this version."""


def sandbox(name: str) -> Sandbox:
    """The implementation called `name`. Raises UnknownSandboxError."""
    if name != "subprocess":
        raise UnknownSandboxError(f"this runner has no {name!r} sandbox; it has: 'subprocess'")
    return SubprocessSandbox()


class SubprocessSandbox:
    """See the module's docstring for what it does not protect from."""

    def start(
        self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], readable: tuple[Path, ...], limits: Limits
    ) -> Process:
        del readable  # a plain process sees everything
        adopt_orphans()
        with _starting:
            return _SubprocessProcess(argv, cwd=cwd, env=env, limits=limits)


class _SubprocessProcess:
    def __init__(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], limits: Limits) -> None:
        def bound() -> None:
            die_with_parent()
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (limits.output_mib << 20,) * 2)

        self._limits = limits
        self._exit: Exit | None = None
        self._tail = b""
        self._line = b""
        self._peak_mib = 0.0
        self._next_check_s = 0.0
        self._cpu_before_s = _children_cpu_s()
        self._started_s = time.monotonic()
        self._popen = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=bound,
        )
        assert self._popen.stdout is not None  # noqa: S101 - for the type checker
        self._pipe = self._popen.stdout.fileno()
        os.set_blocking(self._pipe, False)

    @property
    def tail(self) -> str:
        return self._tail.decode(errors="replace")

    def poll(self, *, timeout_s: float = 0.0, on_line: Callable[[str], None] | None = None) -> Exit | None:
        if self._exit is not None:
            return self._exit
        until_s = time.monotonic() + timeout_s
        while True:
            left_s = max(0.0, min(TICK_S, until_s - time.monotonic()))
            open_ = self._drain(left_s, on_line)
            if not open_ and left_s:
                time.sleep(min(left_s, 0.01))
            done, status, usage = os.wait4(self._popen.pid, os.WNOHANG)
            if done:
                self._popen.returncode = os.waitstatus_to_exitcode(status)
                self._peak_mib = max(self._peak_mib, usage.ru_maxrss / 1024)
                return self._finish(Cause.EXITED, on_line)
            cause = self._check()
            if cause is not None:
                return self._finish(cause, on_line)
            if time.monotonic() >= until_s:
                return None

    def kill(self) -> Exit:
        return self._exit or self._finish(Cause.KILLED, None)

    def _drain(self, wait_s: float, on_line: Callable[[str], None] | None) -> bool:
        """Reads what is there, at most 4 MiB, so that no amount of output delays the limits. False: closed."""
        if not select.select([self._pipe], [], [], wait_s)[0]:
            return True
        for _ in range(64):
            try:
                data = os.read(self._pipe, 65_536)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._tail = (self._tail + data)[-TAIL_BYTES:]
            *lines, rest = (self._line + data).split(b"\n")
            self._line = rest[-LINE_BYTES:]
            if on_line is not None:
                for line in lines[-200:]:
                    on_line(line[-LINE_BYTES:].decode(errors="replace"))
        return True

    def _check(self) -> Cause | None:
        now_s = time.monotonic()
        if now_s - self._started_s > self._limits.wall_s:
            return Cause.TIMED_OUT
        if now_s < self._next_check_s:
            return None
        pids = descendants(os.getpid())
        self._peak_mib = max(self._peak_mib, _memory_mib(pids, self._limits.memory_mib))
        full = _is_over(self._limits.writable, self._limits.output_mib)
        self._next_check_s = time.monotonic() + max(TICK_S, 10 * (time.monotonic() - now_s))
        if len(pids) > MAX_PROCESSES:
            return Cause.TOO_MANY_PROCESSES
        if self._peak_mib > self._limits.memory_mib:
            return Cause.OUT_OF_MEMORY
        return Cause.OUTPUT_FULL if full else None

    def _finish(self, cause: Cause, on_line: Callable[[str], None] | None) -> Exit:
        wall_s = time.monotonic() - self._started_s
        sweep(self._popen.pid if self._popen.returncode is None else None)
        self._drain(0.0, on_line)
        os.close(self._pipe)
        self._popen.stdout = None
        self._popen.returncode = -signal.SIGKILL if self._popen.returncode is None else self._popen.returncode
        self._exit = Exit(
            cause=cause,
            code=self._popen.returncode,
            wall_s=wall_s,
            cpu_s=_children_cpu_s() - self._cpu_before_s,
            peak_memory_mib=self._peak_mib,
        )
        return self._exit


def die_with_parent() -> None:
    """For the child between fork and exec: SIGKILL when the runner is gone (Linux)."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Makes descendants whose parent ends children of this process, wherever they went (Linux)."""
    if _prctl is not None:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def exit_when_closed(stdin: int) -> None:
    """Kills everything below this process and ends it as soon as `stdin` is closed: whoever asked is gone."""

    def watch() -> None:
        while os.read(stdin, 4096):
            pass
        _starting.acquire()
        sweep(None)
        os._exit(1)

    threading.Thread(target=watch, name="stdin", daemon=True).start()


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
    """Process ids below `root`, without those already dead."""
    children: dict[int, list[int]] = {}
    for entry in _numbered("/proc"):
        try:
            with open(f"/proc/{entry}/stat", "rb") as stat:
                state, parent = stat.read().rpartition(b")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in (b"Z", b"X"):
            children.setdefault(int(parent), []).append(entry)
    found, queue = [], [root]
    while queue:
        below = children.pop(queue.pop(), [])
        found += below
        queue += below
    return found


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


def _memory_mib(pids: Sequence[int], limit_mib: int) -> float:
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


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _is_over(folders: tuple[Path, ...], limit_mib: int) -> bool:
    """More than `limit_mib` on disk, or more files than anyone needs."""
    blocks = files = 0
    for folder in folders:
        for parent, _, names in os.walk(folder):
            files += len(names) + 1
            for name in names:
                try:
                    blocks += os.lstat(os.path.join(parent, name)).st_blocks
                except FileNotFoundError:
                    continue
            if files > MAX_FILES or blocks * 512 > limit_mib << 20:
                return True
    return False


if sys.platform == "win32":
    raise ImportError("the runner needs Linux or macOS")
