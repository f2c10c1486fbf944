"""From a comment to a closed pull request on a forge that none of us wrote, as far as it goes.

Where it does not go is a table: a gap that closes, or one that opens, fails here.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import github
import pytest
import requests
from emulated import APP_ID, TOKENS, Emulated, emulated, free_port
from github.Repository import Repository
from living_lab import Bot, eventually
from quick_task import BETTER, CONTRACT, PREPARE, TRAIN
from recorded import Description

from bot.hub.hub import Hub, InstalledApp

pytestmark = [pytest.mark.npm, pytest.mark.slow]


@dataclass(frozen=True, kw_only=True)
class Gap:
    call: str
    what: str
    filled: tuple[str, str, int, Any] | None = None  # method, pattern of the path, and what the proxy answers instead


REACTIONS = "POST /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions"
GAPS = [
    Gap(call=REACTIONS, what="404: there are no reactions", filled=("POST", r"/reactions$", 201, {"id": 1})),
    Gap(
        call="GET /app/hook/deliveries",
        what="404: an App cannot ask what it was sent",
        filled=("GET", "^/app/hook/deliveries$", 200, []),
    ),
    Gap(call="GET /repos/{owner}/{repo}/issues/{issue_number}", what="404 for a pull request, which is an issue too"),
    Gap(call="DELETE /repos/{owner}/{repo}/git/ref/{ref}", what="404, although a ref's own `url` says so"),
    Gap(call="GET /ada/model.git/info/refs", what="404: git cannot fetch, so nothing can be measured"),
    Gap(call="If-None-Match", what="no ETags: every read is sent in full"),
]
WORKS = """
GET /app
GET /repos/{owner}/{repo}
GET /repos/{owner}/{repo}/collaborators/{username}/permission
GET /repos/{owner}/{repo}/commits/{ref}
GET /repos/{owner}/{repo}/commits/{ref}/check-runs
GET /repos/{owner}/{repo}/contents/{path}
GET /repos/{owner}/{repo}/git/commits/{commit_sha}
GET /repos/{owner}/{repo}/git/ref/{ref}
GET /repos/{owner}/{repo}/git/trees/{tree_sha}
GET /repos/{owner}/{repo}/installation
GET /repos/{owner}/{repo}/issues/{issue_number}/comments
GET /repos/{owner}/{repo}/issues/{issue_number}/labels
GET /repos/{owner}/{repo}/pulls
GET /repos/{owner}/{repo}/pulls/{pull_number}
DELETE /repos/{owner}/{repo}/issues/{issue_number}/labels/{name}
PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}
PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}
PATCH /repos/{owner}/{repo}/pulls/{pull_number}
POST /app/installations/{installation_id}/access_tokens
POST /repos/{owner}/{repo}/check-runs
POST /repos/{owner}/{repo}/git/commits
POST /repos/{owner}/{repo}/git/refs
POST /repos/{owner}/{repo}/git/trees
POST /repos/{owner}/{repo}/issues/{issue_number}/comments
POST /repos/{owner}/{repo}/issues/{issue_number}/labels
POST /repos/{owner}/{repo}/labels
POST /repos/{owner}/{repo}/pulls
""".strip().splitlines()


def fill(method: str, path: str) -> tuple[int, Any] | None:
    for gap in GAPS:
        if gap.filled is not None and gap.filled[0] == method and re.search(gap.filled[1], path):
            return gap.filled[2:]
    return None


@dataclass(kw_only=True)
class World:
    forge: Emulated
    bot: Bot
    repo: Repository


@pytest.fixture
def world(tmp_path: Path, emulate: Path) -> Iterator[World]:
    port = free_port()
    with emulated(tmp_path, emulate, webhook_url=f"http://127.0.0.1:{port}/webhook", fill=fill) as forge:
        repo = client(forge, "ada").get_repo("ada/model")
        files = {"prepare.py": PREPARE, "train.py": TRAIN, "program.md": "Better.\n", ".github/nightlab.yml": CONTRACT}
        for path, text in files.items():
            repo.create_file(path, "Add", text)
        forge.seen.clear()
        # The bot's process needs no more of a hub and an App than this.
        hub: Hub = SimpleNamespace(api_url=forge.api_url, set_webhook=lambda *_, **__: None)  # type: ignore[assignment]
        app: InstalledApp = SimpleNamespace(app_id=APP_ID, private_key_pem=forge.private_key_pem, slug="nightlab")  # type: ignore[assignment]
        bot = Bot(tmp_path / "bot", hub, app, {"NIGHTLAB_PORT": str(port)})
        bot.start()
        try:
            yield World(forge=forge, bot=bot, repo=repo)
        finally:
            bot.stop()


def client(forge: Emulated, login: str) -> github.Github:
    auth = github.Auth.Token(TOKENS[login])
    return github.Github(
        base_url=forge.api_url, auth=auth, retry=None, seconds_between_requests=0, seconds_between_writes=0
    )


def test_from_a_comment_to_a_closed_pull_request(world: World, openapi: dict[str, Any]) -> None:
    forge, repo = world.forge, world.repo
    issue = repo.create_issue("An idea")
    client(forge, "eve").get_repo("ada/model").get_issue(issue.number).create_comment("/experiment")
    issue.create_comment(f"/experiment {BETTER}")
    eventually(lambda: any("is abandoned" in one.body for one in issue.get_comments()), "the end of the experiment")
    eventually(lambda: world.bot.idle, "the end of all work")

    replies = [one.body for one in issue.get_comments() if one.user.login == "nightlab[bot]"]
    assert any("write access" in body for body in replies), replies
    assert any("could not fetch from" in body for body in replies), replies
    (pull,) = repo.get_pulls(state="all")
    assert (pull.state, pull.title) == ("closed", "Raise LR from 0.5 to 0.7")
    assert [label.name for label in pull.labels] == ["nightlab: abandoned"]
    (check,) = repo.get_commit(pull.head.sha).get_check_runs()
    assert (check.name, check.status, check.conclusion) == ("nightlab", "completed", "cancelled")
    assert "LR = 0.7" in repo.get_contents("train.py", ref=pull.head.sha).decoded_content.decode()  # type: ignore[union-attr]
    table = repo.get_contents("results.tsv", ref="nightlab-ledger").decoded_content.decode()  # type: ignore[union-attr]
    assert table.splitlines()[1].split("\t")[7] == "abandoned"

    description = Description(openapi)
    went = {description.named(method, path) for method, path, status in forge.seen if status < 400}
    assert set(WORKS) <= went, f"a gap opened: {sorted(set(WORKS) - went)}"
    probed = probe(world, pull.number)
    assert [gap.call for gap in GAPS if not probed[gap.call]] == [], "a gap closed"
    lines = [f"works  {call}" for call in WORKS] + [f"gap    {gap.call}: {gap.what}" for gap in GAPS]
    print("\n".join(["", *lines]))  # noqa: T201 - a report, with -s


def probe(world: World, pull_number: int) -> dict[str, bool]:
    """Which gaps are still there, asked of the emulator itself."""

    def ask(method: str, path: str, body: Any = None) -> requests.Response:
        headers = {"Authorization": f"token {TOKENS['ada']}"}
        url = world.forge.direct_url + path
        return requests.request(method, url, headers=headers, data=json.dumps(body) if body else None, timeout=30)

    model = "/repos/ada/model"
    branch = ask("GET", f"{model}/git/ref/heads/nightlab-ledger").json()
    deletable = ask("DELETE", "/" + branch["url"].split("/", 3)[3])
    return {
        REACTIONS: ask("POST", f"{model}/issues/comments/1/reactions", {"content": "eyes"}).status_code == 404,
        "GET /app/hook/deliveries": ask("GET", "/app/hook/deliveries").status_code == 404,
        "GET /repos/{owner}/{repo}/issues/{issue_number}": ask("GET", f"{model}/issues/{pull_number}").status_code
        == 404,
        "DELETE /repos/{owner}/{repo}/git/ref/{ref}": deletable.status_code == 404,
        "GET /ada/model.git/info/refs": ask("GET", "/ada/model.git/info/refs?service=git-upload-pack").status_code
        == 404,
        "If-None-Match": "ETag" not in ask("GET", model).headers,
    }
