"""Where the bot may work: the installations of its App, or what a token reaches; and what is missing there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from github.GithubException import GithubException
from requests.exceptions import RequestException

from bot.core import contract as contracts
from bot.core.contract import Contract
from bot.edge.github.access import Access
from bot.edge.github.wire import PER_PAGE, ClosedError, Wire

FAILURES = (GithubException, RequestException, ClosedError)  # of the forge, or of us before it
MOST_TOLD = 3  # mistakes of one contract


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """On one account. `repositories` are full names."""

    account: str
    page: str
    suspended: bool
    permissions: Mapping[str, str]
    events: tuple[str, ...]
    repositories: tuple[str, ...]


def installed(access: Access) -> Iterator[Installation]:
    """Every installation of the App; none for a token. Raises GithubException and ClosedError."""
    if access.app is None:
        return
    for found in _pages(access.app, "/app/installations"):
        suspended = found.get("suspended_at") is not None
        wire = access.installation(int(found["id"]))
        repositories = [] if suspended else _pages(wire, "/installation/repositories", key="repositories")
        yield Installation(
            account=str((found.get("account") or {}).get("login", "?")),
            page=str(found.get("html_url", "")),
            suspended=suspended,
            permissions={str(name): str(level) for name, level in (found.get("permissions") or {}).items()},
            events=tuple(str(event) for event in found.get("events") or ()),
            repositories=tuple(str(one["full_name"]) for one in repositories),
        )


def reachable(access: Access) -> list[str]:
    """Full names of the repositories that a token may write to, those pushed to last first."""
    found = _pages(access.own, "/user/repos?sort=pushed")
    return [str(one["full_name"]) for one in found if (one.get("permissions") or {}).get("push")]


def _pages(wire: Wire, path: str, *, key: str = "") -> Iterator[dict[str, Any]]:
    joint = "&" if "?" in path else "?"
    for page in count(1):
        _, answer = wire.requestJsonAndCheck("GET", f"{path}{joint}per_page={PER_PAGE}&page={page}")
        entries = answer[key] if key else answer
        yield from entries
        if len(entries) < PER_PAGE:
            return


def contract_needs(access: Access, repository: str) -> str:
    """What is missing before the bot can work in a repository; empty when nothing is."""
    found = contract_of(access, repository)
    return "" if isinstance(found, Contract) else found


def contract_of(access: Access, repository: str) -> Contract | str:
    """The contract on the default branch, or what is missing."""
    try:
        forge = access.forge(repository)
        tip = forge.tip(forge.default_branch)
        text = forge.read(contracts.PATH, sha=tip.sha) if tip else None
    except ClosedError as error:
        return str(error)
    except (GithubException, RequestException) as error:
        return f"it cannot be read: {type(error).__name__}"
    if tip is None:
        return "it is empty: push a first commit"
    if text is None:
        return f"it has no contract: `nightlab init {repository}` opens a pull request with one"
    parsed = contracts.parse(text)
    return (
        parsed
        if isinstance(parsed, Contract)
        else "its contract has a mistake: " + "; ".join(str(problem) for problem in parsed[:MOST_TOLD])
    )
