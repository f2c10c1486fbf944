"""A lab made of real parties: a hub in this process, the bot in its own, git, runners, and a person with a token."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import github
from github.IssueComment import IssueComment
from github.PullRequest import PullRequest
from github.Repository import Repository
from quick_task import CONTRACT, TRAIN, write

from bot.hub import Fault, Hub
from bot.hub.hub import InstalledApp
from bot.hub.records import Delivery

ROOT = Path(__file__).parents[2]
SECRET = "a secret of the webhook"
PATIENCE_S = 60.0  # of a test, on a machine that does other things too
T = TypeVar("T")
Undisturbed = Callable[[str], dict[str, Any]]  # idea -> what it leaves on the forge when nothing goes wrong


def eventually(look: Callable[[], T | None], what: str, *, patience_s: float = PATIENCE_S) -> T:
    """What `look` gives as soon as it is something; fails with `what` when it stays nothing."""
    deadline_s = time.monotonic() + patience_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline_s:
            raise AssertionError(f"{what} did not happen within {patience_s:g} s")
        time.sleep(0.05)


class Bot:
    """`nightlab serve` as a process that can be killed and started again on the same folder."""

    def __init__(self, folder: Path, hub: Hub, app: InstalledApp, more: dict[str, str]) -> None:
        self.folder, self._hub, self._app, self._more = folder, hub, app, more
        self.url = ""
        for name in ("home", "t"):
            (folder / name).mkdir(parents=True)
        (folder / "key.pem").write_text(app.private_key_pem)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "t"),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "NIGHTLAB_STATE": str(self.folder / "state"),
            "NIGHTLAB_API_URL": self._hub.api_url,
            "NIGHTLAB_APP_ID": str(self._app.app_id),
            "NIGHTLAB_PRIVATE_KEY_FILE": str(self.folder / "key.pem"),
            "NIGHTLAB_WEBHOOK_SECRET": SECRET,
            "NIGHTLAB_PORT": "0",
            "NIGHTLAB_SLOTS": "2",
            "NIGHTLAB_WRITE_SPACING_MS": "0",
            "NIGHTLAB_PROGRESS_S": "1",
            **self._more,
        }

    @property
    def log(self) -> Path:
        return self.folder / "bot.log"

    @property
    def database(self) -> Path:
        return self.folder / "state" / "nightlab.sqlite"

    @property
    def idle(self) -> bool:
        """Whether every workflow has ended."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as database:
            query = "SELECT count(*) FROM workflow_status WHERE status IN ('PENDING', 'ENQUEUED', 'DELAYED')"
            return database.execute(query).fetchone() == (0,)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Returns when it listens, with the webhook pointed at it."""
        with self.log.open("ab") as log:
            start = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bot.cli", "serve"],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        def listens() -> str | None:
            assert self.alive, f"the bot ended at its start:\n{self.log.read_text()[start:]}"
            said = re.search(r"listens on (http://127\.0\.0\.1:\d+)", self.log.read_bytes()[start:].decode())
            return said and said[1]

        self.url = eventually(listens, "the bot's start")
        self._hub.set_webhook(self._app.slug, url=f"{self.url}/webhook", secret=SECRET)

    def kill(self) -> None:
        """As the kernel does it when memory runs out: no goodbye."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, *, patience_s: float = 30) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=patience_s)

    def offspring(self, program: str = "") -> list[int]:
        """Living processes of runners and what they started, found by the folder they were given."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal() or (self.process and int(entry.name) == self.process.pid):
                continue
            try:
                environment, command = (entry / "environ").read_bytes(), (entry / "cmdline").read_bytes()
            except OSError:  # gone, or not ours
                continue
            if str(self.folder).encode() in environment and command and program.encode() in command:
                found.append(int(entry.name))
        return found

    def wait_for_training(self) -> None:
        eventually(lambda: self.offspring("train.py"), "a training")


@dataclass
class Lab:
    """Everything at once. `ada` owns the repositories, `eve` may only read and comment."""

    folder: Path
    hub: Hub
    bot: Bot
    tokens: dict[str, str]
    count: int = 0

    def client(self, login: str) -> github.Github:
        auth = github.Auth.Token(self.tokens[login])
        return github.Github(
            base_url=self.hub.api_url, auth=auth, retry=None, seconds_between_requests=0, seconds_between_writes=0
        )

    def repository(self, *, train: str = TRAIN, contract: str | None = CONTRACT) -> "Target":
        """A new repository with the quick task; the app is installed on it."""
        self.count += 1
        name = f"model-{self.count}"
        self.hub.create_repo("ada", name, source=write(self.folder / name, train=train, contract=contract))
        return Target(lab=self, name=f"ada/{name}", ada=self.client("ada").get_repo(f"ada/{name}"))

    def settle(self, target: "Target") -> None:
        """Wait until every webhook was delivered and the bot has nothing left to do."""
        eventually(lambda: all(d.status_code is not None for d in target.deliveries()), "the last webhook")
        eventually(lambda: self.bot.idle, "the end of all work")


@dataclass
class Target:
    """A repository as people see it."""

    lab: Lab
    name: str
    ada: Repository
    asked: list[str] = field(default_factory=list)

    # What people do

    def ask(self, text: str, *, login: str = "ada", number: int | None = None) -> IssueComment:
        """A comment, on a new issue unless a thread is given."""
        if number is None:
            number = self.ada.create_issue(title="An idea").number
        comment = self.lab.client(login).get_repo(self.name).get_issue(number).create_comment(text)
        self.asked.append(f"c{comment.id}")
        return comment

    def experiment(self, idea: str) -> str:
        """Ask for an experiment; its id."""
        return f"c{self.ask(f'/experiment {idea}').id}"

    def push(self, branch: str, path: str, text: str, *, message: str = "By hand") -> str:
        """A person's commit on a branch; its sha."""
        ref = self.ada.get_git_ref(f"heads/{branch}")
        parent = self.ada.get_git_commit(ref.object.sha)
        element = github.InputGitTreeElement(path, "100644", "blob", content=text)
        commit = self.ada.create_git_commit(
            message, self.ada.create_git_tree([element], base_tree=parent.tree), [parent]
        )
        ref.edit(commit.sha)
        return commit.sha

    # What came of it

    def git(self, *arguments: str) -> str:
        command = ["git", "--git-dir", str(self.lab.hub.git_path(self.name)), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def has(self, revision: str) -> bool:
        command = ["git", "--git-dir", str(self.lab.hub.git_path(self.name)), "cat-file", "-e", revision]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def row(self, identity: str, *, patience_s: float = PATIENCE_S) -> dict[str, Any]:
        """The ledger's JSON of an experiment, as soon as it is there: an experiment's last act."""
        place = f"nightlab-ledger:experiments/{identity}.json"
        try:
            eventually(lambda: self.has(place), f"the ledger row of {identity}", patience_s=patience_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; the bot said:\n{self.lab.bot.log.read_text()[-6000:]}") from None
        found: dict[str, Any] = json.loads(self.git("show", place))
        return found

    def pull(self, *, patience_s: float = PATIENCE_S) -> PullRequest:
        """The newest pull request, as soon as there is one."""
        return eventually(lambda: next(iter(self.ada.get_pulls(state="all")), None), "a pull request")

    def replies(self, number: int, *, count: int = 1) -> list[str]:
        """The bot's comments in a thread, as soon as there are that many."""

        def look() -> list[str] | None:
            comments = self.ada.get_issue(number).get_comments()
            found = [comment.body for comment in comments if comment.user.login == "nightlab[bot]"]
            return found if len(found) >= count else None

        return eventually(look, f"{count} comments on #{number}")

    def reactions(self, comment: IssueComment) -> list[str]:
        return [reaction.content for reaction in comment.get_reactions()]

    def checks(self, sha: str) -> list[tuple[str, str, str | None]]:
        """(external id, status, conclusion) of every check run on a commit."""
        runs = self.ada.get_commit(sha).get_check_runs()
        return [(run.external_id, run.status, run.conclusion) for run in runs]

    def deliveries(self) -> list[Delivery]:
        store = self.lab.hub.forge.store
        return store.all(Delivery, "WHERE repo_id = ? ORDER BY id", self.ada.id)

    def settled(self) -> dict[str, Any]:
        """All that is left on the forge, less what differs between any two experiments: hashes, dates, durations."""
        pulls = {}
        for pull in self.ada.get_pulls(state="all"):
            pulls[pull.number] = {
                "title": pull.title,
                "state": "merged" if pull.merged else pull.state,
                "labels": sorted(label.name for label in pull.labels),
                "comments": [c.user.login for c in self.ada.get_issue(pull.number).get_comments()],
                "checks": [(status, conclusion) for _, status, conclusion in self.checks(pull.head.sha)],
            }
        issues = [issue for issue in self.ada.get_issues(state="all") if issue.pull_request is None]
        table = self.git("show", "nightlab-ledger:results.tsv").splitlines()
        happened = Counter(
            (delivery.event, delivery.action)
            for delivery in self.deliveries()
            if not delivery.redelivery and (delivery.event, delivery.action) in (*_ONCE, ("push", None))
        )
        return {
            "pulls": pulls,
            "issues": {
                issue.number: [(c.user.login, _first_line(c.body)) for c in issue.get_comments()] for issue in issues
            },
            "branches": sorted(branch.name for branch in self.ada.get_branches()),
            "main": self.git("log", "--first-parent", "--format=%s", "main").splitlines(),
            "table": [row.split("\t")[7] for row in table[1:]],
            "ledger": self.git("log", "--format=%s", "nightlab-ledger").splitlines(),
            "rows": len(self.git("ls-tree", "--name-only", "nightlab-ledger:experiments").splitlines()),
            "happened": dict(happened),
        }


_ONCE = (
    ("pull_request", "opened"),
    ("pull_request", "closed"),
    ("pull_request", "reopened"),
    ("pull_request", "labeled"),
    ("pull_request", "unlabeled"),
    ("issue_comment", "created"),
    ("issue_comment", "deleted"),
    ("check_run", "created"),
    ("issues", "opened"),
)


def _first_line(body: str) -> str:
    """What a reader sees first: the hidden marker differs."""
    lines = [line for line in body.splitlines() if line and not line.startswith("<!--")]
    return re.sub(r"[-+]?\d+\.\d+|[0-9a-f]{7,40}", "#", lines[0]) if lines else ""


@contextmanager
def opened(folder: Path, *, environment: dict[str, str] | None = None) -> Iterator[Lab]:
    """A lab whose bot runs, with these variables besides those that every bot needs."""
    with Hub(folder / "hub") as hub:
        tokens = {}
        for login in ("ada", "eve"):
            hub.create_user(login, name=login.title())
            tokens[login] = hub.create_token(login)
        app = hub.create_app("ada", "nightlab", account="ada", webhook_secret=SECRET)
        bot = Bot(folder / "bot", hub, app, environment or {})
        bot.start()
        try:
            yield Lab(folder=folder, hub=hub, bot=bot, tokens=tokens)
        finally:
            bot.stop()
            eventually(lambda: not bot.offspring(), "the end of every runner", patience_s=15)


def killer(bot: Bot, *, method: str, path: str, after: bool = True, times: int = 1) -> Fault:
    """A fault that kills the bot while its request is in the forge, after (or before) it took effect."""
    return Fault(method=method, path_regex=path, after=after, times=times, action=bot.kill)
