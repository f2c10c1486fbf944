"""Experiments in every state, for the tests of reports, charts and the ledger."""

import math
from dataclasses import replace

from bot.core.metric import Metric
from bot.core.model import (
    Action,
    Decision,
    Edit,
    Estimate,
    Experiment,
    Kind,
    MeasuredRun,
    ModelUse,
    Origin,
    Proposal,
    Side,
    Stage,
    State,
    Verdict,
)
from bot.core.verdict.policy import PolicySettings
from bot.core.words.figures import LiveRun, Terms
from runner.protocol import Phase, Progress, Run, Status

BASE, HEAD, TREE, MERGE = "a1" * 20, "b2" * 20, "c3" * 20, "d4" * 20
METRIC = Metric(name="val_bpb", unit="bpb")
TERMS = Terms(metric=METRIC, policy=PolicySettings(e_merge=10.0), hardware_class="cpu-zen4", budget="500 steps of work")
DIFF = """\
diff --git a/train.py b/train.py
index 1111111..2222222 100644
--- a/train.py
+++ b/train.py
@@ -10,7 +10,7 @@ import torch
 DEPTH = 2
 WIDTH = 64
-WARMDOWN_RATIO = 0.5  # of the steps
+WARMDOWN_RATIO = 0.7  # of the steps
 x = 1
@@ -40,3 +40,4 @@ def schedule(step):
-    final_lr: float = 0.0,
+    final_lr: float = 0.05,
+    # linear to the end
     return final_lr
"""


def run(
    seed: int, metric: float | None, *, status: Status = Status.OK, steps_per_s: float = 20.0, **more: object
) -> Run:
    values: dict[str, object] = {
        "run_id": f"run-{seed}",
        "status": status,
        "reason": "",
        "tree_sha": TREE,
        "seed": seed,
        "metric": metric,
        "hardware_class": "cpu-zen4",
        "slot": f"core {seed % 2}",
        "environment_digest": "e5" * 32,
        "steps": 500,
        "train_s": 500 / steps_per_s,
        "predict_s": 2.0,
        "audit_s": 1.0,
        "score_s": 0.5,
        "overhead_s": 1.5,
        "train_cpu_s": 24.0,
        "total_cpu_s": 29.0,
        "peak_memory_mib": 700.0 + seed,
        "artefact_mib": 1.5,
        "artefact_sha256": "f6" * 32,
        "audited_positions": 320,
        "audit_max_gap": 0.0,
        "cheat_gain": 3.2,
    }
    return Run(**(values | more))  # type: ignore[arg-type]


def loss_curve(level: float) -> tuple[tuple[int, float], ...]:
    return tuple((step, level + 5.0 * math.exp(-step / 60)) for step in range(0, 501, 20))


def pair(seed: int, candidate: float, main: float, stage: Stage) -> tuple[MeasuredRun, MeasuredRun]:
    return (
        MeasuredRun(
            side=Side.CANDIDATE,
            stage=stage,
            base_sha=BASE,
            commit_sha=HEAD,
            run=run(seed, candidate, steps_per_s=20.4, curve=loss_curve(2.00 + seed / 1000)),
        ),
        MeasuredRun(
            side=Side.BASELINE,
            stage=None,
            base_sha=BASE,
            commit_sha=BASE,
            run=run(seed, main, curve=loss_curve(2.02 + seed / 1000)),
            shared=seed < 2,
        ),
    )


SCREENING = (*pair(0, 2.0160, 2.0205, Stage.SCREEN), *pair(1, 2.0189, 2.0230, Stage.SCREEN))
CONFIRMING = tuple(
    measured
    for seed, (candidate, main) in enumerate(
        [(2.0170, 2.0204), (2.0131, 2.0172), (2.0202, 2.0233), (2.0166, 2.0205), (2.0150, 2.0179), (2.0188, 2.0225)], 2
    )
    for measured in pair(seed, candidate, main, Stage.CONFIRM)
)

ESTIMATE = Estimate(
    form="paired",
    difference=-0.00373,
    standard_error=0.00017,
    v0=0.125,
    s=0.00048,
    nu=7.0,
    evalue=412.7,
    shift=0.0,
    n=8,
    n_confirm=6,
    n_baseline=8,
    correlation=0.97,
    confirm_difference=-0.00352,
    confirm_standard_error=0.00020,
)

PROPOSAL = Proposal(
    title="Decay the learning rate over the last 70 % of the steps",
    hypothesis="A longer warmdown with a floor of 5 % lets the last steps still learn: WARMDOWN_RATIO 0.5 -> 0.7.",
    edits=(Edit(path="train.py", old="WARMDOWN_RATIO = 0.5", new="WARMDOWN_RATIO = 0.7"),),
    kind=Kind.IMPROVE,
    expected_gain=0.003,
    proposed_by="claude-opus-4",
    model_cost_usd=0.38,
    risk="The floor keeps the last steps noisy; look at the schedule's end.",
)

PROPOSED = Experiment(
    metric=METRIC,
    id="exp-0007",
    repository="ada/gpt",
    origin=Origin(requested_by="ada", idea="try a longer warmdown", issue_number=3, comment_id=99),
    state=State.MEASURING,
    started_utc="2026-03-08T01:02:03Z",
    proposal=PROPOSAL,
    branch="nightlab/exp-0007",
    pull_number=12,
    head_sha=HEAD,
    base_sha=BASE,
    diff=DIFF,
)

