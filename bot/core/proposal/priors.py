"""What a constant's name says about it: whether it may be touched, how it acts, and why it matters."""

import re
from dataclasses import dataclass
from enum import StrEnum

from bot.core.proposal.constants import Constant


class Shape(StrEnum):
    SCALE = "scale"  # positive, acts by ratio: learning rates, decays, standard deviations
    FRACTION = "fraction"  # in [0, 1], acts by difference
    SIZE = "size"  # whole, acts by ratio, hardware wants multiples: widths, batches
    COUNT = "count"  # whole, acts by difference: layers, iterations
    FLAG = "flag"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """`first` holds the values or steps to try before anything is known: ratios of SCALE and SIZE, differences else."""

    words: str  # a regular expression, matched at the start of one part of the constant's name
    shape: Shape
    low: float
    high: float
    first: tuple[float, ...]
    weight: float  # how often it is worth a run, relative to the others
    up: str
    down: str
    from_zero: tuple[float, ...] = ()  # where a SCALE that is switched off may start


# The first row that matches wins; a name's last parts say what kind of number it is, so FINAL_LR_FRAC is no LR.
_PRIORS = (
    Prior(
        words="FINAL|MIN_LR|END_LR",
        shape=Shape.FRACTION,
        low=0.0,
        high=0.3,
        first=(0.05, 0.02),
        weight=3,
        up="a floor under the decayed learning rate keeps the last steps of a short run learning",
        down="annealing further removes more gradient noise from the final weights",
    ),
    Prior(
        words="WARMDOWN|COOLDOWN",
        shape=Shape.FRACTION,
        low=0.05,
        high=1.0,
        first=(0.15, -0.15),
        weight=3,
        up="a longer decay averages out more noise, which short runs tend to reward",
        down="more steps at the full rate go further when the run is still far from converged",
    ),
    Prior(
        words="WARMUP",
        shape=Shape.FRACTION,
        low=0.0,
        high=0.3,
        first=(0.02, 0.05),
        weight=1,
        up="a gentler start avoids early damage by a high learning rate",
        down="every warm-up step is a step at less than the full rate",
    ),
    Prior(
        words="BETA|MOMENTUM|EMA",
        shape=Shape.FRACTION,
        low=0.5,
        high=0.999,
        first=(-0.05, 0.03),
        weight=1,
        up="a longer average smooths the noise of small batches",
        down="a shorter average follows the gradient faster, which a short run needs",
    ),
    Prior(
        words="DROPOUT",
        shape=Shape.FRACTION,
        low=0.0,
        high=0.5,
        first=(-0.1, 0.05),
        weight=1,
        up="regularisation pays when the data repeat",
        down="a run shorter than one epoch has little to overfit",
    ),
    Prior(
        words="LR|LEARNING",
        shape=Shape.SCALE,
        low=1e-7,
        high=30.0,
        first=(1.5, 0.67, 1.25),
        weight=4,
        up="a short budget rewards larger steps until training becomes unstable",
        down="smaller steps settle in a lower minimum if the rate is past its optimum",
    ),
    Prior(
        words="WD|DECAY",
        shape=Shape.SCALE,
        low=1e-6,
        high=2.0,
        first=(0.67, 1.5),
        weight=2,
        from_zero=(0.01, 0.03, 0.1, 0.001, 0.2),
        up="decay keeps the weights small, so that the same learning rate acts as a larger relative step",
        down="a short run hardly overfits, and decay works against fitting",
    ),
    Prior(
        words="ROPE|ROTARY|THETA",
        shape=Shape.SCALE,
        low=100.0,
        high=5e6,
        first=(2.0, 0.5, 4.0),
        weight=2,
        up="slower rotations leave more dimensions that match by content at any distance",
        down="faster rotations resolve positions better in a short context",
    ),
    Prior(
        words="SOFTCAP|CAP",
        shape=Shape.SCALE,
        low=2.0,
        high=100.0,
        first=(1.35, 0.75),
        weight=1,
        from_zero=(15.0, 30.0),
        up="a looser cap lets the model be more certain where it is right",
        down="a tighter cap bounds the logits and steadies the head's gradient",
    ),
    Prior(
        words="CLIP",
        shape=Shape.SCALE,
        low=0.01,
        high=100.0,
        first=(0.5, 2.0),
        weight=1,
        up="clipping less keeps the length of large informative gradients",
        down="clipping more tames rare bad batches",
    ),
    Prior(
        words="INIT|STD|X0|RESID|LAMBDA|GAIN|SCALE",
        shape=Shape.SCALE,
        low=1e-5,
        high=10.0,
        first=(0.67, 1.5),
        weight=2,
        up="a larger start gives this path influence from the first step",
        down="a smaller start lets the optimiser decide how much of this path it wants",
    ),
    Prior(
        words="DEPTH|LAYER|N_LAYER|BLOCK",
        shape=Shape.COUNT,
        low=1,
        high=128,
        first=(1, -1),
        weight=1,
        up="another layer adds capacity; it pays if the steps it costs matter less",
        down="a shallower model takes more steps in the same budget",
    ),
    Prior(
        words="HEAD_DIM|HEAD_WIDTH|HEAD_SIZE",
        shape=Shape.SIZE,
        low=8,
        high=256,
        first=(0.5, 2.0),
        weight=1,
        up="fewer, wider heads match more precisely and use the hardware better",
        down="more, narrower heads attend to more places at once",
    ),
    Prior(
        words="WIDTH|EMBD|DIM|ASPECT|HIDDEN|CHANNEL|D_MODEL|EXPANSION",
        shape=Shape.SIZE,
        low=2,
        high=16384,
        first=(1.25, 0.75, 1.5),
        weight=1,
        up="a wider model learns more from each token; it pays if the steps it costs matter less",
        down="a narrower model takes more steps in the same budget",
    ),
    Prior(
        words="BATCH",
        shape=Shape.SIZE,
        low=1,
        high=2**24,
        first=(0.5, 2.0),
        weight=2,
        up="a larger batch averages out gradient noise and allows larger steps",
        down="a smaller batch takes more steps with the same number of tokens",
    ),
    Prior(
        words="HEAD|KV",
        shape=Shape.COUNT,
        low=1,
        high=128,
        first=(1, -1),
        weight=0.5,
        up="more heads attend to more places at once",
        down="fewer heads leave more dimensions to each",
    ),
)

