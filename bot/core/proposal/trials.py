"""The ledger read as trials of constants: which values were tried, against which others, and how good they were.

A row's gain compares with the main of its time. Walking back from today over the merges gives every value a level
relative to today's, so that rows from before and after a merge can be compared; constants are taken to act
independently, which is what one change at a time can tell.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import fmean

from bot.core.model import Edit, LedgerRow, State
from bot.core.proposal.constants import Value
from bot.core.proposal.edits import Change, read_change

Assignment = tuple[tuple[str, Value], ...]  # every constant of the file with its value


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One row that changed one constant and nothing else. `level` is the gain over today's value, None if it broke."""

    row: LedgerRow
    name: str
    before: Value
    value: Value
    level: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """`by_name` has the newest trial first; a row closed without a measurement is in `tried` only.

    `levels` holds the mean level of every value a constant was measured at, those of former mains included.
    """

    today: Mapping[str, Value]
    tried: frozenset[Assignment]
    by_name: Mapping[str, Sequence[Trial]] = field(default_factory=dict)
    levels: Mapping[str, Mapping[Value, float]] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)  # constants changed by experiments in flight

    def is_tried(self, values: Mapping[str, Value]) -> bool:
        return assignment({**self.today, **values}) in self.tried


def assignment(values: Mapping[str, Value]) -> Assignment:
    return tuple(sorted(values.items()))


def read_trials(
    *, today: Mapping[str, Value], history: Sequence[LedgerRow], in_flight: Sequence[Edit], path: str
) -> Trials:
    """`history` oldest first, rows of one hardware class; `in_flight` the edits of experiments that are not over."""
    main = dict(today)
    tried = {assignment(today)}
    by_name: dict[str, list[Trial]] = {}
    levels: dict[str, dict[Value, list[float]]] = {name: {value: [0.0]} for name, value in today.items()}
    for row in reversed(history):
        change = _known(read_change([edit for edit in row.edits if edit.path == path]), today)
        if not change.after:
            continue
        base = {**main, **change.before}
        if change.only_constants and all(edit.path == path for edit in row.edits):
            tried.add(assignment({**base, **change.after}))
            if len(change.after) == 1 and row.state is not State.ABANDONED:
                trial = _trial(row, change, levels[next(iter(change.after))])
                by_name.setdefault(trial.name, []).append(trial)
        if row.state is State.MERGED:
            main = base
            tried.add(assignment(base))
    waiting: dict[str, int] = {}
    for edit in in_flight:
        change = _known(read_change([edit] if edit.path == path else []), today)
        for name in change.after:
            waiting[name] = waiting.get(name, 0) + 1
        tried.add(assignment({**today, **change.after}))
    for pair in combinations(in_flight, 2):  # an experiment on two constants may have made both
        change = _known(read_change([edit for edit in pair if edit.path == path]), today)
        tried.add(assignment({**today, **change.after}))
    return Trials(
        today=dict(today),
        tried=frozenset(tried),
        by_name=by_name,
        levels={name: {value: fmean(found) for value, found in levels[name].items()} for name in by_name},
        waiting=waiting,
    )


def _known(change: Change, today: Mapping[str, Value]) -> Change:
    """Without constants the file no longer has."""
    names = [name for name in change.after if name in today]
    return Change(
        before={name: change.before[name] for name in names},
        after={name: change.after[name] for name in names},
        only_constants=change.only_constants and len(names) == len(change.after),
    )


def _trial(row: LedgerRow, change: Change, levels: dict[Value, list[float]]) -> Trial:
    """Adds what the row measured to `levels` of its constant: of its value, or of the main it replaced."""
    ((name, value),) = change.after.items()
    before = change.before[name]
    if row.gain is None or not math.isfinite(row.gain):
        level = None
    elif row.state is State.MERGED:
        level = fmean(levels.get(value, [0.0]))
        levels.setdefault(before, []).append(level - row.gain)
    else:
        level = fmean(levels.get(before, [0.0])) + row.gain
        levels.setdefault(value, []).append(level)
    return Trial(row=row, name=name, before=before, value=value, level=level)
