"""`nightlab doctor`: is everything there that the bot needs, and if not, what to do. Changes nothing."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from urllib.parse import quote

from rich.console import Console

from bot.core import app as apps
from bot.core.contract import Contract, Proposer
from bot.core.words.finding import Finding, Grade, broken, note, ok
from bot.edge import lease
from bot.edge.github import examination, installations
from bot.edge.github.access import Access
from bot.edge.slot import PASSED_ON
from bot.service import claude_of
from bot.setup.access import access_of
from bot.setup.settings import Settings, settings_from, variable

GIT_NEEDED = (2, 38)
DISK_NEEDED_MIB = 2_000
RUNNER_PATIENCE_S = 120
COLORS = {Grade.OK: "green", Grade.NOTE: "yellow", Grade.BROKEN: "red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What contracts ask of this machine."""

    sandboxes: frozenset[str]
    models: frozenset[str]


def examine_all(environment: Mapping[str, str], *, console: Console, as_json: bool) -> int:
    """Print what was found; exit status 1 when anything is broken."""
    findings = []
    for finding in examine(environment):
        findings.append(finding)
        if not as_json:
            _print(console, finding)
    if as_json:
        console.print_json(json.dumps([asdict(finding) for finding in findings]))
    return int(any(finding.grade is Grade.BROKEN for finding in findings))


def examine(environment: Mapping[str, str]) -> Iterator[Finding]:
    settings = settings_from(environment)
    if isinstance(settings, list):
        yield from (broken("settings", problem, "`nightlab config --explain` lists them all") for problem in settings)
        return
    yield ok("settings", "they make sense together")
    yield from _guarded("git", _git)
    yield from _guarded("state", lambda: _state(settings))
    yield from _guarded("database", lambda: _database(settings))
    contracts: list[Contract] = []
    measures_here = not settings.database_url or not settings.has_credentials
    if settings.has_credentials:
        yield from _forge(settings, contracts)
        yield from _guarded("hardware", lambda: _hardware(settings, contracts, measures_here))
        yield from _guarded("model", lambda: _model(settings, contracts))
    elif not settings.database_url:
        yield broken("identity", "this bot has none on the forge yet", "start `nightlab serve`, and open its link")
    if measures_here:
        wanted = sorted({contract.sandbox.value for contract in contracts} or {"docker"})
        yield from _guarded("runner", lambda: _runner(settings, wanted))


