"""A gain that is only a faster machine is seen, and said in words."""

from dataclasses import replace

from report_examples import SCREENING

from bot.core.model import MeasuredRun, Side
from bot.core.words.hardware import hardware_table, speed
from runner.protocol import Hardware

GPU = Hardware(
    cpu="x | y",
    gpu="NVIDIA H100 80GB HBM3",
    gpu_uuid="GPU-1f",
    driver="550.54",
    cuda="12.4",
    gpu_mhz=1820.4,
    gpu_mhz_low=1200,
    gpu_memory_mhz=2619,
    gpu_celsius=71,
    gpu_watts=655.2,
    throttled=(("power cap", 0.25),),
    software="torch 2.13.0",
    load=3.14,
    samples=8,
)


def faster(factor: float) -> list[MeasuredRun]:
    return [
        replace(r, run=replace(r.run, train_s=25.0 / (factor if r.side is Side.CANDIDATE else 1), hardware=GPU))
        for r in SCREENING
    ]


def test_speed_is_said_from_five_per_cent_on() -> None:
    assert speed(faster(1.04), counts_work=False) == ""
    assert speed(faster(0.96), counts_work=False) == ""
    assert "1.06 times" in speed(faster(1.06), counts_work=False)
    assert "this alone moves the metric" in speed(faster(0.94), counts_work=False)
    assert "does not move the metric" in speed(faster(1.06), counts_work=True)


def test_each_run_tells_its_hardware() -> None:
    assert hardware_table(SCREENING) == ""
    table = hardware_table(faster(1))
    assert table.count("\n| candidate, seed ") == 2
    assert "NVIDIA H100 80GB HBM3 GPU-1f, driver 550.54, CUDA 12.4; torch 2.13.0" in table
    assert "1820 MHz (1200 at least), memory 2619 MHz" in table
    assert "| train 25.0, freeze 0.0, predict 2.0, audit 1.0, score 0.5, overhead 1.5 |" in table
    assert "655 W, 71 °C, throttled: power cap in 25% of samples, load 3.1" in table
    cpu = hardware_table([replace(r, run=replace(r.run, hardware=replace(GPU, gpu=""))) for r in SCREENING])
    assert cpu.replace("\\|", "").count("|") == table.count("|")  # no cell breaks out
