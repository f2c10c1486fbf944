"""What can be commanded: every command with where it may be given, its arguments, and what it means."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

MAX_TEXT_CHARACTERS = 4_000
MAX_EXPERIMENTS = 10_000
MAX_HOURS = 720
MAX_USD = 100_000
MAX_RERUNS = 16

_SHA = re.compile(r"[0-9a-f]{7,64}")
_NUMBER = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,3})?")


class Thread(StrEnum):
    """Where a comment stands."""

    ISSUE = "issue"
    PULL = "pull request"


class Verb(StrEnum):
    EXPERIMENT = "experiment"
    CAMPAIGN_START = "campaign start"
    CAMPAIGN_STOP = "campaign stop"
    CAMPAIGN_STATUS = "campaign status"
    EXPLAIN = "explain"
    MEASURE = "measure"
    RERUN = "rerun"
    HOLD = "hold"
    RESUME = "resume"
    REVISE = "revise"
    MERGE = "merge"
    CLOSE = "close"
    HELP = "help"

    @property
    def word(self) -> str:
        """The first one, which is what a comment's line begins with."""
        return self.split()[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What a person asked for. What was left out is empty or None: whoever obeys has the defaults."""

    verb: Verb
    text: str = ""  # the idea, what to revise, or why to hold or close; untrusted, without control characters
    experiments: int | None = None  # of /campaign start
    hours: float | None = None  # of /campaign start
    usd: float | None = None  # of /campaign start: for the model
    runs: int = 1  # of /rerun
    sha: str = ""  # of /merge: the beginning of the head's hash, lower case


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandError:
    """A command that cannot be obeyed; `message` says in one sentence what to write instead."""

    message: str
    line: str = ""  # the (first) line it is about, untrusted, at most 200 characters


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the grammar. `read` makes a command of the rest of its line and of what follows in the comment."""

    verb: Verb
    threads: tuple[Thread, ...]
    usage: str
    meaning: str
    read: "Callable[[Rule, str, str], Command | CommandError]"


def _nothing(rule: Rule, rest: str, _: str) -> Command | CommandError:
    if rest.strip():
        return CommandError(message=f"`/{rule.verb}` takes nothing after it: put other words on the next line")
    return Command(verb=rule.verb)


def _text(rule: Rule, rest: str, following: str) -> Command | CommandError:
    """Everything to the end of the comment, less control, format and other invisible characters: nobody can hide words
    for a model in them."""
    raw = f"{rest}\n{following}"
    text = "".join(c for c in raw if c in "\n\t" or not unicodedata.category(c).startswith("C")).strip()
    if len(text) > MAX_TEXT_CHARACTERS:
        return CommandError(
            message=f"the text has {len(text)} characters: shorten it to {MAX_TEXT_CHARACTERS} or link to the rest"
        )
    return Command(verb=rule.verb, text=text)


def _words(rule: Rule, rest: str, following: str) -> Command | CommandError:
    """A text that must not be empty."""
    found = _text(rule, rest, following)
    if found == Command(verb=rule.verb):
        return CommandError(message=f"write `{rule.usage}`: the words are missing")
    return found


def _runs(rule: Rule, rest: str, _: str) -> Command | CommandError:
    runs = _whole((rest.strip().lower() or "1").removeprefix("n="), MAX_RERUNS)
    if runs is None:
        return CommandError(message=f"write `/rerun` or `/rerun 4`: a whole number from 1 to {MAX_RERUNS}")
    return Command(verb=rule.verb, runs=runs)


def _hash(rule: Rule, rest: str, _: str) -> Command | CommandError:
    sha = rest.strip().lower()
    if sha and not _SHA.fullmatch(sha):
        return CommandError(message="write `/merge`, or `/merge` with the first seven or more digits of a hash")
    return Command(verb=rule.verb, sha=sha)


def _budgets(rule: Rule, rest: str, _: str) -> Command | CommandError:
    """{"n=" whole number | "hours=" number | "budget=" ["$"] number}, each key once."""
    experiments: int | None = None
    hours: float | None = None
    usd: float | None = None
    for setting in rest.lower().split():
        key, _, value = setting.partition("=")
        if key == "n" and experiments is None and (experiments := _whole(value, MAX_EXPERIMENTS)):
            continue
        if key == "hours" and hours is None and (hours := _positive(value, MAX_HOURS)):
            continue
        if key == "budget" and usd is None and (usd := _positive(value.removeprefix("$"), MAX_USD)):
            continue
        return CommandError(
            message=f"write `/campaign start n=20 hours=8 budget=30`: n is 1 to {MAX_EXPERIMENTS}, hours up to "
            f"{MAX_HOURS}, budget up to {MAX_USD} dollars for the model"
        )
    return Command(verb=rule.verb, experiments=experiments, hours=hours, usd=usd)


def _positive(text: str, largest: float) -> float | None:
    value = float(text) if _NUMBER.fullmatch(text) else 0.0
    return value if 0 < value <= largest else None


def _whole(text: str, largest: int) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,6}", text) and 1 <= int(text) <= largest else None


