"""How long the dashboard, the metrics and a health check take beside all that there ever was.

    python benchmarks/pages.py [--finished 55000]

A SQLite database is filled with workflows that ended: for each experiment four runs and an event, at times an A/A run,
an audit, a campaign. Nothing is under way. The median of ten requests counts. The last time, on 2 shared cores that had
other work to do:

    {"finished": 55000, "seconds": {"/": 0.117, "/metrics": 0.001, "/healthz": 0.007}}

and before the dashboard read rows by queries of its own: 1.323 s.
"""

import argparse
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "core"))
from report_examples import MERGED, REJECTED, loss_curve, run

from bot.core.order import Campaign, CampaignPlan
from bot.core.verdict.audit import Audit, Due, Report
from bot.durable.engine import SERIALIZER, WORKFLOW_VERSION, Engine, lone_post
from bot.durable.lab import Lab, open_lab
from bot.durable.rows import open_rows
from bot.edge.github.access import Access
from bot.web.app import make_app
from runner.protocol import Request, Source, Task

REPETITIONS = 10
APART_MS = 600_000  # between two experiments
TASK = Task(
    directory=".", preset="cpu", budget_steps=500, budget_s=None, timeout_s=600, memory_mib=4000, output_mib=100
)


def history(most: int) -> Iterator[tuple[str, str, list[Any], object, str]]:
    """Finished workflows, oldest first: id, name, arguments, output, what it noted under its name."""
    for number in range(most):
        tree = f"{number:040x}"
        source = Source(git_url="https://forge/ada/gpt.git", base_sha=tree, head_sha=tree, allowed=("/train.py",))
        for seed in range(4):
            identity = f"run-{tree[-20:]}-s{seed}"
            made = run(seed, 2.0 + seed / 1000, run_id=identity, tree_sha=tree, curve=loss_curve(2.0))
            request = Request(
                run_id=identity, source=source, task=TASK, seed=seed, sandbox="docker", cache_dir="",
                hardware_class="cpu-zen4",
            )  # fmt: skip
            yield identity, "run", [request, False], made, ""
        yield f"comment-{number}", "event", [f"/experiment {number}"], None, ""
        x = replace(MERGED if number % 10 == 0 else REJECTED, id=f"c{number}", pull_number=number + 1)
        yield x.id, "experiment", [x.id], x, "experiment"
        if number % 4 == 0:
            again = replace(request, run_id=f"again-{number}", seed=0)
            yield again.run_id, "again", [again, True], replace(made, run_id=again.run_id, seed=0, metric=2.0), ""
        if number % 100 == 0:
            due = Due(before_sha=tree, now_sha=tree, merges=10, claimed=0.01)
            audit = Audit(gain=0.009, standard_error=0.001, claimed=0.01, ratio=0.9)
            report = Report(repository="ada/gpt", due=due, audit=audit, runs_before=(2.0, 2.1), runs_now=(1.9, 2.0))
            yield f"{x.id}-audit", "audit", [x.id], report, ""
            plan = CampaignPlan(
                id=f"k{number}", repository="ada/gpt", requested_by="ada", issue_number=1, experiments=20, hours=8,
                usd=10, parallel=2, experiments_per_day=50,
            )  # fmt: skip
            campaign = Campaign(plan=plan, started_utc="2026-03-08T01:02:03Z", reason="all are done")
            yield plan.id, "campaign", [plan], campaign, "campaign"


def fill(database: Path, finished: int) -> None:
    """The newest ended now."""
    began_ms = int(time.time() * 1000) - finished // 6 * APART_MS
    statuses, events = [], []
    for index, (identity, name, arguments, output, noted) in enumerate(history(finished)):
        if index == finished:
            break
        at_ms = began_ms + index * APART_MS // 6
        inputs = SERIALIZER.serialize({"args": arguments, "kwargs": {}})
        text = SERIALIZER.serialize(output)
        statuses.append(
            (identity, "SUCCESS", name, text, inputs, at_ms, at_ms, at_ms, WORKFLOW_VERSION, SERIALIZER.name())
        )
        if noted:
            events.append((identity, noted, text, SERIALIZER.name()))
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executemany(
            "INSERT INTO workflow_status (workflow_uuid, status, name, output, inputs, created_at, updated_at, "
            "completed_at, application_version, serialization) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            statuses,
        )
        connection.executemany(
            "INSERT INTO workflow_events (workflow_uuid, key, value, serialization) VALUES (?, ?, ?, ?)", events
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--finished", type=int, default=55_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "nightlab.sqlite"
        post = lone_post(experiments_at_once=4, hardware_class="cpu-zen4", slots=2)
        Engine(post, database=database).stop()
        fill(database, options.finished)
        nobody = Access(api_url="http://127.0.0.1:1", app_id=None, private_key="", token="-", write_spacing_s=0)  # noqa: S106
        open_lab(Lab(access=nobody, mention="nightlab", local=True))
        engine = Engine(post, database=database)
        open_rows(f"sqlite:///{database}")
        browser = make_app(webhook_secret="x", forge_url="https://forge").test_client()  # noqa: S106
        found = {}
        for page in ("/", "/metrics", "/healthz"):
            took_s = []
            for _ in range(REPETITIONS):
                began_s = time.perf_counter()
                answer = browser.get(page)
                took_s.append(time.perf_counter() - began_s)
                assert answer.status_code == 200, answer.text
            found[page] = round(statistics.median(took_s), 3)
        engine.stop()
    print(json.dumps({"finished": options.finished, "seconds": found}))


if __name__ == "__main__":
    main()
