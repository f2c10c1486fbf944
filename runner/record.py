"""What is known about a run while it goes on; half of it when the run fails half-way."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from runner.protocol import Phase, Progress, Request, Run, Status, unmeasured
from runner.sandbox.interface import Exit
from runner.transcript import sanitised

CURVE_POINTS = 60
REASON_CHARACTERS = 600
Report = Callable[[Progress], None]
_TIMED = (Phase.TRAIN, Phase.FREEZE, Phase.PREDICT, Phase.AUDIT, Phase.SCORE)


@dataclass(slots=True)
class Record:
    """`run` is what is final already; clock, curve and log are added by `ended`."""

    run: Run
    clock_s: dict[Phase, float] = field(default_factory=lambda: dict.fromkeys(_TIMED, 0.0))
    curve: list[tuple[int, float]] = field(default_factory=list)
    log: str = ""
    started_s: float = field(default_factory=time.monotonic)
    started_cpu_s: float = field(default_factory=time.process_time)

    def note(self, exit_: Exit, log: str) -> None:
        """A process of the candidate is over."""
        self.log = log or self.log
        self.run = replace(
            self.run,
            total_cpu_s=self.run.total_cpu_s + exit_.cpu_s,
            start_s=self.run.start_s + exit_.start_s,
            peak_memory_mib=max(self.run.peak_memory_mib, exit_.peak_memory_mib),
        )

    def claim(self, step: int, loss: float) -> None:
        """A point of the curve; however many there are, memory stays bounded."""
        self.curve.append((step, loss))
        if len(self.curve) > 100 * CURVE_POINTS:
            self.curve = self.curve[::-2][::-1]

    @contextmanager
    def timed(self, phase: Phase) -> Iterator[None]:
        started_s = time.monotonic()
        try:
            yield
        finally:
            self.clock_s[phase] += time.monotonic() - started_s

    def ended(self, status: Status, reason: str) -> Run:
        """The run as it is reported. Only OK keeps a metric."""
        return replace(
            self.run,
            status=status,
            steps=self.curve[-1][0] if self.curve else 0,
            reason=sanitised(reason, REASON_CHARACTERS),
            metric=self.run.metric if status is Status.OK else None,
            train_s=self.clock_s[Phase.TRAIN],
            freeze_s=self.clock_s[Phase.FREEZE],
            predict_s=self.clock_s[Phase.PREDICT],
            audit_s=self.clock_s[Phase.AUDIT],
            score_s=self.clock_s[Phase.SCORE],
            overhead_s=time.monotonic() - self.started_s - sum(self.clock_s.values()),
            total_cpu_s=self.run.total_cpu_s + time.process_time() - self.started_cpu_s,
            curve=_thinned(self.curve),
            log_tail=sanitised(self.log),
        )


def blank(request: Request) -> Run:
    """A run of which nothing is known yet, in this runner's slot."""
    return replace(unmeasured(request), slot=os.environ.get("NIGHTLAB_SLOT", f"{request.task.preset}0"))


def _thinned(curve: list[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    stride = max(1, -(-len(curve) // CURVE_POINTS))
    return tuple(curve[::-1][::stride][::-1])
