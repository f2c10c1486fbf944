"""The lease alone: who has it, how it is lost."""

import logging
import threading
import time

import psycopg
import pytest
from living_lab import eventually

from bot.edge import grants
from bot.edge.lease import DatabaseError, Lease, LeaseTakenError

pytestmark = [pytest.mark.postgres]


def lease(url: str, name: str, *, lease_s: float = 30) -> Lease:
    """One whose loss does not end the tests' own process."""
    return Lease(database_url=url, name=name, lease_s=lease_s, on_loss=lambda reason: None)


def test_a_lease_is_one_process_s_until_it_lets_go(postgres_url: str) -> None:
    url = f"{postgres_url}/postgres"
    bot, runner = lease(url, "bot"), lease(url, "runner")
    assert bot.held("runner")
    assert not bot.held("somebody else")
    with bot.instead_of("runner") as is_gone:
        assert not is_gone
    with pytest.raises(LeaseTakenError, match="another process serves as 'runner'; stop it first"):
        lease(url, "runner", lease_s=3)
    runner.stop()
    eventually(lambda: not bot.held("runner"), "the end of the runner's session")
    with bot.instead_of("runner") as is_gone:
        assert is_gone
        with pytest.raises(LeaseTakenError):
            lease(url, "runner", lease_s=3)
    lease(url, "runner").stop()
    bot.stop()


def test_whoever_loses_the_connection_is_told(postgres_url: str) -> None:
    url = f"{postgres_url}/postgres"
    lost, said = threading.Event(), []

    def on_loss(reason: str) -> None:
        said.append(reason)
        lost.set()

    held = Lease(database_url=url, name="cut off", lease_s=6, on_loss=on_loss)
    with psycopg.connect(url) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nightlab cut off'"
        )
    assert lost.wait(30)
    assert said[0].startswith("the lease of 'cut off' is lost")
    held.stop()


@pytest.mark.parametrize(
    "url", ["postgresql://u:hush@127.0.0.1:1/x", "postgresql://u:hush@127.0.0.1:port/x", "postgresql://u:%hush@h/x"]
)
def test_a_database_that_cannot_be_used_is_said_without_the_password(url: str) -> None:
    with pytest.raises(DatabaseError, match="NIGHTLAB_DATABASE_URL") as raised:
        Lease(database_url=url, name="bot", lease_s=1)
    assert "hush" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_database_that_does_not_keep_text_as_utf_8_is_refused_with_what_to_do(postgres_url: str) -> None:
    with psycopg.connect(f"{postgres_url}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(DatabaseError, match="is in SQL_ASCII; make one with `createdb --encoding UTF8"):
        lease(f"{postgres_url}/ascii", "bot")


def test_a_runner_waits_for_the_bot_that_makes_the_tables_and_admits_it(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(grants, "LOOK_S", 0.05)
    caplog.set_level(logging.INFO, "nightlab")
    with psycopg.connect(f"{postgres_url}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE empty")
        connection.execute("CREATE ROLE early LOGIN")
    url = f"{postgres_url}/empty".replace("postgres@", "early@")
    waiting = threading.Thread(target=grants.await_admission, args=(url,), daemon=True)
    waiting.start()
    with psycopg.connect(f"{postgres_url}/empty", autocommit=True) as bot:
        bot.execute("CREATE SCHEMA dbos")
        bot.execute(f"CREATE TABLE dbos.{grants.WORK} (name text)")
        time.sleep(0.5)
        assert waiting.is_alive()
        bot.execute(f"GRANT SELECT ON dbos.{grants.WORK} TO early")
    waiting.join(timeout=30)
    assert not waiting.is_alive()
    assert [record.message.split(",")[0] for record in caplog.records] == ["waiting for a bot"]
