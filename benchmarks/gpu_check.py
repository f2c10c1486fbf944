"""Does Nightlab measure well on this GPU? One command, one page: benchmarks/gpu_check.md.

    python benchmarks/gpu_check.py                        5 minutes a run, two runs of each side: about 25 minutes
    python benchmarks/gpu_check.py --pairs 4              four of each side, for a noise worth quoting
    python benchmarks/gpu_check.py --preset cpu --quick   the same on a CPU in a minute or two: checks this script

It makes a repository of the shipped task with its real budget, profiles a training step, and lets `nightlab bench`
compare a known edit with main. Without a network the `gpu` preset trains on the Python library's sources instead of its
own corpus, which the page says: speeds then hold, and metrics compare with nothing else.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.__main__ import describe

HERE = Path(__file__).parent
TASK = HERE.parent / "runner" / "task"
OLD, NEW = "MUON_MOMENTUM = 0.95 ", "MUON_MOMENTUM = 0.90 "  # a small edit, so that the verdict has something to weigh
STAND_IN = (  # of prepare.py, for a machine without the corpus: fewer held-out sequences, since there is less text
    ('_standard_library() if name == "cpu" else _climbmix(preset.shards)', "_standard_library()"),
    ("validation_sequences=128, step_flops=0", "validation_sequences=16, step_flops=0"),
)
NEEDED = {  # of memory, free disk and time limits, per preset
    "gpu": "task:\n  preset: gpu\n  budget: {{seconds: {budget:g}}}\n  timeout_s: {timeout:g}\n  memory_mib: 65536\n"
    "  output_mib: 2048\n",
    "cpu": "task:\n  budget: {{steps: {budget:g}}}\n  timeout_s: {timeout:g}\n",
}
PHASES = ("start_s", "train_s", "freeze_s", "predict_s", "audit_s", "score_s", "overhead_s")

# Runs in the task's folder with the prepared data, as training does; prints JSON.
PROFILE = """
import json, os, sys, time
from pathlib import Path
import torch
import train as task
from prepare import Batches
from torch.profiler import ProfilerActivity, profile

gpu = task.DEVICE == "cuda"
torch.manual_seed(0)
torch.set_float32_matmul_precision("high")
batches = Batches(data_dir=Path(os.environ["DATA_DIR"]), batch_size=task.BATCH_SIZE, sequence_length=task.CONTEXT,
                  seed=0, device=task.DEVICE)
model = task.GPT().to(task.DEVICE)
network = torch.compile(model) if gpu else model
steppers = task.optimisers(model)

def step():
    for _ in range(task.ACCUMULATION):
        (task.training_loss(network, *batches.next()) / task.ACCUMULATION).backward()
    for stepper in steppers:
        stepper.step()
        stepper.zero_grad()
    if gpu:
        torch.cuda.synchronize()

began = time.monotonic()
step()
first_s = time.monotonic() - began
for _ in range(5):
    step()
times = []
for _ in range(20):
    began = time.monotonic()
    step()
    times.append(time.monotonic() - began)
with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]) as seen:
    for _ in range(5):
        step()
rows = []
for event in seen.key_averages():
    own = event.self_device_time_total if gpu else event.self_cpu_time_total
    rows.append((own / 5000, event.count / 5, event.key))
rows.sort(reverse=True)
tokens = task.BATCH_SIZE * task.ACCUMULATION * task.CONTEXT
print(json.dumps({"first_s": first_s, "steps_s": times, "tokens": tokens,
                  "parameters": sum(p.numel() for p in model.parameters()),
                  "peak_mib": torch.cuda.max_memory_allocated() / 2**20 if gpu else 0,
                  "cuda": torch.version.cuda or "", "torch": torch.__version__, "rows": rows[:14]}))
