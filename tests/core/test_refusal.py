"""What a forge refuses is said in words that tell what to do."""

import pytest

from bot.core.words.refusal import explained


@pytest.mark.parametrize(
    ("words", "beginning"),
    [
        ("At least 1 approving review is required by reviewers with write access.", "the branch's rules want 1 appro"),
        ('Required status check "legal" is expected.', "the status check legal has to succeed on its head"),
        ("2 of 3 required status checks have not succeeded: 1 expected.", "2 of the required status checks"),
        ("Changes have been requested.", "a review asks for changes"),
        ("Waiting on code owner review from ada.", "a code owner has to approve it"),
        ("Merge commits are not allowed on this repository.", "the branch wants a linear history"),
        ("Squash merges are not allowed on this repository.", "neither a merge commit nor squashing is allowed here"),
        (
            "Repository rule violations found\n\nCommits must have verified signatures.",
            "the branch wants signed commits",
        ),
        ("Changes must be made through the merge queue", "the branch is merged into through a merge queue"),
        ("You're not authorized to push to this branch.", "the branch's rules let only some people merge"),
        ("Repository was archived so is read-only.", "the repository is archived"),
        ("Resource not accessible by integration", "the App lacks a permission"),
        ("Something {new} about 100% of this", "the forge refuses: Something {new} about 100% of this"),
    ],
)
def test_a_refusal_says_what_to_do_and_quotes_the_forge(words: str, beginning: str) -> None:
    said = explained(words)
    assert said.startswith(beginning)
    assert words in said
