"""How long a person waits: from a comment to its reaction, and to the opened pull request.

    python benchmarks/latency.py [--comments 5] [--spacing-ms 0]

The tuner proposes, against a forge on this machine. `--spacing-ms 1000` is what GitHub asks for between two writes, and
what the bot keeps by default; opening a pull request takes five.
"""

import argparse
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import github
from soak import SECRET, Bot

from bot.hub import Hub
from bot.hub.records import Pull, Reaction

CONTRACT = "version: 1\nsandbox: subprocess\npaths:\n  allow: [/train.py]\ntask:\n  timeout_s: 30\n"
TRAIN = "LR = 0.5\nMOMENTUM = 0.9\n"


def seconds_until(look: Callable[[], bool], began_s: float) -> float:
    while not look():
        if time.monotonic() - began_s > 120:
            raise SystemExit("it did not happen within two minutes")
        time.sleep(0.005)
    return time.monotonic() - began_s


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--comments", type=int, default=5)
    parser.add_argument("--spacing-ms", type=int, default=0)
    options = parser.parse_args()
    reactions, pulls = [], []
    with tempfile.TemporaryDirectory() as folder, Hub(Path(folder) / "hub") as hub:
        source = Path(folder) / "source"
        (source / ".github").mkdir(parents=True)
        for path, text in {
            ".github/nightlab.yml": CONTRACT,
            "train.py": TRAIN,
            "prepare.py": "",
            "program.md": "",
        }.items():
            (source / path).write_text(text)
        hub.create_user("ada")
        hub.create_repo("ada", "model", source=source)
        bot = Bot(Path(folder), hub, spacing_ms=options.spacing_ms)
        hub.set_webhook("nightlab", url=f"http://127.0.0.1:{bot.port}/webhook", secret=SECRET)
        auth = github.Auth.Token(hub.create_token("ada"))
        ada = github.Github(base_url=hub.api_url, auth=auth, seconds_between_requests=0, seconds_between_writes=0)
        issue = ada.get_repo("ada/model").create_issue("An idea")
        store = hub.forge.store
        try:
            for number in range(options.comments):
                before = store.count(Reaction), store.count(Pull)
                began_s = time.monotonic()
                issue.create_comment(f"/experiment LR {0.51 + number / 100:.2f}")
                reactions.append(seconds_until(lambda b=before[0]: store.count(Reaction) > b, began_s))
                pulls.append(seconds_until(lambda b=before[1]: store.count(Pull) > b, began_s))
                seconds_until(lambda: bot.unfinished() == 0, began_s)  # one at a time, on a quiet bot
        finally:
            bot.stop(signal.SIGKILL)
    for name, found in (("reaction", reactions), ("opened pull request", pulls)):
        print(f"comment to {name}: median {statistics.median(found):.2f} s, longest {max(found):.2f} s")


if __name__ == "__main__":
    sys.exit(main())
