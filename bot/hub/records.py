"""The rows of the database, one frozen dataclass per table. Times are ISO 8601 UTC text; `*_json` fields hold JSON."""

import datetime
from dataclasses import dataclass
from typing import ClassVar


def utc(time: datetime.datetime) -> str:
    return time.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def now_utc() -> str:
    return utc(datetime.datetime.now(datetime.UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A row. `id` is 0 until the row is stored; `unique` names the columns no two rows may share."""

    unique: ClassVar[tuple[str, ...]] = ()
    id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Record):
    unique = ("login",)
    login: str
    type: str  # "User" or "Bot"
    name: str
    email: str
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Token(Record):
    """A credential, kept as its SHA-256. An installation's token names the installation and expires."""

    unique = ("sha256",)
    sha256: str
    user_id: int
    installation_id: int | None = None
    permissions_json: str = "{}"
    repository_ids_json: str = "[]"  # empty: every repository of the installation
    expires_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class App(Record):
    unique = ("slug",)
    slug: str
    name: str
    owner_id: int
    bot_id: int
    public_key_pem: str
    webhook_url: str
    webhook_secret: str
    permissions_json: str
    events_json: str
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration(Record):
    """An app made from a manifest. The private key is empty once its maker has fetched it."""

    unique = ("code_sha256",)
    code_sha256: str
    app_id: int
    private_key_pem: str
    setup_url: str
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation(Record):
    """An app on every repository of one account."""

    unique = ("app_id", "account_id")
    app_id: int
    account_id: int
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repo(Record):
    unique = ("owner_id", "name")
    owner_id: int
    name: str
    private: bool
    description: str
    default_branch: str
    allow_merge_commit: bool = True
    parent_id: int | None = None
    created_at: str = ""
    updated_at: str = ""
    pushed_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerName(Record):
    """What a repository was called before; a new repository may take the name, and then has it."""

    unique = ("owner_id", "name")
    owner_id: int
    name: str
    repo_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborator(Record):
    unique = ("repo_id", "user_id")
    repo_id: int
    user_id: int
    permission: str  # "read", "write" or "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection(Record):
    """What a branch refuses. A required check is the name of a check run or the context of a status."""

    unique = ("repo_id", "branch")
    repo_id: int
    branch: str
    require_pull: bool  # refuse direct updates of the ref
    require_up_to_date: bool  # refuse to merge a head that lacks the base's tip
    required_checks_json: str = "[]"
    required_approvals: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref(Record):
    """A ref as it was when its push was last recorded; git itself has the truth."""

    unique = ("repo_id", "name")
    repo_id: int
    name: str
    sha: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue(Record):
    """An issue, or the conversation of a pull request."""

    unique = ("repo_id", "number")
    repo_id: int
    number: int
    title: str
    body: str
    user_id: int
    app_id: int | None = None
    state: str = "open"
    state_reason: str | None = None
    closed_by_id: int | None = None
    created_at: str
    updated_at: str
    closed_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull(Record):
    """The part of a pull request that an issue does not have.

    `attempt_sha` is written before the base ref moves: when that commit is found in the base, the merge happened,
    even if the process died right after moving the ref.
    """

    unique = ("issue_id",)
    issue_id: int
    repo_id: int
    head_repo_id: int
    head_ref: str
    head_sha: str
    base_ref: str
    base_sha: str  # the base's tip when the head last moved, as on GitHub; not its tip now
    draft: bool = False
    merged_at: str | None = None
    merged_by_id: int | None = None
    merge_commit_sha: str | None = None
    attempt_sha: str | None = None
    attempt_by_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment(Record):
    issue_id: int
    user_id: int
    app_id: int | None = None
    body: str
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Review(Record):
    issue_id: int
    user_id: int
    body: str
    state: str  # "APPROVED", "CHANGES_REQUESTED", "COMMENTED", "DISMISSED"
    commit_sha: str
    submitted_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark(Record):
    """A review's comment on a line of the head."""

    review_id: int
    path: str
    line: int
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction(Record):
    unique = ("subject", "subject_id", "user_id", "content")
    subject: str  # "issue" or "comment"
    subject_id: int
    user_id: int
    content: str
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Record):
    unique = ("repo_id", "name")
    repo_id: int
    name: str
    color: str  # six hex digits
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueLabel(Record):
    unique = ("issue_id", "label_id")
    issue_id: int
    label_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRun(Record):
    repo_id: int
    app_id: int
    name: str
    head_sha: str
    external_id: str
    details_url: str
    status: str  # "queued", "in_progress" or "completed"
    conclusion: str | None
    started_at: str
    completed_at: str | None
    title: str | None = None
    summary: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Record):
    repo_id: int
    sha: str
    creator_id: int
    state: str  # "error", "failure", "pending" or "success"
    context: str
    description: str
    target_url: str
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(Record):
    """One attempt to tell an app about one event. `status_code` is None while it waits, 0 when nobody answered."""

    app_id: int
    guid: str
    event: str
    action: str | None
    installation_id: int | None
    repo_id: int | None
    payload: str
    redelivery: bool = False
    created_at: str
    delivered_at: str | None = None
    duration_s: float = 0.0
    status: str = ""
    status_code: int | None = None
    request_headers_json: str = "{}"
    response_headers_json: str = "{}"
    response_body: str = ""


TABLES: tuple[type[Record], ...] = (
    User, Token, App, Registration, Installation, Repo, FormerName, Collaborator, Protection, Ref, Issue, Pull, Comment,
    Review, Remark, Reaction, Label, IssueLabel, CheckRun, Status, Delivery,
)  # fmt: skip
