"""Several repositories share slots and places: none has to wait until another has nothing more to do."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dbos import DBOS

from bot.core.model import Origin
from bot.core.order import Order
from bot.durable.engine import Engine, enqueue_event, enqueue_experiment, enqueue_run, leaving_room, lone_post
from runner.protocol import Request, Source, Task

BACKLOG = 24  # a lot falls on the same line as often as once in 2**24 times
done: list[str] = []
under_way: list[int] = []
go_on = threading.Event()


@DBOS.workflow(name="fairness_run")
def run(request: Request, flag: bool) -> None:
    under_way.append(+1)
    if request.run_id == "first":
        go_on.wait(30)
    under_way.append(-1)
    done.append(request.run_id)


@DBOS.workflow(name="fairness_experiment")
def experiment(order: Order) -> None:
    if order.id.startswith("patient"):
        with leaving_room():
            go_on.wait(30)
    done.append(order.id)


@DBOS.workflow(name="fairness_event")
def event(key: str) -> None:
    if key.startswith("limited"):
        go_on.wait(30)
    done.append(key)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    done.clear()
    under_way.clear()
    go_on.clear()
    post = lone_post(experiments_at_once=1, hardware_class="cpu", slots=1)
    engine = Engine(post, database=tmp_path / "nightlab.db", poll_s=0.05)
    yield engine
    go_on.set()
    deadline_s = time.monotonic() + 60
    while DBOS.list_workflows(status=["PENDING", "ENQUEUED"]) and time.monotonic() < deadline_s:
        time.sleep(0.05)  # or what ends late would be counted by the next test
    engine.stop()


def start(repository: str, name: str, *, priority: int | None = None) -> None:
    request = Request(
        run_id=name,
        source=Source(git_url="", base_sha="", head_sha="", allowed=()),
        task=Task(directory=".", preset="cpu", budget_steps=1, budget_s=None, timeout_s=1, memory_mib=1, output_mib=1),
        seed=0,
        sandbox="subprocess",
        cache_dir="",
        hardware_class="cpu",
    )
    enqueue_run(repository, run, request, False, priority=priority)


def begin(repository: str, name: str) -> None:
    enqueue_experiment(name, experiment, Order(id=name, repository=repository, origin=Origin(requested_by="")))


def finished(count: int) -> list[str]:
    deadline_s = time.monotonic() + 60
    while len(done) < count and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert len(done) == count
    return done


@pytest.mark.usefixtures("engine")
def test_a_backlog_in_one_repository_lets_the_runs_of_another_through() -> None:
    start("lab/busy", "first")
    start("lab/busy", "last", priority=1000)
    for number in range(BACKLOG):
        start("lab/busy", f"busy-{number}")
    start("lab/other", "other")
    go_on.set()
    order = finished(BACKLOG + 3)
    assert any(name.startswith("busy") for name in order[order.index("other") :])
    assert [name for name in order if name != "other"][-1] == "last"
    assert under_way == [+1, -1] * (BACKLOG + 3), "a slot had more than one run at a time"


@pytest.mark.usefixtures("engine")
def test_experiments_that_wait_for_people_leave_their_places_to_their_own_repository_too() -> None:
    for number in range(3):
        begin("lab/busy", f"patient-{number}")
    begin("lab/busy", "brisk")
    assert finished(1) == ["brisk"]
    for number in range(BACKLOG):
        begin("lab/busy", f"busy-{number}")
    begin("lab/other", "other")
    order = finished(BACKLOG + 2)
    assert order[-1] != "other"


@pytest.mark.usefixtures("engine")
def test_a_repository_whose_forge_asks_for_a_long_pause_holds_up_no_other() -> None:
    for number in range(BACKLOG):
        enqueue_event(f"limited-{number}", event, f"limited-{number}", line=1)
    enqueue_event("other", event, "other", line=2)
    assert finished(1) == ["other"]
    go_on.set()
    finished(BACKLOG + 1)
