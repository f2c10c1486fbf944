"""Every way a train.py can end is one status and one clear sentence, and nothing of it is left behind."""

import json
import math
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from fake_task import TRAIN, Bench, asked, doing, limited, measured

from runner.protocol import Phase, Status, decode_line
from runner.sandbox.descendants import descendants

Result = TypeVar("Result")


def test_an_honest_run_is_scored(bench: Bench) -> None:
    run, progress = measured(bench.request())
    assert (run.status, run.reason, run.seed, run.hardware_class) == (Status.OK, "", 3, "cpu-test")
    # 3/4 + 1/64 for the successor, 1/64 for each other token, in bits over two bytes a token
    entropy = -(49 / 64 * math.log2(49 / 64) + 15 / 64 * math.log2(1 / 64)) / 2
    assert run.metric == pytest.approx(entropy, abs=0.08)
    assert run.audited_positions == 320
    assert run.audit_max_gap == 0.0
    assert run.curve == ((1, 1.5),)
    assert run.log_tail == "step 1/1 loss 1.5\n"
    assert run.tree_sha == bench.git("rev-parse", f"{bench.base_sha}^{{tree}}")
    assert list(dict.fromkeys(p.phase for p in progress)) == [
        Phase.BUILD,
        Phase.TRAIN,
        Phase.PREDICT,
        Phase.AUDIT,
        Phase.SCORE,
    ]


def test_the_same_seed_gives_the_same_number(bench: Bench) -> None:
    first, second = (measured(bench.request())[0] for _ in range(2))
    assert first.metric == second.metric
    assert first.artefact_sha256 == second.artefact_sha256
    assert first.environment_digest == second.environment_digest


@pytest.mark.parametrize(
    ("action", "status", "reason"),
    [
        ("raise ValueError('width 65 is odd')", Status.CRASHED, "train.py failed: ValueError: width 65 is odd"),
        ("raise SystemExit(7)", Status.CRASHED, "train.py failed: exit code 7"),
        ("os.kill(os.getpid(), 11)", Status.CRASHED, "train.py was ended by SIGSEGV"),
        ("os._exit(0)", Status.INVALID, "train.py exited without leaving anything in $OUT_DIR"),
        ("import time; time.sleep(60)", Status.TIMED_OUT, "train.py was not done after 3 s"),
        (
            "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)",
            Status.TIMED_OUT,
            "train.py was not done after 3 s",
        ),
        (
            "import time; hog = b'x' * (300 << 20); time.sleep(60)",
            Status.OUT_OF_MEMORY,
            "train.py needed more memory than its 256 MiB",
        ),
        (
            "import multiprocessing as m, time\nfor _ in range(4): m.Process(target=lambda: (b'x' * (80 << 20),"
            " time.sleep(60))).start()\ntime.sleep(60)",
            Status.OUT_OF_MEMORY,
            "train.py needed more memory than its 256 MiB",
        ),
        ("raise MemoryError", Status.OUT_OF_MEMORY, "train.py needed more memory than its 256 MiB"),
        (
            "import time\nfor i in range(40):\n    open(os.environ['OUT_DIR'] + f'/{i}', 'wb').write(bytes(1 << 20))\n"
            "time.sleep(60)",
            Status.INVALID,
            "train.py wrote more than 8 MiB or too many files",
        ),
        (
            "import time\nfor i in range(40):\n    open(os.environ['TMPDIR'] + f'/{i}', 'wb').write(bytes(1 << 20))\n"
            "time.sleep(60)",
            Status.INVALID,
            "train.py wrote more than 8 MiB or too many files",
        ),
        (
            "import time\nfor _ in range(400):\n    if os.fork() == 0: time.sleep(60)\ntime.sleep(60)",
            Status.CRASHED,
            "train.py started too many processes",
        ),
    ],
)
def test_training_that_fails(bench: Bench, action: str, status: Status, reason: str) -> None:
    request = limited(bench.train_with(doing(action)), timeout_s=3, memory_mib=256, output_mib=8)
    run, _ = measured(request)
    assert (run.status, run.reason, run.metric) == (status, reason, None)


LOAD = '    table = np.load(out_dir + "/model.npy")\n'


