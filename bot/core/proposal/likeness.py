"""Whether a change was made before: the same program by its syntax tree, or the same constants within noise."""

import ast
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from bot.core.model import Edit, LedgerRow, State
from bot.core.proposal.constants import Value
from bot.core.proposal.edits import Change, read_change
from bot.core.proposal.memory import reference, result
from bot.core.scope import EditProblem, apply_edits
from bot.core.text import line

_NAME = re.compile(r"\b[A-Za-z_]\w*")
_COMMENT = re.compile(r"#.*")

SAME_STEP = 0.05  # two values this near, as a part of the step from the old value, are one value
NEAR_STEP = 0.25  # and up to here, when the measured effect changes by less than its standard error between them


def earlier_attempt(
    *, files: Mapping[str, str], edits: Sequence[Edit], history: Sequence[LedgerRow], in_flight: Sequence[Edit]
) -> str:
    """One sentence that points to the attempt that this one repeats; empty when it is new.

    `files` are today's texts. An attempt that was never measured to its end may be made again.
    """
    mine = _programs(files, edits)
    names = _names(_after(files, edits))
    change = read_change(edits)
    for row in reversed(history):
        if row.state is State.ABANDONED or not row.edits:
            continue
        theirs = read_change(row.edits)
        said = f"{reference(row)}, {row.state.value}, {result(row)}: “{line(row.title, 80)}”"
        if change.only_constants and theirs.only_constants:  # told apart by their values, without parsing a file
            if _near(change, theirs, row):
                return f"these constants differ from {said} by less than a measurement can tell; propose something else"
        elif mine and mine == _programs(files, row.edits, names=names):
            return f"this makes the same program as {said}; propose something else"
    if mine and any(mine == _programs(files, [edit], names=names) for edit in in_flight):
        return "another experiment measures the same change right now; propose something else"
    return ""


def _after(files: Mapping[str, str], edits: Sequence[Edit]) -> Mapping[str, str]:
    """Every file that these edits change when made on `files`; empty when they do not fit."""
    after = apply_edits({edit.path: files[edit.path] for edit in edits if edit.path in files}, edits)
    return {} if isinstance(after, EditProblem) else after


def _names(after: Mapping[str, str]) -> Mapping[str, Counter[str]]:
    """How often each name occurs outside comments: cheap, and equal for equal programs."""
    return {path: Counter(_NAME.findall(_COMMENT.sub("", text))) for path, text in after.items()}


def _programs(
    files: Mapping[str, str], edits: Sequence[Edit], *, names: Mapping[str, Counter[str]] | None = None
) -> tuple[tuple[str, str], ...]:
    """(path, fingerprint) of every changed file; empty when the edits do not fit, or cannot lead to these names."""
    after = _after(files, edits)
    if names is not None and _names(after) != names:
        return ()
    return tuple(sorted((path, _fingerprint(text, path.endswith(".py"))) for path, text in after.items()))


@lru_cache(maxsize=4096)
def _fingerprint(text: str, python: bool) -> str:
    """Equal for two texts that differ in comments and layout only, if they are Python."""
    try:
        shape = ast.dump(ast.parse(text)) if python else text
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        shape = text
    return hashlib.sha256(shape.encode("utf-8", "surrogatepass")).hexdigest()


def _near(mine: Change, theirs: Change, row: LedgerRow) -> bool:
    return set(mine.after) == set(theirs.after) and all(
        mine.before[name] == theirs.before[name] and _same(mine.before[name], mine.after[name], theirs.after[name], row)
        for name in mine.after
    )


def _same(before: Value, one: Value, other: Value, row: LedgerRow) -> bool:
    if one == other:
        return True
    if isinstance(one, bool) or isinstance(other, bool):
        return False
    apart = abs(one - other) / max(abs(one - before), abs(other - before))
    if apart <= SAME_STEP:
        return True
    if apart > NEAR_STEP or row.gain is None or row.standard_error is None:
        return False
    return abs(row.gain) * apart <= row.standard_error
