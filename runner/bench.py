"""One run, in order: build the tree, prepare the data, train, predict, audit, score. See docs/task.md."""

import os
import platform
import random
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runner import worker
from runner.artefact import ArtefactError, frozen
from runner.cache import DiskError, require_space, run_folder
from runner.corpus import Corpus, PrepareError, digest, prepared
from runner.exchange import Listener, WorkerLostError
from runner.protocol import Phase, Progress, Request, Run, Status
from runner.sandbox import MAX_PROCESSES, Cause, Exit, Limits, Process, Sandbox, UnknownSandboxError, sandbox
from runner.score import (
    SCORE_VERSION,
    RejectedError,
    Tokens,
    Validation,
    bits_per_byte,
    draw_audit,
    judge,
    log_probabilities,
)
from runner.source import Checkout, GitError, TreeError
from runner.transcript import claimed_progress, exception_line, sanitised

SETUP_S = 120.0  # what a run budgeted in seconds may spend besides, on imports and compilation
EVALUATION_S = 300.0  # for one worker, from its start to its last answer
EVALUATION_GUESS_S = 7.0  # what predicting, auditing and scoring usually take; for the estimate shown only
REPLY_BYTES = 1 << 28
CURVE_POINTS = 60
_OUT_OF_MEMORY = re.compile(r"OutOfMemoryError|MemoryError|can't allocate memory|Cannot allocate memory")
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "SSL_CERT_FILE")

Report = Callable[[Progress], None]


