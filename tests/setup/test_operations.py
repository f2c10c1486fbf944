"""A bot in operation: what it counts, how it ends when it is told to, what its log holds."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from living_lab import SECRET, Lab, eventually, opened
from prometheus_client.parser import text_string_to_metric_families
from quick_task import WORSE, slow

pytestmark = pytest.mark.slow
READER = ("anybody", "a password of the dashboard")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with opened(tmp_path, environment={"NIGHTLAB_DASHBOARD_PASSWORD": READER[1]}) as lab:
        yield lab


def metrics(lab: Lab) -> dict[tuple[str, ...], float]:
    """name and values of its labels by their names -> value, as Prometheus reads it."""
    text = requests.get(f"{lab.bot.url}/metrics", auth=READER, timeout=30).text
    families = text_string_to_metric_families(text)
    return {
        (one.name, *(one.labels[key] for key in sorted(one.labels))): one.value
        for family in families
        for one in family.samples
    }


def test_counts_and_an_orderly_end_in_the_middle_of_work(lab: Lab) -> None:
    target = lab.repository()
    target.row(target.experiment(WORSE))
    lab.settle(target)
    counted = metrics(lab)
    assert counted["nightlab_experiments_ended_total", "tuner", "rejected"] == 1
    assert counted["nightlab_runs_total", "cpu", "ok"] >= 2
    assert counted["nightlab_slot_seconds_total", "tuner"] > 0
    assert counted["nightlab_webhooks_total", "issue_comment", "queued"] >= 1
    assert counted["nightlab_workflows", "run", "running"] == 0
    assert any(name[0] == "nightlab_forge_budget_left" and value > 0 for name, value in counted.items())

    slow_one = lab.repository(train=slow(0.02))
    identity = slow_one.experiment(WORSE)
    lab.bot.wait_for_training()
    assert metrics(lab)["nightlab_workflows", "run", "running"] >= 1
    page = requests.get(lab.bot.url, auth=READER, timeout=30).text
    assert f'<a href="{lab.hub.base_url}/{target.name}/pull/{target.pull().number}">' in page
    assert "<progress" in page
    assert page.count("data:image/svg+xml;base64,") == 1  # nothing was measured in the other yet
    lab.bot.stop()
    assert lab.bot.process is not None
    assert lab.bot.process.returncode == 0
    eventually(lambda: not lab.bot.offspring(), "the end of every runner")
    lab.bot.start()
    assert slow_one.row(identity)["state"] == "rejected"

    said = lab.bot.log.read_text()
    assert SECRET not in said
    assert READER[1] not in said
    assert "PRIVATE KEY" not in said
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert any(line.get("experiment") == identity and line["state"] == "rejected" for line in lines)
    assert any(line.get("delivery") and line["message"] == "webhook: queued" for line in lines)
