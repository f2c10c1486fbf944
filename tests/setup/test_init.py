"""`nightlab init`, as a pull request on a real hub and in a clone: the contract it adds is what the bot then reads."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import github
import pytest
import yaml
from quick_task import write
from rich.console import Console

from bot.core.contract import Contract, parse
from bot.hub import Hub
from bot.setup.init import init

ACTION = "octo/nightlab@0123456789abcdef0123456789abcdef01234567"


def run(
    place: str, *, local: bool = False, action: str = "", environment: dict[str, str] | None = None
) -> tuple[int, str]:
    console = Console(record=True, width=200)
    status = init(place, local=local, train="", action=action, environment=environment or {}, console=console)
    return status, console.export_text()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = write(tmp_path / "clone", contract=None)
    (folder / "program.md").write_text("Mine.\n")
    for command in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", "-C", str(folder), *command], check=True)
    return folder


def test_in_a_clone_nothing_is_overwritten(clone: Path) -> None:
    status, said = run(str(clone), local=True)
    assert (status, "wrote .github/nightlab.yml" in said, "program.md is there already" in said) == (0, True, True)
    assert said.splitlines()[-1] == "-> Commit and push what was written: the bot reads it on the default branch."
    assert (clone / "program.md").read_text() == "Mine.\n"
    written = (clone / ".github" / "nightlab.yml").read_text()
    assert isinstance(parse(written), Contract)
    status, said = run(str(clone), local=True)
    assert (status, "exists: `nightlab check`" in said) == (1, True)
    assert (clone / ".github" / "nightlab.yml").read_text() == written


def test_a_workflow_that_calls_the_action(clone: Path) -> None:
    status, said = run(str(clone), local=True, action="octo/nightlab@main; rm -rf /")
    assert (status, "names no action: write OWNER/REPOSITORY@COMMIT" in said) == (1, True)
    assert run(str(clone), local=True, action=ACTION)[0] == 0
    workflow = yaml.safe_load((clone / ".github" / "workflows" / "nightlab.yml").read_text())
    assert workflow["jobs"]["bench"]["steps"][1] == {"uses": ACTION}
    assert workflow["permissions"] == {}
    assert workflow[True] == {"pull_request": {"paths": ["train.py"]}}  # YAML 1.1 reads `on` as true


def test_a_folder_without_git(tmp_path: Path) -> None:
    assert run(str(tmp_path), local=True) == (1, f"{tmp_path} is not in a git clone: go to one, or name one\n")


def test_without_an_identity() -> None:
    status, said = run("ada/model", environment={"NIGHTLAB_STATE": "/nowhere/state"})
    assert (status, "has no identity on the forge" in said) == (1, True)


def test_without_a_forge() -> None:
    environment = {"NIGHTLAB_TOKEN": "t", "NIGHTLAB_WEBHOOK_SECRET": "s", "NIGHTLAB_API_URL": "http://127.0.0.1:1"}
    status, said = run("ada/model", environment=environment)
    assert (status, said.startswith("http://127.0.0.1:1 does not answer: is there a network")) == (1, True)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub(tmp_path / "hub") as hub:
        hub.create_user("ada")
        hub.create_repo("ada", "bare", source=write(tmp_path / "bare", contract=None))
        hub.create_repo("ada", "ready", source=write(tmp_path / "ready"))
        yield hub


def test_as_a_pull_request(hub: Hub, tmp_path: Path) -> None:
    app = hub.create_app("ada", "nightlab", account="ada")
    (tmp_path / "key.pem").write_text(app.private_key_pem)
    environment = {
        "NIGHTLAB_STATE": str(tmp_path / "state"),
        "NIGHTLAB_API_URL": hub.api_url,
        "NIGHTLAB_APP_ID": str(app.app_id),
        "NIGHTLAB_PRIVATE_KEY_FILE": str(tmp_path / "key.pem"),
        "NIGHTLAB_WEBHOOK_SECRET": "w",
        "NIGHTLAB_WRITE_SPACING_MS": "0",
    }
    assert run("ada/bare", environment=environment, action=ACTION)[0] == 0
    body = github.Github(base_url=hub.api_url).get_repo("ada/bare").get_pull(1).body
    assert f"uses: {ACTION}" in body
    for _ in range(2):  # the second time finds what the first one left
        status, said = run("ada/bare", environment=environment)
        assert (status, f"{hub.base_url}/ada/bare/pull/1 asks to let Nightlab work there" in said) == (0, True)
    git = ["git", "--git-dir", str(hub.git_path("ada/bare"))]
    names = subprocess.run([*git, "diff", "--name-only", "main...nightlab-init"], capture_output=True, text=True)
    assert names.stdout.split() == [".github/nightlab.yml"]  # it has a program
    shown = subprocess.run([*git, "show", "nightlab-init:.github/nightlab.yml"], capture_output=True, text=True)
    assert isinstance(parse(shown.stdout), Contract)
    assert run("ada/ready", environment=environment)[1] == "ada/ready has a contract already\n"
    assert "install its GitHub App there" in run("ada/nothing", environment=environment)[1]
