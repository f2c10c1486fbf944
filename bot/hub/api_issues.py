"""Issues, comments, labels and reactions."""

from typing import Literal

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel

from bot.hub import shapes_threads, threads
from bot.hub.access import NOT_FOUND, may, require, require_participation
from bot.hub.forge import Actor, Forge, ForgeError
from bot.hub.records import Comment, Issue, Label, Reaction, Repo
from bot.hub.rest import actor, body, caller, created, no_content, paged, the_forge, the_repo

blueprint = Blueprint("issues", __name__)

_WRITERS = ("issues", "pull_requests")  # an app that may write either may speak in a pull request's thread


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
    labels: list[str | LabelName] | None = None


class LabelList(BaseModel):
    labels: list[str | LabelName]


class NewLabel(BaseModel):
    name: str
    color: str = threads.DEFAULT_LABEL_COLOR
    description: str | None = None


class CommentBody(BaseModel):
    body: str


class NewReaction(BaseModel):
    content: str


def _names(labels: list[str | LabelName]) -> list[str]:
    return [label if isinstance(label, str) else label.name for label in labels]


def the_issue(owner: str, name: str, number: int) -> tuple[Forge, Repo, Issue]:
    forge, repo = the_forge(), the_repo(owner, name)
    require(forge, caller(), repo, "read", *_WRITERS)
    issue = forge.issue(repo, number)
    if issue is None:
        raise NOT_FOUND
    return forge, repo, issue


def _the_comment(owner: str, name: str, comment_id: int) -> tuple[Forge, Repo, Comment]:
    forge, repo = the_forge(), the_repo(owner, name)
    clause = "JOIN issue ON issue.id = issue_id WHERE comment.id = ? AND repo_id = ?"
    comment = forge.store.one(Comment, clause, comment_id, repo.id)
    if comment is None:
        raise NOT_FOUND
    return forge, repo, comment


@blueprint.get("/repos/<owner>/<name>/issues")
def list_issues(owner: str, name: str) -> Response:
    forge, repo = the_forge(), the_repo(owner, name)
    require(forge, caller(), repo, "read", *_WRITERS)
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
    return paged(found, lambda issue: shapes_threads.issue(forge, repo, issue))


@blueprint.post("/repos/<owner>/<name>/issues")
def create_issue(owner: str, name: str) -> Response:
    forge, repo, asked = the_forge(), the_repo(owner, name), body(NewIssue)
    who = require_participation(forge, caller(), repo, "issues")
    labels = _names(asked.labels) if may(forge, caller(), repo, "write", "issues") else []
    issue = threads.open_issue(forge, who, repo, title=asked.title, body=asked.body or "", labels=labels)
    return created(shapes_threads.full_issue(forge, repo, issue))


@blueprint.get("/repos/<owner>/<name>/issues/<int:number>")
def get_issue(owner: str, name: str, number: int) -> Response:
    return jsonify(shapes_threads.full_issue(*the_issue(owner, name, number)))


@blueprint.patch("/repos/<owner>/<name>/issues/<int:number>")
def edit_issue(owner: str, name: str, number: int) -> Response:
    forge, repo, issue = the_issue(owner, name, number)
    asked = body(IssueEdit)
    if issue.user_id != actor().user.id:
        require(forge, caller(), repo, "write", *_WRITERS)
    text = (asked.body or "") if "body" in asked.model_fields_set else None
    with forge.store.write():
        issue = threads.edit(
            forge,
            actor(),
            repo,
            issue,
            title=asked.title,
            body=text,
            state=asked.state,
            state_reason=asked.state_reason,
        )
        if asked.labels is not None:
            require(forge, caller(), repo, "write", *_WRITERS)
            threads.set_labels(forge, actor(), repo, issue, _names(asked.labels))
    return jsonify(shapes_threads.full_issue(forge, repo, issue))


# Comments


@blueprint.get("/repos/<owner>/<name>/issues/<int:number>/comments")
def list_comments(owner: str, name: str, number: int) -> Response:
    forge, repo, issue = the_issue(owner, name, number)
    clause = "WHERE issue_id = ? AND updated_at >= ? ORDER BY id"
    found = forge.store.all(Comment, clause, issue.id, request.args.get("since", ""))
    return paged(found, lambda comment: shapes_threads.comment(forge, repo, comment))


