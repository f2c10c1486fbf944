"""Everything a forge remembers that is not git, in one SQLite database."""

import contextlib
import dataclasses
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from bot.hub.records import TABLES, Record

R = TypeVar("R", bound=Record)

SCHEMA_VERSION = 3
_COLUMN_TYPES: dict[object, str] = {
    int: "INTEGER NOT NULL",
    bool: "INTEGER NOT NULL",
    float: "REAL NOT NULL",
    str: "TEXT NOT NULL",
    int | None: "INTEGER",
    str | None: "TEXT",
}
_INDICES = (
    ("comment", "issue_id"),
    ("pull", "repo_id"),
    ("checkrun", "repo_id, head_sha"),
    ("status", "repo_id, sha"),
    ("delivery", "status_code"),
    ("review", "issue_id"),
    ("remark", "review_id"),
)

SqlValue = int | float | str | None


class StoreError(Exception):
    """The database cannot be used."""


class Store:
    """One connection per thread; a write is committed before `write` returns, or did not happen."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self.committed = threading.Event()  # set after each commit; the delivery thread waits for it
        version = self._connection().execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, SCHEMA_VERSION):
            raise StoreError(
                f"{path} was written by another version of the hub (schema {version}, not {SCHEMA_VERSION}); "
                "use that version, or another --root."
            )
        with self.write():
            for kind in TABLES:
                self._execute(_create_table(kind))
            for table, columns in _INDICES:
                name = f"{table}_{columns.replace(', ', '_')}"
                self._execute(f"CREATE INDEX IF NOT EXISTS {name} ON {table} ({columns})")
            self._execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, timeout=30, isolation_level=None, check_same_thread=False)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            self._local.connection = connection
            self._local.depth = 0
            with self._lock:
                self._connections.append(connection)
        return connection

    def close(self) -> None:
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    def _execute(self, sql: str, parameters: tuple[SqlValue, ...] = ()) -> sqlite3.Cursor:
        return self._connection().execute(sql, parameters)

    @contextlib.contextmanager
    def write(self) -> Iterator[None]:
        """A transaction; an inner one joins the outer one, so that an operation can be part of a larger one."""
        connection = self._connection()
        outermost = self._local.depth == 0
        if outermost:
            connection.execute("BEGIN IMMEDIATE")
        self._local.depth += 1
        try:
            yield
            if outermost:
                connection.execute("COMMIT")
                self.committed.set()
        except BaseException:
            if outermost and connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        finally:
            self._local.depth -= 1

    def add(self, record: R) -> R:
        """Insert; returns the record with its new id. Raises sqlite3.IntegrityError when it exists."""
        return self._insert("INSERT", record)

    def put(self, record: R) -> R:
        """Insert in the place of the row with which it shares its unique columns, if there is one."""
        return self._insert("INSERT OR REPLACE", record)

    def _insert(self, verb: str, record: R) -> R:
        values = {name: value for name, value in _values(record).items() if name != "id"}
        columns = ", ".join(values)
        places = ", ".join("?" for _ in values)
        with self.write():
            cursor = self._execute(
                f"{verb} INTO {_table(type(record))} ({columns}) VALUES ({places})",
                tuple(values.values()),
            )
        return dataclasses.replace(record, id=cursor.lastrowid or 0)

    def save(self, record: R) -> R:
        values = _values(record)
        assignments = ", ".join(f"{name} = ?" for name in values)
        with self.write():
            self._execute(
                f"UPDATE {_table(type(record))} SET {assignments} WHERE id = ?",  # noqa: S608 - our own names
                (*values.values(), record.id),
            )
        return record

    def remove(self, record: Record) -> None:
        with self.write():
            self._execute(f"DELETE FROM {_table(type(record))} WHERE id = ?", (record.id,))  # noqa: S608 - our names

    def all(self, kind: type[R], clause: str = "", *parameters: SqlValue) -> list[R]:
        """Rows that match `clause` (SQL from WHERE or JOIN on; values go in `parameters`)."""
        table = _table(kind)
        rows = self._execute(f"SELECT {table}.* FROM {table} {clause}", parameters)  # noqa: S608 - our own names
        return [_record(kind, row) for row in rows]

    def one(self, kind: type[R], clause: str, *parameters: SqlValue) -> R | None:
        rows = self.all(kind, f"{clause} LIMIT 1", *parameters)
        return rows[0] if rows else None

    def get(self, kind: type[R], row_id: int) -> R:
        """The row that another row points at. Raises KeyError when it is not there."""
        found = self.one(kind, "WHERE id = ?", row_id)
        if found is None:
            raise KeyError(f"no {kind.__name__} {row_id}")
        return found

    def count(self, kind: type[Record], clause: str = "", *parameters: SqlValue) -> int:
        row = self._execute(f"SELECT count(*) FROM {_table(kind)} {clause}", parameters).fetchone()  # noqa: S608 - ours
        return int(row[0])


def _table(kind: type[Record]) -> str:
    return kind.__name__.lower()


def _create_table(kind: type[Record]) -> str:
    columns = ["id INTEGER PRIMARY KEY AUTOINCREMENT"]
    columns += [f"{f.name} {_COLUMN_TYPES[f.type]}" for f in dataclasses.fields(kind) if f.name != "id"]
    if kind.unique:
        columns.append(f"UNIQUE ({', '.join(kind.unique)})")
    return f"CREATE TABLE IF NOT EXISTS {_table(kind)} ({', '.join(columns)})"


def _values(record: Record) -> dict[str, SqlValue]:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def _record(kind: type[R], row: sqlite3.Row) -> R:
    values = {f.name: bool(row[f.name]) if f.type is bool else row[f.name] for f in dataclasses.fields(kind)}
    return kind(**values)
