"""May this proposal touch these paths? And the proposal's edits, applied to text.

Asked twice: of a proposal's edits before anything is opened, and of the pull request's real diff, modes included,
before it is measured or merged. The runner takes only allowed paths from a pull request in any case.
"""

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bot.core.model import Edit
from runner.protocol import allowed

MAX_FILES = 20
MAX_CHANGED_LINES = 2_000
MAX_PATH_CHARACTERS = 200
MAX_FILE_CHARACTERS = 1_000_000

EXAMPLES = (".github/workflows/ci.yml", ".gitattributes", ".gitmodules", "Dockerfile")
"""Some of what `reserved` refuses in any repository, for a contract to be tried on."""

_REGULAR = ("100644", "100755")
_MODES = {"120000": "a symbolic link", "160000": "a submodule", "040000": "a folder"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One changed path of a diff, as `git diff --raw` has it. Modes are git's six octal digits."""

    path: str
    old_path: str = ""  # where a rename or copy came from
    old_mode: str | None = "100644"  # None: the file is new
    new_mode: str | None = "100644"  # None: the file is deleted
    lines: int = 0  # added plus deleted


@dataclass(frozen=True, slots=True, kw_only=True)
class EditProblem:
    """Why the edits cannot be applied: one sentence for whoever wrote them."""

    message: str


def check(
    changes: Sequence[Change], *, allow: tuple[str, ...], protected: Collection[str], tree: Collection[str] = ()
) -> list[str]:
    """One sentence for everything that forbids these changes; empty when a proposal may make them.

    `allow` are the contract's patterns, `protected` its paths that no pattern can open, `tree` the paths of all files
    in the base commit: without it, a new path that differs from an old one only in case goes unseen.
    """
    problems = []
    if not changes:
        problems.append("nothing is changed: edit at least one file")
    if len(changes) > MAX_FILES:
        problems.append(f"{len(changes)} files are changed: touch at most {MAX_FILES}")
    if (lines := sum(change.lines for change in changes)) > MAX_CHANGED_LINES:
        problems.append(f"{lines} lines are changed: change at most {MAX_CHANGED_LINES}")
    for change in changes:
        for path in (change.path, change.old_path) if change.old_path else (change.path,):
            if problem := _path_problem(path, allow, protected):
                problems.append(problem)
        if problem := _mode_problem(change):
            problems.append(problem)
    gone = {change.path for change in changes if change.new_mode is None}
    gone |= {change.old_path for change in changes if change.old_path}
    made = [change.path for change in changes if change.new_mode is not None]
    return list(dict.fromkeys([*problems, *_collisions(made, {*tree} - gone)]))


def changes_of(edits: Iterable[Edit]) -> list[Change]:
    """The changes that edits make: regular files, never deleted or renamed. Lines are counted as written."""
    found: dict[str, Change] = {}
    for edit in edits:
        before = found.get(edit.path) or Change(path=edit.path, old_mode="100644" if edit.old else None)
        lines = before.lines + len(edit.old.splitlines()) + len(edit.new.splitlines())
        found[edit.path] = Change(path=edit.path, old_mode=before.old_mode, lines=lines)
    return list(found.values())


def apply_edits(files: Mapping[str, str], edits: Sequence[Edit]) -> Mapping[str, str] | EditProblem:
    """The new text of every file that `edits`, made in order, change; or why they cannot be made.

    `files` are the texts of the base commit. `old` must stand exactly once in the file as it then is.
    """
    after = dict(files)
    for edit in edits:
        replaced = _replaced(after.get(edit.path), edit)
        if isinstance(replaced, EditProblem):
            return replaced
        after[edit.path] = replaced
    changed = {path: text for path, text in after.items() if files.get(path) != text}
    return changed or EditProblem(message="the edits change nothing: edit at least one file")


def _replaced(text: str | None, edit: Edit) -> str | EditProblem:
    name = _shown(edit.path)
    if "\0" in edit.new or any(unicodedata.category(character) == "Cs" for character in edit.new):
        return EditProblem(message=f"the new text for {name} is not text: leave out NUL and lone surrogates")
    if not edit.old:
        if text:
            return EditProblem(message=f"{name} exists already: name the text that the edit replaces")
        result = edit.new
    elif text is None:
        return EditProblem(message=f"{name} does not exist: an edit that makes a new file has an empty `old`")
    else:
        position = text.find(edit.old)
        if position < 0:
            return EditProblem(message=f"`old` is not in {name}: copy it exactly, blanks and line ends included")
        if text.find(edit.old, position + 1) >= 0:
            return EditProblem(message=f"`old` is in {name} more than once: include lines around it")
        result = text[:position] + edit.new + text[position + len(edit.old) :]
    if len(result) > MAX_FILE_CHARACTERS:
        return EditProblem(message=f"{name} would be longer than {MAX_FILE_CHARACTERS} characters: make it shorter")
    return result


def _path_problem(path: str, allow: tuple[str, ...], protected: Collection[str]) -> str:
    name, parts = _shown(path), path.split("/")
    if len(path) > MAX_PATH_CHARACTERS:
        return f"{name} is longer than {MAX_PATH_CHARACTERS} characters: use a shorter path"
    if not path.isprintable() or "\\" in path or unicodedata.normalize("NFKC", path) != path:
        return f"{name} holds characters that look like others or like none: use plain ones"
    if any(part in ("", ".", "..") for part in parts):
        return f"{name} is not a plain path inside the repository: write it from the root, without `.` and `..`"
    if any(part != part.strip(" ") or part.endswith(".") or ":" in part for part in parts):
        return f"{name} means another file on some systems: use plain names"
    if reserved(path, protected):
        return f"{name} is not a proposal's to change: leave it as it is"
    if not allowed(path, allow):
        return f"{name} is outside what the contract allows ({', '.join(allow)}): leave it as it is"
    return ""


def reserved(path: str, protected: Collection[str]) -> bool:
    """Whether `path` belongs to git, the forge or the image, or is one of `protected`, in any spelling of case.

    Everything that begins with `.git` counts (`.github/`, `.gitmodules`, `.gitattributes`), as does `git~1`, which is
    what some file systems call `.git`.
    """
    parts = path.casefold().split("/")
    if any(part.startswith((".git", "git~")) for part in parts) or parts[-1].startswith("dockerfile"):
        return True
    folded = {one.casefold() for one in protected}
    return any("/".join(parts[:depth]) in folded for depth in range(1, len(parts) + 1))


def _mode_problem(change: Change) -> str:
    name, old, new = _shown(change.path), change.old_mode, change.new_mode
    for mode in (old, new):
        if mode is not None and mode not in _REGULAR:
            return f"{name} is {_MODES.get(mode, 'no regular file')}: change regular files only"
    if old is None and new == "100755":
        return f"{name} is new and executable: make it a plain file"
    if old and new and old != new:
        return f"{name} changes its mode from {old} to {new}: leave the mode as it is"
    return ""


def _collisions(made: Sequence[str], kept: Collection[str]) -> list[str]:
    """Paths that another file system would take for one that is there, and files where a folder is."""
    everything = {*made, *kept}
    spellings: dict[str, set[str]] = {}
    for path in everything:
        for prefix in (*_folders(path), path):
            spellings.setdefault(_folded(prefix), set()).add(prefix)
    folders = {folder for path in everything for folder in _folders(path)}
    problems = []
    for path in made:
        twins = {twin for prefix in (*_folders(path), path) for twin in spellings[_folded(prefix)] - {prefix}}
        for twin in sorted(twins):
            problems.append(f"{_shown(path)} and {_shown(twin)} differ only in spelling: use one of them")
        if path in folders or any(folder in everything for folder in _folders(path)):
            problems.append(f"{_shown(path)} makes one name both a file and a folder: use another name")
    return problems


def _folders(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _folded(path: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())


def _shown(path: str) -> str:
    """A path that is safe to print: outside text, so cut and escaped."""
    text = ascii(path)[1:-1].replace("`", "'")
    return f"`{text if len(text) <= 80 else text[:79] + '…'}`"
