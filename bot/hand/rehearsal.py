"""`nightlab propose --dry-run`: in a clone, what the proposer would be told, what it may cost, and what it proposes.

Nothing is pushed, opened or recorded.
"""

import os
import subprocess
from pathlib import Path

from rich.console import Console

from bot.core import contract as contracts
from bot.core.contract import Contract, Proposer
from bot.core.model import Edit, Proposal
from bot.core.proposal.conversation import ANSWER_TOKENS, Turn, total
from bot.core.proposal.desk import Desk
from bot.core.proposal.draft import Draft
from bot.core.proposal.prices import AS_OF, Price, price_of
from bot.core.proposal.prompt import Briefing, briefing
from bot.core.proposal.request import CHARACTERS_PER_TOKEN
from bot.core.proposal.strategy import strategy
from bot.edge import tuner
from bot.edge.claude import Claude, Via
from bot.edge.committed import committed, ledger_of

console = Console(highlight=False, soft_wrap=True)
USUAL_CHARACTERS_PER_TOKEN = 3.5  # of code, for an estimate that is shown, not for a limit
USUAL_TURNS, USUAL_ANSWER_TOKENS = 10, 1_500


def rehearse(folder: Path, *, idea: str, prompt_only: bool) -> int:
    """Exit status: 0 fine, 1 it could not be done and said why."""
    try:
        desk, terms, program = _read(folder)
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else str(error)
        return _fail(f"cannot rehearse in {folder}: {said}")
    if terms.proposer is Proposer.TUNER:
        return _tune(desk, terms, idea)
    said = _prompt(desk, terms, program, idea)
    for text in (*said.system, *said.parts):
        console.print(text, markup=False)
    limits = terms.claude
    price = price_of(limits.model, input_usd=limits.input_usd, output_usd=limits.output_usd)
    if isinstance(price, str):
        return _fail(price)
    console.print(f"\n{_estimate(said, price, terms)}", markup=False, style="bold")
    if prompt_only:
        return 0
    key = os.environ.get("NIGHTLAB_ANTHROPIC_API_KEY") or os.environ.get("ANTHROPIC_API_KEY", "")
    via = os.environ.get("NIGHTLAB_CLAUDE_VIA", Via.ANTHROPIC.value)
    try:
        claude = Claude(via=Via(via), api_key=key, base_url=os.environ.get("NIGHTLAB_CLAUDE_URL", ""))
    except ValueError as error:
        return _fail(f"no diff: {error}; --prompt-only leaves the question out")
    return _ask(claude, desk, terms, said, price, splittable=bool(idea.strip()))


def _ask(claude: Claude, desk: Desk, terms: Contract, said: Briefing, price: Price, *, splittable: bool) -> int:
    turns: list[Turn] = []
    limits = terms.claude
    while not (turns and turns[-1].over):
        turns.append(
            claude.turn(
                draft=Draft(
                    desk=desk,
                    edits=turns[-1].edits if turns else (),
                    author=limits.model,
                    strategy=said.strategy,
                    splittable=splittable,
                ),
                prompt=said,
                turns=turns,
                limits=limits,
                granted_usd=limits.usd,
                price=price,
            )
        )
    use = total(turns, model=limits.model)
    console.print(
        f"{use.turns} answers, {use.prompt_tokens:,} tokens read ({use.cache_read_tokens:,} from the cache), "
        f"{use.output_tokens:,} written, ${use.cost_usd:.2f}",
        style="bold",
    )
    proposal, plan = turns[-1].proposal, turns[-1].plan
    if plan is not None:
        console.print(f"\nA plan: {plan.reason}", markup=False)
        for number, step in enumerate(plan.steps, start=1):
            console.print(f"\n{number}. {step.title}\n{step.idea}", markup=False)
        return 0
    return _fail(turns[-1].ended) if proposal is None else _show(desk, proposal)


def _tune(desk: Desk, terms: Contract, idea: str) -> int:
    answer = tuner.propose(
        source=desk.files.get(terms.train_path, ""),
        path=terms.train_path,
        preset=terms.task.preset,
        history=desk.history,
        in_flight=(),
        idea=idea,
        seed=0,
    )
    console.print("The contract's proposer is the tuner: no prompt, and it costs nothing.", style="bold")
    return _show(desk, answer) if isinstance(answer, Proposal) else _fail(answer.reason)


def _show(desk: Desk, proposal: Proposal) -> int:
    console.print(f"\n{proposal.title}\n\n{proposal.hypothesis}\n", markup=False)
    console.print(Draft(desk=desk, edits=proposal.edits).diff(), markup=False)
    return 0


def _estimate(said: Briefing, price: Price, terms: Contract) -> str:
    """What is likely, and what cannot be passed."""
    prompt = int(said.characters / USUAL_CHARACTERS_PER_TOKEN)
    likely = price.usd(
        input_tokens=0,
        output_tokens=USUAL_TURNS * USUAL_ANSWER_TOKENS,
        cache_read_tokens=prompt * (USUAL_TURNS - 1),
        cache_write_tokens=prompt + USUAL_TURNS * 2 * USUAL_ANSWER_TOKENS,
    )
    first = price.usd(
        input_tokens=0,
        output_tokens=ANSWER_TOKENS,
        cache_read_tokens=0,
        cache_write_tokens=int(said.characters / CHARACTERS_PER_TOKEN),
    )
    return (
        f"About {prompt:,} tokens of prompt. A usual conversation of {USUAL_TURNS} answers costs about ${likely:.2f}; "
        f"its first answer at most ${first:.2f}, all of it at most ${terms.claude.usd:g} (claude.usd). Prices of "
        f"{terms.claude.model} as of {AS_OF} or the contract's own."
    )


def _prompt(desk: Desk, terms: Contract, program: str, idea: str) -> Briefing:
    editable = [path for path in sorted(desk.tree) if not desk.scope((Edit(path=path, old="x", new="y"),))]
    return briefing(
        contract=terms,
        program=program,
        files={path: desk.files[path] for path in editable if path in desk.files},
        history=desk.history,
        in_flight=(),
        strategy=strategy(desk.history),
        idea=idea,
    )


def _read(folder: Path) -> tuple[Desk, Contract, str]:
    """Raises ValueError, one sentence, for a contract that cannot be used."""
    files = committed(folder, "HEAD")
    text = files.texts.get(contracts.PATH)
    if text is None:
        raise ValueError(f"there is no {contracts.PATH} in the last commit")
    terms = contracts.parse(text)
    if not isinstance(terms, Contract):
        raise ValueError(contracts.unusable(terms))
    desk = Desk(
        files=files.texts,
        tree=frozenset(files.sizes),
        sizes=files.sizes,
        allow=terms.allow,
        protected=terms.protected,
        history=ledger_of(folder),
        in_flight=(),
    )
    return desk, terms, files.texts.get(terms.program_path, "")


def _fail(why: str) -> int:
    console.print(why, style="red", markup=False)
    return 1
