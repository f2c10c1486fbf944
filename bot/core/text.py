"""Outside text made harmless: the one place that knows how titles, hypotheses, logs and names are defused.

Three forms, by where the text will stand: `neutral` in Markdown, `fenced` in a Markdown code block, `plain` in
commit messages, titles and terminals. None of them can ping a person, refer to or close an issue, load an
image, carry a terminal escape, or imitate one of our own hidden markers.
"""

import re
import textwrap
import unicodedata
from collections.abc import Sequence

MARKER_PREFIX = "<!-- nightlab:"

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_UNSAFE = {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}  # controls, bidi and zero-width marks, surrogates, separators
_ENTITY = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;"}  # $ starts a formula, and a backslash does not stop it
# What GitHub turns into a link by itself: a mention or e-mail, an issue, a web address.
_REFERENCE = re.compile(r"@(?=\w)|#(?=\d)|GH-(?=\d)|:(?=//)|www(?=\.)", re.IGNORECASE)
_ACTIVE = re.compile(
    rf"[&<>$]|[\\`*\[\]|~!]|(?<![^\W_])_|_(?![^\W_])|(?P<reference>{_REFERENCE.pattern})", re.IGNORECASE
)
_LEADING = re.compile(r"[-+=#/:]|\d+(?=[.)](?: |$))")  # at a line's start: a list, a heading, a rule, a command
_SKIP_CI = re.compile(r"\[(?=\s*(?:skip|no|ci|actions)\b)", re.IGNORECASE)
_BREAK = "&#8203;"  # a zero-width space, written so that it can be seen in the source


def marker(experiment_id: str) -> str:
    """The hidden first line by which the bot finds its own pull request and comment again."""
    return f"{MARKER_PREFIX}{re.sub(r'[^A-Za-z0-9_.:-]', '-', experiment_id)} -->"


def printable(text: str) -> str:
    """`text` without terminal escapes and invisible characters; newlines stay and tabs become spaces."""
    text = _ANSI.sub("", text).replace("\r\n", "\n").replace("\t", "    ")
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) not in _UNSAFE)


def clipped(text: str, limit: int) -> str:
    """At most `limit` characters, an ellipsis for the rest."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def line(text: str, limit: int = 500) -> str:
    """`text` on one line of at most `limit` characters, nothing else changed."""
    spaced = re.sub(r"[\s\x0b\x0c\x1c-\x1f\x85\u2028\u2029]+", " ", _ANSI.sub("", text))
    return clipped(" ".join(printable(spaced).split()), limit)


def neutral(text: str, limit: int = 500) -> str:
    """`text` as one line of Markdown that renders as exactly these words: in a paragraph, a table cell, or bold.

    `limit` counts characters as shown; escapes make the result longer. Not for use inside an HTML block, where
    backslashes would show.
    """

    def escape(match: re.Match[str]) -> str:
        return match[0] + _BREAK if match["reference"] else _ENTITY.get(match[0], "\\" + match[0])

    shown = line(text, limit)
    leading = _LEADING.match(shown)
    escaped = _ACTIVE.sub(escape, shown)
    if leading:
        head = leading[0]
        escaped = f"{head}\\{escaped[len(head) :]}" if head[0].isdigit() else "\\" + escaped
    return escaped


def code(text: str, limit: int = 120) -> str:
    """`text` as inline code; safe in a table cell, where a backtick span could not hold a `|`."""
    shown = line(text, limit)
    if not shown or re.search(r"[`|]|<!--", shown):
        return f"<code>{neutral(text, limit)}</code>"
    return f"`{shown}`"


def fenced(text: str, limit: int = 4000) -> str:
    """The last `limit` characters of `text` in a code block that nothing inside can close."""
    shown = printable(text).replace("<!--", "<! --").strip("\n")
    if len(shown) > limit:
        shown = "…" + shown[-(limit - 1) :]
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}"


def plain(text: str, limit: int = 500) -> str:
    """`text` as one line for a commit message or a title, where nothing can be escaped: a space breaks what would act.

    Besides references, this breaks `[skip ci]` and its like, and runs of dashes, which git reads as the end of a
    message.
    """
    shown = _REFERENCE.sub(lambda match: match[0] + " ", line(text, limit))
    return clipped(re.sub(r"-{3,}", "--", _SKIP_CI.sub("(", shown)), limit)


def wrapped(text: str, limit: int = 3000) -> str:
    """`text` as one paragraph of a commit message, in lines of 72 characters."""
    return textwrap.fill(plain(text, limit), 72, break_long_words=False, break_on_hyphens=False)


def joined(sections: Sequence[str], limit: int) -> str:
    """Sections with a blank line between them, leaving out whole ones from the end to stay within `limit` bytes.

    Whole sections, because a cut inside one could leave a code block or a <details> open.
    """
    kept = [section for section in sections if section]
    note = "*Shortened to fit GitHub's limit: {} more sections are in the ledger.*"
    total = len(kept)
    while kept:
        notes = [note.format(total - len(kept))] if len(kept) < total else []
        text = "\n\n".join([*kept, *notes]) + "\n"
        if len(text.encode()) <= limit:
            return text
        kept.pop()
    return ""


def counted(n: int, one: str, many: str = "") -> str:
    """`1 run`, `3 runs`."""
    return f"{n} {one if n == 1 else many or f'{one}s'}"


def duration(seconds: float) -> str:
    """How long, in words of at most two units: "40 s", "12 min", "1 h 20 min", "3 days"."""
    if seconds < 60:
        return f"{max(0.0, seconds):.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if not hours:
        return f"{minutes} min"
    if hours >= 48:
        return f"{hours / 24:.0f} days"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
