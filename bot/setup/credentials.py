"""The App's credentials in the state folder, readable by their owner only, and the code that they are fetched with.

The forge gives the private key once, for a code that works once. So the code is written down before it is used: a kill
in between is noticed at the next start, where the code is tried again, and the loss is told if it was used up.
"""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FILE = "app.json"
CODE_FILE = "app-code.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """One App on one forge."""

    api_url: str
    app_id: int
    slug: str
    page: str  # on the forge, for people
    private_key: str
    webhook_secret: str

    def __repr__(self) -> str:
        return f"Credentials(api_url={self.api_url}, app_id={self.app_id}, slug={self.slug})"


class BrokenFileError(Exception):
    """A file of ours does not hold what we wrote; the message says which and what to do."""


def load(state: Path) -> Credentials | None:
    """Raises BrokenFileError."""
    found = _read(state / FILE)
    if found is None:
        return None
    try:
        return Credentials(**found)
    except TypeError:
        raise BrokenFileError(f"{state / FILE} is not what was written there: restore it, or remove it") from None


def save(state: Path, credentials: Credentials) -> None:
    """Store them, and forget the code."""
    _write(state / FILE, asdict(credentials))
    (state / CODE_FILE).unlink(missing_ok=True)


def remember_code(state: Path, code: str, *, api_url: str) -> None:
    """Before it is used."""
    _write(state / CODE_FILE, {"code": code, "api_url": api_url})


def remembered_code(state: Path, *, api_url: str) -> str:
    """A code that was written down and whose credentials never were; empty when there is none."""
    found = _read(state / CODE_FILE)
    return str(found.get("code", "")) if found is not None and found.get("api_url") == api_url else ""


def forget_code(state: Path) -> None:
    (state / CODE_FILE).unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BrokenFileError(f"cannot read {path}: {error}") from None
    if not isinstance(found, dict):
        raise BrokenFileError(f"{path} is not what was written there: restore it, or remove it")
    return found


def _write(path: Path, content: dict[str, Any]) -> None:
    """All of it or nothing, also when the power goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    with suppress(FileNotFoundError):
        unfinished.unlink()
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(handle)
    unfinished.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
