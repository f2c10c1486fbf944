"""What people ask for that takes long, and how it goes: experiments, plans, campaigns."""

from dataclasses import dataclass

from bot.core.model import Experiment, Origin, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An experiment that was asked for. `id` names it for ever: its branch, its markers, its workflow."""

    id: str
    repository: str
    repository_id: int = 0  # the forge's, which a new name does not change
    origin: Origin
    pull_number: int | None = None  # of a person's own pull request, which is only measured
    head_sha: str = ""  # of it, that whoever asked has seen
    waits: bool = False  # drafted ahead: it opens its pull request when its campaign says so


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """How a plan goes: what came of its steps so far, and why it ended."""

    id: str
    repository: str
    repository_id: int = 0
    requested_by: str
    issue_number: int
    plan: Plan
    results: tuple[Experiment, ...] = ()  # without their runs
    reason: str = ""  # one sentence; empty while it is carried out

    @property
    def origin(self) -> Origin:
        return Origin(requested_by=self.requested_by, issue_number=self.issue_number, plan=self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignPlan:
    """A series of experiments that was asked for, and where to say how it goes."""

    id: str
    repository: str
    repository_id: int = 0
    requested_by: str
    issue_number: int
    experiments: int
    hours: float
    usd: float  # for the model
    parallel: int
    experiments_per_day: int  # of the repository, from any source
    experiments_per_person_per_day: int
    ahead: int = 0  # experiments that are drafted while `parallel` others are under way


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """How a campaign goes: its experiments so far, oldest first, and why it ended."""

    plan: CampaignPlan
    started_utc: str
    results: tuple[Experiment, ...] = ()
    reason: str = ""  # one sentence; empty while it runs
