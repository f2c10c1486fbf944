"""The one process of a run that trains: started, watched, and gone before anybody looks at what it left."""

import time
from dataclasses import replace
from pathlib import Path

from runner.candidate import Candidate
from runner.hardware import Watch
from runner.protocol import Phase, Progress
from runner.record import Record, Report
from runner.transcript import claimed_progress

SETUP_S = 120.0  # what a run budgeted in seconds may spend besides, on imports and compilation
EVALUATION_GUESS_S = 7.0  # what predicting, auditing and scoring usually take; for the estimate shown only
REPORT_S = 0.2  # at most one report of training in this time


def train(
    candidate: Candidate,
    record: Record,
    report: Report,
    *,
    argv: list[str],
    who: str,
    env: dict[str, str],
    readable: tuple[Path, ...],
    collects: bool,
) -> str:
    """Runs `argv` to its end; what it printed last. Raises FailedError, about `who`, unless it exits with 0.

    The clock is out here and covers everything after the process starts. What it left is collected, or lost.
    """
    task = candidate.request.task
    wall_s = task.timeout_s if task.budget_s is None else min(task.timeout_s, 1.02 * task.budget_s + SETUP_S)
    budget = {"BUDGET_STEPS": task.budget_steps, "BUDGET_S": task.budget_s}
    fixed = {name: str(value) for name, value in budget.items() if value is not None}
    fixed |= {"SEED": str(candidate.request.seed), "OUT_DIR": str(candidate.out_dir)}
    started_s = time.monotonic()
    reported_s = 0.0

    def on_line(line: str) -> None:
        nonlocal reported_s
        claim = claimed_progress(line)
        if claim is None:
            return
        step, total, loss = claim
        record.claim(step, loss)
        now_s, fraction = time.monotonic(), min(1.0, step / total) if total else 0.0
        if now_s - reported_s < REPORT_S:
            return
        reported_s = now_s
        left_s = (now_s - started_s) * (1 / fraction - 1) + EVALUATION_GUESS_S if fraction else None
        report(Progress(phase=Phase.TRAIN, fraction=fraction, step=step, loss=loss, eta_s=left_s))

    report(Progress(phase=Phase.TRAIN))
    process = candidate.start("train", argv, env=fixed | env, readable=readable, wall_s=wall_s, trains=True)
    watch = Watch(has_gpu=task.preset == "gpu")
    try:
        with watch:
            while (ended := process.poll(timeout_s=1.0, on_line=on_line)) is None:
                pass
        record.note(ended, process.tail)
        record.clock_s[Phase.TRAIN] = ended.wall_s
        software = ", ".join(f"{name} {value}" for name, value in sorted(candidate.box.environment.items()))
        hardware = watch.ended(train_cpu_s=ended.cpu_s, software=software)
        record.run = replace(record.run, train_cpu_s=ended.cpu_s, hardware=hardware)
        candidate.require_success(ended, who, process.tail, wall_s)
        if collects:
            with record.timed(Phase.FREEZE):
                process.collect()
        return process.tail
    finally:
        process.kill()
