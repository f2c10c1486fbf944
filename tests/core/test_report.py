"""What people read on GitHub, compared as whole texts; and that no outside text changes its shape or its size."""

import math
import re
from dataclasses import replace

import pytest
from golden_text import assert_golden
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from report_examples import (
    ABANDONED,
    ATTACK,
    BASE,
    BY_CLAUDE,
    CRASHED,
    DIFF,
    ESTIMATE,
    HEAD,
    LIVE,
    MEASURING,
    MERGED,
    METRIC,
    PROPOSAL,
    PROPOSED,
    PROVEN,
    REJECTED,
    TERMS,
    hostile,
    run,
)

from bot.core.intake.grammar import GRAMMAR
from bot.core.layout import Land
from bot.core.metric import Direction, evidence, number, places
from bot.core.model import Action, Decision, Experiment, Kind, MeasuredRun, Plan, PlanStep, Side, State
from bot.core.order import Campaign, CampaignPlan, Carried
from bot.core.verdict.outcome import outcome
from bot.core.words import reply
from bot.core.words.changes import ConstantChange, FileChange, changes
from bot.core.words.curve import curve
from bot.core.words.description import BODY_LIMIT, commit_message, pull_body, pull_title
from bot.core.words.explanation import explained, numbers
from bot.core.words.figures import bar, figures, undetected
from bot.core.words.label import PREFIX, conclusion, label
from bot.core.words.report import CHECK_LIMIT, check, comment

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
SIMPLER = replace(
    PROPOSED, proposal=replace(PROPOSAL, kind=Kind.SIMPLIFY, title="Drop the softcap", expected_gain=None)
)
LEFT_OPEN = replace(
    PROVEN, state=State.PROVEN, reason="proven better by 8 pairs; the contract leaves merging to a person"
)
CONFIRMING = replace(
    MEASURING,
    state=State.CONFIRMING,
    decision=Decision(action=Action.CONFIRM, reason="promising after 2 pairs", estimate=ESTIMATE),
)


@pytest.mark.parametrize(
    ("experiment", "name"),
    [
        (PROPOSED, "comment_proposed.md"),
        (CONFIRMING, "comment_confirming.md"),
        (PROVEN, "comment_landing.md"),
        (MERGED, "comment_merged.md"),
        (REJECTED, "comment_rejected.md"),
        (CRASHED, "comment_crashed.md"),
        (ABANDONED, "comment_abandoned.md"),
        (LEFT_OPEN, "comment_proven.md"),
        (replace(MEASURING, held=True), "comment_held.md"),
        (hostile(ATTACK), "comment_hostile.md"),
    ],
)
def test_comment(experiment: Experiment, name: str) -> None:
    assert_golden(comment(experiment, terms=TERMS), name)


def test_comment_with_runs_under_way() -> None:
    assert_golden(comment(MEASURING, terms=TERMS, live=LIVE, eta_s=700), "comment_measuring.md")


@pytest.mark.parametrize(
    ("experiment", "name"),
    [
        (PROPOSED, "pull.md"),
        (BY_CLAUDE, "pull_by_claude.md"),
        (SIMPLER, "pull_simplify.md"),
        (hostile(ATTACK), "pull_hostile.md"),
    ],
)
def test_pull_body(experiment: Experiment, name: str) -> None:
    assert_golden(pull_body(experiment, terms=TERMS), name)


def test_claims_mode_says_so_everywhere() -> None:
    claims = replace(TERMS, metric=replace(METRIC, self_reported=True), land=Land.MANUAL)
    texts = [pull_body(PROPOSED, terms=claims), comment(MEASURING, terms=claims), check(MEASURING, terms=claims)[1]]
    assert all("**self-reported**" in text for text in texts)
    assert "leaves the merge to you" in texts[0]
    assert "prints its own `val_bpb`" in texts[0]


def test_a_self_reported_number_never_stands_alone() -> None:
    """Every number in the metric's unit says where it is from, and no heading calls it measured."""
    claims = replace(TERMS, metric=replace(METRIC, self_reported=True))
    for told in (MEASURING, MERGED, REJECTED, PROVEN):
        assert told.decision is not None
        experiment = replace(told, reason="", decision=replace(told.decision, reason=""))
        for text in (comment(experiment, terms=claims), *check(experiment, terms=claims)):
            assert not re.search(r"\d bpb(?! \(self-reported\))", text)
            assert "| | measured |" not in text
            assert "asked again, all agree" not in text
            assert "| steps | val_bpb |" not in text


