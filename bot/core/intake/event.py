"""What the forge tells us, as typed values; payload.py makes them.

Only what something is done about has a type. A webhook is a hint: who acts on an event reads the forge again first.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentPosted:
    """A person wrote a new comment on an issue or pull request. The text is untrusted."""

    repository: str
    repository_id: int  # which a new name does not change
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
        return f"comment-{self.comment_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueOpened:
    """A person opened an issue, whose text may hold a command."""

    repository: str
    repository_id: int  # which a new name does not change
    number: int
    issue_id: int  # unique on the forge, which the number is not
    author: str
    by_bot: bool
    body: str

    @property
    def key(self) -> str:
        return f"issue-{self.issue_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MainPushed:
    """The default branch has a new commit; it may have changed the contract."""

    repository: str
    repository_id: int
    sha: str

    @property
    def key(self) -> str:
        return f"push-{self.repository_id}-{self.sha}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PullChanged:
    """A person closed, reopened, labeled or pushed to a pull request."""

    repository: str
    repository_id: int  # which a new name does not change
    number: int
    ours: bool  # its branch is one of ours, in this repository
    action: str  # the forge's word
    when_utc: str

    @property
    def key(self) -> str:
        return f"pull-{self.repository_id}-{self.number}-{self.action}-{self.when_utc}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewLeft:
    """A person reviewed a pull request of ours, remarked on one of its lines, or took a review back."""

    repository: str
    repository_id: int  # which a new name does not change
    number: int
    review_id: int
    action: str  # "submitted", or the forge's word for what became of it later

    @property
    def key(self) -> str:
        """The same for a review and for each of its remarks: they are read together."""
        return f"review-{self.review_id}-{self.action}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RerunClicked:
    """A person clicked "Re-run" at one of our checks, or at all of a commit."""

    repository: str
    repository_id: int
    head_sha: str  # that the person saw
    by: str
    key: str  # the same for every click of this person until the check has changed


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorMoved:
    """The App was let into repositories of an account, or shut out of them."""

    account: str
    repositories: tuple[str, ...]  # empty: all of the account's
    installation_id: int
    opened: bool
    key: str


Event = CommentPosted | IssueOpened | MainPushed | PullChanged | ReviewLeft | RerunClicked | DoorMoved

BRANCHES = "nightlab/"  # what our branches begin with
