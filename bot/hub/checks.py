"""Check runs and commit statuses."""

import dataclasses
from typing import Any

from bot.hub.forge import Actor, Forge, invalid
from bot.hub.hooks import emit
from bot.hub.records import CheckRun, Repo, Status, now_utc
from bot.hub.shapes.checks import check_run_event_json

_TEXT_LIMIT = 65_535  # characters, of summary and of text
_CONCLUSIONS = ("success", "failure", "neutral", "cancelled", "skipped", "timed_out", "action_required", "stale")


def save_run(forge: Forge, actor: Actor, repo: Repo, run: CheckRun) -> CheckRun:
    """Store a new or changed check run. Raises ForgeError."""
    _require_valid(run)
    completed = run.conclusion is not None
    run = dataclasses.replace(
        run,
        status="completed" if completed else run.status,
        completed_at=(run.completed_at or now_utc()) if completed else None,
    )
    with forge.store.write():
        before = forge.store.get(CheckRun, run.id) if run.id else None
        run = forge.store.save(run) if before else forge.store.add(run)
        if before is None:
            emit_run(forge, "created", actor, repo, run)
        if completed and (before is None or before.conclusion != run.conclusion):
            emit_run(forge, "completed", actor, repo, run)
    return run


def emit_run(
    forge: Forge, action: str, actor: Actor, repo: Repo, run: CheckRun, extra: dict[str, Any] | None = None
) -> None:
    payload = {"check_run": check_run_event_json(forge, repo, run)} | (extra or {})
    emit(forge, "check_run", action, actor=actor, repo=repo, payload=payload)


def _require_valid(run: CheckRun) -> None:
    if run.status not in ("queued", "in_progress", "completed"):
        raise invalid("CheckRun", "status", code="invalid")
    if run.conclusion is not None and run.conclusion not in _CONCLUSIONS:
        raise invalid("CheckRun", "conclusion", code="invalid")
    if run.status == "completed" and run.conclusion is None:
        raise invalid("CheckRun", "conclusion", "conclusion is required when the status is completed")
    for field, text in (("summary", run.summary), ("text", run.text)):
        if text is not None and len(text) > _TEXT_LIMIT:
            raise invalid("CheckRun", f"output.{field}", f"{field} exceeds a maximum of {_TEXT_LIMIT} characters")
    if (run.title is None) != (run.summary is None):
        raise invalid("CheckRun", "output", "output needs both a title and a summary")


def latest_runs(forge: Forge, repo: Repo, sha: str) -> list[CheckRun]:
    """The newest check run of each app and name on the commit, in the order of their names."""
    runs = forge.store.all(CheckRun, "WHERE repo_id = ? AND head_sha = ? ORDER BY id", repo.id, sha)
    return sorted({(run.app_id, run.name): run for run in runs}.values(), key=lambda run: run.name)


def latest_statuses(forge: Forge, repo: Repo, sha: str) -> list[Status]:
    statuses = forge.store.all(Status, "WHERE repo_id = ? AND sha = ? ORDER BY id", repo.id, sha)
    return list({status.context: status for status in statuses}.values())


def combined_state(statuses: list[Status]) -> str:
    states = {status.state for status in statuses}
    if states & {"error", "failure"}:
        return "failure"
    return "success" if states == {"success"} else "pending"
