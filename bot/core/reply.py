"""Short answers to people: what a command started, or why it was refused and what to do about it."""

from collections.abc import Sequence

from bot.core.command import Rule
from bot.core.model import Campaign, Experiment, State
from bot.core.report import BODY_LIMIT, CONTRACT_PATH
from bot.core.text import code, joined, marker, neutral

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


def refused_budget(*, limit: str) -> str:
    """A budget of the contract is used up; `limit` names it in words."""
    return (
        f"Not started: {neutral(limit, 200).rstrip('.')} are used up. Ask again tomorrow, or raise the limit in "
        f"{code(CONTRACT_PATH)}."
    )


def refused_state(*, doing: str, state: str) -> str:
    """The command does not fit the state of the experiment."""
    return f"Cannot {neutral(doing, 40)} an experiment that is {neutral(state, 40)}: there is nothing left to do."


def broken_contract(problems: Sequence[object]) -> str:
    """Everything that is wrong with the contract; each problem prints as one sentence that says what to do."""
    return f"{code(CONTRACT_PATH)} cannot be used yet:\n\n{_listed([neutral(str(p), 400) for p in problems])}"


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


def no_contract() -> str:
    """The repository has not been set up."""
    return f"There is no {code(CONTRACT_PATH)} on the default branch yet. Add one: docs/contract.md shows the shortest."


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
    budget = f"Asked for by {code(plan.requested_by, 60)}; at most {plan.hours:g} hours, {plan.parallel} at a time."
    return joined([marker(plan.id), head, budget, table], BODY_LIMIT)


def merging_stopped(x: Experiment, why: str) -> str:
    """The issue that keeps the bot from merging until a person closes it."""
    return (
        f"After #{x.pull_number} the default branch is not what was measured: {neutral(why, 300)}. Nothing more is "
        f"merged until somebody has looked at it and closed this issue."
    )


def how_it_ended(x: Experiment) -> str:
    """For the issue that asked for an experiment."""
    if x.pull_number is None:
        said = nothing_proposed(reason=x.reason)
    else:
        said = f"#{x.pull_number}, asked for here, is {x.state.value}: {neutral(x.reason, 400).rstrip('.')}."
    return f"{marker(x.id)}\n\n{said}"
