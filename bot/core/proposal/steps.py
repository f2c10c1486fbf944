"""The values next to today's that are worth a run: finite, tidy, and such that sizes still divide one another."""

import re
from collections.abc import Mapping

from bot.core.proposal.constants import Constant, Value
from bot.core.proposal.priors import Prior, Shape

_FINE_RATIOS = (0.5, 0.6, 0.67, 0.75, 0.8, 0.85, 0.9, 1.1, 1.15, 1.25, 1.35, 1.5, 1.75, 2.0)
_FINE_STEPS = (-0.4, -0.3, -0.25, -0.2, -0.15, -0.1, -0.05, -0.02, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4)
_FINE_SMALL = (-0.1, -0.05, -0.03, -0.02, -0.01, 0.01, 0.02, 0.03, 0.05, 0.1)
_FINE_COUNTS = (-4, -3, -2, -1, 1, 2, 3, 4)
_SIZE_RATIOS = (0.5, 0.75, 1.25, 1.5, 2.0)

_DIVIDES = (
    (r"^WIDTH|EMBD|D_MODEL|MODEL_DIM|^DIM", r"HEAD_(DIM|WIDTH|SIZE)"),
    (r"TOTAL_BATCH|BATCH_TOKENS", r"DEVICE_BATCH"),
)


def first_values(*, constant: Constant, prior: Prior, values: Mapping[str, Value]) -> tuple[Value, ...]:
    """Values to try before anything is known about the constant, best guess first."""
    return _valid(constant=constant, prior=prior, values=values, steps=prior.first)


def candidate_values(*, constant: Constant, prior: Prior, values: Mapping[str, Value]) -> tuple[Value, ...]:
    """Every value within a step of today's that a proposal may name; finite, so that a search ends.

    `values` are today's constants by name, for those that must divide one another.
    """
    steps: tuple[float, ...]
    match prior.shape:
        case Shape.FLAG:
            return (not constant.value,)
        case Shape.SCALE:
            steps = _FINE_RATIOS if prior.high < 100 or not prior.first else (0.25, *_FINE_RATIOS, 4.0)
        case Shape.FRACTION:
            steps = _FINE_SMALL if prior.high <= 0.3 or prior.low >= 0.5 else _FINE_STEPS
        case Shape.COUNT:
            steps = _FINE_COUNTS
        case Shape.SIZE:
            steps = _SIZE_RATIOS
    return _valid(constant=constant, prior=prior, values=values, steps=(*prior.first, *steps))


def _valid(
    *, constant: Constant, prior: Prior, values: Mapping[str, Value], steps: tuple[float, ...]
) -> tuple[Value, ...]:
    found: dict[Value, None] = {}
    today = constant.value
    if today == 0 and prior.shape is Shape.SCALE:
        raw = list(prior.from_zero)
    elif prior.shape in (Shape.SCALE, Shape.SIZE):
        raw = [today * step for step in steps]
    else:
        raw = [today + step for step in steps]
    for number in raw:
        value = tidy(number=number, constant=constant, prior=prior)
        if value is None or value == today or not prior.low <= abs(value) <= prior.high or (today >= 0 and value < 0):
            continue
        if prior.shape is not Shape.SIZE or _divides(constant=constant, value=int(value), values=values):
            found[value] = None
    return tuple(found)


def tidy(*, number: float, constant: Constant, prior: Prior) -> Value | None:
    """The number as a person would write it, in the constant's type; None for a broken whole."""
    if prior.shape in (Shape.SIZE, Shape.COUNT):
        return int(number) if float(number).is_integer() else None
    value = round(number, 4) if prior.shape is Shape.FRACTION else float(f"{number:.2g}")
    whole = isinstance(constant.value, int) and value.is_integer() and abs(value) >= 2
    return int(value) if whole else value


def _divides(*, constant: Constant, value: int, values: Mapping[str, Value]) -> bool:
    """Whether sizes that must divide one another still do: by a comment, by a neighbour, by the habits of hardware."""
    stated = re.search(r"(?:multiple of|divisible by)\s+(\d{1,6})", constant.comment)
    if stated and int(stated[1]) and value % int(stated[1]):
        return False
    for whole, part in _DIVIDES:
        for name, number in values.items():
            if name.split("[")[0].rpartition(".")[0] != constant.table or isinstance(number, float) or number < 1:
                continue
            leaf = name.split("[")[0].rpartition(".")[2].upper()
            if re.search(whole, constant.leaf.upper()) and re.search(part, leaf) and value % number:
                return False
            if re.search(part, constant.leaf.upper()) and re.search(whole, leaf) and number % value:
                return False
    today = int(constant.value)
    if today & (today - 1) == 0 and "BATCH" in constant.leaf.upper():
        return value & (value - 1) == 0
    return value % min(today & -today, 8) == 0
