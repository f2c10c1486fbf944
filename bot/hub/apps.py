"""Making and installing apps: a key pair, a bot user, an installation, and the first two webhooks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bot.hub.forge import Forge
from bot.hub.hooks import enqueue
from bot.hub.records import App, Installation, Repo, User, now_utc
from bot.hub.shapes.repositories import installation_json, ping_json, repository_name_json, user_json

PERMISSIONS: Mapping[str, str] = MappingProxyType(
    {
        "checks": "write",
        "contents": "write",
        "issues": "write",
        "metadata": "read",
        "pull_requests": "write",
        "statuses": "write",
    }
)
EVENTS = (
    "check_run",
    "issue_comment",
    "issues",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "push",
    "repository",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledApp:
    """What an app needs in order to speak to the hub. The private key is shown once: the hub keeps the public one."""

    app_id: int
    slug: str
    private_key_pem: str
    installation_id: int
    webhook_secret: str


def register_app(
    forge: Forge,
    owner: User,
    *,
    name: str,
    slug: str,
    webhook_url: str,
    webhook_secret: str,
    permissions: Mapping[str, str],
    events: Sequence[str],
) -> tuple[App, str]:
    """An app that is installed nowhere, and its private key (PEM). Sends `ping`."""
    private_pem, public_pem = _key_pair()
    store, now = forge.store, now_utc()
    with store.write():
        bot = store.add(User(login=f"{slug}[bot]", type="Bot", name=f"{slug}[bot]", email="", created_at=now))
        app = store.add(
            App(
                slug=slug,
                name=name,
                owner_id=owner.id,
                bot_id=bot.id,
                public_key_pem=public_pem,
                webhook_url=webhook_url,
                webhook_secret=webhook_secret,
                permissions_json=json.dumps(dict(permissions)),
                events_json=json.dumps(list(events)),
                created_at=now,
            )
        )
        enqueue(forge, app, "ping", None, ping_json(forge, app))
    return app, private_pem


def install(forge: Forge, app: App, account: User) -> Installation:
    """The app on every repository of `account`; the one there is when it was installed before."""
    with forge.store.write():
        found = forge.store.one(Installation, "WHERE app_id = ? AND account_id = ?", app.id, account.id)
        if found is None:
            found = forge.store.add(Installation(app_id=app.id, account_id=account.id, created_at=now_utc()))
            _announce(forge, app, found)
    return found


def _key_pair() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def _announce(forge: Forge, app: App, installation: Installation) -> None:
    repos = forge.store.all(Repo, "WHERE owner_id = ?", installation.account_id)
    body = {
        "action": "created",
        "installation": installation_json(forge, installation),
        "repositories": [repository_name_json(forge, repo) for repo in repos],
        "sender": user_json(forge, forge.store.get(User, app.owner_id)),
    }
    enqueue(forge, app, "installation", "created", body, installation=installation)
