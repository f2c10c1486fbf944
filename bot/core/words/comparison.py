"""A measurement by hand and what it says: head against base, as rows for a terminal, as Markdown and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from statistics import fmean

from bot.core.contract import Contract
from bot.core.metric import evidence, number, places, sign
from bot.core.model import Action, Estimate, Experiment, MeasuredRun, Side, State
from bot.core.text import code, joined, neutral
from bot.core.verdict.evidence import interval
from bot.core.verdict.outcome import throughput
from bot.core.words.figures import figures, runs_table, sha, terms, unit
from bot.core.words.hardware import hardware_table, speed
from runner.protocol import Status

LAYOUT = 1  # of the JSON; raised when a key changes its meaning or goes
MARKDOWN_LIMIT = 65_536  # bytes, of a comment on GitHub
PHASES = ("start_s", "train_s", "freeze_s", "predict_s", "audit_s", "score_s", "overhead_s")


class Demand(StrEnum):
    """What `--fail-unless` may ask for."""

    BETTER = "better"  # the evidence reaches what the contract needs to merge
    NOT_WORSE = "not-worse"  # the 95 % interval does not lie wholly on the worse side


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`head` and `base` are the revisions as they were asked for; `experiment` has the commits, runs and decision."""

    head: str
    base: str
    experiment: Experiment
    contract: Contract
    notes: tuple[str, ...] = ()  # what a reader must know besides, a sentence each

    @property
    def estimate(self) -> Estimate | None:
        return self.experiment.decision.estimate if self.experiment.decision else None

    @property
    def failed_run(self) -> str:
        """Which run gave no number and why, in one sentence; empty when all did."""
        for measured in self.experiment.runs:
            if measured.run.status is not Status.OK:
                side = "head" if measured.side is Side.CANDIDATE else "base"
                why = measured.run.reason or measured.run.status.value
                return f"{side} gave no number with seed {measured.run.seed}: {why}"
        return ""

    @property
    def failed(self) -> str:
        """Why there is no result, in one sentence; empty when there is one."""
        return self.failed_run or ("" if self.estimate else "too few runs for an estimate: two of each are the least")

    @property
    def reason(self) -> str:
        """What the policy says, in one sentence."""
        return self.failed or (self.experiment.decision.reason if self.experiment.decision else "")

    @property
    def interval(self) -> tuple[float, float] | None:
        """Candidate - base in the metric's own direction, 95 %."""
        found = self.estimate
        if found is None:
            return None
        low, high = interval(difference=found.difference, standard_error=found.standard_error, nu=found.nu)
        return (low, high) if sign(self.contract.metric) > 0 else (-high, -low)

    @property
    def interval_of_gain(self) -> tuple[float, float] | None:
        """The same with better above zero."""
        if self.interval is None:
            return None
        low, high = self.interval
        return (-high, -low) if sign(self.contract.metric) > 0 else (low, high)

    def meets(self, demand: Demand) -> bool:
        found = self.estimate
        if self.failed or found is None:
            return False
        if demand is Demand.BETTER:
            return found.difference < 0 and found.evalue >= self.contract.policy.e_merge
        low, _ = interval(difference=found.difference, standard_error=found.standard_error, nu=found.nu)
        return low <= 0


def verdict_rows(comparison: Comparison) -> list[tuple[str, str]]:
    """The verdict as (what, value)."""
    x, metric, found = comparison.experiment, comparison.contract.metric, comparison.estimate
    rows = [
        ("head", f"{comparison.head} ({x.head_sha[:10]})"),
        ("base", f"{comparison.base} ({x.base_sha[:10]})"),
    ]
    if comparison.failed or found is None:
        return [*rows, ("no result", comparison.failed)]
    decimals, name = places(found.standard_error), f" {metric.suffix}" if metric.suffix else ""
    difference = sign(metric) * found.difference
    error = number(found.standard_error, decimals)
    rows += [(f"{metric.name}, head - base", f"{number(difference, decimals, signed=True)} ± {error}{name}")]
    if found.s > 0:
        sigmas = f"{number(difference / found.s, 1, signed=True)} ± {number(found.standard_error / found.s, 1)}"
        rows.append(("in sigmas", f"{sigmas} (s = {number(found.s, places(found.s))}{name}, ν = {found.nu:.0f})"))
    if comparison.interval is not None:
        low, high = (number(end, decimals, signed=True) for end in comparison.interval)
        rows.append(("95 % interval", f"{low} to {high}{name} ({metric.direction.value} is better)"))
    needed = comparison.contract.policy.e_merge
    rows += [
        ("evidence E", f"{evidence(found.evalue)} ({needed:g} needed to merge)"),
        ("form", found.form + ("" if found.correlation is None else f", correlation {found.correlation:.2f}")),
        ("runs", f"{found.n} of head, {found.n_baseline} of base"),
        ("steps per second", _speeds(x.runs)),
    ]
    if spoken := speed(x.runs, counts_work=comparison.contract.task.budget_steps is not None):
        rows.append(("", spoken))
    action = x.decision.action if x.decision else Action.MEASURE
    return [*rows, ("policy", f"{action.value}: {comparison.reason}")]


