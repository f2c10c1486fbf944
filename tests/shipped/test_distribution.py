"""What `pip install` brings: a source archive, the wheel built from it, and a bot that starts from the wheel alone."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
import requests
from living_lab import eventually
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
BUILD = "from setuptools import build_meta as build; build.build_{}({!r})"


def build(kind: str, *, source: Path, into: Path) -> Path:
    program = BUILD.format(kind, str(into))
    subprocess.run([sys.executable, "-c", program], cwd=source, check=True, capture_output=True)
    (found,) = into.iterdir()
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a wheel, built as an index's would be, was unpacked into."""
    folder = tmp_path_factory.mktemp("distribution")
    checkout = folder / "checkout"
    for name in ("pyproject.toml", "README.md", "LICENSE", "bot", "runner"):
        checkout.mkdir(exist_ok=True)
        subprocess.run(["cp", "-r", ROOT / name, checkout], check=True)
    for part in ("source", "unpacked", "wheel"):
        (folder / part).mkdir()
    with tarfile.open(build("sdist", source=checkout, into=folder / "source")) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (source,) = (folder / "unpacked").iterdir()
    wheel = build("wheel", source=source, into=folder / "wheel")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, folder / "installed"], check=True)
    return folder / "installed"


def files(folder: Path) -> set[str]:
    found = (path for part in ("bot", "runner") for path in (folder / part).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)) for path in found if path.suffix != ".pyc"}


def test_a_wheel_has_every_file_of_the_packages(installed: Path) -> None:
    assert files(installed) == files(ROOT)
    assert "runner/spirals/.github/nightlab.yml" in files(installed)  # hidden, and no package


def test_the_images_pin_every_dependency_to_a_version_that_is_allowed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    by_name = {canonicalize_name(name): version for name, version in pins.items()}
    extras = project["optional-dependencies"]
    for need in map(Requirement, [*project["dependencies"], *extras["runner"], *extras["gpu"]]):
        if need.name != "torch":
            assert by_name[canonicalize_name(need.name)] in need.specifier, need


def test_a_bot_starts_from_a_wheel_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(installed)}
    environment |= {"NIGHTLAB_PORT": "0", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with (tmp_path / "log").open("wb") as log:
        command = [sys.executable, "-P", "-m", "bot.cli", "serve"]
        bot = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        link = eventually(
            lambda: re.search(r"http://\S+/setup/\?token=\S+", (tmp_path / "log").read_text()), "the link"
        )
        page = requests.Session().get(link[0], timeout=30)
        assert (page.status_code, "<form" in page.text) == (200, True)
    finally:
        bot.terminate()
        assert bot.wait(timeout=30) == 0
    where = "import bot, runner.sandbox.seccomp as s; print(bot.__file__, s.__file__)"
    loaded = subprocess.run(
        [sys.executable, "-P", "-c", where], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert loaded.stdout.count(str(installed)) == 2
