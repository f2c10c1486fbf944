"""Webhooks as a bad week brings them, over HTTP into the running bot: is every command obeyed exactly once?

    python benchmarks/soak.py [--webhooks 10000] [--commands 1000] [--seed 1]

Of the webhooks, signed comments on the issues of a real forge, some hold a command (`/help`, which the bot answers with
a reaction and a reply). One in ten comes twice, either as a redelivery or by a second hook under another id; one in
twenty comes late, after others that were sent later. In the middle the bot is killed and started again; what was not
acknowledged is sent again, as a sweep does. Exit status 0 when every command was obeyed exactly once.
"""

import argparse
import hashlib
import hmac
import http.client
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from flask import Flask, Response, request

from bot.hub import Hub
from bot.hub import hub as hub_module
from bot.hub.forge import Actor, Forge
from bot.hub.records import Comment, now_utc

SECRET = "soak"  # noqa: S105 - of this script alone
SENDERS = 8
COMMENTS_PER_ISSUE = 20
AT_THE_KILL = 4  # steps at once, whose effect may be there and their record not: they are made again, as on GitHub
MOST_THREADS = 100
MOST_GROWTH_MIB = 150


@dataclass(frozen=True, kw_only=True)
class Webhook:
    delivery: str
    body: bytes


class Reactions:
    """How often the bot acknowledged each comment, counted at the forge."""

    def __init__(self) -> None:
        self.count: Counter[int] = Counter()
        self._make_app = hub_module.make_app

    def app(self, forge: Forge, *, visitor: str | None = None) -> Flask:
        app = self._make_app(forge, visitor=visitor)
        app.after_request(self._note)
        return app

    def _note(self, response: Response) -> Response:
        eyes = request.path.endswith("/reactions") and (request.get_json(silent=True) or {}).get("content") == "eyes"
        if request.method == "POST" and eyes:
            self.count[int(request.path.split("/")[-2])] += 1
        return response


class Bot:
    """`nightlab serve`, and how much of the machine it takes."""

    def __init__(self, folder: Path, hub: Hub, *, spacing_ms: int = 0) -> None:
        app = hub.create_app("ada", "nightlab", account="ada")
        (folder / "key.pem").write_text(app.private_key_pem)
        self.database = folder / "state" / "nightlab.sqlite"
        self.port = 0
        self._log = folder / "bot.log"
        self._environment = os.environ | {
            "NIGHTLAB_STATE": str(folder / "state"),
            "NIGHTLAB_API_URL": hub.api_url,
            "NIGHTLAB_APP_ID": str(app.app_id),
            "NIGHTLAB_PRIVATE_KEY_FILE": str(folder / "key.pem"),
            "NIGHTLAB_WEBHOOK_SECRET": SECRET,
            "NIGHTLAB_PORT": "0",
            "NIGHTLAB_WRITE_SPACING_MS": str(spacing_ms),
            "PYTHONUNBUFFERED": "1",
        }
        self.start()

    def start(self) -> None:
        with self._log.open("wb") as log:
            command = [sys.executable, "-m", "bot.cli", "serve"]
            self.process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=subprocess.STDOUT)
        while "listens on http://127.0.0.1:" not in (said := self.said()):
            if self.process.poll() is not None:
                raise SystemExit(f"the bot does not start:\n{said}")
            time.sleep(0.1)
        self.port = int(said.split("listens on http://127.0.0.1:")[1].split(";")[0])

    def said(self) -> str:
        return self._log.read_text()

    def stop(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait()

    def size(self) -> tuple[int, int]:
        """(threads, MiB)"""
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines())
        return int(lines["Threads"]), int(lines["VmRSS"].split()[0]) // 1024

    def unfinished(self) -> int:
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as database:
            query = "SELECT count(*) FROM workflow_status WHERE status IN ('PENDING', 'ENQUEUED', 'DELAYED')"
            return int(database.execute(query).fetchone()[0])


def comments(hub: Hub, count: int, commands: int, dice: random.Random) -> Iterator[tuple[Comment, Webhook, bool]]:
    """Comments on the forge, each with its webhook and whether it holds a command."""
    forge = hub.forge
    repo, ada = forge.repo("ada", "model"), forge.user("ada")
    assert repo is not None
    assert ada is not None
    holds = set(dice.sample(range(count), commands))
    issue = None
    with forge.store.write():
        for index in range(count):
            if issue is None or index % COMMENTS_PER_ISSUE == 0:
                issue = forge.add_issue(Actor(user=ada), repo, title=f"Issue {index}", body="")
            body = "/help" if index in holds else "Looks good to me. " * 40
            comment = forge.store.add(
                Comment(issue_id=issue.id, user_id=ada.id, body=body, created_at=now_utc(), updated_at=now_utc())
            )
            payload = {
                "action": "created",
                "comment": {"id": comment.id, "body": body, "user": {"login": "ada", "type": "User"}},
                "issue": {
                    "id": issue.id, "number": issue.number, "state": "open", "body": "",
                    "user": {"login": "ada", "type": "User"},
                },
                "repository": {"id": 1, "full_name": "ada/model", "default_branch": "main"},
            }  # fmt: skip
            yield (
                comment,
                Webhook(delivery=str(uuid.UUID(int=index)), body=json.dumps(payload).encode()),
                index in holds,
            )


