"""The audit's tolerance: what moves it, and that no candidate does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_examples import run

from bot.core.verdict.tolerance import LEAST_RUNS, MARGIN, tolerance
from runner.protocol import AUDIT_TOLERANCE, AUDIT_TOLERANCE_CAP, Run, Status


def of_main(tree: str, *gaps: float, **more: object) -> list[Run]:
    return [run(seed, 2.0, tree_sha=tree, audit_max_gap=gap, **more) for seed, gap in enumerate(gaps)]


def test_repeated_runs_of_main_set_it() -> None:
    assert tolerance([], proposed=()) == AUDIT_TOLERANCE
    assert tolerance(of_main("a", 0.02, 0.02, 0.02), proposed=()) == AUDIT_TOLERANCE  # too few
    assert tolerance(of_main("a", 0.01, 0.02, 0.0, 0.01), proposed=()) == pytest.approx(MARGIN * 0.02)


def test_it_has_a_floor_and_a_cap() -> None:
    assert tolerance(of_main("a", 0.0, 0.0, 0.0, 0.0), proposed=()) == AUDIT_TOLERANCE
    assert tolerance(of_main("a", 0.0, 0.0, 0.0, 0.09), proposed=()) == AUDIT_TOLERANCE_CAP


def test_the_newest_main_that_people_wrote_decides() -> None:
    runs = [*of_main("new", 0.0, 0.0), *of_main("newer", *[0.012] * 4), *of_main("old", *[0.03] * 9)]
    assert tolerance(runs, proposed=()) == pytest.approx(MARGIN * 0.012)
    assert tolerance(runs, proposed={"newer"}) == pytest.approx(MARGIN * 0.03)


def test_failed_and_self_reported_runs_say_nothing() -> None:
    assert tolerance(of_main("a", *[0.03] * 9, status=Status.INVALID), proposed=()) == AUDIT_TOLERANCE
    assert tolerance(of_main("a", *[0.03] * 9, audited_positions=0), proposed=()) == AUDIT_TOLERANCE


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 10)), max_size=30), st.sampled_from("abc"))
def test_what_a_candidate_wrote_never_moves_it(found: list[tuple[str, float]], candidate: str) -> None:
    """Not even merge after merge, each a little noisier than the one before."""
    runs = [measured for tree, gap in found for measured in of_main(tree, gap)]
    honest = [measured for measured in runs if measured.tree_sha != candidate]
    assert tolerance(runs, proposed={candidate}) == tolerance(honest, proposed=())
    assert AUDIT_TOLERANCE <= tolerance(runs, proposed=()) <= AUDIT_TOLERANCE_CAP
    assert LEAST_RUNS > 1
