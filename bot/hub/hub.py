"""The Python face of the hub: make accounts, repositories and apps, serve them, stop."""

import contextlib
import fcntl
import json
import logging
import re
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from bot.hub import apps, server
from bot.hub.access import issue_token
from bot.hub.apps import InstalledApp
from bot.hub.faults import Faults
from bot.hub.forge import Actor, Forge
from bot.hub.git.command import GitVersionError, require_version
from bot.hub.git.refs import record_pushes
from bot.hub.hooks import Courier
from bot.hub.records import App, Collaborator, Protection, Repo, User, now_utc
from bot.hub.repositories import NAME, create_repo, read_folder
from bot.hub.shapes.repositories import api_url
from bot.hub.store import StoreError
from bot.hub.wsgi import make_app

_DYING_S = 2.0  # how long a git process may go on after the hub that started it
_log = logging.getLogger(__name__)


class HubError(Exception):
    """The hub cannot do that; the message is one sentence that says why and what to do."""


class Hub:
    """One forge on one folder. Everything survives a restart on the same folder, and a kill at any time.

    It listens from the start, so that its address is known, and answers after `start`. Port 0 takes a free one.
    `base_url` is where others find it, when that is not http://host:port. `visitor` is the login that browsers act
    as without signing in, for a port that only trusted people reach; leave it out and browsers can only read.
    """

    def __init__(
        self,
        root: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        base_url: str | None = None,
        visitor: str | None = None,
    ) -> None:
        with contextlib.ExitStack() as undo:
            try:
                require_version()
                root.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._root_lock = undo.enter_context(_lock_root(root))
                self._listener = undo.enter_context(server.bind(host, port))
                self.forge = Forge(root.resolve())
            except (GitVersionError, StoreError) as error:
                raise HubError(str(error)) from None
            undo.pop_all()
        shown_host = f"[{host}]" if ":" in host else host
        self.forge.base_url = (base_url or f"http://{shown_host}:{self._listener.getsockname()[1]}").rstrip("/")
        self._visitor = visitor
        self._threads: tuple[server.Server, Courier] | None = None
        self._recover()

    @property
    def base_url(self) -> str:
        """Where people find it, without a slash at the end."""
        return self.forge.base_url

    @property
    def api_url(self) -> str:
        """What PyGithub wants as its base_url."""
        return api_url(self.forge)

    @property
    def faults(self) -> Faults:
        return self.forge.faults

    # Serving

    def start(self) -> Self:
        """Serve in a thread, and deliver webhooks in another."""
        threads = server.Server(make_app(self.forge, visitor=self._visitor), self._listener), Courier(self.forge)
        for thread in threads:
            thread.start()
        self._threads = threads
        return self

    def stop(self) -> None:
        """Answer what is being answered, then let go of the port and the folder. Once is enough; twice does no harm."""
        if self._threads is not None:
            for thread in self._threads:
                thread.stop()
            self._threads = None
        self._listener.close()
        self.forge.store.close()
        self._root_lock.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _recover(self) -> None:
        """Let happen what follows from refs that moved right before an earlier hub was killed."""
        for repo in self.forge.store.all(Repo):
            _remove_stale_locks(self.forge.git_path(repo.id))
            try:
                record_pushes(self.forge, Actor(user=self.forge.owner(repo)), repo)
            except Exception:  # the other repositories work
                _log.exception("Cannot read the repository %s in %s", repo.name, self.forge.git_path(repo.id))

    # Accounts

    def create_user(self, login: str, *, name: str = "", email: str = "") -> bool:
        """Whether the user is new: a login that exists stays as it is. Raises HubError for what is no login."""
        if re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})", login) is None:
            raise HubError(f"{login} is no login: use at most 39 letters, digits and hyphens.")
        if self.forge.user(login) is not None:
            return False
        self.forge.store.add(User(login=login, type="User", name=name, email=email, created_at=now_utc()))
        return True

    def create_token(self, login: str) -> str:
        """A personal access token of the user. It is shown once: the hub keeps its hash only."""
        return issue_token(self.forge, self._user(login))

    def _user(self, login: str) -> User:
        found = self.forge.user(login)
        if found is None:
            raise HubError(f"There is no user {login}; create the user first.")
        return found

    # Repositories

    def create_repo(
        self,
        owner: str,
        name: str,
        *,
        source: Path | None = None,
        description: str = "",
        private: bool = False,
        default_branch: str = "main",
        message: str = "Initial commit",
    ) -> None:
        """A repository; with `source`, its first commit holds that folder's files (no .git, no __pycache__)."""
        if NAME.fullmatch(name) is None:
            raise HubError(f"{name} is no repository name: use letters, digits, dots, hyphens and underscores.")
        files, executable = read_folder(source) if source else ({}, frozenset[str]())
        try:
            create_repo(
                self.forge,
                self._user(owner),
                name=name,
                description=description,
                private=private,
                default_branch=default_branch,
                files=files,
                executable=executable,
                message=message,
            )
        except sqlite3.IntegrityError:
            raise HubError(f"{owner}/{name} exists already; choose another name.") from None

    def has_repo(self, full_name: str) -> bool:
        owner, _, name = full_name.partition("/")
        return self.forge.repo(owner, name) is not None

    def git_path(self, full_name: str) -> Path:
        """The bare repository on disk."""
        return self.forge.git_path(self._repo(full_name).id)

    def _repo(self, full_name: str) -> Repo:
        owner, _, name = full_name.partition("/")
        found = self.forge.repo(owner, name)
        if found is None:
            raise HubError(f"There is no repository {full_name}; create it first.")
        return found

    def add_collaborator(self, full_name: str, login: str, *, permission: str = "write") -> None:
        """`permission` is read, write or admin; a later call replaces an earlier one."""
        repo, user = self._repo(full_name), self._user(login)
        self.forge.store.put(Collaborator(repo_id=repo.id, user_id=user.id, permission=permission))

    def protect(
        self,
        full_name: str,
        branch: str,
        *,
        require_pull: bool = False,
        require_up_to_date: bool = False,
        required_checks: Sequence[str] = (),
        required_approvals: int = 0,
    ) -> None:
        """Protect a branch; a later call replaces an earlier one."""
        self.forge.store.put(
            Protection(
                repo_id=self._repo(full_name).id,
                branch=branch,
                require_pull=require_pull,
                require_up_to_date=require_up_to_date,
                required_checks_json=json.dumps(list(required_checks)),
                required_approvals=required_approvals,
            )
        )

    # Apps

    def create_app(
        self,
        owner: str,
        name: str,
        *,
        account: str,
        webhook_url: str = "",
        webhook_secret: str = "",
        permissions: Mapping[str, str] = apps.PERMISSIONS,
        events: Sequence[str] = apps.EVENTS,
    ) -> InstalledApp:
        """An app of `owner`, installed on every repository of `account`. Sends `ping` and `installation`."""
        slug = name.lower().replace(" ", "-")
        if self.forge.store.one(App, "WHERE slug = ?", slug) is not None:
            raise HubError(f"There is an app {slug} already; choose another name.")
        with self.forge.store.write():
            app, private_key_pem = apps.register_app(
                self.forge,
                self._user(owner),
                name=name,
                slug=slug,
                webhook_url=webhook_url,
                webhook_secret=webhook_secret,
                permissions=permissions,
                events=events,
            )
            installation = apps.install(self.forge, app, self._user(account))
        return InstalledApp(
            app_id=app.id,
            slug=slug,
            private_key_pem=private_key_pem,
            installation_id=installation.id,
            webhook_secret=webhook_secret,
        )

    def set_webhook(self, slug: str, *, url: str, secret: str) -> None:
        """Where an app's webhooks go from now on."""
        app = self.forge.store.one(App, "WHERE slug = ?", slug)
        if app is None:
            raise HubError(f"There is no app {slug}; create it first.")
        self.forge.store.save(replace(app, webhook_url=url, webhook_secret=secret))


def _lock_root(root: Path) -> IO[str]:
    """A lock that the system lets go of when this process ends, however it ends."""
    lock = (root / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise HubError(f"Another hub is running on {root}; stop it, or choose another folder.") from None
    return lock


def _remove_stale_locks(git_path: Path) -> None:
    """git's lock files that a power cut left. Nobody else works on this folder now, save a dying child for a moment."""
    for lock in [*git_path.glob("*.lock"), *git_path.glob("refs/**/*.lock")]:
        while lock.exists() and time.time() - lock.stat().st_mtime < _DYING_S:
            time.sleep(0.1)
        lock.unlink(missing_ok=True)
