"""A forge that none of us wrote: npm's `emulate`, as a process, behind a proxy that fills its known gaps only."""

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from living_lab import SECRET, eventually

APP_ID = 12345
TOKENS = {"ada": "token-of-ada", "eve": "token-of-eve"}
Fill = Callable[[str, str], tuple[int, Any] | None]  # method, path -> the proxy's own answer, or None to ask


@dataclass(frozen=True, kw_only=True)
class Emulated:
    direct_url: str  # the emulator itself
    api_url: str  # the emulator with its gaps filled
    private_key_pem: str
    seen: list[tuple[str, str, int]]  # every request through the proxy


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def emulated(folder: Path, package: Path, *, webhook_url: str, fill: Fill) -> Iterator[Emulated]:
    """An emulator with the App on ada's repository `model`."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()
    port = free_port()
    direct = f"http://127.0.0.1:{port}"
    seen: list[tuple[str, str, int]] = []
    proxy = _proxy(direct, fill, seen)
    api_url = f"http://127.0.0.1:{proxy.server_address[1]}"
    app = {
        "app_id": APP_ID, "slug": "nightlab", "name": "Nightlab", "private_key": pem,
        "permissions": dict.fromkeys(("contents", "pull_requests", "issues", "checks"), "write") | {"metadata": "read"},
        "events": ["issue_comment", "issues", "push", "pull_request", "pull_request_review"],
        "webhook_url": webhook_url, "webhook_secret": SECRET,
        "installations": [{"installation_id": 100, "account": "ada", "repository_selection": "all"}],
    }  # fmt: skip
    seed = {
        "tokens": {token: {"login": login, "scopes": ["repo", "user"]} for login, token in TOKENS.items()},
        "github": {
            "baseUrl": api_url,
            "users": [{"login": login} for login in TOKENS],
            "repos": [{"owner": "ada", "name": "model", "auto_init": True}],
            "apps": [app],
        },
    }
    (folder / "seed.json").write_text(json.dumps(seed))
    with (folder / "emulator.log").open("wb") as log:
        process = subprocess.Popen(
            ["node", Path(__file__).parent / "emulator.mjs", package, folder / "seed.json", str(port)],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        eventually(lambda: _answers(direct), "the emulator's start")
        yield Emulated(direct_url=direct, api_url=api_url, private_key_pem=pem, seen=seen)
    finally:
        process.terminate()
        process.wait()
        proxy.shutdown()
        proxy.server_close()


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/meta", timeout=5).ok
    except requests.ConnectionError:
        return False


def _proxy(target: str, fill: Fill, seen: list[tuple[str, str, int]]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = self.path.partition("?")[0]
            filled = fill(self.command, path)
            if filled is not None:
                status, content, headers = (
                    filled[0],
                    json.dumps(filled[1]).encode(),
                    {"Content-Type": "application/json"},
                )
            else:
                kept = {name: text for name, text in self.headers.items() if name.lower() not in ("host", "connection")}
                answer = requests.request(
                    self.command, target + self.path, data=body, headers=kept, allow_redirects=False, timeout=30
                )
                status, content = answer.status_code, answer.content
                headers = {
                    name: answer.headers[name]
                    for name in ("Content-Type", "Link", "ETag", "Location")
                    if name in answer.headers
                }
            seen.append((self.command, path, status))
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - the base class's names

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