def disturbed(webhooks: list[Webhook], dice: random.Random) -> list[Webhook]:
    """The order in which they arrive, with those that come twice."""
    arrivals: list[tuple[float, Webhook]] = []
    for index, webhook in enumerate(webhooks):
        late = dice.uniform(1, 200) if dice.random() < 0.05 else 0.0
        arrivals.append((index + late, webhook))
        if dice.random() < 0.1:
            by_another_hook = dice.random() < 0.5
            again = replace(webhook, delivery=str(uuid.UUID(int=index + 2**64))) if by_another_hook else webhook
            arrivals.append((index + dice.uniform(0, 200), again))
    return [webhook for _, webhook in sorted(arrivals, key=lambda arrival: arrival[0])]


class Sender(threading.local):
    """A connection for each thread."""

    connection: http.client.HTTPConnection | None = None

    def send(self, port: int, webhook: Webhook) -> bool:
        """Whether it was acknowledged."""
        digest = hmac.new(SECRET.encode(), webhook.body, hashlib.sha256).hexdigest()
        headers = {
            "X-GitHub-Event": "issue_comment",
            "X-GitHub-Delivery": webhook.delivery,
            "X-Hub-Signature-256": f"sha256={digest}",
            "Content-Type": "application/json",
        }
        try:
            if self.connection is None or self.connection.port != port:
                self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            self.connection.request("POST", "/webhook", webhook.body, headers)
            answer = self.connection.getresponse()
            answer.read()
            return 200 <= answer.status < 300
        except (OSError, http.client.HTTPException):
            self.connection = None
            return False


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--webhooks", type=int, default=10_000)
    parser.add_argument("--commands", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    reactions = Reactions()
    hub_module.make_app = reactions.app  # type: ignore[assignment] # to look on
    with tempfile.TemporaryDirectory() as folder, Hub(Path(folder) / "hub") as hub:
        hub.create_user("ada")
        hub.create_repo("ada", "model")
        made = list(comments(hub, options.webhooks, options.commands, dice))
        commanded = {comment.id for comment, _, holds in made if holds}
        arrivals = disturbed([webhook for _, webhook, _ in made], dice)
        bot = Bot(Path(folder), hub)
        try:
            return soak(bot, hub, reactions, arrivals, commanded)
        finally:
            bot.stop(signal.SIGKILL)


def soak(bot: Bot, hub: Hub, reactions: Reactions, arrivals: list[Webhook], commanded: set[int]) -> int:
    sender, began_s = Sender(), time.monotonic()
    sizes = []

    def send_all(webhooks: list[Webhook]) -> list[Webhook]:
        """Those that were not acknowledged."""
        with ThreadPoolExecutor(SENDERS) as pool:
            fine = list(pool.map(lambda webhook: sender.send(bot.port, webhook), webhooks))
        sizes.append(bot.size() if bot.process.poll() is None else (0, 0))
        return [webhook for webhook, was_fine in zip(webhooks, fine, strict=True) if not was_fine]

    step = max(len(arrivals) // 20, 1)
    parts = [arrivals[start : start + step] for start in range(0, len(arrivals), step)]
    for part in parts[: len(parts) // 2]:
        assert send_all(part) == [], "a running bot acknowledges everything"
    killer = threading.Timer(0.05, bot.process.kill)
    killer.start()
    lost = send_all(parts[len(parts) // 2])
    killer.join()
    bot.process.wait()
    bot.start()
    assert send_all(lost) == []
    for part in parts[len(parts) // 2 + 1 :]:
        assert send_all(part) == [], "a running bot acknowledges everything"
    sent_s = time.monotonic() - began_s
    while bot.unfinished():
        sizes.append(bot.size())
        time.sleep(0.5)
    done_s = time.monotonic() - began_s
    replies = Counter(
        comment.body.split("\n")[0] for comment in hub.forge.store.all(Comment) if comment.body.startswith("<!--")
    )
    obeyed_twice = [number for number, count in reactions.count.items() if count > 1]
    problems = {
        "commands never obeyed": len(commanded - set(reactions.count)),
        "comments without a command that were obeyed": len(set(reactions.count) - commanded),
        "commands obeyed more than once": len(obeyed_twice),
        "commands without exactly one reply": len(commanded) - sum(count == 1 for count in replies.values()),
    }
    living = [size for size in sizes if size[0]]
    threads, memory = max(size[0] for size in living), [size[1] for size in living]
    print(f"{len(arrivals)} webhooks sent in {sent_s:.0f} s, all work done after {done_s:.0f} s; killed once, "
          f"{len(lost)} were not acknowledged and sent again")  # fmt: skip
    print(f"{len(commanded)} commands: " + ", ".join(f"{count} {what}" for what, count in problems.items()))
    print(f"threads: at most {threads}; memory: {memory[0]} MiB after the first twentieth, at most {max(memory)} MiB")
    twice = problems.pop("commands obeyed more than once")
    if any(problems.values()):
        print(bot.said()[-3000:])
    bounded = threads <= MOST_THREADS and max(memory) - memory[0] <= MOST_GROWTH_MIB
    return int(any(problems.values()) or twice > AT_THE_KILL or not bounded)


if __name__ == "__main__":
    sys.exit(main())
