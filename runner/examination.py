"""What a trained model is worth: asked by one fresh worker, audited by another, judged and scored here."""

import random
import shutil
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner import worker
from runner.artefact import Artefact, frozen
from runner.candidate import Candidate
from runner.exchange import Listener, WorkerLostError
from runner.protocol import AUDIT_TOLERANCE, Phase, Progress
from runner.record import Record, Report
from runner.score import RejectedError
from runner.split import Split

EVALUATION_S = 300.0  # for one worker, from its start to its last answer
REPLY_BYTES = 1 << 28
MOST_IN_BATCH = {True: 32, False: 256}  # texts, arrays


def examine(candidate: Candidate, record: Record, report: Report, *, split: Split, artefact: Artefact) -> None:
    """Gives the record its metric. Raises FailedError or RejectedError."""
    claimed = split.blank()
    order = np.array(random.SystemRandom().sample(range(len(claimed)), len(claimed)))
    with record.timed(Phase.PREDICT):
        asked = _answers(candidate, record, report, Phase.PREDICT, split, split.inputs[order])
        with closing(asked):  # ends the worker at once, whatever is wrong with an answer
            for part, answers in asked:
                claimed[order[part]] = split.read(answers, order[part])

    if frozen(candidate.out_dir, limit_mib=candidate.request.task.output_mib) != artefact:  # a note for the second one
        raise RejectedError("the model changed its own files while it was asked")
    audit = split.draw(random.SystemRandom())
    tolerance = max(AUDIT_TOLERANCE, min(candidate.request.audit_tolerance, split.tolerance_cap))
    record.run = replace(record.run, audit_tolerance=tolerance, audit_unit=split.gap_unit)
    audited = []
    with record.timed(Phase.AUDIT):
        asked = _answers(candidate, record, report, Phase.AUDIT, split, audit.inputs)
        with closing(asked):
            for part, answers in asked:
                audited.append(split.read_again(answers, audit, part))

    report(Progress(phase=Phase.SCORE))
    with record.timed(Phase.SCORE):
        gap = split.judge(claimed, np.concatenate(audited), audit, tolerance)
        metric = split.metric(claimed)
    record.run = replace(
        record.run,
        metric=metric,
        audited_positions=len(audit.rows),
        audit_max_gap=gap,
        cheat_gain=split.cheat_gain(),
        hidden_gain=split.hidden_gain(tolerance),
    )


def require_answers(candidate: Candidate, record: Record, report: Report, *, split: Split) -> None:
    """Raises RejectedError or FailedError unless the model answers about one batch that is not of the split."""
    inputs = split.random_inputs(_batch_size(split))
    with record.timed(Phase.PREDICT):
        asked = _answers(candidate, record, report, Phase.PREDICT, split, inputs)
        with closing(asked):
            for part, answers in asked:
                split.read(answers, np.arange(part.start, part.stop) % len(split.inputs))


def _batch_size(split: Split) -> int:
    most = MOST_IN_BATCH[len(split.answer) == 2]
    return max(1, min(most, REPLY_BYTES // (4 * int(np.prod(split.answer)))))


def _answers(
    candidate: Candidate, record: Record, report: Report, phase: Phase, split: Split, inputs: NDArray[Any]
) -> Generator[tuple[slice, NDArray[np.float32]], None, None]:
    """A fresh worker's answers about `inputs` [N, ...], batch by batch; every batch has the same shape."""
    task = candidate.request.task
    wall_s, device = min(EVALUATION_S, task.timeout_s), "cuda" if task.preset == "gpu" else "cpu"
    address, batch_size = candidate.folder / f"{phase}.sock", _batch_size(split)
    sizes = [] if len(split.answer) == 2 else [str(size) for size in inputs.shape[1:]]
    report(Progress(phase=phase))
    # From the run's folder: an engine outside a runner's own container finds nothing of what is installed in there.
    program = candidate.folder / f"{phase}.py"
    shutil.copyfile(worker.__file__, program)
    listener = Listener(address)
    process = candidate.start(
        phase,
        [
            *candidate.python,
            str(program),
            str(candidate.task_dir),
            str(candidate.out_dir),
            str(address),
            device,
            *sizes,
        ],
        env={},
        readable=(address, program),
        wall_s=wall_s,
    )
    try:
        exchange = listener.accept(process)
        for start in range(0, len(inputs), batch_size):
            report(Progress(phase=phase, fraction=start / len(inputs)))
            rows = slice(start, min(start + batch_size, len(inputs)))
            batch = np.resize(inputs[rows], (batch_size, *inputs.shape[1:]))  # the last is filled up by repetition
            yield rows, exchange.ask(batch, split.answer)[: rows.stop - rows.start]
        exchange.close()
    except WorkerLostError as lost:
        candidate.require_success(lost.exit, "the model", process.tail, wall_s)
        raise RejectedError("the model's process ended before it had answered") from None
    finally:
        record.note(process.kill(), process.tail)
