"""The message of a merge, read back by git itself: nothing from outside may add, change or hide a trailer."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

from golden_text import assert_golden
from hypothesis import given, settings
from hypothesis import strategies as st
from report_examples import ATTACK, ESTIMATE, MERGED, METRIC, PROPOSAL, TERMS, VERDICT, hostile

from bot.core.history import Commit, landed, trailers
from bot.core.model import ModelUse
from bot.core.record import row
from bot.core.words.figures import figures
from bot.core.words.merge_message import merge_message

KEYS = ["Experiment", "Metric", "Gain", "Evidence", "Hardware", "Base", "Head", "Tree", "Environment", "Cost"]
KEYS += ["Requested-by", "Proposed-by"]
PIECES = [
    "\n",
    "\n\n",
    "---",
    "--- a\n",
    "Signed-off-by: e <e@x.y>",
    "\nGain: 9",
    ": ",
    "#",
    "\n# x",
    "\n ",
    "word",
    "\t",
]
PIECES += [
    "\r",
    "\r\n",
    "\u2028",
    "\x85",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x00",
    "fixes #1",
    "@you",
    "[skip ci]",
    "Conflicts:",
]
PIECES += ["# ------------------------ >8 ------------------------", "(cherry picked from commit ", "Fixes: ", "é", " "]
nasty = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=12).map("".join)


def parsed_by_git(message: str) -> list[tuple[str, str]]:
    git = subprocess.run(
        ["git", "-c", "core.commentChar=#", "interpret-trailers", "--parse"],
        input=message.encode(),
        capture_output=True,
        check=True,
    )
    lines = git.stdout.decode().split("\n")[:-1]
    return [(key, value) for key, _, value in (line.partition(": ") for line in lines)]


def test_merge_message() -> None:
    people = ("Ada Lovelace <ada@example.org>", "Eve\nGain: 9 <eve@example.org>", "not a person", "a <b@c>\nGain: 9")
    message = merge_message(MERGED, verdict=VERDICT, metric=METRIC, co_authors=people)
    assert_golden(message, "merge_message.txt")
    assert [key for key, _ in parsed_by_git(message)] == [*KEYS, "Co-authored-by", "Co-authored-by"]


def test_hostile_merge_message() -> None:
    message = merge_message(hostile(ATTACK), verdict=VERDICT, metric=METRIC)
    assert_golden(message, "merge_message_hostile.txt")
    assert [key for key, _ in parsed_by_git(message)] == KEYS


@settings(max_examples=80, deadline=None)
@given(nasty)
def test_git_finds_our_trailers_and_no_others(attack: str) -> None:
    verdict = replace(VERDICT, hardware_class=f"cpu {attack}", estimate=replace(ESTIMATE, form=f"paired{attack}"))
    experiment = replace(hostile(f"a{attack}"), id=f"exp{attack}")
    message = merge_message(experiment, verdict=verdict, metric=METRIC, co_authors=(f"a{attack} <a@b.c>",))
    found = parsed_by_git(message)
    assert [key for key, _ in found if key != "Co-authored-by"] == KEYS
    assert dict(found)["Gain"] == "0.00352 +/- 0.00020 bpb"
    assert trailers(message) == dict(found)


@settings(max_examples=80, deadline=None)
@given(nasty)
def test_no_message_acts_on_github(attack: str) -> None:
    message = merge_message(hostile(attack), verdict=VERDICT, metric=METRIC)
    title, _, body = message.partition("\n")
    assert title.endswith(" (#12)")
    assert len(title) <= 72 + len(" (#12)")
    for text in (title.removesuffix(" (#12)"), body):
        assert not re.search(r"#\d|@\w|GH-\d|://|\[\s*(skip|no|ci|actions)\b", text, re.IGNORECASE)
    message.encode()


def test_the_title_stays_without_a_number_before_there_is_one() -> None:
    message = merge_message(replace(MERGED, pull_number=None), verdict=VERDICT, metric=METRIC)
    assert message.split("\n")[0] == PROPOSAL.title


def test_a_self_reported_gain_is_called_so_and_read_back_so() -> None:
    message = merge_message(MERGED, verdict=VERDICT, metric=replace(METRIC, self_reported=True))
    found = trailers(message)
    assert found["Metric"].endswith(" (self-reported)")
    assert found["Gain"] == "0.00352 +/- 0.00020 bpb (self-reported)"
    assert "The metric is self-reported: it is what the code under test" in message
    (landing,) = landed([Commit(sha="1" * 40, committed_utc="2026-01-01T00:00:00Z", message=message)])
    assert (landing.self_reported, landing.gain) == (True, 0.00352)


def test_git_keeps_the_message_as_it_is(tmp_path: Path) -> None:
    message = merge_message(MERGED, verdict=VERDICT, metric=METRIC)
    people = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]

    def git(*arguments: str, text: str = "") -> str:
        done = subprocess.run(
            ["git", *people, *arguments], cwd=tmp_path, input=text, capture_output=True, text=True, check=True
        )
        return done.stdout

    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--file=-", text=message)
    assert git("log", "-1", "--format=%B").rstrip("\n") == message.rstrip("\n")
    assert git("log", "-1", "--format=%(trailers:key=Gain,valueonly)").strip() == "0.00352 +/- 0.00020 bpb"


def test_the_cost_is_the_ledgers_also_when_a_later_answer_led_to_nothing() -> None:
    """A person asked for a change, and the model declined: paid for all the same."""
    use = ModelUse(model="claude-opus-5-5", turns=9, cost_usd=1.5)
    declined = replace(MERGED, model_use=use)
    paid = trailers(merge_message(declined, verdict=VERDICT, metric=METRIC))["Cost"].rpartition("$")[2]
    assert float(paid) == row(declined, metric=METRIC).model_cost_usd == 1.5
    assert "$1.50 for the model" in figures(declined, TERMS)


def test_the_time_of_a_slot_is_called_what_it_is() -> None:
    for hardware_class, said in (("cpu-zen4", "6.9 CPU-min"), ("nvidia-h100-x1", "6.9 GPU-min")):
        verdict, terms = replace(VERDICT, hardware_class=hardware_class), replace(TERMS, hardware_class=hardware_class)
        assert trailers(merge_message(MERGED, verdict=verdict, metric=METRIC))["Cost"] == f"{said}, $0.38"
        assert f"{said} and $0.38" in figures(MERGED, terms)
