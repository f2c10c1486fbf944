"""What a candidate can reach from inside: each test names the control that stops it, and is red without that control.

Every test runs a real sandbox around real processes: `docker` needs an engine (see .ci/docker), `bubblewrap` needs
bwrap and a user other than root.
"""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_task import TRAIN, Bench, asked, doing, limited, measured

from runner.protocol import Status
from runner.sandbox.bubblewrap import BubblewrapSandbox
from runner.sandbox.interface import MAX_PROCESSES, MAX_TASKS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LOAD = '    table = np.load(out_dir + "/model.npy")\n'


def found(bench: Bench, code: str, *, env: dict[str, str] | None = None) -> object:
    """What `code`, run as training, assigns to `found`."""
    probe = doing(f"import json, socket, sys\nfound = None\n{code}\nprint(json.dumps(found), flush=True)\nos._exit(9)")
    run, _ = measured(bench.train_with(probe), env=env)
    assert run.reason.startswith("train.py failed: "), run
    return json.loads(run.log_tail.strip().splitlines()[-1])


def test_no_network(sealed: Bench) -> None:
    """Control: network_mode none / --unshare-net. A server of this machine cannot be reached, nor anything else."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        reached = found(
            sealed,
            f"""found = [name for _, name in socket.if_nameindex()]
for address in ("127.0.0.1", "{_own_address()}", "1.1.1.1"):
    try:
        socket.create_connection((address, {port}), 1).close()
        found.append(address)
    except OSError:
        pass""",
        )
    assert reached == ["lo"]


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def test_no_secret_in_any_environment(sealed: Bench) -> None:
    """Control: processes get the variables they are given, and see no process of ours (pid namespace)."""
    code = """found = [[], []]
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        names = [part.split(b"=")[0].decode() for part in open(f"/proc/{pid}/environ", "rb").read().split(b"\\0")]
        found[0] += [name for name in names if "TOKEN" in name or "NIGHTLAB" in name]
    except OSError:
        pass
    found[1].append(open(f"/proc/{pid}/cmdline").read().split("\\0")[0].split("/")[-1])"""
    secret, processes = found(sealed, code, env={"NIGHTLAB_GIT_TOKEN": "t0ken"})
    assert secret == []
    assert set(processes) <= {"python3", "python", "docker-init", "bwrap"}
    assert len(processes) <= 3


def test_no_socket_to_anything(sealed: Bench) -> None:
    """Control: nothing is mounted but what a run needs, the engine's socket least of all."""
    code = """import stat
found = []
for parent, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(parent, name) not in ("/proc", "/sys", "/usr", "/root")]
    for name in names:
        path = os.path.join(parent, name)
        if stat.S_ISSOCK(os.lstat(path).st_mode): found.append(path)"""
    assert found(sealed, code) == []


def test_nothing_but_its_own_folders_can_be_written(sealed: Bench) -> None:
    """Control: read-only root and mounts, and not only that this user has no right to write there."""
    code = """in_memory = ("tmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2")
found = [place for _, place, kind, flags, *_ in map(str.split, open("/proc/self/mounts"))
         if (place in ("/", os.getcwd(), os.environ["DATA_DIR"]) or kind not in in_memory)
         and place != os.environ["OUT_DIR"] and not place.startswith("/dev/") and "ro" not in flags.split(",")]
for place in ("/", "/usr", "/etc", "/dev", "/proc", "/sys", "/var", "/root", "/home", os.getcwd(),
              os.environ["DATA_DIR"], os.path.dirname(sys.executable), os.path.dirname(np.__file__)):
    try:
        open(place + "/mark", "w").close()
        found.append(place)
    except OSError:
        pass"""
    assert found(sealed, code) == []