@pytest.mark.parametrize(
    ("old", "new", "status", "reason"),
    [
        (
            "np.log(counts / counts.sum(1, keepdims=True))",
            "np.array({})",  # an object array: only unpickling would bring it back
            Status.CRASHED,
            "the model failed: ValueError: Object arrays cannot be loaded when allow_pickle=False",
        ),
        ("def load(", "def lode(", Status.CRASHED, "the model failed: ImportError: cannot import name 'load'"),
        ("table[tokens]", "table[tokens] * np.nan", Status.INVALID, "the model's logits are not finite"),
        ("table[tokens]", "table[tokens] - np.inf", Status.INVALID, "the model's logits are not finite"),
        ("table[tokens]", "table[tokens][:, :, :-1]", Status.INVALID, "the model answered [32, 8, 15] logits where"),
        ("table[tokens]", "table[tokens][:-1]", Status.INVALID, "the model answered [31, 8, 16] logits where"),
        (LOAD, LOAD + "    import time; time.sleep(60)\n", Status.TIMED_OUT, "the model was not done after 5 s"),
        (LOAD, LOAD + "    os._exit(0)\n", Status.INVALID, "the model's process ended before it had answered"),
        (LOAD, LOAD + "    os.kill(os.getpid(), 9)\n", Status.CRASHED, "the model was ended by SIGKILL"),
        (
            LOAD,
            LOAD + "    open(out_dir + '/told', 'w').write('x')\n",
            Status.INVALID,
            "the model changed its own files while it was asked",
        ),
    ],
)
def test_a_model_that_cannot_be_scored(bench: Bench, old: str, new: str, status: Status, reason: str) -> None:
    assert old in TRAIN
    run, _ = measured(limited(bench.train_with(TRAIN.replace(old, new)), timeout_s=5))
    assert run.status is status
    assert run.reason.startswith(reason)
    assert run.metric is None


@pytest.mark.parametrize(
    "action",
    [
        "os.symlink('/etc/passwd', os.environ['OUT_DIR'] + '/extra')",
        "os.symlink('/etc', os.environ['OUT_DIR'] + '/extra')",
        "os.mkfifo(os.environ['OUT_DIR'] + '/extra')",
    ],
)
def test_anything_but_plain_files_is_refused(bench: Bench, action: str) -> None:
    run, _ = measured(bench.train_with(doing(action)))
    assert (run.status, run.reason) == (Status.INVALID, "'extra' in $OUT_DIR is not a regular file")


def test_a_huge_sparse_file_cannot_be_made(bench: Bench) -> None:
    run, _ = measured(bench.train_with(doing("os.truncate(os.open(os.environ['OUT_DIR'] + '/e', 66), 1 << 40)")))
    assert (run.status, run.reason) == (Status.CRASHED, "train.py failed: OSError: [Errno 27] File too large")


def test_many_files_of_allowed_size_are_counted_together(bench: Bench) -> None:
    action = "for i in range(9): os.truncate(os.open(os.environ['OUT_DIR'] + f'/{i}', 66), 1 << 20)"  # no blocks used
    run, _ = measured(limited(bench.train_with(doing(action)), output_mib=8))
    assert (run.status, run.reason) == (Status.INVALID, "$OUT_DIR holds more than 8 MiB")


