"""Credentials for a forge, a GitHub App's key or a token, and the repositories they open."""

import logging
import threading
import time
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import github
import jwt
from github.AuthenticatedUser import AuthenticatedUser
from github.GithubApp import GithubApp
from github.GithubException import UnknownObjectException

from bot.edge.github.allowance import Allowance, Budget
from bot.edge.github.forge import Forge
from bot.edge.github.wire import SKEW_S, ClosedError, Wire

FRESH_S = 60.0  # how long a repository's name and default branch are believed
EARLY_S = 300.0  # a token is renewed this long before it ends

log = logging.getLogger("nightlab.forge")


class AppKey(github.Auth.AppAuth):
    """An App's private key (PEM), which signs for ten minutes at most, by the forge's clock."""

    def __init__(self, app_id: int, private_key: str) -> None:
        self.skew_s = 0.0  # the forge's clock less ours

        def sign(claims: dict[str, Any]) -> str:
            times = {name: claims[name] + round(self.skew_s) for name in ("iat", "exp")}
            return jwt.encode(claims | times, private_key, algorithm="RS256")

        super().__init__(app_id, sign_func=sign)

    def renew(self, refused: str, skew_s: float) -> None:
        """A signature is refused when the clocks differ too much; the next one is made by the forge's."""
        if abs(skew_s - self.skew_s) > SKEW_S:
            log.warning("this machine's clock differs from the forge's by %.0f s; set it right", skew_s)
            self.skew_s = skew_s


class InstallationToken(github.Auth.Auth):
    """A token of one installation of an App; lasts an hour."""

    token_type = "token"  # noqa: S105

    def __init__(self, app: Wire, key: AppKey, installation_id: int) -> None:
        self._app, self._key, self._id = app, key, installation_id
        self._lock = threading.Lock()
        self._token = ""
        self._until_s = 0.0

    @property
    def token(self) -> str:
        with self._lock:
            if time.time() + self._key.skew_s > self._until_s - EARLY_S:
                self._token, self._until_s = self._issue()
            return self._token

    def renew(self, refused: str, skew_s: float) -> None:
        """Another thread may have got a new one since this one was sent."""
        with self._lock:
            if refused.endswith(self._token):
                self._until_s = 0.0

    def _issue(self) -> tuple[str, float]:
        try:
            _, issued = self._app.requestJsonAndCheck("POST", f"/app/installations/{self._id}/access_tokens")
        except UnknownObjectException:
            raise ClosedError(f"installation {self._id} of the GitHub App is gone: install the App again") from None
        return issued["token"], datetime.fromisoformat(issued["expires_at"]).timestamp()


class Access:
    """One identity on one forge."""

    def __init__(
        self, *, api_url: str, app_id: int | None, private_key: str, token: str, write_spacing_s: float
    ) -> None:
        """Either `app_id` and `private_key` (PEM), or `token`. Nothing is asked of the forge yet."""
        self._url = api_url
        self._spacing_s = write_spacing_s
        self._key = AppKey(app_id, private_key) if app_id is not None else None
        self._lock = threading.Lock()
        self._wires: dict[str, Wire] = {}  # by identity
        self._forges: dict[str, tuple[Forge, float]] = {}  # with when we last asked what it is called
        self._own = (
            self._wire("the GitHub App", self._key, spacing_s=0.0)
            if self._key is not None
            else self._wire("the token", github.Auth.Token(token), spacing_s=write_spacing_s)
        )

    def forge(self, repository: str) -> Forge:
        """The repository `owner/name`, under whatever name it has now. Raises ClosedError when it is not open to us."""
        found, asked_s = self._forges.get(repository, (None, 0.0))
        now_s = time.monotonic()
        if found is None or now_s - asked_s > FRESH_S:
            wire = self._wire_to(repository)
            try:
                if found is None or found.wire is not wire:
                    found = Forge(wire, repository, login=self.login)
                else:
                    found.refresh(repository)
            except UnknownObjectException:
                raise _not_open(repository) from None
            self._forges[repository] = (found, now_s)
        return found

    @property
    def own(self) -> Wire:
        """The App itself, or the token."""
        return self._own

    def clone_token(self, git_url: str) -> str:
        """For an hour, and for reading the repository at that address and nothing else; empty without an App.

        Raises what the forge's client raises.
        """
        if self._key is None:
            return ""
        repository = "/".join(urlsplit(git_url).path.removesuffix(".git").split("/")[-2:])
        _, installation = self._own.requestJsonAndCheck("GET", f"/repos/{repository}/installation")
        wanted = {"repositories": [repository.partition("/")[2]], "permissions": {"contents": "read"}}
        place = f"/app/installations/{installation['id']}/access_tokens"
        return str(self._own.requestJsonAndCheck("POST", place, input=wanted)[1]["token"])

    @property
    def app(self) -> Wire | None:
        """The App itself, for what is not of one repository; None when we have only a token."""
        return self._own if self._key is not None else None

    @cached_property
    def login(self) -> str:
        """Our own name on the forge."""
        if self._key is not None:
            return f"{GithubApp(self._own, url='/app').slug}[bot]"
        return str(AuthenticatedUser(self._own, url="/user").login)

    @property
    def budgets(self) -> list[Budget]:
        """How it stands with the forge's limits, for the App itself and each of its installations. Asks nobody."""
        return [wire.allowance.budget for wire in list(self._wires.values())]

    def _wire_to(self, repository: str) -> Wire:
        if self._key is None:
            return self._own
        try:
            _, installation = self._own.requestJsonAndCheck("GET", f"/repos/{repository}/installation")
        except UnknownObjectException:
            raise _not_open(repository) from None
        return self.installation(installation["id"])

    def installation(self, identity: int) -> Wire:
        """The App on one account. Only an App has those."""
        if self._key is None:
            raise AssertionError("a token is not installed")
        auth = InstallationToken(self._own, self._key, identity)
        return self._wire(f"installation {identity}", auth, spacing_s=self._spacing_s)

    def _wire(self, identity: str, auth: github.Auth.Auth, *, spacing_s: float) -> Wire:
        with self._lock:
            if identity not in self._wires:
                allowance = Allowance(identity, write_spacing_s=spacing_s)
                self._wires[identity] = Wire(auth, api_url=self._url, allowance=allowance)
            return self._wires[identity]


def _not_open(repository: str) -> ClosedError:
    return ClosedError(f"{repository} is not open to Nightlab: install its GitHub App there, if it still exists")
