"""The offline proposer: changes one constant at a time, guided by the ledger. The only module that imports optuna.

Which constant: the field's priors, less every time it did not help, more after it did. Which value: the first steps
the field would try, then Optuna's tree-structured Parzen estimator (Bergstra et al., 2011) over that constant's trials.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from bot.core.model import Edit, Kind, LedgerRow, Proposal, State
from bot.core.proposal.constants import Constant, UnparsableError, Value, find_constants
from bot.core.proposal.edits import edit_constants, render
from bot.core.proposal.idea import Wish, read_idea
from bot.core.proposal.priors import Prior, Shape, is_protected, prior_of
from bot.core.proposal.steps import candidate_values, first_values
from bot.core.proposal.trials import Trial, Trials, read_trials
from bot.core.text import counted

_TITLE_LENGTH = 72
_CROWDED = 0.2  # interest left in a constant for each experiment in flight on it
_FLAT = 0.25  # for each attempt that made no difference: the constant does not matter much here
_STEEP = 0.7  # for each one that did harm: the constant matters, and the other way may help
_BRACKETED = 0.3  # when both ways were tried without a gain: the optimum is near
_TRIALS_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class NoProposal:
    """Why there is nothing to propose, in a sentence for the person who asked."""

    reason: str


def propose(
    *,
    source: str,
    path: str,
    history: Sequence[LedgerRow],
    in_flight: Sequence[Edit],
    idea: str,
    seed: int,
    preset: str = "",
) -> Proposal | NoProposal:
    """One edit of one constant of `source`, or of two when every single change was tried. Same inputs, same answer.

    `history` is oldest first and of one hardware class; `in_flight` are the edits of experiments that are not over;
    `idea` is untrusted and may be empty; `preset` names the branch of `if PRESET == "..."` that is measured.
    """
    try:
        constants = find_constants(source, preset=preset)
    except UnparsableError as error:
        return NoProposal(reason=f"The tuner cannot read {path}: {error}.")
    tunable = {constant.name: constant for constant in constants if not is_protected(constant)}
    if not tunable:
        return NoProposal(
            reason=f"The tuner found no constant to change in {path}: it needs lines such as `EMBEDDING_LR = 0.3` "
            "at module level."
        )
    today = {constant.name: constant.value for constant in constants}
    trials = read_trials(today=today, history=history, in_flight=in_flight, path=path)
    rng = random.Random(f"{seed} {len(history)} {len(in_flight)}")  # noqa: S311  # variety, not secrecy
    search = _Search(constants=tunable, trials=trials, rng=rng)
    chosen: dict[str, Value] | NoProposal
    if idea.strip():
        wish = read_idea(idea, constants)
        chosen = NoProposal(reason=wish) if isinstance(wish, str) else search.granted(wish)
    else:
        chosen = search.next_change()
    if isinstance(chosen, NoProposal):
        return chosen
    return Proposal(
        title=_title([(tunable[name], value) for name, value in chosen.items()]),
        hypothesis=" ".join(_hypothesis(tunable[name], value, trials) for name, value in chosen.items()),
        edits=edit_constants(source=source, path=path, values=chosen, preset=preset),
        kind=Kind.IMPROVE,
        expected_gain=_expected_gain(chosen, tunable, trials),
        proposed_by="tuner",
        risk=_hint([tunable[name] for name in chosen]),
    )


def revise(*, base: str, head: str, path: str, wish: str, preset: str = "") -> Proposal | NoProposal:
    """What leads from the `base` text of a file to its `head` text, with one constant set to the value that is wished.

    `wish` is untrusted.
    """
    try:
        before, now = (find_constants(source, preset=preset) for source in (base, head))
    except UnparsableError as error:
        return NoProposal(reason=f"the tuner cannot read {path}: {error}")
    found = read_idea(wish, now)
    if not isinstance(found, Wish) or found.value is None:
        return NoProposal(
            reason="the tuner wrote this proposal, and all it understands is one constant and a value, such as "
            "`/revise LR 0.6`; push a commit for anything else"
        )
    values = {constant.name: constant.value for constant in now} | {found.name: found.value}
    changes = [(one, values[one.name]) for one in before if values.get(one.name, one.value) != one.value]
    if not changes:
        return NoProposal(reason=f"with {found.name} at {found.value} nothing would differ from main")
    if any(constant.name == found.name and constant.value == found.value for constant in now):
        return NoProposal(reason=f"{found.name} is {found.value} already")
    none = read_trials(today={one.name: one.value for one in before}, history=(), in_flight=(), path=path)
    return Proposal(
        title=_title(changes),
        hypothesis=" ".join(_hypothesis(constant, value, none) for constant, value in changes),
        edits=edit_constants(source=base, path=path, values={c.name: v for c, v in changes}, preset=preset),
        kind=Kind.IMPROVE,
        expected_gain=None,
        proposed_by="tuner",
        risk=_hint([constant for constant, _ in changes]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    constants: dict[str, Constant]
    trials: Trials
    rng: random.Random

    def granted(self, wish: Wish) -> dict[str, Value] | NoProposal:
        constant = self.constants[wish.name]
        if wish.value is not None:
            if self.trials.is_tried({wish.name: wish.value}):
                return NoProposal(reason=_tried_already(constant, wish.value, self.trials))
            return {wish.name: wish.value}
        pool = [value for value in self._untried(constant) if (value - constant.value) * wish.direction >= 0]
        if not pool:
            return NoProposal(
                reason=f"Every step of {constant.name} from today's {constant.value} was tried: give a value."
            )
        return {wish.name: self._value(constant, pool)}

    def next_change(self) -> dict[str, Value] | NoProposal:
        open_values = {name: pool for name, constant in self.constants.items() if (pool := self._untried(constant))}
        if open_values:
            names = list(open_values)
            name = self.rng.choices(names, weights=[self._interest(self.constants[name]) for name in names])[0]
            return {name: self._value(self.constants[name], open_values[name])}
        return self._pair() or NoProposal(
            reason="The tuner tried every step of every constant it knows: give it an idea such as "
            f"`{next(iter(self.constants))} <value>`, or let Claude propose."
        )

    def _untried(self, constant: Constant) -> list[Value]:
        """Candidates not tried against today's other constants; those never tried at all, where there are any."""
        values = candidate_values(constant=constant, prior=prior_of(constant), values=self.trials.today)
        pool = [value for value in values if not self.trials.is_tried({constant.name: value})]
        seen = {trial.value for trial in self.trials.by_name.get(constant.name, ())}
        return [value for value in pool if value not in seen] or pool

    def _interest(self, constant: Constant) -> float:
        """How much a run of this constant is worth, relative to others."""
        interest = prior_of(constant).weight * _CROWDED ** self.trials.waiting.get(constant.name, 0)
        sides: set[bool] = set()
        for trial in self.trials.by_name.get(constant.name, ()):
            if trial.row.state is State.MERGED:
                return 2 * interest
            sides.add(trial.value > constant.value)
            gain, error = trial.row.gain, trial.row.standard_error or 0.0
            flat = gain is not None and abs(gain) <= 2 * error
            interest *= _FLAT if flat else _STEEP
        return interest * (_BRACKETED if len(sides) == 2 else 1.0)

    def _value(self, constant: Constant, pool: Sequence[Value]) -> Value:
        prior = prior_of(constant)
        trials = self.trials.by_name.get(constant.name, ())
        if not trials:
            firsts = [v for v in first_values(constant=constant, prior=prior, values=self.trials.today) if v in pool]
            if firsts:
                return self.rng.choices(firsts, weights=[0.4**rank for rank in range(len(firsts))])[0]
        if not trials or len(pool) == 1:
            return self.rng.choice(list(pool))
        sampled = _sample(
            constant=constant,
            pool=pool,
            levels=self.trials.levels[constant.name],
            broken=[trial.value for trial in trials if trial.level is None],
            seed=self.rng.randrange(2**32),
        )
        logarithmic = _is_logarithmic(constant, pool)
        return min(pool, key=lambda value: abs(_coordinate(value, logarithmic) - sampled))

    def _pair(self) -> dict[str, Value] | None:
        """Two changes that each came close on today's constants."""
        near: dict[str, Trial] = {}
        for name, constant in self.constants.items():
            for trial in self.trials.by_name.get(name, ()):
                close = (trial.row.gain or 0.0) + (trial.row.standard_error or 0.0) > 0
                rejected = trial.row.state is State.REJECTED and trial.row.gain is not None
                if rejected and close and trial.before == constant.value and _level(trial) > _level(near.get(name)):
                    near[name] = trial
        ranked = sorted(near.values(), key=_level, reverse=True)
        pairs = sorted(combinations(ranked, 2), key=lambda pair: -_level(pair[0]) - _level(pair[1]))
        for first, second in pairs:
            values = {first.name: first.value, second.name: second.value}
            if not self.trials.is_tried(values):
                return values
        return None


