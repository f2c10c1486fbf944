"""Wall seconds of each phase of the shipped task in each sandbox: `python benchmarks/sandboxes.py docker subprocess`.

docker needs an engine and NIGHTLAB_IMAGE: `.ci/docker .venv/bin/python benchmarks/sandboxes.py docker`.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from runner.bench import measure
from runner.protocol import Request, Source, Task

SHIPPED = Path(__file__).parents[1] / "runner" / "task"
STEPS = 100
PHASES = ("start_s", "train_s", "freeze_s", "predict_s", "audit_s", "score_s", "overhead_s", "wall_s", "total_cpu_s")


def main(sandboxes: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "repository"
        shutil.copytree(SHIPPED, repository, ignore=shutil.ignore_patterns("__pycache__"))
        git = ["git", "-C", str(repository), "-c", "user.name=n", "-c", "user.email=n@localhost"]
        for arguments in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "main"]):
            subprocess.run([*git, *arguments], check=True)
        sha = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
        print("| sandbox | metric |", " | ".join(PHASES), "|")
        print("|---|---|", "---:|" * len(PHASES), sep="")
        for sandbox in sandboxes:
            task = Task(
                directory=".",
                preset="cpu",
                budget_steps=STEPS,
                budget_s=None,
                timeout_s=600,
                memory_mib=2048,
                output_mib=64,
            )
            request = Request(
                run_id="benchmark",
                source=Source(git_url=str(repository), base_sha=sha, head_sha=sha, allowed=("train.py",)),
                task=task,
                seed=0,
                sandbox=sandbox,
                cache_dir=f"{folder}/cache",
                hardware_class="benchmark",
            )
            run = measure(request, lambda _: None)
            figures = " | ".join(f"{getattr(run, phase):.2f}" for phase in PHASES)
            print(f"| {sandbox} | {run.metric or run.reason} | {figures} |")


if __name__ == "__main__":
    main(sys.argv[1:] or ["subprocess"])
