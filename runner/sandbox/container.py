"""The sealed sandbox, called `docker`: each process of a candidate in a fresh container without a network.

What it wrote stays in a volume in memory of limited size, and is copied out as plain files by way of the engine, so
that the runner never opens a path that a candidate could have made into a link.
"""

import os
import select
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

import docker
from docker.types import DeviceRequest, LogConfig, Mount, Ulimit

from runner.sandbox import engine
from runner.sandbox.archive import unpack
from runner.sandbox.image import chosen
from runner.sandbox.interface import MAX_FILES, MAX_OPEN_FILES, MAX_TASKS, Cause, Exit, Folders, Image, Limits
from runner.sandbox.seccomp import PROFILE
from runner.transcript import Printed

USER = "65534:65534"
GRACE_S = 600.0  # labels name a deadline this long after the last one that we keep ourselves
TICK_S = 0.1
DRAIN_S = 5.0
LOOK_S = (0.05, 1.0)  # between two looks at memory, time and processes


class ContainerSandbox:
    """Containers of one run. Environment: DOCKER_HOST, NIGHTLAB_IMAGE, NIGHTLAB_RUNTIME, NIGHTLAB_GPU."""

    python = "python3"

    def __init__(self, *, run_dir: Path, has_gpu: bool, image: Image | None = None) -> None:
        """Raises SandboxError."""
        self._client = engine.connected()
        self._image = chosen(self._client, image, machines_own=os.environ.get("NIGHTLAB_IMAGE", ""))
        self._run_dir = run_dir
        self._gpus = [os.environ["NIGHTLAB_GPU"]] if has_gpu and "NIGHTLAB_GPU" in os.environ else None
        self._has_gpu = has_gpu
        engine.guard(run_dir)
        engine.sweep(self._client)

    @property
    def environment(self) -> Mapping[str, str]:
        return {"image": self._image}

    def start(self, argv: Sequence[str], *, folders: Folders, env: Mapping[str, str], limits: Limits) -> "_Container":
        return _Container(self, argv, folders=folders, env=env, limits=limits)

    def volume(self, limits: Limits) -> str:
        """A new volume in memory, the only place that outlasts a candidate's process."""
        created = self._client.create_volume(
            driver="local",
            driver_opts={
                "type": "tmpfs",
                "device": "tmpfs",
                "o": f"size={limits.output_mib}m,nr_inodes={MAX_FILES},uid=65534,gid=65534,mode=0700,nosuid,nodev",
            },
            labels=engine.labels(self._run_dir, wall_s=limits.wall_s + GRACE_S),
        )
        return str(created["Name"])

    def create(
        self, argv: Sequence[str], *, mounts: list[Mount], folders: Folders, env: Mapping[str, str], limits: Limits
    ) -> str:
        """A container with everything taken away that a candidate has no use for, not yet started."""
        client, size = self._client, f"size={limits.output_mib}m,nr_inodes={MAX_FILES}"
        in_memory = f"rw,exec,nosuid,nodev,mode=1777,{size}"  # exec, or inductor could not load what it compiles
        created = client.create_container(
            image=self._image,
            entrypoint=[],
            command=list(argv),
            user=USER,
            hostname="sandbox",
            working_dir=str(folders.work),
            environment=dict(env),
            labels=engine.labels(self._run_dir, wall_s=limits.wall_s + GRACE_S),
            healthcheck={"test": ["NONE"]},
            network_disabled=True,
            host_config=client.create_host_config(
                network_mode="none",
                read_only=True,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges", f"seccomp={PROFILE.read_text()}"],
                pids_limit=MAX_TASKS,
                mem_limit=f"{limits.memory_mib}m",
                memswap_limit=f"{limits.memory_mib}m",  # of both together, so none
                nano_cpus=int(float(os.environ.get("NIGHTLAB_CPUS") or os.cpu_count() or 1) * 1e9),
                ipc_mode="private",
                shm_size=f"{limits.output_mib}m",
                init=True,
                tmpfs={"/tmp": in_memory, str(folders.scratch): in_memory},  # noqa: S108 - inside
                ulimits=[
                    Ulimit(name="core", soft=0, hard=0),
                    Ulimit(name="nofile", soft=MAX_OPEN_FILES, hard=MAX_OPEN_FILES),
                    Ulimit(name="fsize", soft=limits.output_mib << 20, hard=limits.output_mib << 20),
                ],
                log_config=LogConfig(type="none"),  # we read what it prints as it comes, and keep the end
                auto_remove=False,  # that would lose how it ended
                mounts=mounts,
                device_requests=self._devices(),
                runtime=os.environ.get("NIGHTLAB_RUNTIME"),
            ),
        )
        return str(created["Id"])

    def _devices(self) -> list[DeviceRequest] | None:
        if not self._has_gpu:
            return None
        if self._gpus:
            return [DeviceRequest(device_ids=self._gpus, capabilities=[["gpu"]])]
        return [DeviceRequest(count=-1, capabilities=[["gpu"]])]

    @property
    def client(self) -> docker.APIClient:
        return self._client


