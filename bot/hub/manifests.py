"""Apps made from a manifest: what one must hold, and the code that its maker fetches the private key with."""

import datetime
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from pydantic import BaseModel, Field, ValidationError

from bot.hub.apps import register_app
from bot.hub.forge import Forge, ForgeError
from bot.hub.records import App, Registration, User, now_utc

CODE_LIFE = datetime.timedelta(hours=1)  # GitHub's
# What an app must be allowed to read before it may hear of an event.
EVENT_PERMISSIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "check_run": ("checks",),
        "check_suite": ("checks",),
        "issue_comment": ("issues", "pull_requests"),
        "issues": ("issues",),
        "label": ("metadata",),
        "pull_request": ("pull_requests",),
        "pull_request_review": ("pull_requests",),
        "pull_request_review_comment": ("pull_requests",),
        "push": ("contents",),
        "repository": ("metadata",),
        "status": ("statuses",),
    }
)


# A host without the characters that mean something in a header.
_ADDRESS = r"^https?://[A-Za-z0-9._:\[\]-]+([/?#]\S*)?$"


class HookAttributes(BaseModel):
    url: str = Field(pattern=_ADDRESS)
    active: bool = True


class Manifest(BaseModel):
    """As GitHub documents it; keys that the hub has no use for are passed over."""

    name: str = Field("", max_length=34)
    url: str = Field(pattern=_ADDRESS)
    hook_attributes: HookAttributes | None = None
    redirect_url: str = Field("", pattern=f"^$|{_ADDRESS}")
    setup_url: str = Field("", pattern=f"^$|{_ADDRESS}")
    default_events: list[str] = []
    default_permissions: dict[str, str] = {}


def read_manifest(text: str) -> Manifest:
    """Raises ForgeError (422) with what is wrong."""
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ForgeError(422, f"Invalid manifest: {where} {problem['msg']}") from None
    for event in manifest.default_events:  # installation events come without asking, and must not be asked for
        needs = EVENT_PERMISSIONS.get(event, ())
        if not any(permission in manifest.default_permissions for permission in needs):
            raise ForgeError(422, f"Invalid manifest: default events unsupported: {event}")
    return manifest


def register(forge: Forge, owner: User, manifest: Manifest, *, name: str) -> str:
    """Make the app; the code that its private key can be fetched with, once and for an hour."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not slug or len(name) > 34:
        raise ForgeError(422, "Name must have letters or digits, and at most 34 characters")
    if forge.store.one(App, "WHERE slug = ?", slug) is not None:
        raise ForgeError(422, "Name is already taken")
    code = secrets.token_hex(20)
    hook = manifest.hook_attributes
    with forge.store.write():
        app, private_pem = register_app(
            forge,
            owner,
            name=name,
            slug=slug,
            webhook_url=hook.url if hook and hook.active else "",
            webhook_secret=secrets.token_hex(20),
            permissions=manifest.default_permissions,
            events=manifest.default_events,
        )
        forge.store.add(
            Registration(
                code_sha256=_sha256(code),
                app_id=app.id,
                private_key_pem=private_pem,
                setup_url=manifest.setup_url,
                created_at=now_utc(),
            )
        )
    return code


def redeem(forge: Forge, code: str) -> Registration | None:
    """What the code stands for, with the private key; None for a wrong, old or used one."""
    with forge.store.write():
        found = forge.store.one(Registration, "WHERE code_sha256 = ? AND private_key_pem != ''", _sha256(code))
        if found is not None:
            forge.store.save(replace(found, private_key_pem=""))
    if found is None or datetime.datetime.fromisoformat(found.created_at) + CODE_LIFE < datetime.datetime.now(
        datetime.UTC
    ):
        return None
    return found


def _sha256(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
