"""`nightlab demo`: the whole product on one machine. A local forge, this bot, real training, real pull requests.

The demo acts as a person would: it opens two issues and comments on them; everything after that comes by webhook.
"""

import json
import os
import secrets
import shutil
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from dbos import DBOS
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from bot.core.contract import PATH as CONTRACT_PATH
from bot.core.words import board
from bot.durable.engine import EngineLockedError
from bot.durable.notes import experiments
from bot.durable.rows import unfinished
from bot.edge.github.access import Access
from bot.hand.log import log
from bot.hub import Hub, HubError
from bot.hub.server import PortTakenError
from bot.service import Service
from bot.setup.settings import Settings
from runner.protocol import Phase, Progress, Request

PERSON, REPOSITORY, APP = "you", "you/tiny-gpt", "nightlab"
IDEA = "FINAL_LR_FRAC 0.05"
MARK, NOTES = "nightlab-demo", "demo.json"
DISK_NEEDED_MIB = 500
SLOTS = max(1, min(2, os.cpu_count() or 1))
PORTS_TRIED = 20
LOOK_S = 0.5

IDEA_TEXT = "The schedule ends at a learning rate of zero. A small floor might use the last steps better."
CAMPAIGN_TEXT = "Let the bot look for better constants by itself. What is proven better gets merged."
README = """# tiny-gpt

A small GPT trained on Python's own standard library, and looked after by Nightlab: see the pull requests.
"""
CONTRACT = """# What Nightlab may do here. All keys: docs/contract.md
version: 1
sandbox: subprocess   # this demo runs code that ships with Nightlab; use docker for anything else
paths:
  allow: [/train.py]
task:
  budget: {steps: 300}
policy:               # fewer runs than by default, for a demo: 2 % of worthless changes would be merged
  n_confirm: 4
  n_max: 10
  batch: 2
campaign:
  parallel: 1
"""


class DemoError(RuntimeError):
    """The demo cannot run; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What a later start of the same demo needs to know; kept in `demo.json`, readable by its owner only."""

    app_id: int
    private_key: str
    webhook_secret: str
    token: str  # the person's
    experiments: int


def demo(*, folder: Path, experiments: int, port: int, fresh: bool, keep_serving: bool) -> int:
    """Run the demo to its end; exit status. Ctrl-C leaves it to be resumed."""
    console = Console()
    try:
        prepare_folder(folder, fresh=fresh)
        hub = open_hub(folder, port)
    except (DemoError, HubError, PortTakenError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    with hub:
        page = f"{hub.base_url}/{REPOSITORY}"
        try:
            notes, service = set_up(hub, folder, experiments, port)
            console.print(f"[bold]Forge[/]      {page}/pulls\n[bold]Dashboard[/]  {service.url}/")
            console.print(
                f"A run takes a core half a minute or more, {SLOTS} at a time; an experiment takes two to ten of each "
                "side. Ctrl-C stops it; the same command goes on where it stopped.\n"
            )
            follow(console, notes)
        except (EngineLockedError, PortTakenError) as error:
            console.print(str(error), style="red", markup=False)
            return 1
        except KeyboardInterrupt:
            console.print("\nStopped. Run it again to go on, or with --fresh to start over.")
            leave(130)
        finish(console, hub)
        if keep_serving:
            console.print(f"Still serving {page}/pulls; Ctrl-C ends it.", highlight=False, soft_wrap=True)
            with suppress(KeyboardInterrupt):
                threading.Event().wait()
        else:
            again = "the same command with --keep-serving (make demo ARGS=--keep-serving)"
            console.print(f"The forge ends with this; {again} shows its pages again.", highlight=False, soft_wrap=True)
        service.stop()
    return 0


def leave(status: int) -> None:
    """End now. A wait inside a workflow would hold up an orderly end for minutes, and a kill loses nothing."""
    sys.stdout.flush()
    os._exit(status)


def prepare_folder(folder: Path, *, fresh: bool) -> None:
    """Make room for the demo. Raises DemoError when the disk has none, or when the folder holds anything else."""
    mark = folder / MARK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not mark.exists() and any(folder.iterdir()):
            raise DemoError(f"{folder} holds something that is not a demo; choose another folder with --folder")
        mark.touch()
    except OSError as error:
        raise DemoError(f"cannot use {folder}: {error.strerror}; choose another with --folder") from None
    if fresh or not (folder / NOTES).exists():  # without notes: killed while it was being set up
        for name in ("hub", "state", "tiny-gpt"):
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / NOTES).unlink(missing_ok=True)
    free_mib = shutil.disk_usage(folder).free >> 20
    if free_mib < DISK_NEEDED_MIB:
        raise DemoError(
            f"only {free_mib} MiB are free where {folder} is, and the demo needs {DISK_NEEDED_MIB}: make room, or "
            "choose another place with --folder"
        )


