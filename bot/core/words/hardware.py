"""What runs ran on, told beside their numbers, so that a gain that is only a faster machine is seen."""

from collections.abc import Sequence

from bot.core.metric import number
from bot.core.model import MeasuredRun, Side
from bot.core.text import neutral
from bot.core.verdict.outcome import throughput
from runner.protocol import Hardware, Run

UNLIKE = 0.05  # from which difference on in steps per second it is said in words
MOST_SHOWN = 60


def speed(runs: Sequence[MeasuredRun], *, counts_work: bool) -> str:
    """A sentence when one side trained more than `UNLIKE` faster than the other; else empty.

    `counts_work`: the budget does, so that speed alone does not move the metric.
    """
    candidate, main = throughput(runs, Side.CANDIDATE), throughput(runs, Side.BASELINE)
    if candidate is None or main is None or abs(candidate / main - 1) <= UNLIKE:
        return ""
    ratio = f"The candidate made {number(candidate / main, 2)} times as many steps per second as main."
    if counts_work:
        return f"{ratio} The budget counts work and not seconds, so this does not move the metric."
    return (
        f"{ratio} Where time is the limit, this alone moves the metric: it is the change's doing only if the "
        "machine was as fast for both sides, see the hardware of each run."
    )


def hardware_table(runs: Sequence[MeasuredRun]) -> str:
    """What each run was trained on, in a fold; empty when nothing is known."""
    known = [measured for measured in runs if measured.run.hardware != Hardware()]
    if not known:
        return ""
    rows = [_row(measured) for measured in known[:MOST_SHOWN]]
    notes = [f"And {len(known) - MOST_SHOWN} more in the ledger."] if len(known) > MOST_SHOWN else []
    table = "\n".join(["| run | machine | clock | while it trained | seconds |", "|---|---|---|---|---|", *rows])
    return "\n\n".join(["<details><summary>Hardware and time of each run</summary>", table, *notes, "</details>"])


def _row(measured: MeasuredRun) -> str:
    run, side = measured.run, "candidate" if measured.side is Side.CANDIDATE else "main"
    seen = run.hardware
    speeds = f"{run.steps / run.train_s:.4g} steps/s" if run.train_s > 0 else ""
    cells = [_machine(seen), _clock(seen), ", ".join(filter(None, (speeds, *_state(seen)))), _phases(run)]
    return f"| {side}, seed {run.seed} | {' | '.join(neutral(cell, 300) for cell in cells)} |"


def _machine(seen: Hardware) -> str:
    if seen.gpu:
        return f"{seen.gpu} {seen.gpu_uuid}, driver {seen.driver}, CUDA {seen.cuda or 'n/a'}; {seen.software}"
    governor = f", governor {seen.governor}" if seen.governor else ""
    return f"{seen.cores} x {seen.cpu}{governor}; {seen.software}"


def _clock(seen: Hardware) -> str:
    if seen.gpu:
        return f"{seen.gpu_mhz:.0f} MHz ({seen.gpu_mhz_low:.0f} at least), memory {seen.gpu_memory_mhz:.0f} MHz"
    return f"{seen.cpu_mhz:.0f} MHz" if seen.cpu_mhz else "n/a"


def _state(seen: Hardware) -> list[str]:
    facts = []
    if seen.gpu:
        throttled = ", ".join(f"{reason} in {share:.0%} of samples" for reason, share in seen.throttled)
        facts += [f"{seen.gpu_watts:.0f} W", f"{seen.gpu_celsius:.0f} °C", f"throttled: {throttled or 'never'}"]
    return [*facts, f"load {seen.load:.1f}", f"{seen.others_s:.0f} CPU-s by others", f"{seen.stolen_s:.0f} stolen"]


def _phases(run: Run) -> str:
    """Where a run's time went; the start of its processes is a part of the others."""
    phases = ("train", "freeze", "predict", "audit", "score", "overhead")
    return ", ".join(f"{phase} {getattr(run, f'{phase}_s'):.1f}" for phase in phases)
