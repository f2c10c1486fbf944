"""Commands in comments: text -> `Command`, `CommandError`, or None when the comment holds no command."""

import re
from collections.abc import Iterable
from dataclasses import replace
from difflib import get_close_matches

from markdown_it import MarkdownIt
from markdown_it.token import Token

from bot.core.intake.grammar import GRAMMAR, WORDS, Command, CommandError, Thread

MAX_COMMENT_CHARACTERS = 65_536  # GitHub's own limit: what is beyond it is not read
_LOWEST_SIMILARITY = 0.75  # `/experimnt` and `/run` are typing errors, `/etc` and `/s` are not

# A private-use character: marks the lines where a command may stand, and is cut from outside text first.
_MARK = "\ue000"
_MARKDOWN = MarkdownIt("commonmark")


def parse(comment: str, *, thread: Thread, mention: str) -> Command | CommandError | None:
    """The one command in `comment`, for the bot that answers to `@<mention>`. Never raises.

        comment  = ... line, each of them prose or a command
        command  = ("/" | "@" mention [":" | ","] ["/"]) word [arguments]     at the beginning of a line
        word     = a word of GRAMMAR, in any case; "." "," ":" ";" "!" "?" after it are ignored

    Lines in quotes, code (fenced, indented or inline), HTML and comments are prose, and so is a line with a slash whose
    word is not close to any in GRAMMAR, such as `/usr/bin/python`. Nothing else in the comment can be a command beside
    one.
    """
    comment = comment[:MAX_COMMENT_CHARACTERS].replace(_MARK, "")
    lines = comment.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    pattern = _opening(mention)
    candidates = [number for number, line in enumerate(lines) if pattern.match(line)]
    found: list[tuple[int, str, re.Match[str]]] = []
    for number in _displayed(lines, candidates):
        opening = pattern.match(lines[number])
        word = _closest(opening["word"].lower()) if opening else None
        if opening and (word or opening["called"]):  # who is called by name for a command answers
            found.append((number, word or "", opening))
    if not found:
        return None
    number, word, opening = found[0]
    if len(found) > 1:
        answer: Command | CommandError = CommandError(
            message=f"there are {len(found)} commands in this comment: write one comment for each"
        )
    elif not word:
        known = ", ".join(dict.fromkeys(f"`/{rule.verb.word}`" for rule in GRAMMAR if thread in rule.threads))
        answer = CommandError(message=f"`{opening['word']}` is not a command: here you can write {known}")
    elif word != opening["word"].lower():
        answer = CommandError(message=f"`/{opening['word']}` is not a command: did you mean `/{word}`?")
    else:
        answer = _command(word, lines[number][opening.end() :], "\n".join(lines[number + 1 :]), thread)
    return answer if isinstance(answer, Command) else replace(answer, line=lines[number].strip()[:200])


def _opening(mention: str) -> re.Pattern[str]:
    """What a command begins with. Three spaces before it are the most that Markdown does not take for code."""
    address = rf"@(?i:{re.escape(mention)})(?:\[bot\])?[:,]?[ \t]+(?P<called>/)?"
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
    close = get_close_matches(word, WORDS, n=1, cutoff=_LOWEST_SIMILARITY)
    return close[0] if close else None


def _command(word: str, rest: str, following: str, thread: Thread) -> Command | CommandError:
    rules = [rule for rule in GRAMMAR if rule.verb.word == word]
    if thread not in rules[0].threads:
        return CommandError(message=f"`/{word}` is for comments on {rules[0].threads[0]}s: write it there")
    if len(rules) == 1:
        return rules[0].read(rules[0], rest, following)
    second, *others = rest.split(maxsplit=1) or [""]
    known = {rule.verb.split()[1]: rule for rule in rules}
    if chosen := known.get(second.lower()):
        return chosen.read(chosen, "".join(others), following)
    close = get_close_matches(second.lower(), known, n=1)
    guess = f"did you mean `/{word} {close[0]}`? " if close else ""
    return CommandError(
        message=f"{guess}write {', '.join(f'`/{rule.verb}`' for rule in rules[:-1])} or `/{rules[-1].verb}`"
    )