@dataclass(slots=True)
class _Used:
    """As sampled; what happened since the last sample is not in it."""

    tasks: int = 0
    cpu_s: float = 0.0
    peak_memory_mib: float = 0.0


class _Container:
    def __init__(
        self,
        box: ContainerSandbox,
        argv: Sequence[str],
        *,
        folders: Folders,
        env: Mapping[str, str],
        limits: Limits,
    ) -> None:
        asked_s = time.monotonic()
        self._client, self._limits, self._folders = box.client, limits, folders
        self._exit: Exit | None = None
        self._printed = Printed()
        self._used = _Used()
        self._frames = b""
        self._containers: list[str] = []
        self._volumes: list[str] = []
        self._stdout: IO[bytes] | None = None
        try:
            self._create(box, argv, env)
        except BaseException:
            self._remove()
            raise
        self._started_s = self._looked_s = time.monotonic()
        self._start_s = self._started_s - asked_s

    def _create(self, box: ContainerSandbox, argv: Sequence[str], env: Mapping[str, str]) -> None:
        folders, limits = self._folders, self._limits
        shown = [Mount(target=str(path), source=str(path), type="bind", read_only=True) for path in folders.readable]
        if folders.fills_output:
            self._volumes.append(box.volume(limits))
            output = Mount(target=str(folders.output), source=self._volumes[0], type="volume", no_copy=True)
            # A volume in memory is lost with the last container that uses it; this one only waits.
            forever = ["python3", "-I", "-S", "-c", "import signal; signal.pause()"]
            self._containers.append(
                box.create(forever, mounts=[output], folders=replace(folders, work=Path("/")), env={}, limits=limits)
            )
            self._client.start(self._containers[0])
        else:
            output = Mount(target=str(folders.output), source=str(folders.output), type="bind", read_only=True)
        self._id = box.create(argv, mounts=[*shown, output], folders=folders, env=env, limits=limits)
        self._containers.append(self._id)
        self._stdout = self._client.attach_socket(self._id, params={"stdout": 1, "stderr": 1, "stream": 1})
        os.set_blocking(self._stdout.fileno(), False)
        self._client.start(self._id)
        threading.Thread(target=self._watch, name="stats", daemon=True).start()

    @property
    def tail(self) -> str:
        return self._printed.tail

    def poll(self, *, timeout_s: float = 0.0, on_line: Callable[[str], None] | None = None) -> Exit | None:
        until_s = time.monotonic() + timeout_s
        while self._exit is None:
            self._drain(max(0.0, min(TICK_S, until_s - time.monotonic())), on_line)
            now_s = time.monotonic()
            if now_s - self._started_s > self._limits.wall_s:
                return self._finish(Cause.TIMED_OUT)
            cause = self._look(now_s)
            if cause is not None:
                return self._finish(cause)
            if now_s >= until_s:
                return None
        return self._exit

    def kill(self) -> Exit:
        try:
            return self._exit or self._finish(Cause.KILLED)
        finally:
            self._remove()

    def collect(self) -> None:
        """Copies plain files only. Raises ArtefactError on anything else, and on more than the limit."""
        chunks, _ = self._client.get_archive(self._containers[0], str(self._folders.output), chunk_size=1 << 20)
        try:
            unpack(chunks, self._folders.output, limit_mib=self._limits.output_mib)
        finally:
            chunks.close()  # or the engine would wait for us to read on, and we for it to remove the container

    def _drain(self, wait_s: float, on_line: Callable[[str], None] | None) -> None:
        """Reads at most 4 MiB, so that no amount of output delays the limits."""
        if self._stdout is None:
            time.sleep(min(wait_s, 0.01))
            return
        if not select.select([self._stdout], [], [], wait_s)[0]:
            return
        for _ in range(64):
            try:
                data = os.read(self._stdout.fileno(), 65_536)
            except BlockingIOError:
                return
            if not data:
                self._close()
                return
            self._frames += data
            self._unframe(on_line)

    def _unframe(self, on_line: Callable[[str], None] | None) -> None:
        """The engine's frames: a stream's number, three zeros, a big-endian size, and what was printed."""
        frames, at = self._frames, 0
        while at + 8 <= len(frames) and (end := at + 8 + int.from_bytes(frames[at + 4 : at + 8], "big")) <= len(frames):
            self._printed.add(frames[at + 8 : end], on_line, stream=frames[at])
            at = end
        self._frames = frames[at:]

    def _look(self, now_s: float) -> Cause | None:
        """Whether it is over, or over its limits; rarely, because the engine takes milliseconds to say so."""
        pause_s = 0.02 if self._stdout is None else min(LOOK_S[1], max(LOOK_S[0], 0.1 * (now_s - self._started_s)))
        if now_s - self._looked_s < pause_s:
            return None
        self._looked_s = now_s
        if not self._state()["Running"]:
            return Cause.EXITED
        return Cause.TOO_MANY_PROCESSES if self._used.tasks >= MAX_TASKS else None

    def _watch(self) -> None:
        """A thread's work, because the engine gives a sample a second and makes whoever asks wait for it."""
        used = self._used
        with suppress(docker.errors.DockerException, OSError, ValueError):  # it ends with the container
            for stats in self._client.stats(self._id, stream=True, decode=True):
                memory = stats.get("memory_stats", {})
                details = memory.get("stats", {})
                cache = details.get("total_inactive_file", details.get("inactive_file", 0))  # control groups v1, v2
                used.peak_memory_mib = max(used.peak_memory_mib, (memory.get("usage", 0) - cache) / 2**20)
                used.cpu_s = max(
                    used.cpu_s, stats.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0) / 1e9
                )
                used.tasks = stats.get("pids_stats", {}).get("current", 0)

    def _state(self) -> Mapping[str, Any]:
        return cast("Mapping[str, Any]", self._client.inspect_container(self._id)["State"])

    def _finish(self, cause: Cause) -> Exit:
        wall_s = time.monotonic() - self._started_s
        with suppress(docker.errors.APIError):  # it is not running any more
            self._client.kill(self._id, "SIGKILL")
        # The engine says that it is over only when all that it printed was taken, or nobody listens any more.
        last_s = time.monotonic() + DRAIN_S
        while self._stdout is not None and time.monotonic() < last_s:
            self._drain(TICK_S, None)
        self._close()
        self._client.wait(self._id, timeout=engine.TIMEOUT_S)
        state = self._state()
        code = int(state["ExitCode"])
        if cause is Cause.EXITED and state["OOMKilled"] and code:
            cause = Cause.OUT_OF_MEMORY
        self._exit = Exit(
            cause=cause,
            code=code,
            start_s=self._start_s,
            wall_s=wall_s,
            cpu_s=self._used.cpu_s,
            peak_memory_mib=self._used.peak_memory_mib,
        )
        return self._exit

    def _close(self) -> None:
        if self._stdout is not None:
            self._stdout.close()
            self._stdout = None

    def _remove(self) -> None:
        self._close()
        engine.remove(self._client, containers=tuple(self._containers), volumes=tuple(self._volumes))
        self._containers, self._volumes = [], []
