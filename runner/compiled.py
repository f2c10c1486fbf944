"""Compiled kernels, kept warm between runs: made by main alone, copied by each run, changed by none.

Compiling takes a GPU's run tens of seconds that train nothing. So for each main its own train.py is run for a moment in
the same sandbox, and what torch's compiler and Triton leave in their caches is kept. A run sees that folder read-only
and works on a copy in its scratch space, which goes with it. The folder's hash is looked at before every use, since the
subprocess sandbox separates nothing. Nobody's budget changes: train.py compiles before its clock starts.
"""

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from runner import launch
from runner.artefact import ArtefactError, frozen
from runner.cache import locked, remove
from runner.candidate import Candidate, FailedError
from runner.corpus import Corpus, digest
from runner.record import Record, blank
from runner.source import Checkout
from runner.training import train

KEPT = 8  # of the latest mains


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmth:
    """How to start training with a warm cache. All empty: there is none, and it compiles for itself."""

    prefix: tuple[str, ...] = ()
    env: dict[str, str]
    readable: tuple[Path, ...] = ()


def warmth(candidate: Candidate, *, data: Corpus, environment: str) -> Warmth:
    """For the training of `candidate`; made now if no run on this main has made it. For the GPU preset only."""
    request = candidate.request
    if request.task.preset != "gpu" or request.smoke:
        return Warmth(env={})
    kept = Path(request.cache_dir) / "compiled"
    with locked(kept / "lock"):
        build = candidate.folder / "build"
        build.mkdir()
        source = replace(request.source, head_sha=request.source.base_sha)
        main = Checkout(source=source, cache_dir=Path(request.cache_dir), run_dir=build)
        conditions = {"tree": main.tree_sha, "environment": environment, "hardware": request.hardware_class}
        folder = kept / digest(conditions)[:16]
        stated = folder.with_suffix(".sha256")  # empty: main could not be run for a moment, and is not asked again
        if not stated.exists() or stated.read_text() != _hash(folder, request.task.output_mib):
            _build(candidate, main, build, data, folder, stated)
        if not stated.read_text():
            return Warmth(env={})
        os.utime(stated)
        _forget_old(kept)
    target = candidate.home("train") / "compiled"
    return Warmth(
        prefix=(*candidate.python, launch.__file__, str(folder), str(target)),
        env=caches(target),
        readable=(folder, Path(launch.__file__)),
    )


def _build(candidate: Candidate, main: Checkout, build: Path, data: Corpus, folder: Path, stated: Path) -> None:
    """Main's training for a moment, with its caches where outputs go."""
    request = candidate.request
    task = replace(
        request.task,
        budget_steps=1 if request.task.budget_steps else None,
        budget_s=1.0 if request.task.budget_s else None,
    )
    request = replace(request, task=task)
    first = Candidate(request=request, box=candidate.box, folder=build, task_dir=main.folder / request.task.directory)
    try:
        train(
            first,
            Record(blank(request)),
            lambda _: None,
            argv=[*first.python, "train.py"],
            who="train.py",
            env={"DATA_DIR": str(data.train), **caches(first.out_dir)},
            readable=(data.train,),
            collects=True,
        )
        remove(folder)
        folder.mkdir(parents=True)
        for name in caches(first.out_dir).values():
            if Path(name).is_dir():
                shutil.move(name, folder)
        for parent, _, names in os.walk(folder):
            Path(parent).chmod(0o755)
            for name in names:
                (Path(parent) / name).chmod(0o644)
    except (FailedError, ArtefactError):
        remove(folder)
    stated.write_text(_hash(folder, task.output_mib))


def caches(folder: Path) -> dict[str, str]:
    """The variables that have compilers keep what they make below `folder`."""
    return {"TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"), "TRITON_CACHE_DIR": str(folder / "triton")}


def _hash(folder: Path, limit_mib: int) -> str:
    """Empty for what holds anything but plain files, or nothing."""
    try:
        return frozen(folder, limit_mib=limit_mib).sha256
    except ArtefactError:
        return ""


def _forget_old(kept: Path) -> None:
    for stated in sorted(kept.glob("*.sha256"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        remove(stated.with_suffix(""))
        stated.unlink()
