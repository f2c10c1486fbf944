"""What pydantic found wrong -> one sentence that says what to write instead."""

from difflib import get_close_matches
from typing import Any

from pydantic_core import ErrorDetails

from bot.core.document import shown

RELATIVE_PATH = r"^(\.|[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*)$"
NAME = r"^[a-z0-9][a-z0-9_.-]*$"
PRINTABLE = r"^[!-~]([ -~]*[!-~])?$"
URL = r"^https?://[^\s/?#@]+(/[^\s?#]*)?$"
PRINTABLE_OR_EMPTY = r"^([!-~]([ -~]*[!-~])?)?$"
IMAGE = (
    r"^([a-z0-9][a-z0-9._/:-]*@)?sha256:[0-9a-f]{64}$"
    r"|^([A-Za-z0-9_][A-Za-z0-9_.-]*/)*([A-Za-z0-9_-]+\.)?Dockerfile(\.[A-Za-z0-9_-]+)?$"
)
FOLDER_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
DATABASE_URL = r"^(postgres(ql)?://.+)?$"
GPUS = r"^(GPU|MIG)-[0-9a-f-]+(,(GPU|MIG)-[0-9a-f-]+)*$"

_PATTERNS = {
    RELATIVE_PATH: "write a path inside the repository, such as `training`: letters, digits, `_`, `-`, `.` and `/`, "
    "no part beginning with a dot",
    NAME: "write a name of small letters, digits, `_`, `-` and `.`, such as `h100-80gb`",
    PRINTABLE: "write plain ASCII characters, with no space at either end",
    URL: "write a web address such as `https://example.org`, without a user, a query or a fragment",
    PRINTABLE_OR_EMPTY: "write plain ASCII characters, with no space at either end",
    IMAGE: "write a digest, `sha256:...` or `name@sha256:...`, or the path of a Dockerfile on main",
    FOLDER_NAME: "write the name of one folder: letters, digits, `_`, `-` and `.`",
    DATABASE_URL: "write `postgresql://<user>:<password>@<host>/<name>`, or leave it out for SQLite",
    GPUS: "write UUIDs as `nvidia-smi -L` shows them, with commas between and no spaces",
}
_TYPES = {
    "int_type": "write a whole number",
    "int_from_float": "write a whole number",
    "int_parsing": "write a whole number",
    "float_parsing": "write a number",
    "float_type": "write a number",
    "finite_number": "write a finite number",
    "bool_type": "write `true` or `false`",
    "string_type": "write text (put quotes around a number)",
    "model_type": "write keys with values here",
    "model_attributes_type": "write keys with values here",
    "dataclass_type": "write keys with values here",
    "list_type": "write a list here, such as `[train.py]`",
    "tuple_type": "write a list here, such as `[train.py]`",
    "greater_than": "it must be more than {gt}",
    "greater_than_equal": "it must be at least {ge}",
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be at most {le}",
    "too_short": "it needs at least {min_length} entry",
    "too_long": "it may hold at most {max_length} entries",
    "string_too_short": "it needs at least {min_length} character",
    "string_too_long": "it may be at most {max_length} characters",
}


def sentence(error: ErrorDetails, *, keys: list[str]) -> str:
    """What to do about `error`; `keys` are those that may stand where it happened."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        unknown = str(error["loc"][-1])
        return f"unknown key `{shown(unknown)}`: {did_you_mean(unknown, keys) or 'use one of ' + ', '.join(keys)}"
    if kind == "missing":
        return "this key is required: add it"
    if kind in ("literal_error", "enum"):
        return _choice(error["input"], str(context["expected"]))
    if kind == "string_pattern_mismatch":
        return _PATTERNS[str(context["pattern"])]
    if kind == "value_error":
        return str(context["error"])
    return _TYPES[kind].format(**context) + f", not `{shown(error['input'])}`"


def did_you_mean(word: str, known: list[str]) -> str:
    close = nearest(word.lower(), known, cutoff=0.6)
    return f"did you mean `{close}`?" if close else ""


def nearest(word: str, known: list[str], *, cutoff: float) -> str:
    """The known word most like `word`; empty when none is like it. `cutoff`: 0 takes anything, 1 only the same."""
    return next(iter(get_close_matches(word, known, n=1, cutoff=cutoff)), "")


def _choice(written: Any, expected: str) -> str:
    known = [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]
    advice = did_you_mean(str(written), known) or "use one of " + ", ".join(known)
    return f"`{shown(written)}` is not known here: {advice}"
