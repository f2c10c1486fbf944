"""The state of an experiment where GitHub shows it without a click: its label, and how its check run concludes."""

from dataclasses import dataclass

from bot.core.model import State

PREFIX = "nightlab: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    name: str
    color: str  # six hexadecimal digits, without #


HOLD = Label(name="on hold", color="fef2c0")
STOPPED = Label(name="merging stopped", color="b60205")  # on an open issue: nothing is merged until it is closed

_COLORS = {
    State.PROPOSING: "d4c5f9",
    State.MEASURING: "fbca04",
    State.CONFIRMING: "1d76db",
    State.LANDING: "0e8a16",
    State.PROVEN: "0e8a16",
    State.MERGED: "5319e7",
    State.REJECTED: "bfbfbf",
    State.CRASHED: "b60205",
    State.ABANDONED: "e4e4e4",
}

# success before the merge, because a branch rule may ask for the check; neutral for a rejection, which is a result.
_CONCLUSIONS = {
    State.LANDING: "success",
    State.PROVEN: "success",
    State.MERGED: "success",
    State.REJECTED: "neutral",
    State.CRASHED: "failure",
    State.ABANDONED: "cancelled",
}


def label(state: State) -> Label:
    """The one label with `PREFIX` that a pull request in this state has."""
    return Label(name=f"{PREFIX}{state.value}", color=_COLORS[state])


def conclusion(state: State) -> str | None:
    """The check run's conclusion in GitHub's word; None while it is in progress."""
    return _CONCLUSIONS.get(state)
