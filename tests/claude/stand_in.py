"""A party that speaks the Messages API over real HTTP: streaming, tools, caching, errors, rate limits, slowness.

It holds requests to the API's rules (roles, tool results, cache marks, headers) and answers from a script. Prompt
caching is simulated as the API documents it: what precedes a mark is written once and read from then on.
"""

import hashlib
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-ant-a-secret-of-the-test"
CHARACTERS_PER_TOKEN = 4
LOOK_BACK = 20  # blocks before a mark among which an earlier mark is found again


@dataclass
class Say:
    """One scripted answer: tool calls as (name, input), text before them."""

    calls: Sequence[tuple[str, Any]] = ()
    text: str = ""
    thinking: str = ""
    stop_reason: str = ""
    output_tokens: int = 100
    delay_s: float = 0.0  # before each event
    break_after: int | None = None  # events, then the connection is dropped
    sse_error: tuple[str, str] | None = None  # (type, message) after message_start
    raw_json: str | None = None  # the input of the last tool call as text, cut off or not


@dataclass
class Fail:
    """One scripted refusal."""

    status: int
    kind: str
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "scripted"
    delay_s: float = 0.0


@dataclass
class StandIn:
    """`script` is used up from the front; an empty one ends every turn."""

    script: list[Say | Fail] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    counts: bool = True  # whether counting tokens is offered
    attempts: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)

    def __enter__(self) -> "StandIn":
        self._lock = threading.Lock()
        self._cached: set[str] = set()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def forget(self) -> None:
        """As if nobody had asked anything yet."""
        with self._lock:
            self.script, self.attempts = [], 0
            self.requests.clear()
            self.complaints.clear()
            self.headers.clear()
            self._cached.clear()

    def next(self, request: dict[str, Any]) -> Say | Fail:
        with self._lock:
            self.attempts += 1
            self.requests.append(request)
            return self.script.pop(0) if self.script else Say(text="I have nothing more to say.")

    def usage(self, request: dict[str, Any]) -> dict[str, int]:
        """Input tokens by the documented order: tools, system, messages; up to the last mark from or to the cache."""
        text, at_mark = "", 0
        ends: list[tuple[int, str]] = []  # of every block: length up to there, hash up to there
        looked_at: set[tuple[int, str]] = set()
        written: set[str] = set()
        for block in _blocks(request):
            marked = block.pop("cache_control", None) is not None
            text += json.dumps(block, sort_keys=True)
            ends.append((len(text), hashlib.sha256(text.encode()).hexdigest()))
            if marked:
                at_mark = len(text)
                looked_at |= set(ends[-LOOK_BACK:])
                written.add(ends[-1][1])
        with self._lock:
            read = max((length for length, digest in looked_at if digest in self._cached), default=0)
            self._cached |= written
        tokens = [part // CHARACTERS_PER_TOKEN for part in (len(text) - at_mark, read, at_mark - read)]
        return {
            "input_tokens": tokens[0],
            "cache_read_input_tokens": tokens[1],
            "cache_creation_input_tokens": tokens[2],
        }


def _blocks(request: dict[str, Any]) -> list[dict[str, Any]]:
    found = [dict(tool) for tool in request.get("tools", [])]
    found += [dict(block) for block in request.get("system", [])]
    for message in request["messages"]:
        found += [{**block, "role": message["role"]} for block in message["content"]]
    return found


def complaint(request: dict[str, Any], headers: dict[str, str]) -> tuple[int, str, str] | None:
    """What the API refuses in a request, as (status, type, message)."""
    if KEY not in (headers.get("x-api-key"), headers.get("authorization", "").removeprefix("Bearer ")):
        return 401, "authentication_error", "invalid API key"
    if not headers.get("anthropic-version"):
        return 400, "invalid_request_error", "anthropic-version: header is required"
    if request.get("model", "").startswith("unknown"):
        return 404, "not_found_error", f"model: {request['model']}"
    marks = sum("cache_control" in block for block in _blocks(request))
    if marks > 4:
        return 400, "invalid_request_error", f"a maximum of 4 blocks with cache_control may be provided, found {marks}"
    messages = request["messages"]
    for position, message in enumerate(messages):
        if message["role"] != ("user" if position % 2 == 0 else "assistant"):
            return 400, "invalid_request_error", f"messages.{position}: roles must alternate"
        if not message["content"]:
            return 400, "invalid_request_error", f"messages.{position}: content must not be empty"
        if any(block.get("type") == "text" and not block["text"].strip() for block in message["content"]):
            return 400, "invalid_request_error", f"messages.{position}: text content blocks must be non-empty"
        called = {b["id"] for b in messages[position - 1]["content"] if b["type"] == "tool_use"} if position else set()
        answered = {b["tool_use_id"] for b in message["content"] if b["type"] == "tool_result"}
        if message["role"] == "user" and called != answered:
            return 400, "invalid_request_error", f"messages.{position}: tool_use without tool_result"
    return None


def _events(say: Say, request: dict[str, Any], usage: dict[str, int]) -> list[tuple[str, dict[str, Any]]]:
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if say.thinking:
        deltas = [
            {"type": "thinking_delta", "thinking": say.thinking},
            {"type": "signature_delta", "signature": "c2lnbmF0dXJl"},
        ]
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, deltas))
    if say.text:
        blocks.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": say.text}]))
    for position, (name, values) in enumerate(say.calls):
        text = json.dumps(values)
        if say.raw_json is not None and position == len(say.calls) - 1:
            text = say.raw_json
        identity = f"toolu_{len(request['messages'])}_{position}"
        half = len(text) // 2
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in (text[:half], text[half:])]
        blocks.append(({"type": "tool_use", "id": identity, "name": name, "input": {}}, deltas))
    message = {
        "id": f"msg_{len(request['messages'])}",
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    events: list[tuple[str, dict[str, Any]]] = [("message_start", {"message": message}), ("ping", {})]
    if say.sse_error:
        kind, text = say.sse_error
        return [*events, ("error", {"error": {"type": kind, "message": text}})]
    for index, (start, deltas) in enumerate(blocks):
        events.append(("content_block_start", {"index": index, "content_block": start}))
        events += [("content_block_delta", {"index": index, "delta": delta}) for delta in deltas]
        events.append(("content_block_stop", {"index": index}))
    reason = say.stop_reason or ("tool_use" if say.calls else "end_turn")
    delta = {"delta": {"stop_reason": reason, "stop_sequence": None}, "usage": {"output_tokens": say.output_tokens}}
    return [*events, ("message_delta", delta), ("message_stop", {})]


def _handler(stand_in: StandIn) -> type[BaseHTTPRequestHandler]:  # noqa: C901  # one class, made to know its party
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            stand_in.headers.append(headers)
            wrong = complaint(request, headers)
            if wrong:
                stand_in.complaints.append(wrong[2])
                return self.refuse(Fail(wrong[0], wrong[1], message=wrong[2]))
            if self.path.startswith("/v1/messages/count_tokens"):
                if not stand_in.counts:
                    return self.refuse(Fail(404, "not_found_error"))
                tokens = sum(len(json.dumps(block)) for block in _blocks(request)) // CHARACTERS_PER_TOKEN
                return self.answer(200, {"input_tokens": tokens})
            if request.get("stream") is not True:
                return self.refuse(Fail(400, "invalid_request_error", message="this stand-in only streams"))
            said = stand_in.next(request)
            if isinstance(said, Fail):
                time.sleep(said.delay_s)
                return self.refuse(said)
            return self.stream(said, request)

        def refuse(self, said: Fail) -> None:
            body = {"type": "error", "error": {"type": said.kind, "message": said.message}, "request_id": "req_1"}
            self.answer(said.status, body, said.headers)

        def answer(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"content-type": "application/json", "request-id": "req_1", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def stream(self, said: Say, request: dict[str, Any]) -> None:
            events = _events(said, request, stand_in.usage(request))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("anthropic-ratelimit-requests-remaining", "49")
            self.send_header("connection", "close")
            self.end_headers()
            self.close_connection = True
            for count, (name, data) in enumerate(events):
                if said.break_after is not None and count >= said.break_after:
                    return
                time.sleep(said.delay_s)
                try:
                    self.wfile.write(f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode())
                    self.wfile.flush()
                except OSError:
                    return

    return Handler
