"""Trains a small network to tell the arms of a spiral apart, in NumPy. This is the file that proposals edit."""

import os
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from prepare import CLASSES, steps_allowed

Array = NDArray[np.float64]

WIDTH = 32  # hidden units of each of the two layers
BATCH_SIZE = 64  # points in one step
LR = 0.003  # Adam's step size at the start; it falls to nothing
BETA1 = 0.9  # memory of the gradient
BETA2 = 0.99  # memory of its square
DECAY = 0.0  # weight decay
INPUT_SCALE = 1.0  # what points are multiplied with
LOG_EVERY = 250  # steps


def forward(layers: list[Array], points: Array) -> list[Array]:
    """The activations of every layer; the last are the scores [B, CLASSES]."""
    activations = [INPUT_SCALE * points]
    for number in range(0, len(layers), 2):
        sums = activations[-1] @ layers[number] + layers[number + 1]
        activations.append(sums if number == len(layers) - 2 else np.tanh(sums))
    return activations


def gradients(layers: list[Array], points: Array, arms: NDArray[np.int64]) -> tuple[list[Array], float]:
    """Of the mean cross-entropy, which is given too."""
    activations = forward(layers, points)
    scores = activations[-1] - activations[-1].max(axis=1, keepdims=True)
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    rows = np.arange(len(arms))
    loss = float(-np.log(shares[rows, arms] + 1e-12).mean())
    shares[rows, arms] -= 1
    error, found = shares / len(arms), []
    for number in range(len(layers) - 2, -1, -2):
        below = activations[number // 2]
        found += [error.sum(axis=0), below.T @ error]
        error = error @ layers[number].T * (1 - below**2)
    return found[::-1], loss


def main() -> None:
    random = np.random.default_rng(int(os.environ["SEED"]))
    points, arms = (np.load(f"{os.environ['DATA_DIR']}/{name}.npy") for name in ("inputs", "targets"))
    sizes = [2, WIDTH, WIDTH, CLASSES]
    layers = []
    for a, b in pairwise(sizes):
        layers += [random.normal(size=(a, b)) / np.sqrt(a), np.zeros(b)]
    means, squares = ([np.zeros_like(layer) for layer in layers] for _ in range(2))
    steps, smoothed = steps_allowed(batch_size=BATCH_SIZE, widths=[WIDTH, WIDTH]), 0.0
    for step in range(1, steps + 1):
        chosen = random.integers(len(points), size=BATCH_SIZE)
        slopes, loss = gradients(layers, points[chosen].astype(np.float64), arms[chosen])
        rate = LR * (1 - (step - 1) / steps)
        for layer, slope, mean, square in zip(layers, slopes, means, squares, strict=True):
            mean += (1 - BETA1) * (slope - mean)
            square += (1 - BETA2) * (slope**2 - square)
            layer -= rate * (mean / (1 - BETA1**step) / (np.sqrt(square / (1 - BETA2**step)) + 1e-8) + DECAY * layer)
        smoothed = loss if step == 1 else 0.99 * smoothed + 0.01 * loss
        if step % LOG_EVERY == 0 or step == steps:
            print(f"step {step}/{steps} loss {smoothed:.4f}", flush=True)
    np.savez(f"{os.environ['OUT_DIR']}/model.npz", *layers)


def load(out_dir: str, device: str) -> Callable[[NDArray[np.float32]], Array]:
    """The trained model: points float32 [B, 2] -> scores [B, CLASSES]."""
    with np.load(f"{out_dir}/model.npz") as saved:
        layers = [saved[name] for name in saved.files]
    return lambda points: forward(layers, points.astype(np.float64))[-1]


if __name__ == "__main__":
    main()
