"""The tools a language model gets to write a proposal with: their names, inputs and descriptions, and nothing more.

What a tool does is in draft.py. The order and wording are part of the prompt's stable beginning.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.core.text import line

MAX_TEXT = 100_000


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class ListFiles(_Input):
    """List the repository's files at the base commit, with sizes; those you may edit are marked."""

    folder: Annotated[str, Field(max_length=200, description="Only below this folder; empty for all.")] = ""


class ReadFile(_Input):
    """Read a text file, with your edits in it. Long files come in parts."""

    path: Annotated[str, Field(max_length=200)]
    first_line: Annotated[int, Field(ge=1)] = 1


class Search(_Input):
    """Find lines that contain a text, letter for letter, in the repository's text files."""

    text: Annotated[str, Field(min_length=1, max_length=200)]
    folder: Annotated[str, Field(max_length=200)] = ""


class FindExperiments(_Input):
    """List earlier experiments whose title, change or reason contains a text (case does not matter), newest first."""

    text: Annotated[str, Field(max_length=200, description="Empty for all.")] = ""
    skip: Annotated[int, Field(ge=0, le=100_000, description="Leave out this many of the newest.")] = 0


class ReadExperiment(_Input):
    """One earlier experiment in depth: hypothesis, change, numbers of every run, learning curve, end of the log."""

    experiment: Annotated[str, Field(max_length=120, description="Its id, or the number of its pull request.")]


class Replace(_Input):
    """Replace the one occurrence of a text in a file you may edit. An empty `old` makes a new file."""

    path: Annotated[str, Field(max_length=200)]
    old: Annotated[str, Field(max_length=MAX_TEXT, description="Copied exactly, and long enough to occur once.")]
    new: Annotated[str, Field(max_length=MAX_TEXT)]


class ShowDraft(_Input):
    """Show your edits so far as a unified diff."""


class DiscardDraft(_Input):
    """Throw all your edits away and start from the base commit again."""


class CheckDraft(_Input):
    """Check your edits without running them: syntax, imports, allowed paths, size, whether it was tried before."""


class RunDraft(_Input):
    """Train your draft for a moment in the sandbox and show the end of its output. It says whether the code works,
    never how good it is. There are few such runs; submit makes one by itself for a draft that had none."""


class Submit(_Input):
    """Hand in your edits as one proposal. It becomes a pull request and is measured. This ends your work."""

    title: Annotated[str, Field(min_length=4, max_length=72, description="Imperative, one line.")]
    hypothesis: Annotated[str, Field(min_length=20, max_length=2000, description="What should happen and why.")]
    mechanism: Annotated[str, Field(min_length=20, max_length=2000, description="How the change brings it about.")]
    expected_gain: Annotated[float, Field(description="Your best guess, in units of the metric; positive is better.")]
    expected_low: Annotated[float, Field(description="It is likely more than this.")]
    expected_high: Annotated[float, Field(description="It is likely less than this.")]
    risk: Annotated[str, Field(max_length=800, description="What may go wrong, and what a reviewer should look at.")]
    kind: Annotated[
        Literal["improve", "simplify"],
        Field(description="simplify: less code, judged by being no worse. improve: judged by being better."),
    ]


class Step(_Input):
    title: Annotated[str, Field(min_length=4, max_length=72, description="Imperative, one line.")]
    idea: Annotated[
        str, Field(min_length=20, max_length=1500, description="What to change and why, for whoever writes it later.")
    ]


class SubmitPlan(_Input):
    """Only when a person asked for an idea that is too large for one proposal: split it into ordered steps, each of
    them one idea that is worth measuring by itself. Each becomes a pull request of its own, written when those before
    it have ended. Your edits are not used. This ends your work."""

    reason: Annotated[str, Field(min_length=10, max_length=400, description="Why it is too large, one sentence.")]
    steps: Annotated[list[Step], Field(min_length=2, max_length=6)]


class Decline(_Input):
    """Say that what you were asked for cannot become a proposal here, and why. This ends your work."""

    reason: Annotated[str, Field(min_length=10, max_length=400, description="One sentence for the person who asked.")]


Look = ListFiles | ReadFile | Search | FindExperiments | ReadExperiment
Input = Look | Replace | ShowDraft | DiscardDraft | CheckDraft | RunDraft | Submit | SubmitPlan | Decline
BY_NAME: dict[str, type[Input]] = {
    "list_files": ListFiles,
    "read_file": ReadFile,
    "search": Search,
    "find_experiments": FindExperiments,
    "read_experiment": ReadExperiment,
    "replace": Replace,
    "show_draft": ShowDraft,
    "discard_draft": DiscardDraft,
    "check_draft": CheckDraft,
    "run_draft": RunDraft,
    "submit": Submit,
    "submit_plan": SubmitPlan,
    "decline": Decline,
}


def definitions() -> list[dict[str, Any]]:
    """The tools as the Messages API takes them, always the same bytes."""
    return [
        {"name": name, "description": " ".join((kind.__doc__ or "").split()), "input_schema": _schema(kind)}
        for name, kind in BY_NAME.items()
    ]


def parse(name: str, values: object) -> Input | str:
    """A model's tool call, or one sentence that says what is wrong with it."""
    kind = BY_NAME.get(name)
    if kind is None:
        return f"there is no tool {line(name, 60)!r}: use one of {', '.join(BY_NAME)}"
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the input"
        return f"{name}: {line(where, 60)}: {line(first['msg'], 200)}"


def _schema(kind: type[Input]) -> dict[str, Any]:
    schema = kind.model_json_schema()
    properties = {
        name: {key: value for key, value in one.items() if key != "title"} for name, one in schema["properties"].items()
    }
    inner = {"$defs": schema["$defs"]} if "$defs" in schema else {}
    return {
        "type": "object",
        "properties": properties,
        "required": schema.get("required", []),
        "additionalProperties": False,
        **inner,
    }
