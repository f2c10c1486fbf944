"""Fixed part of the example: points on three noisy spirals, made from a seed. Proposals never edit this file.

    python prepare.py     builds in $DATA_DIR:
        train/inputs.npy, targets.npy         float32 [N, 2], int64 [N]: points and which arm each is of
        validation/, holdout/                 the same; only the runner has them
        meta.json                             what kind of task this is

As a module it tells train.py how many steps its budget allows.
"""

import hashlib
import json
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CLASSES = 3
SIZES = {"train": 1500, "validation": 3000, "holdout": 3000}
TURNS = 1.25
NOISE = 0.12
STEP_PRODUCTS = 64 * (2 * 32 + 32 * 32 + 32 * CLASSES)  # of one step of the first baseline: the budget's unit


def steps_allowed(*, batch_size: int, widths: list[int]) -> int:
    """How many steps of this size the budget has room for: a wider network or a larger batch gets fewer."""
    sizes = [2, *widths, CLASSES]
    products = batch_size * sum(a * b for a, b in pairwise(sizes))
    return max(1, int(os.environ["BUDGET_STEPS"]) * STEP_PRODUCTS // products)


def spirals(count: int, random: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    arms = random.integers(CLASSES, size=count)
    along = np.sqrt(random.uniform(0.02, 1, size=count))
    angle = 2 * np.pi * (TURNS * along + arms / CLASSES)
    points = np.stack((along * np.cos(angle), along * np.sin(angle)), axis=1)
    return (points + NOISE * along[:, None] * random.normal(size=points.shape)).astype(np.float32), arms


def main() -> None:
    folder, random, corpus = Path(os.environ["DATA_DIR"]), np.random.default_rng(20260101), hashlib.sha256()
    for name, count in SIZES.items():
        inputs, targets = spirals(count, random)
        corpus.update(inputs.tobytes() + targets.tobytes())
        (folder / name).mkdir()
        np.save(folder / name / "inputs.npy", inputs)
        np.save(folder / name / "targets.npy", targets)
    meta = {"kind": "classification", "outputs": CLASSES, "corpus_sha256": corpus.hexdigest()}
    (folder / "meta.json").write_text(json.dumps(meta))


if __name__ == "__main__":
    main()
