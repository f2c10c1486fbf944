"""A newcomer's first minute: what the demo does before anything is trained."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from bot import demo
from bot.core.contract import Contract, parse
from bot.hub import HubError
from bot.hub.server import PortTakenError

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def taken() -> int:
    """A port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_nearly_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**10, 10**10, 50 * 2**20))
    with pytest.raises(demo.DemoError, match=r"only 50 MiB are free .* with --folder"):
        demo.prepare_folder(tmp_path / "demo", fresh=False)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(demo.DemoError, match="choose another with --folder"):
        demo.prepare_folder(tmp_path / "file" / "demo", fresh=False)


def test_a_demo_killed_while_it_was_set_up_starts_over(tmp_path: Path) -> None:
    demo.prepare_folder(tmp_path, fresh=False)
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "half").write_text("")
    demo.prepare_folder(tmp_path, fresh=False)
    assert not (tmp_path / "hub").exists()


def test_a_finished_set_up_is_kept_unless_asked(tmp_path: Path) -> None:
    demo.prepare_folder(tmp_path, fresh=False)
    (tmp_path / "hub").mkdir()
    notes = demo.Notes(app_id=1, private_key="k", webhook_secret="s", token="t", experiments=3)
    demo.write_notes(tmp_path / "demo.json", notes)
    demo.prepare_folder(tmp_path, fresh=False)
    assert (tmp_path / "hub").exists()
    assert demo.Notes(**json.loads((tmp_path / "demo.json").read_text())) == notes
    assert (tmp_path / "demo.json").stat().st_mode & 0o777 == 0o600
    demo.prepare_folder(tmp_path, fresh=True)
    assert not (tmp_path / "hub").exists()


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_that_is_not_a_demo_is_left_alone(tmp_path: Path, fresh: bool) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "thesis.tex").write_text("years of work")
    with pytest.raises(demo.DemoError, match="holds something that is not a demo; choose another folder"):
        demo.prepare_folder(tmp_path, fresh=fresh)
    assert (tmp_path / "hub" / "thesis.tex").exists()


def test_a_taken_port_is_passed_over(tmp_path: Path, taken: int) -> None:
    hub = demo.open_hub(tmp_path, taken)
    try:
        assert str(taken) not in hub.base_url
    finally:
        hub.stop()


def test_all_ports_taken(tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PORTS_TRIED", 1)
    with pytest.raises(PortTakenError, match="choose another with --port"):
        demo.open_hub(tmp_path, taken)


def test_a_second_demo_on_the_same_folder(tmp_path: Path) -> None:
    first = demo.open_hub(tmp_path, 0)
    try:
        with pytest.raises(HubError, match="stop it, or choose another folder"):
            demo.open_hub(tmp_path, 0)
    finally:
        first.stop()


def test_the_repository_it_makes_is_complete(tmp_path: Path) -> None:
    demo.write_repository(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "README.md",
        "nightlab.yml",
        "prepare.py",
        "program.md",
        "train.py",
    ]
    assert isinstance(parse((tmp_path / ".github" / "nightlab.yml").read_text()), Contract)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["demo", "--experiments", "0"], "not a whole number from 1 to 1000"),
        (["demo", "--port", "99999"], "not a port from 1024 to 65000"),
        (["check", "nowhere.yml"], "there is no nowhere.yml"),
        (["check", "."], "cannot read .: Is a directory"),
        (["bench", "--json", "nowhere/out.json"], "cannot be written"),
        (["serve"], "cannot use the folder file"),
        ([], "usage: nightlab"),
        (["log", "nowhere"], "git cannot read nowhere"),
    ],
)
def test_wrong_arguments_end_in_one_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    root = Path(demo.__file__).parent.parent
    (tmp_path / "file").write_text("")
    environment = os.environ | {"PYTHONPATH": str(root), "NIGHTLAB_STATE": "file", "NIGHTLAB_TOKEN": "t"}
    environment["NIGHTLAB_WEBHOOK_SECRET"] = 40 * "s"
    done = subprocess.run(
        [sys.executable, "-m", "bot.cli", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode in (1, 2)
    assert sentence in (done.stdout + done.stderr).replace("\n", " ")
    assert "Traceback" not in done.stderr
