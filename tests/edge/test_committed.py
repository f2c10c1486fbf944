"""A clone read without asking git for each file."""

import subprocess
from pathlib import Path

import pytest

from bot.edge.committed import committed, ledger_of
from bot.edge.github.texts import MAX_BYTES

FILES = {
    "a.py": b"A = 1\n",
    "no newline": b"x",
    "empty": b"",
    "blob 3\nodd.txt": b"0123 blob 7\nabc\n\n",
    "caf\u00e9.md": "\ufffd\n".encode(),
    "weights.bin": b"\xff\x00\n",
    "long.txt": b"x" * (MAX_BYTES + 1),
}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "--quiet", "-b", "main"], check=True)
    for path, content in FILES.items():
        (tmp_path / path).write_bytes(content)
    (tmp_path / "link").symlink_to("a.py")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "x"], check=True)
    return tmp_path


def test_every_text_is_read_to_the_byte(clone: Path) -> None:
    found = committed(clone, "HEAD")
    assert found.sizes == {path: len(content) for path, content in FILES.items()}
    expected = {path: content.decode() for path, content in FILES.items() if path not in ("weights.bin", "long.txt")}
    assert found.texts == expected


def test_only_what_is_wanted_is_read(clone: Path) -> None:
    assert set(committed(clone, "HEAD", wanted=lambda path, _: path.endswith(".py")).texts) == {"a.py"}
    assert committed(clone, "HEAD", wanted=lambda *_: False).texts == {}


def test_a_clone_without_a_ledger_has_no_rows(clone: Path) -> None:
    assert ledger_of(clone) == []
