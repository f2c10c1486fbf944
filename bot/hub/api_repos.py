"""Repositories, their branches and collaborators."""

import json
import sqlite3

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel

from bot.hub import shapes, shapes_git
from bot.hub.access import NOT_FOUND, permission_of, require
from bot.hub.forge import Forge, ForgeError, invalid
from bot.hub.pulls import protection_of
from bot.hub.records import Repo
from bot.hub.repositories import NAME, create_repo, fork_repo
from bot.hub.rest import actor, body, caller, created, paged, the_forge, the_repo
from bot.hub.shapes import Json

blueprint = Blueprint("repos", __name__)


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
        raise invalid("Repository", "name", "name may hold letters, digits, dots, hyphens and underscores only")
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
        raise invalid("Repository", "name", "name already exists on this account") from None
    return created(shapes.full_repository(forge, repo, permission="admin"))


@blueprint.get("/repos/<owner>/<name>")
def get_repo(owner: str, name: str) -> Response:
    repo, who = the_repo(owner, name), caller()
    if who.permissions is not None:
        permission = {"write": "write"}.get(who.permissions.get("contents", ""), "read")
    else:
        permission = permission_of(the_forge(), repo, who.actor.user) if who.actor else "read"
    return jsonify(shapes.full_repository(the_forge(), repo, permission=permission))


@blueprint.post("/repos/<owner>/<name>/forks")
def create_fork(owner: str, name: str) -> tuple[Response, int]:
    forge, repo = the_forge(), the_repo(owner, name)
    if actor().user.id == repo.owner_id:
        raise ForgeError(403, "A repository cannot be forked into the account that owns it.")
    fork = fork_repo(forge, actor().user, repo)
    return jsonify(shapes.full_repository(forge, fork, permission="admin")), 202


@blueprint.get("/repos/<owner>/<name>/collaborators/<login>/permission")
def get_permission(owner: str, name: str, login: str) -> Response:
    forge, repo = the_forge(), the_repo(owner, name)
    require(forge, caller(), repo, "read", "metadata")
    account = forge.user(login)
    if account is None:
        raise NOT_FOUND
    permission = permission_of(forge, repo, account)
    flags = {
        "pull": permission != "none",
        "triage": permission in ("write", "admin"),
        "push": permission in ("write", "admin"),
        "maintain": permission == "admin",
        "admin": permission == "admin",
    }
    member = shapes.user(forge, account) | {"permissions": flags, "role_name": permission}
    return jsonify({"permission": permission, "role_name": permission, "user": member})


@blueprint.get("/repos/<owner>/<name>/branches")
def list_branches(owner: str, name: str) -> Response:
    forge, repo = the_forge(), the_repo(owner, name)
    tips = forge.git(repo).refs("refs/heads/")

    def shape(item: tuple[str, str]) -> Json:
        ref, sha = item
        tip = {"sha": sha, "url": shapes.repo_url(forge, repo, f"/commits/{sha}")}
        return _branch(forge, repo, ref.removeprefix("refs/heads/"), tip)

    return paged(list(tips.items()), shape)


@blueprint.get("/repos/<owner>/<name>/branches/<path:branch>")
def get_branch(owner: str, name: str, branch: str) -> Response:
    forge, repo = the_forge(), the_repo(owner, name)
    sha = forge.git(repo).branch(branch)
    if sha is None:
        raise ForgeError(404, "Branch not found")
    tip = shapes_git.commit(forge, repo, forge.git(repo).commit(sha))
    return jsonify(_branch(forge, repo, branch, tip))


def _branch(forge: Forge, repo: Repo, branch: str, tip: Json) -> Json:
    protection = protection_of(forge, repo, branch)
    checks = json.loads(protection.required_checks_json) if protection else []
    return shapes_git.branch(forge, repo, branch, tip, protection, checks)


@blueprint.get("/repos/<owner>/<name>/branches/<path:branch>/protection")
def get_protection(owner: str, name: str, branch: str) -> Response:
    forge, repo = the_forge(), the_repo(owner, name)
    require(forge, caller(), repo, "read", "administration")
    protection = protection_of(forge, repo, branch)
    if protection is None:
        raise ForgeError(404, "Branch not protected")
    checks = json.loads(protection.required_checks_json)
    return jsonify(shapes_git.protection(forge, repo, protection, checks))
