"""What a warm cache of compiled kernels saves of a run: `python benchmarks/compiled.py`.

A small network under torch.compile, on the CPU with the C++ compiler of this machine, measured by `python -m runner` as
the gpu preset is: with the cache that main fills, and without, in turns. CPU seconds of the training process tell,
since they hardly depend on what else the machine does. Without a GPU a run ends when its model is to be loaded.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

from runner import bench
from runner.compiled import Warmth
from runner.protocol import Request, Run, Source, Task

PAIRS = 2
PREPARE = """
import json, os
from pathlib import Path
import numpy as np
data = Path(os.environ["DATA_DIR"])
for name in ("train", "validation"):
    (data / name).mkdir()
np.save(data / "validation" / "sequences.npy", (np.arange(40)[:, None] + np.arange(9)) % 16)
np.save(data / "validation" / "token_bytes.npy", np.ones(16, dtype=int))
(data / "meta.json").write_text(json.dumps({"vocab_size": 16, "corpus_sha256": "c", "tokenizer_sha256": "t"}))
"""
TRAIN = """
import os, time
import numpy as np
import torch

def main():
    layers = [torch.nn.Linear(64, 64), torch.nn.GELU(), torch.nn.LayerNorm(64), torch.nn.Linear(64, 64)]
    network = torch.nn.Sequential(*layers)
    compiled = torch.compile(network)
    began = time.monotonic()
    compiled(torch.randn(32, 64)).square().mean().backward()
    print(f"compiled in {time.monotonic() - began:.1f} s")
    print("step 1/1 loss 1.0")
    np.save(os.environ["OUT_DIR"] + "/model.npy", np.zeros((16, 16), np.float32))

def load(out_dir, device):
    table = np.load(out_dir + "/model.npy")
    return lambda tokens: torch.from_numpy(table)[tokens.cpu()]

if __name__ == "__main__":
    main()
"""


def main() -> int:
    if not shutil.which("g++"):
        print("torch.compile needs g++ here: install it")
        return 1
    with tempfile.TemporaryDirectory(prefix="compiled-") as folder:
        request = prepared(Path(folder))
        print("| run | CPU s of training | wall s of training | wall s in all |\n|---|---:|---:|---:|", flush=True)
        measured("first, which fills the cache", request)
        ratios = []
        for _ in range(PAIRS):
            warm = measured("warm", request)
            with patch.object(bench, "warmth", lambda *_, **__: Warmth(env={})):
                cold = measured("cold", request)
            ratios.append(warm.train_cpu_s / cold.train_cpu_s)
    print(f"\nCPU seconds, warm / cold: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")
    return 0


def prepared(folder: Path) -> Request:
    repository = folder / "repository"
    repository.mkdir()
    (repository / "prepare.py").write_text(PREPARE)
    (repository / "train.py").write_text(TRAIN)
    git = ["git", "-C", str(repository), "-c", "user.name=n", "-c", "user.email=n@localhost"]
    for arguments in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "main"]):
        subprocess.run([*git, *arguments], check=True)
    sha = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    task = Task(
        directory=".",
        preset="gpu",
        budget_steps=1,
        budget_s=None,
        timeout_s=600,
        memory_mib=4096,
        output_mib=256,
    )
    return Request(
        run_id="benchmark",
        source=Source(git_url=str(repository), base_sha=sha, head_sha=sha, allowed=("train.py",)),
        task=task,
        seed=0,
        sandbox="subprocess",
        cache_dir=str(folder / "cache"),
        hardware_class="benchmark",
    )


def measured(title: str, request: Request) -> Run:
    run = bench.measure(request, lambda _: None)
    print(f"| {title} | {run.train_cpu_s:.1f} | {run.train_s:.1f} | {run.wall_s:.1f} |", flush=True)
    return run


if __name__ == "__main__":
    sys.exit(main())
