"""A git clone on this machine, as measurements by hand see it: revisions, files, and what is not committed yet.

The clone itself is never written to. What is not committed becomes a commit in a bare repository of ours that borrows
the clone's objects (git's alternates), so neither the index nor the branches nor the objects of the clone change.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bot.core.scope import Change
from runner.protocol import allowed

WORK_TREE = "."  # as a revision: what lies in the folder, committed or not
_BASES = ("origin/HEAD", "origin/main", "origin/master", "main", "master")


class CloneError(Exception):
    """One sentence that says what to do."""


class Clone:
    """The clone that `folder` is in; `cache` is where our own repository beside it is kept."""

    def __init__(self, folder: Path, *, cache: Path) -> None:
        """Raises CloneError."""
        self._folder = folder
        try:
            self.root = Path(self._git("rev-parse", "--show-toplevel").strip())
        except CloneError:
            raise CloneError(f"{folder} is not in a git clone: go to one, or name one") from None
        common = self._path("--git-common-dir")
        self.url = cache / "clones" / f"{hashlib.sha256(os.fsencode(common)).hexdigest()[:16]}.git"
        if not (self.url / "HEAD").exists():
            self._git("init", "--quiet", "--bare", "--", str(self.url))
        (self.url / "objects" / "info" / "alternates").write_text(f"{self._path('--git-path', 'objects')}\n")

    def default_base(self) -> str:
        """The revision that changes are usually compared with. Raises CloneError."""
        for name in _BASES:
            if self._has(name):
                return name
        raise CloneError(f"there is none of {', '.join(_BASES)} to compare with: name a revision with --base")

    def commit(self, revision: str) -> str:
        """The full hash of a commit. Raises CloneError."""
        if not self._has(revision):
            raise CloneError(f"there is no commit {revision!r} in {self.root}: is it spelt so, and fetched?")
        return self._git("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}").strip()

    def merge_base(self, one: str, other: str) -> str:
        """The newest commit that two commits have in common. Raises CloneError."""
        try:
            return self._git("merge-base", one, other).strip()
        except CloneError:
            raise CloneError(
                f"{one[:10]} and {other[:10]} have no commit in common here; if the clone is shallow, "
                "`git fetch --unshallow` brings the rest"
            ) from None

    def behind(self, commit: str, tip: str) -> int:
        """How many commits `tip` has that `commit` lacks."""
        return int(self._git("rev-list", "--count", f"{commit}..{tip}"))

    def read(self, path: str, *, sha: str) -> str | None:
        """A text file of a commit; None when there is none. Raises CloneError when it is no text."""
        if path not in self.paths(sha=sha):
            return None
        text = self._git("cat-file", "blob", f"{sha}:{path}")
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise CloneError(f"{path} at {sha[:10]} is not text in UTF-8")
        return text

    def paths(self, *, sha: str) -> frozenset[str]:
        return frozenset(filter(None, self._git("ls-tree", "-r", "-z", "--name-only", "--full-tree", sha).split("\0")))

    def message(self, sha: str) -> str:
        return self._git("log", "-1", "--format=%B", sha)

    def changes(self, base_sha: str, head_sha: str) -> list[Change]:
        """What a pull request from one commit to the other would change."""
        facts = self._ours("diff-tree", "-r", "-z", "--raw", "--numstat", "--no-renames", base_sha, head_sha).split(
            "\0"
        )
        found, lines = {}, {}
        while facts and facts[0]:
            head = facts.pop(0)
            if head.startswith(":"):
                old_mode, new_mode = head[1:].split(" ")[:2]
                found[facts.pop(0)] = (old_mode, new_mode)
            else:
                added, removed, path = head.split("\t", 2)
                lines[path] = sum(int(count) for count in (added, removed) if count.isdecimal())
        return [
            Change(path=path, old_mode=_mode(old), new_mode=_mode(new), lines=lines.get(path, 0))
            for path, (old, new) in found.items()
        ]

    def snapshot(self, patterns: Sequence[str]) -> tuple[str, list[str]]:
        """A commit of what lies in the folder, and the new files that it leaves out.

        All changes of files that git knows are in it, and of new files those that `patterns` allow: a folder where
        somebody works is full of files that are nobody's business. Raises CloneError.
        """
        with (self.url / "snapshot.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return self._snapshot(patterns, self.url / "snapshot.index")

    def _snapshot(self, patterns: Sequence[str], index: Path) -> tuple[str, list[str]]:
        own = self._path("--git-path", "index")
        if own.exists():
            shutil.copyfile(own, index)  # it knows which files did not change
        else:
            index.unlink(missing_ok=True)
        self._ours("add", "--update", ":/", index=index)
        new = self._ours("ls-files", "--others", "--exclude-standard", "-z", "--full-name", ":/", index=index).split(
            "\0"
        )
        wanted = [path for path in new if path and allowed(path, tuple(patterns))]
        self._ours("update-index", "--add", "-z", "--stdin", index=index, data="\0".join([*wanted, ""]))
        tree = self._ours("write-tree", index=index).strip()
        who = ("-c", "user.name=nightlab", "-c", "user.email=nightlab@localhost")
        parent = self.commit("HEAD")
        sha = self._ours(*who, "commit-tree", "-p", parent, "-m", "what is not committed", tree).strip()
        return sha, sorted({path for path in new if path} - set(wanted))

    def tree(self, sha: str) -> str:
        return self._ours("rev-parse", "--verify", "--end-of-options", f"{sha}^{{tree}}").strip()

    def _has(self, revision: str) -> bool:
        try:
            self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        except CloneError:
            return False
        return True

    def _path(self, *question: str) -> Path:
        return (self._folder / self._git("rev-parse", *question).strip()).resolve()

    def _ours(self, *arguments: str, index: Path | None = None, data: str = "") -> str:
        """git at the clone's root, writing to our repository."""
        env = {"GIT_OBJECT_DIRECTORY": str(self.url / "objects")}
        if index is not None:
            env["GIT_INDEX_FILE"] = str(index)
        return self._git(*arguments, env=env, data=data, folder=self.root)

    def _git(
        self, *arguments: str, env: dict[str, str] | None = None, data: str = "", folder: Path | None = None
    ) -> str:
        """Raises CloneError."""
        command = ["git", "-C", str(folder or self._folder), *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        try:
            done = subprocess.run(
                command,
                input=os.fsencode(data),
                capture_output=True,
                check=True,
                env={**environment, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **(env or {})},
            )
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
            raise CloneError(f"git says in {self._folder}: {said[-1]}") from None
        except OSError as error:
            raise CloneError(f"git cannot be started: {error.strerror}") from None
        return os.fsdecode(done.stdout)


def _mode(mode: str) -> str | None:
    return None if mode == "000000" else mode
