"""A bare git repository on disk: objects, refs, history and merges, by plumbing commands only."""

import datetime
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bot.hub.git.command import GitError, run_git

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
NO_SHA = "0" * 40
_SHA = re.compile(r"[0-9a-f]{40}")
_SURROGATE = re.compile("[\udc80-\udcff]")
_FIRST_S, _LAST_S = -62_135_596_800, 253_402_300_799  # the years 1 to 9999


def is_sha(text: str) -> bool:
    return _SHA.fullmatch(text) is not None


class RefMovedError(Exception):
    """The ref is no longer where the caller saw it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    name: str
    email: str
    time_s: int  # Unix time
    offset: str = "+0000"

    @property
    def date(self) -> str:
        """ISO 8601; git keeps times that no calendar has, which are shown as the nearest that one has."""
        time_s = min(max(self.time_s, _FIRST_S), _LAST_S)
        return datetime.datetime.fromtimestamp(time_s, datetime.UTC).isoformat().replace("+00:00", "Z")

    def line(self) -> str:
        name, email = (re.sub(r"[<>\x00-\x1f]", "", text).strip() for text in (self.name, self.email))
        return f"{name} <{email}> {self.time_s} {self.offset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Signature
    committer: Signature
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a tree. `size` is in bytes, for blobs."""

    mode: str
    type: str  # "blob", "tree" or "commit"
    sha: str
    path: str
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A path to set in a new tree; `sha` None removes it."""

    path: str
    mode: str = "100644"
    sha: str | None


@dataclass(frozen=True, slots=True)
class BareRepository:
    """Safe to share between threads: it holds nothing but the path."""

    path: Path

    @classmethod
    def create(cls, path: Path, *, default_branch: str) -> "BareRepository":
        path.mkdir(parents=True)
        run_git(path, "init", "--quiet", "--bare", "--template=", f"--initial-branch={default_branch}")
        for key, value in (
            ("gc.auto", "0"),  # objects made through the API have no ref yet
            ("receive.autogc", "false"),
            ("receive.fsckObjects", "true"),
            ("http.receivepack", "true"),
            ("uploadpack.allowAnySHA1InWant", "true"),
            ("uploadpack.allowFilter", "true"),
            ("core.fsync", "committed,reference"),
        ):
            run_git(path, "config", key, value)
        return cls(path)

    def git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        return run_git(self.path, *arguments, stdin=stdin)

    # Refs

    def resolve(self, revision: str) -> str | None:
        """The commit that a branch, tag or sha names, or None."""
        try:
            found = self.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        except GitError:
            return None
        return found.decode().strip()

    def revision(self, name: str) -> str | None:
        """The commit that a name in an address means: a branch first, as on GitHub."""
        return self.branch(name) or self.resolve(name)

    def branch(self, name: str) -> str | None:
        """The tip of exactly this branch: `main~1` is a revision and no branch."""
        try:
            return self.git("show-ref", "--verify", "--hash", f"refs/heads/{name}").decode().strip()
        except GitError:
            return None

    def refs(self, *prefixes: str) -> dict[str, str]:
        """Full name -> sha, sorted by name. A name that is not UTF-8 has no place in JSON and is left out."""
        lines = self.git("for-each-ref", "--format=%(objectname) %(refname)", *prefixes).split(b"\n")[:-1]
        texts = [line.decode(errors="surrogateescape") for line in lines]
        return {text[41:]: text[:40] for text in texts if not _SURROGATE.search(text)}

    def valid_ref(self, name: str) -> bool:
        try:
            self.git("check-ref-format", name)
        except GitError:
            return False
        return name.startswith("refs/")

    def update_ref(self, name: str, *, new: str, old: str) -> None:
        """Compare and swap; `old` is NO_SHA for a new ref, `new` is NO_SHA to delete. Raises RefMovedError."""
        current = self.refs(name).get(name, NO_SHA)
        if current != old:
            raise RefMovedError(f"{name} is at {current}, not at {old}")
        try:
            self.git("update-ref", "--no-deref", "--", name, new, old)
        except GitError as error:
            if self.refs(name).get(name, NO_SHA) != old or "File exists" in str(error):
                raise RefMovedError(str(error)) from None
            raise

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        return self.merge_base(ancestor, descendant) == ancestor

    def merge_base(self, one: str, other: str) -> str | None:
        """Of two full shas; None when their histories have nothing in common."""
        return _merge_base(self.path, one, other)

    def ahead_behind(self, base: str, head: str) -> tuple[int, int]:
        """How many commits head has that base lacks, and the reverse; both full shas."""
        return _ahead_behind(self.path, base, head)

    # Objects

    def object_type(self, sha: str) -> str | None:
        """Of a full sha that is stored here, else None."""
        if not is_sha(sha):
            return None
        word = self.git("cat-file", "--batch-check=%(objecttype)", stdin=f"{sha}\n".encode()).decode().split()[-1]
        return None if word == "missing" else word

    def commit(self, sha: str) -> Commit:
        """Raises GitError when `sha` is not a commit."""
        return _read_commits(self.path, (sha,))[0]

    def commits(
        self, revision: str, *, exclude: str = "", path: str = "", skip: int = 0, limit: int = 30
    ) -> list[Commit]:
        """History from `revision`, newest first, without what `exclude` reaches."""
        arguments = ["rev-list", f"--skip={skip}", f"--max-count={limit}", revision]
        if exclude:
            arguments.append(f"^{exclude}")
        shas = self.git(*arguments, "--", *([path] if path else [])).decode().split()
        return list(_read_commits(self.path, tuple(shas)))

    def tree(self, treeish: str, *, recursive: bool = False, path: str = "") -> list[Entry]:
        """Entries with paths from the root of `treeish`; `path` ends with / to list what is inside it."""
        options = ["-r", "-t"] if recursive else []
        arguments = [path] if path else []
        text = self.git("ls-tree", "-z", "-l", *options, treeish, "--", *arguments)
        entries = []
        for line in text.decode(errors="surrogateescape").split("\0")[:-1]:
            facts, name = line.split("\t", 1)
            mode, kind, sha, size = facts.split()
            entries.append(Entry(mode=mode, type=kind, sha=sha, path=name, size=None if size == "-" else int(size)))
        return entries

    def entry(self, treeish: str, path: str) -> Entry | None:
        return next((entry for entry in self.tree(treeish, path=path) if entry.path == path), None)

    def blob(self, sha: str) -> bytes:
        return self.git("cat-file", "blob", sha)

    def write_blob(self, content: bytes) -> str:
        return self.git("hash-object", "-w", "--stdin", stdin=content).decode().strip()

    def write_tree(self, changes: Sequence[Change], *, base: str | None = None) -> str:
        """A tree like `base` with the changes. Raises GitError for a missing object or a path git refuses."""
        with tempfile.TemporaryDirectory() as folder:
            index = Path(folder) / "index"
            run_git(self.path, "read-tree", *([base] if base else ["--empty"]), index=index)
            lines = [line for change in changes for line in self._index_lines(change, base)]
            if lines:
                stdin = "".join(lines).encode(errors="surrogateescape")
                run_git(
                    self.path, "update-index", "--replace", "-z", "--index-info", stdin=stdin, index=index, strict=True
                )
            return run_git(self.path, "write-tree", index=index).decode().strip()

    def _index_lines(self, change: Change, base: str | None) -> list[str]:
        """For `update-index --index-info`: a mode of 0 removes. A directory is replaced as a whole."""
        if "\0" in change.path:
            raise GitError("a path has no NUL character")
        if change.mode != "040000":
            return [f"{change.mode if change.sha else '0'} {change.sha or NO_SHA}\t{change.path}\0"]
        old = self.tree(base, recursive=True, path=f"{change.path}/") if base else []
        new = self.tree(change.sha, recursive=True) if change.sha else []
        removed = [f"0 {NO_SHA}\t{entry.path}\0" for entry in old if entry.type != "tree"]
        added = [f"{e.mode} {e.sha}\t{change.path}/{e.path}\0" for e in new if e.type != "tree"]
        return removed + added

    def write_commit(
        self, *, tree: str, parents: Sequence[str], message: str, author: Signature, committer: Signature
    ) -> str:
        """The message is kept as it is, byte for byte."""
        lines = [f"tree {tree}", *(f"parent {sha}" for sha in parents)]
        lines += [f"author {author.line()}", f"committer {committer.line()}", "", message]
        content = "\n".join(lines).replace("\0", "").encode()
        return self.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=content).decode().strip()

    def merge_tree(self, base: str, head: str) -> str | None:
        """The tree of a merge of two commits, or None when they conflict."""
        return _merge_tree(self.path, base, head)


# Cached: what is true of commits, which their shas name, stays true.


@lru_cache(maxsize=4096)
def _merge_base(path: Path, one: str, other: str) -> str | None:
    try:
        return run_git(path, "merge-base", "--", one, other).decode().strip()
    except GitError:
        return None


@lru_cache(maxsize=4096)
def _ahead_behind(path: Path, base: str, head: str) -> tuple[int, int]:
    behind, ahead = run_git(path, "rev-list", "--left-right", "--count", f"{base}...{head}", "--").split()
    return int(ahead), int(behind)


@lru_cache(maxsize=4096)
def _merge_tree(path: Path, base: str, head: str) -> str | None:
    try:
        return run_git(path, "merge-tree", "--write-tree", "--no-messages", base, head).decode().strip()
    except GitError:
        return None


@lru_cache(maxsize=4096)
def _read_commits(path: Path, shas: tuple[str, ...]) -> tuple[Commit, ...]:
    if not shas:
        return ()
    if not all(is_sha(sha) for sha in shas):
        raise GitError(f"not a commit: {', '.join(shas)}")
    output = run_git(path, "cat-file", "--batch", stdin="".join(f"{sha}\n" for sha in shas).encode())
    commits = []
    for sha in shas:
        header, _, output = output.partition(b"\n")
        fields = header.split()
        if len(fields) != 3 or fields[1] != b"commit":
            raise GitError(f"not a commit: {sha}")
        size = int(fields[2])
        commits.append(_parse_commit(sha, output[:size].decode(errors="replace")))
        output = output[size + 1 :]
    return tuple(commits)


def _parse_commit(sha: str, text: str) -> Commit:
    head, _, message = text.partition("\n\n")
    fields: dict[str, list[str]] = {}
    for line in head.split("\n"):
        key, _, value = line.partition(" ")
        fields.setdefault(key, []).append(value)
    return Commit(
        sha=sha,
        tree=fields["tree"][0],
        parents=tuple(fields.get("parent", ())),
        author=_parse_signature(fields["author"][0]),
        committer=_parse_signature(fields["committer"][0]),
        message=message,
    )


def _parse_signature(text: str) -> Signature:
    found = re.fullmatch(r"(.*?) ?<(.*)> (-?\d+) ([+-]\d{4})", text)
    if found is None:
        return Signature(name=text, email="", time_s=0)
    return Signature(name=found[1], email=found[2], time_s=int(found[3]), offset=found[4])
