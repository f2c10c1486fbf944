"""The evidence of an experiment as Markdown: the table of figures, the table of runs, live progress, a crash's log."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.core.contract import Contract, Land
from bot.core.metric import Metric, evidence, number, places, sign
from bot.core.model import Estimate, Experiment, Head, Kind, MeasuredRun, Side, Why
from bot.core.text import code, duration, fenced, neutral
from bot.core.verdict.outcome import Outcome, outcome, scored, throughput
from bot.core.verdict.policy import PolicySettings
from runner.protocol import Progress, Status

MOST_RUNS_SHOWN = 120
BAR_CELLS = 20
MOST_HEADS_SHOWN = 20
UNDETECTED = 0.05  # the probability that a cheat of the size we state had of passing the audits
WEAKER = {
    "bubblewrap": "weaker than a container",
    "subprocess": "none: trusted code only, its numbers can be faked",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an experiment is judged by, from the contract of its base commit."""

    metric: Metric
    policy: PolicySettings
    hardware_class: str
    budget: str  # of one run, in words: "500 steps", "5 min"
    land: Land = Land.AUTO
    counts_work: bool = True  # the budget of a run is work, so that speed does not move the metric


def terms(contract: Contract) -> Terms:
    """What reports say about how an experiment is judged."""
    task = contract.task
    if task.budget_steps is None and task.budget_s is None:
        budget = f"as long as its command takes, at most {task.timeout_s:g} s"
    else:
        budget = f"{task.budget_steps} steps" if task.budget_steps else f"{task.budget_s:g} s"
    return Terms(
        metric=contract.metric,
        policy=contract.policy,
        hardware_class=contract.hardware_class,
        budget=budget,
        land=contract.land if contract.may_land_claims else Land.MANUAL,
        counts_work=task.budget_steps is not None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRun:
    """A run under way."""

    side: Side
    seed: int
    slot: str
    progress: Progress


def sha(commit: str) -> str:
    """Short enough to read, long enough for GitHub to link."""
    return neutral(commit[:10], 10) if commit else "n/a"


def unit(metric: Metric) -> str:
    """The unit after a number, with its space, and whether the number is self-reported; empty when there is neither."""
    return f" {neutral(metric.suffix, 40)}" if metric.suffix else ""


def estimate_of(experiment: Experiment) -> Estimate | None:
    return experiment.decision.estimate if experiment.decision else None


def bound(kind: Kind, policy: PolicySettings) -> str:
    """In words, the futility bound: how a mean must compare with main's for the test to go on."""
    least = policy.futility - (policy.simplify_shift if kind is Kind.SIMPLIFY else 0.0)
    return f"at least {least:g} *s* better than main" if least >= 0 else f"at most {-least:g} *s* worse than main"


def figures(experiment: Experiment, terms: Terms) -> str:
    """The table of everything the decision rests on; empty before the first estimate."""
    estimate = estimate_of(experiment)
    if estimate is None:
        return ""
    metric, policy = terms.metric, terms.policy
    found = outcome(experiment.runs, estimate=estimate, base_sha=experiment.base_sha, metric=metric)
    kind = experiment.proposal.kind if experiment.proposal else Kind.IMPROVE
    claim = "better than main" if kind is Kind.IMPROVE else "no worse than main"
    slots = slot_time(experiment, terms.hardware_class)
    rows = [
        _gain_row(found, metric),
        _difference_row(estimate, metric, bound(kind, policy)),
        (
            f"Evidence *E*, a Bayes factor for “{claim}”",
            evidence(estimate.evalue),
            f"{policy.e_merge:g} needed to merge, {policy.e_confirm:g} to confirm",
        ),
        ("Candidate runs *n*", str(estimate.n), f"at most {policy.n_max}"),
        ("of these confirmation runs *n*<sub>conf</sub>", str(estimate.n_confirm), f"at least {policy.n_confirm}"),
        ("Runs of main *n*<sub>b</sub>", str(estimate.n_baseline), ""),
        (
            "Noise *s*: one sigma",
            number(estimate.s, places(estimate.s)) + unit(metric),
            f"ν = {number(estimate.nu, 0)} degrees of freedom",
        ),
        ("Form of the comparison", _form(estimate), ""),
        ("Throughput, main → candidate", _throughput(experiment.runs), ""),
        ("Audit of the candidate's answers", *_audit(experiment.runs, metric)),
        *_shut_in(experiment.runs),
        ("Compared with main at", sha(experiment.base_sha), f"on {code(terms.hardware_class, 60)} only"),
        ("Cost", f"{slots} and ${experiment.model_cost_usd:.2f} for the model", ""),
    ]
    lines = [f"| {name} | {value} | {limit} |" for name, value, limit in rows]
    return "\n".join([f"| | {'self-reported' if metric.self_reported else 'measured'} | |", "|---|---|---|", *lines])


def _gain_row(found: Outcome, metric: Metric) -> tuple[str, str, str]:
    decimals = places(found.standard_error)
    gain = f"{number(found.gain, decimals)} ± {number(found.standard_error, decimals)}{unit(metric)}"
    values = f"{code(metric.name, 60)} {number(found.before, decimals)} → {number(found.after, decimals)}"
    if found.confirmed:
        return "**Gain**, from confirmation runs only", f"**{gain}**", values
    return "Gain so far, not confirmed", gain, values


def _difference_row(estimate: Estimate, metric: Metric, to_go_on: str) -> tuple[str, str, str]:
    decimals = places(estimate.standard_error)
    difference = sign(metric) * estimate.difference
    value = f"{number(difference, decimals, signed=True)} ± {number(estimate.standard_error, decimals)}{unit(metric)}"
    if estimate.s > 0:
        sigmas, error = difference / estimate.s, estimate.standard_error / estimate.s
        value += f" = {number(sigmas, 1, signed=True)} ± {number(error, 1)} sigmas"
    return "Difference *D*: candidate − main, all runs", value, f"{to_go_on} to go on"


def _form(estimate: Estimate) -> str:
    words = {
        "paired": "paired: the same seeds on both sides",
        "unpaired": "unpaired: mean against mean",
        "mixed": "mixed: mean against mean, a random offset for each slot",
    }
    form = words.get(estimate.form, neutral(estimate.form))
    return form if estimate.correlation is None else f"{form}; correlation {number(estimate.correlation, 2)}"


def _throughput(runs: Sequence[MeasuredRun]) -> str:
    candidate, main = throughput(runs, Side.CANDIDATE), throughput(runs, Side.BASELINE)
    if candidate is None or main is None:
        return "n/a" if candidate is None else f"n/a → {candidate:.4g} steps/s"
    return f"{main:.4g} → {candidate:.4g} steps/s ({number(100 * (candidate / main - 1), 1, signed=True)} %)"


def undetected(runs: Sequence[MeasuredRun]) -> float | None:
    """The largest gain, in the metric's unit, that cheats in all of `runs` could have had and passed with 5 %.

    A cheat at a share f of all places passes n audited ones with probability (1 - f)^n, and gains at most f times what
    a cheat everywhere would gain. To this comes what could hide within the tolerance. None where that is not known.
    """
    audited = sum(r.run.audited_positions for r in runs)
    gains = [r.run.cheat_gain for r in runs]
    if not audited or not all(gains):
        return None
    share: float = 1 - UNDETECTED ** (1 / audited)
    return share * max(gains) + max(r.run.hidden_gain for r in runs)


def _audit(runs: Sequence[MeasuredRun], metric: Metric) -> tuple[str, str]:
    candidates = scored(runs, Side.CANDIDATE)
    audited, largest = sum(r.run.audited_positions for r in candidates), undetected(candidates)
    if metric.self_reported:
        return "none", "nothing but the candidate's word for it"
    if not audited:
        return "none", ""
    limit = f"{number(largest, 4)}{unit(metric)}" if largest is not None else "n/a"
    tolerance = max(r.run.audit_tolerance for r in candidates)
    within = f" within {tolerance:.2g} {candidates[-1].run.audit_unit}" if tolerance else ""
    return f"{audited:,} places asked again, all agree{within}", f"could miss a gain of {limit} at most (95 %)"


def _shut_in(runs: Sequence[MeasuredRun]) -> list[tuple[str, str, str]]:
    """A row only when a run was shut in by less than a container."""
    weaker = {r.run.sandbox for r in runs} & WEAKER.keys()
    return [("Sandbox", code(name, 20), WEAKER[name]) for name in sorted(weaker)]


def slot_time(experiment: Experiment, hardware_class: str) -> str:
    """How long slots were used for it, in minutes. Classes without a GPU are named `cpu...`, as the runner suggests."""
    return f"{experiment.gpu_s / 60:.1f} {'CPU' if hardware_class.startswith('cpu') else 'GPU'}-min"


def runs_table(experiment: Experiment, metric: Metric) -> str:
    """Every run in a fold, candidate and main, in the order they were measured; empty when there are none."""
    if not experiment.runs:
        return ""
    shown = experiment.runs[:MOST_RUNS_SHOWN]
    head = f"| side | stage | seed | hardware | steps | {neutral(metric.title, 80)} | wall s | status |"
    notes = []
    if len(shown) < len(experiment.runs):
        notes.append(f"{len(experiment.runs) - len(shown)} more runs are in the ledger.")
    count = "1 run" if len(experiment.runs) == 1 else f"All {len(experiment.runs)} runs"
    table = "\n".join([head, "|---|---|---:|---|---:|---:|---:|---|", *map(_run_row, shown)])
    return "\n\n".join([f"<details><summary>{count}</summary>", table, *notes, "</details>"])


def _run_row(measured: MeasuredRun) -> str:
    run = measured.run
    side = "candidate" if measured.side is Side.CANDIDATE else f"main {sha(measured.commit_sha)}"
    side += ", earlier" if measured.shared else ""
    stage = measured.stage.value if measured.stage else ""
    status = run.status.value.replace("_", " ")
    if run.reason.strip():
        status += f": {neutral(run.reason, 160)}"
    hardware = f"{neutral(run.hardware_class, 40)} {neutral(run.slot, 40)}"
    return (
        f"| {side} | {stage} | {run.seed} | {hardware} | {run.steps} | {number(run.metric, 5)} "
        f"| {run.wall_s:.0f} | {status} |"
    )


def log(experiment: Experiment) -> str:
    """The end of the last failed candidate run's log, in a fold; empty when none failed by its own fault."""
    harmless = (Status.OK, Status.INFRASTRUCTURE)
    failed = [r.run for r in experiment.runs if r.side is Side.CANDIDATE and r.run.status not in harmless]
    if not failed or not failed[-1].log_tail.strip():
        return ""
    summary = f"End of the log of seed {failed[-1].seed}, as printed by the candidate"
    return f"<details><summary>{summary}</summary>\n\n{fenced(failed[-1].log_tail)}\n\n</details>"


def live_table(live: Sequence[LiveRun]) -> str:
    """One row for each slot that is busy; empty when none is."""
    if not live:
        return ""
    rows = [
        f"| {code(run.slot, 40)} | {'candidate' if run.side is Side.CANDIDATE else 'main'}, seed {run.seed} "
        f"| {run.progress.phase.value} | {bar(run.progress.fraction)} | {_step(run.progress)} | {_left(run.progress)} |"
        for run in live
    ]
    return "\n".join(["| slot | run | phase | progress | step | left |", "|---|---|---|---|---:|---|", *rows])


def bar(fraction: float) -> str:
    """`BAR_CELLS` block characters and a percentage; what is not between 0 and 1 counts as the nearer end."""
    inside = min(1.0, max(0.0, fraction))
    full = int(inside * BAR_CELLS)
    return f"{'█' * full}{'░' * (BAR_CELLS - full)} {inside:.0%}"


def _step(progress: Progress) -> str:
    loss = "" if progress.loss is None else f", claimed loss {number(progress.loss, 3)}"
    return f"{progress.step}{loss}"


def _left(progress: Progress) -> str:
    return "" if progress.eta_s is None else duration(progress.eta_s)


def earlier_heads(experiment: Experiment) -> str:
    """The heads before this one, and what became of each."""
    if not experiment.left:
        return ""
    shown = [f"- {sha(head.sha)}: {_became(head)}" for head in experiment.left[-MOST_HEADS_SHOWN:]]
    more = len(experiment.left) - len(shown)
    return "\n".join(["**Earlier commits**, each measured anew:", *([f"- {more} older ones"] if more else []), *shown])


def _became(head: Head) -> str:
    if head.why is Why.REPAIR:
        return f"a run crashed ({neutral(head.reason, 200).rstrip('.')}), and {code(head.by, 60)} mended it"
    if head.why is Why.REVISION:
        return f"revised, as {code(head.by, 60)} asked: “{neutral(head.reason, 200)}”"
    return "somebody pushed to the branch"