def open_hub(folder: Path, port: int) -> Hub:
    """The forge on the first free port from `port` on."""
    for candidate in range(port, port + PORTS_TRIED):
        try:
            return Hub(folder / "hub", port=candidate, visitor=PERSON)
        except PortTakenError:
            continue
    raise PortTakenError(f"ports {port} to {port + PORTS_TRIED - 1} are all taken; choose another with --port")


def set_up(hub: Hub, folder: Path, experiments: int, port: int) -> tuple[Notes, Service]:
    """Account, repository, app and bot; then the two issues, written by the person. Made once, found again later."""
    path = folder / NOTES
    if path.exists():
        notes = Notes(**json.loads(path.read_text()))
    else:
        source = folder / "tiny-gpt"
        write_repository(source)
        hub.create_user(PERSON, name="You")
        hub.create_repo(PERSON, "tiny-gpt", source=source, description="A small GPT that Nightlab improves")
        shutil.rmtree(source)
        app = hub.create_app(PERSON, APP, account=PERSON, webhook_secret=secrets.token_hex(32))
        notes = Notes(
            app_id=app.app_id,
            private_key=app.private_key_pem,
            webhook_secret=app.webhook_secret,
            token=hub.create_token(PERSON),
            experiments=experiments,
        )
        write_notes(path, notes)
    service = start_bot(hub, folder, notes, port)
    ask_for_experiments(hub, notes)
    return notes, service


def write_repository(folder: Path) -> None:
    """What a person would have: the reference task, a contract, a README."""
    task = files("runner") / "task"
    (folder / ".github").mkdir(parents=True, exist_ok=True)
    for name in ("prepare.py", "train.py", "program.md"):
        (folder / name).write_text((task / name).read_text())
    (folder / "README.md").write_text(README)
    (folder / CONTRACT_PATH).write_text(CONTRACT)


def write_notes(path: Path, notes: Notes) -> None:
    """All at once: a kill leaves either no notes, and the demo starts over, or whole ones."""
    unfinished = path.with_suffix(".tmp")
    unfinished.touch(mode=0o600)
    unfinished.write_text(json.dumps(asdict(notes)))
    unfinished.replace(path)


def start_bot(hub: Hub, folder: Path, notes: Notes, port: int) -> Service:
    """The bot on a free port after the forge's, and the app's webhook pointed at it."""
    settings = Settings(
        state=folder / "state",
        api_url=hub.api_url,
        app_id=notes.app_id,
        private_key=notes.private_key,
        webhook_secret=notes.webhook_secret,
        slots=SLOTS,
        write_spacing_ms=0,
        progress_s=4.0,
    )
    for candidate in range(port + 1, port + 1 + PORTS_TRIED):
        try:
            service = Service(replace(settings, port=candidate))
        except PortTakenError:
            continue
        hub.set_webhook(APP, url=f"{service.url}/webhook", secret=notes.webhook_secret)
        return service
    raise PortTakenError(f"ports {port + 1} to {port + PORTS_TRIED} are all taken; choose another with --port")