def test_check_with_runs_under_way() -> None:
    title, summary, text = check(MEASURING, terms=TERMS, live=LIVE, eta_s=700)
    assert title == "Measuring, 2 of at most 16 candidate runs done, about 12 min left"
    assert_golden(f"{summary}\n=====\n\n{text}", "check_measuring.md")


def test_pull_title_is_one_line_without_references() -> None:
    assert pull_title(PROPOSAL) == PROPOSAL.title
    assert pull_title(replace(PROPOSAL, title="fixes #1\n@you " + "x" * 100)) == "fixes # 1 @ you " + "x" * 55 + "…"
    assert pull_title(replace(PROPOSAL, title="\x00\n")) == "Experiment without a title"


def test_higher_is_better_turns_the_sign_of_the_difference_but_not_of_the_gain() -> None:
    accuracy = replace(TERMS, metric=replace(METRIC, name="accuracy", unit="", direction=Direction.HIGHER))
    text = comment(MERGED, terms=accuracy)
    assert "+0.00373 ± 0.00017 = +7.8 ± 0.4 sigmas" in text
    assert "**0.00352 ± 0.00020** | `accuracy` 2.01326 → 2.01678" in text


def test_outcome_rests_on_confirmation_runs_only() -> None:
    found = outcome(MERGED.runs, estimate=ESTIMATE, base_sha=MERGED.base_sha, metric=METRIC)
    assert found.confirmed
    assert found.after == pytest.approx((2.0170 + 2.0131 + 2.0202 + 2.0166 + 2.0150 + 2.0188) / 6)
    assert found.before == pytest.approx((2.0204 + 2.0172 + 2.0233 + 2.0205 + 2.0179 + 2.0225) / 6, abs=1e-5)


def test_confirmation_runs_against_an_earlier_main_do_not_count_for_the_gain() -> None:
    earlier = replace(MERGED.runs[-2], base_sha="0" * 40, run=replace(MERGED.runs[-2].run, metric=9.0))
    runs = (earlier, *MERGED.runs)
    found = outcome(runs, estimate=ESTIMATE, base_sha=MERGED.base_sha, metric=METRIC)
    assert found == outcome(MERGED.runs, estimate=ESTIMATE, base_sha=MERGED.base_sha, metric=METRIC)


def test_outcome_without_an_estimate_is_the_means() -> None:
    found = outcome(MEASURING.runs, estimate=None, base_sha=MEASURING.base_sha, metric=METRIC)
    assert (found.before, found.after, found.gain) == (pytest.approx(2.02175), pytest.approx(2.01745), None)


def test_a_bayes_factor_is_never_called_a_probability() -> None:
    for experiment in (PROPOSED, MEASURING, PROVEN, MERGED, REJECTED):
        text = comment(experiment, terms=TERMS) + pull_body(experiment, terms=TERMS)
        assert not re.search(r"probab|chance|1/E|confidence", text, re.IGNORECASE)


def shape(markdown: str) -> list[str]:
    """The blocks a text is made of."""
    return [token.type for token in MARKDOWN.parse(markdown)]


@settings(max_examples=60, deadline=None)
@given(
    st.text(alphabet=st.sampled_from("@#1`*_[]()!<>&|~$\\-=+\n\r\t \x1b\u202eab:/."), max_size=60),
    st.sampled_from(State),
)
def test_outside_text_does_not_change_the_shape(attack: str, state: State) -> None:
    tame, wild = hostile("tame", state=state), hostile(f"tame {attack} tame", state=state)
    for write in (comment, pull_body):
        assert shape(write(wild, terms=TERMS)) == shape(write(tame, terms=TERMS))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200), st.sampled_from(State))
def test_no_text_acts_or_is_taken_for_ours(attack: str, state: State) -> None:
    experiment = hostile(attack + ATTACK, state=state)
    for text in (comment(experiment, terms=TERMS), pull_body(experiment, terms=TERMS), *check(experiment, terms=TERMS)):
        assert text.count("<!-- nightlab:") <= 1
        assert "<!-- nightlab:other" not in text
        for token in MARKDOWN.parse(text):
            for child in token.children or []:
                assert child.type not in ("image", "link_open")
                if child.type == "text":
                    assert not re.search(r"@\w|GH-\d|://|www\.|#[124-9]", child.content)  # in #3 it was asked for


