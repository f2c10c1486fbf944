"""Reviews of a bot's pull request: who approves, who objects, and what a review asks for in words."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

MOST_REMARKS = 100
MAX_REQUEST_CHARACTERS = 20_000


class Opinion(StrEnum):
    """GitHub's word for what a review says, in lower case."""

    APPROVED = "approved"
    CHANGES_REQUESTED = "changes_requested"
    COMMENTED = "commented"
    DISMISSED = "dismissed"
    PENDING = "pending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One review as the forge has it now."""

    id: int
    author: str
    by_bot: bool
    opinion: Opinion
    body: str  # untrusted
    commit_sha: str  # the head that its author saw


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """A review's comment on a line."""

    path: str
    line: int | None  # None when the line is not in the diff any more
    body: str  # untrusted


def request(review: Review, remarks: Sequence[Remark]) -> str:
    """What a review asks for, as one text; empty when it says nothing. Untrusted."""
    parts = [review.body.strip()]
    for remark in remarks[:MOST_REMARKS]:
        where = remark.path if remark.line is None else f"{remark.path}:{remark.line}"
        parts.append(f"{where}: {remark.body.strip()}")
    if len(remarks) > MOST_REMARKS:
        parts.append(f"(and {len(remarks) - MOST_REMARKS} more remarks)")
    text = "\n\n".join(part for part in parts if part)
    return text if len(text) <= MAX_REQUEST_CHARACTERS else text[:MAX_REQUEST_CHARACTERS] + "\n(cut)"


def standing(reviews: Iterable[Review]) -> dict[str, Review]:
    """Of each person the review that counts, from all of them oldest first: the last one that is not just a comment."""
    found: dict[str, Review] = {}
    for review in reviews:
        if review.opinion in (Opinion.APPROVED, Opinion.CHANGES_REQUESTED, Opinion.DISMISSED):
            found[review.author] = review
    return found


def objectors(reviews: Iterable[Review]) -> list[str]:
    """Who asked for changes and has neither approved since nor been dismissed."""
    return [login for login, review in standing(reviews).items() if review.opinion is Opinion.CHANGES_REQUESTED]


def approvers(reviews: Iterable[Review], *, heads: Collection[str]) -> list[str]:
    """Who approved one of these heads: an approval of another says nothing about them."""
    return [
        login
        for login, review in standing(reviews).items()
        if review.opinion is Opinion.APPROVED and review.commit_sha in heads
    ]
