"""The ledger as a proposer remembers it: what led to today's main, what came close, what is dead, what is untried.

The text fits a budget of characters whatever the history's length. What does not fit is counted, never dropped in
silence; the proposer can ask for it by name.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from statistics import fmean

from bot.core.model import Edit, LedgerRow, State
from bot.core.proposal.constants import UnparsableError, find_constants
from bot.core.proposal.edits import Change, read_change, render
from bot.core.proposal.priors import is_protected
from bot.core.proposal.yields import yields
from bot.core.text import clipped, line

MEMORY_CHARACTERS = 24_000
_LINE = 220  # characters of one attempt
_SHARES = {
    "chain": 0.22,
    "near": 0.2,
    "themes": 0.34,
    "crashes": 0.1,
    "untried": 0.1,
}  # of the budget; the rest is heads
_VALUES_SHOWN = 8


@lru_cache(maxsize=4096)
def _change_of(edits: tuple[Edit, ...]) -> Change:
    return read_change(edits)


def _change(edits: Sequence[Edit]) -> Change:
    return _change_of(tuple(edits))


def theme(edits: Sequence[Edit]) -> str:
    """What an attempt is about: the constants it changed and nothing else, or the files it rewrote."""
    change = _change(edits)
    if change.only_constants:
        return ", ".join(sorted(change.after))
    return "code of " + ", ".join(sorted({edit.path for edit in edits})) if edits else "nothing"


def values(edits: Sequence[Edit]) -> str:
    """`LR 0.3 -> 0.45` for every constant that changed."""
    change = _change(edits)
    return ", ".join(
        f"{name} {render(value=change.before[name], like='')} -> {render(value=change.after[name], like='')}"
        for name in sorted(change.after)
    )


def reference(row: LedgerRow) -> str:
    """The name by which the proposer asks for an experiment, and people find it."""
    return row.experiment_id + (f" (#{row.pull_number})" if row.pull_number is not None else "")


def one_line(row: LedgerRow) -> str:
    """An attempt with what came of it."""
    what = values(row.edits) if _change(row.edits).only_constants else line(row.title, 90)
    return clipped(f"- {reference(row)} {row.state.value}: {what or line(row.title, 90)}; {result(row)}", _LINE)


def result(row: LedgerRow) -> str:
    if row.gain is None:
        return line(row.reason, 110) or "no number"
    error = f" +/- {row.standard_error:.2g}" if row.standard_error is not None else ""
    return f"{'self-reported ' if row.self_reported else ''}gain {row.gain:+.4g}{error} (n={row.n})"


def memory(
    *,
    history: Sequence[LedgerRow],
    in_flight: Sequence[Edit],
    sources: Mapping[str, str],
    preset: str = "",
    budget: int = MEMORY_CHARACTERS,
) -> str:
    """The history, oldest first, in at most `budget` characters; `sources` are today's files that may be edited."""
    sections = [
        _figures(history),
        _section("How main came to be what it is, oldest first", _chain(history), budget, "chain", keep_last=True),
        _section("Came close: better or undecided, and not proven", _near(history), budget, "near"),
        _section("What was tried, by theme, most tried first", _themes(history), budget, "themes"),
        _section("Crashed, newest first", _crashes(history), budget, "crashes"),
        _section("Constants that nobody has touched yet", _untried(history, sources, preset), budget, "untried"),
    ]
    if in_flight:
        under_way = values(in_flight) or f"{len(in_flight)} edits of {theme(in_flight)}"
        sections.append(f"Being measured right now, so not worth proposing: {clipped(under_way, 600)}")
    return clipped("\n\n".join(section for section in sections if section), budget)


def _figures(history: Sequence[LedgerRow]) -> str:
    if not history:
        return "Nothing was tried yet."
    counts = {state: sum(row.state is state for row in history) for state in State}
    told = ", ".join(f"{count} {state.value}" for state, count in counts.items() if count)
    found = [
        f"{item.proposer}: {item.merged} of {item.experiments} merged, "
        f"{'no' if item.gain_per_gpu_h is None else f'{item.gain_per_gpu_h:.3g}'} gain per GPU hour"
        for item in yields(history)
    ]
    return f"{len(history)} experiments: {told}." + (f" By proposer: {'; '.join(found[:6])}." if found else "")


