"""Commands in comments: text -> `Command`, `CommandError`, or None when the comment holds no command."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import StrEnum

from markdown_it import MarkdownIt
from markdown_it.token import Token

MAX_TEXT_CHARACTERS = 4_000
MAX_COMMENT_CHARACTERS = 65_536  # GitHub's own limit: what is beyond it is not read
MAX_EXPERIMENTS = 10_000
MAX_HOURS = 720


class Thread(StrEnum):
    """Where a comment stands."""

    ISSUE = "issue"
    PULL = "pull request"


class Verb(StrEnum):
    EXPERIMENT = "experiment"
    CAMPAIGN_START = "campaign start"
    CAMPAIGN_STOP = "campaign stop"
    CAMPAIGN_STATUS = "campaign status"
    HOLD = "hold"
    RESUME = "resume"
    CLOSE = "close"
    HELP = "help"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What a person asked for. What was left out is empty or None: whoever obeys has the defaults."""

    verb: Verb
    text: str = ""  # the idea of an experiment, or why to hold or close; untrusted, without control characters
    experiments: int | None = None  # of /campaign start
    hours: float | None = None  # of /campaign start


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandError:
    """A command that cannot be obeyed; `message` says in one sentence what to write instead."""

    message: str
    line: str = ""  # the (first) line it is about, untrusted, at most 200 characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of the grammar. `text`: words may follow, to the end of the comment."""

    verb: Verb
    threads: tuple[Thread, ...]
    usage: str
    meaning: str
    text: bool = False


GRAMMAR = (
    Rule(
        verb=Verb.EXPERIMENT,
        threads=(Thread.ISSUE,),
        usage="/experiment [idea]",
        meaning="Propose a change, measure it and merge or close it by the numbers. The idea is everything up to the "
        "end of the comment; without one the proposer chooses.",
        text=True,
    ),
    Rule(
        verb=Verb.CAMPAIGN_START,
        threads=(Thread.ISSUE,),
        usage="/campaign start [n=<experiments>] [hours=<hours>]",
        meaning=f"Run a series of up to {MAX_EXPERIMENTS} experiments in up to {MAX_HOURS} hours; the contract's "
        "`campaign` section has the defaults.",
    ),
    Rule(
        verb=Verb.CAMPAIGN_STOP,
        threads=(Thread.ISSUE,),
        usage="/campaign stop",
        meaning="Start no more experiments; those under way finish.",
    ),
    Rule(
        verb=Verb.CAMPAIGN_STATUS,
        threads=(Thread.ISSUE,),
        usage="/campaign status",
        meaning="Say what the campaign has done and what is left of its budget.",
    ),
    Rule(
        verb=Verb.HOLD,
        threads=(Thread.PULL,),
        usage="/hold [why]",
        meaning="Neither merge nor close until `/resume`.",
        text=True,
    ),
    Rule(verb=Verb.RESUME, threads=(Thread.PULL,), usage="/resume", meaning="Go on after `/hold`."),
    Rule(
        verb=Verb.CLOSE,
        threads=(Thread.PULL,),
        usage="/close [why]",
        meaning="Stop measuring and close the pull request.",
        text=True,
    ),
    Rule(verb=Verb.HELP, threads=(Thread.ISSUE, Thread.PULL), usage="/help", meaning="List these commands."),
)

_WORDS = tuple(dict.fromkeys(rule.verb.split()[0] for rule in GRAMMAR))
_LOWEST_SIMILARITY = 0.75  # `/experimnt` and `/run` are typing errors, `/etc` and `/s` are not
_NUMBER = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,3})?")

# A private-use character: marks the lines where a command may stand, and is cut from outside text first.
_MARK = "\ue000"
_MARKDOWN = MarkdownIt("commonmark")


def parse(comment: str, *, thread: Thread, mention: str) -> Command | CommandError | None:
    """The one command in `comment`, for the bot that answers to `@<mention>`. Never raises.

        comment  = ... line, each of them prose or a command
        command  = ("/" | "@" mention [":" | ","] ["/"]) word [arguments]     at the beginning of a line
        word     = a word of GRAMMAR, in any case; "." "," ":" ";" "!" "?" after it are ignored

    Lines in quotes, code (fenced, indented or inline), HTML and comments are prose, and so is a line whose word is not
    close to any in GRAMMAR, such as `/usr/bin/python`. Nothing else in the comment can be a command beside one.
    """
    comment = comment[:MAX_COMMENT_CHARACTERS].replace(_MARK, "")
    lines = comment.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    pattern = _opening(mention)
    candidates = [number for number, line in enumerate(lines) if pattern.match(line)]
    found: list[tuple[int, str, re.Match[str]]] = []
    for number in _displayed(lines, candidates):
        opening = pattern.match(lines[number])
        if opening and (word := _closest(opening["word"].lower())):
            found.append((number, word, opening))
    if not found:
        return None
    number, word, opening = found[0]
    if len(found) > 1:
        answer: Command | CommandError = CommandError(
            message=f"there are {len(found)} commands in this comment: write one comment for each"
        )
    elif word != opening["word"].lower():
        answer = CommandError(message=f"`/{opening['word']}` is not a command: did you mean `/{word}`?")
    else:
        answer = _command(word, lines[number][opening.end() :], "\n".join(lines[number + 1 :]), thread)
    return answer if isinstance(answer, Command) else replace(answer, line=lines[number].strip()[:200])


