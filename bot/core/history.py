"""What merges say in git log: the evidence in a commit's trailers, read back without the ledger."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bot.core.text import line

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
SELF_REPORTED = "(self-reported)"  # behind the values of a trailer whose metric the candidate printed
_METRIC = re.compile(
    rf"(?P<name>\S+) (?P<before>{_NUMBER}) -> (?P<after>{_NUMBER})(?P<claimed> {re.escape(SELF_REPORTED)})?", re.ASCII
)
_GAIN = re.compile(rf"(?P<gain>{_NUMBER}) \+/- (?P<error>{_NUMBER})(?: (?P<unit>.*))?", re.ASCII)
_EVIDENCE = re.compile(rf"E=(?P<evalue>{_NUMBER}|inf) n=(?P<n>\d{{1,6}})/(?P<n_baseline>\d{{1,6}})(?: .*)?", re.ASCII)
_TRAILER = re.compile(r"(?P<key>[A-Za-z0-9-]+)[ \t]*:(?P<value>.*)")
_PULL = re.compile(r"(?P<title>.*) \(#(?P<number>\d{1,9})\)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit of main as `git log` or the forge tells it. The message is anybody's text."""

    sha: str
    committed_utc: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """One of the bot's merges, read from the commit alone. `gain` is positive when better."""

    sha: str
    landed_utc: str
    title: str
    pull_number: int | None
    experiment_id: str
    metric_name: str
    before: float
    after: float
    gain: float
    standard_error: float
    evalue: float
    n: int
    n_baseline: int
    self_reported: bool
    trailers: Mapping[str, str]  # all of them, Base, Head and Tree among them


def trailers(message: str) -> dict[str, str]:
    """The trailer block, key -> value, as `git interpret-trailers --parse` finds it; of equal keys the first.

    Stricter than git in one way: a last paragraph in which any line is no trailer has none.
    """
    lines = []
    for text in message.split("\n"):
        if re.match(r"---(?:\s|$)", text):
            break
        lines.append(text.rstrip())
    body = "\n".join(lines).rstrip("\n")
    before, gap, block = body.rpartition("\n\n")
    if not gap or not before.strip():
        return {}
    found: list[tuple[str, str]] = []
    for text in block.strip("\n").split("\n"):
        if text[:1] in (" ", "\t") and found:
            key, value = found[-1]
            found[-1] = (key, f"{value} {text.strip()}".strip())
        elif match := _TRAILER.fullmatch(text):
            found.append((match["key"], match["value"].strip()))
        else:
            return {}
    return dict(reversed(found))


def landed(commits: Iterable[Commit]) -> list[Landing]:
    """The bot's merges among `commits`, in their order (oldest first for a chart).

    Commits of other people are passed over, and so is a second commit of the same experiment, such as a cherry-pick.
    """
    found: dict[str, Landing] = {}
    for commit in commits:
        landing = _landing(commit)
        if landing is not None:
            found.setdefault(landing.experiment_id, landing)
    return list(found.values())


def _landing(commit: Commit) -> Landing | None:
    values = trailers(commit.message)
    metric = _METRIC.fullmatch(values.get("Metric", ""))
    gain = _GAIN.fullmatch(values.get("Gain", ""))
    evidence = _EVIDENCE.fullmatch(values.get("Evidence", ""))
    if not (values.get("Experiment") and metric and gain and evidence):
        return None
    title = line(commit.message.lstrip("\n").split("\n", 1)[0], 200)
    pull = _PULL.fullmatch(title)
    return Landing(
        sha=commit.sha,
        landed_utc=commit.committed_utc,
        title=pull["title"] if pull else title,
        pull_number=int(pull["number"]) if pull else None,
        experiment_id=values["Experiment"],
        metric_name=metric["name"],
        before=float(metric["before"]),
        after=float(metric["after"]),
        gain=float(gain["gain"]),
        standard_error=float(gain["error"]),
        evalue=float(evidence["evalue"]),
        n=int(evidence["n"]),
        n_baseline=int(evidence["n_baseline"]),
        self_reported=metric["claimed"] is not None,
        trailers=values,
    )
