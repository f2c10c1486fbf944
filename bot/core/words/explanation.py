"""The answer to `/explain`: why the decision is what it is, for somebody who has read none of the documentation."""

from bot.core.metric import evidence, number, places
from bot.core.model import Estimate, Experiment, Kind
from bot.core.text import counted, joined, neutral
from bot.core.words.description import BODY_LIMIT
from bot.core.words.figures import Terms, bound, estimate_of, sha, unit
from bot.core.words.report import headline, next_step


def explained(x: Experiment, *, terms: Terms) -> str:
    """The whole story so far in plain words, at most `BODY_LIMIT` bytes."""
    estimate = estimate_of(x)
    parts = [
        f"**Where it stands.** {headline(x, terms=terms)}",
        f"**What is asked.** {_question(x)}",
        f"**What was found.** {numbers(x, terms=terms)}",
        f"**How sure that is.** {_sureness(x, estimate, terms)}" if estimate else "",
        "" if x.state.ended else f"**What comes next.** {_capital(next_step(x, terms))}.",
        f"**What would change the decision.** {_change(x, terms)}" if not x.state.ended else "",
    ]
    return joined(parts, BODY_LIMIT)


def numbers(x: Experiment, *, terms: Terms) -> str:
    """What the runs of this head say, in one or two sentences."""
    estimate = estimate_of(x)
    if estimate is None:
        return f"Nothing yet: too few runs of {sha(x.head_sha)} are done to compare them with main."
    decimals = places(estimate.standard_error)
    difference = number(abs(estimate.difference), decimals)
    which = "better" if estimate.difference < 0 else "worse"
    error = number(estimate.standard_error, decimals)
    how = "seed by seed" if estimate.form == "paired" else "mean against mean"
    return (
        f"{counted(estimate.n, 'run')} of the change ({estimate.n_confirm} of them to confirm) and "
        f"{counted(estimate.n_baseline, 'run')} of main, compared {how}: it is {difference} ± {error}"
        f"{unit(terms.metric)} {which} than main. The evidence for “{_claim(x)}” is *E* = "
        f"{evidence(estimate.evalue)}; {terms.policy.e_merge:g} are needed to merge."
    )


def _question(x: Experiment) -> str:
    return (
        f"Whether {sha(x.head_sha)} is really {_claim(x)} at {sha(x.base_sha)}, or only drew luckier seeds: the same "
        "code with another seed scores differently, and one lower number proves nothing."
    )


def _sureness(x: Experiment, estimate: Estimate, terms: Terms) -> str:
    what = "The difference of two runs with one seed" if estimate.form == "paired" else "One run"
    size = number(estimate.s, places(estimate.s))
    if estimate.evalue >= 1:
        odds = f"These runs are {evidence(estimate.evalue)} times as likely if the claim is true as if it is not."
    else:
        odds = f"These runs are {evidence(1 / max(estimate.evalue, 1e-9))} times as likely if the claim is false."
    return (
        f"{odds} That is no probability, and it may be looked at after every run without fooling oneself. {what} "
        f"scatters by {size}{unit(terms.metric)} around its mean."
    )


def _change(x: Experiment, terms: Terms) -> str:
    kind = x.proposal.kind if x.proposal else Kind.IMPROVE
    policy = terms.policy
    return (
        f"It is closed as soon as its mean is not {bound(kind, policy)}, or when {policy.n_max} runs did not prove it. "
        f"It is proven with *E* of at least {policy.e_merge:g} and {policy.n_confirm} confirmation runs on today's "
        "main. `/rerun` adds runs, `/revise` changes the proposal, `/merge` overrides the numbers."
    )


def _claim(x: Experiment) -> str:
    simpler = x.proposal is not None and x.proposal.kind is Kind.SIMPLIFY
    return "no worse than main" if simpler else "better than main"


def _capital(text: str) -> str:
    return neutral(text[:1].upper(), 1) + text[1:]
