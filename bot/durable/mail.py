"""Messages to experiments under way. The engine keeps them until they are read, and delivers each once."""

from contextlib import nullcontext

from dbos import DBOS

from bot.core.intake.message import Look, Message, Override, Rerun, Revise
from bot.durable.engine import SERIALIZER, leaving_room

TOPIC = "mail"

for stored in (Look, Rerun, Revise, Override):
    SERIALIZER.register(stored)


def send(experiment_id: str, said: Message) -> None:
    """For a workflow: the experiment reads it before its next decision, at once when it waits for people."""
    DBOS.send(experiment_id, said, topic=TOPIC)


def read(*, wait_s: float = 0) -> list[Message]:
    """For an experiment's workflow: the messages since it last read, oldest first; waits for the first if need be."""
    with leaving_room() if wait_s else nullcontext():
        said = DBOS.recv(TOPIC, timeout_seconds=wait_s)
    found: list[Message] = []
    while isinstance(said, Look | Rerun | Revise | Override):
        found.append(said)
        said = DBOS.recv(TOPIC, timeout_seconds=0)
    return found
