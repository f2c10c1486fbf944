from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.protocol import (
    DraftFile,
    Line,
    Progress,
    ProtocolError,
    Request,
    Run,
    Source,
    Task,
    decode_line,
    decode_request,
    encode,
)

NUMBER = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def built(kind: type, **known: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Any `kind`, with numbers and text that JSON can carry."""
    plain = {float: NUMBER, float | None: NUMBER | st.none(), str: TEXT}
    chosen = {f.name: plain[f.type] for f in fields(kind) if f.type in plain}
    return st.builds(kind, **(chosen | known))


TUPLE = st.lists(TEXT, max_size=3).map(tuple)
CURVE = st.lists(st.tuples(st.integers(0, 10**9), NUMBER), max_size=3).map(tuple)
REQUESTS = built(
    Request,
    source=built(Source, allowed=TUPLE, drafts=st.lists(built(DraftFile), max_size=2).map(tuple)),
    task=built(Task),
)


@given(REQUESTS)
def test_a_request_survives(request: Request) -> None:
    line = encode(request)
    assert line.count("\n") == 1
    assert decode_request(line) == request


@given(
    st.builds(Line, progress=built(Progress), run=st.none())
    | st.builds(Line, run=built(Run, curve=CURVE), progress=st.none())
)
def test_a_line_survives(line: Line) -> None:
    text = encode(line)
    assert text.count("\n") == 1
    assert decode_line(text) == line


@given(st.text())
def test_anything_else_is_refused(text: str) -> None:
    for decode in (decode_request, decode_line):
        with pytest.raises(ProtocolError):
            decode(text)


def test_a_field_that_is_missing_or_of_the_wrong_type_is_refused() -> None:
    for text in ("", "{", "[]", "{}", '{"run_id": 1}'):
        with pytest.raises(ProtocolError, match="not a request"):
            decode_request(text)
    with pytest.raises(ProtocolError, match="not a line"):
        decode_line('{"progress": {"phase": "lunch"}}')
