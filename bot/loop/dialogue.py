"""The conversation with Claude as durable steps: one for the prompt, one for every answer, one for what its tools say
after a smoke run. It goes on after the pull request is open: to mend what crashed, to do what a person asks for.

A killed process goes on after the last answer that was recorded; the one it was waiting for is asked for again. So
every recorded answer is in our books once, and there is one proposal, hence one pull request.
"""

from dataclasses import dataclass, replace

from bot.core.contract import Contract
from bot.core.model import Edit, Experiment, LedgerRow, Plan, Proposal, State
from bot.core.proposal.conversation import Turn, continued, exchange, the_end, total
from bot.core.proposal.desk import Desk
from bot.core.proposal.draft import Draft
from bot.core.proposal.prices import Price, price_of
from bot.core.proposal.prompt import Briefing, briefing
from bot.core.proposal.smoke import Smoke
from bot.core.proposal.strategy import strategy
from bot.durable.engine import SERIALIZER
from bot.durable.lab import lab, patient_step
from bot.durable.notes import under_way
from bot.durable.spending import grant, note
from bot.edge.github import ledger
from bot.edge.github.texts import Texts
from bot.loop.smoke import smoke

NO_KEY = (
    "the contract wants Claude as the proposer, and this bot has no way to it: set NIGHTLAB_ANTHROPIC_API_KEY, or "
    "write `proposer: tuner`"
)

for stored in (Turn, Briefing):
    SERIALIZER.register(stored)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """A conversation so far. Its parts are in recorded steps; a restarted workflow puts it together again."""

    prompt: Briefing
    turns: tuple[Turn, ...] = ()
    smokes: tuple[Smoke, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What the conversation is taken up again for: what to tell the model, the edits that are in the pull request, if
    there is one, and by how many lines it may depart from them (0: as far as a proposal may)."""

    told: str
    start: tuple[Edit, ...] = ()
    leeway: int = 0


def propose(x: Experiment, contract: Contract) -> tuple[Experiment, Dialogue | None, Proposal | Plan | str]:
    """Ask Claude until it submits, be it a plan, declines or reaches a limit; None when it was not asked at all."""
    allowed = _allowed(x, contract)
    if isinstance(allowed, str):
        return x, None, allowed
    dialogue = Dialogue(prompt=brief(x, contract))
    return _talk(x, contract, dialogue, None, *allowed)


def go_on(
    x: Experiment, contract: Contract, dialogue: Dialogue, errand: Errand
) -> tuple[Experiment, Dialogue, Proposal | str]:
    """Take the conversation up again. All limits hold for the whole of it."""
    allowed = _allowed(x, contract)
    if isinstance(allowed, str):
        return x, dialogue, allowed
    turns = continued(dialogue.turns, told=errand.told, edits=errand.start)
    x, dialogue, answer = _talk(x, contract, replace(dialogue, turns=tuple(turns)), errand, *allowed)
    return x, dialogue, "" if isinstance(answer, Plan) else answer  # which no draft allows then


def _allowed(x: Experiment, contract: Contract) -> tuple[float, Price] | str:
    """The dollars that all of the conversation may cost, and what tokens cost; or why it cannot be begun."""
    limits = contract.claude
    price = price_of(limits.model, input_usd=limits.input_usd, output_usd=limits.output_usd)
    if isinstance(price, str):
        return price
    note(x, limits.usd, settled=False)
    granted_usd = grant(x, contract)
    if isinstance(granted_usd, str):
        note(x, x.model_use.cost_usd if x.model_use else 0.0, settled=True)
        return granted_usd
    return granted_usd, price


def _talk(
    x: Experiment, contract: Contract, dialogue: Dialogue, errand: Errand | None, granted_usd: float, price: Price
) -> tuple[Experiment, Dialogue, Proposal | Plan | str]:
    while not (dialogue.turns and dialogue.turns[-1].over):
        turn = take_turn(x, contract, dialogue, errand, granted_usd=granted_usd, price=price)
        while turn.wants:
            tried = smoke(x, contract, turn.wants, number=len(dialogue.smokes) + 1)
            dialogue = replace(dialogue, smokes=(*dialogue.smokes, tried))
            turn = carry_out(x, contract, dialogue, errand, turn)
        dialogue = replace(dialogue, turns=(*dialogue.turns, turn))
    use = total(dialogue.turns, model=contract.claude.model)
    note(x, use.cost_usd, settled=True)
    x = replace(
        x, model_use=use, smoke_runs=len(dialogue.smokes), smoke_s=sum(tried.wall_s for tried in dialogue.smokes)
    )
    last = dialogue.turns[-1]
    found = replace(last.proposal, model_cost_usd=use.cost_usd) if last.proposal else last.plan
    return x, dialogue, found or last.ended


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


@patient_step("turn")
def take_turn(
    x: Experiment, contract: Contract, dialogue: Dialogue, errand: Errand | None, *, granted_usd: float, price: Price
) -> Turn:
    """One answer of the model and what its tools say; over at once when a limit forbids another answer."""
    claude = lab().claude
    if claude is None:  # it was there when the conversation began
        return the_end(dialogue.turns, NO_KEY)
    return claude.turn(
        draft=_draft(x, contract, dialogue, errand),
        prompt=dialogue.prompt,
        turns=dialogue.turns,
        limits=contract.claude,
        granted_usd=granted_usd,
        price=price,
    )


@patient_step("carry_out")
def carry_out(x: Experiment, contract: Contract, dialogue: Dialogue, errand: Errand | None, turn: Turn) -> Turn:
    """The same answer with what its tools say, now that more is known of the draft."""
    return exchange(
        _draft(x, contract, dialogue, errand),
        content=turn.content,
        stop_reason=turn.stop_reason,
        turns=dialogue.turns,
        limits=contract.claude,
        use=turn.use,
        waited_s=turn.waited_s,
    )


@patient_step("look_again")
def look_again(x: Experiment, contract: Contract, dialogue: Dialogue) -> str:
    """What speaks against the last proposal by now; empty when nothing does."""
    proposal = dialogue.turns[-1].proposal
    return replace(_draft(x, contract, dialogue, None), edits=proposal.edits if proposal else ()).problem()


def _draft(x: Experiment, contract: Contract, dialogue: Dialogue, errand: Errand | None) -> Draft:
    """The draft as the last exchange left it."""
    return Draft(
        desk=desk_of(x, contract),
        edits=dialogue.turns[-1].edits if dialogue.turns else (),
        author=contract.claude.model,
        strategy=dialogue.prompt.strategy,
        smokes=dialogue.smokes,
        most_smokes=contract.claude.smoke_runs,
        start=errand.start if errand else (),
        leeway=errand.leeway if errand else 0,
        splittable=errand is None and bool(x.origin.idea.strip()) and not x.origin.plan,
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


def teaches(row: LedgerRow, contract: Contract) -> bool:
    """An attempt that was not measured to its end may be made again, one on other hardware says little, and of a
    person's own pull request the edits are not in the ledger."""
    return bool(row.edits) and row.state is not State.ABANDONED and row.hardware_class in ("", contract.hardware_class)


def in_flight(x: Experiment) -> list[Edit]:
    """What other experiments of this repository are trying right now."""
    others = (other for other in under_way() if other.id != x.id and other.repository_id == x.repository_id)
    return [edit for other in others if other.proposal for edit in other.proposal.edits]
