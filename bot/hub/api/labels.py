"""Labels of issues and of repositories, and reactions."""

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel, Field

from bot.hub import threads
from bot.hub.access import NOT_FOUND, require_participation
from bot.hub.api.issues import WRITERS, LabelName, label_names, the_comment, the_issue
from bot.hub.api.rest import actor, body, caller, created, no_content, open_repo, paged
from bot.hub.forge import Forge, ForgeError
from bot.hub.records import Issue, Label, Reaction, Repo
from bot.hub.shapes.threads import label_json, reaction_json

blueprint = Blueprint("labels", __name__)


class LabelList(BaseModel):
    labels: list[str | LabelName]


class NewLabel(BaseModel):
    name: str
    color: str = Field(threads.DEFAULT_LABEL_COLOR, pattern="^#?[0-9a-fA-F]{6}$")
    description: str | None = None


class NewReaction(BaseModel):
    content: str


def _labels_of(forge: Forge, repo: Repo, issue: Issue) -> Response:
    return jsonify([label_json(forge, repo, label) for label in forge.labels(issue)])


@blueprint.get("/repos/<owner>/<name>/issues/<int:number>/labels")
def list_issue_labels(owner: str, name: str, number: int) -> Response:
    return _labels_of(*the_issue(owner, name, number))


@blueprint.post("/repos/<owner>/<name>/issues/<int:number>/labels")
def add_issue_labels(owner: str, name: str, number: int) -> Response:
    forge, repo, issue = the_issue(owner, name, number, "write")
    threads.add_labels(forge, actor(), repo, issue, label_names(_asked_labels()))
    return _labels_of(forge, repo, issue)


def _asked_labels() -> list[str | LabelName]:
    """GitHub takes {"labels": [...]} and the bare list alike; PyGithub sends the list."""
    data = request.get_json(force=True, silent=True)
    if isinstance(data, list) and all(isinstance(item, str) for item in data):
        return data
    return body(LabelList).labels


@blueprint.delete("/repos/<owner>/<name>/issues/<int:number>/labels/<path:label>")
def remove_issue_label(owner: str, name: str, number: int, label: str) -> Response:
    forge, repo, issue = the_issue(owner, name, number, "write")
    found = threads.label_named(forge, repo, label)
    if found is None or not threads.remove_label(forge, actor(), repo, issue, found):
        raise ForgeError(404, "Label does not exist")
    return _labels_of(forge, repo, issue)


@blueprint.get("/repos/<owner>/<name>/labels")
def list_labels(owner: str, name: str) -> Response:
    forge, repo = open_repo(owner, name, "read", *WRITERS)
    found = forge.store.all(Label, "WHERE repo_id = ? ORDER BY name", repo.id)
    return paged(found, lambda label: label_json(forge, repo, label))


@blueprint.get("/repos/<owner>/<name>/labels/<path:label>")
def get_label(owner: str, name: str, label: str) -> Response:
    forge, repo = open_repo(owner, name, "read", *WRITERS)
    found = threads.label_named(forge, repo, label)
    if found is None:
        raise NOT_FOUND
    return jsonify(label_json(forge, repo, found))


@blueprint.post("/repos/<owner>/<name>/labels")
def create_label(owner: str, name: str) -> Response:
    forge, repo = open_repo(owner, name, "write", *WRITERS)
    asked = body(NewLabel)
    label = threads.create_label(forge, repo, name=asked.name, color=asked.color, description=asked.description or "")
    return created(label_json(forge, repo, label))


# Reactions


def _reacted(forge: Forge, repo: Repo, subject: str, subject_id: int) -> Response:
    who = require_participation(forge, caller(), repo, *WRITERS)
    content = body(NewReaction).content
    reaction, new = threads.react(forge, who, subject=subject, subject_id=subject_id, content=content)
    response = jsonify(reaction_json(forge, reaction))
    response.status_code = 201 if new else 200
    return response


@blueprint.post("/repos/<owner>/<name>/issues/<int:number>/reactions")
def react_to_issue(owner: str, name: str, number: int) -> Response:
    forge, repo, issue = the_issue(owner, name, number)
    return _reacted(forge, repo, "issue", issue.id)


@blueprint.get("/repos/<owner>/<name>/issues/comments/<int:comment_id>/reactions")
def list_comment_reactions(owner: str, name: str, comment_id: int) -> Response:
    forge, _, comment = the_comment(owner, name, comment_id)
    found = forge.store.all(Reaction, "WHERE subject = 'comment' AND subject_id = ? ORDER BY id", comment.id)
    return paged(found, lambda reaction: reaction_json(forge, reaction))


@blueprint.post("/repos/<owner>/<name>/issues/comments/<int:comment_id>/reactions")
def react_to_comment(owner: str, name: str, comment_id: int) -> Response:
    forge, repo, comment = the_comment(owner, name, comment_id)
    return _reacted(forge, repo, "comment", comment.id)


@blueprint.delete("/repos/<owner>/<name>/issues/comments/<int:comment_id>/reactions/<int:reaction_id>")
def delete_comment_reaction(owner: str, name: str, comment_id: int, reaction_id: int) -> Response:
    forge, repo, comment = the_comment(owner, name, comment_id)
    who = require_participation(forge, caller(), repo, *WRITERS)
    clause = "WHERE id = ? AND subject = 'comment' AND subject_id = ? AND user_id = ?"
    found = forge.store.one(Reaction, clause, reaction_id, comment.id, who.user.id)
    if found is None:
        raise NOT_FOUND
    forge.store.remove(found)
    return no_content()
