"""Git data: blobs, trees, commits, refs."""

import base64
import binascii
import datetime
import time
from typing import Literal

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel, Field

from bot.hub.access import NOT_FOUND
from bot.hub.api.rest import actor, body, created, no_content, open_repo, paged
from bot.hub.forge import Forge, ForgeError, invalid
from bot.hub.git import refs
from bot.hub.git.bare import BareRepository, Change, Signature
from bot.hub.git.command import GitError
from bot.hub.records import Repo, User
from bot.hub.shapes.git import blob_json, git_commit_json, ref_json, tree_json

blueprint = Blueprint("git", __name__)


class NewBlob(BaseModel):
    content: str
    encoding: Literal["utf-8", "base64"] = "utf-8"


class TreeChange(BaseModel):
    path: str = Field(min_length=1)
    mode: Literal["100644", "100755", "040000", "120000"] = "100644"
    type: Literal["blob", "tree", "commit"] | None = None
    sha: str | None = None
    content: str | None = None


class NewTree(BaseModel):
    tree: list[TreeChange]
    base_tree: str | None = None


class Person(BaseModel):
    name: str
    email: str
    date: datetime.datetime | None = None


class NewCommit(BaseModel):
    message: str
    tree: str
    parents: list[str] = []
    author: Person | None = None
    committer: Person | None = None


class NewRef(BaseModel):
    ref: str
    sha: str


class RefUpdate(BaseModel):
    sha: str
    force: bool = False


def writable(owner: str, name: str) -> tuple[Forge, Repo, BareRepository]:
    forge, repo = open_repo(owner, name, "write", "contents")
    return forge, repo, forge.git(repo)


def readable(owner: str, name: str) -> tuple[Forge, Repo, BareRepository]:
    forge, repo = open_repo(owner, name, "read", "contents")
    return forge, repo, forge.git(repo)


def signature(forge: Forge, user: User, person: Person | None) -> Signature:
    """The person, or the account's own name, now. A date keeps its meaning, written in UTC."""
    now_s = int(time.time())
    if person is None:
        return forge.signature(user, now_s)
    date = person.date
    if date is not None and date.tzinfo is None:
        date = date.replace(tzinfo=datetime.UTC)
    return Signature(name=person.name, email=person.email, time_s=int(date.timestamp()) if date else now_s)


@blueprint.post("/repos/<owner>/<name>/git/blobs")
def create_blob(owner: str, name: str) -> Response:
    forge, repo, git = writable(owner, name)
    asked = body(NewBlob)
    try:
        content = base64.b64decode(asked.content) if asked.encoding == "base64" else asked.content.encode()
    except (binascii.Error, ValueError):
        raise invalid("Blob", "content", "content is not valid Base64") from None
    sha = git.write_blob(content)
    shape = blob_json(forge, repo, sha, b"")
    return created({"sha": sha, "url": shape["url"]})


@blueprint.get("/repos/<owner>/<name>/git/blobs/<sha>")
def get_blob(owner: str, name: str, sha: str) -> Response:
    forge, repo, git = readable(owner, name)
    if git.object_type(sha) != "blob":
        raise NOT_FOUND
    return jsonify(blob_json(forge, repo, sha, git.blob(sha)))


@blueprint.post("/repos/<owner>/<name>/git/trees")
def create_tree(owner: str, name: str) -> Response:
    forge, repo, git = writable(owner, name)
    asked = body(NewTree)
    if asked.base_tree is not None and git.object_type(asked.base_tree) not in ("tree", "commit"):
        raise ForgeError(422, "base_tree is not a valid tree oid")
    changes = []
    for change in asked.tree:
        sha = git.write_blob(change.content.encode()) if change.content is not None else change.sha
        kind = "tree" if change.mode == "040000" else "blob"
        if sha is not None and git.object_type(sha) != kind:
            raise ForgeError(422, f"tree.sha {sha} is not a valid {kind}")
        changes.append(Change(path=change.path, mode=change.mode, sha=sha))
    try:
        tree = git.write_tree(changes, base=asked.base_tree)
    except GitError as error:
        raise ForgeError(422, f"tree contains a malformed path or object: {error}") from None
    return created(tree_json(forge, repo, tree, git.tree(tree)))


