"""What the role that runners sign in as may see and change in the database: their runs, and nothing of the bot's.

The bots' role owns the tables and sees every row. A runner's machine runs strangers' code; whoever breaks out there
and takes the database's password finds no proposal, no conversation with a model and no step of an experiment, and can
begin or change nothing that a bot would act upon, except the result of a run, which it is there to make.
"""

import logging
import time
from collections.abc import Sequence

import psycopg
from psycopg import sql

from bot.edge.lease import DatabaseError, first_line

WORK = "workflow_status"
OF_ITS_WORK = {  # table -> what a runner does with the rows that belong to its work; it begins none itself
    WORK: "SELECT, UPDATE",
    "workflow_input": "SELECT",
    "workflow_output": "SELECT, INSERT, UPDATE",
    "operation_outputs": "SELECT, INSERT, UPDATE",
    "workflow_events": "SELECT, INSERT, UPDATE",
    "workflow_events_history": "SELECT, INSERT, UPDATE",
}
OF_ALL = {  # what hangs together with no workflow
    "dbos_migrations": "SELECT",
    "application_versions": "SELECT, INSERT, UPDATE",
    "queues": "SELECT, INSERT, UPDATE",
    "workflow_schedules": "SELECT",
}
_POLICY = "nightlab_runs"
_IS_ADMITTED = f"SELECT FROM information_schema.tables WHERE table_name = '{WORK}'"  # which lists what one may see
LOOK_S = 2.0
log = logging.getLogger("nightlab")


def admit_runners(database_url: str, role: str, *, kinds: Sequence[str]) -> None:
    """Let `role` do the work of these kinds, and nothing else; the tables must be there. May be done again.

    Raises DatabaseError when the role does not exist, or when we are not the tables' owner.
    """
    try:
        with psycopg.connect(database_url) as connection:
            for statement in _statements(role, kinds):
                connection.execute(statement)
    except psycopg.Error as error:
        raise DatabaseError(f"cannot admit the role {role!r} of NIGHTLAB_RUNNER_ROLE: {first_line(error)}") from None


def await_admission(database_url: str) -> None:
    """Return as soon as the tables are there and we may see some: a runner may be started before the first bot, and a
    bot makes them when it has an identity on the forge. Raises DatabaseError."""
    said = False
    try:
        with psycopg.connect(database_url, autocommit=True) as connection:
            while connection.execute(_IS_ADMITTED).fetchone() is None:
                if not said:
                    log.info("waiting for a bot, which makes the tables and says what NIGHTLAB_RUNNER_ROLE may see")
                said = True
                time.sleep(LOOK_S)
    except psycopg.Error as error:
        raise DatabaseError(f"cannot use the database of NIGHTLAB_DATABASE_URL: {first_line(error)}") from None


def _statements(role: str, kinds: Sequence[str]) -> list[sql.Composed]:
    who = sql.Identifier(role)
    found = [
        sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA dbos FROM {}").format(who),
        sql.SQL("GRANT USAGE ON SCHEMA dbos TO {}").format(who),
    ]
    for name, what in (OF_ITS_WORK | OF_ALL).items():
        table = sql.Identifier("dbos", name)
        found.append(sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(what), table, who))
    for name in OF_ITS_WORK:
        table, policy = sql.Identifier("dbos", name), sql.Identifier(_POLICY)
        if name == WORK:
            mine = sql.SQL("name = ANY({})").format(sql.Literal(list(kinds)))
        else:  # what the role sees of that table it sees in here too
            mine = sql.SQL("EXISTS (SELECT FROM {} AS work WHERE work.workflow_uuid = {}.workflow_uuid)").format(
                sql.Identifier("dbos", WORK), table
            )
        found += [
            sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(table),  # for all but their owner, the bots
            sql.SQL("DROP POLICY IF EXISTS {} ON {}").format(policy, table),
            sql.SQL("CREATE POLICY {} ON {} TO {} USING ({}) WITH CHECK ({})").format(policy, table, who, mine, mine),
        ]
    return found