def _section(title: str, lines: Sequence[str], budget: int, name: str, *, keep_last: bool = False) -> str:
    """As many whole lines as the section's share allows, the last ones or the first ones, and a count of the rest."""
    if not lines:
        return ""
    room = int(budget * _SHARES[name])
    kept: list[str] = []
    for text in reversed(lines) if keep_last else lines:
        room -= len(text) + 1
        if room < 0:
            break
        kept.append(text)
    left = len(lines) - len(kept)
    more = [f"- and {left} {'earlier ones' if keep_last else 'more'}: find_experiments lists them"] if left else []
    body = [*more, *reversed(kept)] if keep_last else [*kept, *more]
    return "\n".join([f"{title}:", *body])


def _chain(history: Sequence[LedgerRow]) -> list[str]:
    return [one_line(row) for row in history if row.state is State.MERGED]


def _near(history: Sequence[LedgerRow]) -> list[str]:
    """Those nearest to being proven first: by gain over its standard error."""
    rows = [(_z(row), row) for row in history if row.state in (State.REJECTED, State.PROVEN)]
    close = sorted((pair for pair in rows if pair[0] > -1.0), key=lambda pair: (-pair[0], pair[1].experiment_id))
    return [one_line(row) for _, row in close]


def _z(row: LedgerRow) -> float:
    """A mean that lies below main's by less than one standard error is undecided."""
    if row.gain is None or not row.standard_error:
        return float("-inf")
    return row.gain / row.standard_error


def _themes(history: Sequence[LedgerRow]) -> list[str]:
    grouped: dict[str, list[LedgerRow]] = {}
    for row in history:
        if row.state is not State.ABANDONED:
            grouped.setdefault(theme(row.edits), []).append(row)
    ranked = sorted(grouped.items(), key=lambda item: (-len(item[1]), item[0]))
    return [_theme_line(name, rows) for name, rows in ranked]


def _theme_line(name: str, rows: Sequence[LedgerRow]) -> str:
    merged = sum(row.state is State.MERGED for row in rows)
    gains = [row.gain for row in rows if row.gain is not None]
    best = f", best {max(gains):+.3g}, mean {fmean(gains):+.3g}" if gains else ""
    newest = [_attempt(row) for row in reversed(rows)][:_VALUES_SHOWN]
    dead = " DEAD END" if not merged and len(gains) >= 3 and max(gains) <= 0 else ""
    return clipped(f"- {name}:{dead} {len(rows)} tried, {merged} merged{best}; {'; '.join(newest)}", 2 * _LINE)


def _attempt(row: LedgerRow) -> str:
    change = _change(row.edits)
    gain = "broke" if row.gain is None else f"{row.gain:+.3g}"
    if change.only_constants and len(change.after) == 1:
        ((name, value),) = change.after.items()
        return f"{render(value=change.before[name], like='')}->{render(value=value, like='')} {gain}"
    return f"{line(row.title, 50)} {gain}"


def _crashes(history: Sequence[LedgerRow]) -> list[str]:
    return [one_line(row) for row in reversed(history) if row.state is State.CRASHED]


def _untried(history: Sequence[LedgerRow], sources: Mapping[str, str], preset: str) -> list[str]:
    touched = {name for row in history for name in _change(row.edits).after}
    lines = []
    for path, source in sorted(sources.items()):
        if not path.endswith(".py"):
            continue
        try:
            found = find_constants(source, preset=preset)
        except UnparsableError:
            continue
        names = [f"{c.name} = {c.text}" for c in found if c.name not in touched and not is_protected(c)]
        lines += [f"- {path}: {', '.join(names[at : at + 6])}" for at in range(0, len(names), 6)]
    return lines
