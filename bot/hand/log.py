"""`nightlab log`: the history of a repository, rebuilt from its merge commits alone.

What only the ledger knows is read from its branch, if it is here: what the split that never selects says, which is
known after a merge, and which proposer finds more.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bot.core.history import Commit, Landing, landed
from bot.core.metric import Direction, Metric, number, places
from bot.core.model import LedgerRow
from bot.core.proposal import yields
from bot.core.words import chart
from bot.core.words.holdout import progress
from bot.core.words.plot import plot
from bot.edge.committed import ledger_of

FIELD, RECORD = "\x1f", "\x1e"


def log(repository: Path, *, revision: str, svg: Path | None, console: Console | None = None) -> int:
    """Print the merges as a table and a chart; exit status."""
    out = console or Console()
    try:
        commits = commits_of(repository, revision=revision)
    except GitError as error:
        out.print(str(error), style="red", markup=False)
        return 1
    landings = landed(commits)
    if not landings:
        out.print(f"No merge of Nightlab's in the history of {revision}.", markup=False)
        return 0
    rows = ledger_of(repository)
    unseen = holdouts(rows, landings)
    table = Table(box=None)
    for heading in ("merged", "", "what", landings[-1].metric_name, "gain", "E", *(["holdout"] if unseen else [])):
        table.add_column(heading, no_wrap=heading != "what")
    for landing in landings:
        decimals = places(landing.standard_error)
        table.add_row(
            landing.landed_utc[:10],
            f"#{landing.pull_number}" if landing.pull_number else landing.sha[:10],
            landing.title,
            number(landing.after, decimals) + (" self-reported" if landing.self_reported else ""),
            f"{number(landing.gain, decimals, signed=True)} ± {number(landing.standard_error, decimals)}",
            f"{landing.evalue:.3g}",
            *([number(unseen.get(landing.experiment_id), decimals)] if unseen else []),
        )
    out.print(table)
    if sentence := progress(landings, unseen):
        out.print(sentence, markup=False, highlight=False)
    # Which way is better is not written in a commit, but shows in any of them: a gain is positive when better.
    last = landings[-1]
    lower = (last.after < last.before) == (last.gain > 0)
    metric = Metric(
        name=last.metric_name,
        direction=Direction.LOWER if lower else Direction.HIGHER,
        self_reported=any(landing.self_reported for landing in landings),
    )
    points = chart.from_landings(landings)
    if compared := [row for row in rows if row.metric_name == last.metric_name]:
        out.print(_yields(compared))
    out.print(plot(points, metric=metric, width=min(out.width, 100)), markup=False, highlight=False)
    if svg is not None:
        svg.write_text(chart.svg(points, metric=metric))
        out.print(f"wrote {svg}", markup=False)
    return 0


def _yields(rows: Sequence[LedgerRow]) -> Table:
    """Who found how much, from the ledger branch of this clone."""
    head, *body = yields.table(yields.yields(rows), unit="")
    table = Table(box=None)
    for position, heading in enumerate(head):
        table.add_column(heading, no_wrap=True, justify="left" if position == 0 else "right")
    for cells in body:
        table.add_row(*cells)
    return table


class GitError(RuntimeError):
    """git could not read that history."""


def commits_of(repository: Path, *, revision: str) -> list[Commit]:
    """The merge commits reachable from a revision along first parents, oldest first."""
    form = FIELD.join(("%H", "%aI", "%B")) + RECORD
    command = ["git", "-C", str(repository), "log", "--first-parent", "--reverse", f"--format={form}", revision, "--"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise GitError(f"git cannot read {repository}: {said[-1] if said else 'no reason given'}")
    commits = []
    for record in done.stdout.decode("utf-8", "replace").split(RECORD):
        if FIELD in record:
            sha, when, message = record.strip("\n").split(FIELD, 2)
            commits.append(Commit(sha=sha, committed_utc=when, message=message))
    return commits


def holdouts(rows: Sequence[LedgerRow], landings: Sequence[Landing]) -> dict[str, float]:
    """By experiment, what the split that never selects says of it, where it was asked."""
    merged = {landing.experiment_id for landing in landings}
    found = {row.experiment_id: row.holdout.run.metric for row in rows if row.holdout is not None}
    return {name: metric for name, metric in found.items() if metric is not None and name in merged}
