"""The commit message of a merge: what was learnt, and the evidence as git trailers that `history.landed` reads back."""

import re
from collections.abc import Sequence

from bot.core.history import SELF_REPORTED
from bot.core.metric import Metric, places
from bot.core.model import Experiment, Verdict
from bot.core.text import plain, wrapped
from bot.core.verdict.outcome import outcome
from bot.core.words.changes import changes
from bot.core.words.description import pull_title
from bot.core.words.figures import slot_time

MOST_CHANGES = 30
_PERSON = re.compile(r"(?P<name>[^<>]{1,100}) <(?P<address>[^<>\s@]{1,100}@[^<>\s@]{1,100})>")


def merge_message(experiment: Experiment, *, verdict: Verdict, metric: Metric, co_authors: Sequence[str] = ()) -> str:
    """Title, hypothesis, what changed, and the trailer block; ASCII wherever the text is ours.

    `co_authors` are people as git writes them, "Ada <ada@example.org>"; whatever is not of that form is left out.
    """
    number = f" (#{experiment.pull_number})" if experiment.pull_number is not None else ""
    hypothesis = wrapped(experiment.proposal.hypothesis) if experiment.proposal else ""
    paragraphs = [f"{_title(experiment)}{number}", hypothesis, _changes(experiment.diff), _source(metric)]
    block = [trailer(key, value) for key, value in _trailers(experiment, verdict=verdict, metric=metric)]
    block += [f"Co-authored-by: {person}" for person in map(_person, co_authors) if person]
    return "\n\n".join([*(text for text in paragraphs if text), "\n".join(filter(None, block))]) + "\n"


def _source(metric: Metric) -> str:
    if not metric.self_reported:
        return ""
    return wrapped("The metric is self-reported: it is what the code under test printed, not what was measured.")


def trailer(key: str, value: str) -> str:
    """One line of a trailer block; empty, which means to leave it out, when there is no value."""
    shown = plain(value, 200)
    return f"{key}: {shown}" if shown else ""


def _title(experiment: Experiment) -> str:
    return pull_title(experiment.proposal) if experiment.proposal else f"Experiment {plain(experiment.id, 60)}"


def _changes(diff: str) -> str:
    found = changes(diff)
    lines = [f"* {plain(c.name, 60)}: {plain(c.old, 60)} -> {plain(c.new, 60)}" for c in found.constants]
    lines += [f"* {plain(f.path, 120)} +{f.added} -{f.removed}" for f in found.files]
    if len(lines) > MOST_CHANGES:
        lines = [*lines[:MOST_CHANGES], f"* and {len(lines) - MOST_CHANGES} more"]
    return "\n".join(lines)


def _trailers(experiment: Experiment, *, verdict: Verdict, metric: Metric) -> list[tuple[str, str]]:
    estimate, proposal = verdict.estimate, experiment.proposal
    found = outcome(experiment.runs, estimate=estimate, base_sha=verdict.base_sha, metric=metric)
    decimals = places(found.standard_error)
    name, unit = "".join(metric.name.split()), f" {metric.suffix}" if metric.suffix else ""
    source = f" {SELF_REPORTED}" if metric.self_reported else ""
    values: list[tuple[str, str]] = [("Experiment", experiment.id)]
    if found.before is not None and found.after is not None:
        values.append(("Metric", f"{name} {found.before:.{decimals}f} -> {found.after:.{decimals}f}{source}"))
    if found.gain is not None and found.standard_error is not None:
        values.append(("Gain", f"{found.gain:.{decimals}f} +/- {found.standard_error:.{decimals}f}{unit}"))
    evidence = f"E={estimate.evalue:.3g} n={estimate.n}/{estimate.n_baseline} confirmed={estimate.n_confirm}"
    return [
        *values,
        ("Evidence", f"{evidence} {estimate.form}"),
        ("Hardware", verdict.hardware_class),
        ("Base", verdict.base_sha),
        ("Head", verdict.head_sha),
        ("Tree", verdict.tree_sha),
        ("Environment", verdict.environment_digest),
        ("Cost", f"{slot_time(experiment, verdict.hardware_class)}, ${experiment.model_cost_usd:.2f}"),
        ("Requested-by", experiment.origin.requested_by),
        ("Overridden-by", experiment.overridden_by),
        ("Proposed-by", proposal.proposed_by if proposal else ""),
    ]


def _person(text: str) -> str:
    """`text` when it is a name and an address, with the name made plain; else empty."""
    match = _PERSON.fullmatch(text)
    name = plain(match["name"], 100) if match else ""
    return f"{name} <{match['address']}>" if match and name and match["address"].isprintable() else ""
