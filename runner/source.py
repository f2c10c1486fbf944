"""The tree to measure: main's tree with the allowed paths taken from the pull request, made by git plumbing alone.

No work tree is ever checked out from the pull request: its blobs are put into a temporary index over the base tree, so
nothing outside `allowed` can come from it, whatever it renamed or linked. Bare clones are kept in the cache.
"""

import base64
import hashlib
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from runner.cache import locked
from runner.protocol import DraftFile, Source, allowed
from runner.sandbox.descendants import die_with_parent

TOKEN_VARIABLE = "NIGHTLAB_GIT_TOKEN"  # noqa: S105 - a name, not a secret
GIT_TIMEOUT_S = 600
_REGULAR_MODES = ("100644", "100755")
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


class GitError(Exception):
    """git's last line of complaint."""


class FetchError(GitError):
    """The commits could not be had: not the candidate's fault."""


class TreeError(Exception):
    """The pull request's files cannot be put into main's tree."""


class Checkout:
    """The tree to measure, written out as files. `tree_sha` is what main must have after a merge."""

    def __init__(self, *, source: Source, cache_dir: Path, run_dir: Path) -> None:
        """Raises FetchError or TreeError."""
        self._source, self._base_sha = source, source.base_sha
        self._git_dir = _fetched(source, cache_dir)
        self._run_dir = run_dir
        self.folder = run_dir / "tree"
        self.folder.mkdir()
        self.tree_sha = self._combine(source)
        self._git("checkout-index", "--all", index="measured")

    def fixed_file(self, path: str, *, required: bool = True) -> bytes:
        """The content of a file that must be main's own. Raises TreeError if it is missing or not main's.

        Where it is not required and main has none, nobody may add it, and it is empty.
        """
        base, measured = (self._blob(tree, path) for tree in (self._base_sha, self.tree_sha))
        if base is None and required:
            raise TreeError(f"main has no {path}")
        if base != measured:
            raise TreeError(f"{path} is fixed, but the pull request changes it")
        return b"" if base is None else self._git("cat-file", "blob", base)

    def image_context(self) -> str:
        """The tree that main's image is made from: main's, less what proposals may edit. It names its content."""
        self._git("read-tree", self._base_sha, index="image")
        gone = [f"0 {'0' * 40}\t{path}" for path in self._allowed("image", self._source)]
        self._git("update-index", "-z", "--index-info", index="image", data="\0".join([*gone, ""]))
        return self._git("write-tree", index="image").decode().strip()

    def tar(self, tree: str) -> bytes:
        return self._git("archive", "--format=tar", tree)

    def _blob(self, tree: str, path: str) -> str | None:
        try:
            return self._git("rev-parse", "--verify", "--quiet", f"{tree}:{path}").decode().strip()
        except GitError:
            return None

    def _combine(self, source: Source) -> str:
        """Fills the index "measured" and returns its tree."""
        self._git("read-tree", source.base_sha, index="measured")
        if source.head_sha != source.base_sha:
            self._git("read-tree", source.head_sha, index="head")
            changes = [f"0 {'0' * 40}\t{path}" for path in self._allowed("measured", source)]
            for path, (mode, blob) in self._allowed("head", source).items():
                if mode not in _REGULAR_MODES:
                    raise TreeError(f"{path} is a link or a submodule, which a proposal may not add")
                changes.append(f"{mode} {blob}\t{path}")
            self._change(changes)
        if source.drafts:
            self._change([self._drafted(draft, source) for draft in source.drafts])
        return self._git("write-tree", index="measured").decode().strip()

    def _drafted(self, draft: DraftFile, source: Source) -> str:
        """The line of the index for a file that no commit has; the bot checked its path, and here it is again."""
        if not allowed(draft.path, source.allowed):
            raise TreeError(f"{draft.path!r} is outside what the contract allows")
        blob = self._git("hash-object", "-w", "--stdin", data=draft.text).decode().strip()
        return f"100644 {blob}\t{draft.path}"

    def _change(self, lines: list[str]) -> None:
        try:
            self._git("update-index", "-z", "--index-info", index="measured", data="\0".join([*lines, ""]))
        except GitError as error:
            raise TreeError(f"the pull request's files do not fit into main's tree: {error}") from None

    def _allowed(self, index: str, source: Source) -> dict[str, tuple[str, str]]:
        """path -> (mode, blob) of the entries of an index that a proposal may change."""
        entries = {}
        for line in filter(None, self._git("ls-files", "-z", "--stage", index=index).split(b"\0")):
            about, _, name = line.partition(b"\t")
            mode, blob, _ = about.decode().split(" ")
            if allowed(path := os.fsdecode(name), source.allowed):
                entries[path] = (mode, blob)
        return entries

    def _git(self, *arguments: str, index: str | None = None, data: str | None = None) -> bytes:
        extra = {"GIT_WORK_TREE": str(self.folder)}
        if index:
            extra["GIT_INDEX_FILE"] = str(self._run_dir / f"{index}.index")
        return _git(self._git_dir, *arguments, extra=extra, data=data)


