"""What an experiment says about itself on GitHub: pull request, the one comment edited in place, check run."""

from collections.abc import Sequence

from bot.core.contract import PATH
from bot.core.intake.command import GRAMMAR, Thread, Verb
from bot.core.layout import Land
from bot.core.metric import evidence, number, places
from bot.core.model import Action, Estimate, Experiment, Kind, ModelUse, Proposal, Side, State
from bot.core.proposal.prices import AS_OF
from bot.core.text import clipped, code, duration, joined, line, marker, neutral, plain, wrapped
from bot.core.verdict.outcome import outcome
from bot.core.words import holdout
from bot.core.words.changes import Changes, changes
from bot.core.words.curve import curve
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

BODY_LIMIT = 65_536  # bytes, pull request and comment
CHECK_LIMIT = 65_535  # bytes, summary and text each
MOST_FILES_SHOWN = 40
MOST_CONSTANTS_SHOWN = 40
READING = (
    "<sub>*E* grows as runs speak for “better than main” and shrinks as they speak against it. "
    "The gain is for this validation data, budget and hardware class; whether it transfers to other data or a larger "
    "model was not measured.</sub>"
)
LANDING = {
    Land.AUTO: "merges it",
    Land.AFTER_APPROVAL: "merges it as soon as somebody with write access approves it in a review",
    Land.MANUAL: "leaves the merge to you",
}
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
HERE = [rule.verb for rule in GRAMMAR if Thread.PULL in rule.threads and rule.verb is not Verb.MEASURE]  # is begun
SELF_REPORTED = (
    "> [!WARNING]\n> The metric is **self-reported**: it is what the code under test printed, not what the runner "
    "measured. Read the diff with that in mind."
)


def pull_title(proposal: Proposal) -> str:
    """The title of the pull request and of the merge: one line of at most 72 characters."""
    return plain(proposal.title, 72) or "Experiment without a title"


def commit_message(proposal: Proposal) -> str:
    """What stands below the title in the commit that a pull request starts with."""
    return f"{wrapped(proposal.hypothesis)}\n\nProposed-by: {plain(proposal.proposed_by, 100) or 'unknown'}\n".lstrip()


def contract_problems(problems: Sequence[object]) -> str:
    """One sentence with every problem of a contract, as the reason why an experiment ended."""
    found = "; ".join(line(str(problem), 300) for problem in problems)
    return f"the contract {PATH} cannot be used: {found}"


def pull_body(experiment: Experiment, *, terms: Terms) -> str:
    """The description of a new pull request, at most `BODY_LIMIT` bytes. The experiment has its proposal."""
    proposal = experiment.proposal
    if proposal is None:
        return joined([marker(experiment.id), "Nothing is proposed yet."], BODY_LIMIT)
    found = changes(experiment.diff)
    sections = [
        marker(experiment.id),
        neutral(proposal.hypothesis, 3000),
        f"**Mechanism:** {neutral(proposal.mechanism, 3000)}" if proposal.mechanism.strip() else "",
        neutral(proposal.strategy, 500),
        "### What changes",
        _constants(found),
        _files(found),
        "### What is expected",
        _expected(proposal, terms),
        f"**Look at:** {neutral(proposal.gpu_hint, 1000)}" if proposal.gpu_hint.strip() else "",
        "### How it will be judged",
        _judged(proposal, terms),
        SELF_REPORTED if terms.metric.self_reported else "",
        "### What you can do",
        _commands(),
        "---",
        _asked(experiment),
    ]
    return joined(sections, BODY_LIMIT)


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
        parts = [
            _count(len(decision.candidate_seeds), f"{stage} run", f"{stage} runs"),
            _count(len(decision.baseline_seeds), "run of main", "runs of main"),
        ]
        return " and ".join(part for part in parts if part)
    return "land" if decision.action is Action.MERGE else "close"


def _count(n: int, one: str, many: str) -> str:
    return "" if n == 0 else f"1 {one}" if n == 1 else f"{n} {many}"


def _constants(found: Changes) -> str:
    if not found.constants:
        return ""
    shown = found.constants[:MOST_CONSTANTS_SHOWN]
    rows = [f"| {code(c.name, 60)} | {code(c.old, 80)} | {code(c.new, 80)} | {code(c.path, 80)} |" for c in shown]
    return "\n".join(["| constant | old | new | file |", "|---|---|---|---|", *rows])


