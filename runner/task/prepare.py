"""Fixed part of the reference task: corpus, tokenizer, evaluation data, and the budget. Proposals never edit this file.

    python prepare.py     builds $DATA_DIR for $PRESET:
        train/tokens.npy            uint16 [n], one stream of documents, each opened by BOS
        validation/sequences.npy    uint16 [N, T + 1], non-overlapping; the last token is a target only
        validation/token_bytes.npy  int64 [V], length of each token in bytes; 0 for BOS
        holdout/                    the same of other documents: scored on what was merged, and never selecting
        meta.json                   vocabulary, shapes and the digests that tell whether two results may be compared

Training sees `train/` only; the rest stays with the runner. As a module it gives train.py the preset's fixed
shapes (`PRESETS`), batches of the training split (`Batches`) and the budget (`Budget`).

The corpus of the `cpu` preset is the Python standard library's own source code, read where it is installed. It is not
the same text for two Python builds, so its digest belongs to every result. The `gpu` preset downloads a few shards of
karpathy/climbmix-400b-shuffle.
"""

import hashlib
import json
import os
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Tokens = NDArray[np.uint16]

BOS = "<|bos|>"
PATTERN = r"[ _.]?\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]+|\n *| +|\s"  # pieces that no token crosses
EXCLUDED = frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages", "encodings", "__pycache__"})
SPLITS = ("train", "validation", "holdout")
HELD_OUT_SHARE = 16  # one path hash in so many is validation, one other the holdout
RECOUNT_STEPS = 50  # how often a step's work is counted again


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What stays fixed for every proposal. `step_flops`: work of one step of the first baseline, the budget's unit."""

    vocab_size: int
    sequence_length: int
    validation_sequences: int
    step_flops: int
    shards: int = 0


PRESETS = {
    "cpu": Preset(vocab_size=2048, sequence_length=128, validation_sequences=640, step_flops=1_801_453_568),
    "gpu": Preset(vocab_size=8192, sequence_length=2048, validation_sequences=128, step_flops=0, shards=8),
}


class Batches:
    """Endless random windows of the training stream: (inputs, targets), int64 [B, T]; the same for the same seed."""

    def __init__(self, *, data_dir: Path, batch_size: int, sequence_length: int, seed: int, device: str) -> None:
        self._tokens = np.load(data_dir / "tokens.npy", mmap_mode="r")
        self._random = np.random.default_rng(seed)
        self._offsets = np.arange(sequence_length + 1)
        self._batch_size = batch_size
        self._device = device

    def next(self) -> tuple[torch.Tensor, torch.Tensor]:
        starts = self._random.integers(len(self._tokens) - len(self._offsets), size=(self._batch_size, 1))
        windows = torch.from_numpy(self._tokens[starts + self._offsets].astype(np.int64)).to(self._device)
        return windows[:, :-1], windows[:, 1:]


