"""Where candidate code runs: the interface, and which implementations there are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

MAX_PROCESSES = 256  # of one candidate at a time


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
    from runner.bare import BareSandbox  # here, because it implements what this module defines

    return BareSandbox()
