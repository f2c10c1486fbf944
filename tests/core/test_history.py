"""The record read back: ledger rows, results.tsv in autoresearch's layout, and landings from git log alone."""

import csv
import io
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_examples import (
    ABANDONED,
    ATTACK,
    CRASHED,
    ESTIMATE,
    MERGED,
    METRIC,
    PROPOSED,
    REJECTED,
    VERDICT,
    hostile,
)

from bot.core.history import Commit, landed, trailers
from bot.core.model import Decision, Experiment, State
from bot.core.record import appended, one_line, row, row_from_json, row_json
from bot.core.text import line
from bot.core.words.merge_message import merge_message

ENDED = (MERGED, REJECTED, CRASHED, ABANDONED)
ours = st.floats(allow_nan=False, allow_infinity=False, width=32) | st.none()
words = st.text(max_size=40)


def test_row_derives_every_figure() -> None:
    found = row(MERGED, metric=METRIC)
    assert (found.gain, found.standard_error, found.evalue) == (0.00352, 0.0002, 412.7)
    assert found.metric_after == pytest.approx(2.0167833)
    assert found.metric_before == pytest.approx(2.0167833 + 0.00352)
    assert (found.n, found.n_confirm, found.n_baseline, found.form) == (8, 6, 8, "paired")
    assert (found.hardware_class, found.environment_digest) == ("cpu-zen4", "e5" * 32)
    assert found.peak_memory_mib == 707.0
    assert found.gpu_s == pytest.approx(sum(m.run.wall_s for m in MERGED.runs if not m.shared))
    assert found.reason.startswith("proven better by 8 pairs")


def test_row_of_an_experiment_without_a_proposal() -> None:
    found = row(replace(PROPOSED, proposal=None, state=State.ABANDONED, reason="no idea left"), metric=METRIC)
    assert (found.title, found.n, found.metric_after, found.reason) == ("", 0, None, "no idea left")


@pytest.mark.parametrize("experiment", ENDED)
def test_row_json_round_trip(experiment: object) -> None:
    found = row(experiment, metric=METRIC)  # type: ignore[arg-type]
    assert row_from_json(row_json(found)) == found


@given(words)
def test_row_json_holds_any_text(text: str) -> None:
    found = row(hostile(text), metric=METRIC)
    assert row_from_json(row_json(found)) == found


def test_an_infinite_e_value_does_not_make_a_row_unreadable() -> None:
    endless = Decision(action=MERGED.decision.action, reason="", estimate=replace(ESTIMATE, evalue=math.inf))  # type: ignore[union-attr]
    back = row_from_json(row_json(row(replace(MERGED, decision=endless), metric=METRIC)))
    assert back is not None
    assert back.evalue is None


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"experiment_id": 3}', "\x00"])
def test_what_is_no_row_is_none(text: str) -> None:
    assert row_from_json(text) is None


def table(text: str) -> list[dict[str, str]]:
    """As a notebook reads results.tsv."""
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t", strict=True))


def results(*experiments: Experiment) -> list[dict[str, str]]:
    text = ""
    for experiment in experiments:
        text = appended(text, row(experiment, metric=METRIC))
    return table(text)


def test_the_table_reads_as_autoresearch_does() -> None:
    lines = results(*ENDED)
    assert list(lines[0])[:5] == ["commit", "val_bpb", "memory_gb", "status", "description"]
    assert [item["status"] for item in lines] == ["keep", "discard", "crash", "discard"]
    assert [item["val_bpb"] for item in lines] == ["2.016783", "2.017450", "0.000000", "0.000000"]
    assert [item["state"] for item in lines] == ["merged", "rejected", "crashed", "abandoned"]
    assert lines[0]["commit"] == "d4d4d4d"


@given(st.lists(st.tuples(st.text(max_size=40), words, ours), min_size=1, max_size=4))
def test_whatever_is_written_reads_back(rows: list[tuple[str, str, float | None]]) -> None:
    made = [
        replace(row(MERGED, metric=METRIC), title=f'"{title}', requested_by=login, gain=gain, metric_name="val loss")
        for title, login, gain in rows
    ]
    text = ""
    for one in made:
        text = appended(text, one)
    back = table(text)
    assert [item["description"] for item in back] == [line(one.title, 200).replace('"', "'") for one in made]
    assert [item["requested_by"] for item in back] == [line(one.requested_by).replace('"', "'") for one in made]
    assert [float(item["gain"] or "nan") for item in back] == [
        pytest.approx(math.nan if one.gain is None else one.gain, rel=1e-5, nan_ok=True) for one in made
    ]
    assert {item["val_loss"] for item in back} == {"2.016783"}


