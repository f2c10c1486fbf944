"""What a training really ran on: the machine's state while it went on, looked at from outside the candidate.

On Linux from /proc and /sys; with an NVIDIA GPU from nvidia-smi. What cannot be read stays empty or 0.
"""

import os
import platform
import re
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Self

from runner.protocol import Hardware
from runner.sandbox.descendants import die_with_parent, sparing

SAMPLE_S = 5.0
QUERY_TIMEOUT_S = 20
_FIELDS = ("name", "uuid", "driver_version", "clocks.sm", "clocks.mem", "temperature.gpu", "power.draw")
_THROTTLE = ("clocks_throttle_reasons.active", "clocks_event_reasons.active")  # the older name, and the newer one
_REASONS = {  # of NVML's bit mask; an idle GPU and clocks that somebody set are no throttling
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "heat, by the driver",
    0x40: "heat, by the hardware",
    0x80: "power brake",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of one GPU at one instant."""

    name: str
    uuid: str
    driver: str
    mhz: float
    memory_mhz: float
    celsius: float
    watts: float
    throttled: tuple[str, ...]


@dataclass(slots=True)
class _Seen:
    mhz: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)
    gpu: list[Sample] = field(default_factory=list)


class Watch:
    """Looks every few seconds, in a thread, from entering until `ended`.

    To be entered when the training's process was started: a thread beside a fork is a risk.
    """

    def __init__(self, *, has_gpu: bool) -> None:
        self._has_gpu = has_gpu
        self._seen = _Seen()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="hardware", daemon=True)
        self._before = _cpu_s()
        self._own_before_s = time.process_time()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def ended(self, *, train_cpu_s: float, software: str) -> Hardware:
        """What was seen. `software` is what the candidate ran with."""
        self.__exit__()
        busy_s, stolen_s = (after - before for after, before in zip(_cpu_s(), self._before, strict=True))
        others_s = busy_s - train_cpu_s - (time.process_time() - self._own_before_s)
        gpu, seen = self._seen.gpu, self._seen
        shares = {reason: sum(reason in one.throttled for one in gpu) / len(gpu) for reason in _REASONS.values() if gpu}
        return Hardware(
            cpu=_cpu_model(),
            cores=os.cpu_count() or 0,
            governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            cpu_mhz=_mean(seen.mhz),
            load=_mean(seen.load),
            stolen_s=stolen_s,
            others_s=max(0.0, others_s),
            software=software,
            gpu=gpu[-1].name if gpu else "",
            gpu_uuid=gpu[-1].uuid if gpu else "",
            driver=gpu[-1].driver if gpu else "",
            cuda=_cuda() if gpu else "",
            gpu_mhz=_mean([one.mhz for one in gpu]),
            gpu_mhz_low=min((one.mhz for one in gpu), default=0.0),
            gpu_memory_mhz=_mean([one.memory_mhz for one in gpu]),
            gpu_celsius=max((one.celsius for one in gpu), default=0.0),
            gpu_watts=_mean([one.watts for one in gpu]),
            throttled=tuple((reason, share) for reason, share in shares.items() if share),
            samples=len(gpu) if self._has_gpu else len(seen.load),
        )

    def _look(self) -> None:
        while not self._over.wait(SAMPLE_S if self._seen.load else 0.5):  # the first one soon: a run may be short
            self._seen.mhz += _cpu_mhz()
            self._seen.load += [float(word) for word in _read("/proc/loadavg").split()[:1]]
            if self._has_gpu and (sample := _gpu()):
                self._seen.gpu.append(sample)


def _gpu() -> Sample | None:
    """The GPU that candidates get."""
    for name in _THROTTLE:
        said = _nvidia_smi([f"--query-gpu={','.join((*_FIELDS, name))}", "--format=csv,noheader,nounits"])
        if sample := parsed(said):
            return sample
    return None


def parsed(said: str) -> Sample | None:
    """nvidia-smi's first line of values; None for anything else. Values that it does not know are 0."""
    cells = [cell.strip() for cell in said.partition("\n")[0].split(",")]
    if len(cells) != len(_FIELDS) + 1:
        return None
    mhz, memory_mhz, celsius, watts = map(_number, cells[3:7])
    mask = int(cells[7], 16) if re.fullmatch(r"0x[0-9a-fA-F]+", cells[7]) else 0
    reasons = tuple(reason for bit, reason in _REASONS.items() if mask & bit)
    return Sample(cells[0], cells[1], cells[2], mhz, memory_mhz, celsius, watts, reasons)


def _cuda() -> str:
    found = re.search(r"CUDA Version\s*:\s*([\d.]+)", _nvidia_smi(["--query", "--display=TEMPERATURE"]))
    return found[1] if found else ""


def _nvidia_smi(arguments: Sequence[str]) -> str:
    chosen = os.environ.get("NIGHTLAB_GPU") or os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0] or "0"
    try:
        process = subprocess.Popen(
            ["nvidia-smi", f"--id={chosen}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            preexec_fn=die_with_parent,
        )
    except OSError:
        return ""
    with sparing(process.pid), process:  # it is none of the candidate's
        try:
            return process.communicate(timeout=QUERY_TIMEOUT_S)[0]
        except (subprocess.TimeoutExpired, ValueError):
            process.kill()
            return ""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0  # "[N/A]"


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else 0.0


def _cpu_s() -> tuple[float, float]:
    """Seconds that this machine's CPUs were busy, and those that its host took away, since it started."""
    words = _read("/proc/stat").split("\n")[0].split()
    if len(words) < 9 or words[0] != "cpu":
        return 0.0, 0.0
    user, nice, system, _, _, irq, softirq, steal = (int(word) / os.sysconf("SC_CLK_TCK") for word in words[1:9])
    return user + nice + system + irq + softirq, steal


def _cpu_mhz() -> list[float]:
    return [_number(value) for value in re.findall(r"^cpu MHz\s*:\s*(\S+)", _read("/proc/cpuinfo"), re.MULTILINE)]


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)", _read("/proc/cpuinfo"), re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
