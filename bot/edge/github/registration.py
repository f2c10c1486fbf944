"""Fetching the credentials of an App that was just made from a manifest."""

import re
from dataclasses import dataclass

import github
from github.GithubException import GithubException
from pydantic import BaseModel, ValidationError
from requests.exceptions import RequestException

TIMEOUT_S = 30


class _Converted(BaseModel):
    id: int
    slug: str
    html_url: str
    pem: str
    webhook_secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """An App with its secrets."""

    app_id: int
    slug: str
    page: str
    private_key: str
    webhook_secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRegistered:
    """Why there are no credentials. `again`: the code may still work."""

    reason: str
    again: bool


def fetch(*, api_url: str, code: str) -> Registered | NotRegistered:
    """Trade the code for the credentials. Whether or not the answer reaches us, the forge takes it once."""
    if re.fullmatch(r"[A-Za-z0-9_-]{1,200}", code) is None:
        return NotRegistered(reason="the forge sent no usable code: begin again", again=False)
    try:
        client = github.Github(base_url=api_url, retry=None, timeout=TIMEOUT_S)
        _, answer = client.requester.requestJsonAndCheck("POST", f"/app-manifests/{code}/conversions")
        found = _Converted.model_validate(answer)
    except GithubException as error:
        if error.status in (404, 422):
            return NotRegistered(reason="the forge says that the code is unknown, used up or too old", again=False)
        return NotRegistered(reason=f"the forge answered {error.status}: try again in a minute", again=True)
    except RequestException as error:
        return NotRegistered(reason=f"the forge cannot be reached: {type(error).__name__}", again=True)
    except ValidationError:
        return NotRegistered(reason="the forge's answer holds no credentials: is this GitHub's API?", again=False)
    return Registered(
        app_id=found.id,
        slug=found.slug,
        page=found.html_url,
        private_key=found.pem,
        webhook_secret=found.webhook_secret,
    )
