"""`python -m runner`: one request on stdin, progress and one run on stdout.

`--describe`: what this machine is; `--check SANDBOX`: whether candidates could be run in that.
"""

import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from runner.bench import measure
from runner.protocol import Line, Progress, ProtocolError, decode_request, encode
from runner.sandbox.choice import sandbox
from runner.sandbox.descendants import adopt_orphans, exit_when_closed
from runner.sandbox.interface import SandboxError


def main(arguments: list[str]) -> int:
    if arguments == ["--describe"]:
        print(json.dumps(describe(), indent=2))  # noqa: T201 - a command's output
        return 0
    if len(arguments) == 2 and arguments[0] == "--check":
        return check(arguments[1])
    if arguments:
        print("usage: python -m runner [--describe | --check SANDBOX]", file=sys.stderr)  # noqa: T201 - a command's output
        return 2
    out = os.dup(1)
    os.dup2(2, 1)  # whatever prints by accident must not end up between the lines of the protocol
    try:
        request = decode_request(_first_line())
    except ProtocolError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command's output
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: sys.exit(128 + received))  # by way of every `finally`
    adopt_orphans()
    exit_when_closed(0)

    def send(line: Line) -> None:
        try:
            os.write(out, encode(line).encode())
        except BrokenPipeError:
            raise SystemExit(1) from None  # nobody listens any more

    def report(progress: Progress) -> None:
        send(Line(progress=progress))

    send(Line(run=measure(request, report)))
    return 0


def _first_line() -> str:
    """Unbuffered, because what follows on stdin is only ever its end."""
    line = bytearray()
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line.decode(errors="replace")


def describe() -> dict[str, object]:
    """Suggested hardware class, cores, memory and versions."""
    gpus = _gpus()
    try:
        torch_version: str | None = version("torch")
    except PackageNotFoundError:
        torch_version = None
    return {
        "hardware_class": _hardware_class(gpus),
        "gpus": gpus,
        "cores": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "torch": torch_version,
        "python": platform.python_version(),
    }


def check(name: str) -> int:
    """Whether candidates could be run in the sandbox of that name; says why not."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            sandbox(name, run_dir=Path(folder), has_gpu=bool(_gpus()))
        except SandboxError as error:
            print(error, file=sys.stderr)  # noqa: T201 - a command's output
            return 1
    return 0


def _hardware_class(gpus: list[str]) -> str:
    if gpus:
        return f"{re.sub('[^a-z0-9]+', '-', gpus[0].lower())}-x{len(gpus)}"
    return f"cpu-{platform.machine()}-{_instruction_set()}"


def _gpus() -> list[str]:
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [name.strip() for name in listed.stdout.splitlines() if name.strip()]


def _instruction_set() -> str:
    """The widest vectors: another instruction set sums in another order and is another machine."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return "generic"
    for flag, name in (("avx512f", "avx512"), ("avx2", "avx2"), ("sve", "sve"), ("asimd", "neon"), ("avx", "avx")):
        if flag in flags:
            return name
    return "generic"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
