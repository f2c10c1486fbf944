"""The vocabulary: frozen values that the rest of the bot passes around. See GLOSSARY.md for the words."""

from dataclasses import dataclass
from enum import StrEnum

from bot.core.metric import Metric
from runner.protocol import Run


class Kind(StrEnum):
    IMPROVE = "improve"
    SIMPLIFY = "simplify"  # net deletion of code: judged for non-inferiority


class Side(StrEnum):
    CANDIDATE = "candidate"
    BASELINE = "baseline"


class Stage(StrEnum):
    """Which part of the sequential test a candidate run belongs to. Screening runs never become a baseline."""

    SCREEN = "screen"
    CONFIRM = "confirm"


class State(StrEnum):
    """Where an experiment is; shown as a label on its pull request."""

    PROPOSING = "proposing"
    MEASURING = "measuring"
    CONFIRMING = "confirming"
    LANDING = "landing"
    PROVEN = "proven"  # better by the numbers, and waiting: a person, or the forge's rules, must let it in
    MERGED = "merged"
    REJECTED = "rejected"  # measured, not proven better
    CRASHED = "crashed"  # train.py did not finish, or left nothing that could be scored
    ABANDONED = "abandoned"  # ended without a measurement: closed by a person, conflict, bad proposal, no idea left

    @property
    def ended(self) -> bool:
        return self in (State.MERGED, State.REJECTED, State.CRASHED, State.ABANDONED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Replace the one occurrence of `old` in `path` by `new`. An empty `old` makes a new file."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUse:
    """What a language model was used for, in tokens as its provider bills them."""

    model: str
    turns: int = 0
    input_tokens: int = 0  # neither read from the provider's cache nor written to it
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float = 0.0

    @property
    def prompt_tokens(self) -> int:
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One idea: a hypothesis and the edits that test it."""

    title: str  # imperative, at most 72 characters: the PR title and the merge's first line
    hypothesis: str  # what should happen and why, one paragraph
    edits: tuple[Edit, ...]
    kind: Kind
    expected_gain: float | None  # in units of the metric, positive is better; None: no guess
    proposed_by: str  # "tuner" or the model id
    model_cost_usd: float = 0.0
    risk: str = ""  # free text for the reviewer: risks, what to look at
    mechanism: str = ""  # how the change is supposed to do it
    expected_low: float | None = None  # the range of the expected gain, in units of the metric
    expected_high: float | None = None
    strategy: str = ""  # how it was looked for, when that was changed because earlier attempts failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who wanted this experiment and where they said so."""

    requested_by: str  # login, or "campaign"
    idea: str = ""  # untrusted text
    issue_number: int | None = None
    comment_id: int | None = None
    plan: str = ""  # the id of the plan that this is a step of


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A run as the policy sees it: a value where lower is better, and what it may be compared with."""

    value: float
    seed: int
    slot: str
    base_sha: str  # the commit of main this run is compared against (its own commit for a baseline run)
    stage: Stage | None  # None for a baseline run


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The evidence in numbers, in the metric's units with lower better.

    `difference` = candidate mean - main mean, `standard_error` = s * sqrt(v0), `s` = within-code standard deviation
    (of one run, or of the paired differences when form is "paired") with `nu` degrees of freedom, `evalue` the
    sequential Bayes factor against "no better than shift".
    """

    form: str  # "paired", "unpaired" or "mixed"
    difference: float
    standard_error: float
    v0: float
    s: float
    nu: float
    evalue: float
    shift: float
    n: int  # candidate runs
    n_confirm: int
    n_baseline: int
    correlation: float | None  # of same-seed runs; None below three pairs
    confirm_difference: float | None  # from confirmation runs only: the figure reported as the gain
    confirm_standard_error: float | None


class Action(StrEnum):
    MEASURE = "measure"
    CONFIRM = "confirm"  # update the branch to today's main, then go on measuring
    MERGE = "merge"
    REJECT = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do next and why; `reason` is one sentence that stands on the pull request."""

    action: Action
    reason: str
    estimate: Estimate | None
    candidate_seeds: tuple[int, ...] = ()  # to run next, for MEASURE
    baseline_seeds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A MERGE decision with everything it is bound to. Landing refuses when any of it is no longer true."""

    experiment_id: str
    head_sha: str
    base_sha: str
    tree_sha: str  # the tree that was measured, and that main must have after the merge
    hardware_class: str
    environment_digest: str
    contract_digest: str
    estimate: Estimate
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRun:
    """A run with its role in one experiment."""

    side: Side
    stage: Stage | None
    base_sha: str
    commit_sha: str
    run: Run
    shared: bool = False  # a baseline run that was there before this experiment wanted it


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStep:
    """One idea that can be measured by itself. Untrusted: a model wrote it."""

    title: str
    idea: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an idea that is too large for one pull request is split into."""

    reason: str  # why it is too large, one sentence
    steps: tuple[PlanStep, ...]


class Why(StrEnum):
    """Why a newer commit took the place of a head."""

    REPAIR = "repair"  # its runs crashed, and its author mended it
    REVISION = "revision"  # a person asked for a change
    PUSH = "push"  # a person pushed to the branch


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A head that a newer commit took the place of."""

    sha: str
    why: Why
    reason: str  # the crash, or what was asked for; untrusted, one line
    by: str  # who made the newer commit, or asked for it; empty when unknown
    gpu_s: float  # slot seconds of its runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """A merged head on the split that never selects: one run, which no decision sees."""

    run: Run
    before: float | None = None  # of the merged head before it, under the same conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Everything known about one proposal from draft to merge or close: what reports and the ledger are made of."""

    id: str
    repository: str  # owner/name
    repository_id: int = 0  # the forge's, which a new name does not change
    origin: Origin
    state: State
    started_utc: str  # ISO 8601, seconds, Z
    proposal: Proposal | None = None
    branch: str = ""
    pull_number: int | None = None
    head_sha: str = ""
    head_tree_sha: str = ""
    base_sha: str = ""  # the commit of main that the head is built on, and is compared with
    base_tree_sha: str = ""
    contract_digest: str = ""
    metric: Metric | None = None  # by that contract
    merge_sha: str = ""
    diff: str = ""  # unified diff of the proposal, at most 60,000 characters
    runs: tuple[MeasuredRun, ...] = ()
    decision: Decision | None = None
    from_fork: bool = False
    theirs: bool = False  # a person's own pull request: nothing is written to its branch, and it is not closed
    held: bool = False  # a person asked to wait
    overridden_by: str = ""  # who had it merged though the numbers or the contract did not
    updated_from: tuple[str, ...] = ()  # older heads, brought up to date since: their approvals hold
    drifting: str = ""  # which slots drift, in a sentence or more; runs made there do not count
    unserved: str = ""  # that nobody takes its runs, and what to do, in a sentence
    stalled: bool = False  # until there is a slot that does not drift
    reason: str = ""  # how it ended, one sentence
    ended_utc: str = ""
    model_use: ModelUse | None = None  # of the language model that was asked, whether or not it proposed anything
    smoke_runs: int = 0  # of its drafts
    smoke_s: float = 0.0  # slot seconds of those
    left: tuple[Head, ...] = ()  # heads that were measured before this one, oldest first
    plan: Plan | None = None  # it became this instead of a proposal
    holdout: Holdout | None = None  # some time after the merge, where the task has such a split

    @property
    def waiting(self) -> bool:
        """Whether nothing is done until people or the forge's rules let it."""
        return self.held or self.state is State.PROVEN

    @property
    def model_cost_usd(self) -> float:
        """Of all that the model was asked, whether or not a proposal came of it."""
        if self.model_use is not None:
            return self.model_use.cost_usd
        return self.proposal.model_cost_usd if self.proposal else 0.0

    @property
    def gpu_s(self) -> float:
        """Slot seconds this experiment used: runs of main it caused, smoke runs, earlier heads and what came after."""
        now = sum(measured.run.wall_s for measured in self.runs if not measured.shared)
        after = self.holdout.run.wall_s if self.holdout else 0.0
        return self.smoke_s + now + after + sum(head.gpu_s for head in self.left)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """One finished experiment as the ledger branch keeps it: JSON in full, `results.tsv` in part.

    `gain` is positive when better, in the metric's units, from confirmation runs where there are any. `metric_before`
    and `metric_after` are means over the runs of main and of the candidate that `gain` rests on.
    """

    experiment_id: str
    pull_number: int | None
    title: str
    hypothesis: str
    kind: Kind
    edits: tuple[Edit, ...]
    state: State
    reason: str
    requested_by: str
    proposed_by: str
    metric_name: str
    metric_before: float | None
    metric_after: float | None
    gain: float | None
    standard_error: float | None
    evalue: float | None
    form: str
    n: int
    n_confirm: int
    n_baseline: int
    hardware_class: str
    environment_digest: str
    base_sha: str
    head_sha: str
    merge_sha: str
    peak_memory_mib: float
    gpu_s: float
    model_cost_usd: float
    started_utc: str
    ended_utc: str
    runs: tuple[MeasuredRun, ...]
    overridden_by: str = ""
    model_use: ModelUse | None = None
    smoke_runs: int = 0
    self_reported: bool = False  # claims mode: the metric is what the candidate printed
    left: tuple[Head, ...] = ()
    holdout: Holdout | None = None  # some time after the merge, where the task has such a split
    shift_in_s: float = 0.0  # how many s worse a simplification was allowed to be
