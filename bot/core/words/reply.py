"""Short answers to people: what a command started, or why it was refused and what to do about it."""

from collections.abc import Sequence

from bot.core.contract import PATH
from bot.core.intake.grammar import Rule
from bot.core.model import Experiment, State
from bot.core.order import Campaign, Carried
from bot.core.text import code, counted, joined, line, marker, neutral
from bot.core.words.description import BODY_LIMIT
from bot.core.words.figures import sha

MOST_PROBLEMS_SHOWN = 20
MOST_RESULTS_SHOWN = 100


def nothing_proposed(*, reason: str) -> str:
    """The idea led to no change that could be tried."""
    return f"No experiment came of this: {neutral(reason, 400).rstrip('.')}."


def command_error(*, command: str, problem: str) -> str:
    """The command was not understood; `problem` says what to write instead."""
    return f"I did not understand {code(command, 120)}: {neutral(problem, 400).rstrip('.')}."


def refused_permission(*, login: str, needed: str = "write") -> str:
    """`login` may not command the bot here."""
    return (
        f"{code(login, 60)} cannot start or stop experiments here: it takes {neutral(needed, 20)} access to this "
        f"repository. A person who has it can write the same command."
    )


def refused_limit(*, limit: str) -> str:
    """A limit of the contract is reached; `limit` names it in words."""
    return (
        f"Not started: {neutral(limit, 200).rstrip('.')} is reached. Ask again tomorrow, or raise it in {code(PATH)}."
    )


def refused_state(*, doing: str, state: str) -> str:
    """The command does not fit the state of the experiment."""
    return f"Cannot {neutral(doing, 40)} an experiment that is {neutral(state, 40)}: there is nothing left to do."


def unserved(hardware_class: str, *, waited_s: float) -> str:
    """Runs wait, and nobody takes them."""
    return (
        f"No runner takes runs of hardware class {neutral(hardware_class, 40)}; they wait for {waited_s / 60:.0f} min. "
        f"Start one with `NIGHTLAB_HARDWARE={neutral(hardware_class, 40)}`, or name a class that there is in the "
        "contract, as `hardware`."
    )


def broken_contract(problems: Sequence[object]) -> str:
    """Everything that is wrong with the contract; each problem prints as one sentence that says what to do."""
    return f"{code(PATH)} cannot be used yet:\n\n{_listed([neutral(str(p), 400) for p in problems])}"


def _listed(items: Sequence[str]) -> str:
    shown = [f"- {item}" for item in items[:MOST_PROBLEMS_SHOWN]]
    if len(items) > MOST_PROBLEMS_SHOWN:
        shown.append(f"- and {len(items) - MOST_PROBLEMS_SHOWN} more")
    return "\n".join(shown)


def closed_thread() -> str:
    """A command on an issue or pull request that is closed."""
    return "This thread is closed, so nothing was started. Reopen it, or write the command on an open one."


def no_experiment() -> str:
    """A command about an experiment, on a pull request that is none."""
    return "This pull request is not an experiment of mine, so there is nothing that the command could act on."


def revised(x: Experiment) -> str:
    """A proposal was changed as somebody asked."""
    title = neutral(x.proposal.title, 72) if x.proposal else ""
    return f"Done in {sha(x.head_sha)}: {title}. It is measured as the new head."


def not_revised(why: str) -> str:
    """A proposal was not changed, though somebody asked for it."""
    return f"Nothing is changed: {neutral(why, 600).rstrip('.')}."


def another_head(x: Experiment, *, doing: str) -> str:
    """A command was about a head that is not the branch's any more."""
    return f"Nothing is {doing}: the branch is at {sha(x.head_sha)} now. Look at that, and write the command again."


def reran(*, by: str, runs: int) -> str:
    """Why there are more runs than the policy wants."""
    return f"{line(by, 60)} asked for {counted(runs, 'more run')}"


def nothing_measured(x: Experiment) -> str:
    """A merge was asked for before there is a number."""
    return f"Not merged: nothing can be said of {sha(x.head_sha)} yet. Ask again when its first runs are done."


def main_moved(x: Experiment) -> str:
    """A merge was asked for of what was measured on an older main."""
    return (
        f"Not merged: main moved since {sha(x.head_sha)} was measured, and what would come of it was not. The branch "
        "is brought up to date and measured again; then ask again."
    )


def not_merged(why: str) -> str:
    """A merge that was asked for is not possible."""
    return f"Not merged: {neutral(why, 600).rstrip('.')}."


def confirm_merge(x: Experiment, *, said: str) -> str:
    """The answer to `/merge`: what the numbers say, and how to insist."""
    return (
        f"By the numbers: {said}\n\nTo merge {sha(x.head_sha)} all the same, exactly as it was measured, write "
        f"{code(f'/merge {x.head_sha[:10]}')}. The merge and the ledger will say that you did."
    )


