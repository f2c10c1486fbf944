"""The record of every attempt, on a branch of its own: `results.tsv` for people and notebooks, one JSON per experiment.

The branch shares no history with main. A row is written once: its JSON's path is its identity.
"""

from bot.core import history
from bot.core.model import LedgerRow
from bot.edge.github import Forge

BRANCH = "nightlab-ledger"
TABLE = "results.tsv"
TRIES = 10  # other writers may move the branch between our read and our write

_known: dict[str, LedgerRow] = {}  # by blob hash: a row never changes, so it is fetched once per process


def path_of(row: LedgerRow) -> str:
    return f"experiments/{row.experiment_id}.json"


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
            row = history.row_from_json(forge.blob(blob_sha))
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
        if tip and path_of(row) in forge.paths(sha=tip.sha):
            return False
        files = {path_of(row): history.row_json(row), TABLE: history.appended(table, row)}
        message = f"{row.state.value}: {history.one_line(row.title)}"
        if forge.append_files(BRANCH, parent=tip, files=files, message=message, when_utc=row.ended_utc):
            return True
    raise RuntimeError(f"{BRANCH} moves faster than a row can be added to it")
