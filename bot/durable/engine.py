"""DBOS, set up for Nightlab: one database, JSON in every row, queues per hardware class, recovery.

Workflows survive kill -9: each finished step is a row, and a restarted process goes on after the last one. A step may
run twice when the kill falls between its effect and its row, so every step looks before it acts.

On SQLite one process does everything and a file lock keeps a second one out. On PostgreSQL there may be many, each with
a name of its own, a lease of that name, and the queues it serves; what one of them leaves behind the bots give to
another (bot/durable/recovery.py). A process that starts under the same name goes on with what it left itself.

The rows hold JSON, never pickles: whoever can write the database must not be able to run code in the bot.
"""

import dataclasses
import fcntl
import json
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from dbos import DBOS, DBOSConfig, Serializer, SetEnqueueOptions, SetWorkflowID, WorkflowHandle
from pydantic import TypeAdapter

from bot.core import model, order
from bot.durable.recovery import Recovery
from bot.edge.lease import DatabaseError, Lease, first_line
from runner import protocol

# Bump when a workflow's steps change in a way that recorded steps cannot replay; until then patch with DBOS.patch.
WORKFLOW_VERSION = "1"

EXPERIMENT_QUEUE = "experiments"
EVENT_QUEUE = "events"
CAMPAIGN_QUEUE = "campaigns"  # DBOS's own queue is served by every process, those that know no campaigns included
UNDER_WAY = ("PENDING", "ENQUEUED", "DELAYED")  # a workflow that has not ended
BROKEN = ("ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")  # a workflow that ended without a result


def slot_queue(hardware_class: str) -> str:
    """The queue that runs of one hardware class wait in; each slot takes one at a time."""
    return f"gpu-{hardware_class}"


def enqueue_experiment(identity: str, workflow: Callable[[Any], Any], work: order.Order | model.Experiment) -> None:
    """Queue what takes the place of an experiment, in its repository's line."""
    with SetWorkflowID(identity), SetEnqueueOptions(queue_partition_key=work.repository):
        DBOS.enqueue_workflow(EXPERIMENT_QUEUE, workflow, work)


def enqueue_event(key: str, workflow: Callable[[Any], Any], happened: Any, *, line: int) -> None:
    """Queue what is to be done about an event, in a line such as its repository's. The same key is done once."""
    with SetWorkflowID(key), SetEnqueueOptions(queue_partition_key=str(line)):
        DBOS.enqueue_workflow(EVENT_QUEUE, workflow, happened)


def enqueue_run(
    repository: str, workflow: Callable[..., Any], request: protocol.Request, *more: bool, priority: int | None = None
) -> WorkflowHandle[protocol.Run]:
    """Queue a run for the slots of its hardware class, in its repository's line, behind those of a smaller priority."""
    with SetWorkflowID(request.run_id), SetEnqueueOptions(queue_partition_key=repository, priority=priority):
        handle = DBOS.enqueue_workflow(slot_queue(request.hardware_class), workflow, request, *more)
    return cast("WorkflowHandle[protocol.Run]", handle)  # the type of an asynchronous workflow's handle says otherwise


