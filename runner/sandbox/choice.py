"""Which sandbox a run gets, by the name that the contract gives it."""

from pathlib import Path

from runner.sandbox.interface import Image, Sandbox, SandboxError


def sandbox(name: str, *, run_dir: Path, has_gpu: bool, image: Image | None = None) -> Sandbox:
    """The implementation called `name` for the run in `run_dir`. Raises SandboxError."""
    # Imported here, because not every runner has what each of them needs.
    if name == "docker":
        try:
            from runner.sandbox.container import ContainerSandbox
        except ImportError:
            raise SandboxError(
                "the docker sandbox needs Docker's Python package: pip install 'nightlab[runner]'"
            ) from None

        return ContainerSandbox(run_dir=run_dir, has_gpu=has_gpu, image=image)
    if name == "bubblewrap":
        from runner.sandbox.bubblewrap import BubblewrapSandbox

        return BubblewrapSandbox(has_gpu=has_gpu)
    if name == "subprocess":
        from runner.sandbox.bare import BareSandbox

        return BareSandbox()
    raise SandboxError(f"this runner has no {name!r} sandbox; it has: 'docker', 'bubblewrap', 'subprocess'")
