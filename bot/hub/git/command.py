"""Running git: as an argument list, blind to the user's configuration and identity."""

import os
import re
import subprocess
from pathlib import Path

MINIMUM_VERSION = (2, 38)  # the first with `merge-tree --write-tree`


class GitError(Exception):
    """git answered no; the message is what it said."""


class GitVersionError(Exception):
    """This machine's git cannot merge without a work tree."""


def environment() -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.devnull,
        "LC_ALL": "C",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_LITERAL_PATHSPECS": "1",
    }


def command(path: Path, *arguments: str) -> list[str]:
    """The argument list that runs git on the bare repository at `path`."""
    return ["git", "-c", "safe.directory=*", f"--git-dir={path}", *arguments]


def run_git(path: Path, *arguments: str, stdin: bytes = b"", index: Path | None = None, strict: bool = False) -> bytes:
    """Standard output. Raises GitError with standard error when git exits with anything but 0.

    With `strict` also when it complains and goes on, as `update-index` does about a path like `../x`.
    """
    if any("\0" in argument for argument in arguments):  # as in an address with %00
        raise GitError("nothing that git knows has a NUL character in its name")
    env = environment()
    if index is not None:
        env["GIT_INDEX_FILE"] = str(index)
    done = subprocess.run(command(path, *arguments), input=stdin, env=env, capture_output=True, check=False)
    if done.returncode != 0 or (strict and done.stderr):
        raise GitError(done.stderr.decode(errors="replace").strip() or f"git {arguments[0]} exited {done.returncode}")
    return done.stdout


def require_version() -> None:
    """Raises GitVersionError with one sentence that says what to do."""
    try:
        text = subprocess.run(["git", "version"], capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        raise GitVersionError("The hub needs git 2.38 or newer, and found none on PATH: please install git.") from None
    found = re.search(r"(\d+)\.(\d+)", text)
    if found is None or (int(found[1]), int(found[2])) < MINIMUM_VERSION:
        raise GitVersionError(
            f"The hub needs git 2.38 or newer, and this is {text.strip()}: please install a newer git."
        )
