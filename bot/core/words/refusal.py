"""Why a forge does not let something be merged, in words that say what to do."""

import re

LINEAR = r"linear history|merge commits are not allowed|must not contain merge commits"

# (GitHub's words, what they mean). The first that is found speaks.
_MEANINGS = (
    (r"at least (\d+) approving review", "the branch's rules want {0} approving reviews: it merges after them"),
    (r"changes have been requested|requested changes", "a review asks for changes: it merges once that is settled"),
    (r"code owner", "a code owner has to approve it: it merges after that"),
    (r"required status checks? \"?([^\"]+?)\"? (?:is|are) (?:expected|failing|pending|in progress)",
     "the status check {0} has to succeed on its head: it merges after that"),
    (r"(\d+) of \d+ required status checks",
     "{0} of the required status checks have not succeeded: it merges after that"),
    (r"squash merges are not allowed", "neither a merge commit nor squashing is allowed here: allow one of them"),
    (LINEAR, "the branch wants a linear history: squash it by hand"),
    (r"verified signatures|signed commits|must have valid signatures",
     "the branch wants signed commits, which I cannot make: merge it by hand"),
    (r"merge queue", "the branch is merged into through a merge queue: add it there by hand"),
    (r"not authorized to push|not authorized to merge|restrict",
     "the branch's rules let only some people merge: one of them has to"),
    (r"conversation", "the branch's rules want every conversation resolved: it merges after that"),
    (r"archived", "the repository is archived: unarchive it, or close this"),
    (r"not accessible by integration", "the App lacks a permission that merging takes: grant it contents: write"),
    (r"draft", "it is a draft: mark it as ready for review"),
)  # fmt: skip


def explained(words: str) -> str:
    """One clause for what the forge said, with its own words behind."""
    for pattern, meaning in _MEANINGS:
        found = re.search(pattern, words, re.IGNORECASE)
        if found:
            return f"{meaning.format(*found.groups())} (the forge: {words})"
    return f"the forge refuses: {words}"


def wants_linear_history(words: str) -> bool:
    """Whether the forge takes this in, but not as a merge commit."""
    return re.search(LINEAR, words, re.IGNORECASE) is not None
