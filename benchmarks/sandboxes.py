"""What each sandbox costs a run, and what a killed runner leaves: `python benchmarks/sandboxes.py [SANDBOX ...]`.

docker needs an engine and NIGHTLAB_IMAGE, bubblewrap a user other than root; somebody who may use the engine can do all
three in one go: `.ci/docker runuser -u USER -- python benchmarks/sandboxes.py >benchmarks/sandboxes.md`.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median

from runner.cache import run_folder
from runner.protocol import Phase, Request, Run, Source, Task, decode_line, encode
from runner.sandbox.choice import sandbox
from runner.sandbox.descendants import descendants
from runner.sandbox.interface import Folders, Limits

ROOT = Path(__file__).parents[1]
STEPS = 500  # as the shipped contract has it
STARTS = 10
PATIENCE_S = 15.0
PARTS = ("start_s", "train_s", "freeze_s", "predict_s", "audit_s", "score_s", "overhead_s", "wall_s")
KILLED = (Phase.TRAIN, Phase.FREEZE, Phase.PREDICT, Phase.AUDIT, Phase.SCORE)
# A runner that stops for good in a phase that is over too soon to be met.
PAUSING = """
import sys, time
from runner import __main__, arrays, bench
def pause(*_, **__):
    print("paused", file=sys.stderr, flush=True)
    time.sleep(600)
if sys.argv[1] == "score":
    arrays.Classification.judge = pause
elif sys.argv[2] == "docker":
    from runner.sandbox import container
    container.unpack = pause
else:
    bench.frozen = pause