class _FailedError(Exception):
    """The run is over, and why."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(slots=True)
class _Record:
    """What is known about the run so far; half of it when the run fails half-way."""

    run: Run
    clock_s: dict[Phase, float] = field(default_factory=dict)
    curve: list[tuple[int, float]] = field(default_factory=list)
    log: str = ""

    def note(self, exit_: Exit, log: str) -> None:
        self.log = log or self.log
        self.run = replace(
            self.run,
            total_cpu_s=self.run.total_cpu_s + exit_.cpu_s,
            peak_memory_mib=max(self.run.peak_memory_mib, exit_.peak_memory_mib),
        )

    @contextmanager
    def timed(self, phase: Phase) -> Iterator[None]:
        started_s = time.monotonic()
        try:
            yield
        finally:
            self.clock_s[phase] = time.monotonic() - started_s


def measure(request: Request, report: Report) -> Run:
    """Trains and scores one tree with one seed. Whatever the candidate does, the answer is a Run."""
    record = _Record(_blank(request))
    started_s, cpu_before_s = time.monotonic(), time.process_time()
    try:
        with run_folder(2 * request.task.output_mib) as folder:
            _measure(request, report, record, folder)
        status, reason = Status.OK, ""
    except _FailedError as error:
        status, reason = error.status, error.reason
    except (TreeError, ArtefactError, RejectedError) as error:
        status, reason = Status.INVALID, str(error)
    except (GitError, PrepareError, DiskError, UnknownSandboxError, OSError) as error:
        status, reason = Status.INFRASTRUCTURE, str(error)
    clock_s = record.clock_s
    phases = (Phase.TRAIN, Phase.PREDICT, Phase.AUDIT, Phase.SCORE)
    return replace(
        record.run,
        status=status,
        reason=sanitised(reason, 600),
        metric=record.run.metric if status is Status.OK else None,
        train_s=clock_s.get(Phase.TRAIN, 0.0),
        predict_s=clock_s.get(Phase.PREDICT, 0.0),
        audit_s=clock_s.get(Phase.AUDIT, 0.0),
        score_s=clock_s.get(Phase.SCORE, 0.0),
        overhead_s=time.monotonic() - started_s - sum(clock_s.get(phase, 0.0) for phase in phases),
        total_cpu_s=record.run.total_cpu_s + time.process_time() - cpu_before_s,
        curve=_thinned(record.curve),
        log_tail=sanitised(record.log),
    )


def _measure(request: Request, report: Report, record: _Record, folder: Path) -> None:
    task, cache_dir = request.task, Path(request.cache_dir)
    report(Progress(phase=Phase.BUILD))
    box = sandbox(request.sandbox)
    checkout = Checkout(source=request.source, cache_dir=cache_dir, run_dir=folder)
    record.run = replace(record.run, tree_sha=checkout.tree_sha)
    script = checkout.fixed_file(os.path.normpath(f"{task.directory}/prepare.py"))
    data = prepared(script=script, preset=task.preset, cache_dir=cache_dir)
    record.run = replace(record.run, environment_digest=_environment_digest(data))
    validation = Validation.load(data.validation)
    inside = _Inside(request, box, record, folder, checkout.folder / task.directory, data)

    report(Progress(phase=Phase.TRAIN))
    with record.timed(Phase.TRAIN):
        _train(inside, report)
    artefact = frozen(inside.out_dir, limit_mib=task.output_mib)
    record.run = replace(record.run, artefact_sha256=artefact.sha256, artefact_mib=artefact.size_mib)

    count, length = validation.inputs.shape
    batch_size = max(1, min(32, REPLY_BYTES // (length * data.meta.vocab_size * 4)))
    claimed = np.empty((count, length))
    order = np.array(random.SystemRandom().sample(range(count), count))
    with record.timed(Phase.PREDICT):
        for part, logits in _answers(inside, Phase.PREDICT, validation.inputs[order], batch_size, report):
            rows = order[part]
            claimed[rows] = log_probabilities(logits, validation.targets[rows])

    if frozen(inside.out_dir, limit_mib=task.output_mib) != artefact:  # the one way left to tell the second worker
        raise RejectedError("the model changed its own files while it was asked")
    audit = draw_audit(validation.inputs, random.SystemRandom())
    audited = np.empty(len(audit.rows))
    with record.timed(Phase.AUDIT):
        for part, logits in _answers(inside, Phase.AUDIT, audit.inputs, batch_size, report):
            columns, rows = audit.columns[part], audit.rows[part]
            at_column = logits[np.arange(len(rows)), columns]
            audited[part] = log_probabilities(at_column, validation.targets[rows, columns])

    report(Progress(phase=Phase.SCORE))
    with record.timed(Phase.SCORE):
        gap = judge(claimed[audit.rows, audit.columns], audited)
        metric = bits_per_byte(claimed, validation)
    record.run = replace(record.run, metric=metric, audited_positions=len(audit.rows), audit_max_gap=gap)


@dataclass(slots=True)
class _Inside:
    """What the candidate's processes get to see."""

    request: Request
    box: Sandbox
    record: _Record
    folder: Path
    task_dir: Path
    data: Corpus

    def __post_init__(self) -> None:
        self.out_dir.mkdir()

    @property
    def out_dir(self) -> Path:
        return self.folder / "out"

    def start(
        self, name: str, argv: list[str], *, env: dict[str, str], readable: tuple[Path, ...], wall_s: float
    ) -> Process:
        """Each process gets a temporary folder of its own, so that none finds what another left."""
        home, task = self.folder / f"{name}-home", self.request.task
        home.mkdir()
        fixed = {
            "HOME": str(home),
            "TMPDIR": str(home),
            "LANG": "C.UTF-8",
            "PYTHONHASHSEED": "0",
            "PYTHONUNBUFFERED": "1",
            "PRESET": task.preset,
        }
        if task.preset == "cpu":  # one thread: repeatable, and two runs at once do not disturb each other
            fixed |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        inherited = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        return self.box.start(
            [sys.executable, "-s", "-B", *argv],
            cwd=self.task_dir,
            env=inherited | fixed | env,
            readable=(self.folder / "tree", *readable),
            limits=Limits(
                wall_s=wall_s,
                memory_mib=task.memory_mib,
                output_mib=task.output_mib,
                writable=(self.out_dir, home),
            ),
        )


def _train(inside: _Inside, report: Report) -> None:
    """Runs train.py to its end. The clock is out here and covers everything after the process starts."""
    task, record = inside.request.task, inside.record
    wall_s = task.timeout_s if task.budget_s is None else min(task.timeout_s, 1.02 * task.budget_s + SETUP_S)
    budget = {"BUDGET_STEPS": task.budget_steps, "BUDGET_S": task.budget_s}
    env = {name: str(value) for name, value in budget.items() if value is not None}
    env |= {"SEED": str(inside.request.seed), "DATA_DIR": str(inside.data.train), "OUT_DIR": str(inside.out_dir)}
    started_s = time.monotonic()

    def on_line(line: str) -> None:
        claim = claimed_progress(line)
        if claim is None:
            return
        step, total, loss = claim
        fraction = min(1.0, step / total) if total else 0.0
        left_s = (time.monotonic() - started_s) * (1 / fraction - 1) if fraction else None
        record.curve.append((step, loss))
        record.run = replace(record.run, steps=step)
        report(
            Progress(
                phase=Phase.TRAIN,
                fraction=fraction,
                step=step,
                loss=loss,
                eta_s=None if left_s is None else left_s + EVALUATION_GUESS_S,
            )
        )

    process = inside.start("train", ["train.py"], env=env, readable=(inside.data.train,), wall_s=wall_s)
    try:
        while (ended := process.poll(timeout_s=1.0, on_line=on_line)) is None:
            pass
    finally:
        process.kill()
    record.note(ended, process.tail)
    record.run = replace(record.run, train_cpu_s=ended.cpu_s)
    _require_success(inside, ended, "train.py", process.tail, wall_s)


