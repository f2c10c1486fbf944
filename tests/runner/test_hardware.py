"""What a run says of the machine it ran on, with a stand-in for nvidia-smi."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from fake_task import Bench, doing, measured

from runner.hardware import parsed
from runner.protocol import Status

# Like a new driver: it does not know the old name of the throttle reasons.
NVIDIA_SMI = """#!/bin/sh
case "$*" in
  *clocks_throttle_reasons*) echo 'Field "clocks_throttle_reasons.active" is not a valid field to query.'; exit 2;;
  *--id=GPU-7*clocks_event_reasons*)
    echo "NVIDIA H100 80GB HBM3, GPU-7, 550.54.15, 1755, 2619, 64, [N/A], 0x0000000000000024";;
  *--query\\ *) echo "Driver Version : 550.54.15"; echo "CUDA Version   : 12.4";;
  *) exit 6;;
esac
"""


def test_a_run_on_a_cpu_tells_what_it_ran_on(bench: Bench) -> None:
    run, _ = measured(bench.train_with(doing("import time; time.sleep(0.7)")))
    seen = run.hardware
    assert (seen.cores, seen.gpu, seen.samples) == (os.cpu_count(), "", 1)
    assert seen.cpu
    assert seen.load > 0
    assert "python 3" in seen.software


def test_a_run_on_a_gpu_tells_its_clocks(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "nvidia-smi").write_text(NVIDIA_SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    request = bench.train_with(doing("import time; time.sleep(1.5)"))
    request = replace(request, task=replace(request.task, preset="gpu"))
    run, _ = measured(request, env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "NIGHTLAB_GPU": "GPU-7"})
    assert run.status is Status.OK, run.reason
    seen = run.hardware
    assert (seen.gpu, seen.gpu_uuid, seen.driver, seen.cuda) == ("NVIDIA H100 80GB HBM3", "GPU-7", "550.54.15", "12.4")
    assert (seen.gpu_mhz, seen.gpu_mhz_low, seen.gpu_celsius, seen.gpu_watts) == (1755, 1755, 64, 0)
    assert seen.throttled == (("power cap", 1.0), ("heat, by the driver", 1.0))


@pytest.mark.parametrize("said", ["", "No devices were found\n", "a, b\n", "n, u, d, x, y, z, w, 0xzz\n"])
def test_whatever_nvidia_smi_says(said: str) -> None:
    sample = parsed(said)
    assert sample is None or (sample.mhz, sample.throttled) == (0.0, ())
