"""The compiled kernels that runs share: made by main, and by nobody else."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest
from fake_task import Bench, doing, measured

from runner.bench import measure
from runner.protocol import Request, Status

# Stands for a compiler: takes what is in the cache, or "compiles", which is slow; then leaves something of its own.
COMPILING = """
from pathlib import Path
cache = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
cache.mkdir(parents=True, exist_ok=True)
kernel = cache / "kernel"
print("warm" if kernel.exists() else "cold", kernel.read_text() if kernel.exists() else "")
kernel.write_text("WHO")
"""


@pytest.fixture
def gpu(bench: Bench, tmp_path: Path) -> Bench:
    """Main compiles; its repository's cache is its own."""
    main = bench.commit({"train.py": doing(COMPILING.replace("WHO", "of main"))})
    return replace(bench, base_sha=main, cache=tmp_path / "cache")


def on_gpu(request: Request) -> Request:
    return replace(request, task=replace(request.task, preset="gpu"))


def test_a_candidate_finds_the_kernels_of_main_and_leaves_none(gpu: Bench) -> None:
    candidate = on_gpu(gpu.train_with(doing(COMPILING.replace("WHO", "of a candidate"))))
    for _ in range(2):  # even the first: main is run for a moment before it
        run, _ = measured(candidate)
        assert run.status is Status.OK, run.reason
        assert "warm of main" in run.log_tail


def test_kernels_that_somebody_changed_are_made_anew(gpu: Bench) -> None:
    main = on_gpu(gpu.request())
    assert "warm of main" in measured(main)[0].log_tail
    (kernel,) = (gpu.cache / "compiled").glob("*/inductor/kernel")
    kernel.write_text("of somebody else")
    assert "warm of main" in measured(main)[0].log_tail


def test_a_main_that_cannot_be_run_for_a_moment_is_asked_once(gpu: Bench, tmp_path: Path) -> None:
    mark = tmp_path / "times"
    failing = f"open({str(mark)!r}, 'a').write('x')\nif len(open({str(mark)!r}).read()) == 1: raise OSError('once')"
    base = replace(gpu, base_sha=gpu.commit({"train.py": doing(failing)}))
    for times in (2, 3):
        run, _ = measured(on_gpu(base.request()))
        assert run.status is Status.OK, run.reason
        assert len(mark.read_text()) == times


@pytest.mark.docker
def test_a_sealed_candidate_cannot_write_what_the_next_run_reads(
    in_docker: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.sandbox.container.ContainerSandbox._devices", lambda _: None)  # this machine has no GPU
    cache = tmp_path / "cache"
    main = in_docker.commit({"train.py": doing(COMPILING.replace("WHO", "of main"))})
    sealed = replace(in_docker, base_sha=main, cache=cache)
    spoiling = f"""
import glob
for path in glob.glob({str(cache)!r} + "/compiled/*/inductor/kernel"):
    try:
        open(path, "w").write("spoilt")
    except OSError as error:
        print("refused", error.errno)
"""
    spoilt = measure(on_gpu(sealed.train_with(doing(spoiling))), lambda _: None)
    assert f"refused {errno.EROFS}" in spoilt.log_tail, spoilt.reason
    (kernel,) = (cache / "compiled").glob("*/inductor/kernel")
    assert kernel.read_text() == "of main"
    assert "warm of main" in measure(on_gpu(sealed.request()), lambda _: None).log_tail
