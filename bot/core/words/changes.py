"""A unified diff as a reviewer wants it summed up: files with line counts, and constants with old and new value."""

import re
from dataclasses import dataclass, field

_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_ASSIGNMENT = re.compile(r"\s*(?P<name>[A-Za-z_]\w*)\s*(?::[^=]+)?=(?!=)\s*(?P<value>[^#]*?),?\s*(?:#.*)?$")
_LONGEST_LINE = 200  # a longer one is no constant for a table, and the pattern is quadratic in blanks
_LITERAL = re.compile(r"[-+\d.]|True$|False$|None$|[\"'(\[]")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    path: str
    added: int
    removed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantChange:
    path: str
    name: str
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    files: tuple[FileChange, ...]
    constants: tuple[ConstantChange, ...]


@dataclass(slots=True)
class _File:
    path: str
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def changes(diff: str) -> Changes:
    """Sums up a unified diff, tolerating one that was cut off.

    A constant counts as changed when its file loses one assignment to a name and gains one, and the name is in
    capitals or the value a literal. Hunk lengths are followed, so that a changed line that looks like a header stays
    a line.
    """
    files: list[_File] = []
    removed_left = added_left = 0
    old_path = ""
    for text in diff.split("\n"):
        if removed_left > 0 or added_left > 0:
            if text.startswith("+"):
                files[-1].added.append(text[1:])
                added_left -= 1
            elif text.startswith("-"):
                files[-1].removed.append(text[1:])
                removed_left -= 1
            elif not text.startswith("\\"):
                removed_left -= 1
                added_left -= 1
        elif text.startswith("--- "):
            old_path = text[4:].removeprefix("a/").rstrip("\t\r")
        elif text.startswith("+++ "):
            new_path = text[4:].removeprefix("b/").rstrip("\t\r")
            files.append(_File(old_path if new_path == "/dev/null" else new_path))
        elif files and (hunk := _HUNK.match(text)):
            removed_left, added_left = (int(length or 1) for length in hunk.groups())
    return Changes(
        files=tuple(FileChange(path=f.path, added=len(f.added), removed=len(f.removed)) for f in files),
        constants=tuple(change for f in files for change in _constants(f)),
    )


def _constants(file: _File) -> list[ConstantChange]:
    old, new = _assignments(file.removed), _assignments(file.added)
    return [
        ConstantChange(path=file.path, name=name, old=old[name], new=new[name])
        for name in old
        if name in new and old[name] != new[name] and (name.isupper() or _LITERAL.match(new[name]))
    ]


def _assignments(lines: list[str]) -> dict[str, str]:
    """Name -> value, for names assigned once."""
    found: dict[str, list[str]] = {}
    for text in lines:
        if len(text) <= _LONGEST_LINE and (match := _ASSIGNMENT.fullmatch(text)):
            found.setdefault(match["name"], []).append(match["value"])
    return {name: values[0] for name, values in found.items() if len(values) == 1}