def test_no_device_but_those_of_every_process(sealed: Bench) -> None:
    """Control: a /dev of its own. Without it, this machine's would be there, for whoever may open them."""
    code = """import stat
found = []
for parent, _, names in os.walk("/dev"):
    for name in names:
        mode = os.lstat(os.path.join(parent, name)).st_mode
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode): found.append(name)"""
    devices = found(sealed, code)
    assert isinstance(devices, list)
    assert set(devices) <= {"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx"}


def test_system_calls_that_open_the_kernel_are_refused(sealed: Bench) -> None:
    """Control: the shipped filter; the default one of older engines lets io_uring and vsock through."""
    code = """import ctypes, errno
libc, found = ctypes.CDLL(None, use_errno=True), []
calls = {"io_uring_setup": (425, 1, 0), "unshare": (272, 0x10000000, 0), "ptrace": (101, 0, 0), "bpf": (321, 0, 0),
         "userfaultfd": (323, 0, 0), "keyctl": (250, 0, 0), "perf_event_open": (298, 0, 0), "clone3": (435, 0, 0),
         "add_key": (248, 0, 0), "io_setup": (206, 1, 0), "clone of a namespace": (56, 0x10000000, 0)}
for name, (number, *arguments) in calls.items():
    result = libc.syscall(number, *arguments, 0, 0)
    if name == "clone of a namespace" and result == 0: os._exit(0)
    found.append([name, result, errno.errorcode.get(ctypes.get_errno())])
for family in (40, 38, 17, 44):  # vsock, kernel crypto, packets, express data path
    try:
        socket.socket(family, socket.SOCK_STREAM if family == 40 else socket.SOCK_RAW).close()
        found.append([str(family), 0, None])
    except OSError as error:
        found.append([str(family), -1, errno.errorcode[error.errno]])"""
    if os.uname().machine != "x86_64":
        pytest.skip("the numbers are those of x86_64")
    refused = found(sealed, code)
    assert isinstance(refused, list)
    assert {name: code for name, _, code in refused} == {
        name: "ENOSYS" if name == "clone3" else "EPERM" for name, _, _ in refused
    }


def test_no_privilege_is_left(sealed: Bench) -> None:
    """Controls: cap_drop, no-new-privileges, an unprivileged user and group, the filter.

    bwrap has no argument for capabilities: it gives none to whoever is not root, and root is refused.
    """
    code = """wanted = ("CapEff", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp")
found = {line.split(":")[0]: int(line.split()[1], 16) for line in open("/proc/self/status") if line.startswith(wanted)}
found |= {"uid": os.getuid(), "gid": os.getgid()}"""
    got = found(sealed, code)
    assert isinstance(got, dict)
    assert got.pop("Seccomp_filters", 1) >= 1
    assert got == {"CapEff": 0, "CapPrm": 0, "CapBnd": 0, "NoNewPrivs": 1, "Seccomp": 2, "uid": 65534, "gid": 65534}


def test_the_machine_is_not_named(sealed: Bench) -> None:
    """Control: hostname, in a uts namespace."""
    assert found(sealed, "found = os.uname().nodename") == "sandbox"


def test_no_user_namespace_even_without_the_filter() -> None:
    """Control: --disable-userns. In a container, the filter alone stands before this."""
    if shutil.which("bwrap") is None or os.geteuid() == 0:
        pytest.skip("needs bwrap, and a user other than root")
    view = BubblewrapSandbox(has_gpu=False)._view(output_mib=1)
    code = "import ctypes; raise SystemExit(ctypes.CDLL(None).unshare(0x10000000) + 1)"
    assert subprocess.run([*view, "--", sys.executable, "-I", "-S", "-c", code], env={}, check=False).returncode == 0


def test_no_core_dumps_and_few_open_files(sealed: Bench) -> None:
    """Control: ulimits / RLIMIT_CORE and RLIMIT_NOFILE. Open files are counted for the whole machine."""
    code = """import errno, resource
found = [resource.getrlimit(resource.RLIMIT_CORE)]
try:
    for many in range(6000): os.dup(1)
except OSError as error:
    os.closerange(3, 6000)
    found += [errno.errorcode[error.errno], many > 4000]"""
    assert found(sealed, code) == [[0, 0], "EMFILE", True]


