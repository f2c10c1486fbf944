"""The engine keeps JSON, never pickles, and lets one process work on a folder."""

import dataclasses
import inspect
import math
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from living_lab import Lab
from living_process import ROOT
from quick_task import WORSE

from bot.core import model
from bot.core.intake import event, message
from bot.durable import mail
from bot.durable.engine import SERIALIZER, UnknownTypeError
from bot.intake import events
from bot.loop import measurement
from runner import protocol

STORED = [
    value
    for module in (model, protocol, event, message)
    for _, value in inspect.getmembers(module, dataclasses.is_dataclass)
    if value.__module__ == module.__name__
] + [measurement.Pool]
REGISTERED = (events, mail)  # which make events and messages storable

st.register_type_strategy(float, st.floats(allow_nan=False))


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.__name__)
def test_every_stored_type_comes_back_as_it_was(kind: type) -> None:
    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    @given(value=st.from_type(kind))
    def check(value: Any) -> None:
        text = SERIALIZER.serialize({"args": [value], "kwargs": {}})
        back = SERIALIZER.deserialize(text)["args"][0]
        assert type(back) is kind
        assert back == value

    check()


def test_a_number_that_is_none_comes_back_as_none() -> None:
    value = protocol.Progress(phase=protocol.Phase.TRAIN, loss=math.nan)
    assert math.isnan(SERIALIZER.deserialize(SERIALIZER.serialize(value)).loss)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", lambda: None, ValueError, 1j])
def test_what_is_not_of_the_core_is_not_stored(value: object) -> None:
    with pytest.raises(TypeError, match="not a type that the engine stores"):
        SERIALIZER.serialize(value)


def test_a_type_that_this_version_lacks_is_refused() -> None:
    with pytest.raises(UnknownTypeError, match=r"'os\.system', which this version of Nightlab lacks"):
        SERIALIZER.deserialize('{"$type": "os.system", "command": "true"}')


def test_an_error_comes_back_as_its_name_and_sentence() -> None:
    back = SERIALIZER.deserialize(SERIALIZER.serialize(ZeroDivisionError("by zero")))
    assert str(back) == "ZeroDivisionError: by zero"


def test_a_second_process_on_the_same_folder_is_refused_with_a_sentence(lab: Lab) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bot.cli", "serve"],
        cwd=ROOT,
        env=lab.bot.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "another Nightlab process works on" in " ".join(done.stdout.split())
    assert "Traceback" not in done.stdout + done.stderr
    assert lab.bot.alive


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"NIGHTLAB_PORT": "http"}, ["NIGHTLAB_PORT: write a whole number, not `http`"]),
        (
            {"NIGHTLAB_APP_ID": "7"},
            [
                "set NIGHTLAB_PRIVATE_KEY_FILE to the private key of App 7",
                "set NIGHTLAB_WEBHOOK_SECRET to the secret of the webhook",
            ],
        ),
        ({"NIGHTLAB_PRIVATE_KEY": "pem"}, ["set NIGHTLAB_APP_ID to the number of the App whose private key is given"]),
        ({"NIGHTLAB_TOKEN": "x"}, ["set NIGHTLAB_WEBHOOK_SECRET to the secret of the webhook"]),
    ],
)
def test_a_process_without_its_settings_says_which(tmp_path: Path, given: dict[str, str], missing: list[str]) -> None:
    """With no identity at all it shows the set-up page: see tests/setup/test_first_start.py."""
    done = subprocess.run(
        [sys.executable, "-m", "bot.cli", "serve"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "NIGHTLAB_STATE": str(tmp_path / "state"), **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert [sentence for sentence in missing if sentence not in said] == []


def test_no_row_of_the_database_is_a_pickle(lab: Lab) -> None:
    target = lab.repository()
    target.row(target.experiment(WORSE))
    seen = set()
    with sqlite3.connect(f"file:{lab.bot.database}?mode=ro", uri=True) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - a name from the database itself
                for cell in row:
                    text = cell if isinstance(cell, bytes) else str(cell).encode()
                    assert not text.startswith((b"\x80\x04", b"\x80\x05", b"gAS", b"gAW")), (table, text[:60])
        for table in ("workflow_status", "operation_outputs", "workflow_events", "notifications"):
            seen |= {name for (name,) in database.execute(f"SELECT DISTINCT serialization FROM {table}")}  # noqa: S608
    assert "nightlab_json" in seen
    assert not {name for name in seen if name and "pickle" in name}
