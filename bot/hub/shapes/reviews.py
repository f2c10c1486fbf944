"""Reviews and their remarks as GitHub's JSON."""

from bot.hub.forge import Forge
from bot.hub.records import Remark, Repo, Review
from bot.hub.shapes.repositories import Json, html_url, node_id, repo_url
from bot.hub.shapes.threads import association, person_json, reactions_json


def review_json(forge: Forge, repo: Repo, number: int, record: Review) -> Json:
    page = html_url(forge, repo, f"/pull/{number}#pullrequestreview-{record.id}")
    pull_url = repo_url(forge, repo, f"/pulls/{number}")
    return {
        "id": record.id,
        "node_id": node_id("PullRequestReview", record.id),
        "user": person_json(forge, record.user_id),
        "body": record.body,
        "state": record.state,
        "html_url": page,
        "pull_request_url": pull_url,
        "_links": {"html": {"href": page}, "pull_request": {"href": pull_url}},
        "submitted_at": record.submitted_at,
        "commit_id": record.commit_sha,
        "author_association": association(forge, repo, record.user_id),
    }


def remark_json(forge: Forge, repo: Repo, number: int, of: Review, record: Remark) -> Json:
    page = html_url(forge, repo, f"/pull/{number}#discussion_r{record.id}")
    pull_url = repo_url(forge, repo, f"/pulls/{number}")
    url = repo_url(forge, repo, f"/pulls/comments/{record.id}")
    return {
        "url": url,
        "pull_request_review_id": of.id,
        "id": record.id,
        "node_id": node_id("PullRequestReviewComment", record.id),
        "diff_hunk": "",
        "path": record.path,
        "position": record.line,
        "original_position": record.line,
        "line": record.line,
        "original_line": record.line,
        "start_line": None,
        "original_start_line": None,
        "side": "RIGHT",
        "start_side": None,
        "commit_id": of.commit_sha,
        "original_commit_id": of.commit_sha,
        "user": person_json(forge, of.user_id),
        "body": record.body,
        "created_at": of.submitted_at,
        "updated_at": of.submitted_at,
        "html_url": page,
        "pull_request_url": pull_url,
        "_links": {"self": {"href": url}, "html": {"href": page}, "pull_request": {"href": pull_url}},
        "author_association": association(forge, repo, of.user_id),
        "reactions": reactions_json(forge, "remark", record.id, url),
        "subject_type": "line",
    }
