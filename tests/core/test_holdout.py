"""The split that never selects: what is said of it, and what it is compared with."""

from dataclasses import replace

from report_examples import MERGE, MERGED, METRIC, TERMS, VERDICT, run

from bot.core.history import Commit, landed
from bot.core.model import Experiment, Holdout, LedgerRow
from bot.core.record import row
from bot.core.words.holdout import before, progress, sentence
from bot.core.words.merge_message import merge_message
from bot.core.words.report import check, comment
from runner.protocol import Status


def scored(
    metric: float | None, *, name: str = "exp-0001", ended: str = "2026-03-08T00:00:00Z", **more: object
) -> Experiment:
    status = Status.OK if metric is not None else Status.CRASHED
    reason = "" if metric is not None else "train.py failed: @boom"
    holdout = Holdout(run=run(1_000_000, metric, status=status, reason=reason, **more))
    return replace(MERGED, id=name, ended_utc=ended, holdout=holdout)


def written(x: Experiment) -> LedgerRow:
    return row(x, metric=METRIC)


def test_nothing_is_said_before_anything_is_known() -> None:
    assert sentence(MERGED, METRIC) == ""
    assert "never selects" not in comment(MERGED, terms=TERMS)


def test_a_merge_is_told_beside_the_one_before() -> None:
    x = scored(2.03)
    assert sentence(x, METRIC) == (
        "**On the split that never selects** `val_bpb` is 2.03000 bpb after this merge: one run, which decided nothing."
    )
    assert x.holdout is not None
    x = replace(x, holdout=replace(x.holdout, before=2.04))
    assert "after this merge, 2.04000 after the merge before: one run" in sentence(x, METRIC)
    assert sentence(x, METRIC) in comment(x, terms=TERMS)
    assert sentence(x, METRIC) in check(x, terms=TERMS)[2]


def test_a_merge_that_could_not_be_scored_says_why() -> None:
    assert "the merge could not be scored: train.py failed: @&#8203;boom." in sentence(scored(None), METRIC)


def test_only_like_is_compared_with_like() -> None:
    now = scored(2.0, name="exp-0009", ended="2026-03-09T00:00:00Z")
    rows = [
        written(scored(2.3, name="exp-1", ended="2026-03-01T00:00:00Z")),
        written(scored(2.2, name="exp-2", ended="2026-03-02T00:00:00Z")),
        written(scored(2.1, name="exp-3", ended="2026-03-03T00:00:00Z", environment_digest="other")),
        written(scored(None, name="exp-4", ended="2026-03-04T00:00:00Z")),
        written(replace(MERGED, id="exp-5", ended_utc="2026-03-05T00:00:00Z")),
        written(now),
        written(scored(1.9, name="exp-10", ended="2026-03-10T00:00:00Z")),
    ]
    assert before(rows, now) == 2.2
    assert before(rows, MERGED) is None


def test_the_log_shows_how_far_both_splits_came() -> None:
    commits = [
        Commit(
            sha=MERGE,
            committed_utc=f"2026-03-0{number}T00:00:00Z",
            message=merge_message(replace(MERGED, id=f"exp-{number}"), verdict=VERDICT, metric=METRIC),
        )
        for number in (1, 2, 3)
    ]
    landings = landed(commits)
    assert progress(landings, {"exp-1": 2.3}) == ""
    text = progress(landings, {"exp-1": 2.3, "exp-3": 2.31})
    assert text.startswith("From the first to the last of 2 merges: ")
    assert text.endswith(" on the split that selects, 2.30000 → 2.31000 on the one that never does.")
