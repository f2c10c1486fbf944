"""Every answer and every webhook of the hub, checked against what GitHub publishes about its own."""

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import jwt
import pytest
from flask.testing import FlaskClient

from bot.hub import Hub, InstalledApp
from bot.hub.manifests import Manifest, register
from bot.hub.records import Delivery
from bot.hub.wsgi import make_app

pytestmark = pytest.mark.npm

REPO = {"owner": "ada", "repo": "model"}


def validate(instance: Any, schema: dict[str, Any]) -> None:
    """Raises with the innermost problem and where it is."""
    validator = jsonschema.Draft7Validator(schema)
    error = jsonschema.exceptions.best_match(validator.iter_errors(instance))
    if error is not None:
        raise AssertionError(f"{error.json_path}: {error.message[:300]}")


@dataclass
class Api:
    """Speaks to the hub in the paths of GitHub's description, and holds both sides to it."""

    openapi: dict[str, Any]
    client: FlaskClient
    tokens: dict[str, str]
    seen: set[tuple[str, str, int]] = field(default_factory=set)

    def call(self, line: str, body: Any = None, *, as_: str = "app", expect: int = 200, **values: Any) -> Any:
        """`line` is a method and a path of the description, perhaps with a query."""
        method, target = line.split(" ")
        path, _, query = target.partition("?")
        operation = self.openapi["paths"][path][method.lower()]
        if body is not None:
            self._validate(body, operation["requestBody"]["content"]["application/json"]["schema"])
        url = "/api/v3" + path.format(**(REPO | values)) + (f"?{query}" if query else "")
        headers = {"Authorization": f"Bearer {self.tokens[as_]}"} if as_ != "nobody" else {}
        response = self.client.open(url, method=method, json=body, headers=headers)
        assert response.status_code == expect, (line, response.status_code, response.get_data(as_text=True)[:500])
        described = operation["responses"][str(expect)]
        if "$ref" in described:
            described = self.openapi["components"]["responses"][described["$ref"].rsplit("/")[-1]]
        self.seen.add((method, path, expect))
        answer = response.get_json(silent=True)
        for content_type, content in described.get("content", {}).items():
            if content_type == "application/json":
                self._validate(answer, content["schema"])
        return answer

    def _validate(self, instance: Any, schema: dict[str, Any]) -> None:
        validate(instance, {"components": self.openapi["components"], "allOf": [schema]})


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "README.md").write_text("# Model\n")
    (tmp_path / "source" / "train.py").write_text("LR = 0.6\n")
    hub = Hub(tmp_path / "hub")  # listens, so that it has an address, but is asked without the network
    for login in ("ada", "eve"):
        hub.create_user(login, name=login.title(), email=f"{login}@example.org")
    hub.create_repo("ada", "model", source=tmp_path / "source", description="A model")
    yield hub
    hub.stop()


@pytest.fixture
def app(hub: Hub) -> InstalledApp:
    return hub.create_app("ada", "Nightlab", account="ada", webhook_url="http://hooks.invalid/", webhook_secret="s")


@pytest.fixture
def api(hub: Hub, app: InstalledApp, openapi: dict[str, Any]) -> Api:
    now_s = int(time.time())
    claims = {"iss": str(app.app_id), "iat": now_s - 60, "exp": now_s + 500}
    tokens = {login: hub.create_token(login) for login in ("ada", "eve")}
    tokens["jwt"] = jwt.encode(claims, app.private_key_pem, algorithm="RS256")
    api = Api(openapi, make_app(hub.forge).test_client(), tokens)
    granted = api.call(
        "POST /app/installations/{installation_id}/access_tokens",
        {"repositories": ["model"], "permissions": {"contents": "write", "pull_requests": "write", "checks": "write",
                                                    "issues": "write", "statuses": "write"}},
        as_="jwt", expect=201, installation_id=app.installation_id,
    )  # fmt: skip
    tokens["app"] = granted["token"]
    return api


