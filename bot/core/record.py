"""What the ledger keeps of an experiment: its row as JSON, and its line in results.tsv."""

from pydantic import TypeAdapter, ValidationError

from bot.core.metric import Metric
from bot.core.model import Experiment, Kind, LedgerRow, Side, State
from bot.core.text import line, plain, printable
from bot.core.verdict.outcome import outcome
from runner.protocol import Run

_ROW = TypeAdapter(LedgerRow)
_KEPT = {State.MERGED: "keep", State.CRASHED: "crash"}


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
        self_reported=metric.self_reported,
        holdout=experiment.holdout,
        shift_in_s=estimate.shift / estimate.s if estimate and estimate.s > 0 else 0.0,
        peak_memory_mib=max((run.claimed_memory_mib or run.peak_memory_mib for run in candidates), default=0.0),
        gpu_s=experiment.gpu_s,
        model_cost_usd=experiment.model_cost_usd,
        started_utc=experiment.started_utc,
        ended_utc=experiment.ended_utc,
        runs=experiment.runs,
        overridden_by=line(experiment.overridden_by),
        model_use=experiment.model_use,
        smoke_runs=experiment.smoke_runs,
        left=experiment.left,
    )


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


def appended(table: str, ledger_row: LedgerRow) -> str:
    """`table`, the text of a results.tsv or nothing yet, with one more line."""
    names, cells = zip(*_cells(ledger_row), strict=True)
    start = table if table.strip() else "\t".join(names)
    return "\n".join([start.rstrip("\n"), "\t".join(cells), ""])


def _cells(ledger_row: LedgerRow) -> list[tuple[str, str]]:
    """Column and text: autoresearch's five columns, then ours. Where there is no number its metric is 0.000000."""
    reported = "self-reported" if ledger_row.self_reported else "measured"
    return [
        ("commit", (ledger_row.merge_sha or ledger_row.head_sha)[:7]),
        ("_".join(ledger_row.metric_name.split()) or "metric", f"{ledger_row.metric_after or 0.0:.6f}"),
        ("memory_gb", f"{ledger_row.peak_memory_mib / 1024:.1f}"),
        ("status", _KEPT.get(ledger_row.state, "discard")),
        ("description", _words(ledger_row.title)),
        ("experiment", _words(ledger_row.experiment_id)),
        ("pull", _number(ledger_row.pull_number)),
        ("state", ledger_row.state.value),
        ("before", _number(ledger_row.metric_before)),
        ("gain", _number(ledger_row.gain)),
        ("standard_error", _number(ledger_row.standard_error)),
        ("evalue", _number(ledger_row.evalue)),
        ("form", _words(ledger_row.form)),
        ("n", _number(ledger_row.n)),
        ("n_confirm", _number(ledger_row.n_confirm)),
        ("n_baseline", _number(ledger_row.n_baseline)),
        ("hardware", _words(ledger_row.hardware_class)),
        ("gpu_min", _number(ledger_row.gpu_s / 60)),
        ("cost_usd", _number(ledger_row.model_cost_usd)),
        ("requested_by", _words(ledger_row.requested_by)),
        ("proposed_by", _words(ledger_row.proposed_by)),
        ("started_utc", _words(ledger_row.started_utc)),
        ("ended_utc", _words(ledger_row.ended_utc)),
        ("metric_is", "" if ledger_row.metric_after is None else reported),
    ]


def _words(text: str) -> str:
    """One line without double quotes, which readers of such tables take for more than a character."""
    return line(text, 200).replace('"', "'")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
