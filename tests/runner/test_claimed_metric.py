"""Claims mode: a command of the repository's own, and what it printed."""

import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fake_task import ROOT, Bench, limited, measured
from hypothesis import given
from hypothesis import strategies as st

from bot.core.contract import Contract, parse
from runner.claims import Claim, ClaimError, claimed
from runner.protocol import Claims, Phase, Request, Status
from runner.transcript import TAIL_BYTES

# Of the form of autoresearch's train.py: one line that overwrites itself, and a block at the end.
TRAIN = """
import os, time
from pathlib import Path

EMBEDDING_LR = 0.6

with open(Path.home() / ".cache" / "autoresearch" / "level") as file:
    level = float(file.read())
for step in range(4):
    print(f"\\rstep {step:05d} ({25 * (step + 1):.1f}%) | loss: {4 - step / 2:.6f} | dt: 9ms    ", end="", flush=True)
print()
print("---")
print(f"val_bpb:          {level + (EMBEDDING_LR - 0.8) ** 2:.6f}")
print(f"training_seconds: {300.1:.1f}")
print(f"peak_vram_mb:     {45060.2:.1f}")
print(f"num_steps:        {953}")
"""
CLAIMS = Claims(command=("python3", "train.py"), metric="val_bpb", data="tiny")


@pytest.fixture
def offered(tmp_path: Path) -> dict[str, str]:
    """A data folder as the runner's machine offers it: the home that the repository's own prepare.py filled."""
    cache = tmp_path / "offered" / "tiny" / ".cache" / "autoresearch"
    cache.mkdir(parents=True)
    (cache / "level").write_text("0.95")
    tmp_path.chmod(0o755)
    return {"NIGHTLAB_DATA": str(tmp_path / "offered")}


def claiming(bench: Bench, train: str, *, claims: Claims = CLAIMS) -> Request:
    request = limited(bench.train_with(train))
    return replace(request, task=replace(request.task, claims=claims))


def test_what_the_command_printed_is_the_metric_and_is_said_to_be(bench: Bench, offered: dict[str, str]) -> None:
    run, progress = measured(claiming(bench, TRAIN), env=offered)
    assert (run.status, run.reason) == (Status.OK, "")
    assert (run.metric, run.self_reported) == (pytest.approx(0.99), True)
    assert (run.claimed_memory_mib, run.audited_positions, run.artefact_sha256) == (45060.2, 0, "")
    assert (run.steps, run.curve[0]) == (3, (0, 4.0))
    assert {p.phase for p in progress} == {Phase.BUILD, Phase.TRAIN}
    assert "step 00003 (100.0%) | loss: 2.500000" in run.log_tail


# Of the shape of the whole repository: what is kept below the home, made by its own prepare.py and by a first training.
KEPT_PREPARE = """
import os, pickle

CACHE = os.path.join(os.path.expanduser("~"), ".cache", "autoresearch")
TIME_BUDGET = 300

def tokenizer():
    with open(os.path.join(CACHE, "tokenizer", "tokenizer.pkl"), "rb") as file:
        return pickle.load(file)

if __name__ == "__main__":
    for name in ("data", "tokenizer"):
        os.makedirs(os.path.join(CACHE, name), exist_ok=True)
    with open(os.path.join(CACHE, "tokenizer", "tokenizer.pkl"), "wb") as file:
        pickle.dump({"vocab_size": 8192}, file)
"""
KEPT_TRAIN = """
import os
from prepare import TIME_BUDGET, tokenizer

os.environ["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"
hub = os.path.join(os.path.expanduser("~"), ".cache", "huggingface", "hub", "kernel")
if not os.environ.get("HF_HUB_OFFLINE"):
    os.makedirs(os.path.join(hub, "snapshots"))
    open(os.path.join(hub, "blob"), "w").close()
    os.symlink("../blob", os.path.join(hub, "snapshots", "kernel.so"))
    os.symlink("../gone", os.path.join(hub, "snapshots", "partial.so"))
with open(os.path.join(hub, "snapshots", "kernel.so")) as file:
    pass
made = os.environ.get("TRITON_CACHE_DIR") or os.path.join(os.path.expanduser("~"), ".triton", "cache")
os.makedirs(made)
for step in range(3):
    print(f"\\rstep {step:05d} ({50 * step:.1f}%) | loss: {4 - step / 2:.6f} | lrm: 1.00    ", end="", flush=True)
print()
print("---")
print(f"val_bpb:          {tokenizer()['vocab_size'] / 8000:.6f}")
print(f"training_seconds: {TIME_BUDGET:.1f}")
print("peak_vram_mb:     45060.2")
print("depth:            8")
"""


@pytest.mark.slow
@pytest.mark.docker
def test_a_warning_on_the_other_stream_does_not_tear_the_metrics_line(in_docker: Bench) -> None:
    """Control: what a container prints comes by two pipes, and is put together line by line."""
    torn = """
import os, time
for stream, text in ((1, b"val_bpb:"), (2, b"a warning\\n"), (1, b" 0.99\\n")):
    os.write(stream, text)
    time.sleep(0.3)
"""
    run, _ = measured(claiming(in_docker, torn, claims=replace(CLAIMS, data="")))
    assert (run.status, run.reason, run.metric) == (Status.OK, "", 0.99)
    assert run.log_tail == "a warning\nval_bpb: 0.99\n"


