"""A tiny task in a real git repository, measured by real `python -m runner` processes."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from runner.protocol import Progress, Request, Run, Source, Task, decode_line, encode

ROOT = Path(__file__).parents[2]

PREPARE = """
import json, os
from pathlib import Path
import numpy as np

data, random = Path(os.environ["DATA_DIR"]), np.random.default_rng(0)
successor = random.permutation(16)  # the next token is this one with probability 3/4, any token otherwise

def stream(shape):
    tokens = random.integers(16, size=shape)
    for t in range(1, shape[1]):
        follows = random.random(shape[0]) < 0.75
        tokens[:, t] = np.where(follows, successor[tokens[:, t - 1]], tokens[:, t])
    return tokens

for name in ("train", "validation"):
    (data / name).mkdir()
np.save(data / "train" / "tokens.npy", stream((200, 9)))
np.save(data / "validation" / "sequences.npy", stream((100, 9)))
np.save(data / "validation" / "token_bytes.npy", np.full(16, 2))
(data / "meta.json").write_text(json.dumps({"vocab_size": 16, "corpus_sha256": "c", "tokenizer_sha256": "t"}))
"""

# An honest model: the bigram frequencies of the training split.
TRAIN = """
import os
import numpy as np

def main():
    counts = np.ones((16, 16))
    for row in np.load(os.environ["DATA_DIR"] + "/tokens.npy"):
        np.add.at(counts, (row[:-1], row[1:]), 1)
    print("step 1/1 loss 1.5")
    np.save(os.environ["OUT_DIR"] + "/model.npy", np.log(counts / counts.sum(1, keepdims=True)))

def load(out_dir, device):
    table = np.load(out_dir + "/model.npy")
    return lambda tokens: table[tokens]

if __name__ == "__main__":
    main()
"""


def doing(action: str) -> str:
    """The honest train.py with `action` at the start of training."""
    indented = "".join(f"    {line}\n" for line in action.strip().splitlines())
    return TRAIN.replace("def main():\n", f"def main():\n{indented}")


@dataclass(frozen=True)
class Bench:
    """A repository whose main holds the honest task, and a cache that its runs share."""

    repository: Path
    cache: Path
    base_sha: str
    sandbox: str = "subprocess"

    def commit(self, files: Mapping[str, str | None], *, links: Mapping[str, str] | None = None) -> str:
        """A commit on main's with these contents (None: deleted) and symbolic links."""
        self.git("checkout", "--quiet", "--force", "--detach", self.base_sha)
        for name, text in files.items():
            path = self.repository / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        for name, target in (links or {}).items():
            (self.repository / name).unlink(missing_ok=True)
            (self.repository / name).symlink_to(target)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", "change")
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments]
        done = subprocess.run(command, cwd=self.repository, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def request(self, head_sha: str | None = None) -> Request:
        return Request(
            run_id="r",
            source=Source(
                git_url=str(self.repository),
                base_sha=self.base_sha,
                head_sha=head_sha or self.base_sha,
                allowed=("train.py", "/model/"),
            ),
            task=Task(
                directory=".",
                preset="cpu",
                budget_steps=1,
                budget_s=None,
                timeout_s=30,
                memory_mib=1024,
                output_mib=32,
            ),
            seed=3,
            sandbox=self.sandbox,
            cache_dir=str(self.cache),
            hardware_class="cpu-test",
        )

    def train_with(self, source: str) -> Request:
        """The request to measure main with this train.py."""
        return self.request(self.commit({"train.py": source}))


def limited(request: Request, *, timeout_s: float = 30, memory_mib: int = 1024, output_mib: int = 32) -> Request:
    task = replace(request.task, timeout_s=timeout_s, memory_mib=memory_mib, output_mib=output_mib)
    return replace(request, task=task)


@contextmanager
def asked(request: Request, *, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A runner that was sent `request` and whose stdin is open."""
    process = subprocess.Popen(
        [sys.executable, "-m", "runner"],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(encode(request))
    process.stdin.flush()
    with process:  # closes stdin at the end
        yield process


def measured(request: Request, *, env: Mapping[str, str] | None = None) -> tuple[Run, list[Progress]]:
    """The run, and the progress on the way to it."""
    with asked(request, env=env) as process:
        assert process.stdout is not None
        lines = [decode_line(line) for line in process.stdout]
    (run,) = [line.run for line in lines if line.run is not None]
    return run, [line.progress for line in lines if line.progress is not None]


def made(folder: Path) -> Bench:
    """A fresh repository with the honest task under `folder`."""
    bench = Bench(repository=folder / "repository", cache=folder / "cache", base_sha="HEAD")
    bench.repository.mkdir()
    bench.git("init", "--quiet")
    (bench.repository / "prepare.py").write_text(PREPARE)
    (bench.repository / "train.py").write_text(TRAIN)
    (bench.repository / "notes.txt").write_text("of main\n")
    bench.git("add", "--all")
    bench.git("commit", "--quiet", "-m", "main")
    return replace(bench, base_sha=bench.git("rev-parse", "HEAD"))
