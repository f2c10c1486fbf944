"""How fast the bot acknowledges webhooks: requests a second and latency, by wrk, on this machine.

    python benchmarks/webhook.py [--seconds 20]        needs wrk, and for the comparison `npm ci` in benchmarks/probot

Requests are signed `issue_comment` events of about 2 kB: comments without a command (verified, parsed, answered), with
one (stored as a queued workflow before the answer, as in life; the forge is down, so nothing more comes of them), and
the same one again and again, as redeliveries are. A Probot app gets the same requests, verifies and acknowledges them,
and keeps nothing.
"""

import argparse
import hashlib
import hmac
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

SECRET = "benchmark"  # noqa: S105 - of this script alone
DISTINCT = 40_000
PROBOT = Path(__file__).parent / "probot"
SCRIPT = """
local requests = {{}}
for line in io.lines("{requests}") do
  local signature, body = line:match("^(%S+) (.*)$")
  requests[#requests + 1] = wrk.format("POST", "/webhook", {{
    ["X-GitHub-Event"] = "issue_comment", ["X-GitHub-Delivery"] = "a-guid", ["Content-Type"] = "application/json",
    ["X-Hub-Signature-256"] = signature, ["Host"] = "localhost",
  }}, body)
end
local next_request = 0
local threads = 0
function setup(thread) thread:set("offset", threads); threads = threads + 1 end
function init() next_request = offset end
function request() next_request = next_request + 2; return requests[next_request % #requests + 1] end
function done(summary, latency, requests)
  io.write(string.format("p50 %.2f p99 %.2f max %.2f errors %d\\n", latency:percentile(50) / 1000,
    latency:percentile(99) / 1000, latency.max / 1000, summary.errors.status + summary.errors.timeout))
end
"""


def payload(number: int, words: str) -> bytes:
    body = {
        "action": "created",
        "comment": {"id": number, "body": words + "Looks good to me. " * 60, "user": {"login": "ada", "type": "User"}},
        "issue": {"id": 7, "number": 4, "state": "open", "body": "An issue. " * 40, "user": {"login": "ada"}},
        "repository": {
            "id": 1,
            "full_name": "ada/model",
            "name": "model",
            "owner": {"login": "ada"},
            "default_branch": "main",
        },
    }
    return json.dumps(body).encode()


def write_requests(path: Path, count: int, words: str) -> None:
    with path.open("wb") as file:
        for number in range(count):
            body = payload(number, words)
            signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
            file.write(f"sha256={signature} ".encode() + body + b"\n")


def load(url: str, requests: Path, script: Path, seconds: int) -> str:
    script.write_text(SCRIPT.format(requests=requests))
    command = ["wrk", "-t2", "-c16", f"-d{seconds}s", "-s", str(script), url]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@dataclass(frozen=True, kw_only=True)
class Measured:
    requests_per_s: float
    said: str  # by wrk, of latencies


CASES = (
    ("comments without a command", DISTINCT, ""),
    ("new commands", DISTINCT, "/experiment "),
    ("one command, redelivered", 1, "/experiment "),
)


def measure(server: subprocess.Popen[bytes], url: str, folder: Path, seconds: int) -> dict[str, Measured]:
    """All cases against a server that was just started, which is killed in the end."""
    found = {}
    try:
        for _ in range(150):
            try:
                urlopen(f"{url}/ping", timeout=1).close()  # noqa: S310 - our own address
                break
            except HTTPError:
                break  # it answers
            except OSError:
                time.sleep(0.1)
        for name, count, words in CASES:
            requests = folder / "requests.txt"
            write_requests(requests, count, words)
            said = load(url, requests, folder / "wrk.lua", seconds)
            rate, latency = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"p50 .*", said)
            if rate is None or latency is None:
                raise SystemExit(f"wrk said something else:\n{said}")
            found[name] = Measured(requests_per_s=float(rate[1]), said=latency[0])
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=20)
    seconds = parser.parse_args().seconds
    quiet = subprocess.DEVNULL  # the bot complains of the missing forge, as it should
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        environment = os.environ | {
            "NIGHTLAB_STATE": str(root / "state"),
            "NIGHTLAB_TOKEN": "none",
            "NIGHTLAB_API_URL": "http://127.0.0.1:9",  # nothing listens: these comments need no forge
            "NIGHTLAB_WEBHOOK_SECRET": SECRET,
            "NIGHTLAB_PORT": "18790",
        }
        command = [sys.executable, "-m", "bot.cli", "serve"]
        bot = subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet)
        ours = measure(bot, "http://127.0.0.1:18790", root, seconds)
        theirs = {}
        if (PROBOT / "node_modules").is_dir():
            command = ["node", str(PROBOT / "app.js"), "18791", SECRET]
            silent = os.environ | {"LOG_LEVEL": "fatal"}
            app = subprocess.Popen(command, env=silent, stdout=quiet, stderr=quiet)
            theirs = measure(app, "http://127.0.0.1:18791", root, seconds)
    for name, measured in ours.items():
        print(f"{name}: {measured.requests_per_s:.0f} requests/s, {measured.said} (ms)")
        if name in theirs:
            other = theirs[name]
            ratio = measured.requests_per_s / other.requests_per_s
            print(f"  Probot: {other.requests_per_s:.0f} requests/s, {other.said}; ours / theirs {ratio:.2f}")


if __name__ == "__main__":
    main()
