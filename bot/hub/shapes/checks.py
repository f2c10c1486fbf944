"""Check runs and commit statuses as GitHub's JSON."""

from bot.hub.forge import Forge
from bot.hub.records import App, CheckRun, Issue, Pull, Repo, Status, User
from bot.hub.shapes.repositories import Json, app_json, html_url, node_id, repo_url, user_json


def check_run_json(forge: Forge, repo: Repo, record: CheckRun) -> Json:
    url = repo_url(forge, repo, f"/check-runs/{record.id}")
    page = html_url(forge, repo, f"/runs/{record.id}")
    return {
        "id": record.id,
        "node_id": node_id("CheckRun", record.id),
        "name": record.name,
        "head_sha": record.head_sha,
        "external_id": record.external_id,
        "url": url,
        "html_url": page,
        "details_url": record.details_url or page,
        "status": record.status,
        "conclusion": record.conclusion,
        "started_at": record.started_at,
        "completed_at": record.completed_at,
        "output": {
            "title": record.title,
            "summary": record.summary,
            "text": record.text,
            "annotations_count": 0,
            "annotations_url": f"{url}/annotations",
        },
        "check_suite": {"id": record.id},
        "app": app_json(forge, forge.store.get(App, record.app_id)),
        "pull_requests": _pulls_of(forge, repo, record.head_sha),
    }


def check_run_event_json(forge: Forge, repo: Repo, record: CheckRun) -> Json:
    """In a webhook the check run carries its suite in full; here every run is a suite of its own."""
    shape = check_run_json(forge, repo, record)
    branch = forge.store.one(Pull, "WHERE repo_id = ? AND head_sha = ?", repo.id, record.head_sha)
    shape["check_suite"] = {
        "id": record.id,
        "node_id": node_id("CheckSuite", record.id),
        "head_branch": branch.head_ref if branch else None,
        "head_sha": record.head_sha,
        "status": record.status,
        "conclusion": record.conclusion if record.conclusion != "skipped" else None,
        "url": repo_url(forge, repo, f"/check-suites/{record.id}"),
        "before": None,
        "after": record.head_sha,
        "pull_requests": shape["pull_requests"],
        "app": shape["app"],
        "created_at": record.started_at,
        "updated_at": record.completed_at or record.started_at,
    }
    return shape


def _pulls_of(forge: Forge, repo: Repo, head_sha: str) -> list[Json]:
    short = {"id": repo.id, "url": repo_url(forge, repo), "name": repo.name}
    clause = "JOIN issue ON issue.id = issue_id WHERE pull.repo_id = ? AND head_repo_id = ? AND head_sha = ?"
    found = forge.store.all(Pull, f"{clause} AND state = 'open'", repo.id, repo.id, head_sha)
    shapes = []
    for one in found:
        number = forge.store.get(Issue, one.issue_id).number
        shapes.append(
            {
                "url": repo_url(forge, repo, f"/pulls/{number}"),
                "id": one.id,
                "number": number,
                "head": {"ref": one.head_ref, "sha": one.head_sha, "repo": short},
                "base": {"ref": one.base_ref, "sha": one.base_sha, "repo": short},
            }
        )
    return shapes


def status_json(forge: Forge, repo: Repo, record: Status) -> Json:
    creator = user_json(forge, forge.store.get(User, record.creator_id))
    return {
        "url": repo_url(forge, repo, f"/statuses/{record.sha}"),
        "avatar_url": creator["avatar_url"],
        "id": record.id,
        "node_id": node_id("StatusContext", record.id),
        "state": record.state,
        "description": record.description or None,
        "target_url": record.target_url or None,
        "context": record.context,
        "created_at": record.created_at,
        "updated_at": record.created_at,
        "creator": creator,
    }