def test_a_signal_is_the_end_of_training(sealed: Bench) -> None:
    """Control: init. As process 1 of its namespace the candidate would not even die of its own SIGKILL."""
    run, _ = measured(sealed.train_with(doing("os.kill(os.getpid(), 9)")))
    assert (run.status, run.reason) == (Status.CRASHED, "train.py was ended by SIGKILL")


def test_nothing_is_kept_between_processes_by_the_kernel(sealed: Bench) -> None:
    """Control: an ipc namespace. With `ipc_mode="host"`, or without --unshare-ipc, it finds what another process left.

    Without ipc_mode it would be the engine's default, which is the same unless the engine's own settings say otherwise.
    """
    code = """import ctypes
libc = ctypes.CDLL(None, use_errno=True)
found = [libc.shmget(0x6e6c, 4096, 0) >= 0]
libc.shmget(0x6e6c, 4096, 0o1666)"""
    try:
        assert found(sealed, code) == [False]
        assert found(sealed, code) == [False]
    finally:
        left = ctypes.CDLL(None).shmget(0x6E6C, 4096, 0)
        if left >= 0:
            ctypes.CDLL(None).shmctl(left, 0, None)


def test_it_dies_with_a_killed_runner(sealed: Bench) -> None:
    """Control: the guard process / --die-with-parent, without which bwrap dies, but not what it shut in."""
    name = f"of-{os.getpid()}-{time.monotonic_ns()}"
    hang = f"os.execv(sys.executable, ['{name}', '-c', 'import time; time.sleep(100)'])"
    with asked(limited(sealed.train_with(doing(f"import sys; {hang}")), timeout_s=100)) as runner:
        _eventually_running(name, is_running=True)
        os.kill(runner.pid, signal.SIGKILL)
        runner.wait(timeout=10)
        _eventually_running(name, is_running=False)


def _eventually_running(name: str, *, is_running: bool) -> None:
    """Waits until a process of this machine has that name, or none has."""
    end_s = time.monotonic() + 20
    while any(_first_word(pid) == name for pid in os.listdir("/proc") if pid.isdigit()) is not is_running:
        assert time.monotonic() < end_s
        time.sleep(0.05)


def _first_word(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]
    except OSError:
        return ""


def test_a_fork_bomb_stays_small(sealed: Bench) -> None:
    """Control: pids_limit / RLIMIT_NPROC: the kernel's, because no look is as fast as a bomb."""
    code = """import time
found = 0
try:
    while found < 3000:
        if os.fork() == 0: time.sleep(100); os._exit(0)
        found += 1
        os.write(1, f"made {found}\\n".encode())
except BlockingIOError:
    pass
time.sleep(60)"""
    run, _ = measured(limited(sealed.train_with(doing(code)), memory_mib=4096))
    assert (run.status, run.reason) == (Status.CRASHED, "train.py started too many processes")
    made = int(run.log_tail.split()[-1])
    assert MAX_PROCESSES // 2 < made <= MAX_TASKS  # it met the limit before we looked; on a slow machine, after


def test_a_fork_bomb_is_killed(sealed: Bench) -> None:
    """Control: the look at the number of processes, and the kill of all of them at once."""
    bomb = "import time\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(0.01)"
    run, _ = measured(limited(sealed.train_with(doing(bomb)), memory_mib=4096))
    assert (run.status, run.reason) == (Status.CRASHED, "train.py started too many processes")


@pytest.mark.parametrize(
    "bomb",
    [
        "hog = b'x' * (300 << 20); import time; time.sleep(60)",
        "import time\nfor _ in range(4):\n    if os.fork() == 0: hog = b'x' * (80 << 20); time.sleep(60)\n"
        "for _ in range(4):\n    if os.wait()[1]: os._exit(1)",
    ],
)
def test_a_memory_bomb(sealed: Bench, bomb: str) -> None:
    """Control: mem_limit, of all processes together / the look at their memory."""
    run, _ = measured(limited(sealed.train_with(doing(bomb)), memory_mib=256))
    assert (run.status, run.reason) == (Status.OUT_OF_MEMORY, "train.py needed more memory than its 256 MiB")


