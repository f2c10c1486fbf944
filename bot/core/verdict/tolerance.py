"""How far two answers of an honest model may lie apart on a hardware class: learnt from main's own code, and bounded.

A candidate has no part in it: its runs do not count, nor do those of a main that it wrote, or one merge after the other
could widen the tolerance by a factor each.
"""

from collections.abc import Collection, Iterable

from runner.protocol import AUDIT_TOLERANCE, AUDIT_TOLERANCE_CAP, Run, Status

LEAST_RUNS = 4  # of one version of main; fewer say too little of the largest difference
MARGIN = 3.0  # times the largest difference seen among some hundreds of places


def tolerance(runs: Iterable[Run], *, proposed: Collection[str]) -> float:
    """From runs of main, newest first; `proposed` are the trees that any candidate ever had.

    The newest version of main that people wrote and that has runs enough decides.
    """
    gaps: dict[str, list[float]] = {}
    for run in runs:
        if run.status is Status.OK and run.audited_positions and run.tree_sha not in proposed:
            gaps.setdefault(run.tree_sha, []).append(run.audit_max_gap)
    for found in gaps.values():
        if len(found) >= LEAST_RUNS:
            return min(AUDIT_TOLERANCE_CAP, max(AUDIT_TOLERANCE, MARGIN * max(found)))
    return AUDIT_TOLERANCE
