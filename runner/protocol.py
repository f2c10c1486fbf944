"""What bot and runner say to each other: a request in, progress lines and one run out, all JSON.

`python -m runner` reads one `Request` (one line of JSON) on stdin, writes any number of `Progress` lines
and exactly one `Run` line on stdout, and exits. It kills what it started and exits when its stdin closes:
a runner never outlives the process that asked.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from pathspec import GitIgnoreSpec
from pydantic import TypeAdapter, ValidationError

# How far two answers of an honest model may lie apart: by 0 in float32 on a CPU, by rounding elsewhere.
AUDIT_TOLERANCE = 0.01
AUDIT_TOLERANCE_CAP = 0.1  # however noisy the hardware: a tenth of it, on average, is what a cheat could hide


class Status(StrEnum):
    """How a run ended. Only OK carries a metric that counts."""

    OK = "ok"
    CRASHED = "crashed"  # train.py exited non-zero, or its model could not be loaded
    TIMED_OUT = "timed_out"  # passed a limit on time
    OUT_OF_MEMORY = "out_of_memory"
    INVALID = "invalid"  # trained, but what it left is unusable: no model, garbage, NaN, failed audit
    INFRASTRUCTURE = "infrastructure"  # our fault, not the candidate's: may be tried again
    STOPPED = "stopped"  # nobody needed it any more


class Phase(StrEnum):
    """What a run is busy with, in order; a progress line names one."""

    QUEUED = "queued"
    BUILD = "build"  # check out the tree, prepare the data
    TRAIN = "train"
    FREEZE = "freeze"  # stop everything, take the output out, hash it
    PREDICT = "predict"
    AUDIT = "audit"
    SCORE = "score"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftFile:
    """The whole text of one file that no commit has yet."""

    path: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The tree to measure: `base_sha`'s tree, with the paths under `allowed` taken from `head_sha`, then `drafts`.

    A run of main itself has head_sha == base_sha. `allowed` holds gitignore-style patterns as in the contract; a draft
    of any other path is refused.
    """

    git_url: str
    base_sha: str
    head_sha: str
    allowed: tuple[str, ...]
    drafts: tuple[DraftFile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Claims mode: nothing is asked of a model; the metric is what `command` printed last as `metric: number`."""

    command: tuple[str, ...]  # run in the task's directory; a first word of python3 is the sandbox's Python
    metric: str
    data: str = ""  # the folder below the runner's NIGHTLAB_DATA that is the command's home, read-only; "": none


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What to run in the tree, from the contract of the base commit (never from the pull request)."""

    directory: str  # where prepare.py and train.py are, relative to the tree; "." is the root
    preset: str  # "cpu" or "gpu": the constants of the same code
    budget_steps: int | None  # budget counted in work: analytic FLOPs of this many baseline steps
    budget_s: float | None  # or in wall seconds of training
    timeout_s: float  # hard limit for everything after the process starts
    memory_mib: int
    output_mib: int
    claims: Claims | None = None  # None: the runner makes the number itself
    image: str = ""  # of containers: a digest, or the path of main's Dockerfile; "": the runner's own
    higher_is_better: bool = False  # the contract's word on the metric, which the runner holds against the task's kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One run: this tree, this seed. `cache_dir` is where prepared data and bare clones may be kept.

    A smoke run finds out whether the tree works at all: it trains, loads the model and asks it about tokens drawn at
    random. It sees nothing of the validation split and has no metric.
    """

    run_id: str
    source: Source
    task: Task
    seed: int
    sandbox: str  # "docker", "bubblewrap" or "subprocess"
    cache_dir: str
    hardware_class: str
    smoke: bool = False
    audit_tolerance: float = AUDIT_TOLERANCE  # from here to the cap, as main's own runs on this hardware need it
    split: str = "validation"  # or "holdout", of main only: the split that never selects


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run is. `fraction` is of the phase, 0 to 1; `eta_s` of the whole run."""

    phase: Phase
    fraction: float = 0.0
    step: int = 0
    loss: float | None = None  # smoothed training loss the candidate claims, nats; for display only
    eta_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What a training ran on, as the runner saw it from outside while it went on. Empty or 0: not known."""

    cpu: str = ""  # model
    cores: int = 0
    governor: str = ""  # of the CPU's frequency
    cpu_mhz: float = 0.0  # mean over the cores and the training
    load: float = 0.0  # mean of the load average over a minute
    stolen_s: float = 0.0  # CPU seconds that the host of a virtual machine gave to others
    others_s: float = 0.0  # CPU seconds that this machine spent on something else
    software: str = ""  # versions, or the image
    gpu: str = ""
    gpu_uuid: str = ""
    driver: str = ""
    cuda: str = ""  # the newest that the driver knows
    gpu_mhz: float = 0.0  # of its cores, mean
    gpu_mhz_low: float = 0.0
    gpu_memory_mhz: float = 0.0
    gpu_celsius: float = 0.0  # at its hottest
    gpu_watts: float = 0.0  # mean
    throttled: tuple[tuple[str, float], ...] = ()  # (reason, share of the samples)
    samples: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One training of one tree with one seed, as measured.

    Everything is our own number except `claimed_*` and, when it is `self_reported`, the metric.
    """

    run_id: str
    status: Status
    reason: str  # one clear sentence; empty when status is OK
    tree_sha: str
    seed: int
    metric: float | None  # e.g. val_bpb, bits per byte
    hardware_class: str
    slot: str  # which GPU or core of that class
    environment_digest: str  # corpus, torch, python, scorer: runs compare only within one
    steps: int
    train_s: float  # wall seconds of the training process
    predict_s: float
    audit_s: float
    score_s: float
    overhead_s: float  # everything else: checkout, data, process start
    train_cpu_s: float  # CPU seconds, user + system, of the training process tree
    total_cpu_s: float
    peak_memory_mib: float
    artefact_mib: float
    artefact_sha256: str
    audited_positions: int
    audit_max_gap: float  # largest difference between the two workers' log-probabilities, nats
    curve: tuple[tuple[int, float], ...] = ()  # (step, claimed training loss in nats), at most 60 points
    log_tail: str = ""  # sanitised, at most 4000 characters
    sandbox: str = ""  # what it ran in: "docker", "bubblewrap" or "subprocess"
    freeze_s: float = 0.0  # wall seconds between the end of training and the hash of what it left
    cheat_gain: float = 0.0  # what a cheat at every audited place could gain at most, in the metric's unit
    start_s: float = 0.0  # wall seconds until its processes could run; the training's is part of overhead_s
    self_reported: bool = False  # claims mode: the metric is what the candidate printed
    has_holdout: bool = False  # prepare.py left a split that never selects
    audit_tolerance: float = 0.0  # what audit_max_gap was held against
    audit_unit: str = ""  # of both
    hidden_gain: float = 0.0  # what could hide within the tolerance, in the metric's unit
    claimed_memory_mib: float = 0.0  # of the accelerator, as printed in claims mode
    hardware: Hardware = Hardware()

    @property
    def wall_s(self) -> float:
        return self.train_s + self.freeze_s + self.predict_s + self.audit_s + self.score_s + self.overhead_s


def unmeasured(request: Request) -> Run:
    """A run of which nothing is known, and for which the candidate is not to blame."""
    return Run(
        run_id=request.run_id,
        status=Status.INFRASTRUCTURE,
        reason="",
        tree_sha="",
        seed=request.seed,
        metric=None,
        hardware_class=request.hardware_class,
        slot="",
        environment_digest="",
        steps=0,
        train_s=0.0,
        predict_s=0.0,
        audit_s=0.0,
        score_s=0.0,
        overhead_s=0.0,
        train_cpu_s=0.0,
        total_cpu_s=0.0,
        peak_memory_mib=0.0,
        artefact_mib=0.0,
        artefact_sha256="",
        audited_positions=0,
        audit_max_gap=0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a runner's stdout: exactly one of the two is set."""

    progress: Progress | None = None
    run: Run | None = None


@lru_cache(maxsize=64)
def _compiled(patterns: tuple[str, ...]) -> GitIgnoreSpec:
    return GitIgnoreSpec.from_lines(patterns, backend="simple")


def allowed(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a path of a tree, as git writes it, matches the gitignore-style patterns (the last match wins).

    Matching is case-sensitive and never touches the disk. A path that is not in git's plain form (absolute, `.`, `..`,
    an empty part, a backslash, a control character) is not allowed by any pattern. Raises ValueError on an invalid
    pattern.
    """
    if not path.isprintable() or "\\" in path or any(part in ("", ".", "..") for part in path.split("/")):
        return False  # pathspec strips these silently, a last newline included, and matches what is left
    return _compiled(patterns).match_file(path)


class ProtocolError(ValueError):
    """A line that is not of this protocol."""


_REQUEST = TypeAdapter(Request)
_LINE = TypeAdapter(Line)


def encode(value: Request | Line) -> str:
    """One line of JSON, newline included."""
    data = _REQUEST.dump_json(value) if isinstance(value, Request) else _LINE.dump_json(value)
    return data.decode() + "\n"


def decode_request(line: str) -> Request:
    """Raises ProtocolError on anything that is not a Request."""
    try:
        return _REQUEST.validate_json(line)
    except ValidationError as error:
        raise ProtocolError(f"not a request: {error.errors()[0]['msg']}") from None


def decode_line(line: str) -> Line:
    """Raises ProtocolError on anything that is not a Line."""
    try:
        return _LINE.validate_json(line)
    except ValidationError as error:
        raise ProtocolError(f"not a line of the protocol: {error.errors()[0]['msg']}") from None
