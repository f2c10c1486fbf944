"""What the loop reads of a repository, as steps: its contract, its files, where it is cloned from."""

from bot.core import contract as contracts
from bot.core.contract import Contract
from bot.core.model import Experiment
from bot.durable.lab import lab, patient_step


def contract(x: Experiment) -> Contract | str:
    """The contract at the base commit, or one sentence that says what is wrong with it."""
    text = read(x.repository, contracts.PATH, x.base_sha) if x.base_sha else None
    if text is None:
        return f"there is no {contracts.PATH} on the default branch; add one, docs/contract.md shows the shortest"
    parsed = contracts.parse(text)
    return parsed if isinstance(parsed, Contract) else contracts.unusable(parsed)


@patient_step("read")
def read(repository: str, path: str, sha: str) -> str | None:
    return lab().access.forge(repository).read(path, sha=sha)


@patient_step("paths")
def paths(repository: str, sha: str) -> list[str]:
    return sorted(lab().access.forge(repository).paths(sha=sha))


@patient_step("clone_url")
def clone_url(repository: str) -> str:
    return lab().access.forge(repository).clone_url