@blueprint.get("/repos/<owner>/<name>/issues/comments")
def list_repo_comments(owner: str, name: str) -> Response:
    forge, repo = the_forge(), the_repo(owner, name)
    require(forge, caller(), repo, "read", *_WRITERS)
    way = "DESC" if request.args.get("direction") == "desc" else "ASC"
    order = "comment.updated_at" if request.args.get("sort") == "updated" else "comment.id"
    clause = f"JOIN issue ON issue.id = issue_id WHERE repo_id = ? AND comment.updated_at >= ? ORDER BY {order} {way}"
    found = forge.store.all(Comment, clause, repo.id, request.args.get("since", ""))
    return paged(found, lambda comment: shapes_threads.comment(forge, repo, comment))


@blueprint.post("/repos/<owner>/<name>/issues/<int:number>/comments")
def create_comment(owner: str, name: str, number: int) -> Response:
    forge, repo, issue = the_issue(owner, name, number)
    who = require_participation(forge, caller(), repo, *_WRITERS)
    comment = threads.add_comment(forge, who, repo, issue, body(CommentBody).body)
    return created(shapes_threads.comment(forge, repo, comment))


@blueprint.get("/repos/<owner>/<name>/issues/comments/<int:comment_id>")
def get_comment(owner: str, name: str, comment_id: int) -> Response:
    return jsonify(shapes_threads.comment(*_the_comment(owner, name, comment_id)))


def _require_own(forge: Forge, repo: Repo, comment: Comment) -> None:
    if comment.user_id != actor().user.id:
        require(forge, caller(), repo, "write", *_WRITERS)


@blueprint.patch("/repos/<owner>/<name>/issues/comments/<int:comment_id>")
def edit_comment(owner: str, name: str, comment_id: int) -> Response:
    forge, repo, comment = _the_comment(owner, name, comment_id)
    _require_own(forge, repo, comment)
    edited = threads.edit_comment(forge, actor(), repo, comment, body(CommentBody).body)
    return jsonify(shapes_threads.comment(forge, repo, edited))


@blueprint.delete("/repos/<owner>/<name>/issues/comments/<int:comment_id>")
def delete_comment(owner: str, name: str, comment_id: int) -> Response:
    forge, repo, comment = _the_comment(owner, name, comment_id)
    _require_own(forge, repo, comment)
    threads.delete_comment(forge, actor(), repo, comment)
    return no_content()


# Labels


def _label_shapes(forge: Forge, repo: Repo, issue: Issue) -> Response:
    return jsonify([shapes_threads.label(forge, repo, label) for label in forge.labels(issue)])


def _labelling(owner: str, name: str, number: int) -> tuple[Forge, Repo, Issue, Actor]:
    forge, repo, issue = the_issue(owner, name, number)
    require(forge, caller(), repo, "write", *_WRITERS)
    return forge, repo, issue, actor()


@blueprint.get("/repos/<owner>/<name>/issues/<int:number>/labels")
def list_issue_labels(owner: str, name: str, number: int) -> Response:
    return _label_shapes(*the_issue(owner, name, number))


@blueprint.post("/repos/<owner>/<name>/issues/<int:number>/labels")
def add_issue_labels(owner: str, name: str, number: int) -> Response:
    forge, repo, issue, who = _labelling(owner, name, number)
    threads.add_labels(forge, who, repo, issue, _names(_asked_labels()))
    return _label_shapes(forge, repo, issue)


@blueprint.put("/repos/<owner>/<name>/issues/<int:number>/labels")
def set_issue_labels(owner: str, name: str, number: int) -> Response:
    forge, repo, issue, who = _labelling(owner, name, number)
    threads.set_labels(forge, who, repo, issue, _names(_asked_labels()))
    return _label_shapes(forge, repo, issue)


def _asked_labels() -> list[str | LabelName]:
    """GitHub takes {"labels": [...]} and the bare list alike; PyGithub sends the list."""
    data = request.get_json(force=True, silent=True)
    if isinstance(data, list) and all(isinstance(item, str) for item in data):
        return data
    return body(LabelList).labels


@blueprint.delete("/repos/<owner>/<name>/issues/<int:number>/labels")
def clear_issue_labels(owner: str, name: str, number: int) -> Response:
    forge, repo, issue, who = _labelling(owner, name, number)
    threads.set_labels(forge, who, repo, issue, [])
    return no_content()


