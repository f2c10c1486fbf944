"""git over smart HTTP: clone, fetch and push, by git's own programs in their stateless form."""

import gzip
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from typing import IO, cast

from flask import Blueprint, Response, request
from werkzeug.exceptions import BadRequest, NotFound

from bot.hub.access import Caller, identify, may, visible_repo
from bot.hub.forge import Forge, ForgeError
from bot.hub.git import command, environment
from bot.hub.records import Protection, Repo
from bot.hub.refs import record_pushes
from bot.hub.rest import the_forge

blueprint = Blueprint("transport", __name__)

_SERVICES = {"git-upload-pack": "upload-pack", "git-receive-pack": "receive-pack"}
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
    if service == "git-upload-pack":
        return Response(_stream(arguments, _request_file()), headers=_NO_CACHE, mimetype=mimetype)
    with _request_file() as incoming, forge.lock(repo):
        done = subprocess.run(arguments, stdin=incoming, env=_environment(), capture_output=True, check=False)
        record_pushes(forge, caller.require_actor(), repo)
    return Response(done.stdout, headers=_NO_CACHE, mimetype=mimetype)


def _request_file() -> IO[bytes]:
    """The body in a file, since a pack can be large; git compresses long requests."""
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        if request.headers.get("Content-Encoding") == "gzip":
            with gzip.GzipFile(fileobj=request.stream) as unpacked:
                shutil.copyfileobj(unpacked, spool)
        else:
            shutil.copyfileobj(request.stream, spool)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        spool.close()
        raise BadRequest("The body is not gzip.") from None
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
