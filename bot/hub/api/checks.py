"""Check runs and commit statuses."""

import dataclasses
from typing import Any, Literal

from flask import Blueprint, Response, jsonify, request
from pydantic import AwareDatetime, BaseModel

from bot.hub import checks
from bot.hub.access import NOT_FOUND
from bot.hub.api.rest import actor, body, created, open_repo, paged
from bot.hub.forge import Forge, ForgeError
from bot.hub.records import App, CheckRun, Repo, Status, now_utc, utc
from bot.hub.shapes.checks import check_run_json, status_json
from bot.hub.shapes.repositories import repo_url, repository_json

blueprint = Blueprint("checks", __name__)


class Output(BaseModel):
    title: str | None = None
    summary: str | None = None
    text: str | None = None


class CheckRunEdit(BaseModel):
    name: str | None = None
    details_url: str | None = None
    external_id: str | None = None
    status: str | None = None
    started_at: AwareDatetime | None = None
    conclusion: str | None = None
    completed_at: AwareDatetime | None = None
    output: Output | None = None


class NewCheckRun(CheckRunEdit):
    name: str
    head_sha: str


class NewStatus(BaseModel):
    state: Literal["error", "failure", "pending", "success"]
    target_url: str | None = None
    description: str | None = None
    context: str = "default"


def _changed(run: CheckRun, asked: CheckRunEdit) -> CheckRun:
    """The run with what the request names; a status other than completed takes back an earlier conclusion."""
    changes: dict[str, Any] = {
        name: getattr(asked, name)
        for name in ("name", "details_url", "external_id", "status", "conclusion")
        if getattr(asked, name) is not None
    }
    times = {"started_at": asked.started_at, "completed_at": asked.completed_at}
    changes |= {name: utc(time) for name, time in times.items() if time is not None}
    if asked.status in ("queued", "in_progress") and asked.conclusion is None:
        changes["conclusion"] = None
    if asked.output is not None:
        title = asked.output.title if asked.output.title is not None else run.title
        changes |= {"title": title, "summary": asked.output.summary, "text": asked.output.text}
    return dataclasses.replace(run, **changes)


def _checking_app() -> App:
    """Only apps make check runs, on GitHub as here. Raises ForgeError (403)."""
    app = actor().app
    if app is None:
        raise ForgeError(403, "You must authenticate via a GitHub App.")
    return app


def _the_run(owner: str, name: str, run_id: int, level: str = "read") -> tuple[Forge, Repo, CheckRun]:
    forge, repo = open_repo(owner, name, level, "checks")
    run = forge.store.one(CheckRun, "WHERE id = ? AND repo_id = ?", run_id, repo.id)
    if run is None:
        raise NOT_FOUND
    return forge, repo, run


@blueprint.post("/repos/<owner>/<name>/check-runs")
def create_check_run(owner: str, name: str) -> Response:
    forge, repo = open_repo(owner, name, "write", "checks")
    app, asked = _checking_app(), body(NewCheckRun)
    if forge.git(repo).object_type(asked.head_sha) != "commit":
        raise ForgeError(422, f"No commit found for SHA: {asked.head_sha}")
    blank = CheckRun(
        repo_id=repo.id,
        app_id=app.id,
        name=asked.name,
        head_sha=asked.head_sha,
        external_id="",
        details_url="",
        status="queued",
        conclusion=None,
        started_at=now_utc(),
        completed_at=None,
    )
    run = checks.save_run(forge, actor(), repo, _changed(blank, asked))
    return created(check_run_json(forge, repo, run))


@blueprint.patch("/repos/<owner>/<name>/check-runs/<int:run_id>")
def update_check_run(owner: str, name: str, run_id: int) -> Response:
    forge, repo, _ = _the_run(owner, name, run_id, "write")
    asked = body(CheckRunEdit)
    with forge.store.write():
        run = forge.store.get(CheckRun, run_id)
        if run.app_id != _checking_app().id:
            raise ForgeError(403, f"Invalid app_id `{_checking_app().id}` - check run can only be modified by its app.")
        run = checks.save_run(forge, actor(), repo, _changed(run, asked))
    return jsonify(check_run_json(forge, repo, run))


@blueprint.get("/repos/<owner>/<name>/check-runs/<int:run_id>")
def get_check_run(owner: str, name: str, run_id: int) -> Response:
    return jsonify(check_run_json(*_the_run(owner, name, run_id)))


@blueprint.post("/repos/<owner>/<name>/check-runs/<int:run_id>/rerequest")
def rerequest(owner: str, name: str, run_id: int) -> Response:
    """What a click on "Re-run" does: whoever made the check hears of it."""
    forge, repo, run = _the_run(owner, name, run_id, "write")
    checks.emit_run(forge, "rerequested", actor(), repo, run)
    return created({})


@blueprint.get("/repos/<owner>/<name>/commits/<path:revision>/check-runs")
def list_check_runs(owner: str, name: str, revision: str) -> Response:
    forge, repo, sha = _commit(owner, name, revision, "checks")
    if request.args.get("filter") == "all":
        runs = forge.store.all(CheckRun, "WHERE repo_id = ? AND head_sha = ? ORDER BY id", repo.id, sha)
    else:
        runs = checks.latest_runs(forge, repo, sha)
    wanted = {key: request.args[key] for key in ("status", "app_id") if key in request.args}
    wanted |= {"name": request.args["check_name"]} if "check_name" in request.args else {}
    runs = [run for run in runs if all(str(getattr(run, key)) == value for key, value in wanted.items())]
    return paged(runs, lambda run: check_run_json(forge, repo, run), key="check_runs")


def _commit(owner: str, name: str, revision: str, resource: str) -> tuple[Forge, Repo, str]:
    forge, repo = open_repo(owner, name, "read", resource)
    git = forge.git(repo)
    sha = git.revision(revision)
    if sha is None:
        raise ForgeError(422, f"No commit found for SHA: {revision}")
    return forge, repo, sha


# Statuses


@blueprint.post("/repos/<owner>/<name>/statuses/<sha>")
def create_status(owner: str, name: str, sha: str) -> Response:
    forge, repo = open_repo(owner, name, "write", "statuses")
    asked = body(NewStatus)
    if forge.git(repo).object_type(sha) != "commit":
        raise ForgeError(422, f"No commit found for SHA: {sha}")
    status = forge.store.add(
        Status(
            repo_id=repo.id,
            sha=sha,
            creator_id=actor().user.id,
            state=asked.state,
            context=asked.context,
            description=asked.description or "",
            target_url=asked.target_url or "",
            created_at=now_utc(),
        )
    )
    return created(status_json(forge, repo, status))


@blueprint.get("/repos/<owner>/<name>/commits/<path:revision>/status")
def get_combined_status(owner: str, name: str, revision: str) -> Response:
    forge, repo, sha = _commit(owner, name, revision, "statuses")
    latest = checks.latest_statuses(forge, repo, sha)
    url = repo_url(forge, repo, f"/commits/{sha}")
    return jsonify(
        {
            "state": checks.combined_state(latest),
            "statuses": [status_json(forge, repo, status) for status in latest],
            "sha": sha,
            "total_count": len(latest),
            "repository": repository_json(forge, repo),
            "commit_url": url,
            "url": f"{url}/status",
        }
    )