@blueprint.delete("/repos/<owner>/<name>/issues/<int:number>/labels/<path:label>")
def remove_issue_label(owner: str, name: str, number: int, label: str) -> Response:
    forge, repo, issue, who = _labelling(owner, name, number)
    found = threads.label_named(forge, repo, label)
    if found is None or not threads.remove_label(forge, who, repo, issue, found):
        raise ForgeError(404, "Label does not exist")
    return _label_shapes(forge, repo, issue)


@blueprint.get("/repos/<owner>/<name>/labels")
def list_labels(owner: str, name: str) -> Response:
    forge, repo = the_forge(), the_repo(owner, name)
    found = forge.store.all(Label, "WHERE repo_id = ? ORDER BY name", repo.id)
    return paged(found, lambda label: shapes_threads.label(forge, repo, label))


@blueprint.get("/repos/<owner>/<name>/labels/<path:label>")
def get_label(owner: str, name: str, label: str) -> Response:
    forge, repo = the_forge(), the_repo(owner, name)
    found = threads.label_named(forge, repo, label)
    if found is None:
        raise NOT_FOUND
    return jsonify(shapes_threads.label(forge, repo, found))


@blueprint.post("/repos/<owner>/<name>/labels")
def create_label(owner: str, name: str) -> Response:
    forge, repo, asked = the_forge(), the_repo(owner, name), body(NewLabel)
    require(forge, caller(), repo, "write", *_WRITERS)
    label = threads.create_label(forge, repo, name=asked.name, color=asked.color, description=asked.description or "")
    return created(shapes_threads.label(forge, repo, label))


# Reactions


def _reacted(forge: Forge, repo: Repo, subject: str, subject_id: int) -> Response:
    who = require_participation(forge, caller(), repo, *_WRITERS)
    content = body(NewReaction).content
    reaction, new = threads.react(forge, who, subject=subject, subject_id=subject_id, content=content)
    response = jsonify(shapes_threads.reaction(forge, reaction))
    response.status_code = 201 if new else 200
    return response


def _reactions(forge: Forge, subject: str, subject_id: int) -> Response:
    found = forge.store.all(Reaction, "WHERE subject = ? AND subject_id = ? ORDER BY id", subject, subject_id)
    return paged(found, lambda reaction: shapes_threads.reaction(forge, reaction))


@blueprint.get("/repos/<owner>/<name>/issues/<int:number>/reactions")
def list_issue_reactions(owner: str, name: str, number: int) -> Response:
    forge, _, issue = the_issue(owner, name, number)
    return _reactions(forge, "issue", issue.id)


@blueprint.post("/repos/<owner>/<name>/issues/<int:number>/reactions")
def react_to_issue(owner: str, name: str, number: int) -> Response:
    forge, repo, issue = the_issue(owner, name, number)
    return _reacted(forge, repo, "issue", issue.id)


@blueprint.get("/repos/<owner>/<name>/issues/comments/<int:comment_id>/reactions")
def list_comment_reactions(owner: str, name: str, comment_id: int) -> Response:
    forge, _, comment = _the_comment(owner, name, comment_id)
    return _reactions(forge, "comment", comment.id)


@blueprint.post("/repos/<owner>/<name>/issues/comments/<int:comment_id>/reactions")
def react_to_comment(owner: str, name: str, comment_id: int) -> Response:
    forge, repo, comment = _the_comment(owner, name, comment_id)
    return _reacted(forge, repo, "comment", comment.id)


def _delete_reaction(forge: Forge, subject: str, subject_id: int, reaction_id: int) -> Response:
    clause = "WHERE id = ? AND subject = ? AND subject_id = ? AND user_id = ?"
    found = forge.store.one(Reaction, clause, reaction_id, subject, subject_id, actor().user.id)
    if found is None:
        raise NOT_FOUND
    forge.store.remove(found)
    return no_content()


@blueprint.delete("/repos/<owner>/<name>/issues/<int:number>/reactions/<int:reaction_id>")
def delete_issue_reaction(owner: str, name: str, number: int, reaction_id: int) -> Response:
    forge, _, issue = the_issue(owner, name, number)
    return _delete_reaction(forge, "issue", issue.id, reaction_id)


@blueprint.delete("/repos/<owner>/<name>/issues/comments/<int:comment_id>/reactions/<int:reaction_id>")
def delete_comment_reaction(owner: str, name: str, comment_id: int, reaction_id: int) -> Response:
    forge, _, comment = _the_comment(owner, name, comment_id)
    return _delete_reaction(forge, "comment", comment.id, reaction_id)
