"""One run, in order: build the tree, prepare the data, train, predict, audit, score. See docs/task.md."""

import os
import random
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runner import worker
from runner.artefact import ArtefactError, frozen
from runner.cache import DiskError, run_folder
from runner.candidate import Candidate, FailedError
from runner.corpus import Corpus, PrepareError, digest, prepared
from runner.exchange import Listener, WorkerLostError
from runner.protocol import Phase, Progress, Request, Run, Status
from runner.record import Record, blank
from runner.sandbox import Sandbox, sandbox
from runner.score import (
    SCORE_VERSION,
    RejectedError,
    Tokens,
    Validation,
    bits_per_byte,
    cheat_gain_bits_per_byte,
    draw_audit,
    judge,
    log_probabilities,
)
from runner.source import Checkout, GitError, TreeError
from runner.transcript import claimed_progress

SETUP_S = 120.0  # what a run budgeted in seconds may spend besides, on imports and compilation
EVALUATION_S = 300.0  # for one worker, from its start to its last answer
EVALUATION_GUESS_S = 7.0  # what predicting, auditing and scoring usually take; for the estimate shown only
REPORT_S = 0.2  # at most one report of training in this time
REPLY_BYTES = 1 << 28

Report = Callable[[Progress], None]


def measure(request: Request, report: Report) -> Run:
    """Trains and scores one tree with one seed. Whatever the candidate does, the answer is a Run."""
    record = Record(blank(request))
    try:
        with run_folder(2 * request.task.output_mib) as folder:
            _measure(request, report, record, folder)
    except FailedError as error:
        return record.ended(error.status, error.reason)
    except (TreeError, ArtefactError, RejectedError) as error:
        return record.ended(Status.INVALID, str(error))
    except (GitError, PrepareError, DiskError, OSError) as error:
        return record.ended(Status.INFRASTRUCTURE, str(error))
    return record.ended(Status.OK, "")


