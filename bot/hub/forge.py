"""The state of one hub and what operations share: records, repositories, locks and the webhook queue."""

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bot.hub.faults import Faults
from bot.hub.git.bare import BareRepository, Signature
from bot.hub.records import App, FormerName, Installation, Issue, Label, Repo, User, now_utc
from bot.hub.store import Store


class ForgeError(Exception):
    """An operation that the forge declines; the words are for the client. `status` is the HTTP status."""

    def __init__(self, status: int, message: str, *errors: dict[str, str]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors


def invalid(resource: str, field: str, message: str = "", *, code: str = "custom") -> ForgeError:
    """422 in GitHub's form."""
    error = {"resource": resource, "field": field, "code": code}
    if message:
        error["message"] = message
    return ForgeError(422, "Validation Failed", error)


def require_length(resource: str, field: str, text: str, limit: int = 65_536) -> None:
    """Raises ForgeError (422) for more characters than GitHub takes."""
    if len(text) > limit:
        raise invalid(resource, field, f"{field} is too long (maximum is {limit} characters)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts: a user, or an app's bot user with the app."""

    user: User
    app: App | None = None

    @property
    def app_id(self) -> int | None:
        return self.app.id if self.app else None


class Forge:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = Store(root / "hub.sqlite")
        self.faults = Faults()
        self.base_url = ""  # scheme, host and port, without a slash at the end; known once it serves
        self._locks: defaultdict[int, threading.RLock] = defaultdict(threading.RLock)
        self._locks_lock = threading.Lock()

    # Names

    def user(self, login: str) -> User | None:
        return self.store.one(User, "WHERE login = ? COLLATE NOCASE", login)

    def repo(self, owner: str, name: str) -> Repo | None:
        account = self.user(owner)
        if account is None:
            return None
        return self.store.one(Repo, "WHERE owner_id = ? AND name = ? COLLATE NOCASE", account.id, name)

    def moved(self, owner: str, name: str) -> Repo | None:
        """The repository that was called so before, unless another one is called so now."""
        account = self.user(owner)
        if account is None or self.repo(owner, name) is not None:
            return None
        former = self.store.one(FormerName, "WHERE owner_id = ? AND name = ? COLLATE NOCASE", account.id, name)
        return self.store.get(Repo, former.repo_id) if former else None

    def owner(self, repo: Repo) -> User:
        return self.store.get(User, repo.owner_id)

    def full_name(self, repo: Repo) -> str:
        return f"{self.owner(repo).login}/{repo.name}"

    def issue(self, repo: Repo, number: int) -> Issue | None:
        return self.store.one(Issue, "WHERE repo_id = ? AND number = ?", repo.id, number)

    def add_issue(self, actor: Actor, repo: Repo, *, title: str, body: str) -> Issue:
        """A new thread under the repository's next number, which issues and pull requests share."""
        require_length("Issue", "title", title, 256)
        require_length("Issue", "body", body)
        if not title.strip():
            raise invalid("Issue", "title", code="missing_field")
        now = now_utc()
        with self.store.write():
            newest = self.store.one(Issue, "WHERE repo_id = ? ORDER BY number DESC", repo.id)
            return self.store.add(
                Issue(
                    repo_id=repo.id,
                    number=newest.number + 1 if newest else 1,
                    title=title,
                    body=body,
                    user_id=actor.user.id,
                    app_id=actor.app_id,
                    created_at=now,
                    updated_at=now,
                )
            )

    def labels(self, issue: Issue) -> list[Label]:
        clause = "JOIN issuelabel ON label_id = label.id WHERE issue_id = ? ORDER BY issuelabel.id"
        return self.store.all(Label, clause, issue.id)

    def installations(self, repo: Repo) -> list[tuple[App, Installation]]:
        found = self.store.all(Installation, "WHERE account_id = ?", repo.owner_id)
        return [(self.store.get(App, installation.app_id), installation) for installation in found]

    # Git

    def git(self, repo: Repo) -> BareRepository:
        return BareRepository(self.git_path(repo.id))

    def git_path(self, repo_id: int) -> Path:
        return self.root / "git" / f"{repo_id}.git"

    @contextlib.contextmanager
    def lock(self, repo: Repo) -> Iterator[BareRepository]:
        """Hold this while moving refs, so that a move and its record are one. Take it before `store.write`."""
        with self._locks_lock:
            lock = self._locks[repo.id]
        with lock:
            yield self.git(repo)

    def signature(self, user: User, time_s: int) -> Signature:
        email = user.email or f"{user.id}+{user.login}@users.noreply.hub.invalid"
        return Signature(name=user.name or user.login, email=email, time_s=time_s)
