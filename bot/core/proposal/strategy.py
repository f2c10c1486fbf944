"""How to look for the next idea when the last ones failed: the search moves on by itself, and says so."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.core.model import LedgerRow, State

PATIENCE = 5  # failures in a row before the search changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """`told` is for the proposer, `shown` for the pull request; both empty while nothing needs to change."""

    name: str
    told: str = ""
    shown: str = ""


_USUAL = Strategy(name="usual")
_CHANGED = (
    Strategy(
        name="combine",
        told="Combine two or three near misses that act on different parts into one change: small gains may add up.",
        shown="combines near misses",
    ),
    Strategy(
        name="ablate",
        told="Take something away: find a part of the code that does not pay for itself and remove it (kind simplify).",
        shown="takes something away",
    ),
    Strategy(
        name="elsewhere",
        told="Leave the themes listed below alone. Change a part of the code that no experiment has touched.",
        shown="changes a part of the code that was left alone so far",
    ),
    Strategy(
        name="read",
        told="Read the program again, and every text file that people put into the repository (notes, papers, "
        "READMEs): propose an idea from there that was never tried, even if it is a larger step than the last ones.",
        shown="takes its idea from the material in the repository",
    ),
)


def failures(history: Sequence[LedgerRow]) -> int:
    """How many measured attempts failed since the last merge; `history` oldest first."""
    count = 0
    for row in reversed(history):
        if row.state in (State.MERGED, State.PROVEN):
            break
        count += row.state in (State.REJECTED, State.CRASHED)
    return count


def strategy(history: Sequence[LedgerRow]) -> Strategy:
    """The usual one for the first failures, then each of the others for as many attempts, and around again."""
    failed = failures(history)
    if failed < PATIENCE:
        return _USUAL
    chosen = _CHANGED[(failed // PATIENCE - 1) % len(_CHANGED)]
    return Strategy(
        name=chosen.name,
        told=f"The last {failed} measured attempts failed, so look differently this time. {chosen.told}",
        shown=f"After {failed} attempts without a merge the search was changed: this one {chosen.shown}.",
    )