def propose(api: Api, branch: str, text: str, *, path: str = "train.py") -> str:
    ref = api.call("GET /repos/{owner}/{repo}/git/ref/{ref}", ref="heads/main")
    tip = api.call("GET /repos/{owner}/{repo}/git/commits/{commit_sha}", commit_sha=ref["object"]["sha"])
    blob = api.call("POST /repos/{owner}/{repo}/git/blobs", {"content": text, "encoding": "utf-8"}, expect=201)
    tree = api.call(
        "POST /repos/{owner}/{repo}/git/trees",
        {"base_tree": tip["tree"]["sha"], "tree": [{"path": path, "mode": "100644", "sha": blob["sha"]}]},
        expect=201,
    )
    person = {"name": "Night", "email": "n@example.org", "date": "2026-01-02T03:04:05Z"}
    commit = api.call(
        "POST /repos/{owner}/{repo}/git/commits",
        {"message": "Try", "tree": tree["sha"], "parents": [tip["sha"]], "author": person, "committer": person},
        expect=201,
    )
    assert commit["author"]["date"] == "2026-01-02T03:04:05Z"
    new_ref = {"ref": f"refs/heads/{branch}", "sha": commit["sha"]}
    api.call("POST /repos/{owner}/{repo}/git/refs", new_ref, expect=201)
    sha: str = commit["sha"]
    return sha


