"""The Docker Engine of this machine: reaching it, and removing what a dead runner left.

Everything made here carries labels: which run, on which host, and until when. A runner that is killed with SIGKILL is
followed by a second process (`python -m runner.sandbox.engine RUN`) that waits for its end and removes what it left; if
both die at once, the next runner to start finds run folders that nobody locks any more, or labels past their deadline.
"""

import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import docker
from docker.errors import APIError, DockerException, NotFound

from runner.sandbox.descendants import spare
from runner.sandbox.interface import SandboxError

RUN, HOST, DEADLINE = "nightlab.run", "nightlab.host", "nightlab.deadline_s"
TIMEOUT_S = 60
_guards: list[subprocess.Popen[bytes]] = []


def connected(*, timeout_s: int = TIMEOUT_S) -> docker.APIClient:
    """A client of the engine that DOCKER_HOST names. Raises SandboxError."""
    try:
        client = docker.APIClient(base_url=os.environ.get("DOCKER_HOST"), version="auto", timeout=timeout_s)
        client.ping()
    except (DockerException, OSError) as error:
        raise SandboxError(
            "no Docker Engine answers: start it, let this user use it (DOCKER_HOST names another address), "
            f"or set `sandbox: bubblewrap` in the contract ({_first_line(error)})"
        ) from None
    return client


def labels(run_dir: Path, *, wall_s: float) -> dict[str, str]:
    """For whatever belongs to the run in `run_dir` and is not needed `wall_s` from now."""
    return {RUN: str(run_dir), HOST: socket.gethostname(), DEADLINE: f"{time.time() + wall_s:.0f}"}


def remove(client: docker.APIClient, *, containers: tuple[str, ...] = (), volumes: tuple[str, ...] = ()) -> None:
    """Kills and deletes; what is gone already is fine. Raises OSError if the engine does not do it."""
    for container in containers:
        try:
            client.remove_container(container, force=True, v=True)
        except NotFound:
            pass
        except APIError as error:
            if "already in progress" not in str(error):
                raise
    for volume in volumes:
        try:
            client.remove_volume(volume, force=True)
        except NotFound:
            pass
        except APIError as error:  # its container is being removed by somebody else
            if "in use" not in str(error):
                raise


def sweep(client: docker.APIClient) -> None:
    """Removes the containers and volumes of runners that are no more."""
    _remove_labelled(client, RUN, _is_orphan)


def sweep_run(client: docker.APIClient, run_dir: str) -> None:
    """Removes the containers and volumes of one run, until there are none."""
    until_s = time.monotonic() + TIMEOUT_S
    while _remove_labelled(client, f"{RUN}={run_dir}", lambda _: True) and time.monotonic() < until_s:
        time.sleep(0.2)


def _remove_labelled(client: docker.APIClient, label: str, is_unwanted: Callable[[Mapping[str, str]], bool]) -> bool:
    """Whether there was anything to remove."""
    containers = tuple(
        found["Id"] for found in client.containers(all=True, filters={"label": label}) if is_unwanted(found["Labels"])
    )
    volumes = tuple(
        found["Name"]
        for found in client.volumes(filters={"label": label})["Volumes"] or []
        if is_unwanted(found["Labels"])
    )
    remove(client, containers=containers, volumes=volumes)
    return bool(containers or volumes)


def _is_orphan(labelled: Mapping[str, str]) -> bool:
    """Past its deadline, or of a run on this host whose folder nobody holds the lock of."""
    deadline = labelled.get(DEADLINE, "")
    if not deadline.isdigit() or int(deadline) < time.time():
        return True
    run_dir = Path(labelled[RUN])
    if labelled.get(HOST) != socket.gethostname() or not run_dir.parent.is_dir():
        return False
    try:
        lock = os.open(run_dir, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False  # its runner lives
    finally:
        os.close(lock)
    return True


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def guard(run_dir: Path) -> None:
    """Starts the process that removes what this run leaves, should this process be killed."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "runner.sandbox.engine", str(run_dir)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    spare(process.pid)
    _guards.append(process)  # its stdin stays open as long as this process lives


if __name__ == "__main__":
    while os.read(0, 4096):
        pass
    sweep_run(connected(), sys.argv[1])
