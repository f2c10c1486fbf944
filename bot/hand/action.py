"""What action.yml does with a measurement: outputs, the job's summary, and one comment that is edited in place.

`python -m bot.hand.action JSON MARKDOWN` reads what `nightlab bench` wrote. It is a step of its own, after the
measurement, because it alone is given the token (TOKEN): what it reads comes from a candidate's runs.
"""

import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from github.GithubException import GithubException

from bot.core.text import joined, marker
from bot.core.words.comparison import MARKDOWN_LIMIT
from bot.edge.github.access import Access
from bot.edge.github.forge import Forge

OUTPUTS = {
    "result": "result",
    "reason": "reason",
    "better": "better",
    "difference": "difference",
    "standard-error": "standard_error",
    "evidence": "evalue",
}
TOKEN_OF_A_JOB = "github-actions[bot]"  # noqa: S105 - whose it is; it may not ask for its own name


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Exit status: 0, also when the comment is refused, which it is in jobs for forks."""
    document, text = json.loads(Path(arguments[0]).read_text()), Path(arguments[1]).read_text()
    with Path(environment["GITHUB_OUTPUT"]).open("a") as outputs:
        outputs.write("".join(output(name, document.get(key)) for name, key in OUTPUTS.items()))
    with Path(environment["GITHUB_STEP_SUMMARY"]).open("a") as summary:
        summary.write(f"{text}\n")
    number = pull_number(environment)
    if number is not None and environment.get("COMMENT") == "true" and environment.get("TOKEN"):
        try:
            comment(number, text, environment)
        except Exception as error:  # whatever hinders the comment, the verdict stands
            why = f"HTTP {error.status}" if isinstance(error, GithubException) else type(error).__name__
            print(f"::notice::The pull request got no comment ({why}); the verdict is in the job's summary.")  # noqa: T201
    return 0


def output(name: str, value: Any) -> str:
    """A line of $GITHUB_OUTPUT whose value cannot end it and begin another, whatever is in it."""
    end = secrets.token_hex(16)
    shown = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    return f"{name}<<{end}\n{shown}\n{end}\n"


def pull_number(environment: Mapping[str, str]) -> int | None:
    event = json.loads(Path(environment["GITHUB_EVENT_PATH"]).read_text())
    number = event.get("pull_request", {}).get("number")
    return number if isinstance(number, int) else None


def comment(number: int, text: str, environment: Mapping[str, str]) -> None:
    """Write or edit our one comment. Raises what the forge's client raises."""
    access = Access(
        api_url=environment["GITHUB_API_URL"],
        app_id=None,
        private_key="",
        token=environment["TOKEN"],
        write_spacing_s=0.0,
    )
    try:
        login = access.login
    except GithubException:
        login = TOKEN_OF_A_JOB
    mark = marker("bench")
    forge = Forge(access.own, environment["GITHUB_REPOSITORY"], login=login)
    forge.comment(number, marker=mark, body=joined([mark, text], MARKDOWN_LIMIT))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
