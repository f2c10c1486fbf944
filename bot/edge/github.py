"""GitHub through PyGithub, which only bot/edge imports (and bot.lab its errors); each call looks before it acts.

Every method may run twice with the same arguments (a kill between the call and its checkpoint) and leaves the forge as
one call would: branches are named after the experiment, comments carry a hidden marker, checks an external id, and
commits a fixed date, so that making one again yields the same hash. PyGithub's own retry is off, because it repeats
POSTs; the engine repeats whole steps instead.
"""

from base64 import b64decode
from dataclasses import dataclass

import github
from github.CheckRun import CheckRun
from github.GitCommit import GitCommit
from github.GithubException import GithubException, UnknownObjectException
from github.InputGitAuthor import InputGitAuthor
from github.InputGitTreeElement import InputGitTreeElement
from github.Repository import Repository

from bot.core.scope import Change

WRITERS = ("write", "maintain", "admin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    sha: str
    tree_sha: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PullState:
    """A pull request as the forge has it now."""

    number: int
    head: Commit
    open: bool
    merged: bool
    labels: tuple[str, ...]


class Forge:
    """One repository on one forge."""

    def __init__(self, api: github.Github, repository: str, *, login: str) -> None:
        self.login = login
        self._name = repository
        self.repo: Repository = api.get_repo(repository)
        self._author = (login, f"{login}@users.noreply.github.com")

    # -- reading ------------------------------------------------------------------------------------------------

    @property
    def clone_url(self) -> str:
        return str(self.repo.clone_url)

    @property
    def default_branch(self) -> str:
        return str(self.repo.default_branch)

    def tip(self, branch: str) -> Commit | None:
        """The commit a branch points to now, or None when there is no such branch."""
        try:
            sha = self.repo.get_git_ref(f"heads/{branch}").object.sha
        except UnknownObjectException:
            return None
        return Commit(sha=sha, tree_sha=self.repo.get_git_commit(sha).tree.sha)

    def read(self, path: str, *, sha: str) -> str | None:
        """A text file at a commit, or None when it is not there or not text."""
        try:
            found = self.repo.get_contents(path, ref=sha)
        except UnknownObjectException:
            return None
        if isinstance(found, list) or found.type != "file":
            return None
        try:
            return found.decoded_content.decode()
        except UnicodeDecodeError:
            return None

    def paths(self, *, sha: str) -> dict[str, str]:
        """Every file at a commit: path -> git mode."""
        tree = self.repo.get_git_tree(sha, recursive=True)
        return {entry.path: entry.mode for entry in tree.tree if entry.type != "tree"}

    def files(self, *, sha: str) -> dict[str, tuple[str, int]]:
        """Every regular file at a commit: path -> hash of its content, bytes."""
        tree = self.repo.get_git_tree(sha, recursive=True)
        regular = (entry for entry in tree.tree if entry.mode in ("100644", "100755"))
        return {entry.path: (entry.sha, entry.size or 0) for entry in regular}

    def blob(self, sha: str) -> str:
        """The text of one content hash; bytes that are not UTF-8 come back as replacement characters."""
        return b64decode(self.repo.get_git_blob(sha).content).decode("utf-8", "replace")

    def changes(self, *, base_sha: str, head_sha: str) -> list[Change]:
        """How the trees of two commits differ. A rename is a deletion and a new file."""
        entries = []
        for sha in (base_sha, head_sha):
            tree = self.repo.get_git_tree(sha, recursive=True)
            entries.append({entry.path: (entry.mode, entry.sha) for entry in tree.tree if entry.type != "tree"})
        before, after = entries
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

    def merge_base(self, head_sha: str) -> Commit:
        """The newest commit of the default branch that `head_sha` is built on."""
        base = self.repo.compare(self.default_branch, head_sha).merge_base_commit.commit
        return Commit(sha=base.sha, tree_sha=base.tree.sha)

    def is_update_of(self, head_sha: str, old_head_sha: str) -> bool:
        """Whether a commit is the merge that brings `old_head_sha` up to date with another branch."""
        parents = self.repo.get_git_commit(head_sha).parents
        return len(parents) == 2 and parents[0].sha == old_head_sha

    def pull(self, number: int) -> PullState:
        pull = self.repo.get_pull(number)
        sha = pull.head.sha
        return PullState(
            number=number,
            head=Commit(sha=sha, tree_sha=self.repo.get_git_commit(sha).tree.sha),
            open=pull.state == "open",
            merged=bool(pull.merged),
            labels=tuple(label.name for label in pull.labels),
        )

    def may_write(self, login: str) -> bool:
        """Whether this person may change the repository, by the permission API (never `author_association`)."""
        try:
            return self.repo.get_collaborator_permission(login) in WRITERS
        except UnknownObjectException:
            return False

    # -- branch and pull request --------------------------------------------------------------------------------

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

    def commit_files(self, *, parent_sha: str | None, files: dict[str, str], message: str, when_utc: str) -> Commit:
        """A commit object that no branch points to yet. Same arguments, same commit."""
        parent = self.repo.get_git_commit(parent_sha) if parent_sha else None
        modes = self.paths(sha=parent_sha) if parent_sha else {}
        elements = [
            InputGitTreeElement(path=path, mode=modes.get(path, "100644"), type="blob", content=text)
            for path, text in sorted(files.items())
        ]
        tree = (
            self.repo.create_git_tree(elements, base_tree=parent.tree)
            if parent
            else self.repo.create_git_tree(elements)
        )
        return self.commit_tree(tree.sha, parents=[parent] if parent else [], message=message, when_utc=when_utc)

    def commit_tree(self, tree_sha: str, *, parents: list[GitCommit], message: str, when_utc: str) -> Commit:
        who = InputGitAuthor(*self._author, date=when_utc)
        made = self.repo.create_git_commit(
            message, self.repo.get_git_tree(tree_sha), parents, author=who, committer=who
        )
        return Commit(sha=made.sha, tree_sha=tree_sha)

    def open_pull(self, *, branch: str, title: str, body: str) -> int:
        """The number of the one pull request from `branch`, opened now unless it was before."""
        owner = self._name.split("/")[0]
        for pull in self.repo.get_pulls(state="all", head=f"{owner}:{branch}"):
            return int(pull.number)
        return int(self.repo.create_pull(base=self.default_branch, head=branch, title=title, body=body).number)

    def contains(self, sha: str, ancestor_sha: str) -> bool:
        """Whether `sha` is built on `ancestor_sha`."""
        return int(self.repo.compare(ancestor_sha, sha).behind_by) == 0

    def update_branch(self, number: int, *, head_sha: str, base_sha: str) -> bool:
        """Merge the default branch into the pull request's unless that has `base_sha`.

        False when the forge refuses: the two conflict, or somebody pushed to the branch or closed the pull request.
        """
        if self.contains(head_sha, base_sha):
            return True
        try:  # PyGithub's own update_branch gives False for every failure, an overloaded forge's too
            self.repo.requester.requestJsonAndCheck(
                "PUT", f"{self.repo.url}/pulls/{number}/update-branch", input={"expected_head_sha": head_sha}
            )
        except GithubException as error:
            if error.status == 422:
                return False
            raise
        return True

    def close(self, number: int) -> None:
        pull = self.repo.get_pull(number)
        if pull.state == "open":
            pull.edit(state="closed")

    def delete_branch(self, branch: str, *, at_sha: str) -> None:
        """Delete a branch that still is where we left it; a person's later push stays."""
        try:
            ref = self.repo.get_git_ref(f"heads/{branch}")
            if ref.object.sha == at_sha:
                ref.delete()
        except UnknownObjectException:
            return

    def comment(self, number: int, *, marker: str, body: str) -> None:
        """Our one comment that begins with this hidden marker: written, or edited in place."""
        for comment in self.repo.get_issue(number).get_comments():
            if comment.body.startswith(marker) and comment.user.login == self.login:
                if comment.body != body:
                    comment.edit(body)
                return
        self.repo.get_issue(number).create_comment(body)

    def react(self, number: int, comment_id: int | None, reaction: str) -> None:
        """React to a comment, or to the issue itself. The forge keeps one reaction of a kind per person."""
        issue = self.repo.get_issue(number)
        if comment_id is None:
            issue.create_reaction(reaction)
        else:
            issue.get_comment(comment_id).create_reaction(reaction)

    def label(self, number: int, *, prefix: str, name: str, color: str) -> None:
        """Of the labels that begin with `prefix`, leave exactly this one on a pull request."""
        issue = self.repo.get_issue(number)
        on_it = {label.name for label in issue.labels}
        for other in on_it:
            if other.startswith(prefix) and other != name:
                issue.remove_from_labels(other)
        if name not in on_it:
            self._ensure_label(name, color)
            issue.add_to_labels(name)

    def tag(self, number: int, *, name: str, color: str, on: bool) -> None:
        """Put one label on an issue or pull request, or take it off."""
        issue = self.repo.get_issue(number)
        has = name in {label.name for label in issue.labels}
        if on and not has:
            self._ensure_label(name, color)
            issue.add_to_labels(name)
        elif has and not on:
            issue.remove_from_labels(name)

    def _ensure_label(self, name: str, color: str) -> None:
        try:
            self.repo.get_label(name)
        except UnknownObjectException:
            self.repo.create_label(name, color)

    def open_issue_with(self, label: str) -> int | None:
        """The number of an open issue that has this label."""
        for issue in self.repo.get_issues(state="open", labels=[label]):
            return int(issue.number)
        return None

    def open_issue(self, *, title: str, body: str, label: str, color: str) -> None:
        """Open an issue with a label, unless one with that label is open."""
        if self.open_issue_with(label) is None:
            self._ensure_label(label, color)
            self.repo.create_issue(title=title, body=body, labels=[label])

    def check(
        self, *, head_sha: str, external_id: str, conclusion: str | None, title: str, summary: str, text: str
    ) -> None:
        """Our one check run on a commit; `conclusion` None while it is in progress."""
        output: dict[str, str | list[dict[str, str | int]]] = {"title": title, "summary": summary, "text": text}
        status = "in_progress" if conclusion is None else "completed"
        mine = self._find_check(head_sha, external_id)
        if mine is None:
            mine = self.repo.create_check_run(
                "nightlab", head_sha, external_id=external_id, status="in_progress", output=output
            )
            if conclusion is None:
                return
        if conclusion is None:
            mine.edit(status=status, output=output)
        else:
            mine.edit(status=status, conclusion=conclusion, output=output)

    def _find_check(self, head_sha: str, external_id: str) -> CheckRun | None:
        for check in self.repo.get_commit(head_sha).get_check_runs(check_name="nightlab"):
            if check.external_id == external_id:
                return check
        return None


def refusal(error: GithubException) -> str:
    """The forge's own words about a refusal."""
    data = error.data if isinstance(error.data, dict) else {}
    return str(data.get("message") or error.message or f"HTTP {error.status}")[:300]
