"""What a container left, on its way out: a tar from the engine, of which only plain files are kept."""

import os
import tarfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import IO, cast

from runner.artefact import ArtefactError


class _Stream:
    """The chunks of a download as a file to read from."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and (chunk := next(self._chunks, b"")):
            self._rest += chunk
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def unpack(chunks: Iterable[bytes], folder: Path, *, limit_mib: int) -> None:
    """Writes the plain files of a tar, whose names start with one folder's, into `folder`. Raises ArtefactError."""
    with tarfile.open(fileobj=cast("IO[bytes]", _Stream(chunks)), mode="r|") as archive:
        _unpack(archive, folder, limit_mib=limit_mib)


def _unpack(archive: tarfile.TarFile, folder: Path, *, limit_mib: int) -> None:
    size = 0
    for member in archive:
        parts = PurePosixPath(member.name).parts[1:]
        shown = "/".join(parts)
        size += member.size
        if size > limit_mib << 20:
            raise ArtefactError(f"$OUT_DIR holds more than {limit_mib} MiB")
        if ".." in parts or not (member.isdir() or member.isreg()):
            raise ArtefactError(f"{shown!r} in $OUT_DIR is not a regular file")
        path = folder.joinpath(*parts)
        try:
            if member.isdir():
                path.mkdir(exist_ok=True)
                continue
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        except (OSError, ValueError):
            raise ArtefactError(f"{shown[:200]!r} in $OUT_DIR has a name that cannot be kept") from None
        with os.fdopen(descriptor, "wb") as file:
            source = archive.extractfile(member)
            while source is not None and (data := source.read(1 << 20)):
                file.write(data)
