"""A plan: an idea that is too large for one pull request, as experiments one after another."""

from collections.abc import Sequence

from bot.core.model import Experiment, Origin, PlanStep
from bot.core.order import Carried, Order
from bot.core.text import clipped, line

STEP_CHARACTERS = 1_500


def plan_id(experiment_id: str) -> str:
    """Of the plan that came of an experiment."""
    return f"p{experiment_id}"


def order(carried: Carried) -> Order:
    """The experiment that does the next step."""
    number = len(carried.results) + 1
    return Order(
        id=f"{carried.id}-{number}",
        repository=carried.repository,
        repository_id=carried.repository_id,
        origin=Origin(
            requested_by=carried.requested_by,
            idea=idea(carried.plan.steps, carried.results),
            issue_number=carried.issue_number,
            plan=carried.id,
        ),
    )


def idea(steps: Sequence[PlanStep], results: Sequence[Experiment]) -> str:
    """What the author of the next step is asked for: the step, where it stands, and what came of those before it."""
    at = len(results)
    step = steps[at]
    parts = [
        f"{step.title}\n\n{clipped(step.idea, STEP_CHARACTERS)}",
        f"This is step {at + 1} of {len(steps)} of a plan.",
    ]
    if results:
        told = [
            f"{number}. {line(one.title, 80)}: {outcome(x)}"
            for number, (one, x) in enumerate(zip(steps, results, strict=False), 1)
        ]
        parts.append("The steps before it:\n" + "\n".join(told))
        parts.append("If it makes no sense after what came of them, decline.")
    if later := steps[at + 1 :]:
        parts.append("What follows is not for now: " + "; ".join(line(one.title, 80) for one in later) + ".")
    return "\n\n".join(parts)


def outcome(x: Experiment) -> str:
    where = f" (#{x.pull_number})" if x.pull_number is not None else ""
    return f"{x.state.value}{where}{f', {line(x.reason, 160)}' if x.reason else ''}"
