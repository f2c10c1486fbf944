"""How an experiment stands, on GitHub: the one comment that is edited in place, and the check run."""

from collections.abc import Sequence

from bot.core.layout import Land
from bot.core.metric import evidence, number, places
from bot.core.model import Action, Estimate, Experiment, Side, State
from bot.core.text import clipped, counted, duration, joined, marker, neutral
from bot.core.verdict.outcome import outcome
from bot.core.words import holdout
from bot.core.words.curve import curve
from bot.core.words.description import BODY_LIMIT, SELF_REPORTED
from bot.core.words.figures import (
    LiveRun,
    Terms,
    bound,
    earlier_heads,
    estimate_of,
    figures,
    live_table,
    log,
    runs_table,
    sha,
    unit,
)
from bot.core.words.hardware import hardware_table, speed

CHECK_LIMIT = 65_535  # bytes, summary and text each
READING = (
    "<sub>*E* grows as runs speak for “better than main” and shrinks as they speak against it. "
    "The gain is for this validation data, budget and hardware class; whether it transfers to other data or a larger "
    "model was not measured.</sub>"
)
WAITING = {
    Land.AUTO: "As soon as what is said above is settled, it is merged, exactly as measured",
    Land.AFTER_APPROVAL: "Approve it in a review, and it is merged, exactly as measured; when main has moved by then, "
    "it is measured again first",
    Land.MANUAL: "Merge it, or write `/close`",
}
THEIRS = {  # of a person's own pull request, which we do not close
    State.PROVEN: "Proven",
    State.REJECTED: "Not proven",
    State.CRASHED: "It crashed",
    State.ABANDONED: "Not measured to the end",
}


def comment(experiment: Experiment, *, terms: Terms, live: Sequence[LiveRun] = (), eta_s: float | None = None) -> str:
    """The one comment on the pull request, edited in place after each run; at most `BODY_LIMIT` bytes.

    `eta_s` is how long the next decision is away.
    """
    sections = [
        marker(experiment.id),
        f"**{headline(experiment, terms=terms)}**",
        SELF_REPORTED if terms.metric.self_reported else "",
        _drifting(experiment),
        _unserved(experiment),
        _missing(experiment, terms),
        figures(experiment, terms),
        speed(experiment.runs, counts_work=terms.counts_work),
        holdout.sentence(experiment, terms.metric),
        _next(experiment, terms, eta_s),
        live_table(live),
        log(experiment),
        curve(experiment.runs),
        runs_table(experiment, terms.metric),
        hardware_table(experiment.runs),
        earlier_heads(experiment),
        READING if experiment.decision and experiment.decision.estimate else "",
    ]
    return joined(sections, BODY_LIMIT)


def check(
    experiment: Experiment, *, terms: Terms, live: Sequence[LiveRun] = (), eta_s: float | None = None
) -> tuple[str, str, str]:
    """(title, summary, text) of the check run, each within GitHub's limit."""
    title = _state(experiment, terms)
    if live and eta_s is not None:
        title += f", about {duration(eta_s)} left"
    summary = [
        f"**{headline(experiment, terms=terms)}**",
        SELF_REPORTED if terms.metric.self_reported else "",
        live_table(live),
        _drifting(experiment),
        _unserved(experiment),
        _missing(experiment, terms),
        _next(experiment, terms, eta_s),
    ]
    text = [
        figures(experiment, terms),
        holdout.sentence(experiment, terms.metric),
        log(experiment),
        runs_table(experiment, terms.metric),
        hardware_table(experiment.runs),
    ]
    return clipped(title, 120), joined(summary, CHECK_LIMIT), joined(text, CHECK_LIMIT)


def headline(experiment: Experiment, *, terms: Terms) -> str:
    """One sentence of Markdown: the state and why."""
    reason = experiment.reason or (experiment.decision.reason if experiment.decision else "")
    why = neutral(reason, 400).rstrip(".")
    state = _state(experiment, terms)
    if experiment.state is State.MERGED and experiment.merge_sha:
        state += f" as {sha(experiment.merge_sha)}{_gained(experiment, terms)}"
    return f"{state}: {why}." if why else f"{state}."


