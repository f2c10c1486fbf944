"""Credentials for a forge, a GitHub App's key or a token, and the repositories they open."""

import threading
from functools import cached_property
from typing import Any

import github
from github.Auth import AppAuth
from github.GithubIntegration import GithubIntegration
from github.Requester import HTTPRequestsConnectionClass, HTTPSRequestsConnectionClass, Requester

from bot.edge.github import Forge


class _PerThread:
    """An attribute that every thread has for itself."""

    def __init__(self) -> None:
        self._values = threading.local()

    def __get__(self, instance: object, owner: type) -> Any:
        return self._values.value

    def __set__(self, instance: object, value: Any) -> None:
        self._values.value = value


# PyGithub keeps the request under way on the connection that a client's threads share: between `request` and
# `getresponse` another thread's would take its place, and the wrong call would be made with the wrong answer.
class HttpConnection(HTTPRequestsConnectionClass):
    verb, url, input, headers, stream = _PerThread(), _PerThread(), _PerThread(), _PerThread(), _PerThread()


class HttpsConnection(HTTPSRequestsConnectionClass):
    verb, url, input, headers, stream = _PerThread(), _PerThread(), _PerThread(), _PerThread(), _PerThread()


Requester.injectConnectionClasses(HttpConnection, HttpsConnection)


class Access:
    """One identity on one forge."""

    def __init__(
        self, *, api_url: str, app_id: int | None, private_key: str, token: str, write_spacing_s: float
    ) -> None:
        """Either `app_id` and `private_key` (PEM), or `token`. Nothing is asked of the forge yet."""
        self._url = api_url
        self._spacing_s = write_spacing_s
        self._token = token
        self._app = AppAuth(app_id, private_key) if app_id is not None else None
        self._forges: dict[str, Forge] = {}

    def forge(self, repository: str) -> Forge:
        """The repository `owner/name`; raises GithubException when it is not open to us."""
        if repository not in self._forges:
            self._forges[repository] = Forge(self._api(repository), repository, login=self.login)
        return self._forges[repository]

    @cached_property
    def login(self) -> str:
        """Our own name on the forge."""
        if self.integration is None:
            return str(self._github(github.Auth.Token(self._token)).get_user().login)
        return f"{self.integration.get_app().slug}[bot]"

    @cached_property
    def integration(self) -> GithubIntegration | None:
        """The App itself, for what is not of one repository; None when we have only a token."""
        if self._app is None:
            return None
        return GithubIntegration(auth=self._app, base_url=self._url, seconds_between_requests=0)

    def _api(self, repository: str) -> github.Github:
        if self._app is None or self.integration is None:
            return self._github(github.Auth.Token(self._token))
        owner, _, name = repository.partition("/")
        installation = self.integration.get_repo_installation(owner, name)
        auth = self._app.get_installation_auth(installation.id, requester=self.integration.requester)
        return self._github(auth)

    def _github(self, auth: github.Auth.Auth) -> github.Github:
        return github.Github(
            auth=auth,
            base_url=self._url,
            retry=None,
            seconds_between_requests=0,
            seconds_between_writes=self._spacing_s,
        )
