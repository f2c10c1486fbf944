"""Issues and their comments."""

from typing import Literal

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel

from bot.hub import threads
from bot.hub.access import NOT_FOUND, may, require_own, require_participation
from bot.hub.api.rest import body, caller, created, no_content, open_repo, paged
from bot.hub.forge import Forge
from bot.hub.records import Comment, Issue, Repo
from bot.hub.shapes.threads import comment_json, full_issue_json, issue_json

blueprint = Blueprint("issues", __name__)

WRITERS = ("issues", "pull_requests")  # an app that may write either may speak in a pull request's thread


class LabelName(BaseModel):
    name: str


class NewIssue(BaseModel):
    title: str
    body: str | None = None
    labels: list[str | LabelName] = []


class IssueEdit(BaseModel):
    title: str | None = None
    body: str | None = None
    state: Literal["open", "closed"] | None = None
    state_reason: Literal["completed", "not_planned", "reopened", "duplicate"] | None = None


class CommentBody(BaseModel):
    body: str


def label_names(labels: list[str | LabelName]) -> list[str]:
    return [label if isinstance(label, str) else label.name for label in labels]


def the_issue(owner: str, name: str, number: int, level: str = "read") -> tuple[Forge, Repo, Issue]:
    forge, repo = open_repo(owner, name, level, *WRITERS)
    issue = forge.issue(repo, number)
    if issue is None:
        raise NOT_FOUND
    return forge, repo, issue


def the_comment(owner: str, name: str, comment_id: int) -> tuple[Forge, Repo, Comment]:
    forge, repo = open_repo(owner, name, "read", *WRITERS)
    clause = "JOIN issue ON issue.id = issue_id WHERE comment.id = ? AND repo_id = ?"
    comment = forge.store.one(Comment, clause, comment_id, repo.id)
    if comment is None:
        raise NOT_FOUND
    return forge, repo, comment


@blueprint.get("/repos/<owner>/<name>/issues")
def list_issues(owner: str, name: str) -> Response:
    forge, repo = open_repo(owner, name, "read", *WRITERS)
    state = request.args.get("state", "open")
    order = "updated_at" if request.args.get("sort") == "updated" else "created_at"
    way = "ASC" if request.args.get("direction") == "asc" else "DESC"
    clause = f"WHERE repo_id = ? AND ? IN (state, 'all') AND updated_at >= ? ORDER BY {order} {way}, number {way}"
    found = forge.store.all(Issue, clause, repo.id, state, request.args.get("since", ""))
    wanted = {label.lower() for label in request.args.get("labels", "").split(",") if label}
    if wanted:
        found = [issue for issue in found if wanted <= {label.name.lower() for label in forge.labels(issue)}]
    creator = request.args.get("creator")
    if creator:
        account = forge.user(creator)
        found = [issue for issue in found if account is not None and issue.user_id == account.id]
    return paged(found, lambda issue: issue_json(forge, repo, issue))


@blueprint.post("/repos/<owner>/<name>/issues")
def create_issue(owner: str, name: str) -> Response:
    forge, repo = open_repo(owner, name, "read", "issues")
    who, asked = require_participation(forge, caller(), repo, "issues"), body(NewIssue)
    labels = label_names(asked.labels) if may(forge, caller(), repo, "write", "issues") else []
    issue = threads.open_issue(forge, who, repo, title=asked.title, body=asked.body or "", labels=labels)
    return created(full_issue_json(forge, repo, issue))


@blueprint.get("/repos/<owner>/<name>/issues/<int:number>")
def get_issue(owner: str, name: str, number: int) -> Response:
    return jsonify(full_issue_json(*the_issue(owner, name, number)))


@blueprint.patch("/repos/<owner>/<name>/issues/<int:number>")
def edit_issue(owner: str, name: str, number: int) -> Response:
    forge, repo, issue = the_issue(owner, name, number)
    asked = body(IssueEdit)
    who = require_own(forge, caller(), repo, issue.user_id, *WRITERS)
    text = (asked.body or "") if "body" in asked.model_fields_set else None
    issue = threads.edit(
        forge, who, repo, issue, title=asked.title, body=text, state=asked.state, state_reason=asked.state_reason
    )
    return jsonify(full_issue_json(forge, repo, issue))


# Comments


@blueprint.get("/repos/<owner>/<name>/issues/<int:number>/comments")
def list_comments(owner: str, name: str, number: int) -> Response:
    forge, repo, issue = the_issue(owner, name, number)
    clause = "WHERE issue_id = ? AND updated_at >= ? ORDER BY id"
    found = forge.store.all(Comment, clause, issue.id, request.args.get("since", ""))
    return paged(found, lambda comment: comment_json(forge, repo, comment))


@blueprint.post("/repos/<owner>/<name>/issues/<int:number>/comments")
def create_comment(owner: str, name: str, number: int) -> Response:
    forge, repo, issue = the_issue(owner, name, number)
    who = require_participation(forge, caller(), repo, *WRITERS)
    comment = threads.add_comment(forge, who, repo, issue, body(CommentBody).body)
    return created(comment_json(forge, repo, comment))


@blueprint.get("/repos/<owner>/<name>/issues/comments/<int:comment_id>")
def get_comment(owner: str, name: str, comment_id: int) -> Response:
    return jsonify(comment_json(*the_comment(owner, name, comment_id)))


@blueprint.patch("/repos/<owner>/<name>/issues/comments/<int:comment_id>")
def edit_comment(owner: str, name: str, comment_id: int) -> Response:
    forge, repo, comment = the_comment(owner, name, comment_id)
    who = require_own(forge, caller(), repo, comment.user_id, *WRITERS)
    edited = threads.edit_comment(forge, who, repo, comment, body(CommentBody).body)
    return jsonify(comment_json(forge, repo, edited))


@blueprint.delete("/repos/<owner>/<name>/issues/comments/<int:comment_id>")
def delete_comment(owner: str, name: str, comment_id: int) -> Response:
    forge, repo, comment = the_comment(owner, name, comment_id)
    who = require_own(forge, caller(), repo, comment.user_id, *WRITERS)
    threads.delete_comment(forge, who, repo, comment)
    return no_content()
