"""The record of every attempt, on a branch of its own: `results.tsv` for people and notebooks, one JSON per experiment.

The branch shares no history with main. A row is added once, its JSON's path being its identity, and amended at most
once, when a merged head was scored on the split that never selects.
"""

from bot.core import record
from bot.core.model import LedgerRow
from bot.edge.github.forge import Forge

BRANCH = "nightlab-ledger"
TABLE = "results.tsv"
TRIES = 10  # other writers may move the branch between our read and our write

_known: dict[str, LedgerRow] = {}  # by blob hash, so that each is fetched once per process


def path_of(experiment_id: str) -> str:
    return f"experiments/{experiment_id}.json"


def rows(forge: Forge) -> list[LedgerRow]:
    """Every row, oldest first. A file that is not a row (a person edited the branch) is passed over."""
    tip = forge.tip(BRANCH)
    if tip is None:
        return []
    found = []
    for path, (blob_sha, _) in forge.files(sha=tip.sha).items():
        if not path.startswith("experiments/"):
            continue
        if blob_sha not in _known:
            row = record.row_from_json(forge.blob(blob_sha) or "")
            if row is None:
                continue
            _known[blob_sha] = row
        found.append(_known[blob_sha])
    return sorted(found, key=lambda row: (row.ended_utc, row.experiment_id))


def append(forge: Forge, row: LedgerRow) -> bool:
    """Add a row unless it is there; True when it was added now."""
    for _ in range(TRIES):
        tip = forge.tip(BRANCH)
        table = (forge.read(TABLE, sha=tip.sha) if tip else None) or ""
        if tip and path_of(row.experiment_id) in forge.paths(sha=tip.sha):
            return False
        files = {path_of(row.experiment_id): record.row_json(row), TABLE: record.appended(table, row)}
        message = f"{row.state.value}: {record.one_line(row.title)}"
        if forge.append_files(BRANCH, parent=tip, files=files, message=message, when_utc=row.ended_utc):
            return True
    raise RuntimeError(f"{BRANCH} moves faster than a row can be added to it")


def amend(forge: Forge, row: LedgerRow, *, when_utc: str) -> None:
    """Write a row's JSON anew, unless it says so already. Its line in the table stays as it is."""
    files = {path_of(row.experiment_id): record.row_json(row)}
    for _ in range(TRIES):
        tip = forge.tip(BRANCH)
        if tip is None or all(forge.read(path, sha=tip.sha) == text for path, text in files.items()):
            return
        message = f"holdout: {record.one_line(row.title)}"
        if forge.append_files(BRANCH, parent=tip, files=files, message=message, when_utc=when_utc):
            return
    raise RuntimeError(f"{BRANCH} moves faster than a row can be amended")


def add(forge: Forge, path: str, text: str, *, message: str, when_utc: str) -> None:
    """Add a file that is no row, unless it is there."""
    for _ in range(TRIES):
        tip = forge.tip(BRANCH)
        if tip and path in forge.paths(sha=tip.sha):
            return
        if forge.append_files(BRANCH, parent=tip, files={path: text}, message=message, when_utc=when_utc):
            return
    raise RuntimeError(f"{BRANCH} moves faster than a file can be added to it")
