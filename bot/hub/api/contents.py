"""Files at a revision, and history."""

import base64
import binascii
import time

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel

from bot.hub.access import NOT_FOUND
from bot.hub.api.git import Person, readable, signature, writable
from bot.hub.api.rest import actor, body, page_bounds
from bot.hub.forge import Forge, ForgeError, invalid
from bot.hub.git.bare import EMPTY_TREE, NO_SHA, BareRepository, Change, Commit, Entry, RefMovedError
from bot.hub.git.command import GitError
from bot.hub.git.diff import diff_commits
from bot.hub.git.refs import record_pushes
from bot.hub.pulls import protection_of
from bot.hub.records import Repo
from bot.hub.shapes.git import commit_json, contents_json, file_diff_json, git_commit_json
from bot.hub.shapes.repositories import Json, html_url, repo_url

blueprint = Blueprint("contents", __name__)


class FileWrite(BaseModel):
    message: str
    content: str  # Base64
    sha: str | None = None  # of the blob that it replaces
    branch: str | None = None
    author: Person | None = None
    committer: Person | None = None


def _revision(repo: Repo, git: BareRepository, name: str | None) -> str:
    """The commit named by ?ref, a branch first as on GitHub. Raises ForgeError (404)."""
    wanted = name or repo.default_branch
    sha = git.revision(wanted)
    if sha is None:
        raise ForgeError(404, f"No commit found for the ref {wanted}" if name else "This repository is empty.")
    return sha


@blueprint.get("/repos/<owner>/<name>/contents/")
@blueprint.get("/repos/<owner>/<name>/contents/<path:path>")
def get_contents(owner: str, name: str, path: str = "") -> Response:
    """A file with its content, or the entries of a directory."""
    forge, repo, git = readable(owner, name)
    ref = request.args.get("ref") or repo.default_branch
    sha, path = _revision(repo, git, request.args.get("ref")), path.strip("/")
    entry = git.entry(sha, path) if path else None
    if entry is not None and entry.type != "tree":
        return jsonify(_file(forge, repo, git, ref, entry))
    if path and entry is None:
        raise NOT_FOUND
    inside = git.tree(sha, path=f"{path}/" if path else "")
    return jsonify([contents_json(forge, repo, ref, one) for one in inside])


def _file(forge: Forge, repo: Repo, git: BareRepository, ref: str, entry: Entry) -> Json:
    content = git.blob(entry.sha) if entry.type == "blob" else b""
    shape = contents_json(forge, repo, ref, entry)
    if len(content) > 1_000_000:  # GitHub leaves larger files to the blob endpoint
        return shape | {"encoding": "none", "content": ""}
    return shape | {"encoding": "base64", "content": base64.encodebytes(content).decode()}


@blueprint.put("/repos/<owner>/<name>/contents/<path:path>")
def write_file(owner: str, name: str, path: str) -> Response:
    forge, repo, git = writable(owner, name)
    asked = body(FileWrite)
    try:
        content = base64.b64decode(asked.content)
    except (binascii.Error, ValueError):
        raise invalid("Contents", "content", "content is not valid Base64") from None
    blob = git.write_blob(content)
    people = (asked.author, asked.committer)
    commit, existed = _commit_change(forge, repo, asked.branch, path, blob, asked.sha, asked.message, people)
    entry = git.entry(commit.sha, path)
    shape = contents_json(forge, repo, asked.branch or repo.default_branch, entry) if entry else None
    response = jsonify({"content": shape, "commit": git_commit_json(forge, repo, commit)})
    response.status_code = 200 if existed else 201
    return response


