"""Bedrock and Vertex as parties that speak real HTTP: they hold a request to their signatures before they answer."""

import base64
import hashlib
import hmac
import json
import re
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote

import jwt
from stand_in import Say, _events

AWS_ID, AWS_SECRET = "AKIATEST", "a-secret-of-the-test"
GOOGLE = "https://oauth2.googleapis.com/token"  # whom a service account tells who it is, wherever it asks
TOKEN = "ya29.of-the-test"


@dataclass
class Cloud:
    """`script` answers requests in turn; a request that is not signed as it must be is refused, and noted."""

    script: list[Say]
    secret: str = AWS_SECRET  # that it believes to be ours
    public_key: str = ""  # of the service account
    paths: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    url: str = ""


@contextmanager
def opened(cloud: Cloud) -> Iterator[Cloud]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(cloud))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    cloud.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield cloud
    finally:
        server.shutdown()
        server.server_close()


def signature(secret: str, path: str, headers: dict[str, str], body: bytes) -> str:
    """What AWS computes (Signature Version 4), from the request as it came and the secret that both sides know."""
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=(\S+?)/(\d{8}/\S+/bedrock/aws4_request), SignedHeaders=(\S+), Signature=\S+",
        headers["authorization"],
    )
    if not found or found[1] != AWS_ID:
        return ""
    scope, names = found[2], found[3].split(";")
    lines = ["POST", quote(path, safe="/%"), "", *(f"{name}:{headers[name].strip()}" for name in names), "", found[3]]
    canonical = "\n".join([*lines, hashlib.sha256(body).hexdigest()])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{digest}"
    return hmac.digest(key, text.encode(), "sha256").hex()


def frame(payload: dict[str, Any]) -> bytes:
    """One message of AWS's event stream encoding."""
    body = json.dumps({"bytes": base64.b64encode(json.dumps(payload).encode()).decode()}).encode()
    names = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in names.items()
    )
    prelude = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack("!I", zlib.crc32(message))


def _handler(cloud: Cloud) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            cloud.paths.append(self.path)
            if self.path == "/token":
                return self.token(parse_qs(body.decode())["assertion"][0])
            if self.path.startswith("/model/"):
                signed = headers["authorization"].endswith(signature(cloud.secret, self.path, headers, body) or "never")
            else:
                signed = headers["authorization"] == f"Bearer {TOKEN}"
            if not signed:
                cloud.refused.append(self.path)
                return self.answer(403, "application/json", b'{"message": "the signature does not match"}')
            request = {"model": "m", **json.loads(body)}
            if "count-tokens" in self.path:
                return self.answer(200, "application/json", json.dumps({"input_tokens": 1000}).encode())
            events = _events(cloud.script.pop(0), request, {"input_tokens": 1000})
            if self.path.startswith("/model/"):
                stream = b"".join(frame({"type": name, **data}) for name, data in events)
                return self.answer(200, "application/vnd.amazon.eventstream", stream)
            text = "".join(f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n" for name, data in events)
            return self.answer(200, "text/event-stream", text.encode())

        def token(self, assertion: str) -> None:
            jwt.decode(assertion, cloud.public_key, algorithms=["RS256"], audience=GOOGLE)
            said = {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}
            self.answer(200, "application/json", json.dumps(said).encode())

        def answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
