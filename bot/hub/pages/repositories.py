"""Pages to read the forge on, and to comment: repositories, files, commits, issues and pull requests. No JavaScript."""

import datetime
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, current_app, render_template, request
from werkzeug.exceptions import NotFound

from bot.hub.access import Caller, may
from bot.hub.api.rest import the_forge
from bot.hub.forge import Actor, Forge, ForgeError
from bot.hub.git.bare import EMPTY_TREE, BareRepository, Commit, Entry
from bot.hub.git.diff import diff_commits
from bot.hub.pages.markdown import render_diff, render_markdown
from bot.hub.records import Issue, Repo

blueprint = Blueprint("pages", __name__)

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_TEXT_LIMIT = 400_000  # bytes of a file that are shown
_COMMITS = 50  # a page of history


@blueprint.after_request
def secure(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", POLICY)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    return response


@blueprint.app_template_filter("ago")
def ago(when: str) -> str:
    """How long ago an ISO 8601 time was, in words."""
    then = datetime.datetime.fromisoformat(when)
    seconds = (datetime.datetime.now(datetime.UTC) - then).total_seconds()
    if seconds < 45:
        return "just now"
    for size, name, until in ((60, "minute", 3600), (3600, "hour", 86_400), (86_400, "day", 30 * 86_400)):
        if seconds < until:
            count = max(1, round(seconds / size))
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return f"on {then:%-d %b %Y}"


@blueprint.app_template_filter("ink")
def ink(colour: str) -> str:
    """Black or white, whichever reads better on a label's hex colour (ITU-R BT.601 luma)."""
    try:
        red, green, blue = (int(colour[i : i + 2], 16) for i in (0, 2, 4))
    except ValueError:
        return "dark"
    return "dark" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "light"


blueprint.add_app_template_filter(render_markdown, "markdown")
blueprint.add_app_template_filter(render_diff, "diff")


def visitor(forge: Forge) -> Caller:
    """Who a browser acts as: the visitor that the hub was started with, or nobody.

    Nobody under another name than the hub's own: any site can let its own name lead here, and read what is shown.
    """
    login = current_app.config["VISITOR"] if request.host == urlsplit(forge.base_url).netloc else None
    user = forge.user(login) if login else None
    return Caller(actor=Actor(user=user)) if user else Caller()


def require_same_origin(forge: Forge) -> None:
    """A form elsewhere must not speak as the visitor: the browser names the page's origin, and we require ours."""
    if request.headers.get("Origin") != forge.base_url:
        abort(403, f"Open the hub at {forge.base_url} and send it from there.")


def signed_in(forge: Forge) -> Actor:
    """The visitor as somebody who acts."""
    actor = visitor(forge).actor
    if actor is None and current_app.config["VISITOR"]:
        abort(403, f"Open the hub at {forge.base_url}.")
    if actor is None:
        abort(403, "Nobody is signed in: start the hub with --visitor LOGIN.")
    return actor


def open_repo(owner: str, name: str) -> tuple[Forge, Repo, BareRepository]:
    forge = the_forge()
    repo = forge.repo(owner, name) or forge.moved(owner, name)
    if repo is None or not may(forge, visitor(forge), repo, "read", "metadata"):
        abort(404)
    return forge, repo, forge.git(repo)


def render(template: str, repo: Repo | None = None, **values: Any) -> str:
    forge = the_forge()
    actor = visitor(forge).actor
    counts = {}
    if repo is not None:
        is_pull = "id IN (SELECT issue_id FROM pull)"
        where = "WHERE repo_id = ? AND state = 'open' AND"
        counts["pulls"] = forge.store.count(Issue, f"{where} {is_pull}", repo.id)
        counts["issues"] = forge.store.count(Issue, f"{where} NOT {is_pull}", repo.id)
        values |= {"repo": repo, "full_name": forge.full_name(repo), "counts": counts}
    return render_template(template, visitor=actor.user if actor else None, base_url=forge.base_url, **values)


# Repositories


@blueprint.get("/")
def home() -> str:
    forge = the_forge()
    caller = visitor(forge)
    repos = [r for r in forge.store.all(Repo, "ORDER BY pushed_at DESC") if may(forge, caller, r, "read", "metadata")]
    return render("home.html", repos=[(repo, forge.full_name(repo), _latest(forge, repo)) for repo in repos])


def _latest(forge: Forge, repo: Repo) -> Commit | None:
    git = forge.git(repo)
    tip = git.branch(repo.default_branch)
    return git.commit(tip) if tip else None


@blueprint.get("/<owner>/<name>")
def repository(owner: str, name: str) -> str:
    _, repo, git = open_repo(owner, name)
    return _tree_page(repo, git, repo.default_branch, "")


@blueprint.get("/<owner>/<name>/tree/<path:target>")
def tree(owner: str, name: str, target: str) -> str:
    _, repo, git = open_repo(owner, name)
    revision, path = _split(git, target)
    return _tree_page(repo, git, revision, path)


def _split(git: BareRepository, target: str) -> tuple[str, str]:
    """A branch name may hold slashes: the longest prefix of `target` that names a commit is the revision."""
    parts = target.strip("/").split("/")
    for length in range(len(parts), 0, -1):
        revision = "/".join(parts[:length])
        if git.revision(revision):
            return revision, "/".join(parts[length:])
    raise NotFound


def _tree_page(repo: Repo, git: BareRepository, revision: str, path: str) -> str:
    sha = git.revision(revision)
    entries = git.tree(sha, path=f"{path}/" if path else "") if sha else []
    if path and not entries:
        abort(404)
    entries = [replace(one, path=one.path.encode(errors="replace").decode()) for one in entries]  # may be no text
    entries.sort(key=lambda entry: (entry.type != "tree", entry.path.lower()))
    readme = next((e for e in entries if e.path.rpartition("/")[2].lower() == "readme.md" and e.type == "blob"), None)
    return render(
        "tree.html",
        repo,
        revision=revision,
        path=path,
        entries=entries,
        readme=git.blob(readme.sha)[:_TEXT_LIMIT].decode(errors="replace") if readme else None,
        recent=git.commits(sha, limit=8) if sha else [],
        branches=[ref.removeprefix("refs/heads/") for ref in git.refs("refs/heads/")],
    )


def _file(git: BareRepository, target: str) -> tuple[str, Entry, bytes]:
    """The revision, the file and its content."""
    revision, path = _split(git, target)
    entry = git.entry(git.revision(revision) or "", path) if path else None
    if entry is None or entry.type != "blob":
        abort(404)
    return revision, entry, git.blob(entry.sha)


@blueprint.get("/<owner>/<name>/blob/<path:target>")
def blob(owner: str, name: str, target: str) -> str:
    _, repo, git = open_repo(owner, name)
    revision, entry, content = _file(git, target)
    text = None if b"\0" in content or len(content) > _TEXT_LIMIT else content.decode(errors="replace")
    return render("blob.html", repo, revision=revision, path=entry.path, entry=entry, text=text)


@blueprint.get("/<owner>/<name>/raw/<path:target>")
def raw(owner: str, name: str, target: str) -> Response:
    """Always as plain text or a download: never as a page of this origin."""
    _, _, git = open_repo(owner, name)
    _, _, content = _file(git, target)
    return Response(content, mimetype="application/octet-stream" if b"\0" in content else "text/plain")


@blueprint.get("/<owner>/<name>/commits/<path:revision>")
def commits(owner: str, name: str, revision: str) -> str:
    _, repo, git = open_repo(owner, name)
    sha = git.revision(revision)
    if sha is None:
        abort(404)
    page = max(request.args.get("page", 1, type=int), 1)
    found = git.commits(sha, skip=(page - 1) * _COMMITS, limit=_COMMITS + 1)
    more = len(found) > _COMMITS
    return render("commits.html", repo, revision=revision, commits=found[:_COMMITS], page=page, more=more)


@blueprint.get("/<owner>/<name>/commit/<sha>")
def commit(owner: str, name: str, sha: str) -> str:
    _, repo, git = open_repo(owner, name)
    full = git.resolve(sha)
    if full is None:
        abort(404)
    found = git.commit(full)
    files = diff_commits(git, found.parents[0] if found.parents else EMPTY_TREE, full)
    return render("commit.html", repo, commit=found, files=files)


@blueprint.errorhandler(404)
@blueprint.errorhandler(403)
def http_error(error: Any) -> tuple[str, int]:
    return render("error.html", title=error.name, message=error.description), error.code


@blueprint.errorhandler(ForgeError)
def forge_error(error: ForgeError) -> tuple[str, int]:
    details = "; ".join(problem.get("message", "") or problem.get("code", "") for problem in error.errors)
    return render("error.html", title=error.message, message=details), error.status