"""


@dataclass(frozen=True)
class Plan:
    preset: str
    budget: float  # seconds on a GPU, steps on a CPU
    pairs: int
    page: Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--pairs", type=int, default=2, help="runs of each side, at least 2 (default: 2)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the budget; the page says so")
    parser.add_argument("--page", type=Path, help="where to write (default: gpu_check.md beside this script)")
    given = parser.parse_args()
    page = given.page or (HERE / "gpu_check.md" if given.preset == "gpu" else None)
    if page is None:
        page = Path(tempfile.gettempdir()) / "gpu_check.md"  # what a CPU gives is no result of a GPU
    whole = 300.0 if given.preset == "gpu" else 400.0
    plan = Plan(preset=given.preset, budget=whole / (10 if given.quick else 1), pairs=max(2, given.pairs), page=page)
    problems = lacking(plan)
    for problem in problems:
        print(f"cannot check: {problem}")
    if problems:
        return 1
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        return check(plan, Path(folder), quick=given.quick)


def lacking(plan: Plan) -> list[str]:
    """What this machine lacks, a sentence each; looked for before anything takes time."""
    found = []
    missing = [name for name in ("torch", "tiktoken", "rustbpe", "numpy") if not _has_module(name)]
    if missing:
        found.append(f"this Python has no {', '.join(missing)}: pip install 'nightlab[runner]'")
    if shutil.disk_usage(tempfile.gettempdir()).free < 8 * 2**30:
        found.append(f"less than 8 GiB are free in {tempfile.gettempdir()}: set TMPDIR to a larger disk")
    if plan.preset == "cpu" or missing:
        return found
    if not describe()["gpus"]:
        found.append("nvidia-smi shows no GPU here: is the driver installed, and the GPU passed to this container?")
        return found
    probe = "import torch; print(torch.version.cuda if torch.cuda.is_available() else '')"
    if not _python(probe):
        found.append("torch does not see the GPU: install the CUDA build of torch, not the CPU one")
    if not (shutil.which("gcc") or shutil.which("cc") or os.environ.get("CC")):
        found.append("torch.compile needs a C compiler: install gcc")
    return found


def _has_module(name: str) -> bool:
    return _python(f"import importlib.util; print(importlib.util.find_spec({name!r}) or '')") != ""


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def check(plan: Plan, folder: Path, *, quick: bool) -> int:
    said = [*(["a tenth of the budget (`--quick`)"] if quick else [])]
    repository = folder / "repository"
    shutil.copytree(TASK, repository, ignore=shutil.ignore_patterns("__pycache__"))
    print("preparing the data", flush=True)
    if why := unprepared(repository, folder / "data", plan.preset):
        if plan.preset == "cpu":
            print(f"cannot check: {why}")
            return 1
        print(f"no corpus ({why}): the Python library's sources take its place", flush=True)
        said.append("a small stand-in corpus, the Python library's sources: speeds hold, metrics compare with nothing")
        stand_in(repository)
        shutil.rmtree(folder / "data", ignore_errors=True)
        if why := unprepared(repository, folder / "data", plan.preset):
            print(f"cannot check: {why}")
            return 1
    commit(repository, plan)
    print("profiling a training step", flush=True)
    step = profile(repository, folder / "data", plan.preset)
    print(f"{plan.pairs} runs of each side, in turns", flush=True)
    result = bench(repository, folder, plan)
    plan.page.write_text(report(plan, step, result, said))
    print(f"wrote {plan.page}")
    return 0 if result["result"] == "measured" else 1


def unprepared(repository: Path, data: Path, preset: str) -> str:
    """Builds the data; why that did not succeed, or empty."""
    data.mkdir()
    done = subprocess.run(
        [sys.executable, "-B", "prepare.py"],
        cwd=repository,
        env={**os.environ, "DATA_DIR": str(data), "PRESET": preset},
        capture_output=True,
        text=True,
        check=False,
    )
    return (done.stderr.strip().splitlines() or ["?"])[-1] if done.returncode else ""


def stand_in(repository: Path) -> None:
    path = repository / "prepare.py"
    text = path.read_text()
    for old, new in STAND_IN:
        assert text.count(old) == 1, f"prepare.py has changed: {old!r} is not in it once"
        text = text.replace(old, new)
    path.write_text(text)


def commit(repository: Path, plan: Plan) -> None:
    """Main, and the branch `edit`."""
    kept = "docker" if os.environ.get("NIGHTLAB_IMAGE") else "subprocess"
    task = NEEDED[plan.preset].format(budget=plan.budget, timeout=plan.budget + 900)
    (repository / ".github").mkdir()
    (repository / ".github" / "nightlab.yml").write_text(
        f"version: 1\nsandbox: {kept}\npaths:\n  allow: [/train.py]\n{task}"
    )
    git = ["git", "-C", str(repository), "-c", "user.name=gpu-check", "-c", "user.email=gpu-check@localhost"]
    train = repository / "train.py"
    for arguments in (["init", "--quiet", "--initial-branch=main"], ["add", "--all"], ["commit", "-qm", "main"]):
        subprocess.run([*git, *arguments], check=True)
    text = train.read_text()
    assert text.count(OLD) == 1, f"train.py has changed: {OLD!r} is not in it once"
    train.write_text(text.replace(OLD, NEW))
    for arguments in (["checkout", "-qb", "edit"], ["commit", "-qam", "edit"], ["checkout", "-q", "main"]):
        subprocess.run([*git, *arguments], check=True)


def profile(repository: Path, data: Path, preset: str) -> dict[str, Any]:
    """Empty when it fails: then the runs below say why."""
    one_thread = {"OMP_NUM_THREADS": "1"} if preset == "cpu" else {}
    done = subprocess.run(
        [sys.executable, "-B", "-c", PROFILE],
        cwd=repository,
        env={**os.environ, **one_thread, "DATA_DIR": str(data / "train"), "PRESET": preset, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print("the profile failed:", done.stderr.strip().splitlines()[-1:])
        return {}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def bench(repository: Path, folder: Path, plan: Plan) -> dict[str, Any]:
    """Through the command that users have."""
    written = folder / "result.json"
    command = [sys.executable, "-m", "bot.cli", "bench", "--repository", str(repository), "--head", "edit"]
    command += ["--base", "main", "-n", str(plan.pairs), "--json", str(written)]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    subprocess.run(command, cwd=HERE.parent, env=environment, check=False)
    result: dict[str, Any] = json.loads(written.read_text())
    return result


def report(plan: Plan, step: dict[str, Any], result: dict[str, Any], said: list[str]) -> str:
    """The page."""
    runs = [run for run in result["runs"] if run["status"] == "ok"]
    seen = runs[0]["hardware"] if runs else {}
    machine = describe()
    gpu = f"{seen['gpu']} ({seen['gpu_uuid']}), driver {seen['driver']}, CUDA {seen['cuda']}" if seen.get("gpu") else ""
    unit = "seconds" if plan.preset == "gpu" else "steps"
    lines = [
        f"# The {plan.preset} preset on {seen.get('gpu') or seen.get('cpu') or machine['hardware_class']}",
        "",
        f"Made by `{' '.join(['python', 'benchmarks/gpu_check.py', *sys.argv[1:]])}`: budget {plan.budget:g} {unit}.",
        f"Machine: {gpu + '; ' if gpu else ''}{machine['cores']} cores ({seen.get('cpu', 'n/a')}), "
        f"torch {machine['torch']}, Python {machine['python']}.",
        *([f"**Not the usual conditions:** {'; '.join(said)}."] if said else []),
        "",
        *_step_lines(plan, step),
        "## Runs",
        "",
        "| side | seed | metric | steps | steps/s | peak MiB | clock MHz (lowest) | W | °C | throttled | status |",
        "|---|---:|---:|---:|---:|---:|---|---:|---:|---|---|",
        *map(_run_line, result["runs"]),
        "",
        f"Mean seconds by phase: {_phases(runs)}.",
        "",
        "## Noise and verdict",
        "",
        *_verdict_lines(result, runs),
        "",
    ]
    return "\n".join(lines)


def _step_lines(plan: Plan, step: dict[str, Any]) -> list[str]:
    if not step:
        return ["The profile of a step failed; see what the script printed.", ""]
    middle = statistics.median(step["steps_s"])
    rows = [f"| {own:.3f} | {count:.0f} | `{name[:90]}` |" for own, count, name in step["rows"]]
    return [
        "## A training step",
        "",
        f"{middle * 1000:.1f} ms (median of {len(step['steps_s'])}; {min(step['steps_s']) * 1000:.1f} to "
        f"{max(step['steps_s']) * 1000:.1f}), {step['tokens'] / middle:,.0f} tokens/s, {step['parameters']:,} "
        f"parameters, peak {step['peak_mib']:.0f} MiB on the GPU; the first step, compilation included, "
        f"{step['first_s']:.1f} s.",
        "",
        f"| own ms a step ({'GPU' if plan.preset == 'gpu' else 'CPU'}) | calls | operation |",
        "|---:|---:|---|",
        *rows,
        "",
    ]


def _run_line(run: dict[str, Any]) -> str:
    seen = run["hardware"]
    speed = f"{run['steps'] / run['train_s']:.3g}" if run["train_s"] else "n/a"
    clock = f"{seen['gpu_mhz']:.0f} ({seen['gpu_mhz_low']:.0f})" if seen["gpu"] else f"{seen['cpu_mhz']:.0f}"
    throttled = ", ".join(f"{reason} {share:.0%}" for reason, share in seen["throttled"]) or "no"
    metric = f"{run['metric']:.5f}" if run["metric"] is not None else "n/a"
    return (
        f"| {run['side']} | {run['seed']} | {metric} | {run['steps']} | {speed} | {run['peak_memory_mib']:.0f} "
        f"| {clock} | {seen['gpu_watts']:.0f} | {seen['gpu_celsius']:.0f} | {throttled} "
        f"| {run['status']} {run['reason'][:120]} |"
    )


def _phases(runs: list[dict[str, Any]]) -> str:
    if not runs:
        return "no run was finished"
    means = [(phase, statistics.fmean(run[phase] for run in runs)) for phase in PHASES]
    whole = sum(seconds for phase, seconds in means if phase != "start_s")  # which is a part of the others
    trained = dict(means)["train_s"]
    shown = ", ".join(f"{phase.removesuffix('_s')} {seconds:.1f}" for phase, seconds in means)
    return f"{shown}; {whole:.1f} in all, of which training is {trained / whole:.0%}"


def _verdict_lines(result: dict[str, Any], runs: list[dict[str, Any]]) -> list[str]:
    of_main = [run["metric"] for run in runs if run["side"] == "base"]
    noise = (
        f"Main over {len(of_main)} seeds: {statistics.fmean(of_main):.5f}, standard deviation "
        f"{statistics.stdev(of_main):.5f}."
        if len(of_main) > 1
        else "Too few runs of main for a standard deviation."
    )
    if result["result"] != "measured":
        return [noise, "", f"No verdict: {result['reason']}."]
    return [
        noise,
        "",
        f"`{OLD.strip()}` to `{NEW.strip()}`: {result['difference']:+.5f} ± {result['standard_error']:.5f} "
        f"{result['metric']['unit']}, 95 % interval {result['interval'][0]:+.5f} to {result['interval'][1]:+.5f}, "
        f"E = {result['evalue']:.3g}, {result['form']}; {result['decision']}: {result['reason']}.",
    ]


if __name__ == "__main__":
    sys.exit(main())
