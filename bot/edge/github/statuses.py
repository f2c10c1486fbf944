"""What stands in for a check run where we may not make one: only Apps may, a token never.

A commit status holds one line. A pending one is written once, not kept up to date: GitHub takes a thousand of them for
a commit, and they cannot be changed.
"""

import logging

from github.GithubException import GithubException
from github.Repository import Repository

from bot.core.text import line

CONTEXT = "nightlab"
LONGEST_DESCRIPTION = 140  # GitHub's
STATES = {None: "pending", "success": "success", "neutral": "success", "failure": "failure"}

log = logging.getLogger("nightlab.forge")


def post(repo: Repository, *, head_sha: str, conclusion: str | None, title: str) -> None:
    """The commit's one status of ours, unless it says this already. Where we may not write that either, nothing."""
    state, description = STATES.get(conclusion, "error"), line(title, LONGEST_DESCRIPTION)
    try:
        commit = repo.get_commit(head_sha)
        mine = next((one for one in commit.get_combined_status().statuses if one.context == CONTEXT), None)
        if mine is not None and mine.state == state and (state == "pending" or mine.description == description):
            return
        commit.create_status(state, description=description, context=CONTEXT)
    except GithubException as error:
        if error.status not in (403, 404):
            raise
        log.warning("%s: neither check runs nor commit statuses may be written", repo.full_name)
