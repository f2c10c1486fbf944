"""The numeric constants of a Python module, found by its syntax tree. See edits.py for changing them.

A constant is a module-level UPPER_CASE assignment of a number, or a number inside a table assigned that way:

    EMBEDDING_LR = 0.3                               EMBEDDING_LR
    TOTAL_BATCH_SIZE = 2**19                         TOTAL_BATCH_SIZE
    DEPTH, WIDTH = 9, 512                            DEPTH, WIDTH
    ADAM_BETAS = (0.8, 0.95)                         ADAM_BETAS[0], ADAM_BETAS[1]
    MODELS = {"small": Model(depth=2)}               MODELS.small.depth
    if PRESET == "gpu": DEPTH = 9                    DEPTH, in place of the one above, when asked for preset "gpu"
"""

import ast
import math
import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Value = bool | int | float

_NAME = re.compile(r"[A-Z][A-Z0-9_]*", re.ASCII)
_KEY = re.compile(r"\[\d+\]|\.[A-Za-z0-9_]{1,40}", re.ASCII)
_NEWLINE = re.compile(rb"\r\n|\r|\n")  # what Python's tokenizer counts as a line; str.splitlines knows more
_LARGEST = 1e15
_SMALLEST = 1e-30
_MAX_NESTING = 8


class UnparsableError(ValueError):
    """Text that is not Python."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """One number of a module. `start` and `end` delimit its expression in the source, in characters."""

    name: str
    value: Value
    text: str
    start: int
    end: int
    statement: tuple[int, int]  # the whole lines of its assignment, without the last newline
    comment: str = ""  # beside it and directly above it

    @property
    def leaf(self) -> str:
        """What kind of number it is: `depth` of MODELS.small.depth, `ADAM_BETAS` of ADAM_BETAS[0]."""
        return self.name.split("[")[0].split(".")[-1]

    @property
    def table(self) -> str:
        """What the constant's neighbours share: `MODELS.small` of MODELS.small.depth, empty for a plain assignment."""
        return self.name.split("[")[0].rpartition(".")[0]


def find_constants(source: str, *, preset: str = "") -> tuple[Constant, ...]:
    """Constants in order of appearance. Names bound twice are left out: which value counts is not in the text.

    Raises UnparsableError on anything Python's parser refuses.
    """
    try:
        encoded = source.encode()
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        detail = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        raise UnparsableError(f"it is not valid Python: {detail}") from None
    offsets = _Offsets(encoded)
    branches = [branch for statement in body if (branch := _preset_branch(statement, preset)) is not None]
    chosen = [statement for branch in branches for statement in branch]
    plain = [statement for statement in body if _preset_branch(statement, preset) is None]
    chosen_names = Counter(_bound_names(chosen))
    plain_names = Counter(_bound_names(plain))
    found: list[Constant] = []
    for statement, names in ((s, n) for block, n in ((plain, plain_names), (chosen, chosen_names)) for s in block):
        first, last = offsets.lines(statement)
        if not _has_lines_to_itself(statement, source[first:last]):
            continue
        for name, value in _assignments(statement):
            if names[name] != 1 or (names is plain_names and name in chosen_names):
                continue
            for path, node in _numbers(name, value):
                number = _number(node)
                if number is not None and _usable(number):
                    start, end = offsets.span(node)
                    found.append(
                        Constant(
                            name=path,
                            value=number,
                            text=source[start:end],
                            start=start,
                            end=end,
                            statement=(first, last),
                            comment=_comment(source, start, end),
                        )
                    )
    paths = Counter(constant.name for constant in found)
    return tuple(sorted((c for c in found if paths[c.name] == 1), key=lambda constant: constant.start))


def _preset_branch(statement: ast.stmt, preset: str) -> list[ast.stmt] | None:
    """What `if NAME == "...": ... elif ...` runs for this preset; None for any other statement."""
    branch: list[ast.stmt] | None = None
    pending = [statement]
    while len(pending) == 1:
        match pending[0]:
            case ast.If(
                test=ast.Compare(left=ast.Name(), ops=[ast.Eq()], comparators=[ast.Constant(value=str() as literal)]),
                body=body,
                orelse=orelse,
            ):
                if literal == preset:
                    return body
                branch, pending = orelse, orelse
            case _:
                return branch
    return branch


def _assignments(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if _NAME.fullmatch(name):
            yield name, value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if _NAME.fullmatch(name):
            yield name, value
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)) if len(names) == len(values):
            if not any(isinstance(item, ast.Starred) for item in (*names, *values)):
                for target, value in zip(names, values, strict=True):
                    if isinstance(target, ast.Name) and _NAME.fullmatch(target.id):
                        yield target.id, value


