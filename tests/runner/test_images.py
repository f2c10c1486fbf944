"""Images that the contract chooses, in a real engine: by digest, and built from main's Dockerfile."""

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fake_task import Bench, doing, measured

from runner.protocol import Run, Status
from runner.sandbox import engine

pytestmark = [pytest.mark.slow, pytest.mark.docker]
SHOWS = doing("print([open(name).read() for name in ('/baked', '/also') if os.path.exists(name)], os.getenv('BAKED'))")


@pytest.fixture
def base(in_docker: Bench) -> Iterator[str]:
    """The name of the tests' image, which needs no registry. What is built from it goes away again."""
    client = engine.connected()
    before = {image["Id"] for image in client.images()}
    yield str(client.inspect_image(os.environ["NIGHTLAB_IMAGE"])["RepoTags"][0])
    for image in client.images(name="nightlab-task"):
        if image["Id"] not in before:
            client.remove_image(image["Id"], force=True)


def shown(bench: Bench, image: str, train: str = SHOWS) -> Run:
    request = bench.train_with(train)
    return measured(replace(request, task=replace(request.task, image=image)), env={"NIGHTLAB_IMAGE": ""})[0]


def test_an_image_by_digest(in_docker: Bench) -> None:
    run = shown(in_docker, os.environ["NIGHTLAB_IMAGE"])
    assert (run.status, run.reason) == (Status.OK, "")
    absent = shown(in_docker, f"sha256:{'0' * 64}")
    assert absent.status is Status.INFRASTRUCTURE
    assert absent.reason == f"this machine has no image sha256:{'0' * 64}: build or pull it first"


def test_an_image_of_mains_dockerfile_has_nothing_of_a_pull_request(in_docker: Bench, base: str) -> None:
    """Control: the context is main's tree less what proposals may edit. It is built once for each such tree."""
    dockerfile = f"FROM {base}\nENV BAKED=yes\nCOPY notes.txt /baked\nCOPY . /tree\n"
    main = in_docker.commit({"docker/cpu.Dockerfile": dockerfile, "model/part.py": "main's"})
    bench = replace(in_docker, base_sha=main)
    first = shown(bench, "docker/cpu.Dockerfile")
    assert (first.status, first.reason) == (Status.OK, "")
    assert first.log_tail.splitlines()[0] == "['of main\\n'] yes"

    listing = doing("print(sorted(os.listdir('/tree')))")
    again = shown(bench, "docker/cpu.Dockerfile", listing)
    assert again.log_tail.splitlines()[0] == "['docker', 'notes.txt', 'prepare.py']"
    assert again.environment_digest == first.environment_digest

    changed = bench.commit({"notes.txt": "newer\n"})
    newer = shown(replace(bench, base_sha=changed), "docker/cpu.Dockerfile")
    assert newer.log_tail.splitlines()[0] == "['newer\\n'] yes"
    assert newer.environment_digest != first.environment_digest


@pytest.mark.parametrize(
    ("dockerfile", "reason"),
    [
        ("FROM {base}\nCOPY absent /x\n", "absent"),
        ("FROM {base}\nCOPY train.py /x\n", "train.py"),  # what proposals edit is no part of an image
        ("FROM {base}\nVOLUME /data\n", "declares volumes, which would be writable without a limit"),
        ("FRAM {base}\n", "FRAM"),
        (None, "Dockerfile"),
    ],
)
def test_an_image_that_cannot_be_built_says_why(
    in_docker: Bench, base: str, dockerfile: str | None, reason: str
) -> None:
    files = {"Dockerfile": dockerfile.format(base=base)} if dockerfile else {}
    run = shown(replace(in_docker, base_sha=in_docker.commit(files)), "Dockerfile")
    assert run.status is Status.INFRASTRUCTURE
    assert reason in run.reason
    assert "volumes" in reason or run.reason.startswith("the image could not be built from main's Dockerfile: ")
    assert len(run.reason) < 500
