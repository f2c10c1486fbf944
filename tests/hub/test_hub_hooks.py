"""Webhooks: signed, queued, delivered once, redelivered on request. And the faults that tests can ask for."""

import hashlib
import hmac
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import github
import pytest
import requests
from github.GithubException import GithubException
from hub_world import World, furnish, propose

from bot.hub import DeliveryFault, Fault, Hub, HubError
from bot.hub.server import PortTakenError


@dataclass
class Receiver:
    """Keeps every webhook whose signature is right, in the order in which they came."""

    url: str = ""
    status: int = 202
    events: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)  # event, GUID, payload
    forged: int = 0

    def named(self, event: str, action: str | None = None) -> list[dict[str, Any]]:
        return [p for name, _, p in self.events if name == event and (action is None or p.get("action") == action)]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            expected = "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
            if hmac.compare_digest(expected, self.headers["X-Hub-Signature-256"]):
                event, guid = self.headers["X-GitHub-Event"], self.headers["X-GitHub-Delivery"]
                kept.events.append((event, guid, json.loads(body)))
            else:
                kept.forged += 1
            self.send_response(kept.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}/hook"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield kept
    server.shutdown()
    server.server_close()


@pytest.fixture
def world(hub: Hub, folder: Path, receiver: Receiver) -> World:
    return furnish(hub, folder, webhook_url=receiver.url)


def wait_for(condition: Callable[[], object], *, timeout_s: float = 10) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.02)


def test_what_happens_is_told_in_order_and_signed(world: World, receiver: Receiver) -> None:
    repo = world.repo
    sha = propose(repo, "exp/1", "train.py", "LR = 0.7\n")
    pull = repo.create_pull(base="main", head="exp/1", title="Raise it")
    pull.add_to_labels("experiment")
    world.repo_as("grace").get_issue(pull.number).create_comment("/experiment again")
    newer = propose(repo, "tmp", "train.py", "LR = 0.8\n", base="exp/1")
    repo.get_git_ref("heads/exp/1").edit(newer)
    repo.create_check_run("nightlab", newer, conclusion="success")
    pull.merge(sha=newer)
    wait_for(lambda: receiver.named("pull_request", "closed"))
    assert receiver.forged == 0
    names = [(event, payload.get("action")) for event, _, payload in receiver.events]
    assert names == [
        ("ping", None),
        ("installation", "created"),
        ("push", None),
        ("pull_request", "opened"),
        ("pull_request", "labeled"),
        ("issue_comment", "created"),
        ("push", None),
        ("push", None),
        ("pull_request", "synchronize"),
        ("check_run", "created"),
        ("check_run", "completed"),
        ("push", None),
        ("pull_request", "closed"),
    ]
    comment = receiver.named("issue_comment")[0]
    assert (comment["comment"]["body"], comment["sender"]["login"]) == ("/experiment again", "grace")
    assert comment["issue"]["pull_request"]["url"].endswith("/pulls/1")
    assert comment["installation"]["id"] == world.app.installation_id
    moved = receiver.named("pull_request", "synchronize")[0]
    assert (moved["before"], moved["after"], moved["pull_request"]["head"]["sha"]) == (sha, newer, newer)
    closed = receiver.named("pull_request", "closed")[0]["pull_request"]
    assert (closed["merged"], closed["merged_by"]["login"]) == (True, "nightlab[bot]")
    push = receiver.named("push")[-1]
    assert (push["ref"], push["after"]) == ("refs/heads/main", closed["merge_commit_sha"])
    assert push["commits"][0]["modified"] == ["train.py"]
    assert len({guid for _, guid, _ in receiver.events}) == len(receiver.events)


