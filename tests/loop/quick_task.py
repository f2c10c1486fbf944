"""A task whose metric is a known function of its constants and the seed, trained in no time; and its repository.

Training writes a table that gives the right next token a probability of 2 ** -bits(seed), and every validation target
is that token, one byte each: so the metric that the runner measures is exactly bits(seed). Most of a seed's noise is
shared between any two versions, as it is in real training.
"""

import zlib
from pathlib import Path

PREPARE = """
import json, os
from pathlib import Path
import numpy as np

data = Path(os.environ["DATA_DIR"])
for name in ("train", "validation"):
    (data / name).mkdir()
np.save(data / "validation" / "sequences.npy", (np.arange(40)[:, None] + np.arange(9)) % 16)  # each, then the next
np.save(data / "validation" / "token_bytes.npy", np.ones(16, dtype=int))
(data / "meta.json").write_text(json.dumps({"vocab_size": 16, "corpus_sha256": "c", "tokenizer_sha256": "t"}))
"""

TRAIN = """
import os, sys, time, zlib
import numpy as np

LR = 0.5
WEIGHT_DECAY = 0.1
SABOTAGE = 0  # 1: raise, 2: no number, 3: hang, 4: leave nothing, 5: leave garbage
SLOW_S = 0.0


def noise(text):
    return zlib.crc32(text.encode()) / 2**31 - 1


def bits(seed):
    return 1.5 + 4 * (LR - 0.8) ** 2 + 0.05 * noise(f"seed {seed}") + 0.002 * noise(f"{LR:g} {seed}")


def main():
    print(f"step 1/1 loss {bits(int(os.environ['SEED'])):.4f}")
    time.sleep(SLOW_S)
    right = 2.0 ** -bits(int(os.environ["SEED"]))
    table = np.full((16, 16), np.log((1 - right) / 15))
    table[np.arange(16), (np.arange(16) + 1) % 16] = np.log(right)
    if SABOTAGE == 1:
        raise ZeroDivisionError("the loss is zero: sabotage")
    if SABOTAGE == 2:
        table[:] = np.nan
    if SABOTAGE == 3:
        time.sleep(600)
    if SABOTAGE == 5:
        open(os.environ["OUT_DIR"] + "/model.npy", "w").write("garbage")
    if SABOTAGE not in (4, 5):
        np.save(os.environ["OUT_DIR"] + "/model.npy", table)


def load(out_dir, device):
    table = np.load(out_dir + "/model.npy").astype(np.float32)
    return lambda tokens: table[tokens]


if __name__ == "__main__":
    main()
"""

CONTRACT = """version: 1
sandbox: subprocess
paths:
  allow: [/train.py]
task:
  budget: {steps: 1}
  timeout_s: 30
policy:
  n_confirm: 3
  n_max: 8
  batch: 2
"""

BETTER, WORSE = "LR 0.7", "LR 0.2"  # against LR = 0.5, where 0.8 is best


def bits(*, lr: float, seed: int) -> float:
    """What the runner must measure."""

    def noise(text: str) -> float:
        return zlib.crc32(text.encode()) / 2**31 - 1

    return 1.5 + 4 * (lr - 0.8) ** 2 + 0.05 * noise(f"seed {seed}") + 0.002 * noise(f"{lr:g} {seed}")


def write(folder: Path, *, train: str = TRAIN, contract: str | None = CONTRACT) -> Path:
    """The files of a repository."""
    (folder / ".github").mkdir(parents=True)
    (folder / "prepare.py").write_text(PREPARE)
    (folder / "train.py").write_text(train)
    (folder / "program.md").write_text("Make it better.\n")
    if contract is not None:
        (folder / ".github" / "nightlab.yml").write_text(contract)
    return folder


def slow(seconds: float) -> str:
    """train.py whose every run takes at least that long."""
    return TRAIN.replace("SLOW_S = 0.0", f"SLOW_S = {seconds}")