def _register(name: str, at_once: int | None, *, poll_s: float) -> None:
    """Every queue but the campaigns' has a line for each repository. Of experiments and runs they are served in random
    order, and each may fill all places, so none stays free; only all lines together are bounded. Of events each line
    has places of its own: one repository whose forge asks for a pause of an hour holds up no other."""
    DBOS.register_queue(
        name,
        worker_concurrency=None if name == EVENT_QUEUE else at_once,
        partition_worker_concurrency=at_once,
        polling_interval_sec=poll_s,
        on_conflict="always_update",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """What a process is there for: its name, and the queues it serves with how much of each it does at once."""

    name: str = "local"
    queues: Mapping[str, int | None]
    is_bot: bool = True
    connections: int = 20


def bot_post(name: str, *, experiments_at_once: int) -> Post:
    """A bot that leaves the measuring to others."""
    queues = {EVENT_QUEUE: 4, EXPERIMENT_QUEUE: experiments_at_once, CAMPAIGN_QUEUE: None}
    return Post(name=f"bot {name}", queues=queues)


def runner_post(name: str, *, hardware_class: str) -> Post:
    return Post(name=f"runner {name}", queues={slot_queue(hardware_class): 1}, is_bot=False, connections=3)


def lone_post(*, experiments_at_once: int, hardware_class: str, slots: int) -> Post:
    """The one process that does everything."""
    bot = bot_post("", experiments_at_once=experiments_at_once)
    return Post(queues={**bot.queues, slot_queue(hardware_class): slots})


class EngineLockedError(RuntimeError):
    """Another process works on this database."""


class UnknownTypeError(ValueError):
    """A row names a type that this version does not have."""


def _storable() -> dict[str, TypeAdapter[Any]]:
    found = {}
    for module in (model, order, protocol):
        for name, value in vars(module).items():
            if dataclasses.is_dataclass(value):
                found[name] = TypeAdapter(value)
    return found


class JsonSerializer(Serializer):
    """Core and protocol dataclasses as JSON objects tagged with their name; exceptions as their name and sentence.

    A tuple comes back as a list unless a dataclass field says otherwise, so steps return dataclasses or lists.
    """

    def __init__(self) -> None:
        self._adapters = _storable()

    def name(self) -> str:
        return "nightlab_json"

    def serialize(self, data: Any) -> str:
        return json.dumps(data, default=self._plain)

    def deserialize(self, serialized_data: str) -> Any:
        return json.loads(serialized_data, object_hook=self._revive)

    def register(self, cls: type) -> None:
        """Make one more dataclass storable; for types that belong to a workflow module."""
        self._adapters[cls.__name__] = TypeAdapter(cls)

    def _plain(self, value: Any) -> Any:
        if dataclasses.is_dataclass(value) and type(value).__name__ in self._adapters:
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return {"$type": type(value).__name__, **fields}
        if isinstance(value, BaseException):
            return {"$error": type(value).__name__, "message": str(value)}
        raise TypeError(f"{type(value).__name__} is not a type that the engine stores; return a core dataclass or JSON")

    def _revive(self, mapping: dict[str, Any]) -> Any:
        if "$error" in mapping:
            return RuntimeError(f"{mapping['$error']}: {mapping['message']}")
        if "$type" not in mapping:
            return mapping
        adapter = self._adapters.get(mapping["$type"])
        if adapter is None:
            raise UnknownTypeError(f"the database holds a {mapping['$type']!r}, which this version of Nightlab lacks")
        return adapter.validate_python({key: value for key, value in mapping.items() if key != "$type"})


SERIALIZER = JsonSerializer()


class _Room:
    """How many experiments this process may have under way. Those that wait for people take no room: they do nothing,
    perhaps for days."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at_once: int | None = None
        self._poll_s = 0.0
        self._waiting = 0

    def open(self, at_once: int | None, *, poll_s: float) -> None:
        """`at_once` is None in a process that has none."""
        with self._lock:
            self._at_once, self._poll_s, self._waiting = at_once, poll_s, 0

    def change(self, by: int) -> None:
        with self._lock:
            self._waiting += by
            if self._at_once is not None:  # both limits in one write: other bots write the same row
                _register(EXPERIMENT_QUEUE, self._at_once + self._waiting, poll_s=self._poll_s)


_room = _Room()


@contextmanager
def leaving_room() -> Iterator[None]:
    """While this lasts another experiment may take the place of the caller."""
    _room.change(+1)
    try:
        yield
    finally:
        _room.change(-1)


class Engine:
    """A launched DBOS. Construct at most one per process; `stop` lets the lock, or the lease, go."""

    def __init__(self, post: Post, *, database: Path | str, lease_s: float = 30.0, poll_s: float = 0.5) -> None:
        """`database` is a file for SQLite or a PostgreSQL URL.

        Raises EngineLockedError or LeaseTakenError when another process is in this one's place, DatabaseError when the
        database cannot be used.
        """
        # DBOS warns that a recovered workflow is on another queue than at its first start: that is what recovery is.
        logging.getLogger("dbos").addFilter(lambda record: "queue is not updated" not in record.getMessage())
        self._lock: int | None = None
        self._lease: Lease | None = None
        self._recovery: Recovery | None = None
        if isinstance(database, Path):
            self._lock = _open_file(database)
            url = f"sqlite:///{database.resolve()}"
        else:
            self._lease = Lease(database_url=database, name=post.name, lease_s=lease_s)
            url = database
        config: DBOSConfig = {
            "name": "nightlab",
            "system_database_url": url,
            "application_version": WORKFLOW_VERSION,
            "executor_id": post.name,
            "serializer": SERIALIZER,
            "log_level": "WARNING",
            "notification_listener_polling_interval_sec": poll_s,
            "sys_db_pool_size": post.connections,
            "run_migrations": post.is_bot,
        }
        try:
            DBOS(config=config)
            DBOS.listen_queues(list(post.queues))
            _room.open(post.queues.get(EXPERIMENT_QUEUE), poll_s=poll_s)
            DBOS.launch()
            for name, at_once in post.queues.items():
                _register(name, at_once, poll_s=poll_s)
            _room.change(0)  # recovered experiments may wait already
        except Exception as error:
            self.stop()
            if isinstance(database, Path):
                raise
            raise DatabaseError(
                f"cannot use the database of NIGHTLAB_DATABASE_URL: {first_line(error)}"
                + ("" if post.is_bot else " (is a bot of this version there? It changes the tables when it starts)")
            ) from None
        if self._lease is not None and post.is_bot:
            self._recovery = Recovery(self._lease, grace_s=lease_s / 2)

    def is_alive(self, name: str) -> bool:
        """Whether another process of that name is at work here."""
        return self._lease is not None and name != self._lease.name and self._lease.held(name)

    def stop(self) -> None:
        """Stop taking work. Unfinished workflows go on at the next start, or, on PostgreSQL, elsewhere."""
        if self._recovery is not None:
            self._recovery.stop()
        DBOS.destroy()
        if self._lease is not None:
            self._lease.stop()
        if self._lock is not None:
            os.close(self._lock)


def _open_file(database: Path) -> int:
    """Make the SQLite database; the lock on it."""
    database.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock(database.with_suffix(".lock"))
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")  # of the file, for good: readers and the writer do not wait
    return lock


def _lock(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise EngineLockedError(
            f"another Nightlab process works on {path.parent}; stop it first, or give this one another folder"
        ) from None
    return handle
