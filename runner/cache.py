"""The runner's folders: what is kept between runs (clones, prepared data), and one private folder per run.

Locks are flock(2): the kernel releases them when a process dies, however it dies, so nothing is ever stale.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RESERVE_MIB = 512  # left free on the disk besides what a run may write


class DiskError(Exception):
    """There is not enough room to run."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the exclusive lock `path`, waiting for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def require_space(folder: Path, need_mib: int) -> None:
    """Raises DiskError if `folder`'s disk has less than `need_mib` plus a reserve."""
    free_mib = shutil.disk_usage(folder).free >> 20
    if free_mib < need_mib + RESERVE_MIB:
        raise DiskError(
            f"the runner's disk is nearly full: {free_mib} MiB free at {folder}, {need_mib + RESERVE_MIB} MiB needed"
        )


@contextmanager
def run_folder(need_mib: int) -> Iterator[Path]:
    """A fresh private folder, removed afterwards; those of runners that were killed are removed first.

    It lies in the system's temporary folder (TMPDIR), since nothing in it outlives the run.
    """
    root = Path(tempfile.gettempdir()) / f"nightlab-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    if root.is_symlink() or root.stat().st_uid != os.getuid():
        raise DiskError(f"{root} belongs to somebody else; set TMPDIR to a folder of your own")
    require_space(root, need_mib)
    with locked(root / "lock"):
        for folder in root.iterdir():
            if folder.is_dir():
                _remove_if_abandoned(folder)
        folder = Path(tempfile.mkdtemp(dir=root))
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        try:
            remove(folder)
        except SystemExit:  # a signal in the middle of it
            remove(folder)
            raise
        finally:
            os.close(lock)


def _remove_if_abandoned(folder: Path) -> None:
    lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(folder)
    except BlockingIOError:
        pass  # its runner lives
    finally:
        os.close(lock)


def remove(folder: Path) -> None:
    """Deletes `folder`, whatever permissions were left inside."""
    for parent, folders, _ in os.walk(folder):
        for path in (Path(parent) / name for name in folders):
            if not path.is_symlink():
                path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
