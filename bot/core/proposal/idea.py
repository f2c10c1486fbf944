"""The text of `/experiment <idea>` read as a wish about one constant: which one, and what should become of it.

    FINAL_LR_FRAC 0.05        set rope base to 20k        embedding lr x1.5        lower weight decay by 20%
    halve the batch size      double depth                warmdown 0.5 -> 0.75     try 50% more embedding lr

Words that are neither a constant's, a number's nor filler make it free text, which only a language model understands.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from bot.core.proposal.constants import Constant, Value
from bot.core.proposal.priors import Shape, is_protected, prior_of

_LONGEST_IDEA = 300
_NUMBER = r"[-+]?(?:\d[\d_]*(?:,\d{3})*(?:\.\d+)?|\.\d+)(?:e[-+]?\d{1,3})?"
_TOKEN = re.compile(
    rf"(?P<power>2(?:\*\*|\^)\d{{1,2}}(?!\d))|(?P<factor>[x×*]\s?{_NUMBER}(?![\w.])|{_NUMBER}\s?[x×](?!\w))"
    rf"|(?P<percent>{_NUMBER}\s?%)|(?P<number>(?<![\w.]){_NUMBER}[km]?(?![\w.]*\w))|(?P<word>[a-z][a-z0-9]*)|(?P<arrow>->|→)"
    r"|(?P<unreadable>\d[\w.]*)",
    re.ASCII,
)
_FACTORS = {"halve": 0.5, "half": 0.5, "double": 2.0, "twice": 2.0, "triple": 3.0, "quarter": 0.25}
_UP = re.compile(r"raise|increase|higher|more|larger|bigger|up|longer|wider|deeper|enable|on|true")
_DOWN = re.compile(r"lower|reduce|decrease|less|smaller|down|shorter|narrower|shallower|disable|off|false")
_FILLER = re.compile(
    r"an?|and|at|be|bit|by|change|constant|could|factor|for|from|i|if|in|is|its?|lets?|little|make|maybe|of|or|our|parameter"
    r"|perhaps|please|run|set|should|slightly|test|than|that|the|then|think|this|times|to|too|try|tune|turn|us|use|using|value|we"
    r"|what|with|would"
)
_SYNONYMS = {"rotary": "rope", "rate": "", "learning": "lr", "layers": "depth", "fraction": "frac", "wd": "decay"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """`value` None leaves the choice to the tuner, upwards if `direction` is 1, downwards if it is -1."""

    name: str
    value: Value | None
    direction: int = 0


def read_idea(idea: str, constants: Sequence[Constant]) -> Wish | str:
    """The wish, or one sentence for the person who wrote the idea. Nothing of the idea itself is repeated in it."""
    tunable = [constant for constant in constants if not is_protected(constant)]
    tokens = _tokens(idea, constants)
    words = [_SYNONYMS.get(text, text) for kind, text in tokens if kind == "word"]
    named = [word for word in words if word and not _is_filler(word)]
    chosen = _chosen(named, constants)
    if isinstance(chosen, str):
        return chosen
    if not chosen or len(idea) > _LONGEST_IDEA:
        return _cannot(named, tunable)
    if is_protected(chosen[0]):
        return f"{chosen[0].name} binds the metric, the data or the budget, so the tuner leaves it alone."
    if len(chosen) > 1:
        return f"The idea fits several constants: name one of {_some(chosen)}."
    return _wish(constant=chosen[0], tokens=tokens)


def _tokens(idea: str, constants: Sequence[Constant]) -> list[tuple[str, str]]:
    """Kind and text of everything in the idea that means something."""
    text = re.sub(r"(?<!\d)_|_(?!\d)", " ", idea[:_LONGEST_IDEA].lower())
    parts = {part for constant in constants for part in _parts(constant)}
    tokens = [(match.lastgroup or "", match[0]) for match in _TOKEN.finditer(text)]
    return [("word" if token in parts else kind, token) for kind, token in tokens]  # x0 is a name before it is a factor


def _is_filler(word: str) -> bool:
    return word in _FACTORS or any(pattern.fullmatch(word) for pattern in (_FILLER, _UP, _DOWN))


def _chosen(named: Sequence[str], constants: Sequence[Constant]) -> list[Constant] | str:
    """The constants whose names hold every word, those with the fewest other parts; or what is wrong with the words."""
    if not named:
        return []
    fitting = [(len(parts), c) for c in constants if (parts := _parts(c)) and all(_in(word, parts) for word in named)]
    fewest = min((count for count, _ in fitting), default=0)
    return [constant for count, constant in fitting if count == fewest]


def _parts(constant: Constant) -> list[str]:
    return [part for part in re.split(r"[^a-z0-9]+", constant.name.lower()) if part]


def _in(word: str, parts: Sequence[str]) -> bool:
    """Whether the word is a part, its plural, or a beginning of three letters or more."""
    return any(word == p or word == p + "s" or (len(word) >= 3 and p.startswith(word)) for p in parts)


def _cannot(named: Sequence[str], tunable: Sequence[Constant]) -> str:
    joined = "_".join(named)
    close = difflib.get_close_matches(joined, [constant.name.lower() for constant in tunable], n=1, cutoff=0.75)
    guess = f"did you mean {close[0].upper()}?" if close else ""
    return (
        f"The tuner changes one constant by name and number, such as {_some(tunable)}; "
        f"{guess or 'this idea names none.'} "
        "Free text needs the Claude proposer: `proposer: claude` in the contract."
    )


def _some(constants: Sequence[Constant]) -> str:
    return ", ".join(constant.name for constant in constants[:4]) or "EMBEDDING_LR"


def _wish(*, constant: Constant, tokens: Sequence[tuple[str, str]]) -> Wish | str:
    words = {text for kind, text in tokens if kind == "word"}
    direction = any(map(_UP.fullmatch, words)) - any(map(_DOWN.fullmatch, words))
    if isinstance(constant.value, bool):
        wanted = {1: True, -1: False}.get(direction, not constant.value)
        return _checked(constant, float(wanted))
    example = f"`{constant.name} {constant.text}`"
    if any(kind == "unreadable" for kind, _ in tokens):
        return f"The number for {constant.name} cannot be read: write it like {example}."
    numbers = [
        token for token in tokens if token[0] in ("power", "factor", "percent", "number") or token[1] in _FACTORS
    ]
    if len(numbers) == 2 and (any(kind == "arrow" for kind, _ in tokens) or {"from", "to"} <= words):
        numbers = numbers[1:]  # "from 0.3 to 0.45": the first one is only a reminder
    if len(numbers) > 1:
        return f"The idea gives several numbers for {constant.name}: give one, such as {example}."
    if not numbers:
        return Wish(name=constant.name, value=None, direction=direction)
    return _checked(constant, _wanted(constant.value, *numbers[0], words=words, direction=direction))


def _wanted(today: float, kind: str, text: str, *, words: set[str], direction: int) -> float:
    """What a number means for a constant that is `today`: a new value, a factor, a percentage or a step."""
    if text in _FACTORS:
        return today * _FACTORS[text]
    number = _amount(text)
    if kind == "factor" or words & {"factor", "times"}:
        return today / number if direction < 0 and number else today * number
    if kind == "percent":
        relative = direction or text[0] in "+-"
        return today * (1 + (direction or 1) * number / 100) if relative and "to" not in words else number / 100
    if direction and words & {"by", "more", "less"}:
        return today + direction * number
    return number


def _amount(text: str) -> float:
    text = text.strip("x×*% ").replace("_", "").replace(" ", "").replace(",", "")
    base, _, exponent = text.replace("^", "**").partition("**")
    if exponent:
        return float(int(base) ** int(exponent))
    scale = {"k": 1e3, "m": 1e6}.get(text[-1:], 1.0)
    return float(text.rstrip("km")) * scale


def _checked(constant: Constant, number: float) -> Wish | str:
    """The number in the constant's type, or the sentence that says why it cannot be."""
    shape, name = prior_of(constant).shape, constant.name
    if not -1e15 <= number <= 1e15 or 0 < abs(number) < 1e-15:
        return f"{name} cannot take a number that large or small: give one nearer to today's {constant.value}."
    if number < 0 <= constant.value:
        return f"{name} is not negative: give a number from 0 up."
    if shape is Shape.FRACTION and number > 1:
        return f"{name} is a fraction: give a number from 0 to 1."
    number = float(f"{number:.6g}") if number % 1 else number
    value: Value = number
    if isinstance(constant.value, bool):
        value = bool(number)
    elif number % 1 == 0 and isinstance(constant.value, int):
        value = int(number)
    elif shape in (Shape.SIZE, Shape.COUNT):
        return f"{name} is a whole number and {number:g} is not: give a whole one."
    if value == constant.value:
        return f"{name} is {constant.value} already."
    return Wish(name=name, value=value)
