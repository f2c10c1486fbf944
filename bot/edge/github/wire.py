"""Every request of the bot to a forge passes here, and keeps GitHub's rules for programs that ask much.

PyGithub builds requests and reads answers; this is the way in between: turns and pauses (see allowance), credentials
that ended in mid-flight, moved repositories, and answers that need not be sent twice.
"""

import json
import logging
import re
import threading
import time
from collections import OrderedDict
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urljoin, urlsplit

from github.Auth import Auth
from github.GithubException import GithubException
from github.Requester import HTTPRequestsConnectionClass, Requester, RequestsResponse

from bot.edge.github.allowance import Allowance, server_time_s

TIMEOUT_S = 20
REDIRECTS = 3
PER_PAGE = 100
TRIES = 4  # of a request that a short pause delayed
KEPT_CHARACTERS = 32_000_000  # of answers, so that a read whose answer has not changed costs nothing
LONGEST_KEPT = 4_000_000
SKEW_S = 30.0  # clocks that differ by less are the same

log = logging.getLogger("nightlab.forge")

_Answer = tuple[int, dict[str, Any], str]
_SHA = "[0-9a-f]{40}"
_FIXED = re.compile(
    rf"/git/(commits|trees|blobs)/{_SHA}$|/compare/{_SHA}\.\.\.{_SHA}$"
)  # named by content: never change


class ClosedError(Exception):
    """The forge will not let us in, whatever we do: one sentence for the person who can change that."""


@runtime_checkable
class Renewable(Protocol):
    """Credentials that end, and can be had anew."""

    def renew(self, refused: str, skew_s: float) -> None:
        """The forge did not accept this Authorization header; its clock is ahead of ours by `skew_s`."""


class Wire(Requester):
    """A requester for one identity, to be used by any number of threads."""

    def __init__(self, auth: Auth, *, api_url: str, allowance: Allowance) -> None:
        super().__init__(
            auth=auth,
            base_url=api_url,
            timeout=TIMEOUT_S,
            user_agent="nightlab",
            per_page=PER_PAGE,
            verify=True,
            retry=None,
            pool_size=None,
            seconds_between_requests=0,  # the allowance's business: PyGithub's own is not safe among threads
            seconds_between_writes=0,
        )
        self.allowance = allowance
        self._connection = _Connection(api_url)
        self._kept = _Kept()

    def requestJson(  # noqa: N802 - PyGithub's name
        self,
        verb: str,
        url: str,
        parameters: dict[str, Any] | None = None,
        headers: dict[str, Any] | None = None,
        input: Any | None = None,  # noqa: A002
        cnx: Any = None,
        follow_302_redirect: bool = False,
    ) -> _Answer:
        """What PyGithub calls for every request: status, headers, body. Raises LimitedError and ClosedError."""
        key = json.dumps([url, parameters, headers], sort_keys=True)
        known = self._kept.get(key) if verb == "GET" else None
        if known is not None and _is_fixed(url, parameters or {}):
            return known
        status, answered, text = self._send(verb, url, parameters, headers, input, known)
        if status == 304 and known is not None:
            return known
        if status == 200 and verb == "GET":
            self._kept.put(key, (status, answered, text))
        return status, answered, text

    def _send(
        self,
        verb: str,
        url: str,
        parameters: dict[str, Any] | None,
        headers: dict[str, Any] | None,
        body: Any | None,
        known: _Answer | None,
    ) -> _Answer:
        etag = {"If-None-Match": known[1]["etag"]} if known is not None and "etag" in known[1] else {}
        renewed = False
        for _ in range(TRIES):
            sent = {**(headers or {}), **etag}
            with self.allowance.turn(verb):
                answer = super().requestJson(verb, url, parameters, sent, body, self._connection)
            status, answered, text = answer
            message = _message(text) if status >= 400 else ""
            if self.allowance.heard(status, answered, message):
                continue
            if status == 401 and not renewed and isinstance(self.auth, Renewable):
                renewed = True
                self.auth.renew(sent["Authorization"], server_time_s(answered) - time.time())
                continue
            _raise_if_closed(status, message, self.allowance.identity)
            break
        return answer


def _is_fixed(url: str, parameters: dict[str, Any]) -> bool:
    """Whether a read that succeeded once will always give the same."""
    at_commit = "/contents/" in url and re.fullmatch(_SHA, str(parameters.get("ref", ""))) is not None
    return at_commit or _FIXED.search(url) is not None


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return ""


def _raise_if_closed(status: int, message: str, identity: str) -> None:
    said = message.lower()
    if status == 401:
        raise ClosedError(
            f"the forge does not accept the credentials of {identity}: {message[:200] or 'no reason given'}"
        )
    if status == 403 and "suspended" in said:
        raise ClosedError(f"{identity} is suspended: an owner of the account can end that in its settings")
    if status == 403 and "archived" in said:
        raise ClosedError("the repository is archived, so nothing can be written there: unarchive it to go on")


class _Connection(threading.local, HTTPRequestsConnectionClass):
    """What PyGithub sends through: each thread has one of its own, kept open.

    PyGithub's own keeps the request under way where another thread's takes its place.
    """

    def __init__(self, api_url: str) -> None:
        parts = urlsplit(api_url)
        super().__init__(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        self._origin = f"{parts.scheme}://{parts.netloc}"

    def getresponse(self) -> RequestsResponse:
        """The answer, after redirects: a renamed repository's come with every verb, and keep their query."""
        url = self.url
        target = self._origin + url
        for _ in range(REDIRECTS):
            answer = self.session.request(
                self.verb, target, data=self.input, headers=self.headers, timeout=self.timeout, allow_redirects=False
            )
            place = answer.headers.get("Location", "")
            if answer.status_code not in (301, 302, 307, 308) or not place:
                break
            target = urljoin(target, place)
            if "?" in url and "?" not in target:
                target += url[url.index("?") :]
            if not target.startswith(self._origin + "/"):
                raise GithubException(answer.status_code, None, None, f"the forge sends us elsewhere: {place[:200]}")
            log.info("%s has moved to %s", url, target)
        return RequestsResponse(answer)


class _Kept:
    """The newest answers to reads, bounded in characters. Whatever is read must not change in the reader's hands, and
    does not: it is text."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._characters = 0

    def get(self, key: str) -> _Answer | None:
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
            return self._answers.get(key)

    def put(self, key: str, answer: _Answer) -> None:
        if len(answer[2]) > LONGEST_KEPT:
            return
        with self._lock:
            before = self._answers.pop(key, None)
            self._characters += len(answer[2]) - (len(before[2]) if before else 0)
            self._answers[key] = answer
            while self._characters > KEPT_CHARACTERS:
                _, (_, _, text) = self._answers.popitem(last=False)
                self._characters -= len(text)
