"""YAML text -> plain values, with the line of each: the subset of YAML that cannot surprise.

Booleans, numbers and null are JSON's (so `no` is text and `1:30` is not 90). Anchors, aliases, tags, a second
document and a key written twice are refused, and so is text too long or too deep to be a contract.
"""

import re
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

MAX_BYTES = 64 * 1024
MAX_DEPTH = 8

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"
Place: TypeAlias = tuple[str | int, ...]
"""Keys and list positions from the top of the document to a value."""

_NUMBER = re.compile(r"[-+]?(\d{1,300}(\.\d{0,300})?|\.\d{1,300})([eE][-+]?\d{1,3})?", re.ASCII)
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong where. `line` counts from 1; `message` is one sentence that says what to do."""

    path: str  # such as "policy.e_merge" or "paths.allow[0]"; "" is the whole document
    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.path}: {self.message}" if self.path else f"line {self.line}: {self.message}"


@dataclass(slots=True)
class Document:
    """`value` as written, without what `problems` are about; `lines` of every key and list item."""

    value: Value = None
    lines: dict[Place, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def get(self, *keys: str) -> Value:
        """The value under these keys, None where there is none."""
        here = self.value
        for key in keys:
            here = here.get(key) if isinstance(here, dict) else None
        return here

    def line(self, place: Place) -> int:
        """The line of the value at `place`, or of the nearest thing around it that was written."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def report(self, place: Place, message: str) -> None:
        self.problems.append(Problem(path=dotted(place), line=self.line(place), message=message))


def dotted(place: Place) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{shown(part)}" for part in place).removeprefix(".")


def shown(value: object) -> str:
    """What somebody wrote, short and on one line."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= 40 else text[:39] + "…"


def read(text: str) -> Document:
    """The document in `text`. Never raises: whatever is wrong is in `problems`."""
    document = Document()
    if len(text.encode(errors="replace")) > MAX_BYTES:
        document.report((), f"the file is larger than {MAX_BYTES // 1024} KiB: shorten it")
        return document
    try:
        if refused := _refused(text):
            document.problems.append(refused)
        elif node := yaml.compose(text, Loader=yaml.BaseLoader):
            document.value = _value(document, (), node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        document.problems.append(Problem(path="", line=line, message=f"this is not YAML ({error.problem}): correct it"))
    except yaml.YAMLError:
        document.report((), "the file holds a control character: remove it")
    return document


def _refused(text: str) -> Problem | None:
    """What must be refused before a tree is built; looking at events costs no recursion."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.BaseLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            message = "anchors and aliases are not used here: write the value out"
        elif getattr(event, "tag", None):
            message = "tags are not used here: remove the part that begins with `!`"
        elif depth > MAX_DEPTH:
            message = f"this is nested deeper than {MAX_DEPTH} levels: flatten it"
        else:
            continue
        return Problem(path="", line=event.start_mark.line + 1 if event.start_mark else 1, message=message)
    return None


def _value(document: Document, place: Place, node: yaml.Node) -> Value:
    document.lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(document, place, node)
    if isinstance(node, yaml.SequenceNode):
        return [_value(document, (*place, position), item) for position, item in enumerate(node.value)]
    plain = isinstance(node, yaml.ScalarNode) and node.style is None
    return _scalar(str(node.value)) if plain else str(node.value)


def _mapping(document: Document, place: Place, node: yaml.MappingNode) -> dict[str, Value]:
    mapping: dict[str, Value] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            document.problems.append(Problem(path=dotted(place), line=line, message="a key is one word: write it so"))
            continue
        inner = (*place, str(key_node.value))
        if key_node.value in mapping:
            first = document.lines[inner]
            message = f"this key is already on line {first}: keep one of the two"
            document.problems.append(Problem(path=dotted(inner), line=line, message=message))
            continue
        document.lines[inner] = line
        value = _value(document, inner, value_node)
        if value is None:
            document.report(inner, "this key has no value: write one, or leave the key out")
        else:
            mapping[str(key_node.value)] = value
    return mapping


def _scalar(text: str) -> Value:
    if text in _WORDS:
        return _WORDS[text]
    number = _NUMBER.fullmatch(text)
    if not number:
        return text
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value