def _commit_change(
    forge: Forge,
    repo: Repo,
    branch: str | None,
    path: str,
    blob: str | None,
    expected: str | None,
    message: str,
    people: tuple[Person | None, Person | None],
) -> tuple[Commit, bool]:
    """One commit on the branch that sets or removes a file. `expected` is the blob it must find there."""
    name = branch or repo.default_branch
    with forge.lock(repo) as git:
        tip = git.branch(name)
        if tip is None and git.refs("refs/heads/"):
            raise ForgeError(404, f"Branch {name} not found")
        protection = protection_of(forge, repo, name)
        if protection is not None and protection.require_pull:
            raise ForgeError(409, "Repository rule violations found\n\nChanges must be made through a pull request.")
        found = git.entry(tip, path) if tip else None
        if found is not None and expected is None:
            raise ForgeError(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
        if (found.sha if found else None) != expected:
            raise ForgeError(409, f"{path} does not match {expected}")
        try:
            tree = git.write_tree([Change(path=path, sha=blob)], base=tip)
        except GitError as error:
            raise ForgeError(422, f"path contains a malformed path component: {error}") from None
        user = actor().user
        author = signature(forge, user, people[0])
        committer = signature(forge, user, people[1]) if people[1] else forge.signature(user, int(time.time()))
        sha = git.write_commit(
            tree=tree, parents=[tip] if tip else [], message=message, author=author, committer=committer
        )
        try:
            git.update_ref(f"refs/heads/{name}", new=sha, old=tip or NO_SHA)
        except RefMovedError:
            raise ForgeError(409, f"is at another commit but expected {tip}") from None
        record_pushes(forge, actor(), repo)
        return git.commit(sha), found is not None


# History


@blueprint.get("/repos/<owner>/<name>/commits")
def list_commits(owner: str, name: str) -> Response:
    forge, repo, git = readable(owner, name)
    sha = _revision(repo, git, request.args.get("sha"))
    page, per_page, start = page_bounds()
    found = git.commits(sha, path=request.args.get("path", ""), skip=start, limit=per_page + 1)
    response = jsonify([commit_json(forge, repo, one) for one in found[:per_page]])
    if len(found) > per_page:
        url = f"{repo_url(forge, repo, '/commits')}?sha={sha}&per_page={per_page}&page={page + 1}"
        response.headers["Link"] = f'<{url}>; rel="next"'
    return response


@blueprint.get("/repos/<owner>/<name>/commits/<path:revision>")
def get_commit(owner: str, name: str, revision: str) -> Response:
    forge, repo, git = readable(owner, name)
    sha = git.revision(revision)
    if sha is None:
        raise ForgeError(422, f"No commit found for SHA: {revision}")
    commit = git.commit(sha)
    parent = commit.parents[0] if commit.parents else EMPTY_TREE
    files = diff_commits(git, parent, sha)
    stats = {"additions": sum(file.additions for file in files), "deletions": sum(file.deletions for file in files)}
    return jsonify(
        commit_json(forge, repo, commit)
        | {
            "stats": stats | {"total": sum(stats.values())},
            "files": [file_diff_json(forge, repo, sha, file) for file in files],
        }
    )


@blueprint.get("/repos/<owner>/<name>/compare/<path:span>")
def compare(owner: str, name: str, span: str) -> Response:
    forge, repo, git = readable(owner, name)
    base_name, dots, head_name = span.partition("...")
    base, head = (git.revision(part) for part in (base_name, head_name))
    merge_base = git.merge_base(base, head) if base and head else None
    if not dots or base is None or head is None or merge_base is None:
        raise NOT_FOUND
    ahead, behind = git.ahead_behind(base, head)
    status = {(True, True): "diverged", (True, False): "ahead", (False, True): "behind"}
    url, page = repo_url(forge, repo, f"/compare/{span}"), html_url(forge, repo, f"/compare/{span}")
    return jsonify(
        {
            "url": url,
            "html_url": page,
            "permalink_url": html_url(forge, repo, f"/compare/{base}...{head}"),
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "base_commit": commit_json(forge, repo, git.commit(base)),
            "merge_base_commit": commit_json(forge, repo, git.commit(merge_base)),
            "status": status.get((ahead > 0, behind > 0), "identical"),
            "ahead_by": ahead,
            "behind_by": behind,
            "total_commits": ahead,
            "commits": [commit_json(forge, repo, one) for one in git.commits(head, exclude=base, limit=250)[::-1]],
            "files": [file_diff_json(forge, repo, head, file) for file in diff_commits(git, merge_base, head)[:300]],
        }
    )
