"""What the forge tells us, as typed values. A payload is parsed here once and goes no further.

Only events that something is done about have a type; the rest, and whatever does not have the documented shape, is
None. A webhook is a hint: whoever acts on an event reads the forge again first.
"""

from dataclasses import dataclass

from pydantic import BaseModel, Field, ValidationError

MAX_COMMENT_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentPosted:
    """A person wrote a new comment on an issue or pull request. The text is untrusted."""

    repository: str
    number: int
    on_pull: bool
    thread_open: bool
    comment_id: int
    author: str
    by_bot: bool
    body: str

    @property
    def key(self) -> str:
        """The same for every delivery of this comment, whichever hook it came by."""
        return f"comment-{self.repository}-{self.comment_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueOpened:
    """A person opened an issue, whose text may hold a command."""

    repository: str
    number: int
    issue_id: int  # unique on the forge, which the number is not
    author: str
    by_bot: bool
    body: str

    @property
    def key(self) -> str:
        return f"issue-{self.repository}-{self.issue_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MainPushed:
    """The default branch has a new commit; it may have changed the contract."""

    repository: str
    sha: str

    @property
    def key(self) -> str:
        return f"push-{self.repository}-{self.sha}"


Event = CommentPosted | IssueOpened | MainPushed


class _User(BaseModel):
    login: str = Field(max_length=100)
    type: str = "User"


class _Repository(BaseModel):
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


class _Push(BaseModel):
    ref: str
    after: str = Field(pattern=r"^[0-9a-f]{40,64}$")
    deleted: bool = False
    repository: _Repository


def parse(name: str, body: bytes) -> Event | None:
    """The event of a webhook: `name` as in X-GitHub-Event, `body` after its signature was checked."""
    try:
        if name == "issue_comment":
            return _comment_posted(_IssueComment.model_validate_json(body))
        if name == "issues":
            return _issue_opened(_Issues.model_validate_json(body))
        if name == "push":
            return _main_pushed(_Push.model_validate_json(body))
    except ValidationError:
        return None
    return None


def _comment_posted(payload: _IssueComment) -> CommentPosted | None:
    if payload.action != "created":  # an edit of an old comment is no command
        return None
    return CommentPosted(
        repository=payload.repository.full_name,
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
        number=payload.issue.number,
        issue_id=payload.issue.id,
        author=payload.issue.user.login,
        by_bot=payload.issue.user.type != "User",
        body=(payload.issue.body or "")[:MAX_COMMENT_CHARACTERS],
    )


def _main_pushed(payload: _Push) -> MainPushed | None:
    if payload.deleted or payload.ref != f"refs/heads/{payload.repository.default_branch}":
        return None
    return MainPushed(repository=payload.repository.full_name, sha=payload.after)
