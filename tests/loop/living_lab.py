"""A lab made of real parties: a hub in this process, the bot in its own, git, runners, and a person with a token."""

import json
import re
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import github
from github.IssueComment import IssueComment
from github.PullRequest import PullRequest
from github.Repository import Repository
from living_process import Process, eventually
from quick_task import CONTRACT, TRAIN, write

from bot.hub import Hub
from bot.hub.hub import InstalledApp
from bot.hub.records import Delivery

SECRET = "a secret of the webhook"
Undisturbed = Callable[[str], dict[str, Any]]  # idea -> what it leaves on the forge when nothing goes wrong


class Bot(Process):
    """`nightlab serve` for a hub."""

    def __init__(self, folder: Path, hub: Hub, app: InstalledApp, more: dict[str, str]) -> None:
        environment = {
            "NIGHTLAB_API_URL": hub.api_url,
            "NIGHTLAB_APP_ID": str(app.app_id),
            "NIGHTLAB_PRIVATE_KEY_FILE": str(folder / "key.pem"),
            "NIGHTLAB_WEBHOOK_SECRET": SECRET,
            "NIGHTLAB_PORT": "0",
            "NIGHTLAB_SLOTS": "2",
            "NIGHTLAB_WRITE_SPACING_MS": "0",
            "NIGHTLAB_PROGRESS_S": "1",
            "NIGHTLAB_UPKEEP_HOURS": "0",
            **more,
        }
        super().__init__("serve", folder, environment)
        self._hub, self._app = hub, app
        self.url = ""
        (folder / "key.pem").write_text(app.private_key_pem)

    @property
    def database(self) -> Path:
        return self.folder / "state" / "nightlab.sqlite"

    @property
    def idle(self) -> bool:
        """Whether every workflow has ended."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as database:
            query = "SELECT count(*) FROM workflow_status WHERE status IN ('PENDING', 'ENQUEUED', 'DELAYED')"
            return database.execute(query).fetchone() == (0,)

    def is_done_in(self, repository: str) -> bool:
        """Whether every workflow for this repository has ended; what other tests left may wait for people for ever."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as database:
            query = """SELECT count(*) FROM workflow_status JOIN workflow_input AS given USING (workflow_uuid)
                WHERE status IN ('PENDING', 'ENQUEUED', 'DELAYED')
                AND (queue_partition_key = ? OR instr(given.inputs, ?))"""
            return database.execute(query, (repository, json.dumps(repository))).fetchone() == (0,)

    def has_ended(self, name: str) -> bool:
        """Whether every workflow of this name has ended."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as database:
            query = "SELECT count(*) FROM workflow_status WHERE name = ? AND status IN ('PENDING', 'ENQUEUED')"
            return database.execute(query, (name,)).fetchone() == (0,)

    def start(self) -> None:
        """Returns when it listens, with the webhook pointed at it."""
        super().start()
        self.url = self.says(r"listens on (http://127\.0\.0\.1:\d+)", "the bot's start")[1]
        self._hub.set_webhook(self._app.slug, url=f"{self.url}/webhook", secret=SECRET)


@dataclass
class Lab:
    """Everything at once. `ada` owns the repositories, `eve` may only read and comment."""

    folder: Path
    hub: Hub
    bot: Bot
    tokens: dict[str, str]
    count: int = 0

    def recover(self) -> None:
        """Its forge well and its bot at work, whatever a test did."""
        self.hub.faults.clear()
        if not self.bot.alive:
            self.bot.start()

    def client(self, login: str) -> github.Github:
        auth = github.Auth.Token(self.tokens[login])
        return github.Github(
            base_url=self.hub.api_url, auth=auth, retry=None, seconds_between_requests=0, seconds_between_writes=0
        )

    def repository(
        self,
        *,
        train: str = TRAIN,
        contract: str | None = CONTRACT,
        source: Path | None = None,
        private: bool = False,
    ) -> "Target":
        """A new repository with the quick task, or what lies in `source`; the app is installed on it."""
        self.count += 1
        name = f"model-{self.count}"
        source = source or write(self.folder / name, train=train, contract=contract)
        self.hub.create_repo("ada", name, source=source, private=private)
        return Target(lab=self, name=f"ada/{name}", ada=self.client("ada").get_repo(f"ada/{name}"))

    def settle_deliveries(self, target: "Target") -> None:
        """Wait until every webhook was delivered and what it asked for was begun."""
        eventually(lambda: all(d.status_code is not None for d in target.deliveries()), "the last webhook")
        eventually(lambda: self.bot.has_ended("event"), "the last event")

    def settle(self, target: "Target") -> None:
        """Wait until every webhook was delivered and the bot has nothing left to do here."""
        eventually(lambda: all(d.status_code is not None for d in target.deliveries()), "the last webhook")
        eventually(lambda: self.bot.is_done_in(target.name), "the end of all work")


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

    def row(self, identity: str) -> dict[str, Any]:
        """The ledger's JSON of an experiment, as soon as it is there: an experiment's last act."""
        place = f"nightlab-ledger:experiments/{identity}.json"
        try:
            eventually(lambda: self.has(place), f"the ledger row of {identity}")
        except AssertionError as error:
            raise AssertionError(f"{error}; the bot said:\n{self.lab.bot.log.read_text()[-6000:]}") from None
        found: dict[str, Any] = json.loads(self.git("show", place))
        return found

    def pull(self) -> PullRequest:
        """The newest pull request, as soon as there is one."""
        return eventually(lambda: next(iter(self.ada.get_pulls(state="all")), None), "a pull request")

    def proven(self) -> PullRequest:
        """The newest pull request, as soon as it says that it is proven and waits."""

        def look() -> PullRequest | None:
            pull = self.pull()
            return pull if "nightlab: proven" in [label.name for label in pull.labels] else None

        return eventually(look, "a proof")

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
        last = self.git("rev-parse", "nightlab-ledger")  # which git shows before the forge tells of it
        eventually(lambda: any(last in delivery.payload for delivery in self.deliveries()), "the last row's webhook")
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


def trying(lab: Lab, prepare: Callable[[], None]) -> Undisturbed:
    """Tries each idea once in this lab, after `prepare`."""
    known: dict[str, dict[str, Any]] = {}

    def look(idea: str) -> dict[str, Any]:
        if idea not in known:
            prepare()
            target = lab.repository()
            target.row(target.experiment(idea))
            known[idea] = target.settled()
        return known[idea]

    return look


def peopled(hub: Hub) -> tuple[InstalledApp, dict[str, str]]:
    """The app of `ada`, to whom everything belongs, and a token of each person."""
    tokens = {}
    for login in ("ada", "eve"):
        hub.create_user(login, name=login.title())
        tokens[login] = hub.create_token(login)
    return hub.create_app("ada", "nightlab", account="ada", webhook_secret=SECRET), tokens


@contextmanager
def opened(folder: Path, *, environment: dict[str, str] | None = None, by_token: str = "") -> Iterator[Lab]:
    """A lab whose bot runs, with these variables besides those that every bot needs; with `by_token`, as that person
    instead of as the app, whose webhooks it gets all the same."""
    with Hub(folder / "hub") as hub:
        app, tokens = peopled(hub)
        as_person = {"NIGHTLAB_APP_ID": "", "NIGHTLAB_PRIVATE_KEY_FILE": "", "NIGHTLAB_TOKEN": tokens.get(by_token, "")}
        bot = Bot(folder / "bot", hub, app, (environment or {}) | (as_person if by_token else {}))
        bot.start()
        try:
            yield Lab(folder=folder, hub=hub, bot=bot, tokens=tokens)
        finally:
            bot.stop()
            eventually(lambda: not bot.offspring(), "the end of every runner")
