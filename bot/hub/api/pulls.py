"""Pull requests."""

from typing import Literal

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel

from bot.hub import pulls, threads
from bot.hub.access import NOT_FOUND, require_own, require_participation
from bot.hub.api.rest import actor, body, caller, created, no_content, open_repo, paged
from bot.hub.forge import Forge
from bot.hub.git import merging
from bot.hub.git.diff import diff_commits
from bot.hub.records import Issue, Pull, Repo
from bot.hub.shapes.git import commit_json, file_diff_json
from bot.hub.shapes.threads import pull_summary_json

blueprint = Blueprint("pulls", __name__)


class NewPull(BaseModel):
    title: str
    head: str
    base: str
    body: str | None = None
    draft: bool = False


class PullEdit(BaseModel):
    title: str | None = None
    body: str | None = None
    state: Literal["open", "closed"] | None = None


class MergeRequest(BaseModel):
    sha: str = ""
    merge_method: Literal["merge", "squash", "rebase"] = "merge"
    commit_title: str | None = None
    commit_message: str | None = None


class BranchUpdate(BaseModel):
    expected_head_sha: str = ""


def the_pull(
    owner: str, name: str, number: int, level: str = "read", resource: str = "pull_requests"
) -> tuple[Forge, Repo, Issue, Pull]:
    forge, repo = open_repo(owner, name, level, resource)
    issue = forge.issue(repo, number)
    pull = pulls.pull_of(forge, issue) if issue else None
    if issue is None or pull is None:
        raise NOT_FOUND
    return forge, repo, issue, pull


@blueprint.get("/repos/<owner>/<name>/pulls")
def list_pulls(owner: str, name: str) -> Response:
    forge, repo = open_repo(owner, name, "read", "pull_requests")
    way = "ASC" if request.args.get("direction") == "asc" else "DESC"
    order = "updated_at" if request.args.get("sort") == "updated" else "created_at"
    clause = f"JOIN issue ON issue.id = issue_id WHERE pull.repo_id = ? AND ? IN (state, 'all') ORDER BY {order} {way}"
    found = forge.store.all(Pull, f"{clause}, number {way}", repo.id, request.args.get("state", "open"))
    base, head = request.args.get("base"), request.args.get("head")
    if base:
        found = [pull for pull in found if pull.base_ref == base]
    if head and ":" in head:  # GitHub ignores a head without its owner
        owner_login, _, ref = head.partition(":")
        found = [pull for pull in found if pull.head_ref == ref and _head_owner(forge, pull) == owner_login.lower()]
    return paged(found, lambda pull: pull_summary_json(forge, repo, pull))


def _head_owner(forge: Forge, pull: Pull) -> str:
    return forge.owner(forge.store.get(Repo, pull.head_repo_id)).login.lower()


@blueprint.post("/repos/<owner>/<name>/pulls")
def create_pull(owner: str, name: str) -> Response:
    forge, repo = open_repo(owner, name, "read", "pull_requests")
    asked = body(NewPull)
    who = require_participation(forge, caller(), repo, "pull_requests")
    pull = pulls.open_pull(
        forge,
        who,
        repo,
        head=asked.head,
        base=asked.base,
        title=asked.title,
        body=asked.body or "",
        draft=asked.draft,
    )
    return created(pulls.shape(forge, repo, pull))


@blueprint.get("/repos/<owner>/<name>/pulls/<int:number>")
def get_pull(owner: str, name: str, number: int) -> Response:
    forge, repo, _, pull = the_pull(owner, name, number)
    return jsonify(pulls.shape(forge, repo, pull))


@blueprint.patch("/repos/<owner>/<name>/pulls/<int:number>")
def edit_pull(owner: str, name: str, number: int) -> Response:
    forge, repo, issue, pull = the_pull(owner, name, number)
    asked = body(PullEdit)
    who = require_own(forge, caller(), repo, issue.user_id, "pull_requests")
    text = (asked.body or "") if "body" in asked.model_fields_set else None
    threads.edit(forge, who, repo, issue, title=asked.title, body=text, state=asked.state)
    return jsonify(pulls.shape(forge, repo, forge.store.get(Pull, pull.id)))


@blueprint.get("/repos/<owner>/<name>/pulls/<int:number>/files")
def list_files(owner: str, name: str, number: int) -> Response:
    forge, repo, _, pull = the_pull(owner, name, number)
    git = forge.git(repo)
    start = git.merge_base(pull.base_sha, pull.head_sha) or pull.base_sha
    files = diff_commits(git, start, pull.head_sha)
    return paged(files, lambda file: file_diff_json(forge, repo, pull.head_sha, file))


@blueprint.get("/repos/<owner>/<name>/pulls/<int:number>/commits")
def list_commits(owner: str, name: str, number: int) -> Response:
    forge, repo, _, pull = the_pull(owner, name, number)
    found = forge.git(repo).commits(pull.head_sha, exclude=pull.base_sha, limit=250)[::-1]
    return paged(found, lambda commit: commit_json(forge, repo, commit))


# Merging


@blueprint.get("/repos/<owner>/<name>/pulls/<int:number>/merge")
def is_merged(owner: str, name: str, number: int) -> Response:
    _, _, _, pull = the_pull(owner, name, number)
    if pull.merged_at is None:
        raise NOT_FOUND
    return no_content()


@blueprint.put("/repos/<owner>/<name>/pulls/<int:number>/merge")
def merge_pull(owner: str, name: str, number: int) -> Response:
    forge, repo, _, pull = the_pull(owner, name, number, "write", "contents")
    asked = body(MergeRequest)
    sha = merging.merge(
        forge,
        actor(),
        repo,
        pull.id,
        expected_head_sha=asked.sha,
        method=asked.merge_method,
        title=asked.commit_title,
        message=asked.commit_message,
    )
    return jsonify({"sha": sha, "merged": True, "message": "Pull Request successfully merged"})


@blueprint.put("/repos/<owner>/<name>/pulls/<int:number>/update-branch")
def update_branch(owner: str, name: str, number: int) -> tuple[Response, int]:
    forge, repo, _, pull = the_pull(owner, name, number, "write", "contents")
    merging.update_branch(forge, actor(), repo, pull.id, expected_head_sha=body(BranchUpdate).expected_head_sha)
    url = pull_summary_json(forge, repo, pull)["html_url"]
    return jsonify({"message": "Updating pull request branch.", "url": url}), 202
