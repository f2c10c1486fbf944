"""Payloads become typed events, or None; never an exception."""

import json

from hypothesis import given
from hypothesis import strategies as st

from bot.core.event import CommentPosted, IssueOpened, MainPushed, parse

REPOSITORY = {"full_name": "ada/model", "default_branch": "main"}
USER = {"login": "ada", "type": "User"}
ISSUE = {"id": 77, "number": 4, "state": "open", "body": "/experiment", "user": USER}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def comment(**changes: object) -> bytes:
    payload: dict[str, object] = {
        "action": "created",
        "comment": {"id": 9, "body": "/experiment DEPTH 3", "user": USER},
        "issue": ISSUE,
        "repository": REPOSITORY,
    }
    return json.dumps(payload | changes).encode()


def test_a_comment_on_an_issue() -> None:
    assert parse("issue_comment", comment()) == CommentPosted(
        repository="ada/model",
        number=4,
        on_pull=False,
        thread_open=True,
        comment_id=9,
        author="ada",
        by_bot=False,
        body="/experiment DEPTH 3",
    )


def test_a_comment_on_a_pull_request_by_a_bot() -> None:
    happened = parse(
        "issue_comment",
        comment(
            comment={"id": 9, "body": "", "user": {"login": "x[bot]", "type": "Bot"}},
            issue=ISSUE | {"pull_request": {"url": "u"}, "state": "closed"},
        ),
    )
    assert isinstance(happened, CommentPosted)
    assert (happened.on_pull, happened.thread_open, happened.by_bot) == (True, False, True)


def test_edits_and_deletions_of_comments_are_nothing() -> None:
    assert parse("issue_comment", comment(action="edited")) is None
    assert parse("issue_comment", comment(action="deleted")) is None


def test_the_same_comment_has_the_same_key_by_whichever_hook() -> None:
    first, second = parse("issue_comment", comment()), parse("issue_comment", comment(installation={"id": 3}))
    assert first is not None
    assert second is not None
    assert first.key == second.key


def test_a_new_issue() -> None:
    payload = {"action": "opened", "issue": ISSUE, "repository": REPOSITORY}
    happened = parse("issues", json.dumps(payload).encode())
    assert isinstance(happened, IssueOpened)
    assert (happened.issue_id, happened.body) == (77, "/experiment")
    assert parse("issues", json.dumps(payload | {"action": "closed"}).encode()) is None


def test_a_push_to_main_and_to_elsewhere() -> None:
    payload = {"ref": "refs/heads/main", "after": "a" * 40, "deleted": False, "repository": REPOSITORY}
    assert parse("push", json.dumps(payload).encode()) == MainPushed(repository="ada/model", sha="a" * 40)
    assert parse("push", json.dumps(payload | {"ref": "refs/heads/other"}).encode()) is None
    assert parse("push", json.dumps(payload | {"deleted": True}).encode()) is None


def test_a_repository_name_that_is_none() -> None:
    assert parse("issue_comment", comment(repository=REPOSITORY | {"full_name": "../../etc"})) is None


@given(name=st.sampled_from(["issue_comment", "issues", "push", "star", ""]), body=st.binary() | JSON.map(json.dumps))
def test_nothing_raises(name: str, body: bytes | str) -> None:
    parse(name, body if isinstance(body, bytes) else body.encode())


@given(st.sampled_from(["comment", "issue", "repository", "action"]), JSON)
def test_a_payload_with_a_strange_part_is_nothing_or_an_event(part: str, value: object) -> None:
    happened = parse("issue_comment", comment(**{part: value}))
    assert happened is None or isinstance(happened, CommentPosted)
