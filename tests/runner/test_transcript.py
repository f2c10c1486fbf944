import math
import re
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from runner.transcript import LOG_CHARACTERS, claimed_progress, exception_line, sanitised

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
