"""The engine's rows by queries of our own, at a cost that follows what is asked for, not what there ever was.

The engine's own listing passes statuses as parameters, and a database cannot tell from those that its index of
unfinished work serves; it has no index of a workflow's kind, and reads what a workflow noted one workflow at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy
from sqlalchemy.pool import NullPool

from bot.durable.engine import SERIALIZER

WAITING, RUNNING = "ENQUEUED", "PENDING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """One workflow."""

    id: str
    kind: str  # its name, such as "run"
    status: str
    since_s: float  # Unix time
    queue: str


_engine: sqlalchemy.Engine | None = None
_schema = ""


def open_rows(database_url: str) -> None:
    """Set once per process, of the engine's database, which must be set up: `sqlite:///<path>` or `postgresql://...`.

    Adds an index by kind, so that the few campaigns and audits are not looked for among all the runs.
    """
    global _engine, _schema
    url = sqlalchemy.make_url(database_url)
    index = "CREATE INDEX IF NOT EXISTS nightlab_kind ON {}workflow_status (name, created_at)"
    if url.get_backend_name() == "sqlite":
        _engine, _schema = sqlalchemy.create_engine(url, poolclass=NullPool), ""
        one_at_a_time = ""
    else:
        url = url.set(drivername="postgresql+psycopg")
        _engine, _schema = sqlalchemy.create_engine(url, pool_size=1, max_overflow=2), "dbos."
        one_at_a_time = "SELECT pg_advisory_xact_lock(hashtext('nightlab_kind'))"  # bots may start together
    with _engine.begin() as connection:
        if one_at_a_time:
            connection.execute(sqlalchemy.text(one_at_a_time))
        connection.execute(sqlalchemy.text(index.format(_schema)))


def unfinished(*kinds: str) -> list[Unfinished]:
    """Of these kinds, oldest first. Raises SQLAlchemyError when the database does not answer."""
    rows = _rows(
        "SELECT workflow_uuid, name, status, created_at, queue_name FROM {}workflow_status "
        "WHERE status IN ('ENQUEUED', 'PENDING')"
    )
    found = [
        Unfinished(id=identity, kind=kind, status=status, since_s=created_ms / 1000, queue=queue or "")
        for identity, kind, status, created_ms, queue in rows
        if kind in kinds
    ]
    return sorted(found, key=lambda one: one.since_s)


def newest(*kinds: str, most: int) -> list[str]:
    """The ids of the newest workflows of these kinds, ended or not, newest first."""
    rows = _rows(
        "SELECT workflow_uuid FROM {}workflow_status WHERE name IN :kinds ORDER BY created_at DESC LIMIT :most",
        kinds=kinds,
        most=most,
    )
    return [identity for (identity,) in rows]


def last_ended(kind: str) -> str:
    """The id of the workflow of this kind that ended last; empty when none has."""
    rows = _rows(
        "SELECT workflow_uuid FROM {}workflow_status WHERE name = :kind AND completed_at IS NOT NULL "
        "ORDER BY completed_at DESC LIMIT 1",
        kind=kind,
    )
    return rows[0][0] if rows else ""


def ended_since(queue: str, since_s: float) -> bool:
    """Whether anything of a queue ended after that Unix time."""
    rows = _rows(
        "SELECT 1 FROM {}workflow_status WHERE completed_at > :since_ms AND queue_name = :queue LIMIT 1",
        since_ms=int(since_s * 1000),
        queue=queue,
    )
    return bool(rows)


def noted(key: str, ids: Sequence[str]) -> list[Any]:
    """What these workflows last noted under `key`, in the order of `ids`, less those that have noted nothing."""
    if not ids:
        return []
    query = "SELECT workflow_uuid, value FROM {}workflow_events WHERE key = :key AND workflow_uuid IN :ids"
    values = dict(tuple(row) for row in _rows(query, key=key, ids=tuple(ids)))
    return [SERIALIZER.deserialize(values[identity]) for identity in ids if identity in values]


def _rows(query: str, **values: Any) -> Sequence[Any]:
    """A tuple among the values is a list of the query's."""
    if _engine is None:
        raise RuntimeError("open_rows must be called before")
    lists = [name for name, value in values.items() if isinstance(value, tuple)]
    text = sqlalchemy.text(query.format(_schema)).bindparams(
        *(sqlalchemy.bindparam(name, expanding=True) for name in lists)
    )
    with _engine.connect() as connection:
        return connection.execute(text, values).all()