def _files(found: Changes) -> str:
    shown = found.files[:MOST_FILES_SHOWN]
    lines = [f"- {code(f.path)} +{f.added} −{f.removed}" for f in shown]
    if len(found.files) > len(shown):
        lines.append(f"- and {len(found.files) - len(shown)} more files")
    return "\n".join(lines)


def _expected(proposal: Proposal, terms: Terms) -> str:
    author = code(proposal.proposed_by, 60)
    if proposal.kind is Kind.SIMPLIFY:
        return f"Less code and {code(terms.metric.name, 60)} no worse than main's, says {author}."
    if proposal.expected_gain is None:
        return f"Better {code(terms.metric.name, 60)}; {author} makes no guess by how much."
    gain = f"{proposal.expected_gain:.4g}".replace("-", "−")
    between = ""
    if proposal.expected_low is not None and proposal.expected_high is not None:
        low, high = (f"{value:.4g}".replace("-", "−") for value in (proposal.expected_low, proposal.expected_high))
        between = f" (likely {low} to {high})"
    return (
        f"{code(terms.metric.name, 60)} better by {gain}{between}{unit(terms.metric)}: a guess by {author}, not a "
        "measurement."
    )


def _judged(proposal: Proposal, terms: Terms) -> str:
    """The sequential test in words, with the contract's thresholds."""
    policy = terms.policy
    if proposal.kind is Kind.SIMPLIFY:
        question = f"less than {policy.simplify_shift:g} *s* worse than main, since it makes the code smaller,"
    else:
        question = "better than main"
    landing = LANDING[terms.land]
    scored = "prints its own" if terms.metric.self_reported else "is scored on"
    return "\n".join(
        [
            f"- A run trains for {neutral(terms.budget, 60)} on {code(terms.hardware_class, 60)} and {scored} "
            f"{code(terms.metric.name, 60)} ({terms.metric.direction.value} is better). Runs with different seeds "
            f"are repeated, here and on main, and only compared within one hardware class.",
            f"- The evidence *E* that it is {question} is computed after each run; *s* is the standard deviation "
            f"between runs of the same code.",
            f"- From *E* ≥ {policy.e_confirm:g} the branch is updated to today's main and confirmed with fresh runs. "
            f"With *E* ≥ {policy.e_merge:g} and at least {policy.n_confirm} confirmation runs the bot {landing}.",
            f"- It is closed when it crashes, as soon as its mean is not {bound(proposal.kind, policy)}, or when "
            f"{policy.n_max} runs did not prove it.",
        ]
    )


def _commands() -> str:
    """What a comment here may say; closing the pull request by hand is understood too."""
    lines = [f"- {code(rule.usage)}: {rule.meaning}" for rule in GRAMMAR if rule.verb in HERE]
    return "\n".join([*lines, "- Close or merge it by hand: the bot stops measuring and records that you did."])


def _asked(experiment: Experiment) -> str:
    origin, proposal = experiment.origin, experiment.proposal
    where = f" in #{origin.issue_number}" if origin.issue_number is not None else ""
    asked = f"Asked for by {code(origin.requested_by, 60)}{where}"
    idea = f": “{neutral(origin.idea, 500)}”" if origin.idea.strip() else ""
    author = f" Proposed by {code(proposal.proposed_by, 60)} for ${proposal.model_cost_usd:.2f}." if proposal else ""
    tried = _count(experiment.smoke_runs, "smoke run", "smoke runs")
    drafts = f" Its drafts had {tried}." if tried else ""
    return f"{asked}{idea}.{author}{_model_use(experiment.model_use)}{drafts} Experiment {code(experiment.id, 80)}."


def _model_use(use: ModelUse | None) -> str:
    if use is None or not use.turns:
        return ""
    cached = use.cache_read_tokens / use.prompt_tokens if use.prompt_tokens else 0.0
    return (
        f" The model read {use.prompt_tokens:,} tokens ({cached:.0%} from its cache) and wrote "
        f"{use.output_tokens:,} in {use.turns} answers; dollars by the list of {AS_OF} or the contract's own prices."
    )
