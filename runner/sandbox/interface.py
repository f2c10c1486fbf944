"""What a sandbox is to the rest of the runner: a few calls, and the values that they take and give."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

MAX_PROCESSES = 256  # of one candidate at a time
MAX_TASKS = 4 * MAX_PROCESSES  # the kernel counts threads, too
MAX_OPEN_FILES = 4_096  # of one process
MAX_FILES = 10_000  # in a folder that it may fill


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
    """Bounds on one process and all its descendants together."""

    wall_s: float
    memory_mib: int
    output_mib: int  # of its output folder, and again of its scratch folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """All of the file system that a candidate is shown besides Python itself, at the same paths as outside."""

    work: Path  # its working directory; readable
    readable: tuple[Path, ...]
    scratch: Path  # an empty folder, for its eyes only
    output: Path
    fills_output: bool  # else it may only read there


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How it ended and what it used, descendants included. For a signal, `code` is -N, or 128 + N as in a shell."""

    cause: Cause
    code: int
    start_s: float  # from asking for the process until it could run
    wall_s: float  # from then on
    cpu_s: float
    peak_memory_mib: float


class Process(Protocol):
    """A started process. It is only supervised while the caller keeps calling `poll`."""

    def poll(self, *, timeout_s: float = 0.0, on_line: Callable[[str], None] | None = None) -> Exit | None:
        """Waits up to `timeout_s`, passes on lines of output, enforces the limits. Not None: all of it is gone."""
        ...

    def collect(self) -> None:
        """Once it is over, brings what it left to its output folder. Raises ArtefactError."""
        ...

    def kill(self) -> Exit:
        """Ends the process and all its descendants, and removes what was needed for it. May be called again."""
        ...

    @property
    def tail(self) -> str:
        """The end of what it printed, untrusted."""
        ...


class Sandbox(Protocol):
    """Starts candidates."""

    @property
    def python(self) -> str:
        """The interpreter to start."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """What a result in here depends on, besides the code."""
        ...

    def start(self, argv: Sequence[str], *, folders: Folders, env: Mapping[str, str], limits: Limits) -> Process:
        """Raises SandboxError if this machine cannot."""
        ...


class SandboxError(OSError):
    """This machine cannot provide the sandbox; says what to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What containers are made of: a digest, or main's own Dockerfile with the tree that it is built from."""

    name: str  # a digest or the Dockerfile's path; empty: what the machine's NIGHTLAB_IMAGE says
    cache_dir: Path
    context: Callable[[], str]  # the tree, which names its content
    tar: Callable[[str], bytes]
