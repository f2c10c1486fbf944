"""A process's lease in PostgreSQL: a lock that the server takes back from a process that is gone, or silent for long.

The lock is an advisory one of a session of its own. A killed process loses it at once, with its connection; one that is
frozen, or cut off, when its session was idle for `lease_s`. Whoever holds the lock of a name is the only process of
that name, and whoever finds it free for a while may take over its work.
"""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

log = logging.getLogger("nightlab")
BEATS = 6  # in the time of a lease
CONNECT_S = 10
LOST_STATUS = 75  # of the process: "temporary failure, try again"


class LeaseError(RuntimeError):
    """This process cannot start; one sentence that says why."""


class DatabaseError(LeaseError):
    """The database cannot be used."""


class LeaseTakenError(LeaseError):
    """Another process has that name."""


def _leave(reason: str) -> None:
    """End at once, in the middle of whatever: somebody else may have taken over already."""
    log.critical("%s: this process ends, and others go on with its work", reason)
    os._exit(LOST_STATUS)


class Lease:
    """Held from construction to `stop`. Its connection must be to the server itself: a pooler that shares sessions
    between clients would share the lock too."""

    def __init__(
        self, *, database_url: str, name: str, lease_s: float, on_loss: Callable[[str], None] = _leave
    ) -> None:
        """Raises LeaseTakenError when the name is in use for longer than a dead process could hold it, and
        DatabaseError. `on_loss` is called in a thread of its own."""
        self.name, self._lease_s, self._on_loss = name, lease_s, on_loss
        self._connection = _connected(database_url, name, lease_s)
        self._stopping = threading.Event()
        deadline_s = time.monotonic() + lease_s + 1
        while not self._first(name):
            if time.monotonic() > deadline_s:
                self._connection.close()
                raise LeaseTakenError(
                    f"another process serves as {name!r}; stop it first, or give this one another name"
                )
            time.sleep(lease_s / BEATS / 2)
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()

    def held(self, name: str) -> bool:
        """Whether some process has the lease of that name."""
        key = _key(name) & (2**64 - 1)
        row = self._connection.execute(
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND classid = %s::bigint::oid AND objid = %s::bigint::oid",
            (key >> 32, key & (2**32 - 1)),
        ).fetchone()
        return row is not None

    @contextmanager
    def instead_of(self, name: str) -> Iterator[bool]:
        """Whether nobody has the lease of that name; if so, nobody gets it inside either."""
        taken = self._try(name)
        try:
            yield taken
        finally:
            if taken:
                self._connection.execute("SELECT pg_advisory_unlock(%s)", (_key(name),))

    def stop(self) -> None:
        """Let go of the name."""
        self._stopping.set()
        self._connection.close()
        self._thread.join()

    def _first(self, name: str) -> bool:
        try:
            return self._try(name)
        except psycopg.Error as error:
            raise DatabaseError(f"the database of NIGHTLAB_DATABASE_URL is gone: {first_line(error)}") from None

    def _try(self, name: str) -> bool:
        row = self._connection.execute("SELECT pg_try_advisory_lock(%s)", (_key(name),)).fetchone()
        return bool(row and row[0])

    def _beat(self) -> None:
        while not self._stopping.wait(self._lease_s / BEATS):
            try:
                self._connection.execute("SELECT 1")
            except psycopg.Error as error:
                if not self._stopping.is_set():
                    self._on_loss(f"the lease of {self.name!r} is lost ({first_line(error)})")
                return


def try_out(database_url: str) -> None:
    """Raises DatabaseError when the server does not answer, or not to us."""
    _connected(database_url, "doctor", CONNECT_S).close()


def _connected(database_url: str, name: str, lease_s: float) -> psycopg.Connection:
    try:
        connection = psycopg.connect(
            database_url,
            autocommit=True,
            connect_timeout=CONNECT_S,
            tcp_user_timeout=int(lease_s * 1000 / 2),  # cut off, we know it before the server gives the lock away
            application_name=f"nightlab {name}"[:63],
        )
        connection.execute("SELECT set_config('idle_session_timeout', %s, false)", (f"{int(lease_s * 1000)}ms",))
        encoding = connection.info.parameter_status("server_encoding")
    except psycopg.ProgrammingError:  # its text may quote a part of the URL, and that has a password in it
        raise DatabaseError("NIGHTLAB_DATABASE_URL is not an address that PostgreSQL's client can read") from None
    except psycopg.Error as error:
        raise DatabaseError(f"cannot use the database of NIGHTLAB_DATABASE_URL: {first_line(error)}") from None
    if encoding != "UTF8":  # what a cluster without a locale makes by default
        connection.close()
        raise DatabaseError(
            f"the database of NIGHTLAB_DATABASE_URL is in {encoding}; make one with "
            "`createdb --encoding UTF8 --template template0 nightlab`"
        )
    return connection


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"nightlab {name}".encode()).digest()[:8], "big", signed=True)


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
