"""The weakest sandbox, called `subprocess`: bounds what a candidate uses, and cleans up; separates nothing.

Time, memory, processes, files and output are limited, and every descendant is killed, also one that left its session.
But the candidate runs as the runner's user: it could read any file of that user and reach the network. It serves
trusted code such as the shipped task on one's own machine, and nothing that may merge by itself on a real forge.
"""

import os
import platform
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from runner.sandbox.descendants import (
    adopt_orphans,
    children_cpu_s,
    descendants,
    die_with_parent,
    memory_mib,
    own_tasks,
    starting,
    sweep,
)
from runner.sandbox.interface import (
    MAX_FILES,
    MAX_OPEN_FILES,
    MAX_PROCESSES,
    MAX_TASKS,
    Cause,
    Exit,
    Folders,
    Limits,
)
from runner.transcript import Printed

TICK_S = 0.1
_MAXRSS_PER_MIB = 2**20 if sys.platform == "darwin" else 2**10
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")


class BareSandbox:
    """See the module's docstring for what it does not protect from."""

    python = sys.executable

    @property
    def environment(self) -> Mapping[str, str]:
        return installed()

    def start(self, argv: Sequence[str], *, folders: Folders, env: Mapping[str, str], limits: Limits) -> "BareProcess":
        inherited = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return BareProcess(argv, folders=folders, env=inherited | dict(env), limits=limits)


class BareProcess:
    """A child of this process in a session of its own. `descriptors` are left open for it."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        folders: Folders,
        env: Mapping[str, str],
        limits: Limits,
        descriptors: tuple[int, ...] = (),
    ) -> None:
        most_tasks = min(own_tasks() + MAX_TASKS, resource.getrlimit(resource.RLIMIT_NPROC)[1] % 2**63)
        most_open = min(MAX_OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1] % 2**63)

        def bound() -> None:
            die_with_parent()
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (limits.output_mib << 20,) * 2)
            resource.setrlimit(resource.RLIMIT_NPROC, (most_tasks,) * 2)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most_open,) * 2)

        self._limits = limits
        self._exit: Exit | None = None
        self._printed = Printed()
        self._writable = (folders.scratch, folders.output)
        self._peak_mib = 0.0
        self._next_check_s = 0.0
        self._cpu_before_s = children_cpu_s()
        asked_s = time.monotonic()
        adopt_orphans()
        with starting:
            self._popen = subprocess.Popen(
                list(argv),
                cwd=folders.work,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=descriptors,
                preexec_fn=bound,  # only system calls, and the other thread of this process holds no lock
            )
        self._started_s = time.monotonic()
        self._start_s = self._started_s - asked_s
        assert self._popen.stdout is not None  # noqa: S101 - for the type checker
        self._output = self._popen.stdout
        os.set_blocking(self._output.fileno(), False)

    @property
    def tail(self) -> str:
        return self._printed.tail

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
                self._peak_mib = max(self._peak_mib, usage.ru_maxrss / _MAXRSS_PER_MIB)
                return self._finish(Cause.EXITED, on_line)
            cause = self._check()
            if cause is not None:
                return self._finish(cause, on_line)
            if time.monotonic() >= until_s:
                return None

    def collect(self) -> None:
        """It wrote to the folder itself."""

    def kill(self) -> Exit:
        return self._exit or self._finish(Cause.KILLED, None)

    def _drain(self, wait_s: float, on_line: Callable[[str], None] | None) -> bool:
        """Reads what is there, at most 4 MiB, so that no amount of output delays the limits. False: closed."""
        if not select.select([self._output], [], [], wait_s)[0]:
            return True
        for _ in range(64):
            try:
                data = os.read(self._output.fileno(), 65_536)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._printed.add(data, on_line)
        return True

    def _check(self) -> Cause | None:
        now_s = time.monotonic()
        if now_s - self._started_s > self._limits.wall_s:
            return Cause.TIMED_OUT
        if now_s < self._next_check_s:
            return None
        pids = descendants(os.getpid())
        self._peak_mib = max(self._peak_mib, memory_mib(pids, self._limits.memory_mib))
        full = _is_over(self._writable, self._limits.output_mib)
        self._next_check_s = time.monotonic() + max(TICK_S, 10 * (time.monotonic() - now_s))
        if len(pids) > MAX_PROCESSES:
            return Cause.TOO_MANY_PROCESSES
        if self._peak_mib > self._limits.memory_mib:
            return Cause.OUT_OF_MEMORY
        return Cause.OUTPUT_FULL if full else None

    def _finish(self, cause: Cause, on_line: Callable[[str], None] | None) -> Exit:
        wall_s = time.monotonic() - self._started_s
        sweep(self._popen.pid)
        self._drain(0.0, on_line)
        self._output.close()
        self._popen.returncode = -signal.SIGKILL if self._popen.returncode is None else self._popen.returncode
        self._exit = Exit(
            cause=cause,
            code=self._popen.returncode,
            start_s=self._start_s,
            wall_s=wall_s,
            cpu_s=children_cpu_s() - self._cpu_before_s,
            peak_memory_mib=self._peak_mib,
        )
        return self._exit


def installed() -> dict[str, str]:
    """The versions here that a number depends on."""
    try:
        torch_version = version("torch")
    except PackageNotFoundError:
        torch_version = "none"
    return {"torch": torch_version, "python": platform.python_version()}


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
