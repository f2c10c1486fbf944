"""`nightlab bench` and `nightlab verify`: the bot's own measurement and policy, by hand, in any clone."""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from bot.core import contract as contracts
from bot.core import history, scope
from bot.core.contract import Contract, Sandbox
from bot.core.metric import number, places
from bot.core.model import Action, Experiment, MeasuredRun, Origin, Side, Stage, State
from bot.core.text import counted
from bot.core.verdict.judgement import decide
from bot.core.words import comparison as comparisons
from bot.core.words.comparison import Comparison, Demand
from bot.edge.clone import WORK_TREE, Clone, CloneError
from bot.hand.runs import Display, StoppedError, Wanted, cache_folder, display, measure, show, until_stopped
from runner.protocol import Request, Source

MEASURED, FAILED, UNMET = 0, 1, 3  # exit statuses; 2 is wrong usage, and 128 + N the end by signal N
FRESH_SEEDS = (10_000, 2**31)  # experiments count their seeds from 0 and never come this far


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What both commands understand."""

    repository: Path
    pairs: int
    at_once: int = 1
    sandbox: Sandbox | None = None  # None: the contract's
    json: Path | None = None
    markdown: Path | None = None
    demand: Demand | None = None


def bench(*, head: str, base: str | None, until_decided: bool, options: Options) -> int:
    """Compare `head` with where it left `base`; exit status."""
    console = Console(markup=False, highlight=False)
    try:
        clone = Clone(options.repository, cache=cache_folder())
        compared = _opened(clone, head, base or clone.default_base(), options)
        _note(compared.notes, console)
        seeds = None if until_decided else range(options.pairs)
        return _end(_measured(clone, compared, seeds, options, console), options, console)
    except (CloneError, OSError) as error:
        return _fail(str(error), head, options, console)
    except StoppedError as stopped:
        return 128 + stopped.number


def verify(*, commit: str, options: Options) -> int:
    """Run the claim of one of the bot's merges again; exit status."""
    console = Console(markup=False, highlight=False)
    try:
        clone = Clone(options.repository, cache=cache_folder())
        sha = clone.commit(commit)
        landings = history.landed([history.Commit(sha=sha, committed_utc="", message=clone.message(sha))])
        if not landings:
            raise CloneError(f"{sha[:10]} carries no claim: it is no merge of Nightlab's")
        landing = landings[0]
        compared = _opened(clone, sha, landing.trailers.get("Base", ""), options)
        first = FRESH_SEEDS[0] + secrets.randbelow(FRESH_SEEDS[1] - FRESH_SEEDS[0] - options.pairs)
        compared = _measured(clone, compared, range(first, first + options.pairs), options, console)
        claim = _of_claim(landing, compared)
        status = _end(replace(compared, notes=(*compared.notes, *claim)), options, console)
        _note(claim, console)
        return status
    except (CloneError, OSError) as error:
        return _fail(str(error), commit, options, console)
    except StoppedError as stopped:
        return 128 + stopped.number


def _opened(clone: Clone, head: str, base: str, options: Options) -> Comparison:
    """What is compared with what, by which contract. Raises CloneError."""
    tip = clone.commit(base)
    base_sha = clone.merge_base(clone.commit("HEAD" if head == WORK_TREE else head), tip)
    contract = _contract(clone, base_sha)
    notes = []
    if head == WORK_TREE:
        head_sha, left_out = clone.snapshot(contract.allow)
        if left_out:
            more = f" and {len(left_out) - 1} more" if len(left_out) > 1 else ""
            notes.append(f"new files that the contract does not allow are left out: {left_out[0]}{more}")
    else:
        head_sha = clone.commit(head)
    if behind := clone.behind(base_sha, tip):
        notes.append(
            f"{base} has moved on by {counted(behind, 'commit')} since {head} left it; compared with where it left, "
            f"{base_sha[:10]}"
        )
    changes = clone.changes(base_sha, head_sha)
    if not changes:
        raise CloneError(f"nothing differs between {head} and {base}: change something first")
    problems = scope.check(changes, allow=contract.allow, protected=contract.protected, tree=clone.paths(sha=base_sha))
    if problems:
        raise CloneError(f"out of scope: {problems[0]}")
    if options.sandbox is not None and options.sandbox is not contract.sandbox:
        contract = replace(contract, sandbox=options.sandbox)
    return Comparison(
        head=head,
        base=base,
        contract=contract,
        notes=tuple(notes),
        experiment=Experiment(
            id="by-hand",
            repository=clone.root.name,
            origin=Origin(requested_by="by hand"),
            state=State.MEASURING,
            started_utc=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            head_sha=head_sha,
            base_sha=base_sha,
            contract_digest=contract.digest,
        ),
    )


def _contract(clone: Clone, base_sha: str) -> Contract:
    text = clone.read(contracts.PATH, sha=base_sha)
    if text is None:
        raise CloneError(f"there is no {contracts.PATH} at {base_sha[:10]}: docs/contract.md shows the shortest one")
    parsed = contracts.parse(text)
    if isinstance(parsed, Contract):
        return parsed
    raise CloneError(contracts.unusable(parsed))


def _measured(
    clone: Clone, compared: Comparison, seeds: Sequence[int] | None, options: Options, console: Console
) -> Comparison:
    """With its runs: of these seeds, or, for None, of as many as the policy takes to decide."""

    async def work(shown: Display) -> Comparison:
        if seeds is None:
            return await _until_decided(clone, compared, options, shown)
        wanted = _interleaved(clone, compared, seeds, seeds)
        return _decided(compared, await measure(wanted, at_once=options.at_once, shown=shown))

    with display(console, metric=compared.contract.metric.name) as shown:
        return until_stopped(work(shown))


