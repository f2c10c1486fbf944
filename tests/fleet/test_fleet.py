"""Several bots and runners around PostgreSQL: whoever is killed or frozen, everything ends, and happens once."""

import signal
import subprocess
import sys
from typing import Any

import psycopg
import pytest
import requests
from living_fleet import Fleet
from living_lab import SECRET, Undisturbed
from living_process import ROOT, eventually
from quick_task import BETTER, WORSE, slow

from bot.edge.lease import LOST_STATUS

pytestmark = [pytest.mark.postgres]


def slots(row: dict[str, Any]) -> set[str]:
    return {measured["run"]["slot"] for measured in row["runs"]}


def test_two_bots_and_two_runners_do_an_experiment_and_leave_no_secret_in_the_database(fleet: Fleet) -> None:
    target = fleet.lab.repository(train=slow(0.5))
    row = target.row(target.experiment(WORSE))
    assert row["state"] == "rejected", row["reason"]
    assert slots(row) == {"left", "right"}
    assert requests.get(f"{fleet.lab.bot.url}/healthz", timeout=30).json()["ok"] is True
    assert (
        'nightlab_workflows{kind="run",status="running"}'
        in requests.get(f"{fleet.lab.bot.url}/metrics", timeout=30).text
    )
    tables = fleet.query("SELECT tablename FROM pg_tables WHERE schemaname = 'dbos'")
    everything = "".join(str(row) for (name,) in tables for row in fleet.query(f'SELECT * FROM dbos."{name}"'))  # noqa: S608
    assert target.name in everything
    key = (fleet.lab.bot.folder / "key.pem").read_text()
    for secret in (SECRET, key.splitlines()[1], *fleet.lab.tokens.values(), "ghs_"):
        assert secret not in everything
    # DBOS's own queue is served by every process, and a runner knows only one kind of work.
    everybodys = "SELECT workflow_uuid FROM dbos.workflow_status WHERE queue_name IS NULL OR queue_name LIKE '_dbos%'"
    assert fleet.query(everybodys) == []
    only_runs(fleet)


def only_runs(fleet: Fleet) -> None:
    """What somebody who has a runner's password finds and can do."""
    kinds = "SELECT DISTINCT name FROM dbos.workflow_status ORDER BY name"
    assert fleet.query(kinds, role="runner") == [("run",)]
    assert {("event",), ("experiment",)} <= set(fleet.query(kinds))
    for table in ("workflow_input", "workflow_output", "operation_outputs", "workflow_events"):
        others = (
            f"SELECT workflow_uuid FROM dbos.{table}"  # noqa: S608
            " WHERE workflow_uuid NOT IN (SELECT workflow_uuid FROM dbos.workflow_status WHERE name = 'run')"
        )
        assert fleet.query(others), table
        assert fleet.query(others, role="runner") == [], table
    for attempt in (
        "INSERT INTO dbos.workflow_status (workflow_uuid, name) VALUES ('x', 'run')",
        "UPDATE dbos.workflow_status SET name = 'experiment'",
        "INSERT INTO dbos.operation_outputs (workflow_uuid, function_id) SELECT 'c1', 1",
        "SELECT * FROM dbos.notifications",
        "DELETE FROM dbos.workflow_output",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            fleet.query(attempt, role="runner")


@pytest.mark.slow
def test_a_slot_has_one_process(fleet: Fleet) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bot.cli", "runner"],
        cwd=ROOT,
        env=fleet.runners[0].environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "another process serves as 'runner left'; stop it first" in " ".join(done.stdout.split())
    assert "Traceback" not in done.stdout + done.stderr
    assert fleet.runners[0].alive


@pytest.mark.slow
def test_a_runner_is_killed_while_it_trains(fleet: Fleet, undisturbed: Undisturbed) -> None:
    expected = undisturbed(WORSE)
    target = fleet.lab.repository(train=slow(2.0))
    identity = target.experiment(WORSE)
    victim = fleet.busy_runner()
    victim.signal(signal.SIGKILL)
    row = target.row(identity)
    assert target.settled() == expected
    assert slots(row) == {runner.name for runner in fleet.runners if runner is not victim} or len(slots(row)) == 2
    # The lost beginning is counted, so that work which kills whoever does it comes to an end.
    counted = "SELECT max(recovery_attempts) FROM dbos.workflow_status WHERE name = 'run'"
    assert fleet.query(counted) == [(2,)]


@pytest.mark.slow
def test_a_bot_is_killed_in_the_middle_of_an_experiment(fleet: Fleet) -> None:
    target = fleet.lab.repository(train=slow(0.5))
    identity = target.experiment(BETTER)
    fleet.busy_runner()
    victim = fleet.owner(identity)
    victim.kill()
    assert target.row(identity)["state"] == "merged"
    settled = target.settled()
    assert settled["main"] == [f"{settled['pulls'][2]['title']} (#2)", "Initial commit"]
    assert (settled["rows"], settled["table"], len(settled["ledger"])) == (1, ["merged"], 1)
    assert (settled["pulls"][2]["comments"], settled["pulls"][2]["checks"]) == (
        ["nightlab[bot]"],
        [("completed", "success")],
    )


@pytest.mark.slow
def test_a_bot_is_frozen_for_longer_than_its_lease(fleet: Fleet, undisturbed: Undisturbed) -> None:
    expected = undisturbed(WORSE)
    target = fleet.lab.repository(train=slow(1.1))
    identity = target.experiment(WORSE)
    fleet.busy_runner()
    victim = fleet.owner(identity)
    victim.signal(signal.SIGSTOP)
    try:
        target.row(identity)
    finally:
        victim.signal(signal.SIGCONT)
    assert eventually(lambda: victim.process and victim.process.poll(), "the end of the bot") == LOST_STATUS
    assert target.settled() == expected


@pytest.mark.slow
def test_a_runner_is_frozen_for_longer_than_its_lease(fleet: Fleet, undisturbed: Undisturbed) -> None:
    expected = undisturbed(WORSE)
    target = fleet.lab.repository(train=slow(1.2))
    identity = target.experiment(WORSE)
    victim = fleet.busy_runner()
    victim.signal(signal.SIGSTOP)
    try:
        row = target.row(identity)
    finally:
        victim.signal(signal.SIGCONT)
    assert row["state"] == "rejected"
    assert eventually(lambda: victim.process and victim.process.poll(), "the end of the runner") == LOST_STATUS
    assert "the lease of" in victim.log.read_text()
    assert target.settled() == expected


@pytest.mark.slow
def test_a_runner_that_starts_again_goes_on_at_once(fleet: Fleet, undisturbed: Undisturbed) -> None:
    """With nobody else there: what it left is its own under the same name."""
    expected = undisturbed(WORSE)
    target = fleet.lab.repository(train=slow(1.3))
    fleet.runners[1].stop()
    identity = target.experiment(WORSE)
    fleet.busy_runner().signal(signal.SIGKILL)
    eventually(lambda: not fleet.runners[0].alive, "the end of the killed runner")
    fleet.runners[0].start()
    assert slots(target.row(identity)) == {"left"}
    assert target.settled() == expected