def _speeds(runs: Sequence[MeasuredRun]) -> str:
    head, base = throughput(runs, Side.CANDIDATE), throughput(runs, Side.BASELINE)
    if head is None or base is None:
        return "n/a"
    return f"{head:.4g} of head, {base:.4g} of base ({number(100 * (head / base - 1), 1, signed=True)} %)"


def phases(runs: Sequence[MeasuredRun], side: Side) -> list[float] | None:
    """Mean seconds of each of `PHASES` and of the whole, over the finished runs of a side."""
    done = [r.run for r in runs if r.side is side and r.run.status is Status.OK]
    if not done:
        return None
    return [*(fmean(getattr(run, phase) for run in done) for phase in PHASES), fmean(run.wall_s for run in done)]


def markdown(comparison: Comparison) -> str:
    """A comment for a pull request or a job's summary."""
    x, said = comparison.experiment, terms(comparison.contract)
    head, base = code(comparison.head, 80), code(comparison.base, 80)
    title = f"### {head} ({sha(x.head_sha)}) against {base} ({sha(x.base_sha)})"
    if comparison.failed:
        return joined(
            [title, f"**No result:** {neutral(comparison.failed, 600)}.", *_notes(comparison)], MARKDOWN_LIMIT
        )
    low, high = comparison.interval or (None, None)
    decimals = places(comparison.estimate.standard_error if comparison.estimate else None)
    between = f"{number(low, decimals, signed=True)} to {number(high, decimals, signed=True)}{unit(said.metric)}"
    sections = [
        title,
        f"**{neutral(comparison.reason, 600)}.** The difference is {between} with 95 % confidence.",
        *_notes(comparison),
        figures(x, said),
        speed(x.runs, counts_work=said.counts_work),
        runs_table(x, said.metric),
        hardware_table(x.runs),
    ]
    return joined(sections, MARKDOWN_LIMIT)


def _notes(comparison: Comparison) -> list[str]:
    return [f"{neutral(note[:1].upper() + note[1:], 600)}." for note in comparison.notes]


def as_json(comparison: Comparison) -> str:
    """Everything, for programs: `result` is "measured" or "failed", differences are head - base."""
    x, metric, found = comparison.experiment, comparison.contract.metric, comparison.estimate
    measured = not comparison.failed and found is not None and x.decision is not None
    document: dict[str, object] = {
        "layout": LAYOUT,
        "result": "measured" if measured else "failed",
        "reason": comparison.reason,
        "notes": comparison.notes,
        "head": {"revision": comparison.head, "sha": x.head_sha},
        "base": {"revision": comparison.base, "sha": x.base_sha},
        "metric": asdict(metric),
        "contract_digest": comparison.contract.digest,
    }
    if found is not None and measured and x.decision is not None:
        head, base = throughput(x.runs, Side.CANDIDATE), throughput(x.runs, Side.BASELINE)
        document |= {
            "decision": x.decision.action.value,
            "proven": x.state is State.LANDING,
            "better": comparison.meets(Demand.BETTER),
            "not_worse": comparison.meets(Demand.NOT_WORSE),
            "difference": sign(metric) * found.difference,
            "gain": -found.difference,
            "standard_error": found.standard_error,
            "interval": comparison.interval,
            "sigmas": sign(metric) * found.difference / found.s if found.s > 0 else None,
            "s": found.s,
            "nu": found.nu,
            "evalue": found.evalue,
            "form": found.form,
            "n": found.n,
            "n_confirm": found.n_confirm,
            "n_base": found.n_baseline,
            "correlation": found.correlation,
            "steps_per_s": {"head": head, "base": base},
        }
    runs = [{"side": "head" if r.side is Side.CANDIDATE else "base", **asdict(r.run)} for r in x.runs]
    return json.dumps({**document, "runs": runs}, indent=2) + "\n"


def failure_json(why: str) -> str:
    """What stands in place of `as_json` when nothing could be compared."""
    return json.dumps({"layout": LAYOUT, "result": "failed", "reason": why, "runs": []}, indent=2) + "\n"


def failure_markdown(why: str, head: str) -> str:
    return joined([f"### {code(head, 80)}", f"**No result:** {neutral(why, 600)}."], MARKDOWN_LIMIT)