def _has_lines_to_itself(statement: ast.stmt, lines: str) -> bool:
    """False when another statement or a string's end shares a line: an edit of whole lines could not be read back."""
    try:
        body = ast.parse(textwrap.dedent(lines)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return len(body) == 1 and type(body[0]) is type(statement)


def _bound_names(body: Sequence[ast.AST]) -> Iterator[str]:
    """Names the module's own scope binds, and names any function declares global."""
    pending: list[tuple[ast.AST, bool]] = [(node, True) for node in body]
    while pending:
        node, in_module = pending.pop()
        if isinstance(node, ast.Global):
            yield from node.names
        elif in_module and isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif in_module and isinstance(node, ast.alias):
            yield node.asname or node.name
        opens_scope = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda)
        pending += [(child, in_module and not opens_scope) for child in ast.iter_child_nodes(node)]


def _numbers(path: str, node: ast.expr, nesting: int = 0) -> Iterator[tuple[str, ast.expr]]:
    """Paths and expressions of everything in a table that could be a number."""
    if nesting > 3:
        return
    inside: list[tuple[str, ast.expr]] = []
    match node:
        case ast.Constant() | ast.UnaryOp() | ast.BinOp():
            yield path, node
        case ast.Tuple(elts=items) | ast.List(elts=items):
            inside = [(f"[{index}]", item) for index, item in enumerate(items)]
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    inside.append((f".{key.value}", value))
        case ast.Call(func=ast.Name(), keywords=keywords):
            inside = [(f".{keyword.arg}", keyword.value) for keyword in keywords]
    for part, item in inside:
        if _KEY.fullmatch(part):
            yield from _numbers(path + part, item, nesting + 1)


def _number(node: ast.expr, nesting: int = 0) -> Value | None:
    """The value of a literal or of arithmetic on literals; None for anything else."""
    if nesting > _MAX_NESTING:
        return None
    match node:
        case ast.Constant(value=bool() | int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            number = _number(operand, nesting + 1)
            return -number if number is not None and isinstance(sign, ast.USub) else number
        case ast.BinOp(left=left, op=operator, right=right):
            a, b = _number(left, nesting + 1), _number(right, nesting + 1)
            if a is None or b is None or isinstance(a, bool) or isinstance(b, bool):
                return None
            try:
                return _arithmetic(a, operator, b)
            except (ArithmeticError, ValueError):
                return None
    return None


def _arithmetic(a: int | float, operator: ast.operator, b: int | float) -> Value | None:
    if abs(a) > _LARGEST or abs(b) > _LARGEST:
        return None
    match operator:
        case ast.Add():
            return a + b
        case ast.Sub():
            return a - b
        case ast.Mult():
            return a * b
        case ast.Div():
            return a / b
        case ast.FloorDiv():
            return a // b
        case ast.Pow() if abs(b) <= 64:  # so that 10**10**10 costs nothing
            power = a**b
            return power if isinstance(power, int | float) else None
    return None


def _usable(value: Value) -> bool:
    return value == 0 or (math.isfinite(value) and _SMALLEST <= abs(value) <= _LARGEST)


def _comment(source: str, start: int, end: int) -> str:
    line_start = source.rfind("\n", 0, start) + 1
    line_end = source.find("\n", end)
    beside = source[end : line_end if line_end >= 0 else len(source)].partition("#")[2].strip()
    above: list[str] = []
    for line in reversed(source[:line_start].splitlines()[-3:]):
        if not line.lstrip().startswith("#"):
            break
        above.insert(0, line.strip().lstrip("# "))
    return " ".join([*above, beside]).strip()


class _Offsets:
    """From the parser's lines and UTF-8 columns to characters of the source."""

    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded
        self._lines = [0, *(match.end() for match in _NEWLINE.finditer(encoded)), len(encoded)]
        self._ascii = encoded.isascii()

    def _character(self, byte: int) -> int:
        return byte if self._ascii else len(self._encoded[:byte].decode())

    def span(self, node: ast.expr) -> tuple[int, int]:
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
        start = self._lines[node.lineno - 1] + node.col_offset
        return self._character(start), self._character(self._lines[end_line - 1] + end_column)

    def lines(self, statement: ast.stmt) -> tuple[int, int]:
        number = statement.end_lineno or statement.lineno
        end = self._lines[number - 1] + len(
            self._encoded[self._lines[number - 1] : self._lines[number]].rstrip(b"\r\n")
        )
        return self._character(self._lines[statement.lineno - 1]), self._character(end)
