"""What is said to an experiment under way. It reads its messages before every decision, each one once."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Something happened to its pull request: look at the forge now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """Measure this head `runs` more times, with fresh seeds, before the next decision."""

    by: str
    runs: int
    head_sha: str  # that the person saw
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Revise:
    """A person wants the proposal changed."""

    by: str
    text: str  # untrusted
    key: str  # of the comment or review that said so: c1234 or r1234; the reply is found by it


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A person merges what the numbers or the contract do not. Confirmed by naming the head."""

    by: str
    head_sha: str
    key: str


Message = Look | Rerun | Revise | Override
