"""Draft pull requests: the bot's own are drafts while they are measured, so that nobody is asked for a review of what
may be closed within the hour."""

import logging

from github.GithubException import GithubException
from github.PullRequest import PullRequest
from github.Repository import Repository

log = logging.getLogger("nightlab.forge")


def create(repo: Repository, *, base: str, head: str, title: str, body: str) -> PullRequest:
    """A new pull request, as a draft where the forge has drafts; on some plans it refuses them."""
    try:
        return repo.create_pull(base=base, head=head, title=title, body=body, draft=True)
    except GithubException as error:
        if error.status != 422:
            raise
    return repo.create_pull(base=base, head=head, title=title, body=body)  # which is refused again for other reasons


def make_ready(pull: PullRequest) -> None:
    """Ready for review, unless it is so already. A refusal holds up nothing: a person can press the button."""
    if not pull.draft or pull.state != "open":
        return
    try:
        pull.mark_ready_for_review()
    except GithubException as error:
        if error.status not in (400, 404):  # PyGithub's for what GraphQL refuses, which comes with status 200
            raise
        log.warning("pull request %s stays a draft: %s", pull.html_url, error)
