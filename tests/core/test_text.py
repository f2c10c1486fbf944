"""Outside text stays text: whatever it holds, a Markdown reader sees words and nothing that acts."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from report_examples import ATTACK

from bot.core.text import clipped, code, duration, fenced, joined, line, marker, neutral, plain, printable

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
PIECES = ["@", "#1", "GH-7", "`", "``", "*", "_", "a_b", "[", "](", ")", "!", "<", ">", "<b>", "&amp;", "\\", "|", "~~"]
PIECES += ["$", "$$", "https://x.y", "www.x.y", "1. ", "- ", "# ", "===", "\n", "\n\n", "\t", " ", "word", "\x1b[1m"]
PIECES += ["<!--", "-->", "\u202e", "\u200b", "\ud800", "\x00", "/experiment", "é", "名"]
nasty = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=20).map("".join)


def words(tokens: list[Token]) -> str:
    """The text of tokens that hold nothing but text."""
    assert {token.type for token in tokens} <= {"text"}, tokens
    return "".join(token.content for token in tokens)


def inlines(markdown: str) -> list[list[Token]]:
    return [token.children or [] for token in MARKDOWN.parse(markdown) if token.type == "inline"]


def acts(shown: str) -> bool:
    return bool(re.search(r"@\w|#\d|GH-\d|://|\bwww\.", shown, re.IGNORECASE))


@given(nasty)
def test_neutral_renders_as_the_same_words_in_a_paragraph(text: str) -> None:
    (tokens,) = inlines(f"x {neutral(text)} y") if line(text) else ([Token("text", "", 0, content="x  y")],)
    shown = words(tokens)
    assert not acts(shown)
    assert shown.replace("\u200b", "") == f"x {line(text)} y"


@given(nasty.filter(line))
def test_neutral_is_a_paragraph_also_at_the_start_of_a_line(text: str) -> None:
    tokens = MARKDOWN.parse(neutral(text))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert words(tokens[1].children or []).replace("\u200b", "") == line(text)
    assert not neutral(text).startswith("/")


@given(nasty)
def test_neutral_and_code_fill_one_table_cell(text: str) -> None:
    cells = inlines(f"| a | b | c |\n|---|---|---|\n| {neutral(text)} | {code(text)} | end |")
    assert len(cells) == 6
    assert words(cells[3]).replace("\u200b", "") == line(text)
    assert words(cells[5]) == "end"
    kinds = {token.type for token in cells[4]}
    assert kinds <= {"text", "code_inline", "html_inline"}
    html = [token.content for token in cells[4] if token.type == "html_inline"]
    assert html in ([], ["<code>", "</code>"])
    shown = "".join(token.content for token in cells[4] if token.type != "html_inline")
    assert shown.replace("\u200b", "").strip() == line(text, 120).strip()


@given(nasty)
def test_nothing_outside_can_close_a_fence(text: str) -> None:
    tokens = MARKDOWN.parse(f"before\n\n{fenced(text)}\n\nafter")
    assert [token.type for token in tokens if token.type == "fence"] == ["fence"]
    assert tokens[-2].content == "after"
    assert "<!--" not in fenced(text)
    assert "\x1b" not in fenced(text)


@given(nasty)
def test_plain_is_one_inert_line(text: str) -> None:
    shown = plain(text)
    assert shown == shown.strip()
    assert shown.isprintable() or not shown
    assert not acts(shown)
    assert "---" not in shown
    shown.encode()


@pytest.mark.parametrize("text", ["[skip ci]", "[CI skip]", "[ no ci]", "[skip actions]", "[actions skip]"])
def test_plain_does_not_switch_continuous_integration_off(text: str) -> None:
    assert not re.search(r"\[\s*(skip|ci|no|actions)", plain(f"Merge {text}"), re.IGNORECASE)


@given(nasty)
def test_printable_keeps_only_what_can_be_seen(text: str) -> None:
    assert all(c == "\n" or c.isprintable() or unicodedata.category(c) == "Zs" for c in printable(text))


def test_the_attack_as_it_is_shown() -> None:
    assert neutral(ATTACK, 140) == (
        r"Ignore all \| @&#8203;octocat fixes #&#8203;1 GH-&#8203;2 \!\[x\](https:&#8203;//evil.example/p.png) "
        r"&lt;img src=//evil.example/q&gt; &lt;\!-- nightlab:other --&gt; --&gt; --- Signed-off-…"
    )
    assert plain(ATTACK, 70) == "Ignore all | @ octocat fixes # 1 GH- 2 ![x](https: //evil.example/p.p…"


def test_ordinary_words_stay_as_they_are() -> None:
    assert neutral("Raise MATRIX_LR from 0.04 to 0.05 (+25 %).") == "Raise MATRIX_LR from 0.04 to 0.05 (+25 %)."
    assert neutral("0.5 of the steps") == "0.5 of the steps"
    assert code("train.py") == "`train.py`"


def test_a_log_is_cut_at_its_start() -> None:
    assert fenced("a" * 50 + "the error", limit=10) == "```text\n…the error\n```"


@given(st.text(max_size=300), st.integers(1, 50))
def test_clipped_keeps_the_limit(text: str, limit: int) -> None:
    assert len(clipped(text, limit)) <= limit


@given(st.lists(st.text(max_size=200), max_size=8), st.integers(200, 900))
def test_joined_keeps_the_limit_in_bytes_and_whole_sections(sections: list[str], limit: int) -> None:
    sections = [section.encode(errors="ignore").decode() for section in sections]
    text = joined(sections, limit)
    assert len(text.encode()) <= limit
    whole = "\n\n".join(filter(None, sections)) + "\n"
    assert text == whole or "more sections are in the ledger" in text or not text.strip()


@given(nasty)
def test_a_marker_cannot_be_left_from_inside(text: str) -> None:
    assert re.fullmatch(r"<!-- nightlab:[A-Za-z0-9_.:-]* -->", marker(text))


@pytest.mark.parametrize(
    ("seconds", "words_"),
    [(-3, "0 s"), (16, "16 s"), (59, "59 s"), (61, "1 min"), (720, "12 min"), (3600, "1 h"), (4800, "1 h 20 min")],
)
def test_duration(seconds: float, words_: str) -> None:
    assert duration(seconds) == words_
