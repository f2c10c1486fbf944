"""Who proposes: the tuner, Claude, or the two in turn."""

import zlib

from bot.core.contract import Contract, Proposer
from bot.core.model import Experiment, Plan, Proposal
from bot.core.proposal.constants import UnparsableError, find_constants
from bot.core.proposal.idea import Wish, read_idea
from bot.durable.lab import lab, patient_step
from bot.edge import tuner
from bot.edge.github import ledger
from bot.loop import dialogue
from bot.loop.dialogue import NO_KEY, Dialogue, in_flight, teaches


def propose(x: Experiment, contract: Contract) -> tuple[Experiment, Dialogue | None, Proposal | Plan | str]:
    """A proposal, a plan, or one sentence that says why there is none; the experiment with what the model cost; and the
    conversation with it, where there was one."""
    if contract.proposer is Proposer.TUNER:
        return x, None, tune(x, contract)
    chosen = whose_turn(x, contract)
    if chosen == "tuner":
        return x, None, tune(x, contract)
    if chosen != "claude":
        return x, None, chosen
    x, talk, answer = dialogue.propose(x, contract)
    if isinstance(answer, str) and contract.proposer is Proposer.MIXED and not x.origin.idea.strip():
        return x, None, tune(x, contract)
    return x, talk, answer


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
    source = lab().access.forge(x.repository).read(contract.train_path, sha=x.base_sha) or ""
    try:
        constants = find_constants(source, preset=contract.task.preset)
    except UnparsableError:
        return False
    return isinstance(read_idea(x.origin.idea, constants), Wish)


@patient_step("propose")
def tune(x: Experiment, contract: Contract) -> Proposal | str:
    """A proposal from the offline tuner, or one sentence that says why there is none."""
    path = contract.train_path
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
