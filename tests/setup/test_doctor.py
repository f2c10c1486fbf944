"""The doctor, on a bot that is well and on one with each of the usual troubles. The forge is a real hub."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from living_process import ROOT
from quick_task import write

from bot.core.app import EVENTS, PERMISSIONS
from bot.core.words.finding import Finding, Grade
from bot.doctor import examine
from bot.hub import Fault, Hub
from bot.hub.hub import InstalledApp


class Receiver(BaseHTTPRequestHandler):
    """Where webhooks go: it answers what the server says."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.server.answer)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Webhook(HTTPServer):
    answer = 202


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    server = Webhook(("127.0.0.1", 0), Receiver)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub(tmp_path / "hub") as hub:
        hub.create_user("ada")
        hub.create_repo("ada", "model", source=write(tmp_path / "model"))
        yield hub


def app_on(hub: Hub, webhook: Webhook, *, permissions: Mapping[str, str] = PERMISSIONS) -> InstalledApp:
    url = f"http://127.0.0.1:{webhook.server_address[1]}/webhook"
    return hub.create_app(
        "ada", "nightlab", account="ada", webhook_url=url, webhook_secret="w", permissions=permissions, events=EVENTS
    )


def bot(hub: Hub, tmp_path: Path, app: InstalledApp) -> dict[str, str]:
    (tmp_path / "key.pem").write_text(app.private_key_pem)
    return {
        "NIGHTLAB_STATE": str(tmp_path / "state"),
        "NIGHTLAB_API_URL": hub.api_url,
        "NIGHTLAB_APP_ID": str(app.app_id),
        "NIGHTLAB_PRIVATE_KEY_FILE": str(tmp_path / "key.pem"),
        "NIGHTLAB_WEBHOOK_SECRET": "w",
    }


@pytest.fixture
def no_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that are about something else: it takes seconds to load."""
    monkeypatch.setattr("bot.doctor._runner", lambda *_: iter(()))
    monkeypatch.setattr("bot.edge.github.examination.LOOK_S", 0.05)


def found(environment: dict[str, str]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in examine(environment)}


def test_a_bot_that_is_well(hub: Hub, webhook: Webhook, tmp_path: Path) -> None:
    environment = bot(hub, tmp_path, app_on(hub, webhook))
    command = [sys.executable, "-m", "bot.cli", "doctor", "--json"]
    done = subprocess.run(
        command, cwd=ROOT, env={"PATH": os.environ["PATH"], **environment}, capture_output=True, text=True, check=False
    )
    findings = json.loads(done.stdout)
    assert done.returncode == 0, findings
    assert {"git", "clock", "permissions", "webhook", "ada/model", "runner"} <= {one["subject"] for one in findings}
    assert not (tmp_path / "state").exists()  # it changes nothing


def test_each_trouble_is_found_and_says_what_to_do(hub: Hub, webhook: Webhook, tmp_path: Path) -> None:
    lacking = {name: level for name, level in PERMISSIONS.items() if name != "checks"}
    webhook.answer = 500
    environment = bot(hub, tmp_path, app_on(hub, webhook, permissions=lacking))
    hub.create_repo("ada", "odd", source=write(tmp_path / "odd", contract="version: 1\npaths: {alow: [train.py]}\n"))
    hub.create_repo("ada", "none", source=write(tmp_path / "none", contract=None))
    late = formatdate(time.time() + 86_400, usegmt=True)
    hub.faults.add(Fault(path_regex="/meta", status=200, headers={"Date": late}))
    environment |= {"NIGHTLAB_HARDWARE": "h100", "NIGHTLAB_PUBLIC_URL": "https://elsewhere.example.org"}
    findings = found(environment)
    says = {subject: f"{finding.says} -> {finding.todo}" for subject, finding in findings.items()}
    assert says["clock"].endswith(" s ahead -> set ours by NTP")
    assert says["permissions"].startswith("the App lacks: write checks -> grant them on http://127.0.0.1")
    assert says["installation on ada"].startswith("it has not granted: write checks -> accept them")
    assert "did not arrive (500" in says["webhook"]
    assert "its contract has a mistake" in says["ada/odd"]
    assert "did you mean `allow`?" in says["ada/odd"]
    assert "nightlab init ada/none" in says["ada/none"]
    assert "contracts ask for cpu, and this machine measures h100" in says["hardware"]
    assert says["gpu"].startswith("h100 has one, and nvidia-smi shows none")
    broken = {subject for subject, finding in findings.items() if finding.grade is Grade.BROKEN}
    assert broken == {"permissions", "installation on ada", "webhook", "ada/odd", "hardware", "gpu"}


@pytest.mark.usefixtures("no_runner")
def test_a_webhook_that_failed_once_is_sent_again(hub: Hub, webhook: Webhook, tmp_path: Path) -> None:
    webhook.answer = 503
    environment = bot(hub, tmp_path, app_on(hub, webhook))
    assert found(environment)["webhook"].grade is Grade.BROKEN
    webhook.answer = 202
    assert found(environment)["webhook"].grade is Grade.OK


@pytest.mark.usefixtures("no_runner")
def test_a_token_is_told_what_it_cannot_do(hub: Hub, tmp_path: Path) -> None:
    environment = {
        "NIGHTLAB_STATE": str(tmp_path / "state"),
        "NIGHTLAB_API_URL": hub.api_url,
        "NIGHTLAB_TOKEN": hub.create_token("ada"),
        "NIGHTLAB_WEBHOOK_SECRET": "w",
    }
    findings = found(environment)
    assert "a commit status instead of the check" in findings["token"].says
    assert findings["ada/model"].grade is Grade.OK
    assert not [subject for subject, finding in findings.items() if finding.grade is Grade.BROKEN]


@pytest.mark.usefixtures("no_runner")
@pytest.mark.parametrize(
    ("variables", "subject", "said"),
    [
        ({"NIGHTLAB_TOKEN": "wrong"}, "forge", "does not accept the credentials"),
        ({"NIGHTLAB_TOKEN": "t", "NIGHTLAB_API_URL": "http://127.0.0.1:9"}, "forge", "does not answer as it should"),
        ({"NIGHTLAB_PORT": "x"}, "settings", "write a whole number"),
        ({}, "identity", "has none on the forge yet"),
    ],
)
def test_nothing_to_begin_with(hub: Hub, tmp_path: Path, variables: dict[str, str], subject: str, said: str) -> None:
    base = {"NIGHTLAB_STATE": str(tmp_path), "NIGHTLAB_API_URL": hub.api_url, "NIGHTLAB_WEBHOOK_SECRET": "w"}
    finding = found(base | variables)[subject]
    assert (finding.grade, said in finding.says) == (Grade.BROKEN, True), finding