def _guarded(subject: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """An examination that fails in an unforeseen way is itself a finding, and the others go on."""
    try:
        yield from look()
    except installations.FAILURES as error:
        yield broken(subject, f"the forge does not answer as it should: {str(error)[:200]}", "try again in a minute")
    except Exception as error:
        yield broken(subject, f"it cannot be examined: {type(error).__name__}", "please report this")


def _git() -> Iterator[Finding]:
    said = subprocess.run(["git", "version"], capture_output=True, text=True, check=False).stdout.strip()
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < GIT_NEEDED:
        yield broken("git", said or "there is none", "install git 2.38 or newer")
    else:
        yield ok("git", said)


def _state(settings: Settings) -> Iterator[Finding]:
    place = settings.state.absolute()
    while not place.exists():  # the first start makes it
        place = place.parent
    if not os.access(place, os.W_OK):
        yield broken("state", f"{place} cannot be written", f"give it to this user, or set {variable('state')}")
        return
    free_mib = shutil.disk_usage(place).free >> 20
    says = f"{settings.state} has {free_mib:,} MiB free"
    yield ok("state", says) if free_mib >= DISK_NEEDED_MIB else broken("state", says, "make room")
    keys = settings.state / "app.json"
    if keys.exists() and keys.stat().st_mode & 0o077:
        yield broken("state", f"others on this machine may read {keys}", f"chmod 600 {keys}, and make a new key")


def _database(settings: Settings) -> Iterator[Finding]:
    if settings.database_url:
        try:
            lease.try_out(settings.database_url)
        except lease.LeaseError as error:
            yield broken("database", str(error), f"correct {variable('database_url')}, or let this machine reach it")
        else:
            yield ok("database", "PostgreSQL answers")
        return
    path = settings.state / "nightlab.sqlite"
    if not path.exists():
        yield ok("database", "SQLite; the first start makes it")
        return
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
        database.execute("SELECT 1 FROM workflow_status LIMIT 1").fetchone()
    yield ok("database", f"SQLite, {path.stat().st_size >> 20} MiB")


def _forge(settings: Settings, contracts: list[Contract]) -> Iterator[Finding]:
    access = access_of(settings, spaced=False)
    found = list(_guarded("forge", lambda: examination.forge(access, api_url=settings.api_url)))
    yield from found
    if any(finding.subject == "forge" and finding.grade is Grade.BROKEN for finding in found):
        return
    yield from _guarded("webhook", lambda: examination.webhook(access, public_url=settings.public_url))
    yield from _guarded("installations", lambda: _repositories(access, contracts))


def _repositories(access: Access, contracts: list[Contract]) -> Iterator[Finding]:
    if access.app is None:
        names = installations.reachable(access)
        if not names:
            yield broken("repositories", "the token opens none for writing", "give it the repositories to work in")
    else:
        names = []
        found = list(installations.installed(access))
        if not found:
            yield broken("installations", "the App is installed nowhere", "install it from its page on the forge")
        for installation in found:
            subject = f"installation on {installation.account}"
            lacks = apps.missing_permissions(installation.permissions)
            if installation.suspended:
                yield broken(subject, "it is suspended", f"end that on {installation.page}")
            elif lacks:
                yield broken(subject, f"it has not granted: {', '.join(lacks)}", f"accept them on {installation.page}")
            else:
                yield ok(subject, f"{len(installation.repositories)} repositories")
            names += installation.repositories
    for name in names:
        contract = installations.contract_of(access, name)
        if isinstance(contract, Contract):
            contracts.append(contract)
            yield ok(name, f"its contract is valid: {contract.hardware_class}, {contract.sandbox}")
        else:  # most accounts have repositories that are none of our business
            todo = "correct it: `nightlab check` says more" if "mistake" in contract else ""
            yield (broken if todo else note)(name, contract, todo)


def _hardware(settings: Settings, contracts: list[Contract], measures_here: bool) -> Iterator[Finding]:
    unserved = {contract.hardware_class for contract in contracts} - {settings.hardware}
    if unserved and measures_here:
        yield broken(
            "hardware",
            f"contracts ask for {', '.join(sorted(unserved))}, and this machine measures {settings.hardware}",
            f"set {variable('hardware')}, or `hardware` in the contract",
        )


def _model(settings: Settings, contracts: list[Contract]) -> Iterator[Finding]:
    wanted = sorted({contract.claude.model for contract in contracts if contract.proposer is not Proposer.TUNER})
    claude = claude_of(settings)
    if claude is None:
        if wanted:
            todo = f"set {variable('anthropic_api_key')}, or `proposer: tuner` in the contract"
            yield broken("model", f"contracts want {', '.join(wanted)}, and there is no way to it", todo)
        else:
            yield ok("model", "none is configured, and no contract wants one")
        return
    for model in wanted:
        refusal = claude.refusal(model)
        yield broken("model", f"{model}: {refusal}", "correct that") if refusal else ok("model", f"{model} answers")
    if not wanted:
        yield ok("model", "configured; no contract wants it yet")


def _runner(settings: Settings, sandboxes: list[str]) -> Iterator[Finding]:
    """In a runner process, as a run would be: what it needs is its own business."""
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ} | settings.runner_environment
    described = _ask_runner(environment, "--describe")
    if described.returncode:
        yield broken("runner", _last_line(described.stderr), "pip install 'nightlab[runner]'")
        return
    machine = json.loads(described.stdout)
    if machine["torch"] is None:
        yield broken("runner", "torch is not installed", "pip install 'nightlab[runner]'")
    else:
        yield ok("runner", f"torch {machine['torch']}, {machine['cores']} cores, {machine['memory_mib']:,} MiB")
    gpus = machine["gpus"]
    if not settings.hardware.startswith("cpu") and not gpus:
        yield broken("gpu", f"{settings.hardware} has one, and nvidia-smi shows none", "install the driver")
    elif gpus:
        yield ok("gpu", f"{len(gpus)} x {gpus[0]}")
    for name in sandboxes:
        tried = _ask_runner(environment, "--check", name)
        subject = f"sandbox {name}"
        if tried.returncode:
            yield broken(subject, _last_line(tried.stderr), "correct that; docs/task.md says how")
        elif name == "docker":
            yield ok(subject, "an engine answers, and the image is there")
        else:
            yield note(subject, "it works; a container separates better", "use `sandbox: docker` where you can")


def _ask_runner(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runner", *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=RUNNER_PATIENCE_S, check=False
    )


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it does not start"])[-1][:300]


def _print(console: Console, finding: Finding) -> None:
    mark = f"[{COLORS[finding.grade]}]{finding.grade.value:>6}[/]"
    console.print(mark, end="  ")
    console.print(f"{finding.subject}: {finding.says}", markup=False, highlight=False, soft_wrap=True)
    if finding.todo:
        console.print(f"        -> {finding.todo}", markup=False, highlight=False, soft_wrap=True)
