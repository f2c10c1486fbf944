"""A bad week's webhooks, in small; benchmarks/soak.md has the large one."""

import subprocess
import sys

import pytest
from living_process import ROOT


@pytest.mark.slow
def test_every_command_among_disturbed_webhooks_is_obeyed_exactly_once() -> None:
    command = [sys.executable, "benchmarks/soak.py", "--webhooks", "300", "--commands", "40"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
