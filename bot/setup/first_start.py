"""The first start: a person makes the bot's GitHub App in a browser, and the bot keeps its credentials.

One link, printed where the bot was started, admits one browser. The App is made on the forge's own page from a
manifest; the forge sends the browser back with a code, for which we fetch the credentials.
"""

import hmac
import re
import secrets
import threading
from dataclasses import dataclass, replace

from bot.core import app as apps
from bot.edge.github import registration
from bot.edge.github.access import Access
from bot.edge.github.installations import contract_needs, installed
from bot.edge.github.registration import Registered
from bot.setup import credentials
from bot.setup.access import access_of
from bot.setup.credentials import Credentials
from bot.setup.settings import Settings

ORGANIZATION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})")
ADDRESS = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A manifest, and where the browser takes it."""

    action: str
    manifest: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    name: str
    needs: str  # one sentence; empty when it is ready


class Setup:
    """One set-up under way. `made` is set once there are credentials; `settings` are then those to start with."""

    def __init__(self, settings: Settings) -> None:
        """Raises BrokenFileError."""
        self.settings = settings
        self.made = threading.Event()
        self.trouble = ""
        self.credentials: Credentials | None = None
        self._token = secrets.token_urlsafe(32)
        self._session = ""
        self._state = ""
        self._lock = threading.Lock()
        self._access: Access | None = None
        self.try_again()

    @property
    def path(self) -> str:
        """The link that admits one browser."""
        return f"/setup/?token={self._token}"

    def admit(self, token: str) -> str | None:
        """What the browser keeps as its cookie; None for a wrong token or one that admitted somebody already."""
        with self._lock:
            if not _same(token, self._token):
                return None
            self._token, self._session = "", secrets.token_urlsafe(32)
            return self._session

    def knows(self, session: str) -> bool:
        return _same(session, self._session)

    def order(self, *, own_url: str, address: str, organization: str, name: str) -> Order | str:
        """The manifest for the forge, or one sentence about what the person wrote."""
        if ADDRESS.fullmatch(address) is None:
            return "write the address at which the forge finds this bot, such as https://nightlab.example.org"
        if organization and ORGANIZATION.fullmatch(organization) is None:
            return f"{organization!r} is not the name of an organization: write what stands in its address"
        if not 1 <= len(name) <= 34:
            return "the App's name must have 1 to 34 characters"
        self._state = secrets.token_urlsafe(32)
        return Order(
            action=apps.registration_url(self.settings.api_url, organization=organization, state=self._state),
            manifest=apps.manifest(name=name, own_url=own_url, webhook_url=f"{address.rstrip('/')}/webhook"),
        )

    def try_again(self) -> None:
        """Use a code that was written down, here or before a kill, and has brought no credentials so far."""
        with self._lock:
            code = credentials.remembered_code(self.settings.state, api_url=self.settings.api_url)
            if code and self.credentials is None:
                self._fetch(code)

    def complete(self, *, code: str, state: str) -> str:
        """Fetch and keep the credentials; one sentence about what went wrong, empty when nothing did."""
        with self._lock:
            expected, self._state = self._state, ""
            if self.credentials is not None or not _same(state, expected):
                return "this answer belongs to no set-up that was begun here: begin again"
            credentials.remember_code(self.settings.state, code, api_url=self.settings.api_url)
            self._fetch(code)
        return self.trouble

    def _fetch(self, code: str) -> None:
        answer = registration.fetch(api_url=self.settings.api_url, code=code)
        if not isinstance(answer, Registered):
            self.trouble = answer.reason if answer.again else f"{answer.reason}. {self._lost()}"
            if not answer.again:
                credentials.forget_code(self.settings.state)
            return
        self.trouble = ""
        self.credentials = Credentials(
            api_url=self.settings.api_url,
            app_id=answer.app_id,
            slug=answer.slug,
            page=answer.page,
            private_key=answer.private_key,
            webhook_secret=answer.webhook_secret,
        )
        credentials.save(self.settings.state, self.credentials)
        self.settings = replace(
            self.settings,
            app_id=answer.app_id,
            private_key=answer.private_key,
            webhook_secret=answer.webhook_secret,
        )
        self.made.set()

    def _lost(self) -> str:
        page = f"{apps.web_url(self.settings.api_url)}/settings/apps"
        return (
            f"If the App was made all the same, nobody has its key: delete it on {page} (or on the organization's page "
            "of that kind), then begin again"
        )

    def repositories(self) -> list[Repository]:
        """Where the App is installed, and what each repository still needs. Raises GithubException."""
        if self.credentials is None:
            return []
        if self._access is None:
            self._access = access_of(self.settings, spaced=False)
        found = []
        for installation in installed(self._access):
            lacks = ", ".join(apps.missing_permissions(installation.permissions))
            for name in installation.repositories:
                needs = f"the App lacks: {lacks}; accept it on {installation.page}" if lacks else ""
                found.append(Repository(name=name, needs=needs or contract_needs(self._access, name)))
        return found


def _same(given: str, expected: str) -> bool:
    """In constant time; nothing is the same as nothing."""
    return bool(expected) and hmac.compare_digest(given.encode(), expected.encode())
