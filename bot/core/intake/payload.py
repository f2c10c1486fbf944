"""A webhook's payload as an event. It is parsed here once and goes no further.

What does not have the documented shape, and whatever nothing is done about, is None.
"""

from pydantic import BaseModel, Field, ValidationError

from bot.core.intake.command import MAX_COMMENT_CHARACTERS
from bot.core.intake.event import (
    BRANCHES,
    CommentPosted,
    DoorMoved,
    Event,
    IssueOpened,
    MainPushed,
    PullChanged,
    RerunClicked,
    ReviewLeft,
)


class _User(BaseModel):
    login: str = Field(max_length=100)
    type: str = "User"


class _Repository(BaseModel):
    id: int
    full_name: str = Field(max_length=200, pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$")
    default_branch: str = Field(max_length=255)


class _Comment(BaseModel):
    id: int
    body: str
    user: _User


class _Issue(BaseModel):
    id: int
    number: int
    state: str
    body: str | None
    user: _User
    pull_request: dict[str, object] | None = None


class _IssueComment(BaseModel):
    action: str
    comment: _Comment
    issue: _Issue
    repository: _Repository


class _Issues(BaseModel):
    action: str
    issue: _Issue
    repository: _Repository


class _HeadRepository(BaseModel):
    full_name: str


class _Head(BaseModel):
    ref: str = Field(max_length=255)
    repo: _HeadRepository | None  # None: the fork is gone


class _Pull(BaseModel):
    number: int
    head: _Head
    updated_at: str = Field(max_length=40)


class _PullRequest(BaseModel):
    action: str
    pull_request: _Pull
    repository: _Repository
    sender: _User


class _Review(BaseModel):
    id: int


class _PullRequestReview(_PullRequest):
    review: _Review


class _ReviewComment(BaseModel):
    pull_request_review_id: int


class _PullRequestReviewComment(_PullRequest):
    comment: _ReviewComment


class _Push(BaseModel):
    ref: str
    after: str = Field(pattern=r"^[0-9a-f]{40,64}$")
    deleted: bool = False
    repository: _Repository


class _Check(BaseModel):
    """A check run or a suite of them."""

    id: int
    head_sha: str = Field(pattern=r"^[0-9a-f]{40,64}$")
    completed_at: str | None = Field(default=None, max_length=40)
    updated_at: str | None = Field(default=None, max_length=40)


class _Checked(BaseModel):
    action: str
    check_run: _Check | None = None
    check_suite: _Check | None = None
    repository: _Repository
    sender: _User


class _Installation(BaseModel):
    id: int
    account: _User
    updated_at: int | str = Field(default=0, union_mode="left_to_right")


class _Named(BaseModel):
    id: int
    full_name: str = Field(max_length=200, pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$")


class _Installed(BaseModel):
    """Of an installation, or of the repositories that one holds."""

    action: str
    installation: _Installation
    repositories: list[_Named] | None = None
    repositories_added: list[_Named] = []
    repositories_removed: list[_Named] = []


_OPENS = ("created", "unsuspend", "new_permissions_accepted", "added")
_SHUTS = ("deleted", "suspend", "removed")
_PULL_ACTIONS = ("closed", "reopened", "labeled", "unlabeled", "synchronize")
_REVIEW_ACTIONS = ("submitted", "dismissed")


NAMES = frozenset(
    (
        "check_run",
        "check_suite",
        "installation",
        "installation_repositories",
        "issue_comment",
        "issues",
        "pull_request",
        "pull_request_review",
        "pull_request_review_comment",
        "push",
    )
)  # of the events that may mean something to us


def parse(name: str, body: bytes) -> Event | None:
    """The event of a webhook: `name` as in X-GitHub-Event, `body` after its signature was checked."""
    try:
        if name == "issue_comment":
            return _comment_posted(_IssueComment.model_validate_json(body))
        if name == "issues":
            return _issue_opened(_Issues.model_validate_json(body))
        if name == "push":
            return _main_pushed(_Push.model_validate_json(body))
        if name == "pull_request":
            return _pull_changed(_PullRequest.model_validate_json(body))
        if name in ("check_run", "check_suite"):
            return _rerun_clicked(name, _Checked.model_validate_json(body))
        if name in ("installation", "installation_repositories"):
            return _door_moved(name, _Installed.model_validate_json(body))
        if name == "pull_request_review":
            reviewed = _PullRequestReview.model_validate_json(body)
            return _review_left(reviewed, reviewed.review.id) if reviewed.action in _REVIEW_ACTIONS else None
        if name == "pull_request_review_comment":
            remarked = _PullRequestReviewComment.model_validate_json(body)
            submitted = remarked.action == "created"
            return _review_left(remarked, remarked.comment.pull_request_review_id) if submitted else None
    except ValidationError:
        return None
    return None


def _comment_posted(payload: _IssueComment) -> CommentPosted | None:
    if payload.action != "created":  # an edit of an old comment is no command
        return None
    return CommentPosted(
        repository=payload.repository.full_name,
        repository_id=payload.repository.id,
        number=payload.issue.number,
        on_pull=payload.issue.pull_request is not None,
        thread_open=payload.issue.state == "open",
        comment_id=payload.comment.id,
        author=payload.comment.user.login,
        by_bot=payload.comment.user.type != "User",
        body=payload.comment.body[:MAX_COMMENT_CHARACTERS],
    )


def _issue_opened(payload: _Issues) -> IssueOpened | None:
    if payload.action != "opened" or payload.issue.pull_request is not None:
        return None
    return IssueOpened(
        repository=payload.repository.full_name,
        repository_id=payload.repository.id,
        number=payload.issue.number,
        issue_id=payload.issue.id,
        author=payload.issue.user.login,
        by_bot=payload.issue.user.type != "User",
        body=(payload.issue.body or "")[:MAX_COMMENT_CHARACTERS],
    )


def _main_pushed(payload: _Push) -> MainPushed | None:
    if payload.deleted or payload.ref != f"refs/heads/{payload.repository.default_branch}":
        return None
    return MainPushed(repository=payload.repository.full_name, repository_id=payload.repository.id, sha=payload.after)


def _pull_changed(payload: _PullRequest) -> PullChanged | None:
    if payload.action not in _PULL_ACTIONS or payload.sender.type != "User":
        return None
    return PullChanged(
        repository=payload.repository.full_name,
        repository_id=payload.repository.id,
        number=payload.pull_request.number,
        ours=_is_ours(payload),
        action=payload.action,
        when_utc=payload.pull_request.updated_at,
    )


def _review_left(payload: _PullRequest, review_id: int) -> ReviewLeft | None:
    if payload.sender.type != "User" or not _is_ours(payload):
        return None
    return ReviewLeft(
        repository=payload.repository.full_name,
        repository_id=payload.repository.id,
        number=payload.pull_request.number,
        review_id=review_id,
        action="dismissed" if payload.action == "dismissed" else "submitted",
    )


def _rerun_clicked(name: str, payload: _Checked) -> RerunClicked | None:
    check = payload.check_run if name == "check_run" else payload.check_suite
    if check is None or payload.action != "rerequested" or payload.sender.type != "User":
        return None
    return RerunClicked(
        repository=payload.repository.full_name,
        repository_id=payload.repository.id,
        head_sha=check.head_sha,
        by=payload.sender.login,
        key=f"{name}-{check.id}-{payload.sender.login}-{check.completed_at or check.updated_at}",
    )


def _door_moved(name: str, payload: _Installed) -> DoorMoved | None:
    if payload.action not in (*_OPENS, *_SHUTS):
        return None
    named = [*(payload.repositories or []), *payload.repositories_added, *payload.repositories_removed]
    which = f"{len(named)}-{named[0].id}" if named else "0"
    return DoorMoved(
        account=payload.installation.account.login,
        repositories=tuple(one.full_name for one in named),
        installation_id=payload.installation.id,
        opened=payload.action in _OPENS,
        key=f"{name}-{payload.installation.id}-{payload.action}-{str(payload.installation.updated_at)[:40]}-{which}",
    )


def _is_ours(payload: _PullRequest) -> bool:
    head = payload.pull_request.head
    here = head.repo is not None and head.repo.full_name == payload.repository.full_name
    return here and head.ref.startswith(BRANCHES)
