"""What a candidate printed: untrusted text, made inert before anybody reads it, and progress that it claims."""

import math
import re
import unicodedata
from collections.abc import Callable

LOG_CHARACTERS = 4_000
TAIL_BYTES = 32_768
LINE_BYTES = 4_096
REASON_CHARACTERS = 300
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-Z\\-_])")
_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_PROGRESS = re.compile(
    r"step (?P<step>\d{1,9})(?:/(?P<total>\d{1,9}) loss| \((?P<percent>[\d.]{1,8})%\) \| loss:) (?P<loss>\S{1,32})"
)
_EXCEPTION = re.compile(r"(?:[A-Za-z_][\w.]*\.)?[A-Za-z_]\w*(?:Error|Exception|Interrupt|Exit|Warning)\b.*")


class Printed:
    """What a process prints, however much it is: the end of it, and lines to look at as they come.

    What comes by several streams is put together line by line, or the lines of one would be torn by another's.
    """

    def __init__(self) -> None:
        self._tail = b""
        self._begun: dict[int, bytes] = {}  # of each stream, the line that has no end yet

    @property
    def tail(self) -> str:
        return b"".join((self._tail, *self._begun.values()))[-TAIL_BYTES:].decode(errors="replace")

    def add(self, data: bytes, on_line: Callable[[str], None] | None, *, stream: int = 1) -> None:
        text = self._begun.get(stream, b"") + data
        end = 1 + max(text.rfind(b"\n"), text.rfind(b"\r"))  # a line that overwrites itself in a terminal is several
        if len(text) - end > LINE_BYTES:
            end = len(text)
        self._begun[stream] = text[end:]
        self._tail = (self._tail + text[:end])[-TAIL_BYTES:]
        if on_line is not None:
            for line in text[:end][-LINE_BYTES:].replace(b"\r", b"\n").split(b"\n")[:-1]:  # of a flood, only the end
                on_line(line.decode(errors="replace"))


def sanitised(text: str, limit: int = LOG_CHARACTERS) -> str:
    """The end of `text` without terminal escapes, control or bidirectional characters, commands to CI, mentions."""
    text = "".join(filter(_is_visible, _ESCAPES.sub("", text.replace("\r", "\n"))))
    text = re.sub(r"::(?=[A-Za-z])", ":\u2009:", text)  # ::set-output and its like
    text = re.sub(r"##(?=\[)", "#\u2009#", text)
    text = re.sub(r"@(?=\w)", "@\u2009", text)
    return text[-limit:]


def _is_visible(character: str) -> bool:
    return character in "\n\t" or unicodedata.category(character) not in _INVISIBLE


def exception_line(text: str) -> str:
    """The exception that ended a Python program, or its last line; sanitised, one line, or empty."""
    lines = [line.strip() for line in sanitised(text).splitlines() if line.strip()]
    for line in reversed(lines):
        if _EXCEPTION.fullmatch(line):
            return line[:REASON_CHARACTERS]
    return lines[-1][:REASON_CHARACTERS] if lines else ""


def claimed_progress(line: str) -> tuple[int, int, float] | None:
    """(step, total steps, loss) of `step 120/500 loss 3.21` or `step 00120 (24.0%) | loss: 3.21`; None for others."""
    found = _PROGRESS.match(line)
    if not found:
        return None
    try:
        step, loss, share = int(found["step"]), float(found["loss"]), float(found["percent"] or 0) / 100
    except ValueError:
        return None
    total = int(found["total"]) if found["total"] else round(step / share) if share else 0
    return (step, total, loss) if math.isfinite(loss) else None