@pytest.mark.slow
def test_a_repository_that_keeps_things_at_home_runs_as_the_documentation_says(sealed: Bench, tmp_path: Path) -> None:
    """With docs/task.md's contract, and its way to fill the folder; the image and the GPU are this machine's own."""
    (text,) = re.findall(r"```yaml\n(version.*?)```", (ROOT / "docs" / "task.md").read_text(), re.DOTALL)
    contract = parse(text)
    assert isinstance(contract, Contract)
    home = tmp_path / "autoresearch"
    home.mkdir()
    base_sha = sealed.commit({"prepare.py": KEPT_PREPARE, "train.py": KEPT_TRAIN})
    for script in ("prepare.py", "train.py"):
        env = {"HOME": str(home), "PATH": os.environ["PATH"]}
        subprocess.run([sys.executable, "-B", script], cwd=sealed.repository, env=env, check=True)
    tmp_path.chmod(0o755)
    request = replace(sealed, base_sha=base_sha).request()
    task = replace(contract.task, preset="cpu", image="", memory_mib=1024, output_mib=32)
    run, _ = measured(replace(request, task=task), env={"NIGHTLAB_DATA": str(tmp_path)})
    assert (run.status, run.reason) == (Status.OK, "")
    assert (run.metric, run.self_reported, run.claimed_memory_mib) == (1.024, True, 45060.2)
    assert (run.steps, run.curve[0]) == (2, (0, 4.0))


@pytest.mark.slow
def test_the_sandboxes_show_the_folder_and_nothing_else_of_it(
    sealed: Bench, offered: dict[str, str], tmp_path: Path
) -> None:
    """Control: only the folder that the contract names is mounted, read-only."""
    (tmp_path / "offered" / "other").mkdir()
    probe = f"""
import os, socket
from pathlib import Path
found = [str(Path.home()) == os.environ["DATA_DIR"], os.listdir({str(tmp_path / "offered")!r})]
try: (Path.home() / "mark").write_text("x"); found.append("written")
except OSError: pass
try: socket.create_connection(("1.1.1.1", 80), 1); found.append("network")
except OSError: pass
print(found)
"""
    run, _ = measured(claiming(sealed, TRAIN + probe), env=offered)
    assert (run.status, run.metric) == (Status.OK, pytest.approx(0.99))
    assert run.log_tail.splitlines()[-1] == "[True, ['tiny']]"


def test_what_the_runner_does_not_offer_is_not_the_candidates_fault(bench: Bench, offered: dict[str, str]) -> None:
    request = claiming(bench, TRAIN)
    for env, reason in (
        ({"NIGHTLAB_DATA": ""}, "set NIGHTLAB_DATA on the runner's machine to the folder that holds it"),
        ({"NIGHTLAB_DATA": "/nowhere"}, "there is no /nowhere/tiny"),
    ):
        run, _ = measured(request, env=env)
        assert run.status is Status.INFRASTRUCTURE
        assert reason in run.reason


@pytest.mark.parametrize(
    ("train", "status", "reason"),
    [
        ("print('loss: 3')", Status.INVALID, "the command printed no line `val_bpb: NUMBER`"),
        ("raise ValueError('odd')", Status.CRASHED, "the command failed: ValueError: odd"),
        (
            "print('val_bpb: 0.1'); print('step 1\\n' * 99_999)",
            Status.INVALID,
            "the command printed no line `val_bpb: NUMBER` in the last 32 KiB of its output, and nothing before is "
            "looked at",
        ),
    ],
)
def test_a_run_without_a_number_says_why(bench: Bench, train: str, status: Status, reason: str) -> None:
    run, _ = measured(claiming(bench, train, claims=replace(CLAIMS, data="")))
    assert (run.status, run.reason, run.metric, run.self_reported) == (status, reason, None, True)


@pytest.mark.parametrize(
    ("printed", "metric"),
    [
        ("val_bpb: 0.9979", 0.9979),
        ("val_bpb:          0.997900\n", 0.9979),
        ("val_bpb: 1\nval_bpb: 2\nnoise", 2.0),
        ("step 1 | val_bpb: 3\n  Val BPB : -1e-3\r\nother: 5", -1e-3),
        ("é" * TAIL_BYTES + "\nval_bpb: 1", 1.0),
    ],
)
def test_the_last_line_counts(printed: str, metric: float) -> None:
    assert claimed(printed, name="val_bpb") == Claim(metric=metric)


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("", "printed no line `val_bpb: NUMBER`"),
        ("val_bpb 0.99", "printed no line"),
        ("val_bpb: nan", "printed `val_bpb: nan`, which is not a finite number alone"),
        ("val_bpb: -inf", "not a finite number"),
        ("val_bpb: 1e999", "not a finite number"),
        ("val_bpb: 93 %", "printed `val_bpb: 93 %`, which is not a finite number alone"),
        ("val_bpb: 0x10", "not a finite number"),
        ("val_bpb: 1_0", "not a finite number"),
        ("val_bpb: 0.9\nval_bpb: nan", "not a finite number"),  # the last one, not the last that suits
        ("val_bpb: 0.9\nVAL-BPB: 0.8", "in two spellings, `val_bpb` and `VAL-BPB`: print only one"),
    ],
)
def test_an_output_that_does_not_say_it(printed: str, reason: str) -> None:
    with pytest.raises(ClaimError, match=reason):
        claimed(printed, name="val_bpb")


@given(st.text() | st.text(alphabet="val_bpb:.0123e-+ \n\r"))
def test_no_output_does_anything_else(printed: str) -> None:
    try:
        found = claimed(printed, name="val_bpb")
    except ClaimError:
        return
    assert math.isfinite(found.metric)
