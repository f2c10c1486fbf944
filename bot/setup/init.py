"""`nightlab init`: a contract and a program for a repository, as a pull request or written into a clone."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from requests.exceptions import RequestException
from rich.console import Console

from bot.core import contract as contracts
from bot.core.app import web_url
from bot.core.contract import PATH
from bot.core.layout import PROGRAM
from bot.core.starter import ACTION, WORKFLOW, NothingToTrainError, Start, begin, pull_body, workflow_text
from bot.durable.lab import now_utc
from bot.edge.github.installations import FAILURES
from bot.setup.access import access_of
from bot.setup.settings import Settings, settings_from

BRANCH = "nightlab-init"
TITLE = "Let Nightlab work here"
MOST_FILES, MOST_FETCHED, MOST_BYTES = 400, 40, 300_000


class InitError(RuntimeError):
    """Nothing was written; one sentence."""


def init(place: str, *, local: bool, train: str, action: str, environment: Mapping[str, str], console: Console) -> int:
    """`place` is `owner/name` on the forge, or with `local` a folder. Exit status."""
    settings = settings_from(environment)
    if isinstance(settings, list):
        for problem in settings:
            console.print(problem, style="red", markup=False)
        return 1
    try:
        if action and ACTION.fullmatch(action) is None:
            raise InitError(f"{action!r} names no action: write OWNER/REPOSITORY@COMMIT")
        if local:
            _write(Path(place), train=train, action=action, settings=settings, console=console)
        else:
            console.print(_propose(place, train=train, action=action, settings=settings), markup=False, soft_wrap=True)
    except (InitError, NothingToTrainError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1
    except RequestException:
        says = f"{settings.api_url} does not answer: is there a network, and is NIGHTLAB_API_URL the forge's address?"
        console.print(says, style="red", markup=False, soft_wrap=True)
        return 1
    except FAILURES as error:
        console.print(f"the forge refuses: {error}", style="red", markup=False, soft_wrap=True)
        return 1
    return 0


def _write(folder: Path, *, train: str, action: str, settings: Settings, console: Console) -> None:
    listed = subprocess.run(["git", "-C", str(folder), "ls-files", "-z"], capture_output=True, text=True, check=False)
    if listed.returncode:
        raise InitError(f"{folder} is not in a git clone: go to one, or name one")
    if (folder / PATH).exists():
        raise InitError(f"{folder / PATH} exists: `nightlab check` says what is wrong with it, if anything is")
    files = {}
    for path in [path for path in listed.stdout.split("\0") if path.endswith(".py")][:MOST_FILES]:
        try:
            files[path] = (folder / path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
    start = begin(files, train=train, hardware=settings.hardware)
    wanted = {PATH: start.contract, PROGRAM: start.program} | _workflow(start, action)
    for path, text in wanted.items():
        target = folder / path
        if target.exists():
            console.print(f"{path} is there already and stays as it is", markup=False)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        console.print(f"wrote {path}", markup=False)
    for sentence in (*start.todo, "Commit and push what was written: the bot reads it on the default branch."):
        console.print(f"-> {sentence}", markup=False, soft_wrap=True)


def _propose(repository: str, *, train: str, action: str, settings: Settings) -> str:
    """Open the pull request, or find the one that is open; what to tell the person."""
    if not settings.has_credentials:
        raise InitError("this bot has no identity on the forge: start `nightlab serve`, or use --local in a clone")
    access = access_of(settings)
    forge = access.forge(repository)
    tip = forge.tip(forge.default_branch)
    if tip is None:
        raise InitError(f"{repository} is empty: push a first commit")
    tree = forge.files(sha=tip.sha)
    if PATH in tree:
        found = contracts.parse(forge.read(PATH, sha=tip.sha) or "")
        mistake = f", with a mistake: {found[0]}" if isinstance(found, list) else ""
        raise InitError(f"{repository} has a contract already{mistake}")
    sources = [path for path, (_, size) in tree.items() if path.endswith(".py") and size <= MOST_BYTES]
    files = {path: forge.blob(tree[path][0]) or "" for path in _likeliest(sources, train)}
    start = begin(files, train=train, hardware=settings.hardware)
    workflow = _workflow(start, action)
    possible = {PATH: start.contract, PROGRAM: start.program} | ({} if access.app else workflow)
    wanted = {path: text for path, text in possible.items() if path not in tree}
    by_hand = workflow.get(WORKFLOW, "") if access.app and WORKFLOW not in tree else ""
    if forge.tip(BRANCH) is None:
        forge.push_files(BRANCH, base_sha=tip.sha, files=wanted, message=TITLE, when_utc=now_utc())
    body = pull_body(start, added=list(wanted), kept=[path for path in possible if path in tree], by_hand=by_hand)
    number = forge.open_pull(branch=BRANCH, title=TITLE, body=body)
    return (
        f"{web_url(settings.api_url)}/{repository}/pull/{number} asks to let Nightlab work there: review and merge it"
    )


def _workflow(start: Start, action: str) -> dict[str, str]:
    text = workflow_text(start.train, action=action, hardware=start.hardware)
    return {WORKFLOW: text} if action else {}


def _likeliest(sources: list[str], train: str) -> list[str]:
    """Fetching costs a request each: those that are likely to train, and what lies beside them."""
    named = [path for path in sources if path == train or path.endswith(("train.py", "prepare.py"))]
    rest = sorted((path for path in sources if path not in named), key=lambda path: (path.count("/"), path))
    return [*named, *rest][:MOST_FETCHED]
