"""Who proposes, and the conversation with Claude as durable steps: one for the prompt, one for every answer.

A killed process goes on after the last answer that was recorded; the one it was waiting for is asked for again. So
every recorded answer is in our books once, and there is one proposal, hence one pull request.
"""

import zlib
from collections.abc import Sequence
from dataclasses import replace

from dbos import DBOS

from bot.core.constants import UnparsableError, find_constants
from bot.core.contract import Contract, Proposer
from bot.core.conversation import Turn, the_end, total
from bot.core.desk import Desk
from bot.core.idea import Wish, read_idea
from bot.core.model import Edit, Experiment, LedgerRow, Proposal, State
from bot.core.prices import Price, price_of
from bot.core.prompt import Briefing, briefing
from bot.core.strategy import strategy
from bot.edge import ledger, tuner
from bot.edge.texts import Texts
from bot.engine import SERIALIZER
from bot.lab import lab, patient_step
from bot.spending import grant, note

NO_KEY = (
    "the contract wants Claude as the proposer, and this bot has no way to it: set NIGHTLAB_ANTHROPIC_API_KEY, or "
    "write `proposer: tuner`"
)

for stored in (Turn, Briefing):
    SERIALIZER.register(stored)


def propose(x: Experiment, contract: Contract) -> tuple[Experiment, Proposal | str]:
    """A proposal, or one sentence that says why there is none; and the experiment with what the model cost."""
    if contract.proposer is Proposer.TUNER:
        return x, tune(x, contract)
    chosen = whose_turn(x, contract)
    if chosen == "tuner":
        return x, tune(x, contract)
    if chosen != "claude":
        return x, chosen
    x, answer = _converse(x, contract)
    if isinstance(answer, str) and contract.proposer is Proposer.MIXED and not x.origin.idea.strip():
        return x, tune(x, contract)
    return x, answer


@patient_step("whose_turn")
def whose_turn(x: Experiment, contract: Contract) -> str:
    """`tuner`, `claude`, or one sentence that says why nobody can.

    In a mixed campaign the experiments alternate. An idea that is one constant's value is the tuner's, for nothing.
    """
    mixed = contract.proposer is Proposer.MIXED
    if lab().claude is None:
        return "tuner" if mixed else NO_KEY
    if not mixed:
        return "claude"
    if x.origin.idea.strip():
        return "tuner" if _is_wish(x, contract) else "claude"
    number = x.id.rpartition("-")[2]
    return "tuner" if number.isdecimal() and int(number) % 2 == 0 else "claude"


def _is_wish(x: Experiment, contract: Contract) -> bool:
    source = lab().access.forge(x.repository).read(_train(contract), sha=x.base_sha) or ""
    try:
        constants = find_constants(source, preset=contract.task.preset)
    except UnparsableError:
        return False
    return isinstance(read_idea(x.origin.idea, constants), Wish)


@patient_step("propose")
def tune(x: Experiment, contract: Contract) -> Proposal | str:
    """A proposal from the offline tuner, or one sentence that says why there is none."""
    path = _train(contract)
    forge = lab().access.forge(x.repository)
    source = forge.read(path, sha=x.base_sha)
    if source is None:
        return f"there is no {path} on the default branch, so there is nothing to tune"
    answer = tuner.propose(
        source=source,
        path=path,
        preset=contract.task.preset,
        history=[row for row in ledger.rows(forge) if teaches(row, contract)],
        in_flight=in_flight(x),
        idea=x.origin.idea,
        seed=zlib.crc32(x.id.encode()),
    )
    return answer if isinstance(answer, Proposal) else answer.reason


def _converse(x: Experiment, contract: Contract) -> tuple[Experiment, Proposal | str]:
    """Ask Claude until it submits, declines or reaches a limit."""
    limits = contract.claude
    price = price_of(limits.model, input_usd=limits.input_usd, output_usd=limits.output_usd)
    if isinstance(price, str):
        return x, price
    note(x, limits.usd, settled=False)
    granted_usd = grant(x, contract)
    if isinstance(granted_usd, str):
        note(x, 0.0, settled=True)
        return x, granted_usd
    prompt = brief(x, contract)
    turns: list[Turn] = []
    while not (turns and turns[-1].over):
        turns.append(take_turn(x, contract, prompt, turns, granted_usd=granted_usd, price=price))
    use = total(turns, model=limits.model)
    note(x, use.cost_usd, settled=True)
    x = replace(x, model_use=use)
    proposal = turns[-1].proposal
    return x, replace(proposal, model_cost_usd=use.cost_usd) if proposal else turns[-1].ended


@patient_step("brief")
def brief(x: Experiment, contract: Contract) -> Briefing:
    """The prompt, the same for the whole conversation, whatever happens to the ledger meanwhile."""
    return prompt_of(desk_of(x, contract), x, contract)


def prompt_of(desk: Desk, x: Experiment, contract: Contract) -> Briefing:
    editable = [path for path in sorted(desk.tree) if not desk.scope((Edit(path=path, old="x", new="y"),))]
    return briefing(
        contract=contract,
        program=desk.files.get(contract.program_path, ""),
        files={path: desk.files[path] for path in editable if path in desk.files},
        history=desk.history,
        in_flight=desk.in_flight,
        strategy=strategy(desk.history),
        idea=x.origin.idea,
    )


def desk_of(x: Experiment, contract: Contract) -> Desk:
    """What the tools may see: the base commit and the ledger."""
    forge = lab().access.forge(x.repository)
    texts = Texts(forge, sha=x.base_sha)
    return Desk(
        files=texts,
        tree=frozenset(forge.paths(sha=x.base_sha)),
        sizes=texts.sizes,
        allow=contract.allow,
        protected=contract.protected,
        history=[row for row in ledger.rows(forge) if teaches(row, contract)],
        in_flight=in_flight(x),
    )


@patient_step("turn")
def take_turn(
    x: Experiment, contract: Contract, prompt: Briefing, turns: Sequence[Turn], *, granted_usd: float, price: Price
) -> Turn:
    """One answer of the model and what its tools say; over at once when a limit forbids another answer."""
    claude = lab().claude
    if claude is None:  # it was there when the conversation began
        return the_end(turns, NO_KEY)
    return claude.turn(
        desk=desk_of(x, contract),
        prompt=prompt,
        turns=turns,
        limits=contract.claude,
        granted_usd=granted_usd,
        price=price,
    )


def teaches(row: LedgerRow, contract: Contract) -> bool:
    """An attempt that was not measured to its end may be made again, and one on other hardware says little."""
    return row.state is not State.ABANDONED and row.hardware_class in ("", contract.hardware_class)


def in_flight(x: Experiment) -> list[Edit]:
    """What other experiments of this repository are trying right now."""
    edits: list[Edit] = []
    for status in DBOS.list_workflows(name="experiment", status="PENDING", load_input=False, load_output=False):
        other = DBOS.get_event(status.workflow_id, "experiment", timeout_seconds=0)
        if isinstance(other, Experiment) and other.id != x.id and other.repository == x.repository and other.proposal:
            edits.extend(other.proposal.edits)
    return edits


def _train(contract: Contract) -> str:
    directory = contract.task.directory
    return "train.py" if directory == "." else f"{directory}/train.py"
