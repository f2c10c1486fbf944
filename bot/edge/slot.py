"""The slots of this process: each starts one runner process per run and reads what it says.

The only module that starts `python -m runner`. The runner dies with us: it watches its stdin, which the kernel closes
when this process is gone, kill -9 included.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from runner.protocol import Line, Progress, ProtocolError, Request, Run, Status, decode_line, encode, unmeasured

TOKEN = "NIGHTLAB_GIT_TOKEN"  # noqa: S105 - a name
# The runner gets this much of our environment and nothing else: no forge token, no model key, no webhook secret.
PASSED_ON = (
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "CUDA_VISIBLE_DEVICES",
    TOKEN,
    "HF_HOME",
    "LD_LIBRARY_PATH",
    "DOCKER_HOST",
    "NIGHTLAB_IMAGE",
    "NIGHTLAB_RUNTIME",
    "NIGHTLAB_GPU",
    "NIGHTLAB_CPUS",
    "NIGHTLAB_DATA",
)
log = logging.getLogger("nightlab")
MAX_LINE_BYTES = 4 * 2**20
GRACE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One GPU, or one core. Runs are compared by the name, so it must stay with the device."""

    name: str
    gpu: str = ""  # the device's UUID; empty: whichever GPUs there are

    @property
    def environment(self) -> dict[str, str]:
        device = {"NIGHTLAB_GPU": self.gpu, "CUDA_VISIBLE_DEVICES": self.gpu} if self.gpu else {}
        return {"NIGHTLAB_SLOT": self.name, **device}


class Slots:
    """The slots of this process, each of which does one run at a time."""

    def __init__(self, slots: Sequence[Slot], *, cache: Path, clone_token: Callable[[str], str] | None = None) -> None:
        """`cache` is for prepared data and bare clones; `clone_token` gives one for a repository's address."""
        self._clone_token = clone_token
        cache.mkdir(parents=True, exist_ok=True)
        self._cache = cache.resolve()
        # The slot that was freed last comes first: of two that are always freed in the same order, candidate and main
        # would else get the same one every time, and their difference could not be told from that of the slots.
        self._free: asyncio.LifoQueue[Slot] = asyncio.LifoQueue()
        for slot in slots:
            self._free.put_nowait(slot)

    async def measure(self, request: Request, *, on_progress: Callable[[Progress], Awaitable[None]]) -> Run:
        """Do one run in the first slot that is free, as `measure` does."""
        slot = await self._free.get()
        try:
            more = await self._credential(request.source.git_url)
            request = replace(request, cache_dir=str(self._cache))
            return await measure(request, on_progress=on_progress, environment=slot.environment | more)
        finally:
            self._free.put_nowait(slot)

    async def _credential(self, git_url: str) -> dict[str, str]:
        """To clone with, in the environment of one runner; not where somebody gave one for all of them."""
        if self._clone_token is None or TOKEN in os.environ:
            return {}
        try:
            return {TOKEN: await asyncio.to_thread(self._clone_token, git_url)}
        except Exception:  # what is public can be cloned without, and what was cloned before is still there
            log.warning("there is no token to clone %s with", git_url, exc_info=True)
            return {}


_slots: Slots | None = None


def open_slots(slots: Sequence[Slot], *, cache: Path, clone_token: Callable[[str], str] | None = None) -> None:
    """Set once per process, before the engine starts."""
    global _slots
    _slots = Slots(slots, cache=cache, clone_token=clone_token)


def slots() -> Slots:
    if _slots is None:
        raise RuntimeError("open_slots must be called before the engine is started")
    return _slots


async def measure(
    request: Request,
    *,
    on_progress: Callable[[Progress], Awaitable[None]],
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Run:
    """Do one run in a runner process of its own, with these variables besides those of ours that it may have.

    Never raises for what a candidate or a dying runner does: a runner that ends without a result is a run with status
    INFRASTRUCTURE. Cancelling the task kills the runner and all it started.
    """
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # ours, and not what a folder called `runner` in the working directory holds
        "-m",
        "runner",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=MAX_LINE_BYTES,
        env={**passed_on, **environment},
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
        await _end(process)  # it may have more to say, which nobody reads, and would then never end by itself
        done, _ = await asyncio.wait({complaints}, timeout=GRACE_S)  # what it left behind may hold the pipe open
        said = complaints.result().strip().splitlines() if done else []
        why = (said or [str(error)])[-1][:300]
        return failed_run(request, f"the runner on this machine stopped without a result: {why}")
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
    """Close its stdin, which tells it to kill what it started; then make sure. Its pipes count: something that it left
    behind may hold them open."""
    if process.stdin is not None:
        process.stdin.close()
    for _ in range(2):
        try:
            await asyncio.wait_for(process.wait(), GRACE_S)
            return
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # it leads a session of its own


def failed_run(request: Request, reason: str, status: Status = Status.INFRASTRUCTURE) -> Run:
    """A run that never was, through no fault of the candidate."""
    return replace(unmeasured(request), status=status, reason=reason)