@pytest.mark.parametrize("place", ["os.environ['OUT_DIR']", "os.environ['TMPDIR']", "'/tmp'", "'/dev/shm'"])
@pytest.mark.parametrize("size", [1 << 20, 0])
def test_filling_a_disk(sealed: Bench, place: str, size: int) -> None:
    """Control: the sizes, and numbers of files, of the file systems in memory / the look at the folder."""
    if size == 0 and (sealed.sandbox == "bubblewrap" or place == "'/dev/shm'"):
        pytest.skip("empty files cost kernel memory, which only mem_limit bounds here")
    code = f"""import time
for i in range(40_000):
    try:
        with open({place} + f"/{{i}}", "wb") as file: file.write(bytes({size}))
    except OSError:
        print("full at", i, flush=True)
        raise
time.sleep(60)"""
    run, _ = measured(limited(sealed.train_with(doing(code)), output_mib=8))
    assert (run.status, run.reason) == (Status.INVALID, "train.py wrote more than 8 MiB or too many files")
    if sealed.sandbox == "docker" or "OUT_DIR" not in place:
        assert int(run.log_tail.split("full at ")[1].split()[0]) <= (8 if size else 10_000)


def test_a_daemon_cannot_change_the_artefact(sealed: Bench) -> None:
    """Control: the end of training is the end of its pid namespace, and the artefact is copied only then."""
    daemon = """if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        import signal, time
        for number in range(1, 32):
            try: signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError): pass
        os.closerange(0, 3)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try: np.save(os.environ["OUT_DIR"] + "/late.npy", np.zeros(1000))
            except OSError: pass
    os._exit(0)
import time
time.sleep(0.3)"""
    honest, _ = measured(sealed.request())
    run, _ = measured(sealed.train_with(doing(daemon)))
    assert run.status is Status.OK
    assert run.metric == honest.metric
    assert run.wall_s < 30


def test_ignoring_every_signal_does_not_help(sealed: Bench) -> None:
    """Control: the clock outside, and SIGKILL."""
    stubborn = """import signal, time
for number in range(1, 32):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
time.sleep(100)"""
    run, _ = measured(limited(sealed.train_with(doing(stubborn)), timeout_s=3))
    assert (run.status, run.reason) == (Status.TIMED_OUT, "train.py was not done after 3 s")
    assert 3 <= run.train_s < 6


def test_300_mb_of_output(sealed: Bench) -> None:
    """Control: what is printed is read as it comes, of which the end is kept; the engine stores none of it."""
    run, _ = measured(sealed.train_with(doing("for _ in range(300): os.write(1, b'step 1/2 loss 3.0\\n' * 55_556)")))
    assert run.status is Status.OK
    assert len(run.log_tail) == 4000
    assert run.log_tail.endswith("step 1/1 loss 1.5\n")


@pytest.mark.parametrize(
    "action",
    [
        "os.symlink('/etc/passwd', os.environ['OUT_DIR'] + '/extra')",
        "os.symlink('/etc', os.environ['OUT_DIR'] + '/extra')",
    ],
)
def test_anything_but_plain_files_is_refused(sealed: Bench, action: str) -> None:
    """Control: only plain files are copied out of the volume / opened, with O_NOFOLLOW."""
    run, _ = measured(sealed.train_with(doing(action)))
    assert (run.status, run.reason) == (Status.INVALID, "'extra' in $OUT_DIR is not a regular file")


