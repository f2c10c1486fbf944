"""GitHub through PyGithub (which only this module, access.py and landing.py import); each call looks before it acts.

Every method may run twice with the same arguments (a kill between the call and its checkpoint) and leaves the forge as
one call would: branches are named after the experiment, comments carry a hidden marker, checks an external id, and
commits a fixed date, so that making one again yields the same hash. PyGithub's own retry is off, because it repeats
POSTs; the engine repeats whole steps instead.
"""

from dataclasses import dataclass

import github
from github.CheckRun import CheckRun
from github.GitCommit import GitCommit
from github.GithubException import GithubException, UnknownObjectException
from github.InputGitAuthor import InputGitAuthor
from github.InputGitTreeElement import InputGitTreeElement
from github.IssueComment import IssueComment
from github.Repository import Repository

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

    def changed_paths(self, *, base_sha: str, head_sha: str) -> dict[str, str]:
        """Files that differ between two commits: path -> status (added, modified, removed, renamed ...)."""
        changed: dict[str, str] = {}
        for file in self.repo.compare(base_sha, head_sha).files:
            changed[file.filename] = file.status
            if file.status == "renamed" and file.previous_filename:
                changed[file.previous_filename] = "removed"
        return changed

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

    def update_branch(self, number: int, *, head_sha: str, base_sha: str) -> bool:
        """Merge `base_sha` into the pull request's branch unless it has it; False when they conflict."""
        if self.repo.compare(base_sha, head_sha).behind_by == 0:
            return True
        try:
            self.repo.get_pull(number).update_branch(expected_head_sha=head_sha)
        except GithubException as error:
            if error.status == 422:
                return False
            raise
        return True

    def close(self, number: int) -> None:
        pull = self.repo.get_pull(number)
        if pull.state == "open":
            pull.edit(state="closed")

    def delete_branch(self, branch: str) -> None:
        try:
            self.repo.get_git_ref(f"heads/{branch}").delete()
        except UnknownObjectException:
            return

    # -- what people read ---------------------------------------------------------------------------------------

    def comment(self, number: int, *, marker: str, body: str) -> None:
        """The one comment with this hidden marker on an issue or pull request: written, or edited in place."""
        text = f"{body}\n\n{marker}"
        mine = self._find_comment(number, marker)
        if mine is None:
            self.repo.get_issue(number).create_comment(text)
        elif mine.body != text:
            mine.edit(text)

    def _find_comment(self, number: int, marker: str) -> IssueComment | None:
        for comment in self.repo.get_issue(number).get_comments():
            if comment.body.rstrip().endswith(marker) and comment.user.login == self.login:
                return comment
        return None

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
        if name in on_it:
            return
        try:
            self.repo.get_label(name)
        except UnknownObjectException:
            self.repo.create_label(name, color)
        issue.add_to_labels(name)

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
