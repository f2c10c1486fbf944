"""What changed between two commits, file by file."""

from dataclasses import dataclass
from functools import lru_cache

from bot.hub.git.bare import BareRepository

_STATUSES = {"A": "added", "D": "removed", "M": "modified", "R": "renamed", "C": "copied", "T": "changed"}
PATCH_LIMIT = 400_000  # characters of one file's patch that are worth showing


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDiff:
    path: str
    previous_path: str | None
    status: str  # GitHub's word: added, removed, modified, renamed, copied, changed
    sha: str | None  # of the new blob
    additions: int
    deletions: int
    patch: str | None  # unified hunks without the header; None for a binary file


def diff_commits(repository: BareRepository, base: str, head: str) -> tuple[FileDiff, ...]:
    """Changes from `base` to `head` (full shas of commits or trees), with renames found."""
    return _diff(repository, base, head)


@lru_cache(maxsize=64)
def _diff(repository: BareRepository, base: str, head: str) -> tuple[FileDiff, ...]:
    arguments = ("-r", "-M", "--no-color", "--full-index")
    tree = ("--end-of-options", base, head)
    facts = repository.git("diff-tree", *arguments, "--raw", "--numstat", "-z", *tree).decode(errors="replace")
    patches = iter(_split_patches(repository.git("diff-tree", *arguments, "-p", *tree).decode(errors="replace")))
    tokens = facts.split("\0")
    changed: list[tuple[str, str, str | None, str]] = []  # path, status, previous path, sha
    position = 0
    while position < len(tokens) and tokens[position].startswith(":"):
        _, _, _, sha, letter = tokens[position].split()
        if letter[0] in "RC":
            changed.append((tokens[position + 2], _STATUSES[letter[0]], tokens[position + 1], sha))
            position += 3
        else:
            changed.append((tokens[position + 1], _STATUSES.get(letter[0], "changed"), None, sha))
            position += 2
    files = []
    for path, status, previous, sha in changed:
        patch = next(patches)
        if status == "changed":  # git shows a change of type, say from file to symlink, as a removal and an addition
            patch = "\n".join(part for part in (patch, next(patches)) if part) or None
        added, deleted, name = tokens[position].split("\t", 2)
        position += 1 if name else 3
        files.append(
            FileDiff(
                path=path,
                previous_path=previous,
                status=status,
                sha=None if status == "removed" else sha,
                additions=0 if added == "-" else int(added),
                deletions=0 if deleted == "-" else int(deleted),
                patch=patch[:PATCH_LIMIT] if patch is not None else None,
            )
        )
    return tuple(files)


def _split_patches(text: str) -> list[str | None]:
    """One per file. Every line of a hunk starts with space, +, - or backslash, so the header cannot be forged."""
    patches: list[str | None] = []
    hunks: list[str] = []
    for line in [*text.split("\n"), "diff --git end"]:
        if line.startswith("diff --git "):
            patches.append("\n".join(hunks) if hunks else None)
            hunks = []
        elif hunks or line.startswith("@@ "):
            hunks.append(line)
    return [patch.removesuffix("\n") if patch else patch for patch in patches[1:]]