def deliveries(world: World, *, method: str = "GET", path: str = "") -> Any:
    token = github.Auth.AppAuth(world.app.app_id, world.app.private_key_pem).token
    url = f"{world.hub.api_url}/app/hook/deliveries{path}"
    answer = requests.request(method, url, headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert answer.ok, answer.text
    return answer.json()


def test_a_redelivery_keeps_its_guid_and_payload(world: World, receiver: Receiver) -> None:
    receiver.status = 500
    world.repo.create_issue("Idea")
    wait_for(lambda: receiver.named("issues"))
    wait_for(lambda: deliveries(world)[0]["event"] == "issues")
    failed = deliveries(world)[0]
    assert (failed["event"], failed["status_code"], failed["redelivery"]) == ("issues", 500, False)
    time.sleep(0.3)
    assert len(receiver.named("issues")) == 1  # nothing is sent again by itself
    receiver.status = 202
    deliveries(world, method="POST", path=f"/{failed['id']}/attempts")
    wait_for(lambda: len(receiver.named("issues")) == 2)
    (_, first, one), (_, second, two) = (event for event in receiver.events if event[0] == "issues")
    assert (first, one) == (second, two)
    wait_for(lambda: deliveries(world)[0]["status_code"] == 202)
    again = deliveries(world)[0]
    assert (again["guid"], again["redelivery"]) == (failed["guid"], True)
    detail = deliveries(world, path=f"/{failed['id']}")
    assert detail["request"]["payload"]["issue"]["title"] == "Idea"


def test_lost_and_doubled_webhooks(world: World, receiver: Receiver) -> None:
    world.hub.faults.add_to_deliveries(DeliveryFault(event="issue_comment", lose=True))
    world.hub.faults.add_to_deliveries(DeliveryFault(event="issue_comment", duplicate=True))
    issue = world.repo.create_issue("Idea")
    issue.create_comment("lost")
    issue.create_comment("twice")
    wait_for(lambda: len(receiver.named("issue_comment")) == 2)
    assert [payload["comment"]["body"] for payload in receiver.named("issue_comment")] == ["twice", "twice"]
    guids = {guid for event, guid, _ in receiver.events if event == "issue_comment"}
    assert len(guids) == 1
    assert next(d for d in deliveries(world) if d["status_code"] == 0)["event"] == "issue_comment"


def test_nobody_listening_is_recorded(world: World) -> None:
    world.hub.set_webhook("nightlab", url="http://127.0.0.1:9/", secret="s3cret")
    world.repo.create_issue("Idea")
    wait_for(lambda: any(d["status"] == "failed to connect to host" for d in deliveries(world)))


# Faults


def test_errors_before_and_after_the_effect(world: World) -> None:
    issue = world.repo.create_issue("Idea")
    comments = rf"/issues/{issue.number}/comments$"
    world.hub.faults.add(Fault(method="POST", path_regex=comments, status=502))
    with pytest.raises(GithubException) as error:
        issue.create_comment("never stored")
    assert error.value.status == 502
    world.hub.faults.add(Fault(method="POST", path_regex=comments, status=502, after=True))
    with pytest.raises(GithubException):
        issue.create_comment("stored, though the answer was lost")
    assert [c.body for c in issue.get_comments()] == ["stored, though the answer was lost"]


def test_rate_limits_and_delays(world: World) -> None:
    url = f"{world.hub.api_url}/repos/ada/model"
    world.hub.faults.add_primary_rate_limit(path_regex="/repos/")
    answer = requests.get(url, timeout=10)
    assert (answer.status_code, answer.headers["X-RateLimit-Remaining"]) == (403, "0")
    world.hub.faults.add_secondary_rate_limit(path_regex="/repos/", retry_after_s=7, status=429)
    answer = requests.get(url, timeout=10)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    world.hub.faults.add(Fault(path_regex="/repos/", delay_s=0.2))
    started_s = time.monotonic()
    assert requests.get(url, timeout=10).ok
    assert time.monotonic() - started_s >= 0.2


def test_the_world_can_change_right_before_a_request(world: World) -> None:
    sha = propose(world.repo, "exp/1", "train.py", "LR = 0.7\n")
    pull = world.repo.create_pull(base="main", head="exp/1", title="Raise it")
    newer = propose(world.repo, "tmp", "train.py", "LR = 0.8\n", base="exp/1")
    move = world.repo.get_git_ref("heads/exp/1").edit
    world.hub.faults.add(Fault(method="PUT", path_regex="/merge$", action=lambda: move(newer)))
    with pytest.raises(GithubException) as error:
        pull.merge(sha=sha)
    assert error.value.status == 409


# Processes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_killed_hub_comes_back_with_everything(tmp_path: Path, folder: Path) -> None:
    """kill -9 while clients write: what was answered is there, and nothing is stuck."""
    root, port = tmp_path / "root", free_port()
    with Hub(root, port=port) as hub:
        world = furnish(hub, folder)
    command = [sys.executable, "-m", "bot.hub", "--root", str(root), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("Serving")
        issue = world.repo.create_issue("Idea")
        answered: list[str] = []

        def write() -> None:
            while True:
                body = f"comment {len(answered)}"
                try:
                    issue.create_comment(body)
                    propose(world.repo, f"exp/{len(answered)}", "train.py", f"LR = {len(answered)}\n")
                except (GithubException, requests.RequestException, AssertionError):
                    return
                answered.append(body)

        writer = threading.Thread(target=write)
        writer.start()
        wait_for(lambda: len(answered) >= 5)
        process.kill()
        writer.join()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    with Hub(root, port=port):
        kept = [comment.body for comment in issue.get_comments()]
        assert kept[: len(answered)] == answered
        branches = {ref.ref for ref in world.repo.get_git_matching_refs("heads/exp/")}
        assert branches >= {f"refs/heads/exp/{i}" for i in range(len(answered))}
        propose(world.repo, "after", "train.py", "LR = 3\n")


def test_the_command_makes_users_and_says_what_is_wrong(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "bot.hub", "--root", str(tmp_path / "root"), "--port", str(port), "--user", "ada"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        token = process.stdout.readline().split()[-1]
        assert process.stdout.readline().startswith("Serving")
        client = github.Github(base_url=f"http://127.0.0.1:{port}/api/v3", auth=github.Auth.Token(token))
        user = client.get_user()
        assert user.create_repo("new", auto_init=True).get_contents("README.md").decoded_content == b"# new\n"
        second = subprocess.run([*command[:-2], "--port", str(port)], capture_output=True, text=True, check=False)
        assert (second.returncode, "Another hub is running" in second.stderr) == (1, True)
        process.terminate()
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_one_hub_per_folder_and_port(tmp_path: Path) -> None:
    with Hub(tmp_path / "one") as hub:
        with pytest.raises(HubError, match="Another hub is running"):
            Hub(tmp_path / "one")
        port = int(hub.base_url.rsplit(":")[-1])
        with pytest.raises(PortTakenError, match=f"Cannot listen on 127.0.0.1:{port}"):
            Hub(tmp_path / "two", port=port)
    with Hub(tmp_path / "one"):
        pass


def test_an_old_git_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho git version 2.30.2\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent))
    with pytest.raises(HubError, match=r"needs git 2\.38 or newer, and this is git version 2\.30\.2"):
        Hub(tmp_path / "hub")


def test_a_receiver_that_answers_a_byte_at_a_time_holds_nobody_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.hub.hooks.TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            with listener.accept()[0] as connection:
                for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20:
                    try:
                        connection.sendall(bytes([byte]))
                    except OSError:
                        return
                    time.sleep(0.1)

        threading.Thread(target=drip, daemon=True).start()
        wait_for(lambda: any(one["event"] == "installation" for one in deliveries(world)))
        world.hub.set_webhook("nightlab", url=f"http://127.0.0.1:{listener.getsockname()[1]}/", secret="s3cret")
        world.repo.create_issue("Idea")
        wait_for(lambda: any(one["status"] == "timed out" for one in deliveries(world)), timeout_s=5)