def _state(experiment: Experiment, terms: Terms) -> str:
    if experiment.theirs and experiment.state in THEIRS:
        return THEIRS[experiment.state]
    estimate, policy = estimate_of(experiment), terms.policy
    done = sum(r.side is Side.CANDIDATE for r in experiment.runs)
    confirmed = estimate.n_confirm if estimate else 0
    return {
        State.PROPOSING: "Proposing",
        State.MEASURING: f"Measuring, {done} of at most {policy.n_max} candidate runs done",
        State.CONFIRMING: f"Confirming, {confirmed} of at least {policy.n_confirm} confirmation runs done",
        State.LANDING: "Landing",
        State.PROVEN: "Proven, and left to a person",
        State.MERGED: "Merged",
        State.REJECTED: "Closed",
        State.CRASHED: "Closed after a crash",
        State.ABANDONED: "Closed without a verdict",
    }[experiment.state]


def _gained(experiment: Experiment, terms: Terms) -> str:
    estimate = estimate_of(experiment)
    if estimate is None:
        return ""
    found = outcome(experiment.runs, estimate=estimate, base_sha=experiment.base_sha, metric=terms.metric)
    decimals = places(found.standard_error)
    gain = f"{number(found.gain, decimals)} ± {number(found.standard_error, decimals)}"
    return f", a gain of {gain}{unit(terms.metric)}"


def _drifting(experiment: Experiment) -> str:
    if not experiment.drifting or experiment.state.ended:
        return ""
    return f"> [!WARNING]\n> {neutral(experiment.drifting, 600)}. What was measured there meanwhile is not counted."


def _unserved(experiment: Experiment) -> str:
    return f"> [!WARNING]\n> {neutral(experiment.unserved, 600)}" if experiment.unserved else ""


def _missing(experiment: Experiment, terms: Terms) -> str:
    """For a rejected experiment: what the numbers would have had to be."""
    estimate, policy = estimate_of(experiment), terms.policy
    if experiment.state is not State.REJECTED or estimate is None or experiment.proposal is None:
        return ""
    return (
        f"To be merged it needed *E* of at least {policy.e_merge:g} (it had {evidence(estimate.evalue)}) with at least "
        f"{policy.n_confirm} confirmation runs (it had {estimate.n_confirm}) within {policy.n_max} runs, and until "
        f"then a mean {bound(experiment.proposal.kind, policy)} (it was {_distance(estimate)})."
    )


def _distance(estimate: Estimate) -> str:
    if estimate.difference == 0:
        return "equal"
    direction = "better" if estimate.difference < 0 else "worse"
    return f"{number(abs(estimate.difference) / estimate.s, 2)} s {direction}" if estimate.s > 0 else direction


def _next(experiment: Experiment, terms: Terms, eta_s: float | None) -> str:
    """What comes next and when, for an experiment that has not ended."""
    if experiment.state.ended:
        return ""
    when = f"; the next decision in about {duration(eta_s)}" if eta_s is not None else ""
    return f"**Next:** {next_step(experiment, terms)}{when}."


def next_step(experiment: Experiment, terms: Terms) -> str:
    decision = experiment.decision
    if experiment.stalled:
        return "an A/A run, main against itself, that fits again; nothing is judged until then"
    if experiment.held:
        return "nothing is merged or closed until somebody writes `/resume`"
    if experiment.state is State.PROPOSING:
        return "a hypothesis with its edits, as a pull request"
    if experiment.state is State.LANDING:
        return "merge exactly what was measured"
    if experiment.state is State.PROVEN and experiment.theirs:
        return "yours: it is merged by a person, or with `/merge`"
    if experiment.state is State.PROVEN:
        return "yours. " + WAITING[terms.land]
    if decision is None:
        return "the first run, which finds out whether the change is worth more"
    if decision.action is Action.CONFIRM:
        return f"update the branch to today's main, then at least {terms.policy.n_confirm} confirmation runs"
    if decision.action is Action.MEASURE:
        stage = "confirmation" if experiment.state is State.CONFIRMING else "candidate"
        candidate, main = len(decision.candidate_seeds), len(decision.baseline_seeds)
        parts = [counted(candidate, f"{stage} run")] * bool(candidate)
        parts += [counted(main, "run of main", "runs of main")] * bool(main)
        return " and ".join(parts)
    return "land" if decision.action is Action.MERGE else "close"
