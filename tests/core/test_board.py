"""What the dashboard shows, from experiments as they are noted."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from report_examples import ABANDONED, BY_CLAUDE, CRASHED, MEASURING, MERGED, METRIC, PROPOSAL, PROPOSED, REJECTED

from bot.core.metric import Direction, Metric
from bot.core.model import Experiment
from bot.core.words import board
from bot.core.words.board import Live
from runner.protocol import Phase, Progress, Request, Source, Task

NOW = datetime(2026, 3, 8, 2, 0, tzinfo=UTC)
ALL = [MEASURING, replace(MERGED, id="c2"), replace(REJECTED, id="c3"), replace(CRASHED, id="c4")]


def live(x: Experiment, head_sha: str, progress: Progress | None = None) -> Live:
    source = Source(git_url="", base_sha=x.base_sha, head_sha=head_sha, allowed=())
    task = Task(directory=".", preset="cpu", budget_steps=400, budget_s=None, timeout_s=300, memory_mib=1, output_mib=1)
    request = Request(
        run_id=f"r-{head_sha}", source=source, task=task, seed=3, sandbox="docker", cache_dir="", hardware_class="cpu"
    )
    return Live(request=request, progress=progress)


def test_what_is_under_way_with_its_runs() -> None:
    half = Progress(phase=Phase.TRAIN, fraction=0.5, eta_s=90)
    runs = [live(MEASURING, MEASURING.head_sha, half), live(MEASURING, MEASURING.base_sha), live(MEASURING, "f" * 40)]
    (card,) = board.under_way(ALL, runs, now=NOW)
    assert [(run.what, run.phase, run.done, run.left) for run in card.runs] == [
        ("this change, seed 3", "train", 0.5, "2 min left"),
        ("main, seed 3", "build", 0.0, ""),
    ]
    assert card.state == "measuring"
    assert card.title == PROPOSAL.title


def test_an_end_that_could_not_be_said_on_the_forge_comes_first_however_many_ended_since() -> None:
    many = [replace(MERGED, id=f"m{number}") for number in range(60)]
    unsaid = replace(ABANDONED, id="c9", ended_utc="")
    first, *others = board.ended([*many, unsaid], now=NOW)
    assert (first.reason, first.when) == (unsaid.reason, "not said on the forge yet")
    assert len(others) == board.MOST_ENDED - 1


def test_a_run_of_main_is_shown_once() -> None:
    others = [MEASURING, replace(MEASURING, id="c9", head_sha="e" * 40)]
    cards = board.under_way(others, [live(MEASURING, MEASURING.base_sha)], now=NOW)
    assert [len(card.runs) for card in cards] == [1, 0]


def test_what_came_of_the_rest_newest_first() -> None:
    older = replace(REJECTED, id="c8", ended_utc="2026-03-01T00:00:00Z")
    cards = board.ended([older, *ALL], now=NOW)
    assert cards[-1].when == "7 days ago"
    merged = next(card for card in cards if card.state == "merged")
    assert merged.figures.startswith("gain +0.00")
    assert "E = " in merged.figures
    assert merged.reason


def test_the_last_day_adds_up() -> None:
    day = board.last_day([*ALL, replace(MERGED, id="old", ended_utc="2026-03-01T00:00:00Z")], now=NOW)
    assert (day.ended, day.merged) == (3, 1)
    assert day.slot_s == pytest.approx(sum(x.gpu_s for x in ALL))


def test_charts_say_which_way_is_better() -> None:
    ((repository, sentence, svg),) = board.charts(ALL)
    assert repository == MERGED.repository
    assert sentence.startswith("3 experiments, 1 merged, 1 crashed: val_bpb")
    assert "lower is better" in svg


def test_a_chart_is_of_the_newest_experiments_metric() -> None:
    accuracy = Metric(name="accuracy", direction=Direction.HIGHER)
    ((_, sentence, svg),) = board.charts([replace(MERGED, id="newer", metric=accuracy), *ALL])
    assert sentence.startswith("1 experiment, 1 merged: accuracy")
    assert "higher is better" in svg


def test_what_was_printed_is_called_self_reported_in_cards_and_charts() -> None:
    claimed = replace(MERGED, metric=replace(METRIC, self_reported=True))
    (card,) = board.ended([claimed], now=NOW)
    ((_, sentence, svg),) = board.charts([claimed])
    assert all("self-reported" in text for text in (card.figures, sentence, svg))


@pytest.mark.parametrize("x", [PROPOSED, ABANDONED, BY_CLAUDE, replace(PROPOSED, proposal=None, pull_number=None)])
def test_whatever_is_missing_is_left_out(x: Experiment) -> None:
    cards = board.under_way([x], [], now=NOW) + board.ended([x], now=NOW)
    assert len(cards) == 1
    assert board.charts([ABANDONED]) == []
