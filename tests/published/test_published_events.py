"""Every payload that GitHub publishes as an example, and what may become of it on the way, read by the bot."""

import copy
import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.intake.command import MAX_COMMENT_CHARACTERS
from bot.core.intake.event import (
    CommentPosted,
    DoorMoved,
    Event,
    IssueOpened,
    MainPushed,
    PullChanged,
    RerunClicked,
    ReviewLeft,
)
from bot.core.intake.payload import NAMES, parse

pytestmark = pytest.mark.npm

# What becomes of an event that is about us; all others are None.
TYPES: dict[tuple[str, str | None], type[Event]] = {
    ("issue_comment", "created"): CommentPosted,
    ("check_run", "rerequested"): RerunClicked,
    ("check_suite", "rerequested"): RerunClicked,
    ("installation", "created"): DoorMoved,
    ("installation", "deleted"): DoorMoved,
    ("installation", "suspend"): DoorMoved,
    ("installation", "unsuspend"): DoorMoved,
    ("installation", "new_permissions_accepted"): DoorMoved,
    ("installation_repositories", "added"): DoorMoved,
    ("installation_repositories", "removed"): DoorMoved,
    ("issues", "opened"): IssueOpened,
    ("push", None): MainPushed,
    ("pull_request", "closed"): PullChanged,
    ("pull_request", "reopened"): PullChanged,
    ("pull_request", "labeled"): PullChanged,
    ("pull_request", "unlabeled"): PullChanged,
    ("pull_request", "synchronize"): PullChanged,
    ("pull_request_review", "submitted"): ReviewLeft,
    ("pull_request_review", "dismissed"): ReviewLeft,
    ("pull_request_review_comment", "created"): ReviewLeft,
}
SENT_TO_US = {name for name, _ in TYPES} | {
    "repository", "ping"
}  # fmt: skip
JUNK = st.sampled_from(
    [None, True, -1, 2**80, 1e308, "", "x" * 200_000, "\ud800", "\0", [], {}, [[]], {"login": None}, "2026", "../.."]
)


def ours(payload: dict[str, Any]) -> dict[str, Any]:
    """The same, as if it were about a pull request of the bot's and done by a person."""
    payload = copy.deepcopy(payload)
    if "pull_request" in payload:
        payload["pull_request"]["head"] |= {"ref": "nightlab/c1", "repo": payload["repository"]}
        payload["sender"]["type"] = "User"
    if payload.get("action") == "rerequested":
        payload["sender"]["type"] = "User"
    if "deleted" in payload and not payload["deleted"]:
        payload["ref"] = f"refs/heads/{payload['repository']['default_branch']}"
    return payload


def test_every_example_has_its_type_or_none(examples: dict[str, list[dict[str, Any]]]) -> None:
    assert set(examples) >= SENT_TO_US
    seen = set()
    for name, payloads in examples.items():
        for payload in payloads:
            happened = parse(name, json.dumps(ours(payload)).encode())
            key = (name, payload.get("action"))
            expected = None if payload.get("deleted") else TYPES.get(key)
            assert (type(happened) if happened else None) is expected, (key, happened)
            seen.add(key)
            if isinstance(happened, DoorMoved):
                assert happened.installation_id == payload["installation"]["id"]
            elif happened is not None:
                assert happened.repository == payload["repository"]["full_name"]
    assert set(TYPES) <= seen, "there is an example of each"
    assert {name for name, _ in TYPES} == NAMES


def test_pull_requests_of_others_are_none_or_said_to_be_theirs(examples: dict[str, list[dict[str, Any]]]) -> None:
    changed = [parse("pull_request", json.dumps(payload).encode()) for payload in examples["pull_request"]]
    assert all(happened is None or (isinstance(happened, PullChanged) and not happened.ours) for happened in changed)
    for name in ("pull_request_review", "pull_request_review_comment"):
        assert [parse(name, json.dumps(payload).encode()) for payload in examples[name]] == [None] * len(examples[name])


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += _places(inner, (*path, key))
    return found


@settings(max_examples=300)
@given(data=st.data())
def test_damaged_payloads_are_none_or_an_event_within_bounds(
    examples: dict[str, list[dict[str, Any]]], data: st.DataObject
) -> None:
    name, action = data.draw(st.sampled_from(sorted(TYPES, key=str)))
    whole = next(p for p in examples[name] if p.get("action") == action and not p.get("deleted"))
    payload = ours(whole)
    # What the bot reads is near the top; deeper places are rarely worth a try.
    places = [place for place in _places(payload) if len(place) <= 3 or place[-1] in ("login", "type", "full_name")]
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from(places))
        try:
            inside = payload
            for step in way:
                inside = inside[step]
            if data.draw(st.booleans()):
                del inside[last]
            else:
                inside[last] = data.draw(JUNK)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier damage took it away
    happened = parse(name, json.dumps(payload).encode())
    assert happened is None or isinstance(happened, TYPES[name, action])
    for value in dataclasses.asdict(happened).values() if happened is not None else ():
        assert not isinstance(value, str) or len(value) <= MAX_COMMENT_CHARACTERS
        assert not isinstance(value, str) or value.encode("utf-8", "strict") is not None
