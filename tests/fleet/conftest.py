"""The lab of tests/loop, around PostgreSQL: two bots, two runners, each a process that can be killed or frozen."""

import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "loop"))

from living_fleet import Fleet, opened
from living_lab import Undisturbed, trying
from postgres import programs, server


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    binaries = programs()
    if binaries is None:
        pytest.skip("needs a PostgreSQL server: Debian's package is `postgresql`")
    with server(binaries) as url:
        yield url


@pytest.fixture(scope="session")
def shared_fleet(tmp_path_factory: pytest.TempPathFactory, postgres_url: str) -> Iterator[Fleet]:
    with psycopg.connect(f"{postgres_url}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE nightlab")
        connection.execute("CREATE ROLE runner LOGIN")
    with opened(tmp_path_factory.mktemp("fleet"), database_url=f"{postgres_url}/nightlab") as fleet:
        yield fleet


@pytest.fixture
def fleet(shared_fleet: Fleet) -> Fleet:
    """The fleet with everybody at work, whatever the test before did."""
    shared_fleet.lab.hub.faults.clear()
    shared_fleet.start()
    return shared_fleet


@pytest.fixture(scope="session")
def undisturbed(shared_fleet: Fleet) -> Undisturbed:
    return trying(shared_fleet.lab, shared_fleet.start)