def test_a_line_is_added_below_what_is_there() -> None:
    written = appended("", row(CRASHED, metric=METRIC)).split("\n")[1]
    for before in ("mine\nx\ty\n", "mine\nx\ty"):  # a person's own, or one that lost its last newline
        assert appended(before, row(CRASHED, metric=METRIC)) == f"mine\nx\ty\n{written}\n"


def merge(title: str = "", **changed: object) -> Commit:
    experiment = replace(MERGED, **changed)  # type: ignore[arg-type]
    if title and experiment.proposal:
        experiment = replace(experiment, proposal=replace(experiment.proposal, title=title))
    return Commit(
        sha="d4" * 20,
        committed_utc="2026-03-08T01:22:03Z",
        message=merge_message(experiment, verdict=VERDICT, metric=METRIC),
    )


def test_landed_rebuilds_the_history_from_messages() -> None:
    people = [
        Commit(sha="1" * 40, committed_utc="", message=text) for text in ("", "Fix typo", "a\n\nGain: 9\n", "\n\n")
    ]
    (found,) = landed([people[0], merge(), *people[1:], merge()])
    assert (found.title, found.pull_number, found.experiment_id) == (MERGED.proposal.title, 12, "exp-0007")  # type: ignore[union-attr]
    assert (found.before, found.after, found.gain, found.standard_error) == (2.02030, 2.01678, 0.00352, 0.0002)
    assert (found.evalue, found.n, found.n_baseline, found.metric_name) == (413.0, 8, 8, "val_bpb")
    assert (found.sha, found.landed_utc) == ("d4" * 20, "2026-03-08T01:22:03Z")
    assert found.trailers["Base"] == "a1" * 20


def test_landed_keeps_the_order_and_one_commit_for_each_experiment() -> None:
    commits = [merge(title="first", id="a"), merge(title="second", id="b"), merge(title="picked", id="a")]
    assert [found.title for found in landed(commits)] == ["first", "second"]


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=60))
def test_a_hostile_title_or_hypothesis_changes_no_figure(text: str) -> None:
    message = merge_message(hostile(text + ATTACK), verdict=VERDICT, metric=METRIC)
    (found,) = landed([Commit(sha="x", committed_utc="", message=message)])
    assert (found.gain, found.experiment_id, found.pull_number) == (0.00352, "exp-0007", 12)


@given(st.text(alphabet=st.sampled_from("aE:-> \n\t#()1.+/=")), st.sampled_from(["Gain", "Metric", "Evidence"]))
def test_landed_passes_over_what_it_cannot_read(text: str, key: str) -> None:
    message = merge().message
    assert landed([Commit(sha="x", committed_utc="", message=text)]) == []
    lines = [f"{key}: {text}" if line.startswith(f"{key}: ") else line for line in message.split("\n")]
    landed([Commit(sha="x", committed_utc="", message="\n".join(lines))])


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("title\n\nKey: a\nOther-key: b\n", {"Key": "a", "Other-key": "b"}),
        ("title\r\n\r\nKey: a\r\n", {"Key": "a"}),
        ("title\n\nKey: a\n  b\n", {"Key": "a b"}),
        ("title\n\nKey: a\nKey: b\n", {"Key": "a"}),
        ("title\n\nKey: a\n\nThe end.\n", {}),
        ("title\n\nKey: a\nnot one\n", {}),
        ("Key: a\n", {}),
        ("title\n\nKey: a\n---\nfoo\n\nKey: b\n", {"Key": "a"}),
    ],
)
def test_trailers(message: str, found: dict[str, str]) -> None:
    assert trailers(message) == found


def test_one_line_fits_a_subject() -> None:
    assert one_line("a\nb #1") == "a b # 1"
    assert len(one_line("x" * 200)) == 72
    assert one_line("\n") == "untitled"


def test_the_written_what_was_never_measured() -> None:
    (found,) = results(ABANDONED)
    assert {name: text for name, text in found.items() if text} == {
        "commit": "b2b2b2b",
        "val_bpb": "0.000000",
        "memory_gb": "0.0",
        "status": "discard",
        "description": PROPOSED.proposal.title if PROPOSED.proposal else "",
        "experiment": "exp-0007",
        "pull": "12",
        "state": "abandoned",
        "n": "0",
        "n_confirm": "0",
        "n_baseline": "0",
        "gpu_min": "0",
        "cost_usd": "0.38",
        "requested_by": "ada",
        "proposed_by": "claude-opus-4",
        "started_utc": "2026-03-08T01:02:03Z",
    }
