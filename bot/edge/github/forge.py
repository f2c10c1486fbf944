"""What an experiment asks of its repository on a forge; each call looks before it acts.

Every method may run twice with the same arguments (a kill between the call and its checkpoint) and leaves the forge as
one call would: branches are named after the experiment, comments carry a hidden marker, checks an external id, and
commits a fixed date, so that making one again yields the same hash. PyGithub's own retry is off, because it repeats
POSTs; the engine repeats whole steps instead.
"""

from dataclasses import dataclass
from urllib.parse import quote

from github.GithubException import GithubException, UnknownObjectException
from github.Repository import Repository

from bot.core.layout import Role
from bot.edge.github import drafts
from bot.edge.github.checks import Checks
from bot.edge.github.contents import Commit, Contents
from bot.edge.github.threads import Threads
from bot.edge.github.wire import Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class PullState:
    """A pull request as the forge has it now."""

    number: int
    head: Commit
    open: bool
    merged: bool
    merge_sha: str  # empty when it is not merged
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """An open pull request as a list of them tells of it: cheap, and different whenever anything happened there."""

    number: int
    author: str
    branch: str
    head_repository: str  # empty when the fork is gone
    head_sha: str
    labels: tuple[str, ...]
    updated_utc: str


class Forge(Contents, Threads, Checks):
    """One repository on one forge; each base is a part of its API."""

    def __init__(self, wire: Wire, repository: str, *, login: str) -> None:
        super().__init__()
        self.login = login
        self.wire = wire
        self.repo = Repository(wire, url=f"/repos/{repository}")

    def refresh(self, repository: str) -> None:
        """Learn what this repository and its default branch are called now."""
        self.repo = Repository(self.wire, url=f"/repos/{repository}")

    @property
    def name(self) -> str:
        """`owner/name`, as it is called now."""
        return str(self.repo.full_name)

    @property
    def clone_url(self) -> str:
        return str(self.repo.clone_url)

    @property
    def default_branch(self) -> str:
        return str(self.repo.default_branch)

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
            merge_sha=str(pull.merge_commit_sha) if pull.merged else "",
            labels=tuple(label.name for label in pull.labels),
        )

    def open_pulls(self) -> list[Glimpse]:
        """Every open pull request, from whomever."""
        return [
            Glimpse(
                number=int(pull.number),
                author=pull.user.login if pull.user else "",
                branch=str(pull.head.ref),
                head_repository=str(pull.head.repo.full_name) if pull.head.repo else "",
                head_sha=str(pull.head.sha),
                labels=tuple(label.name for label in pull.labels),
                updated_utc=str(pull.updated_at),
            )
            for pull in self.repo.get_pulls(state="open")
        ]

    def role(self, login: str) -> str:
        """A person's role here, by the permission API (never `author_association`): "none" or a value of `Role`.

        A role that an organization made up is taken for the one that it is built on.
        """
        try:
            _, found = self.repo.requester.requestJsonAndCheck(
                "GET", f"{self.repo.url}/collaborators/{quote(login, safe='')}/permission"
            )
        except UnknownObjectException:
            return "none"
        named, built_on = str(found.get("role_name", "")), str(found["permission"])
        return named if named in list(Role) else built_on

    def may_write(self, login: str) -> bool:
        """Whether this person may change the repository."""
        role = self.role(login)
        return role != "none" and Role(role).reaches(Role.WRITE)

    def open_pull(self, *, branch: str, title: str, body: str, draft: bool = False) -> int:
        """The number of the one pull request from `branch`, opened now unless it was before."""
        owner = self.name.split("/")[0]
        for pull in self.repo.get_pulls(state="all", head=f"{owner}:{branch}"):
            return int(pull.number)
        create = drafts.create if draft else Repository.create_pull
        return int(create(self.repo, base=self.default_branch, head=branch, title=title, body=body).number)

    def make_ready(self, number: int) -> None:
        drafts.make_ready(self.repo.get_pull(number))

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


def refusal(error: GithubException) -> str:
    """The forge's own words about a refusal."""
    data = error.data if isinstance(error.data, dict) else {}
    return str(data.get("message") or error.message or f"HTTP {error.status}")[:300]
