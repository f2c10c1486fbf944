"""What this process has counted since its start, for Prometheus. What is under way now is looked up when asked: see
bot/web/metrics.py. Several bots each count what they did themselves; add them up."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from bot.core.app import EVENTS
from bot.core.model import Experiment, State

REGISTRY = CollectorRegistry()
OTHER = "other"

_webhooks = Counter("nightlab_webhooks", "Webhooks by what became of them", ["event", "outcome"], registry=REGISTRY)
_webhook_s = Histogram(
    "nightlab_webhook_seconds",
    "From the last byte of a webhook to its answer",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
    registry=REGISTRY,
)
_ended = Counter(
    "nightlab_experiments_ended", "Experiments by how they ended and who proposed", ["state", "proposer"],
    registry=REGISTRY,
)  # fmt: skip
_runs = Counter("nightlab_runs", "Runs of experiments that ended", ["status", "hardware"], registry=REGISTRY)
_slot_s = Counter(
    "nightlab_slot_seconds", "Seconds of a GPU or core that ended experiments used", ["proposer"], registry=REGISTRY
)
_gain = Counter(
    "nightlab_merged_gain", "Improvements that were merged, in the metric's units", ["repository", "proposer"],
    registry=REGISTRY,
)  # fmt: skip
_tokens = Counter("nightlab_model_tokens", "Tokens of the language model", ["model", "kind"], registry=REGISTRY)
_usd = Counter("nightlab_model_dollars", "Dollars for the language model, by list price", ["model"], registry=REGISTRY)


def webhook(event: str, outcome: str, seconds: float) -> None:
    """`event` is the sender's word: names that we do not know are counted together."""
    _webhooks.labels(event if event in EVENTS else OTHER, outcome).inc()
    _webhook_s.observe(seconds)


def ended(x: Experiment) -> None:
    """For the step that ends an experiment, which is done once, or twice when a kill falls into it."""
    proposer = x.proposal.proposed_by if x.proposal else "nobody"
    _ended.labels(x.state.value, proposer).inc()
    _slot_s.labels(proposer).inc(x.gpu_s)
    for measured in x.runs:
        if not measured.shared:
            _runs.labels(measured.run.status.value, measured.run.hardware_class).inc()
    estimate = x.decision.estimate if x.decision else None
    if x.state is State.MERGED and estimate is not None:
        _gain.labels(x.repository, proposer).inc(max(0.0, -estimate.difference))
    if x.model_use is not None:
        use = x.model_use
        _usd.labels(use.model).inc(use.cost_usd)
        for kind, count in (
            ("input", use.input_tokens),
            ("output", use.output_tokens),
            ("cache_read", use.cache_read_tokens),
            ("cache_write", use.cache_write_tokens),
        ):
            _tokens.labels(use.model, kind).inc(count)
