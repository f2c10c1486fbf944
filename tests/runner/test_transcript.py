import math
import re
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from runner.transcript import (
    LINE_BYTES,
    LOG_CHARACTERS,
    TAIL_BYTES,
    Printed,
    claimed_progress,
    exception_line,
    sanitised,
)

HOSTILE = st.lists(
    st.sampled_from(["@a", "::set-output x", "\x1b[2J", "\x1b]8;;u\x07", "\r", "\x9b31m", "##[error]", "\u202e", "é"])
    | st.text()
).map("".join)


@given(HOSTILE)
@example("\x1b\x1b[0m[31m")  # what is left after one removal is not an escape again
@example(":\u200b:set-output")
@example("@\u200bname")
def test_sanitised_text_is_inert(text: str) -> None:
    safe = sanitised(text)
    assert len(safe) <= LOG_CHARACTERS
    assert not re.search(r"@\w|::[A-Za-z]|##\[", safe)
    assert not any(unicodedata.category(character).startswith("C") for character in set(safe) - {"\n", "\t"})


def test_the_end_is_kept() -> None:
    assert sanitised("a" * 9000 + "end").endswith("aend")


def test_the_exception_is_found() -> None:
    trace = 'Traceback (most recent call last):\n  File "train.py", line 3\nValueError: odd\n'
    assert exception_line(trace) == "ValueError: odd"
    assert exception_line(trace + "step 3/4 loss 1.0\n") == "ValueError: odd"
    assert (
        exception_line("torch.OutOfMemoryError: CUDA out of memory.\n") == "torch.OutOfMemoryError: CUDA out of memory."
    )
    assert exception_line("training diverged: the loss is nan\n\n") == "training diverged: the loss is nan"
    assert exception_line("") == ""


@given(st.integers(0, 10**9 - 1), st.integers(0, 10**9 - 1), st.floats(allow_nan=False, allow_infinity=False))
def test_progress_is_parsed(step: int, total: int, loss: float) -> None:
    assert claimed_progress(f"step {step}/{total} loss {loss}") == (step, total, loss)


@given(
    st.text() | st.sampled_from(["step 1/2 loss nan", "step 1/2 loss inf", "step 1/2 loss 1e999", "step -1/2 loss 1"])
)
def test_anything_else_is_no_progress(line: str) -> None:
    claim = claimed_progress(line)
    assert claim is None or math.isfinite(claim[2])


@given(st.lists(st.tuples(st.sampled_from((1, 2)), st.text("ab\n\r", max_size=9)), max_size=30))
@example([(1, "val_bpb"), (2, "a warning\n"), (1, ": 1.5"), (1, "\n")])
@example([(1, "not at its end"), (2, "nor this")])
def test_no_stream_tears_the_lines_of_another(chunks: list[tuple[int, str]]) -> None:
    printed, seen = Printed(), list[str]()
    for stream, text in chunks:
        printed.add(text.encode(), seen.append, stream=stream)
    alone = ["".join(text for stream, text in chunks if stream == wanted).replace("\r", "\n") for wanted in (1, 2)]
    assert sorted(seen) == sorted(line for text in alone for line in text.split("\n")[:-1])
    assert sorted(printed.tail.replace("\r", "\n")) == sorted("".join(alone))
    ends = [text.rpartition("\n")[2] for text in alone]
    assert printed.tail.endswith("".join(ends)) or printed.tail.endswith("".join(reversed(ends)))


def test_a_line_without_an_end_is_not_kept_whole() -> None:
    printed = Printed()
    for number in range(100):
        printed.add(b"%d" % (number % 10) * LINE_BYTES, None)
    assert len(printed.tail) == TAIL_BYTES
    assert printed.tail.endswith("9" * LINE_BYTES)
    assert max(map(len, printed._begun.values())) <= LINE_BYTES
