"""The split that never selects, in words and numbers: whether progress shows there too, or was over-fitting."""

from collections.abc import Iterable, Mapping, Sequence

from bot.core.history import Landing
from bot.core.metric import Metric, number
from bot.core.model import Experiment, LedgerRow
from bot.core.text import code, neutral
from bot.core.words.figures import unit
from runner.protocol import Status

PLACES = 5


def before(rows: Iterable[LedgerRow], x: Experiment) -> float | None:
    """What the merge before `x` had there under the same conditions; `rows` are the ledger's, oldest first."""
    run, found = x.holdout.run if x.holdout else None, None
    for row in rows:
        earlier = row.holdout.run if row.holdout else None
        if run is None or earlier is None or row.experiment_id == x.id or row.ended_utc > x.ended_utc:
            continue
        conditions = (earlier.hardware_class, earlier.environment_digest, earlier.seed)
        if earlier.metric is not None and conditions == (run.hardware_class, run.environment_digest, run.seed):
            found = earlier.metric
    return found


def sentence(x: Experiment, metric: Metric) -> str:
    """For a pull request; empty while nothing is known."""
    if x.holdout is None:
        return ""
    run = x.holdout.run
    if run.status is not Status.OK:
        return f"**On the split that never selects** the merge could not be scored: {neutral(run.reason, 300)}."
    earlier = f", {number(x.holdout.before, PLACES)} after the merge before" if x.holdout.before is not None else ""
    value = f"{code(metric.name, 60)} is {number(run.metric, PLACES)}{unit(metric)}"
    return f"**On the split that never selects** {value} after this merge{earlier}: one run, which decided nothing."


def progress(landings: Sequence[Landing], found: Mapping[str, float]) -> str:
    """How far both splits came between the first and the last merge that were scored on both; `found` by experiment."""
    both = [landing for landing in landings if landing.experiment_id in found]
    if len(both) < 2:
        return ""
    first, last = both[0], both[-1]
    selecting = f"{number(first.after, PLACES)} → {number(last.after, PLACES)} on the split that selects"
    unseen = " → ".join(number(found[landing.experiment_id], PLACES) for landing in (first, last))
    return f"From the first to the last of {len(both)} merges: {selecting}, {unseen} on the one that never does."