def _measure(request: Request, report: Report, record: Record, folder: Path) -> None:
    task, cache_dir = request.task, Path(request.cache_dir)
    report(Progress(phase=Phase.BUILD))
    box = sandbox(request.sandbox, run_dir=folder, has_gpu=task.preset == "gpu")
    record.run = replace(record.run, sandbox=request.sandbox)
    checkout = Checkout(source=request.source, cache_dir=cache_dir, run_dir=folder)
    record.run = replace(record.run, tree_sha=checkout.tree_sha)
    script = checkout.fixed_file(os.path.normpath(f"{task.directory}/prepare.py"))
    data = prepared(script=script, preset=task.preset, cache_dir=cache_dir)
    record.run = replace(record.run, environment_digest=_environment_digest(data, box))
    validation = Validation.load(data.validation)
    candidate = Candidate(request=request, box=box, folder=folder, task_dir=checkout.folder / task.directory, data=data)

    report(Progress(phase=Phase.TRAIN))
    _train(candidate, record, report)
    with record.timed(Phase.FREEZE):
        artefact = frozen(candidate.out_dir, limit_mib=task.output_mib)
    record.run = replace(record.run, artefact_sha256=artefact.sha256, artefact_mib=artefact.size_mib)

    count, length = validation.inputs.shape
    batch_size = max(1, min(32, REPLY_BYTES // (length * data.meta.vocab_size * 4)))
    claimed = np.empty((count, length))
    order = np.array(random.SystemRandom().sample(range(count), count))
    with record.timed(Phase.PREDICT):
        asked = _answers(candidate, record, Phase.PREDICT, validation.inputs[order], batch_size, report)
        with closing(asked):  # ends the worker at once, whatever is wrong with an answer
            for part, logits in asked:
                rows = order[part]
                claimed[rows] = log_probabilities(logits, validation.targets[rows])

    if frozen(candidate.out_dir, limit_mib=task.output_mib) != artefact:  # a note for the second worker
        raise RejectedError("the model changed its own files while it was asked")
    audit = draw_audit(validation.inputs, random.SystemRandom())
    audited = np.empty(len(audit.rows))
    with record.timed(Phase.AUDIT):
        asked = _answers(candidate, record, Phase.AUDIT, audit.inputs, batch_size, report)
        with closing(asked):
            for part, logits in asked:
                columns, rows = audit.columns[part], audit.rows[part]
                at_column = logits[np.arange(len(rows)), columns]
                audited[part] = log_probabilities(at_column, validation.targets[rows, columns])

    report(Progress(phase=Phase.SCORE))
    with record.timed(Phase.SCORE):
        gap = judge(claimed[audit.rows, audit.columns], audited)
        metric = bits_per_byte(claimed, validation)
    record.run = replace(
        record.run,
        metric=metric,
        audited_positions=len(audit.rows),
        audit_max_gap=gap,
        cheat_gain=cheat_gain_bits_per_byte(data.meta.vocab_size, validation),
    )


def _train(candidate: Candidate, record: Record, report: Report) -> None:
    """Runs train.py to its end. The clock is out here and covers everything after the process starts."""
    task = candidate.request.task
    wall_s = task.timeout_s if task.budget_s is None else min(task.timeout_s, 1.02 * task.budget_s + SETUP_S)
    budget = {"BUDGET_STEPS": task.budget_steps, "BUDGET_S": task.budget_s}
    env = {name: str(value) for name, value in budget.items() if value is not None}
    env |= {
        "SEED": str(candidate.request.seed),
        "DATA_DIR": str(candidate.data.train),
        "OUT_DIR": str(candidate.out_dir),
    }
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

    process = candidate.start(
        "train", ["train.py"], env=env, readable=(candidate.data.train,), wall_s=wall_s, trains=True
    )
    try:
        while (ended := process.poll(timeout_s=1.0, on_line=on_line)) is None:
            pass
        record.note(ended, process.tail)
        record.clock_s[Phase.TRAIN] = ended.wall_s
        record.run = replace(record.run, train_cpu_s=ended.cpu_s)
        candidate.require_success(ended, "train.py", process.tail, wall_s)
        with record.timed(Phase.FREEZE):
            process.collect()
    finally:
        process.kill()


def _answers(
    candidate: Candidate, record: Record, phase: Phase, inputs: Tokens, batch_size: int, report: Report
) -> Generator[tuple[slice, NDArray[np.float32]], None, None]:
    """A fresh worker's logits for `inputs` [N, T], batch by batch; every batch has the same shape."""
    task = candidate.request.task
    wall_s, device = min(EVALUATION_S, task.timeout_s), "cuda" if task.preset == "gpu" else "cpu"
    address = candidate.folder / f"{phase}.sock"
    report(Progress(phase=phase))
    listener = Listener(address)
    process = candidate.start(
        phase,
        [worker.__file__, str(candidate.task_dir), str(candidate.out_dir), str(address), device],
        env={},
        readable=(address, Path(worker.__file__)),
        wall_s=wall_s,
    )
    try:
        exchange = listener.accept(process)
        for start in range(0, len(inputs), batch_size):
            report(Progress(phase=phase, fraction=start / len(inputs)))
            rows = slice(start, min(start + batch_size, len(inputs)))
            batch = np.resize(inputs[rows], (batch_size, inputs.shape[1]))  # the last one is filled up by repetition
            logits = exchange.ask(batch, candidate.data.meta.vocab_size)
            yield rows, logits[: rows.stop - rows.start]
        exchange.close()
    except WorkerLostError as lost:
        candidate.require_success(lost.exit, "the model", process.tail, wall_s)
        raise RejectedError("the model's process ended before it had answered") from None
    finally:
        record.note(process.kill(), process.tail)


def _environment_digest(data: Corpus, box: Sandbox) -> str:
    """What, besides code and hardware, a result depends on; runs compare only within one."""
    return digest(
        {
            "corpus": data.meta.corpus_sha256,
            "tokenizer": data.meta.tokenizer_sha256,
            "prepare": data.prepare_sha256,
            "score": str(SCORE_VERSION),
            **box.environment,
        }
    )
