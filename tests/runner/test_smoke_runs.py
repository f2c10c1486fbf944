"""A smoke run: files that no commit has, trained for a moment, asked about nothing that counts."""

from dataclasses import replace
from pathlib import Path

import pytest
from fake_task import TRAIN, Bench, doing, measured
from test_source import MAIN, checked_out, files

from runner.protocol import DraftFile, Phase, Request, Status
from runner.source import TreeError


def drafted(bench: Bench, **texts: str) -> Request:
    request = bench.request()
    drafts = tuple(DraftFile(path=path.replace("__", "/") + ".py", text=text) for path, text in texts.items())
    return replace(request, source=replace(request.source, drafts=drafts), smoke=True)


def test_drafts_lie_over_the_tree_as_a_commit_with_them_would(bench: Bench, tmp_path: Path) -> None:
    checkout = checked_out(drafted(bench, train="# drafted ü\r\n", model__new="n"), tmp_path)
    assert files(checkout) == MAIN | {"train.py": "# drafted ü\n", "model/new.py": "n"}  # as read_text sees it
    committed = bench.commit({"model/new.py": "n"})
    again = drafted(bench, model__new="n")
    (tmp_path / "again").mkdir()
    assert checked_out(again, tmp_path / "again").tree_sha == bench.git("rev-parse", f"{committed}^{{tree}}")


@pytest.mark.parametrize("path", ["notes.txt", "prepare.py", "../train.py", "/train.py", "model/../prepare.py", ""])
def test_a_draft_of_anything_else_is_refused(bench: Bench, tmp_path: Path, path: str) -> None:
    request = bench.request()
    source = replace(request.source, drafts=(DraftFile(path=path, text="evil"),))
    with pytest.raises(TreeError, match="is outside what the contract allows"):
        checked_out(replace(request, source=source), tmp_path)


def test_a_smoke_run_that_works_has_no_metric(bench: Bench) -> None:
    run, progress = measured(drafted(bench, train=TRAIN + "# a draft\n"))
    assert (run.status, run.reason) == (Status.OK, "")
    assert run.metric is None
    assert run.audited_positions == 0
    assert "step 1/1 loss 1.5" in run.log_tail
    assert Phase.SCORE not in {line.phase for line in progress}


@pytest.mark.parametrize(
    ("train", "status", "said"),
    [
        (doing("raise ValueError('no such layer')"), Status.CRASHED, "ValueError: no such layer"),
        (TRAIN.replace("return lambda", "raise KeyError('gone')\n    return lambda"), Status.CRASHED, "KeyError"),
        (TRAIN.replace("np.log(counts", "np.nan * np.log(counts"), Status.INVALID, "not finite"),
        (TRAIN.replace("table[tokens]", "table[tokens][..., :3]"), Status.INVALID, ""),
    ],
)
def test_a_smoke_run_that_does_not_work_says_why(bench: Bench, train: str, status: Status, said: str) -> None:
    run, _ = measured(drafted(bench, train=train))
    assert run.status is status
    assert said in run.reason
