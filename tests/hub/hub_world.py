"""What every test of the hub starts from: people, a repository and an installed app, and clients for all of them."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import github
import pytest
from github import GithubException
from github.Repository import Repository

from bot.hub import Hub, InstalledApp

Git = Callable[..., str]
FILES = {"README.md": "# Model\n", "train.py": "LR = 0.6\nSTEPS = 100\n", "src/data.py": "x = 1\n"}


@dataclass(frozen=True, kw_only=True)
class World:
    """ada owns ada/model, grace may write, eve may read; `repo` speaks as the installed app."""

    hub: Hub
    app: InstalledApp
    tokens: dict[str, str]

    def client(self, login: str) -> github.Github:
        auth = github.Auth.Token(self.tokens[login])
        return github.Github(
            base_url=self.hub.api_url, auth=auth, retry=None, seconds_between_requests=0, seconds_between_writes=0
        )

    def repo_as(self, login: str) -> Repository:
        return self.client(login).get_repo("ada/model")

    @property
    def integration(self) -> github.GithubIntegration:
        auth = github.Auth.AppAuth(self.app.app_id, self.app.private_key_pem)
        return github.GithubIntegration(base_url=self.hub.api_url, auth=auth, seconds_between_requests=0)

    @functools.cached_property
    def repo(self) -> Repository:
        auth = github.Auth.AppAuth(self.app.app_id, self.app.private_key_pem)
        installed = auth.get_installation_auth(self.app.installation_id)
        client = github.Github(
            base_url=self.hub.api_url, auth=installed, retry=None, seconds_between_requests=0, seconds_between_writes=0
        )
        return client.get_repo("ada/model")


def furnish(hub: Hub, folder: Path, *, webhook_url: str = "") -> World:
    tokens = {}
    for login in ("ada", "grace", "eve"):
        hub.create_user(login, name=login.title(), email=f"{login}@example.org")
        tokens[login] = hub.create_token(login)
    hub.create_repo("ada", "model", source=folder)
    hub.add_collaborator("ada/model", "grace", permission="write")
    app = hub.create_app("ada", "Nightlab", account="ada", webhook_url=webhook_url, webhook_secret="s3cret")
    return World(hub=hub, app=app, tokens=tokens)


def propose(repo: Repository, branch: str, path: str, text: str, *, base: str = "main") -> str:
    """A branch with one commit that sets `path` to `text`, the way the bot makes one; returns the commit's sha."""
    tip = repo.get_git_ref(f"heads/{base}").object.sha
    parent = repo.get_git_commit(tip)
    element = github.InputGitTreeElement(path, "100644", "blob", content=text)
    tree = repo.create_git_tree([element], base_tree=parent.tree)
    commit = repo.create_git_commit(f"Change {path}", tree, [parent])
    repo.create_git_ref(f"refs/heads/{branch}", commit.sha)
    return commit.sha


def refuses(status: int, call: Callable[[], object]) -> str:
    """The message of the error that `call` must meet."""
    with pytest.raises(GithubException) as caught:
        call()
    assert caught.value.status == status, caught.value
    return str(caught.value.data["message"])