class Budget:
    """How much training is left: work (floating-point operations) or wall seconds, whichever the run was given.

    Work is what the tensor operations inside `step()` really are, counted by torch's dispatcher on the first step and
    every fiftieth, so a wider model gets fewer steps and half a batch twice as many. It counts matrix products,
    convolutions and attention; element-wise work is free. It runs inside the process it measures, so code that goes
    around it is caught only by the runner's clock, and by whoever reads the diff.
    """

    def __init__(self, *, flops: int | None, seconds: float | None) -> None:
        if (flops is None) == (seconds is None):
            raise ValueError("set exactly one of BUDGET_STEPS and BUDGET_S")
        self._flops, self._seconds = flops, seconds
        self._spent_flops = self._step_flops = self._steps = 0
        self._started_s: float | None = None

    @classmethod
    def from_environment(cls, preset: Preset) -> "Budget":
        steps, seconds = os.environ.get("BUDGET_STEPS"), os.environ.get("BUDGET_S")
        return cls(flops=int(steps) * preset.step_flops if steps else None, seconds=float(seconds) if seconds else None)

    @property
    def progress(self) -> float:
        """Spent share of the budget, from 0 to 1."""
        if self._flops is not None:
            return min(1.0, self._spent_flops / self._flops)
        if self._started_s is None or self._seconds is None:
            return 0.0
        return min(1.0, (time.monotonic() - self._started_s) / self._seconds)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Wraps everything one optimiser step does."""
        if self._started_s is None:
            self._started_s = time.monotonic()
        if self._flops is not None and self._steps % RECOUNT_STEPS == 0:
            with _counting() as count:
                yield
            self._step_flops = count()
        else:
            yield
        if self._seconds is not None and torch.cuda.is_available():
            torch.cuda.synchronize()  # or the clock would run ahead of the work
        self._steps += 1
        self._spent_flops += self._step_flops

    @property
    def total_steps(self) -> int:
        """Steps the whole budget allows, extrapolated from those done."""
        return round(self._steps / self.progress) if self.progress else 0

    @property
    def step_flops(self) -> int:
        """Work of a step, as last counted."""
        return self._step_flops


@contextmanager
def _counting() -> Iterator[Callable[[], int]]:
    """Counts the work of what runs inside; torch itself has no formula for attention on a CPU."""
    from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

    def forward(q: Any, k: Any, v: Any, *_: Any, **__: Any) -> Any:
        return sdpa_flop_count(q, k, v)  # type: ignore[no-untyped-call]

    def backward(gradient: Any, q: Any, k: Any, v: Any, *_: Any, **__: Any) -> Any:
        return sdpa_backward_flop_count(gradient, q, k, v)  # type: ignore[no-untyped-call]

    ops = torch.ops.aten
    mode = FlopCounterMode(
        display=False,
        custom_mapping={
            ops._scaled_dot_product_flash_attention_for_cpu: forward,
            ops._scaled_dot_product_flash_attention_for_cpu_backward: backward,
        },
    )
    with mode:
        yield mode.get_total_flops


def main() -> None:
    """Builds $DATA_DIR."""
    name = os.environ["PRESET"]
    preset, data_dir = PRESETS[name], Path(os.environ["DATA_DIR"])
    documents = list(_standard_library() if name == "cpu" else _climbmix(preset.shards))
    texts = {split: [text for one, text in documents if one == split] for split in SPLITS}
    corpus = hashlib.sha256()
    for text in (*texts["train"], BOS, *texts["validation"], BOS, *texts["holdout"]):
        corpus.update(hashlib.sha256(text.encode()).digest())

    encoder = _tokenizer([text for split, text in documents if split != "validation"], preset.vocab_size)
    token_bytes = [len(encoder.decode_single_token_bytes(token)) for token in range(preset.vocab_size - 1)] + [0]
    tokenizer_sha256 = hashlib.sha256(
        b"".join(encoder.decode_single_token_bytes(token) + b"\n" for token in range(preset.vocab_size - 1))
    ).hexdigest()

    for split in SPLITS:
        (data_dir / split).mkdir(parents=True, exist_ok=True)
    np.save(data_dir / "train" / "tokens.npy", _encode(encoder, texts["train"]))
    for split in SPLITS[1:]:
        np.save(data_dir / split / "sequences.npy", _sequences(_encode(encoder, texts[split]), preset))
        np.save(data_dir / split / "token_bytes.npy", np.array(token_bytes, dtype=np.int64))
    meta = {
        "vocab_size": preset.vocab_size,
        "corpus_sha256": corpus.hexdigest(),
        "tokenizer_sha256": tokenizer_sha256,
    }
    (data_dir / "meta.json").write_text(json.dumps(meta))


def _standard_library() -> Iterator[tuple[str, str]]:
    """(split, text): the library's sources in path order, split by the hash of the path."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if EXCLUDED.isdisjoint(relative.parts[:-1]) and not relative.parts[0].startswith("_sysconfigdata"):
            number = hashlib.sha256(relative.as_posix().encode()).digest()[0] % HELD_OUT_SHARE
            split = {0: "validation", 1: "holdout"}.get(number, "train")
            yield split, path.read_text(encoding="utf-8", errors="replace")


def _climbmix(shards: int) -> Iterator[tuple[str, str]]:
    """(split, text): documents of the first shards, and of two more, which are held out."""
    import pyarrow.parquet as parquet  # only this preset needs these two
    from huggingface_hub import hf_hub_download

    for shard in range(shards + 1):
        path = hf_hub_download("karpathy/climbmix-400b-shuffle", f"shard_{shard:05d}.parquet", repo_type="dataset")
        split = {shards - 1: "validation", shards: "holdout"}.get(shard, "train")
        for text in parquet.read_table(path, columns=["text"])["text"].to_pylist():
            yield split, text


def _tokenizer(texts: Sequence[str], vocab_size: int) -> Any:
    """A byte-pair encoder of `vocab_size` tokens, the last of which is BOS. It has seen the holdout, as text only."""
    import rustbpe
    import tiktoken

    trained = rustbpe.Tokenizer()
    trained.train_from_iterator(iter(texts[:100_000]), vocab_size - 1, pattern=PATTERN)
    ranks = {bytes(token): rank for token, rank in trained.get_mergeable_ranks()}
    return tiktoken.Encoding("task", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={BOS: vocab_size - 1})


def _encode(encoder: Any, texts: Sequence[str]) -> Tokens:
    """uint16 [n]: every document behind a BOS."""
    bos = encoder.encode_single_token(BOS)
    parts = [np.array([bos, *tokens], np.uint16) for tokens in encoder.encode_ordinary_batch(texts, num_threads=1)]
    return np.concatenate(parts)


def _sequences(tokens: Tokens, preset: Preset) -> Tokens:
    """uint16 [N, T + 1], spread evenly over a held-out stream."""
    whole = len(tokens) // (preset.sequence_length + 1)
    if whole < preset.validation_sequences:
        raise SystemExit(f"a held-out split has {whole} sequences, {preset.validation_sequences} are needed")
    rows = tokens[: whole * (preset.sequence_length + 1)].reshape(whole, -1)
    chosen: Tokens = rows[np.linspace(0, whole - 1, preset.validation_sequences).astype(int)]
    return chosen


if __name__ == "__main__":
    main()
