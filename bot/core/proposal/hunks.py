"""Two texts of a file as the fewest exact edits of whole lines, each of which names a text that occurs once."""

import difflib

from bot.core.model import Edit
from bot.core.scope import apply_edits


def hunks(path: str, before: str, after: str) -> list[Edit]:
    if before == after:  # only the mode differs
        return []
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    spans = [(a, b, c, d) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"]
    edits = [_unique(path, before, old, new, span) for span in spans]
    if apply_edits({path: before}, edits) == {path: after}:
        return edits
    first, last = spans[0], spans[-1]
    whole = _unique(path, before, old, new, (first[0], last[1], first[2], last[3]))
    return (
        [whole] if apply_edits({path: before}, [whole]) == {path: after} else [Edit(path=path, old=before, new=after)]
    )


def _unique(path: str, before: str, old: list[str], new: list[str], span: tuple[int, int, int, int]) -> Edit:
    """The lines of a span with as many lines around them as make the old text occur once."""
    a, b, c, d = span
    while True:
        text = "".join(old[a:b])
        if text and before.count(text) == 1:
            return Edit(path=path, old=text, new="".join(new[c:d]))
        if a == 0 and b == len(old):
            return Edit(path=path, old=text, new="".join(new[c:d]))
        if a > 0:
            a, c = a - 1, c - 1
        if b < len(old):
            b, d = b + 1, d + 1
