"""What remains of an experiment: its ledger row, its line in results.tsv, and what a merge says in git log."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace

from pydantic import TypeAdapter, ValidationError

from bot.core.model import Experiment, Kind, LedgerRow, Side, State
from bot.core.outcome import Metric, outcome
from bot.core.text import line, plain, printable
from runner.protocol import Run

_ROW = TypeAdapter(LedgerRow)
_KEPT = {State.MERGED: "keep", State.CRASHED: "crash"}
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_METRIC = re.compile(rf"(?P<name>\S+) (?P<before>{_NUMBER}) -> (?P<after>{_NUMBER})", re.ASCII)
_GAIN = re.compile(rf"(?P<gain>{_NUMBER}) \+/- (?P<error>{_NUMBER})(?: (?P<unit>.*))?", re.ASCII)
_EVIDENCE = re.compile(rf"E=(?P<evalue>{_NUMBER}|inf) n=(?P<n>\d{{1,6}})/(?P<n_baseline>\d{{1,6}})(?: .*)?", re.ASCII)
_TRAILER = re.compile(r"(?P<key>[A-Za-z0-9-]+)[ \t]*:(?P<value>.*)")
_PULL = re.compile(r"(?P<title>.*) \(#(?P<number>\d{1,9})\)", re.ASCII)


class HistoryError(ValueError):
    """A ledger file that cannot be read; the message says where and why."""


def row(experiment: Experiment, *, metric: Metric) -> LedgerRow:
    """The ledger's record of `experiment`; every figure is derived from its runs and its last estimate."""
    proposal = experiment.proposal
    estimate = experiment.decision.estimate if experiment.decision else None
    found = outcome(experiment.runs, estimate=estimate, base_sha=experiment.base_sha, metric=metric)
    candidates = [measured.run for measured in experiment.runs if measured.side is Side.CANDIDATE]
    last: Run | None = candidates[-1] if candidates else None
    return LedgerRow(
        experiment_id=experiment.id,
        pull_number=experiment.pull_number,
        title=line(proposal.title) if proposal else "",
        hypothesis=printable(proposal.hypothesis) if proposal else "",
        kind=proposal.kind if proposal else Kind.IMPROVE,
        edits=proposal.edits if proposal else (),
        state=experiment.state,
        reason=line(experiment.reason or (experiment.decision.reason if experiment.decision else "")),
        requested_by=experiment.origin.requested_by,
        proposed_by=proposal.proposed_by if proposal else "",
        metric_name=metric.name,
        metric_before=found.before,
        metric_after=found.after,
        gain=found.gain,
        standard_error=found.standard_error,
        evalue=estimate.evalue if estimate else None,
        form=estimate.form if estimate else "",
        n=estimate.n if estimate else len(candidates),
        n_confirm=estimate.n_confirm if estimate else 0,
        n_baseline=estimate.n_baseline if estimate else len(experiment.runs) - len(candidates),
        hardware_class=last.hardware_class if last else "",
        environment_digest=last.environment_digest if last else "",
        base_sha=experiment.base_sha,
        head_sha=experiment.head_sha,
        merge_sha=experiment.merge_sha,
        peak_memory_mib=max((run.peak_memory_mib for run in candidates), default=0.0),
        gpu_s=experiment.gpu_s,
        model_cost_usd=_model_cost_usd(experiment),
        started_utc=experiment.started_utc,
        ended_utc=experiment.ended_utc,
        runs=experiment.runs,
        model_use=experiment.model_use,
    )


def _model_cost_usd(experiment: Experiment) -> float:
    """A conversation costs money whether or not it ends in a proposal."""
    if experiment.model_use is not None:
        return experiment.model_use.cost_usd
    return experiment.proposal.model_cost_usd if experiment.proposal else 0.0


def row_json(ledger_row: LedgerRow) -> str:
    """One row as indented JSON, newline at the end. A float that is not finite is written as null."""
    return _ROW.dump_json(ledger_row, indent=2).decode() + "\n"


def row_from_json(text: str) -> LedgerRow | None:
    """The row that `row_json` wrote; None for anything else."""
    try:
        return _ROW.validate_json(text)
    except ValidationError:
        return None