@blueprint.get("/repos/<owner>/<name>/git/trees/<path:treeish>")
def get_tree(owner: str, name: str, treeish: str) -> Response:
    forge, repo, git = readable(owner, name)
    kind = git.object_type(treeish)
    sha = treeish if kind == "tree" else git.resolve(treeish)
    if sha is None:
        raise NOT_FOUND
    tree = sha if kind == "tree" else git.commit(sha).tree
    return jsonify(tree_json(forge, repo, tree, git.tree(tree, recursive="recursive" in request.args)))


@blueprint.post("/repos/<owner>/<name>/git/commits")
def create_commit(owner: str, name: str) -> Response:
    forge, repo, git = writable(owner, name)
    asked = body(NewCommit)
    if git.object_type(asked.tree) != "tree":
        raise ForgeError(422, "Tree SHA does not exist")
    for parent in asked.parents:
        if git.object_type(parent) != "commit":
            raise ForgeError(422, "Parent SHA does not exist or is not a commit object")
    author = signature(forge, actor().user, asked.author)
    committer = signature(forge, actor().user, asked.committer) if asked.committer else author
    sha = git.write_commit(
        tree=asked.tree, parents=asked.parents, message=asked.message, author=author, committer=committer
    )
    return created(git_commit_json(forge, repo, git.commit(sha)))


@blueprint.get("/repos/<owner>/<name>/git/commits/<sha>")
def get_commit(owner: str, name: str, sha: str) -> Response:
    forge, repo, git = readable(owner, name)
    if git.object_type(sha) != "commit":
        raise NOT_FOUND
    return jsonify(git_commit_json(forge, repo, git.commit(sha)))


# Refs


def _ref_shape(forge: Forge, repo: Repo, git: BareRepository, name: str, sha: str) -> dict[str, object]:
    kind = git.object_type(sha) if name.startswith("refs/tags/") else "commit"
    return ref_json(forge, repo, name, sha, kind=kind or "commit")


@blueprint.get("/repos/<owner>/<name>/git/ref/<path:ref>")
@blueprint.get("/repos/<owner>/<name>/git/refs/<path:ref>")  # a ref's own `url`
def get_ref(owner: str, name: str, ref: str) -> Response:
    forge, repo, git = readable(owner, name)
    full = f"refs/{ref}"
    sha = git.refs(full).get(full)
    if sha is None:
        raise NOT_FOUND
    return jsonify(_ref_shape(forge, repo, git, full, sha))


@blueprint.get("/repos/<owner>/<name>/git/matching-refs/<path:prefix>")
def list_matching_refs(owner: str, name: str, prefix: str) -> Response:
    forge, repo, git = readable(owner, name)
    found = [item for item in git.refs().items() if item[0].startswith(f"refs/{prefix}")]
    return paged(found, lambda item: _ref_shape(forge, repo, git, *item))


@blueprint.post("/repos/<owner>/<name>/git/refs")
def create_ref(owner: str, name: str) -> Response:
    forge, repo, git = writable(owner, name)
    asked = body(NewRef)
    refs.create_ref(forge, actor(), repo, asked.ref, asked.sha)
    return created(_ref_shape(forge, repo, git, asked.ref, asked.sha))


@blueprint.patch("/repos/<owner>/<name>/git/refs/<path:ref>")
def update_ref(owner: str, name: str, ref: str) -> Response:
    forge, repo, git = writable(owner, name)
    asked = body(RefUpdate)
    refs.update_ref(forge, actor(), repo, f"refs/{ref}", asked.sha, force=asked.force)
    return jsonify(_ref_shape(forge, repo, git, f"refs/{ref}", asked.sha))


@blueprint.delete("/repos/<owner>/<name>/git/refs/<path:ref>")
def delete_ref(owner: str, name: str, ref: str) -> Response:
    forge, repo, _ = writable(owner, name)
    refs.delete_ref(forge, actor(), repo, f"refs/{ref}")
    return no_content()