def _level(trial: Trial | None) -> float:
    return -math.inf if trial is None or trial.level is None else trial.level


def _sample(
    *, constant: Constant, pool: Sequence[Value], levels: Mapping[Value, float], broken: Sequence[Value], seed: int
) -> float:
    """Where the Parzen estimator would look next, as a coordinate: the logarithm of a value that acts by ratio."""
    import optuna  # slow to import, and most processes of the bot never tune
    from optuna.distributions import BaseDistribution, FloatDistribution
    from optuna.trial import create_trial

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logarithmic = _is_logarithmic(constant, pool)
    reach = [_coordinate(value, logarithmic) for value in (*pool, constant.value)]
    space: dict[str, BaseDistribution] = {constant.name: FloatDistribution(min(reach), max(reach))}
    worst, best = min(levels.values()), max(levels.values())
    crash = worst - (best - worst or 1.0)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(n_startup_trials=1, seed=seed))
    for value, level in [*levels.items(), *((value, crash) for value in broken)]:
        if logarithmic and value <= 0:
            continue
        at = _coordinate(value, logarithmic)
        if min(reach) <= at <= max(reach):
            study.add_trial(create_trial(params={constant.name: at}, distributions=space, value=level))
    return float(study.ask(space).params[constant.name])


def _is_logarithmic(constant: Constant, pool: Sequence[Value]) -> bool:
    return prior_of(constant).shape in (Shape.SCALE, Shape.SIZE) and min(*pool, constant.value) > 0