def test_the_largest_experiment_fits() -> None:
    attack = "🦀" * 5000
    many = replace(
        hostile(attack),
        diff="".join(f"--- a/{i}{attack}\n+++ b/{i}{attack}\n@@ -1 +1 @@\n-A = 1\n+A = 2\n" for i in range(60)),
    )
    many = replace(many, runs=many.runs * 40)
    title, summary, text = check(many, terms=TERMS, live=LIVE * 50, eta_s=1)
    assert len(title) <= 120
    assert len(summary.encode()) <= CHECK_LIMIT
    assert len(text.encode()) <= CHECK_LIMIT
    for body in (comment(many, terms=TERMS, live=LIVE * 50), pull_body(many, terms=TERMS)):
        assert len(body.encode()) <= BODY_LIMIT
        assert body.startswith("<!-- nightlab:exp-0007 -->\n")
        assert body.count("<details>") == body.count("</details>")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0])
def test_numbers_that_are_not_finite_do_not_fail(value: float) -> None:
    estimate = replace(ESTIMATE, difference=value, standard_error=value, s=value, nu=value, evalue=value)
    broken = replace(
        MERGED, decision=Decision(action=Action.REJECT, reason="", estimate=estimate), state=State.REJECTED
    )
    assert comment(broken, terms=TERMS)


def test_numbers_in_words() -> None:
    assert (places(0.00090), places(None), places(120.0), places(0.0)) == (5, 5, 0, 5)
    assert (number(-0.01, 2), number(0.01, 2, signed=True), number(math.nan, 2)) == ("−0.01", "+0.01", "n/a")
    assert [evidence(e) for e in (0.31, 41.23, 5000.4, 2e9)] == ["0.31", "41.2", "5000", "more than 10,000"]
    assert bar(0.5) == "██████████░░░░░░░░░░ 50%"
    assert (bar(-1), bar(2), bar(math.nan)) == ("░" * 20 + " 0%", "█" * 20 + " 100%", "░" * 20 + " 0%")


def test_changes_are_read_from_the_diff() -> None:
    found = changes(DIFF)
    assert found.files == (FileChange(path="train.py", added=3, removed=2),)
    assert found.constants == (
        ConstantChange(path="train.py", name="WARMDOWN_RATIO", old="0.5", new="0.7"),
        ConstantChange(path="train.py", name="final_lr", old="0.0", new="0.05"),
    )


def test_a_changed_line_that_looks_like_a_header_is_a_line() -> None:
    diff = "--- /dev/null\n+++ b/a.py\n@@ -0,0 +1,2 @@\n+++ b/evil.py\n+x\n"
    diff += "--- a/old.py\n+++ /dev/null\n@@ -1 +0,0 @@\n--- y\n"
    assert changes(diff).files == (
        FileChange(path="a.py", added=2, removed=0),
        FileChange(path="old.py", added=0, removed=1),
    )


@given(st.text(alphabet=st.sampled_from("+-@ \n\\=#aA1,/"), max_size=200))
def test_changes_reads_anything(diff: str) -> None:
    changes(diff)
    changes(DIFF[: len(diff)] + diff)


def test_curve_needs_two_finite_points() -> None:
    first = MERGED.runs[0]
    for points in ((), ((1, 2.0),), ((1, math.nan), (2, math.inf)), ((5, 1.0), (5, 2.0))):
        assert curve([replace(first, run=replace(first.run, curve=points))]) == ""


@given(st.lists(st.tuples(st.integers(), st.floats()), max_size=60))
def test_curve_holds_finite_numbers_only(points: list[tuple[int, float]]) -> None:
    first = MERGED.runs[0]
    chart = curve([replace(first, run=replace(first.run, curve=tuple(points)))])
    assert not re.search(r"\b(nan|inf)\b", chart)


def test_labels_and_conclusions_cover_every_state() -> None:
    labels = [label(state) for state in State]
    assert len({item.name for item in labels}) == len(State)
    assert all(item.name.startswith(PREFIX) and re.fullmatch("[0-9a-f]{6}", item.color) for item in labels)
    assert [conclusion(state) is None for state in State] == [True] * 3 + [False] * 6


def test_commit_message_of_a_proposal_ends_in_its_own_trailer() -> None:
    text = commit_message(replace(PROPOSAL, hypothesis="Lower it.\n\nSigned-off-by: Eve <e@x.y>"))
    assert text == "Lower it. Signed-off-by: Eve <e@ x.y>\n\nProposed-by: claude-opus-4\n"