_UNKNOWN = "its influence is not known here, and a moderate step shows the slope"

# They bind the metric, the data, the machine or the budget: a better number by one of these is no better model.
_PROTECTED = re.compile(
    r"(^|_)(VOCAB|SEQ|SEQUENCE|CONTEXT|CTX|BLOCK_SIZE|SEED|DEVICE|EVAL|VAL|VALID|VALIDATION|TEST|DATA|DATASET|CORPUS|SHARD|SPLIT"
    r"|BUDGET|TIME|TIMEOUT|DEADLINE|LOG|LOGGING|PRINT|SAVE|CHECKPOINT|PORT|VERSION|DTYPE|WORKER|WORKERS|THREAD|THREADS"
    r"|EPS|EPSILON|FLOPS|PEAK|PAD|BOS|EOS|TOKENIZER|MAX_LEN|EXCLUDE|MAX_STEPS|TOTAL_STEPS|NUM_STEPS|N_STEPS|ITERATIONS)(_|$|S$)"
    r"|^T$|^V$|^STEPS$"
)


def is_protected(constant: Constant) -> bool:
    """Whether the constant binds the metric, the data, the machine or the budget instead of the model."""
    return _PROTECTED.search(constant.leaf.upper()) is not None


def prior_of(constant: Constant) -> Prior:
    """The table's row for the constant's name, or a modest guess from its value."""
    name = constant.leaf.upper()
    if isinstance(constant.value, bool):
        reason = "the switch has not been tried the other way"
        return Prior(words="", shape=Shape.FLAG, low=0, high=1, first=(), weight=1, up=reason, down=reason)
    for prior in _PRIORS:
        if re.search(rf"(^|_)({prior.words})", name) and prior.low <= abs(constant.value) <= prior.high:
            return prior
        if re.search(rf"(^|_)({prior.words})", name) and constant.value == 0 and prior.shape is Shape.SCALE:
            return prior
    value = constant.value
    if isinstance(value, int):
        small = abs(value) < 16
        return Prior(
            words="",
            shape=Shape.COUNT if small else Shape.SIZE,
            low=min(value, 1),
            high=max(4 * value, value),
            first=(1, -1) if small else (0.5, 2.0),
            weight=0.5,
            up=_UNKNOWN,
            down=_UNKNOWN,
        )
    limit = 1000 * abs(value) or 1.0
    return Prior(
        words="",
        shape=Shape.SCALE,
        low=abs(value) / 1000,
        high=limit,
        first=(0.67, 1.5),
        weight=0.7,
        up=_UNKNOWN,
        down=_UNKNOWN,
    )