def ask_for_experiments(hub: Hub, notes: Notes) -> None:
    """The person's part: one issue with an idea, one that starts a campaign. Done once, however often it is called."""
    access = Access(api_url=hub.api_url, app_id=None, private_key="", token=notes.token, write_spacing_s=0.0)
    repo = access.forge(REPOSITORY).repo
    written = {issue.title: issue for issue in repo.get_issues(state="all")}
    wanted = [("Does a floor under the learning rate help?", IDEA_TEXT, f"/experiment {IDEA}")]
    if notes.experiments > 1:
        wanted.append(("Make tiny-gpt better overnight", CAMPAIGN_TEXT, f"/campaign start n={notes.experiments - 1}"))
    for title, text, command in wanted:
        issue = written.get(title) or repo.create_issue(title=title, body=text)
        if not any(comment.user.login == PERSON for comment in issue.get_comments()):
            issue.create_comment(command)


def follow(console: Console, notes: Notes) -> None:
    """Show what is under way until every experiment has ended, and what is scored after a merge."""
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        told: dict[str, str] = {}
        while True:
            found = experiments()[::-1]
            for x in found:
                state = f"{x.state.value}, {x.reason}" if x.reason else x.state.value
                if x.proposal and told.get(x.id) != state:
                    told[x.id] = state
                    name = f"#{x.pull_number}" if x.pull_number else "   "
                    text = f"{name:>4} {x.proposal.title}: {state}"
                    console.print(text, markup=False, highlight=False, soft_wrap=True)
            ended = sum(bool(x.ended_utc) for x in found)
            over = ended >= notes.experiments or (ended == len(found) and campaign_is_over(notes))
            if over and not unfinished("experiment", "holdout"):
                return
            last = ", what was merged is scored on text that never selects" if over else ""
            live.update(Group(f"{ended} of {notes.experiments} experiments done{last}", progress_table()))
            time.sleep(LOOK_S)


def campaign_is_over(notes: Notes) -> bool:
    """Whether nothing more will come, though there were fewer experiments than asked for."""
    if notes.experiments == 1:
        return False
    return bool(DBOS.list_workflows(name="campaign", status=["SUCCESS", "ERROR"], load_output=False))


def progress_table() -> Table:
    """A bar for every run under way."""
    table = Table(box=None, show_header=False, padding=(0, 1))
    for status in DBOS.list_workflows(name=["run", "holdout_run"], status="PENDING", load_output=False):
        request = status.input["args"][0] if status.input else None
        progress = DBOS.get_event(status.workflow_id, "progress", timeout_seconds=0)
        if not isinstance(request, Request):
            continue
        seen = progress if isinstance(progress, Progress) else Progress(phase=Phase.BUILD)
        side = "main" if request.source.head_sha == request.source.base_sha else "candidate"
        loss = f"loss {seen.loss:.3f}" if seen.loss is not None else ""
        left = f"{seen.eta_s:.0f} s left" if seen.eta_s is not None else ""
        bar = ProgressBar(total=1.0, completed=seen.fraction, width=30)
        table.add_row(f"{side}, seed {request.seed}", seen.phase.value, bar, loss, left)
    return table


def finish(console: Console, hub: Hub) -> None:
    """What became of every experiment, and what git says of those that landed."""
    table = Table("", "experiment", "ended", "", box=None)
    for card in board.ended(experiments(), now=datetime.now(UTC))[::-1]:
        table.add_row(f"#{card.pull_number}" if card.pull_number else "", card.title, card.state, card.figures)
    console.print(table)
    console.print("\nWhat landed, rebuilt from the commits of main alone (nightlab log):\n")
    log(hub.git_path(REPOSITORY), revision="main", svg=None, console=console)
    console.print(f"\nIts repository, to clone: {hub.git_path(REPOSITORY)}", highlight=False, soft_wrap=True)
