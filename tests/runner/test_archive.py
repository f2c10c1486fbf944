"""The engine's tar on its way out: what it may bring, and how much of it."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.artefact import ArtefactError
from runner.sandbox.archive import unpack


def packed(*members: tuple[str, bytes | int]) -> Iterator[bytes]:
    """A tar in small chunks; a number is a kind of member that is no plain file."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for name, content in members:
            about = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                about.size = len(content)
                tar.addfile(about, io.BytesIO(content))
            else:
                about.type, about.linkname = bytes([content]), "/etc/passwd"
                tar.addfile(about)
    data = whole.getvalue()
    return (data[start : start + 777] for start in range(0, len(data), 777))


def test_plain_files_arrive(tmp_path: Path) -> None:
    unpack(packed(("out/a", b"1"), ("out/b", b"")), tmp_path, limit_mib=1)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"1", "b": b""}


def test_no_more_than_the_limit_reaches_the_disk(tmp_path: Path) -> None:
    files = [(f"out/{number}", bytes(300_000)) for number in range(9)]
    with pytest.raises(ArtefactError, match="holds more than 1 MiB"):
        unpack(packed(*files), tmp_path, limit_mib=1)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1 << 20


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_nothing_but_plain_files(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(ArtefactError, match="'x' in "):
        unpack(packed(("out/x", kind[0])), tmp_path, limit_mib=1)


@pytest.mark.parametrize("name", ["out/../x", "out/../../x", "out/" + "n" * 300])
def test_no_name_leads_elsewhere(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(ArtefactError):
        unpack(packed((name, b"1")), folder, limit_mib=1)
    assert list(tmp_path.iterdir()) == [folder]