def test_an_app_from_a_manifest(hub: Hub, api: Api) -> None:
    manifest = Manifest.model_validate({"url": "https://example.org", "default_permissions": {"checks": "write"}})
    owner = hub.forge.user("ada")
    assert owner is not None
    code = register(hub.forge, owner, manifest, name="Made")
    answer = api.call("POST /app-manifests/{code}/conversions", as_="nobody", expect=201, code=code)
    assert answer["pem"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    api.call("POST /app-manifests/{code}/conversions", as_="nobody", expect=404, code=code)


def test_accounts_and_repositories(api: Api, app: InstalledApp) -> None:
    api.call("GET /user", as_="ada")
    api.call("GET /users/{username}", username="eve")
    api.call("GET /repos/{owner}/{repo}")
    api.call("GET /user/repos", as_="ada")
    api.call("POST /user/repos", {"name": "other", "private": True, "auto_init": True}, as_="ada", expect=201)
    api.call("GET /repos/{owner}/{repo}", as_="eve", expect=404, repo="other")
    api.call("PATCH /repos/{owner}/{repo}", {"name": "renamed"}, as_="ada", repo="other")
    api.call("GET /repos/{owner}/{repo}", as_="ada", expect=301, repo="other")
    api.call("PATCH /repos/{owner}/{repo}", {"description": "x"}, as_="ada", expect=307, repo="other")
    api.call("GET /repos/{owner}/{repo}/collaborators/{username}/permission", username="eve")
    api.call("POST /repos/{owner}/{repo}/forks", {}, as_="eve", expect=202)
    api.call("GET /rate_limit")
    api.call("GET /app", as_="jwt")
    api.call("GET /app/hook/config", as_="jwt")
    api.call("GET /app/installations", as_="jwt")
    api.call("GET /repos/{owner}/{repo}/installation", as_="jwt")
    api.call("GET /installation/repositories")


def test_git_data_and_contents(api: Api, hub: Hub) -> None:
    sha = propose(api, "exp/1", "LR = 0.7\n")
    commit = api.call("GET /repos/{owner}/{repo}/git/commits/{commit_sha}", commit_sha=sha)
    tree = api.call("GET /repos/{owner}/{repo}/git/trees/{tree_sha}?recursive=1", tree_sha=commit["tree"]["sha"])
    api.call("GET /repos/{owner}/{repo}/git/blobs/{file_sha}", file_sha=tree["tree"][0]["sha"])
    api.call("GET /repos/{owner}/{repo}/git/matching-refs/{ref}", ref="heads/exp")
    api.call("PATCH /repos/{owner}/{repo}/git/refs/{ref}", {"sha": sha, "force": False}, ref="heads/main")
    api.call("DELETE /repos/{owner}/{repo}/git/refs/{ref}", ref="heads/exp/1", expect=204)
    api.call("DELETE /repos/{owner}/{repo}/git/refs/{ref}", ref="heads/exp/1", expect=422)
    hub.protect("ada/model", "main", require_up_to_date=True, required_checks=["nightlab"])
    api.call("GET /repos/{owner}/{repo}/branches")
    api.call("GET /repos/{owner}/{repo}/branches/{branch}", branch="main")
    file = api.call("GET /repos/{owner}/{repo}/contents/{path}?ref=main", path="train.py")
    assert base64.b64decode(file["content"]) == b"LR = 0.7\n"
    api.call("GET /repos/{owner}/{repo}/contents/{path}", path="")
    write = {"message": "Write", "content": base64.b64encode(b"LR = 1\n").decode(), "branch": "main"}
    target = "PUT /repos/{owner}/{repo}/contents/{path}"
    api.call(target, write | {"sha": file["sha"]}, path="train.py")
    api.call(target, write | {"sha": file["sha"]}, path="train.py", expect=409)
    api.call(target, write, path="new/notes.md", expect=201)
    api.call("GET /repos/{owner}/{repo}/commits?sha=main&per_page=1")
    api.call("GET /repos/{owner}/{repo}/commits/{ref}", ref="main")
    api.call("GET /repos/{owner}/{repo}/compare/{basehead}", basehead=f"{sha}...main")


def test_conversations(api: Api) -> None:
    issue = api.call("POST /repos/{owner}/{repo}/issues", {"title": "Idea", "body": "x", "labels": ["a"]}, expect=201)
    api.call("POST /repos/{owner}/{repo}/issues", {"title": ""}, expect=422)
    number = {"issue_number": issue["number"]}
    api.call("GET /repos/{owner}/{repo}/issues?state=all&labels=a")
    api.call("GET /repos/{owner}/{repo}/issues/{issue_number}", **number)
    api.call("PATCH /repos/{owner}/{repo}/issues/{issue_number}", {"title": "Better", "state": "closed"}, **number)
    api.call("PATCH /repos/{owner}/{repo}/issues/{issue_number}", {"state": "open", "body": "y"}, **number)
    api.call("POST /repos/{owner}/{repo}/issues/{issue_number}/labels", {"labels": ["b", "c"]}, **number)
    api.call("GET /repos/{owner}/{repo}/issues/{issue_number}/labels", **number)
    api.call("DELETE /repos/{owner}/{repo}/issues/{issue_number}/labels/{name}", name="b", **number)
    api.call("DELETE /repos/{owner}/{repo}/issues/{issue_number}/labels/{name}", name="b", expect=404, **number)
    api.call("POST /repos/{owner}/{repo}/labels", {"name": "state", "color": "ff0000"}, expect=201)
    api.call("GET /repos/{owner}/{repo}/labels")
    api.call("GET /repos/{owner}/{repo}/labels/{name}", name="state")
    comment = api.call(
        "POST /repos/{owner}/{repo}/issues/{issue_number}/comments", {"body": "hi"}, as_="eve", expect=201, **number
    )
    one = {"comment_id": comment["id"]}
    api.call("GET /repos/{owner}/{repo}/issues/{issue_number}/comments", **number)
    api.call("GET /repos/{owner}/{repo}/issues/comments/{comment_id}", **one)
    api.call("PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}", {"body": "ho"}, **one)
    reactions = "POST /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions"
    api.call(reactions, {"content": "eyes"}, expect=201, **one)
    api.call(reactions, {"content": "eyes"}, expect=200, **one)
    api.call("GET /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions", **one)
    api.call("POST /repos/{owner}/{repo}/issues/{issue_number}/reactions", {"content": "+1"}, expect=201, **number)
    api.call("DELETE /repos/{owner}/{repo}/issues/comments/{comment_id}", expect=204, **one)


def test_pull_requests_checks_and_merging(api: Api) -> None:
    sha = propose(api, "exp/1", "LR = 0.7\n")
    asked = {"title": "Raise it", "head": "exp/1", "base": "main", "body": "Because."}
    pull = api.call("POST /repos/{owner}/{repo}/pulls", asked, expect=201)
    api.call("POST /repos/{owner}/{repo}/pulls", asked, expect=422)
    number = {"pull_number": pull["number"]}
    api.call("GET /repos/{owner}/{repo}/pulls?state=open&head=ada:exp/1&base=main")
    api.call("GET /repos/{owner}/{repo}/pulls/{pull_number}", **number)
    api.call("PATCH /repos/{owner}/{repo}/pulls/{pull_number}", {"body": "Because of it."}, **number)
    api.call("GET /repos/{owner}/{repo}/pulls/{pull_number}/files", **number)
    api.call("GET /repos/{owner}/{repo}/pulls/{pull_number}/commits", **number)
    api.call("GET /repos/{owner}/{repo}/issues/{issue_number}", issue_number=pull["number"])
    review = {"body": "fine", "event": "APPROVE"}
    api.call("POST /repos/{owner}/{repo}/pulls/{pull_number}/reviews", review, as_="ada", **number)
    remarks = {"body": "", "event": "COMMENT", "comments": [{"path": "train.py", "line": 1, "body": "why?"}]}
    remarked = api.call("POST /repos/{owner}/{repo}/pulls/{pull_number}/reviews", remarks, as_="ada", **number)
    api.call("GET /repos/{owner}/{repo}/pulls/{pull_number}/reviews", **number)
    one = {"review_id": remarked["id"]}
    api.call("GET /repos/{owner}/{repo}/pulls/{pull_number}/reviews/{review_id}", **number, **one)
    api.call("GET /repos/{owner}/{repo}/pulls/{pull_number}/reviews/{review_id}/comments", **number, **one)
    approval = api.call("GET /repos/{owner}/{repo}/pulls/{pull_number}/reviews", **number)[0]
    api.call(
        "PUT /repos/{owner}/{repo}/pulls/{pull_number}/reviews/{review_id}/dismissals",
        {"message": "Look again."}, **number, review_id=approval["id"],
    )  # fmt: skip
    run = api.call(
        "POST /repos/{owner}/{repo}/check-runs",
        {"name": "nightlab", "head_sha": sha, "status": "in_progress", "output": {"title": "Run 1", "summary": "…"}},
        expect=201,
    )
    api.call(
        "PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}",
        {"status": "completed", "conclusion": "success", "output": {"title": "Better", "summary": "yes"}},
        check_run_id=run["id"],
    )
    api.call("GET /repos/{owner}/{repo}/check-runs/{check_run_id}", check_run_id=run["id"])
    api.call("GET /repos/{owner}/{repo}/commits/{ref}/check-runs?check_name=nightlab", ref=sha)
    api.call("POST /repos/{owner}/{repo}/statuses/{sha}", {"state": "success", "context": "ci"}, expect=201, sha=sha)
    api.call("GET /repos/{owner}/{repo}/commits/{ref}/status", ref=sha)
    propose_on_main = propose(api, "exp/2", "# Other\n", path="README.md")
    api.call("PATCH /repos/{owner}/{repo}/git/refs/{ref}", {"sha": propose_on_main}, ref="heads/main")
    update = "PUT /repos/{owner}/{repo}/pulls/{pull_number}/update-branch"
    api.call(update, {"expected_head_sha": "0" * 40}, expect=422, **number)
    api.call(update, {"expected_head_sha": sha}, expect=202, **number)
    merge = "PUT /repos/{owner}/{repo}/pulls/{pull_number}/merge"
    api.call(merge, {"sha": sha}, expect=409, **number)
    api.call(merge, {"commit_title": "Raise it (#1)"}, **number)
    api.call(merge, {}, expect=405, **number)
    api.call("GET /repos/{owner}/{repo}/pulls/{pull_number}/merge", expect=204, **number)
    api.call("GET /repos/{owner}/{repo}/pulls/{pull_number}", **number)


def test_webhooks(api: Api, hub: Hub, webhook_schemas: dict[str, Any]) -> None:
    test_conversations(api)
    test_pull_requests_checks_and_merging(api)
    seen = set()
    for delivery in hub.forge.store.all(Delivery):
        name = f"{delivery.event}${delivery.action or 'event'}"
        definition = {"definitions": webhook_schemas["definitions"], "$ref": f"#/definitions/{name}"}
        validate(json.loads(delivery.payload), definition)
        seen.add(name)
    assert seen >= {
        "ping$event", "installation$created", "push$event", "issue_comment$created", "issue_comment$edited",
        "issue_comment$deleted", "issues$opened", "issues$edited", "issues$closed", "issues$reopened",
        "issues$labeled", "issues$unlabeled", "pull_request$opened", "pull_request$edited",
        "pull_request$synchronize", "pull_request$closed", "check_run$created", "check_run$completed",
        "pull_request_review$submitted", "pull_request_review$dismissed",
        "pull_request_review_comment$created",
    }  # fmt: skip


def test_deliveries(api: Api, hub: Hub) -> None:
    with hub:
        for _ in range(100):
            if hub.forge.store.count(Delivery, "WHERE status_code IS NULL") == 0:
                break
            time.sleep(0.05)
        listed = api.call("GET /app/hook/deliveries", as_="jwt")
        first = {"delivery_id": listed[-1]["id"]}
        detail = api.call("GET /app/hook/deliveries/{delivery_id}", as_="jwt", **first)
        assert detail["request"]["headers"]["X-GitHub-Event"] == "ping"
        api.call("POST /app/hook/deliveries/{delivery_id}/attempts", as_="jwt", expect=202, **first)
