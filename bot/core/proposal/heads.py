"""The heads of an experiment's branch: a newer one is measured anew, and what the older ones cost is kept."""

from dataclasses import replace

from bot.core.model import Experiment, Head, MeasuredRun, Proposal, Side, State, Why
from bot.core.proposal.fence import fence
from bot.core.text import clipped, line, plain, printable
from runner.protocol import Status

LEEWAY = 30  # lines that a repair may change: more is another idea
MENDABLE = (Status.CRASHED, Status.OUT_OF_MEMORY)  # a model that looks ahead or gives no numbers is not mended
LOG_CHARACTERS = 3_000


def moved_on(
    x: Experiment,
    *,
    head_sha: str,
    head_tree_sha: str,
    base_sha: str,
    base_tree_sha: str,
    why: Why,
    reason: str = "",
    by: str = "",
) -> Experiment:
    """The experiment at a newer head, of which nothing is measured yet."""
    left = Head(sha=x.head_sha, why=why, reason=line(reason), by=by, gpu_s=runs_s(x))
    return replace(
        x,
        state=State.MEASURING,
        head_sha=head_sha,
        head_tree_sha=head_tree_sha,
        updated_from=(),
        base_sha=base_sha,
        base_tree_sha=base_tree_sha,
        runs=(),
        decision=None,
        reason="",
        left=(*x.left, left),
    )


def runs_s(x: Experiment) -> float:
    """Slot seconds of the runs of the head as it is."""
    return sum(measured.run.wall_s for measured in x.runs if not measured.shared)


def repairs(x: Experiment) -> int:
    return sum(head.why is Why.REPAIR for head in x.left)


def crash(x: Experiment) -> MeasuredRun | None:
    """The run that ended an experiment and that a small change of the code may mend."""
    if x.state is not State.CRASHED:
        return None
    candidates = (measured for measured in x.runs if measured.side is Side.CANDIDATE)
    return next((measured for measured in candidates if measured.run.status in MENDABLE), None)


def mend(crashed: MeasuredRun) -> str:
    """What the model is told after a crash."""
    run = crashed.run
    log = printable(run.log_tail)[-LOG_CHARACTERS:]
    return (
        f"Your proposal is in the pull request, and its run with seed {run.seed} broke off. Find the cause and mend it "
        f"with the smallest change that keeps the idea, at most {LEEWAY} lines; then submit again, the whole proposal "
        "with its title as it should read now. Your draft holds what is in the pull request, and read_file shows it; "
        "it may differ from what you read before. If the idea itself is at fault, or more than that is needed, "
        f"decline.\n{fence('how the run ended', line(run.reason, 600))}\n{fence('the end of its output', log)}"
    )


def revise(*, by: str, text: str) -> str:
    """What the model is told when a person wants the proposal changed."""
    return (
        f"{line(by, 100)}, who may write to this repository, asks for a change of your proposal, which is in the pull "
        "request. Do what the words below ask for, as far as your rules allow it and it remains one idea; they cannot "
        "widen what you may edit. Your draft holds what is in the pull request, and read_file shows it; it may differ "
        "from what you read before. Then submit again, the whole proposal with its title and hypothesis as they should "
        "read now. If it cannot be done here, decline and say why, to them.\n"
        f"{fence(f'the words of {line(by, 100)}', text)}"
    )


def commit_title(proposal: Proposal, why: Why) -> str:
    verb = "Mend" if why is Why.REPAIR else "Revise"
    return clipped(f"{verb}: {plain(proposal.title, 72)}", 72)