def reopened(x: Experiment) -> str:
    """A pull request whose experiment has ended is open again."""
    return (
        f"This experiment has ended ({x.state.value}: {neutral(x.reason, 300).rstrip('.')}), and reopening its pull "
        f"request does not begin it anew. {code('/experiment')} on an issue does, and so does {code('/measure')} here."
    )


def measured_already() -> str:
    """`/measure`, where a measurement is under way."""
    return f"This is being measured already. {code('/rerun')} adds runs."


def no_contract() -> str:
    """The repository has not been set up."""
    return f"There is no {code(PATH)} on the default branch yet. Add one: docs/contract.md shows the shortest."


def no_campaign() -> str:
    """Stop or status, when none runs."""
    return f"No campaign is running here. {code('/campaign start')} starts one."


def campaign_runs_already() -> str:
    """Start, when one runs."""
    return (
        f"A campaign is running already. {code('/campaign stop')} ends it, {code('/campaign status')} says how it goes."
    )


def campaign_stops() -> str:
    """Stop."""
    return "The campaign starts no more experiments; those under way finish."


def commands(rules: Sequence[Rule]) -> str:
    """What can be asked for in this thread."""
    rows = [f"| {code(rule.usage)} | {rule.meaning} |" for rule in rules]
    return "\n".join(["| command | what it does |", "|---|---|", *rows])


def campaign(found: Campaign) -> str:
    """How a campaign goes: the comment on the issue that started it, edited in place."""
    plan = found.plan
    merged = sum(x.state is State.MERGED for x in found.results)
    state = f"ended: {neutral(found.reason, 300)}" if found.reason else "running"
    head = f"**Campaign {state}. {len(found.results)} of {plan.experiments} experiments done, {merged} merged.**"
    rows = [
        f"| {f'#{x.pull_number}' if x.pull_number else ''} | {neutral(x.proposal.title, 80) if x.proposal else ''} "
        f"| {x.state.value} | {neutral(x.reason, 200)} |"
        for x in found.results[-MOST_RESULTS_SHOWN:]
    ]
    if len(found.results) > MOST_RESULTS_SHOWN:
        rows.append(f"| | and {len(found.results) - MOST_RESULTS_SHOWN} earlier ones, in the ledger | | |")
    table = "\n".join(["| pull request | idea | ended | why |", "|---|---|---|---|", *rows]) if rows else ""
    budget = (
        f"Asked for by {code(plan.requested_by, 60)}; at most {plan.hours:g} hours and ${plan.usd:g} for the model, "
        f"{plan.parallel} at a time."
    )
    return joined([marker(plan.id), head, budget, table], BODY_LIMIT)


def plan(carried: Carried, now: Experiment | None) -> str:
    """How a plan goes: one comment on the issue that asked for it, edited in place; `now` is the step under way."""
    steps, results = carried.plan.steps, carried.results
    state = f"ended: {neutral(carried.reason, 300)}" if carried.reason else "being carried out"
    merged = sum(x.state is State.MERGED for x in results)
    head = f"**Plan {state}. {len(results)} of {len(steps)} steps done, {merged} merged.**"
    found = [*results, now][: len(steps)] + [None] * (len(steps) - len(results) - 1)
    rows = [
        f"| {number} | {neutral(step.title, 80)} | {_under(x, now)} |"
        for number, (step, x) in enumerate(zip(steps, found, strict=True), start=1)
    ]
    table = "\n".join(["| step | idea | pull request | state | why |", "|---|---|---|---|---|", *rows])
    more = "" if carried.reason else "One experiment after another. Close this issue to stop after the one under way."
    asked = f"Asked for by {code(carried.requested_by, 60)}. Why a plan: {neutral(carried.plan.reason, 400)}"
    return joined([marker(carried.id), head, asked, table, more], BODY_LIMIT)


def _under(x: Experiment | None, now: Experiment | None) -> str:
    """The cells of a step: its pull request, how it ended, and why."""
    if x is None:
        return "| |"
    pull = f"#{x.pull_number}" if x.pull_number else ""
    return f"{pull} | under way | " if x is now else f"{pull} | {x.state.value} | {neutral(x.reason, 200)}"


def merging_stopped(x: Experiment, why: str) -> str:
    """The issue that keeps the bot from merging until a person closes it."""
    return (
        f"After #{x.pull_number} the default branch is not what was measured: {neutral(why, 300)}. Nothing more is "
        f"merged until somebody has looked at it and closed this issue."
    )


def how_it_ended(x: Experiment) -> str:
    """For the issue that asked for an experiment."""
    if x.plan is not None:
        said = f"This is too large for one pull request, so {neutral(x.reason, 500).rstrip('.')}."
    elif x.pull_number is None:
        said = nothing_proposed(reason=x.reason)
    else:
        said = f"#{x.pull_number}, asked for here, is {x.state.value}: {neutral(x.reason, 400).rstrip('.')}."
    return f"{marker(x.id)}\n\n{said}"