CARRIED = Carried(
    id="pc7",
    repository="ada/gpt",
    requested_by="ada",
    issue_number=3,
    plan=Plan(
        reason="it changes three things at once",
        steps=(
            PlanStep(title="Warm up longer", idea="..."),
            PlanStep(title="@eve closes #1 | <!-- x -->", idea="..."),
            PlanStep(title="Decay weights more", idea="..."),
        ),
    ),
    results=(replace(REJECTED, reason="not better than main"),),
)
CAMPAIGN = Campaign(
    plan=CampaignPlan(
        id="k1",
        repository="ada/gpt",
        requested_by="ada",
        issue_number=3,
        experiments=20,
        hours=8.0,
        usd=50.0,
        parallel=2,
        experiments_per_day=200,
        experiments_per_person_per_day=100,
    ),
    started_utc="2026-03-08T01:00:00Z",
    results=(MERGED, hostile("a | b @x #1"), ABANDONED),
)


def test_the_comment_of_the_longest_campaign_fits() -> None:
    text = reply.campaign(replace(CAMPAIGN, results=(MERGED,) * 10_000))
    assert "and 9900 earlier ones, in the ledger" in text
    assert len(text.encode()) <= BODY_LIMIT
    assert len(reply.campaign(replace(CAMPAIGN, results=(hostile("@🦀" * 500),) * 10_000)).encode()) <= BODY_LIMIT


def test_explanations() -> None:
    examples = (PROPOSED, MEASURING, PROVEN, REJECTED, MERGED)
    assert_golden("\n\n---\n\n".join(explained(x, terms=TERMS) for x in examples) + "\n", "explanations.md")


def test_replies() -> None:
    texts = [
        reply.another_head(MEASURING, doing="merged"),
        reply.nothing_measured(PROPOSED),
        reply.main_moved(PROVEN),
        reply.not_merged("ada asked for changes"),
        reply.confirm_merge(REJECTED, said=numbers(REJECTED, terms=TERMS)),
        reply.nothing_proposed(reason="the tuner knows no constant of that name."),
        reply.command_error(command="/experiment `stpo`", problem="write /experiment stop"),
        reply.refused_permission(login="eve"),
        reply.refused_limit(limit="the contract's limit on experiments in 24 hours (200)"),
        reply.refused_state(doing="close", state="merged"),
        reply.broken_contract(["line 3: policy.e_merge: must be at least 1, not @x"]),
        reply.broken_contract([f"line {i}: x" for i in range(25)]),
        reply.how_it_ended(replace(REJECTED, reason="not proven better; see @x #1")),
        reply.how_it_ended(replace(ABANDONED, pull_number=None, reason="no idea is left")),
        reply.merging_stopped(MERGED, "main has tree abc, not def"),
        reply.campaign(CAMPAIGN),
        reply.campaign(replace(CAMPAIGN, reason="its 8 hours are over")),
        reply.plan(CARRIED, MERGED),
        reply.plan(replace(CARRIED, reason="this issue was closed"), None),
        reply.revised(MERGED),
        reply.not_revised("@ada closes #1 <!-- nightlab: --> | x"),
        reply.commands(GRAMMAR),
    ]
    assert_golden("\n\n".join(texts) + "\n", "replies.md")


def test_the_audits_blind_spot_shrinks_with_every_run() -> None:
    one = [MeasuredRun(side=Side.CANDIDATE, stage=None, base_sha=BASE, commit_sha=HEAD, run=run(1, 2.0))]
    # 1 - 0.05 ** (1 / 320) of all places, each worth 3.2 at most
    assert undetected(one) == pytest.approx(0.0298, abs=1e-4)
    assert undetected(one * 8) == pytest.approx(0.00374, abs=1e-5)
    unknown = [replace(one[0], run=replace(one[0].run, cheat_gain=0.0))]
    assert undetected(unknown) is None
    tolerant = [replace(r, run=replace(r.run, audit_tolerance=0.05, audit_unit="nats", hidden_gain=0.002)) for r in one]
    assert undetected(tolerant) == pytest.approx(0.0298 + 0.002, abs=1e-4)


def test_the_report_says_when_runs_were_not_in_a_container() -> None:
    weaker = [replace(r, run=replace(r.run, sandbox="subprocess")) for r in PROVEN.runs]
    assert "its numbers can be faked" in figures(replace(PROVEN, runs=tuple(weaker)), TERMS)
    assert "Sandbox" not in figures(PROVEN, TERMS)
