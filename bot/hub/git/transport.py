"""git over smart HTTP: clone, fetch and push, by git's own programs in their stateless form."""

import contextlib
import gzip
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from typing import IO, cast

from flask import Blueprint, Response, request
from werkzeug.exceptions import BadRequest, NotFound, RequestEntityTooLarge

from bot.hub.access import Caller, identify, may, visible_repo
from bot.hub.api.rest import the_forge
from bot.hub.forge import Forge, ForgeError
from bot.hub.git.command import command, environment
from bot.hub.git.refs import record_pushes
from bot.hub.records import Protection, Repo

blueprint = Blueprint("transport", __name__)

_SERVICES = {"git-upload-pack": "upload-pack", "git-receive-pack": "receive-pack"}
# Bytes of a request once unpacked. What a clone asks for is short; git's own server has the same limit.
_LIMITS = {"git-upload-pack": 10 << 20, "git-receive-pack": 2 << 30}
_NO_CACHE = {"Cache-Control": "no-cache, max-age=0, must-revalidate"}


def _caller(forge: Forge) -> Caller:
    """git sends the token as the password of basic authentication; the user name does not matter."""
    basic = request.authorization
    if basic is None or basic.type != "basic" or not basic.password:
        return Caller()
    return identify(forge, "token", basic.password)


def _ask_for_credentials() -> Response:
    return Response("Please give a token as the password.\n", 401, {"WWW-Authenticate": 'Basic realm="hub"'})


def _admit(owner: str, name: str, service: str) -> tuple[Forge, Repo, Caller] | Response:
    """The repository for a caller who may use the service, or the answer that turns them away."""
    forge = the_forge()
    if service not in _SERVICES:
        raise NotFound
    try:
        caller = _caller(forge)
        repo = visible_repo(forge, caller, owner, name)
    except ForgeError as error:
        # A private repository and a missing one look alike to somebody who has shown no valid token.
        if error.status == 401 or request.authorization is None:
            return _ask_for_credentials()
        return Response("Repository not found.\n", 404)
    level = "write" if service == "git-receive-pack" else "read"
    if not may(forge, caller, repo, level, "contents"):
        return _ask_for_credentials() if caller.actor is None else Response("You may not push here.\n", 403)
    return forge, repo, caller


def _arguments(forge: Forge, repo: Repo, service: str, *options: str) -> list[str]:
    hidden = ["-c", "receive.hideRefs=refs/pull"]
    for protection in forge.store.all(Protection, "WHERE repo_id = ? AND require_pull = 1", repo.id):
        hidden += ["-c", f"receive.hideRefs=refs/heads/{protection.branch}"]
    path = forge.git_path(repo.id)
    return command(path, *hidden, _SERVICES[service], "--stateless-rpc", *options, "--", str(path))


def _environment() -> dict[str, str]:
    protocol = request.headers.get("Git-Protocol", "")
    return environment() | ({"GIT_PROTOCOL": protocol} if protocol else {})


@blueprint.get("/<owner>/<name>.git/info/refs")
def advertise(owner: str, name: str) -> Response:
    service = request.args.get("service", "")
    admitted = _admit(owner, name, service)
    if isinstance(admitted, Response):
        return admitted
    forge, repo, _ = admitted
    arguments = _arguments(forge, repo, service, "--http-backend-info-refs")
    done = subprocess.run(arguments, env=_environment(), capture_output=True, check=True)
    line = f"# service={service}\n"
    opening = f"{len(line) + 4:04x}{line}0000".encode()
    return Response(opening + done.stdout, headers=_NO_CACHE, mimetype=f"application/x-{service}-advertisement")


@blueprint.post("/<owner>/<name>.git/<service>")
def serve(owner: str, name: str, service: str) -> Response:
    admitted = _admit(owner, name, service)
    if isinstance(admitted, Response):
        return admitted
    forge, repo, caller = admitted
    arguments = _arguments(forge, repo, service)
    mimetype = f"application/x-{service}-result"
    incoming = _request_file(_LIMITS[service])
    if service == "git-upload-pack":
        return Response(_stream(arguments, incoming), headers=_NO_CACHE, mimetype=mimetype)
    with incoming, forge.lock(repo):
        done = subprocess.run(arguments, stdin=incoming, env=_environment(), capture_output=True, check=False)
        record_pushes(forge, caller.require_actor(), repo)
    return Response(done.stdout, headers=_NO_CACHE, mimetype=mimetype)


def _request_file(limit: int) -> IO[bytes]:
    """The body in a file, since a pack can be large; git compresses long requests."""
    request.max_content_length = None
    packed = request.headers.get("Content-Encoding") == "gzip"
    source = gzip.GzipFile(fileobj=request.stream) if packed else request.stream
    with contextlib.ExitStack() as undo:
        spool = undo.enter_context(tempfile.TemporaryFile())
        try:
            while chunk := source.read(1 << 16):
                spool.write(chunk)
                if spool.tell() > limit:
                    raise RequestEntityTooLarge
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raise BadRequest("The body is not gzip.") from None
        undo.pop_all()
    spool.seek(0)
    return cast("IO[bytes]", spool)


def _stream(arguments: list[str], incoming: IO[bytes]) -> Iterator[bytes]:
    env = _environment()

    def chunks() -> Iterator[bytes]:
        with incoming, subprocess.Popen(arguments, stdin=incoming, stdout=subprocess.PIPE, env=env) as process:
            if process.stdout is None:
                return
            try:
                while chunk := process.stdout.read(65_536):
                    yield chunk
            finally:
                process.kill()  # does nothing to one that has ended; stops one whose client has gone

    return chunks()
