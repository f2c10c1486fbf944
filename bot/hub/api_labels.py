"""Labels of issues and of repositories, and reactions."""

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel

from bot.hub import shapes_threads, threads
from bot.hub.access import NOT_FOUND, require, require_participation
from bot.hub.api_issues import WRITERS, LabelName, label_names, the_comment, the_issue
from bot.hub.forge import Actor, Forge, ForgeError
from bot.hub.records import Issue, Label, Reaction, Repo
from bot.hub.rest import actor, body, caller, created, no_content, paged, the_forge, the_repo

blueprint = Blueprint("labels", __name__)


class LabelList(BaseModel):
    labels: list[str | LabelName]


class NewLabel(BaseModel):
    name: str
    color: str = threads.DEFAULT_LABEL_COLOR
    description: str | None = None


class NewReaction(BaseModel):
    content: str


def _label_shapes(forge: Forge, repo: Repo, issue: Issue) -> Response:
    return jsonify([shapes_threads.label(forge, repo, label) for label in forge.labels(issue)])


def _labelling(owner: str, name: str, number: int) -> tuple[Forge, Repo, Issue, Actor]:
    forge, repo, issue = the_issue(owner, name, number)
    require(forge, caller(), repo, "write", *WRITERS)
    return forge, repo, issue, actor()


@blueprint.get("/repos/<owner>/<name>/issues/<int:number>/labels")
def list_issue_labels(owner: str, name: str, number: int) -> Response:
    return _label_shapes(*the_issue(owner, name, number))


@blueprint.post("/repos/<owner>/<name>/issues/<int:number>/labels")
def add_issue_labels(owner: str, name: str, number: int) -> Response:
    forge, repo, issue, who = _labelling(owner, name, number)
    threads.add_labels(forge, who, repo, issue, label_names(_asked_labels()))
    return _label_shapes(forge, repo, issue)


@blueprint.put("/repos/<owner>/<name>/issues/<int:number>/labels")
def set_issue_labels(owner: str, name: str, number: int) -> Response:
    forge, repo, issue, who = _labelling(owner, name, number)
    threads.set_labels(forge, who, repo, issue, label_names(_asked_labels()))
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
    require(forge, caller(), repo, "write", *WRITERS)
    label = threads.create_label(forge, repo, name=asked.name, color=asked.color, description=asked.description or "")
    return created(shapes_threads.label(forge, repo, label))


# Reactions


def _reacted(forge: Forge, repo: Repo, subject: str, subject_id: int) -> Response:
    who = require_participation(forge, caller(), repo, *WRITERS)
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
    forge, _, comment = the_comment(owner, name, comment_id)
    return _reactions(forge, "comment", comment.id)


@blueprint.post("/repos/<owner>/<name>/issues/comments/<int:comment_id>/reactions")
def react_to_comment(owner: str, name: str, comment_id: int) -> Response:
    forge, repo, comment = the_comment(owner, name, comment_id)
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
    forge, _, comment = the_comment(owner, name, comment_id)
    return _delete_reaction(forge, "comment", comment.id, reaction_id)
