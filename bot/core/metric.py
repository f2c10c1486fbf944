"""The metric that decides, and how its numbers and their evidence are written."""

import math
from dataclasses import dataclass
from enum import StrEnum


class Direction(StrEnum):
    LOWER = "lower"  # lower is better
    HIGHER = "higher"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What is measured, e.g. Metric(name="val_bpb", unit="bpb"), or in claims mode `self_reported` by the candidate."""

    name: str
    unit: str = ""
    direction: Direction = Direction.LOWER
    self_reported: bool = False

    @property
    def title(self) -> str:
        """The name for a heading, which says where the numbers below come from."""
        return f"{self.name}, self-reported" if self.self_reported else self.name

    @property
    def suffix(self) -> str:
        """What stands behind a number, without a space before it: wherever there is one, its reader must know."""
        return " ".join(part for part in (self.unit, "(self-reported)" if self.self_reported else "") if part)


def sign(metric: Metric) -> int:
    """Times a value of `metric`: a value where lower is better, as in an `Estimate`."""
    return 1 if metric.direction is Direction.LOWER else -1


def places(standard_error: float | None) -> int:
    """Decimals that show two digits of a standard error; five when there is none."""
    if standard_error is None or not math.isfinite(standard_error) or standard_error <= 0:
        return 5
    return min(8, max(0, 1 - math.floor(math.log10(standard_error))))


def number(value: float | None, decimals: int, *, signed: bool = False) -> str:
    """A decimal with a real minus sign; "n/a" for None and for what is not finite."""
    if value is None or not math.isfinite(value):
        return "n/a"
    text = f"{value:+.{decimals}f}" if signed else f"{value:.{decimals}f}"
    return text.replace("-", "−")


def evidence(evalue: float) -> str:
    """An e-value for people: three digits, and no more than they can mean."""
    if not math.isfinite(evalue):
        return "n/a"
    return "more than 10,000" if evalue > 10_000 else f"{evalue:.3g}" if evalue < 1000 else f"{evalue:.0f}"
