"""How often the audit catches a model that looks ahead at a share of all positions: `python benchmarks/audit_power.py`.

Simulated with the runner's own draw and judgement on random logits; the theory is 1 - (1 - share) ** 320.
"""

import random

import numpy as np

from runner.score import AUDIT_POSITIONS, RejectedError, draw_audit, judge

TRIALS = 50
SEQUENCES, LENGTH = 640, 128


def caught(share: float, *, seed: int) -> bool:
    generator, system = np.random.default_rng(seed), random.SystemRandom()
    inputs = generator.integers(2048, size=(SEQUENCES, LENGTH))
    claimed = -generator.exponential(4.0, size=inputs.shape)  # nats
    audit = draw_audit(inputs, system)
    honest = claimed.copy()
    cheats = generator.random(inputs.shape) < share
    claimed[cheats] /= 2  # knows half of the answer
    try:
        judge(claimed[audit.rows, audit.columns], honest[audit.rows, audit.columns])
    except RejectedError:
        return True
    return False


def main() -> None:
    print(f"{AUDIT_POSITIONS} positions of {SEQUENCES * LENGTH}")
    for share in (0.0, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1):
        count = sum(caught(share, seed=seed) for seed in range(TRIALS))
        print(f"cheat on {100 * share:5.2f} %: caught {count} of {TRIALS}, expected {1 - (1 - share) ** 320:.0%}")


if __name__ == "__main__":
    main()
