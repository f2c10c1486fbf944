"""Reviews of pull requests, and their remarks on lines."""

import dataclasses

from bot.hub import pulls
from bot.hub.access import permission_of
from bot.hub.forge import Actor, Forge, ForgeError, require_length
from bot.hub.hooks import emit
from bot.hub.records import Issue, Pull, Remark, Repo, Review, User, now_utc
from bot.hub.shapes.reviews import remark_json, review_json
from bot.hub.shapes.threads import pull_summary_json

STATES = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}


def submit(
    forge: Forge, actor: Actor, repo: Repo, pull: Pull, *, event: str, body: str, commit_sha: str, remarks: list[Remark]
) -> Review:
    """A review with its remarks, whose `review_id` is set here. Raises ForgeError (422)."""
    issue = forge.store.get(Issue, pull.issue_id)
    if event != "COMMENT" and issue.user_id == actor.user.id:
        doing = "approve" if event == "APPROVE" else "request changes on"
        raise ForgeError(422, "Unprocessable Entity", {"message": f"Can not {doing} your own pull request"})
    for text in (body, *(remark.body for remark in remarks)):
        require_length("PullRequestReview", "body", text)
    with forge.store.write():
        now = now_utc()
        review = forge.store.add(
            Review(
                issue_id=issue.id,
                user_id=actor.user.id,
                body=body,
                state=STATES[event],
                commit_sha=commit_sha or pull.head_sha,
                submitted_at=now,
            )
        )
        forge.store.save(dataclasses.replace(issue, updated_at=now))
        for remark in remarks:
            kept = forge.store.add(dataclasses.replace(remark, review_id=review.id))
            comment = remark_json(forge, repo, issue.number, review, kept)
            payload = {"comment": comment, "pull_request": pull_summary_json(forge, repo, pull)}
            emit(forge, "pull_request_review_comment", "created", actor=actor, repo=repo, payload=payload)
        _emit(forge, "submitted", actor, repo, pull, review)
    return review


def dismiss(forge: Forge, actor: Actor, repo: Repo, pull: Pull, review: Review) -> Review:
    if review.state not in ("APPROVED", "CHANGES_REQUESTED"):
        raise ForgeError(422, "Unprocessable Entity", {"message": "Can not dismiss a commented pull request review"})
    with forge.store.write():
        dismissed = forge.store.save(dataclasses.replace(review, state="DISMISSED"))
        _emit(forge, "dismissed", actor, repo, pull, dismissed)
    return dismissed


def _emit(forge: Forge, action: str, actor: Actor, repo: Repo, pull: Pull, review: Review) -> None:
    number = forge.store.get(Issue, pull.issue_id).number
    shown = review_json(forge, repo, number, review)
    payload = {
        "review": shown | {"state": review.state.lower()},  # GitHub writes it so in webhooks
        "pull_request": pull_summary_json(forge, repo, pull),
    }
    emit(forge, "pull_request_review", action, actor=actor, repo=repo, payload=payload)


def approvals(forge: Forge, repo: Repo, pull: Pull) -> int:
    """How many people who may write approve and have not asked for changes since; -1 when one asks for changes."""
    standing: dict[int, str] = {}
    for review in forge.store.all(Review, "WHERE issue_id = ? ORDER BY id", pull.issue_id):
        if review.state != "COMMENTED":
            standing[review.user_id] = review.state
    levels = {user_id: permission_of(forge, repo, forge.store.get(User, user_id)) for user_id in standing}
    counted = [state for user_id, state in standing.items() if levels[user_id] in ("write", "admin")]
    return -1 if "CHANGES_REQUESTED" in counted else counted.count("APPROVED")


def required(forge: Forge, repo: Repo, pull: Pull) -> str:
    """What the base branch's protection misses of reviews, in GitHub's words; empty when nothing."""
    protection = pulls.protection_of(forge, repo, pull.base_ref)
    wanted = protection.required_approvals if protection else 0
    if wanted == 0:
        return ""
    found = approvals(forge, repo, pull)
    if found < 0:
        return "Changes have been requested."
    if found < wanted:
        plural = "review is" if wanted == 1 else "reviews are"
        return f"At least {wanted} approving {plural} required by reviewers with write access."
    return ""
