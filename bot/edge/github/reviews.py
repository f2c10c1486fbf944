"""Reviews of pull requests, read from the forge."""

from github.GithubException import UnknownObjectException
from github.PullRequestReview import PullRequestReview

from bot.core.intake.review import Opinion, Remark, Review
from bot.edge.github.forge import Forge


def review(forge: Forge, *, number: int, review_id: int) -> tuple[Review, list[Remark]] | None:
    """One review with its remarks on lines; None when it is gone."""
    pull = forge.repo.get_pull(number)
    try:
        found = pull.get_review(review_id)
        comments = list(pull.get_single_review_comments(review_id))
    except UnknownObjectException:
        return None
    remarks = [Remark(path=one.path, line=one.line, body=one.body or "") for one in comments]
    return _review(found), remarks


def reviews(forge: Forge, *, number: int) -> list[Review]:
    """All reviews that were submitted, oldest first."""
    return [_review(one) for one in forge.repo.get_pull(number).get_reviews() if one.state != "PENDING"]


def _review(found: PullRequestReview) -> Review:
    author = found.user  # None: the account was deleted
    return Review(
        id=found.id,
        author=author.login if author else "ghost",
        by_bot=author is None or author.type != "User",
        opinion=Opinion(found.state.lower()),
        body=found.body or "",
        commit_sha=found.commit_id or "",
    )
