"""The whole lab of tests/loop, with a bot that has a way to the stand-in."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "loop"))

from living_lab import Lab, opened
from stand_in import KEY, StandIn


@pytest.fixture(scope="session")
def talking_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, StandIn]]:
    with StandIn() as stand_in:
        more = {"NIGHTLAB_ANTHROPIC_API_KEY": KEY, "NIGHTLAB_CLAUDE_URL": stand_in.url}
        with opened(tmp_path_factory.mktemp("lab"), environment=more) as lab:
            yield lab, stand_in


@pytest.fixture
def lab(talking_lab: tuple[Lab, StandIn]) -> Iterator[Lab]:
    lab, stand_in = talking_lab
    stand_in.forget()
    lab.recover()
    yield lab
    lab.hub.faults.clear()


@pytest.fixture
def api(talking_lab: tuple[Lab, StandIn], lab: Lab) -> StandIn:
    return talking_lab[1]
