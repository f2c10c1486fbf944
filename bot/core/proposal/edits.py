"""Exact edits of numeric constants, and what can be read back from an edit without its file."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bot.core.model import Edit
from bot.core.proposal.constants import Constant, UnparsableError, Value, find_constants


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an edit does to constants, as far as it can be read from its text alone."""

    before: Mapping[str, Value] = field(default_factory=dict)
    after: Mapping[str, Value] = field(default_factory=dict)
    only_constants: bool = False  # nothing but these numbers differs


def edit_constants(*, source: str, path: str, values: Mapping[str, Value], preset: str = "") -> tuple[Edit, ...]:
    """The edits that give these constants these values and change nothing else.

    Each edit replaces whole assignments, so that `read_change` understands it without the file, and is unique in
    `source` also after the others were applied. Raises KeyError on an unknown name, UnparsableError as above.
    """
    constants = find_constants(source, preset=preset)
    known = {constant.name: constant for constant in constants}
    changed = [(known[name], render(value=value, like=known[name].text)) for name, value in values.items()]
    spans = sorted({constant.statement for constant, _ in changed})
    edits = tuple(_edit(source=source, path=path, span=span, changed=changed, constants=constants) for span in spans)
    if len(edits) > 1 and not _applies_in_any_order(source, edits):
        whole = (spans[0][0], spans[-1][1])
        edits = (_edit(source=source, path=path, span=whole, changed=changed, constants=constants),)
    return edits


def read_change(edits: Sequence[Edit]) -> Change:
    """What edits of one file do to its constants. Fragments that are not whole statements are read line by line."""
    before: dict[str, Value] = {}
    after: dict[str, Value] = {}
    only_constants = bool(edits)
    for edit in edits:
        old, old_rest = _read(edit.old)
        new, new_rest = _read(edit.new)
        only_constants = only_constants and old_rest is not None and old_rest == new_rest
        before |= old
        after |= new
    differing = [name for name in before if name in after and before[name] != after[name]]
    return Change(
        before={name: before[name] for name in differing},
        after={name: after[name] for name in differing},
        only_constants=only_constants and bool(differing),
    )


def render(*, value: Value, like: str) -> str:
    """The value as Python source in the manner of the literal it replaces: 2**20 for 2**19, 20_000 for 10_000."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        magnitude = abs(value)
        if "**" in like and magnitude > 1 and magnitude & (magnitude - 1) == 0:
            return f"{'-' if value < 0 else ''}2**{magnitude.bit_length() - 1}"
        return f"{value:_}" if "_" in like else str(value)
    text = repr(value)
    if "e" in text:
        mantissa, _, exponent = text.partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    if "e" in like.lower() and 0 < abs(value) < 0.01:
        mantissa, _, exponent = f"{value:e}".partition("e")
        short = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
        return short if float(short) == value else text
    return text


def _edit(
    *,
    source: str,
    path: str,
    span: tuple[int, int],
    changed: Sequence[tuple[Constant, str]],
    constants: Sequence[Constant],
) -> Edit:
    starts = sorted({constant.statement[0] for constant in constants if constant.statement[0] < span[0]}, reverse=True)
    wider = ((start, span[1]) for start in starts)
    for start, end in (span, *wider, (0, len(source))):
        if _unique(source, source[start:end]):
            break
    new, position = "", start
    for constant, text in sorted(changed, key=lambda item: item[0].start):
        if start <= constant.start and constant.end <= end:
            new += source[position : constant.start] + text
            position = constant.end
    return Edit(path=path, old=source[start:end], new=new + source[position:end])


def _applies_in_any_order(source: str, edits: Sequence[Edit]) -> bool:
    results = set()
    for order in (edits, edits[::-1]):
        text = source
        for edit in order:
            if not _unique(text, edit.old):
                return False
            text = text.replace(edit.old, edit.new)
        results.add(text)
    return len(results) == 1


def _unique(source: str, text: str) -> bool:
    first = source.find(text)
    return bool(text) and first >= 0 and source.find(text, first + 1) < 0


def _read(fragment: str) -> tuple[dict[str, Value], str | None]:
    """Constants of a fragment, and the fragment without their values; None when it had to be read line by line."""
    snippet = textwrap.dedent(fragment)
    try:
        constants = find_constants(snippet)
    except UnparsableError:
        values: dict[str, Value] = {}
        for line in snippet.splitlines():
            if line[:1].isupper():
                try:
                    values |= {constant.name: constant.value for constant in find_constants(line)}
                except UnparsableError:
                    continue
        return values, None
    rest, position = "", 0
    for constant in sorted(constants, key=lambda item: item.start):
        rest += snippet[position : constant.start] + "\0"
        position = constant.end
    return {constant.name: constant.value for constant in constants}, rest + snippet[position:]