def test_a_fifo_cannot_be_made(sealed: Bench) -> None:
    """Control: the filter of system calls, which has no mknod."""
    run, _ = measured(sealed.train_with(doing("os.mkfifo(os.environ['OUT_DIR'] + '/extra')")))
    assert (run.status, run.reason) == (
        Status.CRASHED,
        "train.py failed: PermissionError: [Errno 1] Operation not permitted",
    )


def test_a_socket_left_behind_is_refused_or_gone(sealed: Bench) -> None:
    """Control: only plain files are copied; the engine's copy leaves sockets out, and a look at the folder refuses."""
    bind = "import socket; here = os.getcwd(); os.chdir(os.environ['OUT_DIR']); socket.socket(1).bind('extra')"
    run, _ = measured(sealed.train_with(doing(f"{bind}; os.chdir(here)")))
    if sealed.sandbox == "docker":
        assert run.status is Status.OK
    else:
        assert (run.status, run.reason) == (Status.INVALID, "'extra' in $OUT_DIR is not a regular file")


def test_sparse_files_count_as_large_as_they_say(sealed: Bench) -> None:
    """Controls: RLIMIT_FSIZE for one, the sum of sizes for many; neither takes any room."""
    one = "os.truncate(os.open(os.environ['OUT_DIR'] + '/e', 66), 1 << 40)"
    run, _ = measured(sealed.train_with(doing(one)))
    assert (run.status, run.reason) == (Status.CRASHED, "train.py failed: OSError: [Errno 27] File too large")
    many = "for i in range(9): os.truncate(os.open(os.environ['OUT_DIR'] + f'/{i}', 66), 1 << 20)"
    run, _ = measured(limited(sealed.train_with(doing(many)), output_mib=8))
    assert (run.status, run.reason) == (Status.INVALID, "$OUT_DIR holds more than 8 MiB")


NOTE = """    import os
    notes = ["/tmp/note", "/dev/shm/note", "/var/tmp/note", "/run/note", out_dir + "/note", os.getcwd() + "/note",
             *(os.environ[name] + "/note" for name in ("TMPDIR", "HOME"))]
    if any(map(os.path.exists, notes)):
        table = table * 0
    for name in notes:
        try: open(name, "w").write("seen")
        except OSError: pass
"""


def test_the_first_worker_cannot_tell_the_second(sealed: Bench) -> None:
    """Control: a fresh container for each. Whoever finds a note answers differently, which the audit would see."""
    assert "lambda tokens" in TRAIN
    source = TRAIN.replace(LOAD, LOAD + NOTE)
    in_training = source.replace("def main():\n", f"def main():\n    table, out_dir = 0, '/nowhere'\n{NOTE}")
    honest, _ = measured(sealed.request())
    run, _ = measured(sealed.train_with(in_training))
    assert (run.status, run.metric) == (Status.OK, honest.metric)


CACHES = """import tempfile
places = [os.path.join(tempfile.gettempdir(), "torchinductor_nobody"), "/tmp/torchinductor_nobody", "/var/tmp/triton",
          *(os.path.expanduser(f"~/{name}") for name in (".triton/cache", ".cache/torch", ".nv/ComputeCache")),
          os.path.join(os.getcwd(), "__pycache__"), os.path.join(os.path.dirname(np.__file__), "__pycache__"),
          "/dev/shm/cache", os.path.join(os.environ["DATA_DIR"], "cache")]
"""
POISON = """for place in places:
    try:
        os.makedirs(place, exist_ok=True)
        open(place + "/poison.py", "w").close()
    except OSError: pass
found = [place for place in places if os.path.exists(place + "/poison.py")]"""


def test_a_poisoned_compiler_cache_reaches_no_other_run(sealed: Bench) -> None:
    """Control: every place where compilers keep what they made is of this process alone, or read-only."""
    poisoned = found(sealed, CACHES + POISON)
    assert isinstance(poisoned, list)
    assert len(poisoned) >= 4
    assert found(sealed, CACHES + POISON.splitlines()[-1]) == []


