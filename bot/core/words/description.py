"""What a pull request says of a proposal: its title, its description, and the message of its commit."""

from bot.core.intake.grammar import GRAMMAR, Thread, Verb
from bot.core.layout import Land
from bot.core.model import Experiment, Kind, ModelUse, Proposal
from bot.core.proposal.prices import AS_OF
from bot.core.text import code, counted, joined, marker, neutral, plain, wrapped
from bot.core.words.changes import Changes, changes
from bot.core.words.figures import Terms, bound, unit

BODY_LIMIT = 65_536  # bytes, pull request and comment
MOST_FILES_SHOWN = 40
MOST_CONSTANTS_SHOWN = 40
LANDING = {
    Land.AUTO: "merges it",
    Land.AFTER_APPROVAL: "merges it as soon as somebody with write access approves it in a review",
    Land.MANUAL: "leaves the merge to you",
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
        f"**Look at:** {neutral(proposal.risk, 1000)}" if proposal.risk.strip() else "",
        "### How it will be judged",
        _judged(proposal, terms),
        SELF_REPORTED if terms.metric.self_reported else "",
        "### What you can do",
        _commands(),
        "---",
        _asked(experiment),
    ]
    return joined(sections, BODY_LIMIT)


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
    drafts = f" Its drafts had {counted(experiment.smoke_runs, 'smoke run')}." if experiment.smoke_runs else ""
    return f"{asked}{idea}.{author}{_model_use(experiment.model_use)}{drafts} Experiment {code(experiment.id, 80)}."


def _model_use(use: ModelUse | None) -> str:
    if use is None or not use.turns:
        return ""
    cached = use.cache_read_tokens / use.prompt_tokens if use.prompt_tokens else 0.0
    return (
        f" The model read {use.prompt_tokens:,} tokens ({cached:.0%} from its cache) and wrote "
        f"{use.output_tokens:,} in {use.turns} answers; dollars by the list of {AS_OF} or the contract's own prices."
    )
