"""A runner that is killed leaves no container and no volume, whichever phase it was in."""

import os
import signal
import time
from pathlib import Path

import docker
import pytest
from fake_task import TRAIN, Bench, asked, doing, limited, measured

from runner.protocol import Phase, Status, decode_line
from runner.sandbox import engine

pytestmark = [pytest.mark.slow, pytest.mark.docker, pytest.mark.timeout(300)]

LOAD = '    table = np.load(out_dir + "/model.npy")\n'
HANG = "import time; time.sleep(100)"


def left(run_dir: str) -> list[str]:
    """Containers and volumes of this run."""
    client, label = engine.connected(), {"label": f"{engine.RUN}={run_dir}"}
    volumes = client.volumes(filters=label)["Volumes"] or []
    return [found["Id"] for found in client.containers(all=True, filters=label)] + [found["Name"] for found in volumes]


def hanging_in(bench: Bench, phase: Phase) -> str:
    """A train.py that never leaves this phase."""
    if phase is Phase.TRAIN:
        return doing(HANG)
    if phase is Phase.PREDICT:
        return TRAIN.replace(LOAD, f"{LOAD}    {HANG}\n")
    second = "    import sys, time\n    if 'audit' in sys.argv[3]: time.sleep(100)\n"
    return TRAIN.replace(LOAD, LOAD + second)


@pytest.mark.parametrize("phase", [Phase.TRAIN, Phase.PREDICT, Phase.AUDIT])
@pytest.mark.parametrize("guarded", [True, False])
def test_a_killed_runner_leaves_nothing(in_docker: Bench, tmp_path: Path, phase: Phase, guarded: bool) -> None:
    """Controls: the guard process; and where that dies as well, the sweep of the next runner on this machine."""
    request = limited(in_docker.train_with(hanging_in(in_docker, phase)), timeout_s=100)
    with asked(request, env={"TMPDIR": str(tmp_path)}) as runner:
        assert runner.stdout is not None
        for line in runner.stdout:
            progress = decode_line(line).progress
            if progress is not None and progress.phase is phase:
                break
        time.sleep(1.5)
        (run_dir,) = [str(path) for path in (tmp_path / f"nightlab-{os.getuid()}").iterdir() if path.is_dir()]
        assert left(run_dir)
        if not guarded:
            guards = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _is_guard(pid, run_dir)]
            assert len(guards) == 1
            os.kill(guards[0], signal.SIGKILL)
        os.kill(runner.pid, signal.SIGKILL)
        runner.wait()
    if not guarded:
        assert left(run_dir)
        assert measured(in_docker.request(), env={"TMPDIR": str(tmp_path)})[0].status is Status.OK
        assert left(run_dir) == []
        return
    end_s = time.monotonic() + 20
    while left(run_dir) and time.monotonic() < end_s:
        time.sleep(0.1)
    assert left(run_dir) == []


def _is_guard(pid: int, run_dir: str) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1:5] == [
            b"-P",
            b"-m",
            b"runner.sandbox.engine",
            run_dir.encode(),
        ]
    except OSError:
        return False


def test_the_engine_keeps_nothing_that_is_printed(in_docker: Bench, tmp_path: Path) -> None:
    """Control: log_config. The engine's default would write all of it to the machine's disk."""
    request = limited(in_docker.train_with(doing(f"print('said', flush=True); {HANG}")), timeout_s=100)
    with asked(request, env={"TMPDIR": str(tmp_path)}) as runner:
        assert runner.stdout is not None
        next(line for line in runner.stdout if '"train"' in line)
        time.sleep(1.5)
        (run_dir,) = [str(path) for path in (tmp_path / f"nightlab-{os.getuid()}").iterdir() if path.is_dir()]
        client = engine.connected()
        made = client.containers(all=True, filters={"label": f"{engine.RUN}={run_dir}"})
        assert [client.inspect_container(one["Id"])["LogPath"] for one in made] == ["", ""]


def test_what_is_past_its_deadline_is_swept_wherever_it_came_from(in_docker: Bench) -> None:
    client = engine.connected()
    labels = {engine.RUN: "/elsewhere/run", engine.HOST: "another-host"}
    old = client.create_volume(labels={**labels, engine.DEADLINE: str(int(time.time()) - 1)})["Name"]
    new = client.create_volume(labels={**labels, engine.DEADLINE: str(int(time.time()) + 100)})["Name"]
    try:
        engine.sweep(client)
        with pytest.raises(docker.errors.NotFound):
            client.inspect_volume(old)
        assert client.inspect_volume(new)
    finally:
        client.remove_volume(new)


def test_the_machines_faults_are_said_in_one_sentence(in_docker: Bench) -> None:
    for env, said in (
        ({"DOCKER_HOST": "unix:///nowhere.sock"}, "no Docker Engine answers: start it"),
        ({"NIGHTLAB_IMAGE": ""}, "set NIGHTLAB_IMAGE to the digest of the image"),
        ({"NIGHTLAB_IMAGE": "nightlab:latest"}, "set NIGHTLAB_IMAGE to the digest of the image"),
        ({"NIGHTLAB_IMAGE": "sha256:" + "0" * 64}, "this machine has no image sha256:000"),
    ):
        run, _ = measured(in_docker.request(), env=env)
        assert run.status is Status.INFRASTRUCTURE
        assert run.reason.startswith(said)