def _coordinate(value: Value, logarithmic: bool) -> float:
    return math.log(value) if logarithmic else float(value)


def _expected_gain(chosen: dict[str, Value], constants: dict[str, Constant], trials: Trials) -> float | None:
    """The sum over constants of a kernel mean of what was measured near the value; None where nothing was."""
    total = 0.0
    for name, value in chosen.items():
        constant = constants[name]
        points = trials.levels.get(name, {})
        if len(points) < 2:  # today's own, at 0, says nothing
            return None
        logarithmic = min(value, *points) > 0
        here = _coordinate(value, logarithmic)
        width = abs(here - _coordinate(constant.value, logarithmic)) or 1.0
        weighted = [
            (math.exp(-0.5 * ((_coordinate(at, logarithmic) - here) / width) ** 2), level)
            for at, level in points.items()
        ]
        total += sum(w * level for w, level in weighted) / sum(w for w, _ in weighted)
    return total


def _title(changes: Sequence[tuple[Constant, Value]]) -> str:
    """Imperative, as long as fits."""
    texts = [(constant, render(value=value, like=constant.text)) for constant, value in changes]
    if len(texts) > 1:
        forms = ["Set " + " and ".join(f"{c.name} to {text}" for c, text in texts), "Combine two near misses"]
    else:
        ((constant, text),) = texts
        verb = "Raise" if changes[0][1] > constant.value else "Lower"
        if isinstance(constant.value, bool):
            forms = [f"Turn {constant.name} {'on' if changes[0][1] else 'off'}", "Flip one switch"]
        else:
            forms = [
                f"{verb} {constant.name} from {constant.text} to {text}",
                f"{verb} {constant.name} to {text}",
                f"{verb} {constant.leaf} to {text}",
                f"{verb} one constant to {text}",
            ]
    return next((form for form in forms if len(form) <= _TITLE_LENGTH), forms[-1][:_TITLE_LENGTH])


def _hypothesis(constant: Constant, value: Value, trials: Trials) -> str:
    prior: Prior = prior_of(constant)
    mechanism = prior.up if value > constant.value else prior.down
    change = f"{constant.name} {constant.text} -> {render(value=value, like=constant.text)}"
    return f"{change}: {mechanism}. {_evidence(trials.by_name.get(constant.name, ()))}"


def _evidence(trials: Sequence[Trial]) -> str:
    if not trials:
        return "The ledger has no measurement of this constant yet."
    shown = "; ".join(_outcome(trial) for trial in trials[:_TRIALS_SHOWN])
    return f"The ledger has {counted(len(trials), 'attempt')} on it, the latest: {shown}."


def _outcome(trial: Trial) -> str:
    row = trial.row
    reference = f"#{row.pull_number}" if row.pull_number is not None else row.experiment_id
    change = f"{trial.before} -> {trial.value}"
    if row.gain is None:
        return f"{change} {'crashed' if row.state is State.CRASHED else 'left no measurement'} ({reference})"
    error = "" if row.standard_error is None else f" ± {row.standard_error:.4f}"
    effect = "gained" if row.gain > 0 else "lost"
    return f"{change} {effect} {abs(row.gain):.4f}{error} and was {row.state.value} ({reference})"


def _tried_already(constant: Constant, value: Value, trials: Trials) -> str:
    same = [trial for trial in trials.by_name.get(constant.name, ()) if trial.value == value]
    seen = f"in the ledger, {_outcome(same[0])}" if same else "in the ledger or in flight"
    return f"{constant.name} = {value} with today's other constants is already {seen}: name another value."


def _hint(constants: Sequence[Constant]) -> str:
    sizes = [c.name for c in constants if prior_of(c).shape in (Shape.SIZE, Shape.COUNT)]
    return f"{' and '.join(sizes)} may change memory and the number of steps in the budget." if sizes else ""
