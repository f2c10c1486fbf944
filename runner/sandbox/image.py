"""The image that a run's containers are made of: named by its digest, or built from main's own Dockerfile.

It is built from main's tree less the files that proposals may edit, so that no pull request has a part in it; and once
for each such tree, because its tag is made of what it is built from.
"""

import hashlib
import io
import re
import time

import docker
from docker.errors import APIError, ImageNotFound

from runner.cache import locked
from runner.sandbox import engine
from runner.sandbox.interface import Image, SandboxError
from runner.transcript import sanitised

SILENCE_S = 900  # how long a build may say nothing
BUILD_S = 3600.0
REASON_CHARACTERS = 400
_DIGEST = re.compile(r"(.+@)?sha256:[0-9a-f]{64}")


def chosen(client: docker.APIClient, image: Image | None, *, machines_own: str) -> str:
    """The id of the image to use: the machine's own where the contract names none. Raises SandboxError."""
    if image is not None and image.name and not _DIGEST.fullmatch(image.name):
        return _built(client, image)
    name = image.name if image is not None and image.name else machines_own
    if not _DIGEST.fullmatch(name):
        raise SandboxError(
            f"set NIGHTLAB_IMAGE to the digest of the image that candidates run in (sha256:...), not {name!r}, or let "
            "the contract name one as `image`; `docker image inspect --format '{{.Id}}' NAME` prints it"
        )
    found = _image_id(client, name)
    if found is None:
        raise SandboxError(f"this machine has no image {name}: build or pull it first")
    return found


def _image_id(client: docker.APIClient, name: str) -> str | None:
    try:
        found = client.inspect_image(name)  # type: ignore[no-untyped-call]  # the stubs have no types for it
    except ImageNotFound:
        return None
    if found["Config"].get("Volumes"):
        raise SandboxError(f"the image {name} declares volumes, which would be writable without a limit")
    return str(found["Id"])


def _built(client: docker.APIClient, image: Image) -> str:
    tree = image.context()
    key = hashlib.sha256(f"{tree} {image.name}".encode()).hexdigest()[:24]
    tag = f"nightlab-task:{key}"
    with locked(image.cache_dir / "images" / f"{key}.lock"):
        return _image_id(client, tag) or _build(image, tree=tree, tag=tag)


def _build(image: Image, *, tree: str, tag: str) -> str:
    """Its id. The engine that builds has no secret of ours; what the Dockerfile fetches it fetches by the network."""
    builder, until_s = engine.connected(timeout_s=SILENCE_S), time.monotonic() + BUILD_S
    try:
        said = builder.build(
            fileobj=io.BytesIO(image.tar(tree)),
            custom_context=True,
            dockerfile=image.name,
            tag=tag,
            rm=True,
            forcerm=True,
            decode=True,
        )
        for line in said:
            if "error" in line:
                raise _failed(image, str(line["error"]))
            if time.monotonic() > until_s:
                raise _failed(image, f"it took more than {BUILD_S:g} s")
        found = _image_id(builder, tag)
    except APIError as error:
        raise _failed(image, str(error.explanation)) from None
    finally:
        builder.close()
    if found is None:
        raise _failed(image, "the engine has no such image afterwards")
    return found


def _failed(image: Image, why: str) -> SandboxError:
    reason = " ".join(sanitised(why, REASON_CHARACTERS).split())
    return SandboxError(f"the image could not be built from main's {image.name}: {reason}")