def _opening(mention: str) -> re.Pattern[str]:
    """What a command begins with. Three spaces before it are the most that Markdown does not take for code."""
    address = rf"@(?i:{re.escape(mention)})(?:\[bot\])?[:,]?[ \t]+/?"
    return re.compile(rf" {{0,3}}(?:/|{address})(?P<word>[A-Za-z][A-Za-z-]{{0,39}})[.,:;!?]*(?=[ \t\xa0]|$)", re.ASCII)


def _displayed(lines: list[str], candidates: list[int]) -> list[int]:
    """Those candidates that a reader of the rendered comment sees as plain text.

    Each gets a mark and its number; Markdown then tells whether the mark ends up in text or in code, HTML and so on.
    Neither the mark nor what it stands before can begin a Markdown block, so marking changes no structure.
    """
    if not candidates:
        return []
    marked = list(lines)
    for number in candidates:
        indent = len(lines[number]) - len(lines[number].lstrip(" "))
        marked[number] = f"{lines[number][:indent]}{_MARK}{number}{_MARK}{lines[number][indent:]}"
    seen = re.findall(f"{_MARK}([0-9]+){_MARK}", "\n".join(_texts(_MARKDOWN.parse("\n".join(marked)))))
    return [int(number) for number in seen]


def _texts(tokens: Iterable[Token]) -> Iterable[str]:
    for token in tokens:
        if token.type == "text":
            yield token.content
        if token.type != "image":  # whose text is shown only where the image is not
            yield from _texts(token.children or ())


def _closest(word: str) -> str | None:
    close = get_close_matches(word, _WORDS, n=1, cutoff=_LOWEST_SIMILARITY)
    return close[0] if close else None


def _command(word: str, rest: str, following: str, thread: Thread) -> Command | CommandError:
    rules = [rule for rule in GRAMMAR if rule.verb.split()[0] == word]
    if thread not in rules[0].threads:
        return CommandError(message=f"`/{word}` is for comments on {rules[0].threads[0]}s: write it there")
    if word == "campaign":
        return _campaign(rest.split())
    if rules[0].text:
        return _with_text(rules[0].verb, f"{rest}\n{following}")
    if rest.strip():
        return CommandError(message=f"`/{word}` takes nothing after it: put other words on the next line")
    return Command(verb=rules[0].verb)


def _with_text(verb: Verb, raw: str) -> Command | CommandError:
    """`raw` loses control, format and other invisible characters: nobody can hide words for a model in them."""
    text = "".join(c for c in raw if c in "\n\t" or not unicodedata.category(c).startswith("C")).strip()
    if len(text) > MAX_TEXT_CHARACTERS:
        return CommandError(
            message=f"the text has {len(text)} characters: shorten it to {MAX_TEXT_CHARACTERS} or link to the rest"
        )
    return Command(verb=verb, text=text)


def _campaign(arguments: list[str]) -> Command | CommandError:
    """campaign = "/campaign" ("start" {"n=" whole number | "hours=" number} | "stop" | "status"), each key once"""
    action, *settings = [argument.lower() for argument in arguments] or [""]
    verb = next((rule.verb for rule in GRAMMAR if rule.verb == f"campaign {action}"), None)
    if verb is None:
        return CommandError(message="write `/campaign start`, `/campaign stop` or `/campaign status`")
    if settings and verb is not Verb.CAMPAIGN_START:
        return CommandError(message=f"`/campaign {action}` takes nothing after it: put other words on the next line")
    experiments: int | None = None
    hours: float | None = None
    for setting in settings:
        key, _, value = setting.partition("=")
        if key == "n" and experiments is None and (experiments := _whole(value, MAX_EXPERIMENTS)):
            continue
        if key == "hours" and hours is None and _NUMBER.fullmatch(value) and 0 < (hours := float(value)) <= MAX_HOURS:
            continue
        return CommandError(
            message=f"write `/campaign start n=20 hours=8`: n is 1 to {MAX_EXPERIMENTS}, hours up to {MAX_HOURS}"
        )
    return Command(verb=verb, experiments=experiments, hours=hours)


def _whole(text: str, largest: int) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,6}", text) and 1 <= int(text) <= largest else None
