"""`nightlab propose --dry-run`: in a clone, what the proposer would be told, what it may cost, and what it proposes.

Nothing is pushed, opened or recorded.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Console

from bot.core import contract as contracts
from bot.core import report
from bot.core.contract import Contract, Proposer
from bot.core.conversation import ANSWER_TOKENS, Turn, total
from bot.core.desk import Desk
from bot.core.draft import Draft
from bot.core.history import row_from_json
from bot.core.model import Edit, LedgerRow, Proposal
from bot.core.prices import AS_OF, Price, price_of
from bot.core.prompt import Briefing, briefing
from bot.core.strategy import strategy
from bot.edge import tuner
from bot.edge.claude import CHARACTERS_PER_TOKEN, Claude, Via
from bot.edge.ledger import BRANCH
from bot.edge.texts import MAX_BYTES

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
    return _ask(claude, desk, terms, said, price)


def _ask(claude: Claude, desk: Desk, terms: Contract, said: Briefing, price: Price) -> int:
    turns: list[Turn] = []
    limits = terms.claude
    while not (turns and turns[-1].over):
        turns.append(
            claude.turn(desk=desk, prompt=said, turns=turns, limits=limits, granted_usd=limits.usd, price=price)
        )
    use = total(turns, model=limits.model)
    console.print(
        f"{use.turns} answers, {use.prompt_tokens:,} tokens read ({use.cache_read_tokens:,} from the cache), "
        f"{use.output_tokens:,} written, ${use.cost_usd:.2f}",
        style="bold",
    )
    proposal = turns[-1].proposal
    return _fail(turns[-1].ended) if proposal is None else _show(desk, proposal)


def _tune(desk: Desk, terms: Contract, idea: str) -> int:
    path = "train.py" if terms.task.directory == "." else f"{terms.task.directory}/train.py"
    answer = tuner.propose(
        source=desk.files.get(path, ""),
        path=path,
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
    files = _Committed(folder, "HEAD")
    text = files.get(contracts.PATH)
    if text is None:
        raise ValueError(f"there is no {contracts.PATH} in the last commit")
    terms = contracts.parse(text)
    if not isinstance(terms, Contract):
        raise ValueError(report.contract_problems(terms))
    desk = Desk(
        files=files,
        tree=frozenset(files.sizes),
        sizes=files.sizes,
        allow=terms.allow,
        protected=terms.protected,
        history=_ledger(folder),
        in_flight=(),
    )
    return desk, terms, files.get(terms.program_path, "")


def _ledger(folder: Path) -> list[LedgerRow]:
    """From this clone's ledger branch, its own or the remote's; empty when it has none."""
    for revision in (BRANCH, f"origin/{BRANCH}"):
        try:
            files = _Committed(folder, revision)
        except subprocess.CalledProcessError:
            continue
        rows = (row_from_json(files.get(path, "")) for path in files.sizes if path.startswith("experiments/"))
        return sorted((row for row in rows if row is not None), key=lambda row: (row.ended_utc, row.experiment_id))
    return []


class _Committed(Mapping[str, str]):
    """The text files of a commit in a clone."""

    def __init__(self, folder: Path, revision: str) -> None:
        self._folder, self._revision = folder, revision
        listed = _git(folder, "ls-tree", "-r", "-l", "-z", "--full-tree", revision).split("\0")
        entries = (entry.partition("\t") for entry in listed if entry.startswith("100"))
        self.sizes = {path: int(facts.split()[3]) for facts, _, path in entries}

    def __getitem__(self, path: str) -> str:
        if self.sizes.get(path, MAX_BYTES + 1) > MAX_BYTES:
            raise KeyError(path)
        try:
            return _git(self._folder, "cat-file", "blob", f"{self._revision}:{path}")
        except UnicodeDecodeError:
            raise KeyError(path) from None

    def __iter__(self) -> Iterator[str]:
        return (path for path in self.sizes if path in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout


def _fail(why: str) -> int:
    console.print(why, style="red", markup=False)
    return 1
