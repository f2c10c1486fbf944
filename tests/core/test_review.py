"""Whose review counts, and what it asks for."""

from bot.core.intake.review import MAX_REQUEST_CHARACTERS, Opinion, Remark, Review, approvers, objectors, request


def review(author: str, opinion: Opinion, *, sha: str = "h1", body: str = "") -> Review:
    return Review(id=1, author=author, by_bot=False, opinion=opinion, body=body, commit_sha=sha)


def test_the_last_review_of_a_person_counts_and_comments_change_nothing() -> None:
    found = [
        review("ada", Opinion.CHANGES_REQUESTED),
        review("bob", Opinion.CHANGES_REQUESTED),
        review("cyd", Opinion.CHANGES_REQUESTED),
        review("ada", Opinion.APPROVED),
        review("bob", Opinion.COMMENTED),
        review("cyd", Opinion.DISMISSED),
    ]
    assert objectors(found) == ["bob"]
    assert approvers(found, heads=["h1"]) == ["ada"]


def test_an_approval_is_of_one_head() -> None:
    assert approvers([review("ada", Opinion.APPROVED)], heads=["h2"]) == []
    assert approvers([review("ada", Opinion.APPROVED)], heads=["h2", "h1"]) == ["ada"]


def test_what_a_review_asks_for_is_its_text_and_its_remarks() -> None:
    remarks = [Remark(path="train.py", line=3, body="why 0.7? "), Remark(path="a.py", line=None, body="gone")]
    asked = request(review("ada", Opinion.COMMENTED, body=" Two things.\n"), remarks)
    assert asked == "Two things.\n\ntrain.py:3: why 0.7?\n\na.py: gone"
    assert request(review("ada", Opinion.APPROVED), []) == ""
    assert len(request(review("ada", Opinion.COMMENTED, body="x" * 60_000), [])) < MAX_REQUEST_CHARACTERS + 10