_ISSUES, _PULLS = (Thread.ISSUE,), (Thread.PULL,)
GRAMMAR = (
    Rule(
        Verb.EXPERIMENT,
        _ISSUES,
        "/experiment [idea]",
        "Propose a change, measure it and merge or close it by the numbers. The idea is everything up to the "
        "end of the comment; without one the proposer chooses.",
        _text,
    ),
    Rule(
        Verb.CAMPAIGN_START,
        _ISSUES,
        "/campaign start [n=<experiments>] [hours=<hours>] [budget=<dollars>]",
        f"Run a series of up to {MAX_EXPERIMENTS} experiments in up to {MAX_HOURS} hours, for at most so many "
        "dollars for the model; the contract's `campaign` section has the defaults.",
        _budgets,
    ),
    Rule(Verb.CAMPAIGN_STOP, _ISSUES, "/campaign stop", "Start no more experiments; those under way finish.", _nothing),
    Rule(
        Verb.CAMPAIGN_STATUS,
        _ISSUES,
        "/campaign status",
        "Say what the campaign has done and what is left of its budget.",
        _nothing,
    ),
    Rule(
        Verb.MEASURE,
        _PULLS,
        "/measure",
        "Measure a pull request of your own against main, as it is now. Nothing is written to its branch, and "
        "it is neither merged nor closed.",
        _nothing,
    ),
    Rule(
        Verb.EXPLAIN,
        _PULLS,
        "/explain",
        "Say in plain words what was measured, what it means and what would change the decision.",
        _nothing,
    ),
    Rule(
        Verb.RERUN,
        _PULLS,
        "/rerun [n]",
        f"Measure this head n more times with fresh seeds (1 without n, at most {MAX_RERUNS}). All of them "
        "count as evidence, whatever comes out.",
        _runs,
    ),
    Rule(Verb.HOLD, _PULLS, "/hold [why]", "Neither merge nor close until `/resume`.", _text),
    Rule(Verb.RESUME, _PULLS, "/resume", "Go on after `/hold`.", _nothing),
    Rule(
        Verb.REVISE,
        _PULLS,
        "/revise <what>",
        "Change the proposal as you say, in another commit, and measure that. A review that asks for changes "
        "does the same.",
        _words,
    ),
    Rule(
        Verb.MERGE,
        _PULLS,
        "/merge [sha]",
        "Merge what was measured although the numbers or the contract do not: asks once for the head's hash, "
        "and records who overrode what.",
        _hash,
    ),
    Rule(Verb.CLOSE, _PULLS, "/close [why]", "Stop measuring and close the pull request.", _text),
    Rule(Verb.HELP, (*_ISSUES, *_PULLS), "/help", "List these commands.", _nothing),
)

WORDS = tuple(dict.fromkeys(rule.verb.word for rule in GRAMMAR))
