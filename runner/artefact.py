"""What training left in its output folder: looked at without following or running anything."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path


class ArtefactError(Exception):
    """The output folder holds something that is not plain files within the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """`sha256` covers names and contents."""

    sha256: str
    size_mib: float


def frozen(folder: Path, *, limit_mib: int) -> Artefact:
    """Checks and hashes `folder`, which no process may write any more. Raises ArtefactError."""
    whole, size, files = hashlib.sha256(), 0, 0
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        folders.sort()
        for name in sorted((*names, *(name for name in folders if (Path(parent) / name).is_symlink()))):
            path = Path(parent) / name
            shown = path.relative_to(folder).as_posix()
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except OSError:
                raise ArtefactError(f"{shown!r} in $OUT_DIR is not a regular file") from None
            with os.fdopen(descriptor, "rb") as file:
                about = os.fstat(descriptor)
                if not stat.S_ISREG(about.st_mode):
                    raise ArtefactError(f"{shown!r} in $OUT_DIR is not a regular file")
                size, files = size + about.st_size, files + 1
                if size > limit_mib << 20:
                    raise ArtefactError(f"$OUT_DIR holds more than {limit_mib} MiB")
                whole.update(hashlib.sha256(os.fsencode(shown)).digest())
                whole.update(hashlib.file_digest(file, "sha256").digest())
    if not files:
        raise ArtefactError("train.py exited without leaving anything in $OUT_DIR")
    return Artefact(sha256=whole.hexdigest(), size_mib=size / 2**20)


def _refuse(error: OSError) -> None:
    raise ArtefactError(f"a folder in $OUT_DIR cannot be read: {error.strerror}")
