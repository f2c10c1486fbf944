from collections.abc import Iterator
from typing import Any

import pytest
from living_lab import Lab, Undisturbed, opened


@pytest.fixture(scope="session")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab for all tests of this folder, each of which has repositories of its own."""
    with opened(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def lab(shared_lab: Lab) -> Iterator[Lab]:
    """The lab with its bot running and its forge well, whatever the test before did."""
    shared_lab.hub.faults.clear()
    if not shared_lab.bot.alive:
        shared_lab.bot.start()
    yield shared_lab
    shared_lab.hub.faults.clear()


@pytest.fixture(scope="session")
def undisturbed(shared_lab: Lab) -> Undisturbed:
    """What an idea leaves on the forge when nothing goes wrong."""
    known: dict[str, dict[str, Any]] = {}

    def look(idea: str) -> dict[str, Any]:
        if idea not in known:
            target = shared_lab.repository()
            target.row(target.experiment(idea))
            known[idea] = target.settled()
        return known[idea]

    return look