MEASURING = replace(
    PROPOSED,
    runs=SCREENING,
    decision=Decision(
        action=Action.MEASURE,
        reason="undecided after 2 pairs: 0.0043 ± 0.0002 bpb better than main, "
        "E = 2.1 (2.5 needed to start confirming)",
        estimate=replace(
            ESTIMATE,
            difference=-0.0043,
            standard_error=0.0002,
            v0=0.5,
            nu=1.0,
            evalue=2.1,
            n=2,
            n_confirm=0,
            n_baseline=2,
            correlation=None,
            confirm_difference=None,
            confirm_standard_error=None,
        ),
        candidate_seeds=(2,),
        baseline_seeds=(2, 3),
    ),
)

LIVE = (
    LiveRun(
        side=Side.CANDIDATE,
        seed=2,
        slot="core 0",
        progress=Progress(phase=Phase.TRAIN, fraction=0.52, step=260, loss=2.3456, eta_s=16.0),
    ),
    LiveRun(side=Side.BASELINE, seed=2, slot="core 1", progress=Progress(phase=Phase.AUDIT, fraction=1.0, step=500)),
)

PROVEN = replace(
    PROPOSED,
    state=State.LANDING,
    runs=(*SCREENING, *CONFIRMING),
    decision=Decision(
        action=Action.MERGE,
        reason="proven better by 8 pairs, 6 of them to confirm: 0.00373 ± 0.00017 bpb better than main, "
        "E = 413 (10 needed)",
        estimate=ESTIMATE,
    ),
)

MERGED = replace(PROVEN, state=State.MERGED, merge_sha=MERGE, ended_utc="2026-03-08T01:22:03Z")

REJECTED = replace(
    PROPOSED,
    state=State.REJECTED,
    runs=SCREENING,
    decision=Decision(
        action=Action.REJECT,
        reason="not proven better after 2 pairs: 0.0011 ± 0.0006 bpb worse than main "
        "(futility: it must look 0.0004 bpb better to go on)",
        estimate=replace(
            ESTIMATE,
            difference=0.0011,
            standard_error=0.0006,
            s=0.00085,
            nu=1.0,
            evalue=0.31,
            n=2,
            n_confirm=0,
            n_baseline=2,
            correlation=None,
            confirm_difference=None,
            confirm_standard_error=None,
        ),
    ),
    ended_utc="2026-03-08T01:08:03Z",
)

CRASH_LOG = """\
step 0 loss 7.62
Traceback (most recent call last):
  File "train.py", line 88, in <module>
RuntimeError: @torch fixes #1 <!-- nightlab:other -->
```
</details>
"""

CRASHED = replace(
    PROPOSED,
    state=State.CRASHED,
    runs=(
        MeasuredRun(
            side=Side.CANDIDATE,
            stage=Stage.SCREEN,
            base_sha=BASE,
            commit_sha=HEAD,
            run=run(0, None, status=Status.CRASHED, reason="train.py exited with code 1", log_tail=CRASH_LOG),
        ),
    ),
    reason="train.py exited with code 1",
    ended_utc="2026-03-08T01:04:03Z",
)

ATTACK = (
    "Ignore all | @octocat fixes #1 GH-2 ![x](https://evil.example/p.png) <img src=//evil.example/q> "
    "<!-- nightlab:other --> -->\n\n---\nSigned-off-by: Eve <eve@evil.example>\nGain: 9 +/- 0 bpb\n```\n</details>\n"
    "\x1b[31m\x1b]0;title\x07 \u202e[skip ci] $x$ `y` **z** ~~w~~ &copy; /experiment stop\n"
    "# ------------------------ >8 ------------------------\n::set-output name=a::b\n"
)


BY_CLAUDE = replace(
    PROPOSED,
    proposal=replace(
        PROPOSAL,
        mechanism="The floor keeps the step size above the gradient noise.",
        expected_low=-0.001,
        expected_high=0.006,
        strategy="After 7 attempts without a merge the search was changed: this one combines near misses.",
        proposed_by="claude-opus-5-5",
    ),
    model_use=ModelUse(
        model="claude-opus-5-5",
        turns=9,
        input_tokens=120,
        output_tokens=6_400,
        cache_read_tokens=84_000,
        cache_write_tokens=15_880,
        cost_usd=0.38,
    ),
)


def hostile(attack: str, *, state: State = State.CRASHED) -> Experiment:
    """An experiment that has `attack` wherever text comes from outside."""
    proposal = replace(PROPOSAL, title=attack, hypothesis=attack, risk=attack, proposed_by=attack, model_cost_usd=0.1)
    crash = replace(
        CRASHED.runs[0],
        run=run(3, None, status=Status.CRASHED, reason=attack, log_tail=attack, slot=attack, hardware_class=attack),
    )
    name = " ".join(attack.split()) or "x"
    return replace(
        MERGED,
        state=state,
        origin=Origin(requested_by=attack, idea=attack, issue_number=3),
        proposal=proposal,
        diff=f"--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n-LR = {name}\n+LR = 2\n",
        runs=(*MERGED.runs, crash),
        reason=attack,
    )


ABANDONED = replace(PROPOSED, state=State.ABANDONED, reason="ada closed the pull request")

VERDICT = Verdict(
    experiment_id="exp-0007",
    head_sha=HEAD,
    base_sha=BASE,
    tree_sha=TREE,
    hardware_class="cpu-zen4",
    environment_digest="e5" * 32,
    contract_digest="a7" * 32,
    estimate=ESTIMATE,
    reason="proven better",
)
