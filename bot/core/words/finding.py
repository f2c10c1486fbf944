"""What an examination found: one line on each subject, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    OK = "ok"
    NOTE = "note"  # it works, with less than it could
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    subject: str
    grade: Grade
    says: str
    todo: str = ""  # one sentence; empty where nothing is to be done


def ok(subject: str, says: str) -> Finding:
    return Finding(subject=subject, grade=Grade.OK, says=says)


def note(subject: str, says: str, todo: str = "") -> Finding:
    return Finding(subject=subject, grade=Grade.NOTE, says=says, todo=todo)


def broken(subject: str, says: str, todo: str) -> Finding:
    return Finding(subject=subject, grade=Grade.BROKEN, says=says, todo=todo)