def one_line(title: str) -> str:
    """A title as the subject of a commit of the ledger."""
    return plain(title, 72) or "untitled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line of results.tsv: autoresearch's five columns, then ours, which are empty in its own files."""

    commit: str  # 7 hexadecimal digits
    metric: float | None  # None is written as 0.000000, as autoresearch does for a crash
    memory_gb: float
    status: str  # keep, discard or crash
    description: str
    experiment: str = ""
    pull: int | None = None
    state: str = ""
    before: float | None = None
    gain: float | None = None
    standard_error: float | None = None
    evalue: float | None = None
    form: str = ""
    n: int | None = None
    n_confirm: int | None = None
    n_baseline: int | None = None
    hardware: str = ""
    gpu_min: float | None = None
    cost_usd: float | None = None
    requested_by: str = ""
    proposed_by: str = ""
    started_utc: str = ""
    ended_utc: str = ""


_COLUMNS = tuple(field.name for field in fields(Result))
_RESULT = TypeAdapter(Result)


def result(ledger_row: LedgerRow) -> Result:
    """The part of a row that results.tsv has, text cut to one line."""
    return Result(
        commit=(ledger_row.merge_sha or ledger_row.head_sha)[:7],
        metric=ledger_row.metric_after,
        memory_gb=ledger_row.peak_memory_mib / 1024,
        status=_KEPT.get(ledger_row.state, "discard"),
        description=line(ledger_row.title, 200),
        experiment=line(ledger_row.experiment_id),
        pull=ledger_row.pull_number,
        state=ledger_row.state.value,
        before=ledger_row.metric_before,
        gain=ledger_row.gain,
        standard_error=ledger_row.standard_error,
        evalue=ledger_row.evalue,
        form=line(ledger_row.form),
        n=ledger_row.n,
        n_confirm=ledger_row.n_confirm,
        n_baseline=ledger_row.n_baseline,
        hardware=line(ledger_row.hardware_class),
        gpu_min=ledger_row.gpu_s / 60,
        cost_usd=ledger_row.model_cost_usd,
        requested_by=line(ledger_row.requested_by),
        proposed_by=line(ledger_row.proposed_by),
        started_utc=line(ledger_row.started_utc),
        ended_utc=line(ledger_row.ended_utc),
    )


def to_tsv(rows: Iterable[LedgerRow | Result], *, metric_name: str = "val_bpb") -> str:
    """results.tsv: a header whose second column is the metric's name, then a line for each row, in their order."""
    header = [_COLUMNS[0], "_".join(metric_name.split()) or "metric", *_COLUMNS[2:]]
    return "\t".join(header) + "\n" + "".join(map(_tsv_line, rows))


def appended(table: str, ledger_row: LedgerRow) -> str:
    """`table`, the text of a results.tsv or nothing yet, with one more line."""
    start = table if table.strip() else to_tsv([], metric_name=ledger_row.metric_name)
    return start.rstrip("\n") + "\n" + _tsv_line(ledger_row)


def _tsv_line(item: LedgerRow | Result) -> str:
    shown = result(item) if isinstance(item, LedgerRow) else item
    return "\t".join(_cell(name, getattr(shown, name)) for name in _COLUMNS) + "\n"


def _cell(column: str, value: str | float | None) -> str:
    if column == "metric":
        return f"{value or 0.0:.6f}"
    if column == "memory_gb":
        return f"{value:.1f}"
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def from_tsv(text: str) -> list[Result]:
    """Reads what `to_tsv` writes and what autoresearch writes. Raises HistoryError on anything else."""
    lines = [text_line.rstrip("\r").split("\t") for text_line in text.split("\n")]
    header = lines[0]
    if len(header) < 5 or [header[0], *header[2:5]] != ["commit", "memory_gb", "status", "description"]:
        raise HistoryError(
            "not a results.tsv: its header must begin with commit, a metric, memory_gb, status, description"
        )
    names = ["commit", "metric", *header[2:]]
    results = []
    for number, cells in enumerate(lines[1:], start=2):
        if cells == [""]:
            continue
        values = {name: cell for name, cell in zip(names, cells, strict=False) if name in _COLUMNS and cell != ""}
        try:
            found = _RESULT.validate_python({"commit": "", "description": "", **values})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise HistoryError(f"results.tsv, line {number}: {where}: {first['msg']}") from None
        nothing = found.metric == 0 and found.status != "keep"
        results.append(replace(found, metric=None) if nothing else found)
    return results


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
        trailers=values,
    )