def test_the_validation_split_is_nowhere(sealed: Bench) -> None:
    """Control: only the training split is mounted, and no memory of ours can be read (pid namespace)."""
    measured(sealed.request())  # prepares the data
    (sequences,) = sealed.cache.glob("data/*/validation/sequences.npy")
    needle = np.load(sequences)[50].tobytes()
    code = f"""needle, found, looked = bytes.fromhex({needle[::-1].hex()!r})[::-1], [], 0
for parent, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(parent, name) not in ("/proc", "/sys", "/dev", "/usr")
                  and name not in ("site-packages", "lib", "pyenv", ".pyenv")]
    for name in names:
        try:
            with open(os.path.join(parent, name), "rb") as file: text = file.read(1 << 24)
        except OSError: continue
        looked += 1
        if needle in text or name == "sequences.npy": found.append(os.path.join(parent, name))
found = [looked, found]"""
    looked, places = found(sealed, code)  # type: ignore[misc]
    assert looked > 3
    assert places == []


def test_a_bomb_in_load_has_no_effect_outside(sealed: Bench, tmp_path: Path) -> None:
    """Control: the worker's container. The runner itself unpickles nothing."""
    mark = tmp_path / "mark"
    bomb = f"""    import os, pickle, signal
    class Bomb:
        def __reduce__(self):
            return exec, ({f"import os; os.makedirs({str(tmp_path)!r}, exist_ok=True); open({str(mark)!r}, 'w')"!r},)
    try: pickle.loads(pickle.dumps(Bomb()))
    except OSError: pass
    for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
        if pid not in (1, os.getpid(), os.getppid()):
            os.kill(pid, signal.SIGKILL)
"""
    honest, _ = measured(sealed.request())
    run, _ = measured(sealed.train_with(TRAIN.replace(LOAD, LOAD + bomb)))
    assert not mark.exists()
    assert (run.status, run.metric) == (Status.OK, honest.metric)


DRIP = """    import socket, sys, time
    line = socket.socket(socket.AF_UNIX)
    line.connect(sys.argv[3])
    while True:
        line.sendall(bytes(1))
        time.sleep(0.3)
"""


@pytest.mark.parametrize("deed", ["    import time; time.sleep(60)\n", DRIP])
def test_a_worker_that_hangs_or_drips(sealed: Bench, deed: str) -> None:
    """Control: the evaluation's clock outside."""
    request = limited(sealed.train_with(TRAIN.replace(LOAD, deed + LOAD)), timeout_s=4)
    run, _ = measured(request)
    assert run.status in (Status.TIMED_OUT, Status.INVALID)
    assert run.reason.startswith(
        ("the model was not done after 4 s", "the worker sent something", "the worker's greeting")
    )
    assert run.predict_s < 8


def test_a_worker_cannot_write_where_the_artefact_is(sealed: Bench) -> None:
    """Control: /out is read-only for workers."""
    told = f"""{LOAD}    try: open(out_dir + '/told', 'w').write('x'); table = table * 0
    except OSError: pass
    mounts = [line.split() for line in open("/proc/self/mounts")]
    if not any(mount[1] == out_dir and "ro" in mount[3].split(",") for mount in mounts): table = table * 0
"""
    honest, _ = measured(sealed.request())
    run, _ = measured(sealed.train_with(TRAIN.replace(LOAD, told)))
    assert (run.status, run.metric) == (Status.OK, honest.metric)


def test_two_runs_at_once_do_not_see_each_other(sealed: Bench, tmp_path: Path) -> None:
    """Control: each run has containers, volumes and a folder of its own; the sweep spares runs that live."""
    code = "import time; time.sleep(2)"
    request = replace(sealed.train_with(doing(code)), cache_dir=str(tmp_path))
    runs = []
    threads = [threading.Thread(target=lambda: runs.append(measured(request)[0])) for _ in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(0.5)
    for thread in threads:
        thread.join()
    assert [run.status for run in runs] == [Status.OK, Status.OK]
