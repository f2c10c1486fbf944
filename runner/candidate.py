"""The candidate's processes: what they get to see, and what their end means."""

import re
import signal
from dataclasses import dataclass
from pathlib import Path

from runner.cache import require_space
from runner.protocol import Request, Status
from runner.sandbox.interface import Cause, Exit, Folders, Limits, Process, Sandbox
from runner.transcript import exception_line

_OUT_OF_MEMORY = re.compile(r"OutOfMemoryError|MemoryError|can't allocate memory|Cannot allocate memory")
_DISK_FULL = re.compile(r"\[Errno (28|122)\]|No space left on device|Disk quota exceeded")


class FailedError(Exception):
    """The candidate failed: the run's status and its reason."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Starts processes in the tree `task_dir` of one run; `folder` is the run's private folder."""

    request: Request
    box: Sandbox
    folder: Path
    task_dir: Path

    def __post_init__(self) -> None:
        self.out_dir.mkdir()

    @property
    def out_dir(self) -> Path:
        return self.folder / "out"

    @property
    def python(self) -> list[str]:
        return [self.box.python, "-s", "-B"]

    def home(self, name: str) -> Path:
        """The scratch folder of one of its processes."""
        return self.folder / f"{name}-home"

    def start(
        self,
        name: str,
        argv: list[str],
        *,
        env: dict[str, str],
        readable: tuple[Path, ...],
        wall_s: float,
        trains: bool = False,
    ) -> Process:
        """Each process gets a temporary folder of its own, so that none finds what another left."""
        home, task = self.home(name), self.request.task
        home.mkdir()
        fixed = {
            "HOME": str(home),
            "TMPDIR": str(home),
            "LANG": "C.UTF-8",
            "PYTHONHASHSEED": "0",
            "PYTHONUNBUFFERED": "1",
            "PRESET": task.preset,
        }
        if task.preset == "cpu":  # one thread: repeatable, and two runs at once do not disturb each other
            fixed |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        return self.box.start(
            argv,
            folders=Folders(
                work=self.task_dir,
                readable=(self.folder / "tree", *readable),
                scratch=home,
                output=self.out_dir,
                fills_output=trains,
            ),
            env=fixed | env,
            limits=Limits(wall_s=wall_s, memory_mib=task.memory_mib, output_mib=task.output_mib),
        )

    def require_success(self, ended: Exit, who: str, log: str, wall_s: float) -> None:
        """Raises FailedError unless the process exited with code 0, or DiskError if that may be the disk's fault."""
        if ended.cause is not Cause.EXITED or ended.code:
            require_space(self.folder, 0)
        task, last = self.request.task, exception_line(log)
        if ended.cause is Cause.TIMED_OUT:
            raise FailedError(Status.TIMED_OUT, f"{who} was not done after {wall_s:g} s")
        if ended.cause is Cause.OUT_OF_MEMORY or (ended.code and _OUT_OF_MEMORY.search(last)):
            raise FailedError(Status.OUT_OF_MEMORY, f"{who} needed more memory than its {task.memory_mib} MiB")
        if ended.cause is Cause.OUTPUT_FULL or (ended.code and _DISK_FULL.search(last)):
            raise FailedError(Status.INVALID, f"{who} wrote more than {task.output_mib} MiB or too many files")
        if ended.cause is Cause.TOO_MANY_PROCESSES:
            raise FailedError(Status.CRASHED, f"{who} started too many processes")
        number = -ended.code if ended.code < 0 else ended.code - 128
        if number in signal.valid_signals():
            raise FailedError(Status.CRASHED, f"{who} was ended by {signal.Signals(number).name}")
        if ended.code:
            raise FailedError(Status.CRASHED, f"{who} failed: {last or f'exit code {ended.code}'}")
