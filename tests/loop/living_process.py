"""A command of Nightlab as a process of its own, which tests start, watch, freeze and kill."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).parents[2]
# Of a test with what must happen. It only bounds how long a failure takes, so it is for a machine under heavy load.
PATIENCE_S = 240.0
T = TypeVar("T")


def eventually(look: Callable[[], T | None], what: str, *, patience_s: float = PATIENCE_S) -> T:
    """What `look` gives as soon as it is something; fails with `what` when it stays nothing."""
    deadline_s = time.monotonic() + patience_s
    while True:
        began_s = time.monotonic()
        found = look()
        if found:
            return found
        if time.monotonic() > deadline_s:
            raise AssertionError(f"{what} did not happen within {patience_s:g} s")
        time.sleep(max(0.05, 2 * (time.monotonic() - began_s)))  # so that those who look do not slow those who work


class Process:
    """`nightlab COMMAND`, which can be killed and started again on the same folder."""

    def __init__(self, command: str, folder: Path, environment: dict[str, str]) -> None:
        """With these variables besides those that every process has."""
        self._command, self.folder = command, folder
        for name in ("home", "t"):
            (folder / name).mkdir(parents=True)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "t"),
            "PYTHONUNBUFFERED": "1",
            "NIGHTLAB_STATE": str(folder / "state"),
            **environment,
        }
        self.log = folder / f"{command}.log"
        self._log_start = 0  # where what was said since the last start begins
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def said(self) -> str:
        """Since the last start."""
        return self.log.read_bytes()[self._log_start :].decode(errors="replace")

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bot.cli", self._command],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def says(self, pattern: str, what: str) -> re.Match[str]:
        """Where it says so, as soon as it does."""

        def look() -> re.Match[str] | None:
            assert self.alive, f"`nightlab {self._command}` ended at its start:\n{self.said}"
            return re.search(pattern, self.said)

        return eventually(look, what)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """As the kernel does it when memory runs out: no goodbye."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, *, patience_s: float = PATIENCE_S) -> None:
        if self.process is not None and self.alive:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(timeout=patience_s)

    def offspring(self, program: str = "") -> list[int]:
        """Living processes of runners and what they started, found by the folder they were given."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal() or (self.process and int(entry.name) == self.process.pid):
                continue
            try:
                environment, command = (entry / "environ").read_bytes(), (entry / "cmdline").read_bytes()
            except OSError:  # gone, or not ours
                continue
            if str(self.folder).encode() in environment and command and program.encode() in command:
                found.append(int(entry.name))
        return found

    def wait_for_training(self) -> None:
        eventually(lambda: self.offspring("train.py"), "a training")
