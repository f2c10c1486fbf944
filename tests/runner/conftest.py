import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fake_task import Bench, made

from runner.sandbox.bubblewrap import BubblewrapSandbox
from runner.sandbox.interface import SandboxError


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return made(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="session")
def in_docker(bench: Bench) -> Bench:
    """Runs go to containers; skips where there is no engine."""
    if "NIGHTLAB_IMAGE" not in os.environ:
        pytest.skip("NIGHTLAB_IMAGE is not set; `.ci/docker COMMAND` starts an engine, makes the image and sets it")
    from runner.sandbox import engine

    try:
        engine.connected()
    except SandboxError as error:
        pytest.skip(str(error))
    return replace(bench, sandbox="docker")


@pytest.fixture(params=[pytest.param("docker", marks=pytest.mark.docker), "bubblewrap"])
def sealed(request: pytest.FixtureRequest, bench: Bench) -> Iterator[Bench]:
    """Each of the two sandboxes that separate a candidate from the machine."""
    if request.param == "docker":
        yield request.getfixturevalue("in_docker")
        return
    try:
        BubblewrapSandbox(has_gpu=False)
    except SandboxError as error:  # no bwrap, no user namespaces, or root
        pytest.skip(str(error))
    yield replace(bench, sandbox="bubblewrap")
