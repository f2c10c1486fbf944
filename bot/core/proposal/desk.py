"""What a proposal's author may look at: the repository at the base commit and the ledger, in bounded pieces.

Pure: the texts come from a mapping that may fetch them.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bot.core.model import Edit, LedgerRow
from bot.core.proposal import tools
from bot.core.proposal.fence import fence
from bot.core.proposal.memory import one_line
from bot.core.scope import changes_of, check
from bot.core.text import clipped, line, printable

MAX_ANSWER = 16_000  # characters of one tool's answer
MAX_MATCHES = 60
PAGE = 60


class Missing(LookupError):  # noqa: N818  # what the author asked for, not a fault of ours
    """What was asked for is not there; the message says where to look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the tools may see. `files` holds the text files of the base commit by path, `tree` all its paths."""

    files: Mapping[str, str]
    tree: frozenset[str]
    sizes: Mapping[str, int]
    allow: tuple[str, ...]
    protected: tuple[str, ...]
    history: Sequence[LedgerRow]
    in_flight: Sequence[Edit]
    draft: Mapping[str, str] = field(default_factory=dict)  # changed files, which are read in place of the old ones

    def look(self, wanted: tools.Look) -> str:
        """What a reading tool answers, every outside text fenced. Raises Missing."""
        match wanted:
            case tools.ListFiles():
                return self._listing(wanted.folder)
            case tools.ReadFile():
                return self._read(wanted.path, wanted.first_line)
            case tools.Search():
                return self._matches(wanted.text, wanted.folder)
            case tools.FindExperiments():
                return self._found(wanted.text, wanted.skip)
            case tools.ReadExperiment():
                return self._experiment(wanted.experiment)

    def scope(self, edits: Sequence[Edit]) -> list[str]:
        """What forbids these edits, as for everybody's."""
        return check(changes_of(edits), allow=self.allow, protected=self.protected, tree=self.tree)

    def _text(self, path: str) -> str | None:
        return self.draft[path] if path in self.draft else self.files.get(path)

    def _listing(self, folder: str) -> str:
        paths = [path for path in sorted(self.tree) if _below(path, folder)]
        rows = [
            f"{path} ({self.sizes.get(path, 0)} bytes)"
            f"{' EDITABLE' if not self.scope((Edit(path=path, old='x', new='y'),)) else ''}"
            for path in paths
        ]
        return fence("files of the repository", _cut("\n".join(rows) or "none"))

    def _read(self, path: str, first_line: int) -> str:
        text = self._text(path)
        if text is None:
            raise Missing(f"{line(path, 80)} is not a text file of this repository: list_files shows them")
        lines = text.splitlines(keepends=True)
        shown, at = "", first_line - 1
        while at < len(lines) and len(shown) + len(lines[at]) <= MAX_ANSWER:
            shown += lines[at]
            at += 1
        if not shown and at < len(lines):
            return fence(path, lines[at][:MAX_ANSWER]) + "\n(this line is longer than can be shown)"
        if at >= len(lines):
            return fence(path, shown)
        return fence(path, shown) + f"\n(lines {first_line} to {at} of {len(lines)}; go on with first_line={at + 1})"

    def _matches(self, text: str, folder: str) -> str:
        found: list[str] = []
        for path in sorted({*self.files, *self.draft}):
            if not _below(path, folder) or len(found) >= MAX_MATCHES:
                continue
            rows = enumerate((self._text(path) or "").splitlines(), start=1)
            found += [f"{path}:{number}: {clipped(row, 200)}" for number, row in rows if text in row]
        more = f"\n(the first {MAX_MATCHES} matches)" if len(found) > MAX_MATCHES else ""
        return fence("matches", _cut("\n".join(found[:MAX_MATCHES]) or "none")) + more

    def _found(self, text: str, skip: int) -> str:
        needle = text.casefold()
        rows = [one_line(row) for row in reversed(self.history) if needle in _searchable(row)]
        shown = rows[skip : skip + PAGE]
        left = len(rows) - skip - len(shown)
        more = f"\n({left} more: skip={skip + PAGE})" if left > 0 else ""
        return fence("experiments", _cut("\n".join(shown) or "none")) + more

    def _experiment(self, name: str) -> str:
        wanted = name.strip().removeprefix("#")
        for row in self.history:
            if wanted in (row.experiment_id, str(row.pull_number)):
                return fence(f"experiment {row.experiment_id}", _in_depth(row))
        raise Missing(f"there is no experiment {line(name, 60)} in the ledger: find_experiments lists them")


def _in_depth(row: LedgerRow) -> str:
    parts = [
        one_line(row),
        f"title: {line(row.title)}",
        f"hypothesis: {line(row.hypothesis, 1500)}",
        f"ended: {line(row.reason)}",
    ]
    for edit in row.edits[:20]:
        hunk = difflib.unified_diff(edit.old.splitlines(), edit.new.splitlines(), edit.path, edit.path, lineterm="")
        parts.append(clipped(printable("\n".join(hunk)), 3000))
    for measured in row.runs[:40]:
        run = measured.run
        metric = run.reason if run.metric is None else f"{run.metric:.6g}"
        parts.append(
            f"{measured.side.value} seed {run.seed}: {line(metric, 200)} ({run.steps} steps, {run.wall_s:.0f} s)"
        )
    mine = [measured.run for measured in row.runs if measured.side.value == "candidate"]
    if mine and mine[-1].curve:
        parts.append("training loss: " + " ".join(f"{step}:{loss:.4g}" for step, loss in mine[-1].curve[::4]))
    if mine and mine[-1].log_tail:
        parts.append("end of the log:\n" + printable(mine[-1].log_tail))
    return _cut("\n".join(parts))


def _searchable(row: LedgerRow) -> str:
    return f"{one_line(row)} {row.title} {row.hypothesis} {row.reason}".casefold()


def _cut(text: str) -> str:
    return text if len(text) <= MAX_ANSWER else text[:MAX_ANSWER] + "\n(cut)"


def _below(path: str, folder: str) -> bool:
    wanted = folder.strip("/")
    return wanted in ("", ".") or path == wanted or path.startswith(f"{wanted}/")
