"""Reviews of pull requests."""

from typing import Literal

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel

from bot.hub import reviews
from bot.hub.access import NOT_FOUND, require_participation
from bot.hub.api.pulls import the_pull
from bot.hub.api.rest import actor, body, caller, paged, the_forge
from bot.hub.records import Issue, Remark, Review
from bot.hub.shapes.reviews import remark_json, review_json

blueprint = Blueprint("reviews", __name__)


class NewRemark(BaseModel):
    path: str
    line: int
    body: str


class NewReview(BaseModel):
    body: str = ""
    event: Literal["APPROVE", "REQUEST_CHANGES", "COMMENT"] = "COMMENT"
    commit_id: str | None = None
    comments: list[NewRemark] = []


class Dismissal(BaseModel):
    message: str


def _the_review(issue: Issue, review_id: int) -> Review:
    found = the_forge().store.one(Review, "WHERE id = ? AND issue_id = ?", review_id, issue.id)
    if found is None:
        raise NOT_FOUND
    return found


@blueprint.get("/repos/<owner>/<name>/pulls/<int:number>/reviews")
def list_reviews(owner: str, name: str, number: int) -> Response:
    forge, repo, issue, _ = the_pull(owner, name, number)
    found = forge.store.all(Review, "WHERE issue_id = ? ORDER BY id", issue.id)
    return paged(found, lambda review: review_json(forge, repo, number, review))


@blueprint.post("/repos/<owner>/<name>/pulls/<int:number>/reviews")
def create_review(owner: str, name: str, number: int) -> Response:
    forge, repo, _, pull = the_pull(owner, name, number)
    who = require_participation(forge, caller(), repo, "pull_requests")
    asked = body(NewReview)
    remarks = [Remark(review_id=0, path=one.path, line=one.line, body=one.body) for one in asked.comments]
    review = reviews.submit(
        forge,
        who,
        repo,
        pull,
        event=asked.event,
        body=asked.body,
        commit_sha=asked.commit_id or "",
        remarks=remarks,
    )
    return jsonify(review_json(forge, repo, number, review))


@blueprint.get("/repos/<owner>/<name>/pulls/<int:number>/reviews/<int:review_id>")
def get_review(owner: str, name: str, number: int, review_id: int) -> Response:
    forge, repo, issue, _ = the_pull(owner, name, number)
    return jsonify(review_json(forge, repo, number, _the_review(issue, review_id)))


@blueprint.get("/repos/<owner>/<name>/pulls/<int:number>/reviews/<int:review_id>/comments")
def list_remarks(owner: str, name: str, number: int, review_id: int) -> Response:
    forge, repo, issue, _ = the_pull(owner, name, number)
    review = _the_review(issue, review_id)
    found = forge.store.all(Remark, "WHERE review_id = ? ORDER BY id", review.id)
    return paged(found, lambda remark: remark_json(forge, repo, number, review, remark))


@blueprint.put("/repos/<owner>/<name>/pulls/<int:number>/reviews/<int:review_id>/dismissals")
def dismiss_review(owner: str, name: str, number: int, review_id: int) -> Response:
    forge, repo, issue, pull = the_pull(owner, name, number, "write")
    body(Dismissal)
    review = reviews.dismiss(forge, actor(), repo, pull, _the_review(issue, review_id))
    return jsonify(review_json(forge, repo, number, review))
