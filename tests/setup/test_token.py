"""A bot with a person's token instead of an App: it cannot make check runs, and writes under that person's name."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from living_lab import Lab, opened
from quick_task import BETTER

from bot.core.text import marker


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """The app's webhooks arrive; what the bot does, it does as ada."""
    with opened(tmp_path, by_token="ada") as lab:
        yield lab


@pytest.mark.slow
def test_an_experiment_lands_without_checks_and_the_bot_does_not_obey_itself(lab: Lab) -> None:
    target = lab.repository()
    echo = target.ask(f"{marker('reply-x')}\n\n/experiment {BETTER}")
    identity = target.experiment(BETTER)
    assert target.row(identity)["state"] == "merged"
    lab.settle(target)
    head = target.pull().head.sha
    assert target.checks(head) == []
    states = [(one.context, one.state) for one in target.ada.get_commit(head).get_combined_status().statuses]
    assert states[0] == ("nightlab", "success")
    assert target.reactions(echo) == []
    assert len(list(target.ada.get_pulls(state="all"))) == 1
