"""Repositories, their branches and collaborators."""

import json
import sqlite3

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel

from bot.hub.access import NOT_FOUND, permission_of
from bot.hub.api.rest import actor, body, caller, created, open_repo, paged, the_forge
from bot.hub.forge import Forge, ForgeError, invalid
from bot.hub.pulls import protection_of
from bot.hub.records import Repo
from bot.hub.repositories import NAME, change_repo, create_repo, fork_repo
from bot.hub.shapes.git import branch_json, commit_json
from bot.hub.shapes.repositories import Json, full_repository_json, granted, repo_url, user_json

blueprint = Blueprint("repos", __name__)

_NO_NAME = "name may hold letters, digits, dots, hyphens and underscores only"
_TAKEN = "name already exists on this account"


class NewRepo(BaseModel):
    name: str
    description: str | None = None
    private: bool = False
    auto_init: bool = False


@blueprint.post("/user/repos")
def create_user_repo() -> Response:
    forge, asked = the_forge(), body(NewRepo)
    if caller().installation is not None:
        raise ForgeError(403, "Resource not accessible by integration")
    if not NAME.fullmatch(asked.name):
        raise invalid("Repository", "name", _NO_NAME)
    files = {"README.md": f"# {asked.name}\n".encode()} if asked.auto_init else {}
    try:
        repo = create_repo(
            forge,
            actor().user,
            name=asked.name,
            description=asked.description or "",
            private=asked.private,
            default_branch="main",
            files=files,
        )
    except sqlite3.IntegrityError:
        raise invalid("Repository", "name", _TAKEN) from None
    return created(full_repository_json(forge, repo, permission="admin"))


@blueprint.get("/repos/<owner>/<name>")
def get_repo(owner: str, name: str) -> Response:
    (forge, repo), who = open_repo(owner, name, "read"), caller()
    if who.permissions is not None:
        permission = {"write": "write"}.get(who.permissions.get("contents", ""), "read")
    else:
        permission = permission_of(forge, repo, who.actor.user) if who.actor else "read"
    return jsonify(full_repository_json(forge, repo, permission=permission))


class RepoChange(BaseModel):
    name: str | None = None
    description: str | None = None
    default_branch: str | None = None
    allow_merge_commit: bool | None = None


@blueprint.patch("/repos/<owner>/<name>")
def edit_repo(owner: str, name: str) -> Response:
    forge, repo = open_repo(owner, name, "admin", "administration")
    asked = body(RepoChange)
    if asked.default_branch is not None and forge.git(repo).branch(asked.default_branch) is None:
        raise invalid("Repository", "default_branch", "Cannot update default branch: the branch does not exist.")
    if asked.name is not None and not NAME.fullmatch(asked.name):
        raise invalid("Repository", "name", _NO_NAME)
    try:
        changed = change_repo(
            forge,
            repo,
            name=asked.name,
            description=asked.description,
            default_branch=asked.default_branch,
            allow_merge_commit=asked.allow_merge_commit,
        )
    except sqlite3.IntegrityError:
        raise invalid("Repository", "name", _TAKEN) from None
    return jsonify(full_repository_json(forge, changed, permission="admin"))


@blueprint.post("/repos/<owner>/<name>/forks")
def create_fork(owner: str, name: str) -> tuple[Response, int]:
    forge, repo = open_repo(owner, name, "read", "contents")
    if caller().installation is not None:
        raise ForgeError(403, "Resource not accessible by integration")
    if actor().user.id == repo.owner_id:
        raise ForgeError(403, "A repository cannot be forked into the account that owns it.")
    try:
        fork = fork_repo(forge, actor().user, repo)
    except sqlite3.IntegrityError:
        raise invalid("Repository", "name", _TAKEN) from None
    return jsonify(full_repository_json(forge, fork, permission="admin")), 202


@blueprint.get("/repos/<owner>/<name>/collaborators/<login>/permission")
def get_permission(owner: str, name: str, login: str) -> Response:
    forge, repo = open_repo(owner, name, "read", "metadata")
    account = forge.user(login)
    if account is None:
        raise NOT_FOUND
    permission = permission_of(forge, repo, account)
    member = user_json(forge, account) | {"permissions": granted(permission), "role_name": permission}
    return jsonify({"permission": permission, "role_name": permission, "user": member})


@blueprint.get("/repos/<owner>/<name>/branches")
def list_branches(owner: str, name: str) -> Response:
    forge, repo = open_repo(owner, name, "read", "contents")
    tips = forge.git(repo).refs("refs/heads/")

    def shape(item: tuple[str, str]) -> Json:
        ref, sha = item
        tip = {"sha": sha, "url": repo_url(forge, repo, f"/commits/{sha}")}
        return _branch(forge, repo, ref.removeprefix("refs/heads/"), tip)

    return paged(list(tips.items()), shape)


@blueprint.get("/repos/<owner>/<name>/branches/<path:branch>")
def get_branch(owner: str, name: str, branch: str) -> Response:
    forge, repo = open_repo(owner, name, "read", "contents")
    sha = forge.git(repo).branch(branch)
    if sha is None:
        raise ForgeError(404, "Branch not found")
    tip = commit_json(forge, repo, forge.git(repo).commit(sha))
    return jsonify(_branch(forge, repo, branch, tip))


def _branch(forge: Forge, repo: Repo, branch: str, tip: Json) -> Json:
    protection = protection_of(forge, repo, branch)
    checks = json.loads(protection.required_checks_json) if protection else []
    return branch_json(forge, repo, branch, tip, protection, checks)
