"""How fast the bot acknowledges webhooks: requests a second and latency, by wrk, on this machine.

    python benchmarks/webhook.py [--seconds 20]        needs wrk

Requests are signed `issue_comment` events of about 2 kB: comments without a command (verified, parsed, answered), with
one (stored as a queued workflow before the answer, as in life; the forge is down, so nothing more comes of them), and
the same one again and again, as redeliveries are.
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
from pathlib import Path
from urllib.request import urlopen

SECRET = "benchmark"  # noqa: S105 - of this script alone
DISTINCT = 40_000
SCRIPT = """
local requests = {{}}
for line in io.lines("{requests}") do
  local signature, body = line:match("^(%S+) (.*)$")
  requests[#requests + 1] = wrk.format("POST", "/webhook", {{
    ["X-GitHub-Event"] = "issue_comment", ["X-Hub-Signature-256"] = signature, ["Content-Type"] = "application/json",
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
        "repository": {"full_name": "ada/model", "default_branch": "main"},
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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=20)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        environment = os.environ | {
            "NIGHTLAB_STATE": str(root / "state"),
            "NIGHTLAB_TOKEN": "none",
            "NIGHTLAB_API_URL": "http://127.0.0.1:9",  # nothing listens: these comments need no forge
            "NIGHTLAB_WEBHOOK_SECRET": SECRET,
            "NIGHTLAB_PORT": "18790",
        }
        quiet = subprocess.DEVNULL  # it complains of the missing forge, as it should
        bot = subprocess.Popen([sys.executable, "-m", "bot.cli", "serve"], env=environment, stdout=quiet, stderr=quiet)
        try:
            url = "http://127.0.0.1:18790"
            for _ in range(100):
                try:
                    urlopen(f"{url}/healthz", timeout=1).close()  # noqa: S310 - our own address
                    break
                except OSError:
                    time.sleep(0.1)
            print(
                f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
            )
            for name, count, words in (
                ("comments without a command", DISTINCT, ""),
                ("new commands", DISTINCT, "/experiment "),
                ("one command, redelivered", 1, "/experiment "),
            ):
                requests = root / "requests.txt"
                write_requests(requests, count, words)
                said = load(url, requests, root / "wrk.lua", seconds)
                rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
                latency = re.search(r"p50 .*", said)
                print(f"{name}: {rate[1] if rate else '?'} requests/s, {latency[0] if latency else said} (ms)")
        finally:
            bot.send_signal(signal.SIGKILL)
            bot.wait()


if __name__ == "__main__":
    main()
