"""Bots and runners as processes of their own, around one PostgreSQL database."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from living_lab import Bot, Lab, eventually, peopled
from living_process import Process

from bot.hub import Hub

LEASE_S = 4.0  # so that a busy machine is not taken for a dead one


class Runner(Process):
    """`nightlab runner`: no credential of a forge or a model is in its environment."""

    def __init__(self, folder: Path, *, name: str, database_url: str) -> None:
        self.name = name
        environment = {
            "NIGHTLAB_DATABASE_URL": database_url,
            "NIGHTLAB_NAME": name,
            "NIGHTLAB_LEASE_S": str(LEASE_S),
        }
        super().__init__("runner", folder, environment)

    def start(self) -> None:
        super().start()
        self.says("measures for", "the runner's start")


@dataclass
class Fleet:
    lab: Lab  # its bot is the one that gets the webhooks
    other_bot: Bot
    runners: tuple[Runner, Runner]
    database_url: str

    def start(self) -> None:
        """Everybody who is not at work; the lab's bot last, so that the webhook is its."""
        for runner in self.runners:
            if not runner.alive:
                runner.start()
        if not self.other_bot.alive:
            self.other_bot.start()
            if self.lab.bot.alive:
                self.lab.bot.stop()
        if not self.lab.bot.alive:
            self.lab.bot.start()

    def stop(self) -> None:
        for bot in (self.lab.bot, self.other_bot):
            bot.stop()
        for runner in self.runners:
            runner.stop()

    def busy_runner(self) -> Runner:
        """One that trains, as soon as one does."""

        def look() -> Runner | None:
            return next((runner for runner in self.runners if runner.offspring("train.py")), None)

        return eventually(look, "a training")

    def query(self, text: str, *, role: str = "postgres") -> list[tuple[object, ...]]:
        with psycopg.connect(self.database_url.replace("postgres@", f"{role}@")) as connection:
            return connection.execute(text.encode()).fetchall()

    def owner(self, identity: str) -> Bot:
        """The bot that has an experiment under way, as soon as one has."""

        def look() -> Bot | None:
            found = self.query(f"SELECT executor_id FROM dbos.workflow_status WHERE workflow_uuid = '{identity}'")  # noqa: S608
            return {"bot one": self.lab.bot, "bot two": self.other_bot}.get(str(found[0][0])) if found else None

        return eventually(look, f"the beginning of {identity}")


@contextmanager
def opened(folder: Path, *, database_url: str) -> Iterator[Fleet]:
    shared = {
        "NIGHTLAB_DATABASE_URL": database_url,
        "NIGHTLAB_LEASE_S": str(LEASE_S),
        "NIGHTLAB_RUNNER_ROLE": "runner",
    }
    of_runners = database_url.replace("postgres@", "runner@")
    with Hub(folder / "hub") as hub:
        app, tokens = peopled(hub)
        one, two = (Bot(folder / name, hub, app, {**shared, "NIGHTLAB_NAME": name}) for name in ("one", "two"))
        fleet = Fleet(
            lab=Lab(folder=folder, hub=hub, bot=one, tokens=tokens),
            other_bot=two,
            runners=(
                Runner(folder / "left", name="left", database_url=of_runners),
                Runner(folder / "right", name="right", database_url=of_runners),
            ),
            database_url=database_url,
        )
        two.start()  # makes the database, without which no runner starts
        try:
            fleet.start()
            yield fleet
        finally:
            fleet.stop()
