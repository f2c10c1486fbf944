from collections.abc import Iterator

import pytest
from living_lab import Lab, Undisturbed, opened, trying


@pytest.fixture(scope="session")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab for all tests of this folder, each of which has repositories of its own."""
    with opened(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def lab(shared_lab: Lab) -> Iterator[Lab]:
    """The lab with its bot running and its forge well, whatever the test before did."""
    shared_lab.recover()
    yield shared_lab
    shared_lab.hub.faults.clear()


@pytest.fixture(scope="session")
def undisturbed(shared_lab: Lab) -> Undisturbed:
    return trying(shared_lab, shared_lab.recover)