async def _until_decided(clone: Clone, compared: Comparison, options: Options, shown: Display) -> Comparison:
    """The whole of an experiment's test: screening, then confirmation."""
    batch = max(options.at_once, compared.contract.policy.batch)
    policy = replace(compared.contract.policy, batch=batch)
    compared = _decided(replace(compared, contract=replace(compared.contract, policy=policy)), [])
    while not compared.failed_run and (decision := compared.experiment.decision):
        if decision.action is Action.CONFIRM:
            compared = _decided(compared, [], state=State.CONFIRMING)
        elif decision.action is Action.MEASURE:
            wanted = _interleaved(clone, compared, decision.candidate_seeds, decision.baseline_seeds)
            compared = _decided(compared, await measure(wanted, at_once=options.at_once, shown=shown))
        else:
            break
    return compared


def _decided(compared: Comparison, runs: Sequence[MeasuredRun], *, state: State | None = None) -> Comparison:
    x = replace(compared.experiment, runs=(*compared.experiment.runs, *runs))
    x = replace(x, state=state or x.state)
    compared = replace(compared, experiment=x)
    if compared.failed_run:
        return compared
    decision = decide(x, compared.contract)
    state = State.LANDING if decision.action is Action.MERGE else x.state
    return replace(compared, experiment=replace(x, decision=decision, state=state))


def _interleaved(clone: Clone, compared: Comparison, of_head: Sequence[int], of_base: Sequence[int]) -> list[Wanted]:
    """Both sides in turns, and which goes first in turns too, so that a machine that slowly changes favours neither."""
    wanted = []
    for index in range(max(len(of_head), len(of_base))):
        both = [(Side.CANDIDATE, of_head), (Side.BASELINE, of_base)]
        for side, seeds in both if index % 2 == 0 else reversed(both):
            if index < len(seeds):
                wanted.append(_wanted(clone, compared, side, seeds[index]))
    return wanted


def _wanted(clone: Clone, compared: Comparison, side: Side, seed: int) -> Wanted:
    x, contract = compared.experiment, compared.contract
    sha = x.head_sha if side is Side.CANDIDATE else x.base_sha
    stage = Stage.CONFIRM if x.state is State.CONFIRMING else Stage.SCREEN
    return Wanted(
        side=side,
        stage=stage if side is Side.CANDIDATE else None,
        base_sha=x.base_sha,
        commit_sha=sha,
        request=Request(
            run_id=f"{side.value}-{seed}",
            source=Source(git_url=str(clone.url), base_sha=x.base_sha, head_sha=sha, allowed=contract.allow),
            task=contract.task,
            seed=seed,
            sandbox=contract.sandbox,
            cache_dir=str(cache_folder()),
            hardware_class=contract.hardware_class,
        ),
    )


def _of_claim(landing: history.Landing, compared: Comparison) -> list[str]:
    """What the fresh runs say of a merge's claim, in a sentence each."""
    found, between = compared.estimate, compared.interval_of_gain
    if found is None or between is None or compared.failed:
        return []
    decimals = places(found.standard_error)
    low, high = (number(end, decimals, signed=True) for end in between)
    claimed = f"{number(landing.gain, decimals, signed=True)} ± {number(landing.standard_error, decimals)}"
    if between[0] > 0:
        verdict = "the gain holds"
    elif between[1] < 0:
        verdict = "the gain does not hold: it is a loss"
    else:
        verdict = "these runs do not show a gain, and do not exclude one: more pairs (-n) narrow it down"
    if between[0] > 0 and not between[0] <= landing.gain <= between[1]:
        verdict += f", but it is {'smaller' if landing.gain > between[1] else 'larger'} than was claimed"
    notes = [f"claimed was a gain of {claimed}, measured now {low} to {high} (95 %): {verdict}"]
    then = landing.trailers.get("Environment", "")
    now = {r.run.environment_digest for r in compared.experiment.runs}
    if now != {then}:
        notes.append(
            "the environment (torch, Python, corpus or image) is not that of the claim, so the gain may differ"
        )
    return notes


def _end(compared: Comparison, options: Options, console: Console) -> int:
    """Show and write it down."""
    show(compared, console)  # first, so that a full disk does not lose it
    _write(options, json=comparisons.as_json(compared), markdown=comparisons.markdown(compared))
    if compared.failed:
        return FAILED
    if options.demand is not None and not compared.meets(options.demand):
        console.print(f"It is not shown to be {options.demand.value}.", style="red")
        return UNMET
    return MEASURED


def _note(notes: Sequence[str], console: Console) -> None:
    for note in notes:
        console.print(f"{note[:1].upper()}{note[1:]}.", soft_wrap=True)


def _write(options: Options, *, json: str, markdown: str) -> None:
    for path, text in ((options.json, json), (options.markdown, markdown)):
        if path is not None:
            path.write_text(text)


def _fail(why: str, head: str, options: Options, console: Console) -> int:
    with suppress(OSError):  # it may be these files that failed
        _write(options, json=comparisons.failure_json(why), markdown=comparisons.failure_markdown(why, head))
    console.print(why, style="red", soft_wrap=True)
    return FAILED
