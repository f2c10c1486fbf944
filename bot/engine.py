"""DBOS, set up for Nightlab: one database, JSON in every row, queues per hardware class, recovery at start.

Workflows survive kill -9: each finished step is a row, and a restarted process goes on after the last one. A step may
run twice when the kill falls between its effect and its row, so every step looks before it acts.

On SQLite one process does everything and a file lock keeps a second one out; its executor id is constant, so a start
recovers what the killed process left. The rows hold JSON, never pickles: whoever can write the database must not be
able to run code in the bot.
"""

import dataclasses
import fcntl
import json
import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig, Serializer
from pydantic import TypeAdapter

from bot.core import model
from runner import protocol

# Bump when a workflow's steps change in a way that recorded steps cannot replay; until then patch with DBOS.patch.
WORKFLOW_VERSION = "1"

EXPERIMENT_QUEUE = "experiments"
EVENT_QUEUE = "events"


def slot_queue(hardware_class: str) -> str:
    """The queue that runs of one hardware class wait in; each slot takes one at a time."""
    return f"gpu-{hardware_class}"


class EngineLockedError(RuntimeError):
    """Another process works on this database."""


class UnknownTypeError(ValueError):
    """A row names a type that this version does not have."""


def _storable() -> dict[str, TypeAdapter[Any]]:
    found = {}
    for module in (model, protocol):
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


class Engine:
    """A launched DBOS. Construct at most one per process; `stop` lets the lock go."""

    def __init__(self, *, database: Path, slots: dict[str, int], experiments_at_once: int, poll_s: float = 0.5) -> None:
        """Raises EngineLockedError when another process has this database open.

        `slots` maps a hardware class to how many runs of it this process may do at once.
        """
        database.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(database.with_suffix(".lock"))
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # of the file, for good: readers and the writer do not wait
        # DBOS warns that a recovered workflow is on another queue than at its first start: that is what recovery is.
        logging.getLogger("dbos").addFilter(lambda record: "queue is not updated" not in record.getMessage())
        config: DBOSConfig = {
            "name": "nightlab",
            "system_database_url": f"sqlite:///{database.resolve()}",
            "application_version": WORKFLOW_VERSION,
            "executor_id": "local",
            "serializer": SERIALIZER,
            "log_level": "WARNING",
            "notification_listener_polling_interval_sec": poll_s,
        }
        DBOS(config=config)
        DBOS.launch()
        DBOS.register_queue(EVENT_QUEUE, worker_concurrency=4, polling_interval_sec=poll_s)
        DBOS.register_queue(EXPERIMENT_QUEUE, worker_concurrency=experiments_at_once, polling_interval_sec=poll_s)
        for hardware_class, count in slots.items():
            DBOS.register_queue(slot_queue(hardware_class), worker_concurrency=count, polling_interval_sec=poll_s)

    def stop(self) -> None:
        """Stop taking work. Unfinished workflows go on at the next start."""
        DBOS.destroy()
        os.close(self._lock)


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
