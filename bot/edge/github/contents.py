"""What a repository holds: files at a commit, and new commits on its branches. Git's objects, through GitHub's API."""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from github.GitCommit import GitCommit
from github.GithubException import GithubException, UnknownObjectException
from github.InputGitAuthor import InputGitAuthor
from github.InputGitTreeElement import InputGitTreeElement
from github.Repository import Repository

from bot.core.scope import Change
from bot.edge.github.wire import ClosedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    sha: str
    tree_sha: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a tree has at a path: a file, a link, or a submodule."""

    path: str
    mode: str
    sha: str
    size: int  # bytes


class Contents:
    """Of one repository."""

    repo: Repository
    login: str

    def tip(self, branch: str) -> Commit | None:
        """The commit a branch points to now, or None when there is no such branch."""
        try:
            sha = self.repo.get_git_ref(f"heads/{branch}").object.sha
        except GithubException as error:
            if error.status in (404, 409):  # 409: the repository is empty
                return None
            raise
        return Commit(sha=sha, tree_sha=self.repo.get_git_commit(sha).tree.sha)

    def read(self, path: str, *, sha: str) -> str | None:
        """A text file at a commit, or None when it is not there or not text."""
        try:
            found = self.repo.get_contents(path, ref=sha)
        except GithubException as error:
            if error.status == 404:  # in words that PyGithub does not know, when the repository is empty
                return None
            raise
        if isinstance(found, list) or found.type != "file":
            return None
        return self.blob(found.sha) if found.encoding == "none" else _text(found.decoded_content)  # above 1 MB

    def paths(self, *, sha: str) -> dict[str, str]:
        """Every file at a commit: path -> git mode."""
        return {entry.path: entry.mode for entry in self._entries(sha)}

    def files(self, *, sha: str) -> dict[str, tuple[str, int]]:
        """Every regular file at a commit: path -> hash of its content, bytes."""
        regular = (entry for entry in self._entries(sha) if entry.mode in ("100644", "100755"))
        return {entry.path: (entry.sha, entry.size) for entry in regular}

    def _entries(self, sha: str, folder: str = "") -> Iterator[Entry]:
        """Everything below a commit or tree. A list that the forge cuts short is read folder by folder: what is not
        listed would pass for unchanged."""
        tree = self.repo.get_git_tree(sha, recursive=True)
        whole = not tree.truncated
        if not whole and (tree := self.repo.get_git_tree(sha)).truncated:
            raise ClosedError(f"{folder or 'the root folder'} holds more files than the forge lists: divide it")
        for found in tree.tree:
            if found.type != "tree":
                yield Entry(path=folder + found.path, mode=found.mode, sha=found.sha, size=found.size or 0)
            elif not whole:
                yield from self._entries(found.sha, f"{folder}{found.path}/")

    def blob(self, sha: str) -> str | None:
        """The text of one content hash; None when it is no text."""
        return _text(b64decode(self.repo.get_git_blob(sha).content))

    def changes(self, *, base_sha: str, head_sha: str) -> list[Change]:
        """How the trees of two commits differ. A rename is a deletion and a new file."""
        before, after = (
            {entry.path: (entry.mode, entry.sha) for entry in self._entries(sha)} for sha in (base_sha, head_sha)
        )
        lines = {file.filename: file.changes for file in self.repo.compare(base_sha, head_sha).files}
        return [
            Change(
                path=path,
                old_mode=before[path][0] if path in before else None,
                new_mode=after[path][0] if path in after else None,
                lines=lines.get(path, 0),
            )
            for path in sorted({*before, *after})
            if before.get(path) != after.get(path)
        ]

    def tree_sha(self, sha: str) -> str:
        """The tree of a commit."""
        return str(self.repo.get_git_commit(sha).tree.sha)

    def push_files(self, branch: str, *, base_sha: str, files: dict[str, str], message: str, when_utc: str) -> Commit:
        """Make `branch`: one commit on `base_sha` with these files' new contents.

        When the branch is already there it is left as it is, and its tip comes back: a person may have pushed to it.
        """
        existing = self.tip(branch)
        if existing is not None:
            return existing
        commit = self.commit_files(parent_sha=base_sha, files=files, message=message, when_utc=when_utc)
        self.repo.create_git_ref(f"refs/heads/{branch}", commit.sha)
        return commit

    def append_files(
        self, branch: str, *, parent: Commit | None, files: dict[str, str], message: str, when_utc: str
    ) -> bool:
        """Add one commit with these files to `branch` (made when `parent` is None); False when it moved meanwhile."""
        parent_sha = parent.sha if parent else None
        commit = self.commit_files(parent_sha=parent_sha, files=files, message=message, when_utc=when_utc)
        try:
            if parent is None:
                self.repo.create_git_ref(f"refs/heads/{branch}", commit.sha)
            else:
                self.repo.get_git_ref(f"heads/{branch}").edit(commit.sha, force=False)
        except GithubException as error:
            if error.status in (409, 422):
                return False
            raise
        return True

    def commit_files(
        self, *, parent_sha: str | None, files: Mapping[str, str | None], message: str, when_utc: str
    ) -> Commit:
        """A commit object that no branch points to yet; a file of None is deleted. Same arguments, same commit."""
        parent = self.repo.get_git_commit(parent_sha) if parent_sha else None
        modes = self.paths(sha=parent_sha) if parent_sha else {}
        elements = [
            InputGitTreeElement(path=path, mode=modes.get(path, "100644"), type="blob", content=text)
            if text is not None
            else InputGitTreeElement(path=path, mode="100644", type="blob", sha=None)
            for path, text in sorted(files.items())
        ]
        tree = (
            self.repo.create_git_tree(elements, base_tree=parent.tree)
            if parent
            else self.repo.create_git_tree(elements)
        )
        return self.commit_tree(tree.sha, parents=[parent] if parent else [], message=message, when_utc=when_utc)

    def commit_tree(self, tree_sha: str, *, parents: list[GitCommit], message: str, when_utc: str) -> Commit:
        who = InputGitAuthor(self.login, f"{self.login}@users.noreply.github.com", date=when_utc)
        made = self.repo.create_git_commit(
            message, self.repo.get_git_tree(tree_sha), parents, author=who, committer=who
        )
        return Commit(sha=made.sha, tree_sha=tree_sha)

    def delete_branch(self, branch: str, *, at_sha: str) -> None:
        """Delete a branch that still is where we left it; a person's later push stays."""
        try:
            ref = self.repo.get_git_ref(f"heads/{branch}")
            if ref.object.sha == at_sha:
                ref.delete()
        except UnknownObjectException:
            return


def _text(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None
