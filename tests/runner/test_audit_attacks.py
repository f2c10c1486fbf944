"""Models that cheat: what they answer, or what they send, must never become a metric."""

from dataclasses import replace

import numpy as np
import pytest
from fake_task import TRAIN, Bench, limited, measured

from runner.protocol import AUDIT_TOLERANCE_CAP, Status

HONEST = "    return lambda tokens: table[tokens]\n"
LOOKED = "asked again without the text that follows, the model gave other probabilities"


def answering(body: str) -> str:
    """The honest train.py with another `predict(tokens)`; `table` is the honest model, `np.eye(16)` one-hot."""
    indented = "".join(f"        {line}\n" for line in body.strip().splitlines())
    assert HONEST in TRAIN
    return TRAIN.replace(HONEST, f"    def predict(tokens):\n{indented}    return predict\n")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            "logits = table[tokens]\nlogits[:, :-1] += 20 * np.eye(16)[tokens[:, 1:]]\nreturn logits",
            id="one-hot of the next token",
        ),
        pytest.param(
            "logits = table[tokens]\nlogits[:, :-1] += 0.1 * np.eye(16)[tokens[:, 1:]]\nreturn logits",
            id="a faint hint of the next token",
        ),
        pytest.param(
            "logits = table[tokens]\nlogits[:, 5:-1] += 20 * np.eye(16)[tokens[:, 6:]]\nreturn logits",
            id="leak only after a fixed position",
        ),
        pytest.param(
            "chunk = np.eye(16)[tokens].mean(1, keepdims=True)\nreturn table[tokens] + 3 * chunk",
            id="mean of the whole chunk",
        ),
        pytest.param(
            "seen = predict.__dict__.setdefault('seen', np.zeros((16, 16)))\n"
            "np.add.at(seen, (tokens[:, :-1], tokens[:, 1:]), 1)\n"
            "return np.log(np.exp(table) + seen / seen.sum())[tokens]",
            id="bigrams counted while answering",
        ),
        pytest.param(
            "known = predict.__dict__.setdefault('known', set())\n"
            "logits = table[tokens]\n"
            "for b, row in enumerate(tokens.tolist()):\n"
            "    for t in range(8):\n"
            "        if tuple(row[: t + 1]) in known: logits[b, t] *= 2\n"
            "        known.add(tuple(row[: t + 1]))\n"
            "return logits",
            id="prefixes remembered",
        ),
        pytest.param("return table[tokens] + np.random.default_rng().normal(size=16)", id="random"),
    ],
)
def test_probabilities_that_do_not_follow_from_the_past(bench: Bench, body: str) -> None:
    run, _ = measured(bench.train_with(answering(body)))
    assert run.status is Status.INVALID
    assert run.reason.startswith(LOOKED)
    assert run.metric is None


def test_noisy_hardware_is_tolerated_up_to_a_cap(bench: Bench) -> None:
    noise = "return table[tokens] + np.random.default_rng().uniform(-{0}, {0}, size=(*tokens.shape, 16))"
    asked = {
        level: replace(bench.train_with(answering(noise.format(level))), audit_tolerance=tolerance)
        for level, tolerance in ((0.01, 0.05), (0.1, 5.0))
    }
    tolerated, _ = measured(asked[0.01])
    assert (tolerated.status, tolerated.audit_tolerance, tolerated.audit_unit) == (Status.OK, 0.05, "nats")
    assert 0.01 < tolerated.audit_max_gap < 0.05
    assert tolerated.hidden_gain == pytest.approx(0.005 / np.log(2) / 2)  # a tenth of it, in bits over two bytes
    capped, _ = measured(asked[0.1])
    assert (capped.status, capped.audit_tolerance) == (Status.INVALID, AUDIT_TOLERANCE_CAP)


@pytest.mark.parametrize(
    "patch",
    [
        "np.log = lambda x, *a, **k: x * 0\n",
        "import time; time.monotonic = time.time = lambda: 0.0\n",
        "print('val_bpb: 0.0001')\n",
    ],
)
def test_patches_stay_in_the_candidates_process(bench: Bench, patch: str) -> None:
    honest, _ = measured(bench.request())
    patched = TRAIN.replace(HONEST, f"    {patch}{HONEST}")
    assert measured(bench.train_with(patched))[0].metric == honest.metric


def test_scaled_logits_are_no_better_than_they_are(bench: Bench) -> None:
    honest, _ = measured(bench.request())
    run, _ = measured(bench.train_with(answering("return table[tokens] + 1e3")))
    assert run.metric == pytest.approx(honest.metric, abs=1e-4)  # softmax does not see a constant
    sure, _ = measured(bench.train_with(answering("return table[tokens] * 1e3")))
    assert sure.metric is not None
    assert honest.metric is not None
    assert sure.metric > honest.metric


TAKE_OVER = """    import socket, sys, time
    line = socket.socket(socket.AF_UNIX)
    line.connect(sys.argv[3])  # before the worker does
"""


@pytest.mark.parametrize(
    ("deed", "status", "reason"),
    [
        ("line.sendall(bytes(12) + b'x' * 1000)", Status.INVALID, "the worker sent something that nobody asked for"),
        ("line.sendall(b'GET / HTTP/1.1')", Status.INVALID, "the worker's greeting is not of the protocol"),
        ("line.close(); time.sleep(60)", Status.INVALID, "the worker closed its socket before the end"),
        ("for _ in range(99): line.sendall(bytes(1)); time.sleep(1)", Status.TIMED_OUT, "the model was not done after"),
        (
            "line.sendall(bytes(12)); line.recv(99); line.sendall(b'\\xff' * 12); time.sleep(60)",
            Status.INVALID,
            "the model answered [4294967295, 4294967295, 4294967295] logits where [32, 8, 16] were due",
        ),
        (
            "line.sendall(bytes(12)); line.recv(99); line.sendall(b'\\x20\\0\\0\\0\\x08\\0\\0\\0\\x10\\0\\0\\0')\n"
            "    while True: line.sendall(bytes(1)); time.sleep(0.0005)",
            Status.TIMED_OUT,
            "the model was not done after 4 s",
        ),
    ],
)
def test_a_socket_that_misbehaves(bench: Bench, deed: str, status: Status, reason: str) -> None:
    source = TRAIN.replace(HONEST, f"{TAKE_OVER}    {deed}\n    time.sleep(60)\n{HONEST}")
    run, _ = measured(limited(bench.train_with(source), timeout_s=4))
    assert run.status is status
    assert run.reason.startswith(reason)


def test_the_second_worker_finds_nothing_of_the_first(bench: Bench) -> None:
    """The first leaves a note in every place it was given; whoever finds one answers differently."""
    note = """    import os
    notes = [os.path.join(os.environ[name], "note") for name in ("TMPDIR", "HOME")]
    if any(map(os.path.exists, notes)):
        table = table * 0
    for name in notes:
        open(name, "w").write("seen")
"""
    run, _ = measured(bench.train_with(TRAIN.replace(HONEST, note + HONEST)))
    assert run.status is Status.OK
