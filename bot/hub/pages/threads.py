"""Pages of conversations: issues, pull requests and checks, and the forms to speak in them."""

from typing import Any

from flask import abort, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from bot.hub import checks, pulls, threads
from bot.hub.api.rest import the_forge
from bot.hub.forge import Forge
from bot.hub.git.diff import diff_commits
from bot.hub.pages.repositories import blueprint, open_repo, render, require_same_origin, signed_in
from bot.hub.records import App, CheckRun, Comment, Issue, Pull, Reaction, Repo, Review, User

__all__ = ["blueprint"]  # the pages' own, with more on it

_REFRESH_S = 5


@blueprint.get("/<owner>/<name>/issues")
def issues(owner: str, name: str) -> str:
    _, repo, _ = open_repo(owner, name)
    return _thread_list(repo, "issues")


@blueprint.get("/<owner>/<name>/pulls")
def pull_list(owner: str, name: str) -> str:
    _, repo, _ = open_repo(owner, name)
    return _thread_list(repo, "pulls")


def _thread_list(repo: Repo, kind: str) -> str:
    forge = the_forge()
    wanted = "closed" if request.args.get("state") == "closed" else "open"
    clause = "WHERE repo_id = ? AND ? = EXISTS (SELECT 1 FROM pull WHERE issue_id = issue.id) ORDER BY number DESC"
    found = forge.store.all(Issue, clause, repo.id, kind == "pulls")
    counts = {state: sum(issue.state == state for issue in found) for state in ("open", "closed")}
    rows = [
        {
            "issue": issue,
            "author": forge.store.get(User, issue.user_id),
            "labels": forge.labels(issue),
            "pull": pulls.pull_of(forge, issue),
            "comments": forge.store.count(Comment, "WHERE issue_id = ?", issue.id),
        }
        for issue in found
        if issue.state == wanted
    ][:200]
    return render("threads.html", repo, kind=kind, rows=rows, state=wanted, state_counts=counts)


@blueprint.get("/<owner>/<name>/issues/<int:number>")
def issue(owner: str, name: str, number: int) -> str | BaseResponse:
    forge, repo, _ = open_repo(owner, name)
    found = forge.issue(repo, number)
    if found is None:
        abort(404)
    if pulls.pull_of(forge, found) is not None:
        return redirect(f"/{forge.full_name(repo)}/pull/{number}")
    return render("thread.html", repo, pull=None, **_thread(forge, found))


def _thread(forge: Forge, found: Issue) -> dict[str, Any]:
    posts = [_post(forge, "issue", found.id, found, anchor=f"issue-{found.id}")]
    for comment in forge.store.all(Comment, "WHERE issue_id = ? ORDER BY id", found.id):
        posts.append(_post(forge, "comment", comment.id, comment, anchor=f"issuecomment-{comment.id}"))
    return {"issue": found, "posts": posts, "labels": forge.labels(found)}


def _post(forge: Forge, subject: str, row_id: int, record: Issue | Comment, *, anchor: str) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for reaction in forge.store.all(Reaction, "WHERE subject = ? AND subject_id = ?", subject, row_id):
        counts[reaction.content] = counts.get(reaction.content, 0) + 1
    author = forge.store.get(User, record.user_id)
    edited = record.updated_at != record.created_at and subject == "comment"
    return {"anchor": anchor, "author": author, "body": record.body, "created_at": record.created_at,
            "edited": edited, "reactions": counts}  # fmt: skip


@blueprint.get("/<owner>/<name>/pull/<int:number>")
def pull(owner: str, name: str, number: int) -> str:
    forge, repo, git = open_repo(owner, name)
    found = forge.issue(repo, number)
    record = pulls.pull_of(forge, found) if found else None
    if found is None or record is None:
        abort(404)
    start = git.merge_base(record.base_sha, record.head_sha) or record.base_sha
    runs = checks.latest_runs(forge, repo, record.head_sha)
    running = any(run.status != "completed" for run in runs)
    mergeable, mergeable_state = pulls.mergeability(forge, repo, record)
    return render(
        "thread.html",
        repo,
        pull=record,
        runs=[(run, forge.store.get(App, run.app_id)) for run in runs],
        statuses=checks.latest_statuses(forge, repo, record.head_sha),
        reviews=_reviews(forge, found),
        commits=git.commits(record.head_sha, exclude=record.base_sha, limit=250)[::-1],
        files=diff_commits(git, start, record.head_sha),
        head_owner=_head_owner(forge, repo, record),
        merged_by=forge.store.get(User, record.merged_by_id) if record.merged_by_id else None,
        mergeable=mergeable,
        mergeable_state=mergeable_state,
        refresh_s=_REFRESH_S if running and "comment" not in request.args else None,  # never while somebody writes
        **_thread(forge, found),
    )


def _reviews(forge: Forge, issue: Issue) -> list[tuple[Review, User]]:
    found = forge.store.all(Review, "WHERE issue_id = ? ORDER BY id", issue.id)
    return [(review, forge.store.get(User, review.user_id)) for review in found]


def _head_owner(forge: Forge, repo: Repo, record: Pull) -> str:
    """Named only when the head is another account's."""
    if record.head_repo_id == repo.id:
        return ""
    return forge.owner(forge.store.get(Repo, record.head_repo_id)).login


@blueprint.get("/<owner>/<name>/runs/<int:run_id>")
def check_run(owner: str, name: str, run_id: int) -> str:
    forge, repo, _ = open_repo(owner, name)
    run = forge.store.one(CheckRun, "WHERE id = ? AND repo_id = ?", run_id, repo.id)
    if run is None:
        abort(404)
    refresh_s = _REFRESH_S if run.status != "completed" else None
    return render("run.html", repo, run=run, app=forge.store.get(App, run.app_id), refresh_s=refresh_s)


@blueprint.post("/<owner>/<name>/issues/<int:number>")
def add_comment(owner: str, name: str, number: int) -> BaseResponse:
    forge, repo, _ = open_repo(owner, name)
    require_same_origin(forge)
    found = forge.issue(repo, number)
    if found is None:
        abort(404)
    comment = threads.add_comment(
        forge, signed_in(forge), repo, found, request.form.get("body", "").replace("\r\n", "\n")
    )
    return redirect(f"/{forge.full_name(repo)}/issues/{number}#issuecomment-{comment.id}", 303)


@blueprint.get("/<owner>/<name>/issues/new")
def new_issue(owner: str, name: str) -> str:
    _, repo, _ = open_repo(owner, name)
    return render("new_issue.html", repo)


@blueprint.post("/<owner>/<name>/issues")
def open_issue(owner: str, name: str) -> BaseResponse:
    forge, repo, _ = open_repo(owner, name)
    require_same_origin(forge)
    actor, body = signed_in(forge), request.form.get("body", "").replace("\r\n", "\n")
    found = threads.open_issue(forge, actor, repo, title=request.form.get("title", ""), body=body, labels=[])
    return redirect(f"/{forge.full_name(repo)}/issues/{found.number}", 303)
