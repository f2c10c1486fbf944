"""A slot of this machine: starts one runner process per run and reads what it says.

The only module that starts `python -m runner`. The runner dies with us: it watches its stdin, which the kernel closes
when this process is gone, kill -9 included.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from runner.protocol import Line, Progress, ProtocolError, Request, Run, Status, decode_line, encode, unmeasured

# The runner gets this much of our environment and nothing else: no forge token, no model key, no webhook secret.
PASSED_ON = (
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "CUDA_VISIBLE_DEVICES",
    "NIGHTLAB_GIT_TOKEN",
    "HF_HOME",
    "LD_LIBRARY_PATH",
    "DOCKER_HOST",
    "NIGHTLAB_IMAGE",
    "NIGHTLAB_RUNTIME",
    "NIGHTLAB_GPU",
    "NIGHTLAB_CPUS",
)
MAX_LINE_BYTES = 4 * 2**20
GRACE_S = 10.0


async def measure(request: Request, *, on_progress: Callable[[Progress], Awaitable[None]]) -> Run:
    """Do one run in a runner process of its own.

    Never raises for what a candidate or a dying runner does: a runner that ends without a result is a run with status
    INFRASTRUCTURE. Cancelling the task kills the runner and all it started.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "runner",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=MAX_LINE_BYTES,
        env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
        start_new_session=True,  # a Ctrl-C in the terminal is ours to handle
    )
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise AssertionError("asked for three pipes")
    complaints = asyncio.create_task(_tail(process.stderr))
    try:
        process.stdin.write(encode(request).encode())
        await process.stdin.drain()
        return await _result(process.stdout, on_progress)
    except (ProtocolError, BrokenPipeError, ConnectionResetError, ValueError) as error:
        said = (await complaints).strip().splitlines()[-1:] or [str(error)]
        return failed_run(request, f"the runner on this machine stopped without a result: {said[0][:300]}")
    finally:
        await _end(process)
        complaints.cancel()


async def _result(lines: asyncio.StreamReader, on_progress: Callable[[Progress], Awaitable[None]]) -> Run:
    while raw := await lines.readline():
        line: Line = decode_line(raw.decode("utf-8", "replace"))
        if line.run is not None:
            return line.run
        if line.progress is not None:
            await on_progress(line.progress)
    raise ProtocolError("its output ended early")


async def _tail(stream: asyncio.StreamReader) -> str:
    kept = b""
    while chunk := await stream.read(65536):
        kept = (kept + chunk)[-4000:]
    return kept.decode("utf-8", "replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close its stdin, which tells it to kill what it started; then make sure."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), GRACE_S)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def failed_run(request: Request, reason: str, status: Status = Status.INFRASTRUCTURE) -> Run:
    """A run that never was, through no fault of the candidate."""
    return replace(unmeasured(request), status=status, reason=reason)