sys.exit(__main__.main([]))
"""


def main(names: list[str]) -> None:
    print(f"What each sandbox costs, and what a killed runner leaves: `{Path(__file__).name}`, as printed.\n")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start. Seconds by the clock.\n")
    with tempfile.TemporaryDirectory(prefix="sandboxes-") as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        Path(folder).chmod(0o755)
        phases(names, committed(Path(folder) / "task", ROOT / "runner" / "task", {}))
        starts(names)
        left(names, Path(folder))


def phases(names: list[str], request: Request) -> None:
    print(f"## One run of the shipped task, {STEPS} steps\n")
    print("| sandbox |", " | ".join(part.removesuffix("_s") for part in PARTS), "| training | CPU | metric |")
    print("|---|", "---:|" * (len(PARTS) + 3), sep="")
    for name in names:
        measured(replace(request, sandbox=name, smoke=True), [sys.executable, "-m", "runner"])  # fills the cache
        run = measured(replace(request, sandbox=name), [sys.executable, "-m", "runner"])
        figures = " | ".join(f"{getattr(run, part):.2f}" for part in PARTS)
        share = run.train_s / run.wall_s
        print(f"| {name} | {figures} | {share:.0%} | {run.total_cpu_s:.1f} | {run.metric or run.reason} |", flush=True)
    print("\n`start` is what its processes take to start, and part of the others; `overhead` is what no other names.\n")


def starts(names: list[str]) -> None:
    print(f"## An empty process, from asking for it until it is gone: median of {STARTS}\n")
    print("| sandbox | until it can run | in all |\n|---|---:|---:|")
    limits = Limits(wall_s=60, memory_mib=512, output_mib=16)
    for name in names:
        asked, gone = [], []
        with run_folder(64) as folder:
            box = sandbox(name, run_dir=folder, has_gpu=False)
            shown = Folders(
                work=folder / "work",
                readable=(folder / "work",),
                scratch=folder / "scratch",
                output=folder / "output",
                fills_output=False,
            )
            for path in (shown.work, shown.scratch, shown.output):
                path.mkdir()
            for _ in range(STARTS):
                began_s = time.monotonic()
                process = box.start([box.python, "-I", "-S", "-c", "pass"], folders=shown, env={}, limits=limits)
                while process.poll(timeout_s=1.0) is None:
                    pass
                asked.append(process.kill().start_s)
                gone.append(time.monotonic() - began_s)
        print(f"| {name} | {median(asked):.2f} | {median(gone):.2f} |", flush=True)


def left(names: list[str], folder: Path) -> None:
    print("\n## What SIGKILL of the runner leaves\n")
    print(f"Counted right after it, and until only the run's folder is left, for {PATIENCE_S:g} s at most.\n")
    print("| sandbox | killed in | processes | containers | volumes | folders | rest gone after | after the next run |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    spirals = ROOT / "runner" / "spirals"
    source = (spirals / "train.py").read_text()
    honest = committed(folder / "honest", spirals, {})
    for name in names:
        for phase in KILLED:
            train = source.replace("def main() -> None:\n", "def main() -> None:\n    import time; time.sleep(600)\n")
            if phase is not Phase.TRAIN:
                hang = f"    import sys, time\n    if '{phase}' in sys.argv[3]: time.sleep(600)\n    with np.load("
                train = source.replace("    with np.load(", hang)
            request = committed(folder / f"{name}-{phase}", spirals, {"train.py": train})
            killed(replace(request, sandbox=name), phase, folder)
            measured(honest, [sys.executable, "-m", "runner"])
            after = sum(path.is_dir() for path in folder.glob("nightlab-*/*"))
            print(f" {after} |", flush=True)


def killed(request: Request, phase: Phase, folder: Path) -> None:
    pauses = phase in (Phase.FREEZE, Phase.SCORE)
    command = ["-c", PAUSING, phase, request.sandbox] if pauses else ["-m", "runner"]
    process = asked(request, [sys.executable, *command])
    if pauses:
        assert process.stderr is not None
        assert any(line == "paused\n" for line in process.stderr)
    else:
        assert process.stdout is not None
        assert any((p := decode_line(line).progress) is not None and p.phase is phase for line in process.stdout)
        time.sleep(2)
    below = descendants(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    first, began_s = counted(request.sandbox, below, folder), time.monotonic()
    while sum((now := counted(request.sandbox, below, folder))[:3]) and time.monotonic() - began_s < PATIENCE_S:
        time.sleep(0.05)
    took = f"{time.monotonic() - began_s:.1f} s" if not sum(now[:3]) else f"left: {now[:3]}"
    print(f"| {request.sandbox} | {phase} | {' | '.join(map(str, first))} | {took} |", end="")


def counted(name: str, below: list[int], folder: Path) -> tuple[int, int, int, int]:
    """Processes, containers, volumes and folders of runs."""
    containers = volumes = 0
    if name == "docker":
        from runner.sandbox import engine

        client = engine.connected()
        containers = len(client.containers(all=True, filters={"label": engine.RUN}))
        volumes = len(client.volumes(filters={"label": engine.RUN})["Volumes"] or [])
        client.close()
    folders = sum(path.is_dir() for path in folder.glob("nightlab-*/*"))
    return sum(map(lives, below)), containers, volumes, folders


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def asked(request: Request, command: list[str]) -> subprocess.Popen[str]:
    """A runner with this request, whose stdin stays open."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=ROOT, text=True, **pipes)
    assert process.stdin is not None
    process.stdin.write(encode(request))
    process.stdin.flush()
    return process


def measured(request: Request, command: list[str]) -> Run:
    with asked(request, command) as process:
        assert process.stdout is not None
        (run,) = [line.run for line in map(decode_line, process.stdout) if line.run]
    return run


def committed(folder: Path, shipped: Path, files: Mapping[str, str]) -> Request:
    """The request to measure that task as the main of a repository of its own."""
    shutil.copytree(shipped, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in files.items():
        (folder / name).write_text(text)
    git = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=n@localhost"]
    for arguments in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "main"]):
        subprocess.run([*git, *arguments], check=True)
    sha = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    task = Task(
        directory=".",
        preset="cpu",
        budget_steps=STEPS,
        budget_s=None,
        timeout_s=600,
        memory_mib=2048,
        output_mib=64,
        higher_is_better=shipped.name == "spirals",
    )
    return Request(
        run_id="benchmark",
        source=Source(git_url=str(folder), base_sha=sha, head_sha=sha, allowed=("train.py",)),
        task=task,
        seed=0,
        sandbox="subprocess",
        cache_dir=str(folder.parent / "cache"),
        hardware_class="benchmark",
    )


if __name__ == "__main__":
    main(sys.argv[1:] or ["docker", "bubblewrap", "subprocess"])