def _answers(
    inside: _Inside, phase: Phase, inputs: Tokens, batch_size: int, report: Report
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """A fresh worker's logits for `inputs` [N, T], batch by batch; every batch has the same shape."""
    task = inside.request.task
    wall_s, device = min(EVALUATION_S, task.timeout_s), "cuda" if task.preset == "gpu" else "cpu"
    address = inside.folder / f"{phase}.sock"
    listener = Listener(address)
    process = inside.start(
        phase,
        [worker.__file__, str(inside.task_dir), str(inside.out_dir), str(address), device],
        env={},
        readable=(inside.out_dir, address, Path(worker.__file__)),
        wall_s=wall_s,
    )
    try:
        exchange = listener.accept(process)
        for start in range(0, len(inputs), batch_size):
            report(Progress(phase=phase, fraction=start / len(inputs)))
            rows = slice(start, min(start + batch_size, len(inputs)))
            batch = np.resize(inputs[rows], (batch_size, inputs.shape[1]))  # the last one is filled up by repetition
            logits = exchange.ask(batch, inside.data.meta.vocab_size)
            yield rows, logits[: rows.stop - rows.start]
        exchange.close()
    except WorkerLostError as lost:
        _require_success(inside, lost.exit, "the model", process.tail, wall_s)
        raise RejectedError("the model's process ended before it had answered") from None
    finally:
        inside.record.note(process.kill(), process.tail)


def _require_success(inside: _Inside, ended: Exit, who: str, log: str, wall_s: float) -> None:
    """Raises _FailedError unless the process exited with code 0, or DiskError if that may be the disk's fault."""
    if ended.cause is not Cause.EXITED or ended.code:
        require_space(inside.folder, 0)
    task, last = inside.request.task, exception_line(log)
    if ended.cause is Cause.TIMED_OUT:
        raise _FailedError(Status.TIMED_OUT, f"{who} was not done after {wall_s:g} s")
    if ended.cause is Cause.OUT_OF_MEMORY or (ended.code and _OUT_OF_MEMORY.search(last)):
        raise _FailedError(Status.OUT_OF_MEMORY, f"{who} needed more memory than its {task.memory_mib} MiB")
    if ended.cause is Cause.OUTPUT_FULL:
        raise _FailedError(Status.INVALID, f"{who} wrote more than {task.output_mib} MiB or too many files")
    if ended.cause is Cause.TOO_MANY_PROCESSES:
        raise _FailedError(Status.CRASHED, f"{who} started more than {MAX_PROCESSES} processes")
    if ended.code < 0:
        raise _FailedError(Status.CRASHED, f"{who} was ended by {signal.Signals(-ended.code).name}")
    if ended.code:
        raise _FailedError(Status.CRASHED, f"{who} failed: {last or f'exit code {ended.code}'}")


def _environment_digest(data: Corpus) -> str:
    """What, besides code and hardware, a result depends on; runs compare only within one."""
    try:
        torch_version = version("torch")
    except PackageNotFoundError:
        torch_version = "none"
    return digest(
        {
            "corpus": data.meta.corpus_sha256,
            "tokenizer": data.meta.tokenizer_sha256,
            "prepare": data.prepare_sha256,
            "score": str(SCORE_VERSION),
            "torch": torch_version,
            "python": platform.python_version(),
        }
    )


def _thinned(curve: list[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    stride = max(1, -(-len(curve) // CURVE_POINTS))
    return tuple(curve[::-1][::stride][::-1])


def _blank(request: Request) -> Run:
    return Run(
        run_id=request.run_id,
        status=Status.INFRASTRUCTURE,
        reason="",
        tree_sha="",
        seed=request.seed,
        metric=None,
        hardware_class=request.hardware_class,
        slot=os.environ.get("NIGHTLAB_SLOT", f"{request.task.preset}0"),
        environment_digest="",
        steps=0,
        train_s=0.0,
        predict_s=0.0,
        audit_s=0.0,
        score_s=0.0,
        overhead_s=0.0,
        train_cpu_s=0.0,
        total_cpu_s=0.0,
        peak_memory_mib=0.0,
        artefact_mib=0.0,
        artefact_sha256="",
        audited_positions=0,
        audit_max_gap=0.0,
    )
