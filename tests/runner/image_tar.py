"""Writes a root file system as a tar: this Python, numpy, torch, and the shared libraries they load. Nothing else.

    python tests/runner/image_tar.py | docker import -c 'ENV PATH=/bin' - nightlab-test

The image of the tests is made from the machine itself, so that building it needs no registry, and a run in a container
can be compared digit by digit with a run outside. The image that people use is the `runner` target of the Dockerfile.
"""

import io
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOTS = ("numpy", "torch")
# Compiled bytecode stays: on a read-only root nothing could be cached, and importing torch would take 8 s, not 2.
NOT_OF_PYTHON = re.compile(r"/(site-packages|dist-packages|test|idlelib|config-3[^/]*)/|\.a$")
NOT_OF_PACKAGES = re.compile(r"/(torch/include|torch/share)/|\.a$")


def packages(roots: tuple[str, ...]) -> Iterator[Path]:
    """All files of these distributions and of what they require here."""
    seen, queue = set(), list(roots)
    while queue:
        name = queue.pop()
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # an optional one
        if found.name in seen:
            continue
        seen.add(found.name)
        for line in found.requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                queue.append(requirement.name)
        yield from (Path(os.path.normpath(found.locate_file(file))) for file in found.files or [])


def libraries(paths: list[Path]) -> set[Path]:
    """What the dynamic linker would load for `paths`, from the system's folders, and the linker itself."""
    found = set()
    for start in range(0, len(paths), 50):
        listed = subprocess.run(["ldd", *paths[start : start + 50]], capture_output=True, text=True, check=False).stdout
        for path in re.findall(r"^\t(?:\S+ => )?(/\S+) \(0x", listed, re.MULTILINE):
            found.add(Path(path))
    return found


def main() -> None:
    binary, library = Path(sys.executable).resolve(), Path(sysconfig.get_path("stdlib"))
    site = Path(sysconfig.get_path("purelib"))
    files: dict[Path, Path] = {}  # place in the image -> file here
    for path in library.rglob("*"):
        if path.is_file() and not NOT_OF_PYTHON.search(str(path)):
            files[path] = path
    for path in packages(ROOTS):
        if path.is_relative_to(site) and path.is_file() and not NOT_OF_PACKAGES.search(str(path)):
            files[library / "site-packages" / path.relative_to(site)] = path
    files[binary] = binary
    native = [binary, *(path for path in files.values() if ".so" in path.suffixes)]
    for path in libraries(native):
        if path not in files.values() and not path.is_relative_to(site):
            files[path] = path
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", dereference=True) as tar:
        for place, path in sorted(files.items()):
            tar.add(path, str(place).lstrip("/"), recursive=False)
        for text, place in (("nobody:x:65534:65534::/:/none\n", "etc/passwd"), ("nogroup:x:65534:\n", "etc/group")):
            about = tarfile.TarInfo(place)
            about.size = len(text)
            tar.addfile(about, io.BytesIO(text.encode()))
        for folder in ("tmp", "proc", "sys", "dev", "run"):
            about = tarfile.TarInfo(folder)
            about.type, about.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(about)
        link = tarfile.TarInfo("bin/python3")
        link.type, link.linkname = tarfile.SYMTYPE, str(binary)
        tar.addfile(link)


if __name__ == "__main__":
    main()
