"""/metrics, in Prometheus' text format: what this process counted, and what is under way now.

The cost follows what is unfinished, not what there ever was.
"""

import time
from collections import Counter
from collections.abc import Iterator

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bot.durable.lab import lab
from bot.durable.notes import under_way
from bot.durable.rows import RUNNING, WAITING, unfinished
from bot.loop import meters

KINDS = ("run", "event", "experiment", "campaign")  # of workflows that somebody waits for


def page() -> bytes:
    return generate_latest(meters.REGISTRY) + generate_latest(_Now())


class _Now(Collector):
    def collect(self) -> Iterator[Metric]:
        yield from _queues()
        states = GaugeMetricFamily("nightlab_experiments", "Experiments under way, by state", labels=["state"])
        for state, count in Counter(x.state.value for x in under_way()).items():
            states.add_metric([state], count)
        yield states
        yield from _forge()


def _queues() -> Iterator[Metric]:
    count = GaugeMetricFamily("nightlab_workflows", "Unfinished work, by kind and status", labels=["kind", "status"])
    oldest = GaugeMetricFamily("nightlab_oldest_waiting_seconds", "How long the oldest waits", labels=["kind"])
    found, now_s = unfinished(*KINDS), time.time()
    for kind in KINDS:
        waiting = [one for one in found if (one.kind, one.status) == (kind, WAITING)]
        count.add_metric([kind, "waiting"], len(waiting))
        count.add_metric([kind, "running"], sum((one.kind, one.status) == (kind, RUNNING) for one in found))
        oldest.add_metric([kind], max(0.0, now_s - waiting[0].since_s) if waiting else 0.0)
    yield count
    yield oldest


def _forge() -> Iterator[Metric]:
    """By identity: the App, and each installation of it."""
    told = {
        "requests": "Requests to the forge's API since the start",
        "budget": "Requests that the forge grants in an hour",
        "budget_left": "Requests that are left of it",
        "pause_seconds": "How long the forge wants to be left alone",
        "writes_waiting": "Writes that wait for their turn",
    }
    families = {
        name: GaugeMetricFamily(f"nightlab_forge_{name}", text, labels=["identity"]) for name, text in told.items()
    }
    for budget in lab().access.budgets:
        values = {
            "requests": budget.requests,
            "budget": budget.limit,
            "budget_left": budget.remaining,
            "pause_seconds": budget.pause_s,
            "writes_waiting": budget.writes_waiting,
        }
        for name, value in values.items():
            if value is not None:
                families[name].add_metric([budget.identity], value)
    yield from families.values()
