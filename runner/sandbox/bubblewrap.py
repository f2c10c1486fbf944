"""The sandbox called `bubblewrap`, for machines without a Docker Engine: weaker, and said so wherever it was used.

Namespaces, a filter of system calls and a file system of its own, like a container. But memory is bounded by looking
ten times a second and not by the kernel, the number of processes only for users other than root (whose fork bomb would
be faster than any look, so root is refused), and it shares this machine's Python and libraries.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from runner.sandbox import seccomp
from runner.sandbox.bare import BareProcess, installed
from runner.sandbox.interface import Folders, Limits, SandboxError

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/ld.so.conf")
PROBE_TIMEOUT_S = 30


class BubblewrapSandbox:
    """See the module's docstring for what is weaker than in a container."""

    python = sys.executable

    def __init__(self, *, has_gpu: bool) -> None:
        """Raises SandboxError."""
        if os.geteuid() == 0:
            raise SandboxError(
                "the bubblewrap sandbox cannot bound the processes of root: run the runner as an ordinary user, "
                "or use `sandbox: docker`"
            )
        binary = shutil.which("bwrap")
        if binary is None:
            raise SandboxError("there is no bwrap on this machine: install bubblewrap, or use `sandbox: docker`")
        self._binary = binary
        self._devices = sorted(Path("/dev").glob("nvidia*")) if has_gpu else []
        probe = [*self._view(output_mib=1), "--", self.python, "-I", "-S", "-c", "pass"]
        try:
            done = subprocess.run(probe, env={}, capture_output=True, timeout=PROBE_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            raise SandboxError(f"bwrap did not start within {PROBE_TIMEOUT_S} s") from None
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
            raise SandboxError(f"bwrap cannot make a sandbox for this user: {said[-1][:200]}")

    @property
    def environment(self) -> Mapping[str, str]:
        return installed()

    def start(self, argv: Sequence[str], *, folders: Folders, env: Mapping[str, str], limits: Limits) -> BareProcess:
        filter_ = seccomp.descriptor()
        own = [
            *_in_memory(limits.output_mib, str(folders.scratch)),
            *(part for path in folders.readable for part in ("--ro-bind", str(path), str(path))),
            "--bind" if folders.fills_output else "--ro-bind",
            str(folders.output),
            str(folders.output),
            "--remount-ro",
            "/",
            "--seccomp",
            str(filter_),
        ]
        try:
            return BareProcess(
                [*self._view(output_mib=limits.output_mib), *own, "--", *argv],
                folders=folders,
                env=env,  # and nothing else: --clearenv would leave ours to be read in /proc/1/environ
                limits=limits,
                descriptors=(filter_,),
            )
        finally:
            os.close(filter_)

    def _view(self, *, output_mib: int) -> list[str]:
        """What does not depend on the run: namespaces, the system's and Python's files, devices, room in memory."""
        python = {sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib"), sysconfig.get_path("platlib")}
        shown: list[str] = []
        for path in (*SYSTEM, *sorted(path for path in python if not path.startswith("/usr/"))):
            if os.path.islink(path):
                shown += ["--symlink", os.readlink(path), path]
            elif os.path.exists(path):
                shown += ["--ro-bind", path, path]
        devices = [part for path in self._devices for part in ("--dev-bind", str(path), str(path))]
        return [
            self._binary,
            "--unshare-all",
            "--unshare-user",
            "--disable-userns",
            "--die-with-parent",
            "--hostname",
            "sandbox",
            "--uid",
            "65534",
            "--gid",
            "65534",
            *_in_memory(output_mib, "/tmp"),  # noqa: S108 - inside; first, because Python may lie below it
            *shown,
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            *devices,
            *_in_memory(output_mib, "/dev/shm"),  # noqa: S108 - inside
            "--remount-ro",
            "/dev",
        ]


def _in_memory(size_mib: int, place: str) -> tuple[str, ...]:
    return "--size", str(size_mib << 20), "--tmpfs", place
