"""Webhooks: a stored queue of deliveries, sent by one background thread, signed as GitHub signs them.

One attempt each, as on GitHub: what is lost stays lost until somebody asks for a redelivery. A hub killed while
sending sends that delivery again with the same GUID when it is back, since it cannot know whether it arrived.
"""

import dataclasses
import hashlib
import hmac
import json
import socket
import threading
import time
import uuid
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from bot.hub.forge import Actor, Forge
from bot.hub.records import App, Delivery, Installation, Repo, now_utc
from bot.hub.shapes.repositories import node_id, repository_json, user_json

TIMEOUT_S = 10.0  # GitHub's
_RESPONSE_LIMIT = 4096  # bytes of a receiver's answer that are kept


def emit(forge: Forge, event: str, action: str | None, *, actor: Actor, repo: Repo, payload: dict[str, Any]) -> None:
    """Queue an event for every app that is installed on the repository and subscribed to it.

    Call it in the transaction that makes the event true, so that both are stored or neither.
    """
    for app, installation in forge.installations(repo):
        if event not in json.loads(app.events_json):
            continue
        body = ({"action": action} if action else {}) | payload
        body["repository"] = repository_json(forge, forge.store.get(Repo, repo.id))
        body["installation"] = {"id": installation.id, "node_id": node_id("Installation", installation.id)}
        body["sender"] = user_json(forge, actor.user)
        enqueue(forge, app, event, action, body, installation=installation, repo=repo)


def enqueue(
    forge: Forge,
    app: App,
    event: str,
    action: str | None,
    body: dict[str, Any],
    *,
    installation: Installation | None = None,
    repo: Repo | None = None,
) -> Delivery | None:
    if not app.webhook_url:
        return None
    return forge.store.add(
        Delivery(
            app_id=app.id,
            guid=str(uuid.uuid4()),
            event=event,
            action=action,
            installation_id=installation.id if installation else None,
            repo_id=repo.id if repo else None,
            payload=json.dumps(body),
            created_at=now_utc(),
        )
    )


def redeliver(forge: Forge, delivery: Delivery) -> Delivery:
    """Queue the same payload again under the same GUID."""
    again = dataclasses.replace(
        delivery, redelivery=True, created_at=now_utc(), delivered_at=None, status="", status_code=None
    )
    return forge.store.add(again)


class Courier(threading.Thread):
    """Sends what waits in the queue, oldest first."""

    def __init__(self, forge: Forge) -> None:
        super().__init__(name="hub-courier", daemon=True)
        self._forge = forge
        self._stopping = False

    def run(self) -> None:
        while not self._stopping:
            self._forge.store.committed.clear()
            waiting = self._forge.store.one(Delivery, "WHERE status_code IS NULL ORDER BY id")
            if waiting is not None:
                self._deliver(waiting)
            else:
                self._forge.store.committed.wait()

    def stop(self) -> None:
        self._stopping = True
        self._forge.store.committed.set()
        self.join()

    def _deliver(self, delivery: Delivery) -> None:
        fault = self._forge.faults.take_delivery(delivery.event)
        if fault is not None and fault.delay_s:
            time.sleep(fault.delay_s)
        if fault is not None and fault.lose:
            self._forge.store.save(
                dataclasses.replace(delivery, delivered_at=now_utc(), status="failed to connect to host", status_code=0)
            )
            return
        app = self._forge.store.get(App, delivery.app_id)
        done = send(delivery, app)
        if fault is not None and fault.duplicate:
            done = send(delivery, app)
        self._forge.store.save(done)


def send(delivery: Delivery, app: App) -> Delivery:
    """One attempt; returns the delivery with its outcome."""
    body = delivery.payload.encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/hub",
        "X-GitHub-Event": delivery.event,
        "X-GitHub-Delivery": delivery.guid,
        "X-GitHub-Hook-ID": str(app.id),
        "X-GitHub-Hook-Installation-Target-ID": str(app.id),
        "X-GitHub-Hook-Installation-Target-Type": "integration",
    }
    if app.webhook_secret:
        digest = hmac.new(app.webhook_secret.encode(), body, hashlib.sha256).hexdigest()
        headers["X-Hub-Signature-256"] = f"sha256={digest}"
    started_s = time.monotonic()
    answer_headers: dict[str, str] = {}
    try:
        code, status, answer_headers, answer = _post(app.webhook_url, body, headers)
    except (OSError, HTTPException, ValueError):
        late = time.monotonic() - started_s >= TIMEOUT_S
        code, status, answer = 0, "timed out" if late else "failed to connect to host", ""
    return dataclasses.replace(
        delivery,
        delivered_at=now_utc(),
        duration_s=round(time.monotonic() - started_s, 3),
        status=status,
        status_code=code,
        request_headers_json=json.dumps(headers),
        response_headers_json=json.dumps(answer_headers),
        response_body=answer,
    )


def _post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, str, dict[str, str], str]:
    """No redirects and no proxies: a webhook goes where it was told to."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        raise ValueError(f"not a web address: {url}")
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=TIMEOUT_S)
    connection.connect()
    # The socket's own limit is for each packet, and the response may take the socket over.
    limit = threading.Timer(TIMEOUT_S, connection.sock.shutdown, (socket.SHUT_RDWR,))
    limit.start()
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, headers)
        response = connection.getresponse()
        answer = response.read(_RESPONSE_LIMIT).decode(errors="replace")
        status = "OK" if 200 <= response.status < 300 else response.reason or f"status {response.status}"
        return response.status, status, dict(response.getheaders()), answer
    finally:
        limit.cancel()
        connection.close()