def _fetched(source: Source, cache_dir: Path) -> Path:
    """A bare clone that has both commits."""
    for sha in (source.base_sha, source.head_sha):
        if not _SHA.fullmatch(sha):
            raise FetchError(f"{sha!r} is not the full name of a commit")
    name = hashlib.sha256(source.git_url.encode()).hexdigest()[:16]
    git_dir = cache_dir / "git" / f"{name}.git"
    with locked(cache_dir / "git" / f"{name}.lock"):
        try:
            if not (git_dir / "HEAD").exists():
                _git(None, "init", "--quiet", "--bare", "--", str(git_dir))
            missing = sorted(sha for sha in {source.base_sha, source.head_sha} if not _has(git_dir, sha))
            if missing:
                _git(
                    git_dir,
                    "fetch",
                    "--quiet",
                    "--no-tags",
                    "--no-write-fetch-head",
                    "--depth=1",
                    "--",
                    source.git_url,
                    *(f"{sha}:refs/measured/{sha}" for sha in missing),  # named, so that the next fetch is a difference
                    extra=_credentials(source.git_url),
                )
        except GitError as error:
            raise FetchError(f"could not fetch from {_without_password(source.git_url)}: {error}") from None
    return git_dir


def _has(git_dir: Path, sha: str) -> bool:
    try:
        _git(git_dir, "cat-file", "-e", f"{sha}^{{commit}}")
    except GitError:
        return False
    return True


def _git(git_dir: Path | None, *arguments: str, extra: dict[str, str] | None = None, data: str | None = None) -> bytes:
    """Raises GitError. Configuration of the user or system is not read, so that a tree means the same everywhere."""
    fixed = {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
        "LC_ALL": "C",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    inherited.pop(TOKEN_VARIABLE, None)
    options = ["-c", "protocol.version=2", "-c", "gc.autoDetach=false", *([f"--git-dir={git_dir}"] if git_dir else [])]
    try:
        done = subprocess.run(
            ["git", *options, *arguments],
            input=os.fsencode(data) if data is not None else b"",
            env=inherited | fixed | (extra or {}),
            capture_output=True,
            timeout=GIT_TIMEOUT_S,
            check=False,
            preexec_fn=die_with_parent,
        )
    except subprocess.TimeoutExpired:
        raise GitError(f"git {arguments[0]} took more than {GIT_TIMEOUT_S} s") from None
    if done.returncode:
        raise GitError(_without_password((done.stderr.decode(errors="replace").strip().splitlines() or ["?"])[-1]))
    return done.stdout


def _credentials(git_url: str) -> dict[str, str]:
    """git configuration by environment: the token never appears in an argument list or a file."""
    token, url = os.environ.get(TOKEN_VARIABLE), urlsplit(git_url)
    if not token or url.scheme not in ("http", "https"):
        return {}
    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{url.scheme}://{url.netloc}/.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
    }


def _without_password(text: str) -> str:
    return re.sub(r"://[^/@\s]*@", "://", text)
