"""The GitHub App that the bot is: what it may do, what it hears of, and the manifest that it is made from."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

# No `workflows`: whoever may write those decides what runs with a repository's secrets, and the loop never needs to.
PERMISSIONS: Mapping[str, str] = MappingProxyType(
    {"checks": "write", "contents": "write", "issues": "write", "metadata": "read", "pull_requests": "write"}
)
# Those about the installation itself come without asking; a manifest that asks for them is refused.
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
LEVELS = ("none", "read", "write", "admin")


def missing_permissions(granted: Mapping[str, str]) -> list[str]:
    """What an installation lacks, as `write checks`. An App's owner must accept new ones after an update."""
    return [
        f"{level} {name}"
        for name, level in PERMISSIONS.items()
        if LEVELS.index(granted.get(name, "none")) < LEVELS.index(level)
    ]


def missing_events(heard: list[str]) -> list[str]:
    return [event for event in EVENTS if event not in heard]


def web_url(api_url: str) -> str:
    """Where people find the forge whose API this is: github.com, a tenant of ghe.com, or an Enterprise server."""
    parts = urlsplit(api_url)
    if parts.netloc == "api.github.com" or parts.netloc.endswith(".ghe.com"):
        return f"https://{parts.netloc.removeprefix('api.')}"
    return f"{parts.scheme}://{parts.netloc}"


def registration_url(api_url: str, *, organization: str, state: str) -> str:
    """Where a browser posts the manifest to, as a form."""
    owner = f"/organizations/{organization}" if organization else ""
    return f"{web_url(api_url)}{owner}/settings/apps/new?state={state}"


def manifest(*, name: str, own_url: str, webhook_url: str) -> dict[str, Any]:
    """What the forge makes the App from. A browser finds us at `own_url`, the forge at `webhook_url`."""
    return {
        "name": name,
        "url": own_url,
        "hook_attributes": {"url": webhook_url, "active": True},
        "redirect_url": f"{own_url}/setup/made",
        "setup_url": f"{own_url}/setup/",
        "setup_on_update": True,
        "public": False,
        "default_permissions": dict(PERMISSIONS),
        "default_events": list(EVENTS),
        "description": "Improves training code one measured pull request at a time.",
    }
