"""Payloads become typed events, or None; never an exception."""

import json

from hypothesis import given
from hypothesis import strategies as st

from bot.core.intake.event import CommentPosted, IssueOpened, MainPushed, PullChanged, RerunClicked, ReviewLeft
from bot.core.intake.payload import parse

REPOSITORY = {"id": 3, "full_name": "ada/model", "default_branch": "main"}
USER = {"login": "ada", "type": "User"}
ISSUE = {"id": 77, "number": 4, "state": "open", "body": "/experiment", "user": USER}
PULL = {
    "number": 5,
    "updated_at": "2026-01-02T03:04:05Z",
    "head": {"ref": "nightlab/c9", "repo": {"full_name": "ada/model"}},
}
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
        repository_id=3,
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
    assert parse("push", json.dumps(payload).encode()) == MainPushed(
        repository="ada/model", repository_id=3, sha="a" * 40
    )
    assert parse("push", json.dumps(payload | {"ref": "refs/heads/other"}).encode()) is None
    assert parse("push", json.dumps(payload | {"deleted": True}).encode()) is None


def test_a_repository_name_that_is_none() -> None:
    assert parse("issue_comment", comment(repository=REPOSITORY | {"full_name": "../../etc"})) is None


def about_pull(action: str, **more: object) -> bytes:
    payload = {"action": action, "pull_request": PULL, "repository": REPOSITORY, "sender": USER}
    return json.dumps(payload | more).encode()


def test_a_pull_request_of_ours_that_a_person_closes() -> None:
    assert parse("pull_request", about_pull("closed")) == PullChanged(
        repository="ada/model", repository_id=3, number=5, ours=True, action="closed", when_utc="2026-01-02T03:04:05Z"
    )


def test_pull_requests_of_others_are_said_to_be_and_what_bots_do_is_nothing() -> None:
    fork = {"ref": "nightlab/c9", "repo": {"full_name": "eve/model"}}
    for head in (fork, {"ref": "fix", "repo": {"full_name": "ada/model"}}):
        happened = parse("pull_request", about_pull("closed", pull_request=PULL | {"head": head}))
        assert isinstance(happened, PullChanged)
        assert not happened.ours
        assert parse("pull_request_review", about_pull("submitted", pull_request=PULL | {"head": head})) is None
    assert parse("pull_request", about_pull("closed", sender={"login": "nightlab[bot]", "type": "Bot"})) is None
    assert parse("pull_request", about_pull("assigned")) is None


def test_a_review_and_its_remarks_are_one_event() -> None:
    review = parse("pull_request_review", about_pull("submitted", review={"id": 3}))
    remark = parse("pull_request_review_comment", about_pull("created", comment={"pull_request_review_id": 3}))
    assert isinstance(review, ReviewLeft)
    assert review == remark
    dismissed = parse("pull_request_review", about_pull("dismissed", review={"id": 3}))
    assert dismissed is not None
    assert dismissed.key != review.key
    assert parse("pull_request_review_comment", about_pull("edited", comment={"pull_request_review_id": 3})) is None


NAMES = ["issue_comment", "issues", "push", "pull_request", "pull_request_review", "pull_request_review_comment", ""]


@given(name=st.sampled_from(NAMES), body=st.binary() | JSON.map(json.dumps))
def test_nothing_raises(name: str, body: bytes | str) -> None:
    parse(name, body if isinstance(body, bytes) else body.encode())


@given(st.sampled_from(["comment", "issue", "repository", "action"]), JSON)
def test_a_payload_with_a_strange_part_is_nothing_or_an_event(part: str, value: object) -> None:
    happened = parse("issue_comment", comment(**{part: value}))
    assert happened is None or isinstance(happened, CommentPosted)


def test_a_click_on_rerun_counts_once_until_the_check_has_changed() -> None:
    check = {"id": 4, "head_sha": "a" * 40, "completed_at": "2026-01-02T03:04:05Z"}
    payload = {"action": "rerequested", "check_run": check, "repository": REPOSITORY, "sender": USER}
    clicked = parse("check_run", json.dumps(payload).encode())
    assert clicked == RerunClicked(
        repository="ada/model",
        repository_id=3,
        head_sha="a" * 40,
        by="ada",
        key="check_run-4-ada-2026-01-02T03:04:05Z",
    )
    assert parse("check_run", json.dumps(payload | {"action": "completed"}).encode()) is None
    assert parse("check_run", json.dumps(payload | {"sender": {"login": "x[bot]", "type": "Bot"}}).encode()) is None
    assert parse("check_suite", json.dumps(payload).encode()) is None
