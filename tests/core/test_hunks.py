"""Two texts as exact edits: whatever they are, the edits lead from the one to the other."""

from hypothesis import given
from hypothesis import strategies as st

from bot.core.proposal.hunks import hunks
from bot.core.scope import apply_edits

# Few different lines, so that they repeat; line ends of all kinds, and none.
texts = st.lists(st.sampled_from(["a", "b", "a\n", "b\n", "\n", "c\r\n", "\x0c", "d\u2028"]), max_size=8).map("".join)


@given(texts, texts)
def test_edits_lead_from_one_text_to_the_other(before: str, after: str) -> None:
    edits = hunks("p", before, after)
    if before == after:
        assert edits == []
    else:
        assert apply_edits({"p": before}, edits) == {"p": after}


def test_only_what_differs_is_named() -> None:
    before = "".join(f"line {number}\n" for number in range(20))
    (edit,) = hunks("p", before, before.replace("line 7\n", "line seven\n"))
    assert (edit.old, edit.new) == ("line 7\n", "line seven\n")
