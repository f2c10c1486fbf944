"""Data for a task, built once per prepare.py and Python by main's own prepare.py, and kept in the cache."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from runner.cache import locked
from runner.sandbox.descendants import die_with_parent

PREPARE_TIMEOUT_S = 3600


class PrepareError(Exception):
    """The data could not be built."""


class Kind(StrEnum):
    """What a model answers, and so how it is asked, audited and scored."""

    LANGUAGE = "language"  # the next token: bits per byte
    REGRESSION = "regression"  # K numbers for an array: root mean square error
    CLASSIFICATION = "classification"  # a score for each of K classes: accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """What prepare.py leaves in meta.json."""

    corpus_sha256: str
    kind: Kind = Kind.LANGUAGE
    vocab_size: int = 0  # of a language
    tokenizer_sha256: str = ""
    outputs: int = 0  # K, of the other kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Prepared data. Only `train` is ever given to a candidate; a bare subprocess could look for the rest."""

    train: Path
    validation: Path
    holdout: Path  # need not be there
    meta: Meta
    prepare_sha256: str


def prepared(*, script: bytes, preset: str, cache_dir: Path) -> Corpus:
    """Data built by `script` (the content of prepare.py), cached. Raises PrepareError."""
    prepare_sha256 = hashlib.sha256(script).hexdigest()
    key = hashlib.sha256("\0".join((prepare_sha256, preset, sys.version, sys.prefix)).encode()).hexdigest()[:16]
    folder = cache_dir / "data" / key
    with locked(cache_dir / "data" / f"{key}.lock"):
        if not folder.exists():
            _build(script=script, preset=preset, folder=folder)
    try:
        meta = TypeAdapter(Meta).validate_json((folder / "meta.json").read_bytes())
    except (OSError, ValidationError):
        raise PrepareError("prepare.py left no usable meta.json") from None
    return Corpus(
        train=folder / "train",
        validation=folder / "validation",
        holdout=folder / "holdout",
        meta=meta,
        prepare_sha256=prepare_sha256,
    )


def _build(*, script: bytes, preset: str, folder: Path) -> None:
    """Builds beside `folder` and renames at the end, so that a folder is whole or absent."""
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / "prepare.py").write_bytes(script)
    try:
        done = subprocess.run(
            [sys.executable, "-s", "-B", "prepare.py"],
            cwd=partial,
            env={**os.environ, "DATA_DIR": str(partial), "PRESET": preset, "RAYON_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PREPARE_TIMEOUT_S,
            check=False,
            preexec_fn=die_with_parent,
        )
    except subprocess.TimeoutExpired:
        raise PrepareError(f"prepare.py took more than {PREPARE_TIMEOUT_S} s") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise PrepareError(f"prepare.py failed: {lines[-1] if lines else f'exit code {done.returncode}'}")
    os.rename(partial, folder)


def digest(parts: Mapping[str, str]) -> str:
    """sha256 of named strings, independent of their order."""
    return hashlib.sha256(json.dumps(dict(parts), sort_keys=True).encode()).hexdigest()
