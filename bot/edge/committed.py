"""The text files of a commit in a clone on this machine, and the ledger that was fetched with it.

Two processes of git for any number of files: one for each file would take seconds for a ledger.
"""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bot.core.model import LedgerRow
from bot.core.record import row_from_json
from bot.edge.github.ledger import BRANCH
from bot.edge.github.texts import MAX_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    texts: dict[str, str]
    sizes: dict[str, int]  # bytes of every file, read or not


def committed(
    folder: Path, revision: str, *, wanted: Callable[[str, int], bool] = lambda _, size: size <= MAX_BYTES
) -> Committed:
    """The regular files of a commit; the texts of those whose path and size are `wanted`. Raises CalledProcessError."""
    sizes, hashes = {}, {}
    for entry in _git(folder, "ls-tree", "-r", "-l", "-z", "--full-tree", revision).split(b"\0"):
        facts, _, name = entry.partition(b"\t")
        if facts.startswith(b"100"):
            _, _, blob_sha, size = facts.split()
            path = name.decode("utf-8", "surrogateescape")
            sizes[path] = int(size)
            if wanted(path, int(size)):
                hashes[path] = blob_sha
    answer = _git(folder, "cat-file", "--batch", data=b"\n".join(hashes.values()))
    texts, at = {}, 0
    for path in hashes:  # "<hash> blob <size>", the content and a newline of each, in the order they were asked for
        start = answer.index(b"\n", at) + 1
        at = start + sizes[path] + 1
        try:
            texts[path] = answer[start : at - 1].decode()
        except UnicodeDecodeError:
            continue
    return Committed(texts=texts, sizes=sizes)


def ledger_of(folder: Path) -> list[LedgerRow]:
    """From this clone's ledger branch, its own or the remote's, oldest first; empty when it has none."""
    for revision in (BRANCH, f"origin/{BRANCH}"):
        try:
            files = committed(folder, revision, wanted=lambda path, _: path.startswith("experiments/"))
        except subprocess.CalledProcessError:
            continue
        rows = (row_from_json(text) for text in files.texts.values())
        return sorted((row for row in rows if row is not None), key=lambda row: (row.ended_utc, row.experiment_id))
    return []


def _git(folder: Path, *arguments: str, data: bytes = b"") -> bytes:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout
