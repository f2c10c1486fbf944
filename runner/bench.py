"""One run, in order: build the tree, prepare the data, train, predict, audit, score. See docs/task.md."""

import os
from dataclasses import replace
from pathlib import Path

from runner import claims, split
from runner.artefact import ArtefactError, frozen
from runner.cache import DiskError, run_folder
from runner.candidate import Candidate, FailedError
from runner.claims import ClaimError
from runner.compiled import warmth
from runner.corpus import Corpus, PrepareError, digest, prepared
from runner.examination import examine, require_answers
from runner.protocol import Phase, Progress, Request, Run, Status
from runner.record import Record, Report, blank
from runner.sandbox.choice import sandbox
from runner.sandbox.interface import Image, Sandbox
from runner.score import SCORE_VERSION, RejectedError
from runner.source import Checkout, GitError, TreeError
from runner.training import train


def measure(request: Request, report: Report) -> Run:
    """Trains and scores one tree with one seed. Whatever the candidate does, the answer is a Run."""
    record = Record(blank(request))
    try:
        with run_folder(2 * request.task.output_mib) as folder:
            _measure(request, report, record, folder)
    except FailedError as error:
        return record.ended(error.status, error.reason)
    except (TreeError, ArtefactError, RejectedError, ClaimError) as error:
        return record.ended(Status.INVALID, str(error))
    except (GitError, PrepareError, DiskError, OSError) as error:
        return record.ended(Status.INFRASTRUCTURE, str(error))
    return record.ended(Status.OK, "")


def _measure(request: Request, report: Report, record: Record, folder: Path) -> None:
    task, cache_dir = request.task, Path(request.cache_dir)
    report(Progress(phase=Phase.BUILD))
    checkout = Checkout(source=request.source, cache_dir=cache_dir, run_dir=folder)
    record.run = replace(record.run, tree_sha=checkout.tree_sha)
    image = Image(name=task.image, cache_dir=cache_dir, context=checkout.image_context, tar=checkout.tar)
    box = sandbox(request.sandbox, run_dir=folder, has_gpu=task.preset == "gpu", image=image)
    record.run = replace(record.run, sandbox=request.sandbox)
    candidate = Candidate(request=request, box=box, folder=folder, task_dir=checkout.folder / task.directory)
    if task.claims is not None:
        home = claims.offered_home(task.claims, os.environ)
        environment = claims.environment_digest(
            task.claims, checkout=checkout, directory=task.directory, home=home, box=box
        )
        record.run = replace(record.run, environment_digest=environment)
        claims.run_command(candidate, record, report, claims=task.claims, home=home)
        return
    script = checkout.fixed_file(os.path.normpath(f"{task.directory}/prepare.py"))
    data = prepared(script=script, preset=task.preset, cache_dir=cache_dir)
    record.run = replace(record.run, environment_digest=_environment_digest(data, box))
    record.run = replace(record.run, has_holdout=data.holdout.is_dir())
    questions = split.load(data, data.holdout if request.split == "holdout" else data.validation)
    split.require_direction(questions, higher_is_better=task.higher_is_better)
    warm = warmth(candidate, data=data, environment=record.run.environment_digest)
    train(
        candidate,
        record,
        report,
        argv=[*warm.prefix, *candidate.python, "train.py"],
        who="train.py",
        env={"DATA_DIR": str(data.train), **warm.env},
        readable=(data.train, *warm.readable),
        collects=True,
    )
    with record.timed(Phase.FREEZE):
        artefact = frozen(candidate.out_dir, limit_mib=task.output_mib)
    record.run = replace(record.run, artefact_sha256=artefact.sha256, artefact_mib=artefact.size_mib)
    if request.smoke:
        require_answers(candidate, record, report, split=questions)
    else:
        examine(candidate, record, report, split=questions, artefact=artefact)


def _environment_digest(data: Corpus, box: Sandbox) -> str:
    """What, besides code and hardware, a result depends on; runs compare only within one."""
    return digest(
        {
            "corpus": data.meta.corpus_sha256,
            "tokenizer": data.meta.tokenizer_sha256,
            "prepare": data.prepare_sha256,
            "kind": data.meta.kind,
            "score": str(SCORE_VERSION),
            **box.environment,
        }
    )