def test_a_daemon_does_not_outlive_training(bench: Bench, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    daemon = f"""
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.closerange(0, 3)
        open({str(mark)!r}, "w").write(str(os.getpid()))
        time.sleep(60)
    os._exit(0)
import time
while not os.path.exists({str(mark)!r}): time.sleep(0.01)
"""
    run, _ = measured(bench.train_with(doing(daemon)))
    assert run.status is Status.OK
    assert not _alive(int(mark.read_text()))


def test_the_temporary_folder_may_lie_deep(bench: Bench, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)  # the address of a socket in it has no room for that
    deep.mkdir()
    run, _ = measured(bench.request(), env={"TMPDIR": str(deep)})
    assert (run.status, run.reason) == (Status.OK, "")


@pytest.mark.parametrize("phase", [Phase.TRAIN, Phase.PREDICT])
def test_nothing_is_left_when_the_asker_is_killed(bench: Bench, tmp_path: Path, phase: Phase) -> None:
    hang = f"import time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    source = doing(hang) if phase is Phase.TRAIN else TRAIN.replace(LOAD, LOAD + f"    {hang}\n")
    with asked(limited(bench.train_with(source), timeout_s=60), env={"TMPDIR": str(tmp_path)}) as runner:
        pid = _eventually(lambda: int((tmp_path / "pid").read_text()))
        below = descendants(runner.pid)
        assert pid in below
        assert runner.stdin is not None
        runner.stdin.close()  # what a kill -9 of the asker does
        assert runner.wait(timeout=10) != 0
        assert not any(map(_alive, below))
    assert [path.name for path in (tmp_path / f"nightlab-{os.getuid()}").iterdir()] == ["lock"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_cancelled_run_cleans_up(bench: Bench, tmp_path: Path, number: signal.Signals) -> None:
    hang = f"import time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with asked(bench.train_with(doing(hang)), env={"TMPDIR": str(tmp_path)}) as runner:
        pid = _eventually(lambda: int((tmp_path / "pid").read_text()))
        runner.send_signal(number)
        assert runner.wait(timeout=10) == 128 + number
        assert not _alive(pid)
    assert [path.name for path in (tmp_path / f"nightlab-{os.getuid()}").iterdir()] == ["lock"]


def test_training_dies_with_a_killed_runner(bench: Bench, tmp_path: Path) -> None:
    hang = f"import time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with asked(bench.train_with(doing(hang))) as runner:
        pid = _eventually(lambda: int((tmp_path / "pid").read_text()))
        os.kill(runner.pid, signal.SIGKILL)
        runner.wait(timeout=10)
        _eventually(lambda: 1 / (not _alive(pid)))


def test_300_mb_of_output_are_harmless(bench: Bench) -> None:
    claims = "for _ in range(300): os.write(1, b'step 1/2 loss 3.0\\n' * 55_556)"
    run, progress = measured(bench.train_with(doing(claims)))
    assert run.status is Status.OK
    assert len(run.log_tail) == 4000
    assert len(run.curve) <= 60
    assert len(progress) < 200


def test_hostile_output_is_inert(bench: Bench) -> None:
    print_ = r"print('\x1b[31mred\x1b[0m \x1b]0;title\x07 ::set-output name=x::y @torvalds \u202e \x00end')"
    run, _ = measured(bench.train_with(doing(print_)))
    assert run.log_tail == "red  :\u2009:set-output name=x:\u2009:y @\u2009torvalds  end\nstep 1/1 loss 1.5\n"


def test_claims_are_only_shown(bench: Bench) -> None:
    claims = 'print("step 5/10 loss nan\\nstep 6/10 loss 1e-9\\nval_bpb: 0.0\\nstep 9999999999999/1 loss 1")'
    run, progress = measured(bench.train_with(doing(claims)))
    honest, _ = measured(bench.request())
    assert run.metric == honest.metric
    assert run.curve == ((6, 1e-9), (1, 1.5))
    assert [(p.step, p.fraction) for p in progress if p.phase is Phase.TRAIN] == [
        (0, 0.0),
        (6, 0.6),
    ]  # five reports a second at most


def test_the_candidate_inherits_no_secret(bench: Bench) -> None:
    run, _ = measured(
        bench.train_with(doing("print(sorted(os.environ))")),
        env={"NIGHTLAB_GIT_TOKEN": "t0ken", "ANTHROPIC_API_KEY": "k3y", "GITHUB_TOKEN": "x"},
    )
    names = set(json.loads(run.log_tail.splitlines()[0].replace("'", '"')))
    assert names >= {"DATA_DIR", "OUT_DIR", "SEED", "PRESET", "BUDGET_STEPS"}
    assert not {name for name in names if "TOKEN" in name or "KEY" in name}


def test_two_runs_at_once_do_not_meet(bench: Bench, tmp_path: Path) -> None:
    request = replace(bench.request(), cache_dir=str(tmp_path))  # both find the cache empty
    with asked(request) as first, asked(request) as second:
        runs = [decode_line(list(process.stdout or ())[-1]).run for process in (first, second)]
    assert [run.status for run in runs if run] == [Status.OK, Status.OK]
    assert len({run.metric for run in runs if run}) == 1


def test_what_is_not_the_candidates_fault_may_be_tried_again(bench: Bench) -> None:
    request = bench.request()
    broken = replace(bench, base_sha=bench.commit({"prepare.py": "raise OSError('mirror is down')"})).request()
    lost = replace(request, source=replace(request.source, head_sha="0" * 40))
    unknown = replace(request, sandbox="chroot")
    for wrong, reason in (
        (lost, "could not fetch from "),
        (unknown, "this runner has no 'chroot' sandbox"),
        (broken, "prepare.py failed: OSError: mirror is down"),
        (limited(request, output_mib=10**9), "the runner's disk is nearly full: "),
    ):
        run, _ = measured(wrong)
        assert run.status is Status.INFRASTRUCTURE
        assert run.reason.startswith(reason)


def _eventually(attempt: Callable[[], Result]) -> Result:
    """The value of `attempt` once it stops raising."""
    deadline_s = time.monotonic() + 20
    while True:
        try:
            return attempt()
        except (OSError, ValueError, ZeroDivisionError):
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
