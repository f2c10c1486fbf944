import json
import subprocess
import sys

from fake_task import ROOT


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runner", *arguments]
    return subprocess.run(command, cwd=ROOT, input=stdin, capture_output=True, text=True, check=False)


def test_the_machine_is_described() -> None:
    described = json.loads(run("--describe").stdout)
    assert set(described) == {"hardware_class", "gpus", "cores", "memory_mib", "torch", "python"}
    assert described["gpus"] or described["hardware_class"].startswith("cpu-")
    assert described["cores"] >= 1
    assert described["memory_mib"] > 100


def test_what_is_no_request_is_refused_in_one_line() -> None:
    for line in ("", "\n", "{}\n", "hello\n"):
        done = run(stdin=line)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert done.stderr.startswith("not a request: ")


def test_unknown_arguments_show_the_usage() -> None:
    done = run("--help")
    assert (done.returncode, done.stderr) == (2, "usage: python -m runner [--describe | --check SANDBOX]\n")


def test_a_sandbox_is_tried_out() -> None:
    assert run("--check", "subprocess").returncode == 0
    refused = run("--check", "chroot")
    assert (refused.returncode, "this runner has no 'chroot' sandbox" in refused.stderr) == (1, True)
