"""What every REST endpoint shares: the caller, typed bodies, pages, and GitHub's error bodies and headers."""

import hashlib
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any, TypeVar
from urllib.parse import urlencode
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Blueprint, Flask, Request, Response, current_app, g, jsonify, request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from bot.hub.access import Caller, identify, require, visible_repo
from bot.hub.faults import Fault
from bot.hub.forge import Actor, Forge, ForgeError
from bot.hub.git.command import GitError
from bot.hub.records import Repo
from bot.hub.shapes.repositories import Json

PREFIX = "/api/v3"
RATE_LIMIT = 15_000  # requests an hour for each caller, as for an enterprise's installations
_RATE_WINDOW_S = 3600
_DOCUMENTATION = "https://docs.github.com/rest"

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


def the_forge() -> Forge:
    forge: Forge = current_app.config["FORGE"]
    return forge


def caller() -> Caller:
    """Who sent this request; nobody when a fault answered before anyone asked."""
    found: Caller = g.get("caller", Caller())
    return found


def actor() -> Actor:
    """Who acts. Raises ForgeError (401) for nobody."""
    return caller().require_actor()


def open_repo(owner: str, name: str, level: str, *resources: str) -> tuple[Forge, Repo]:
    """The repository of the request's path, for a caller who has `level` on any of the resources; without resources,
    for whoever may know of it. Raises ForgeError: 404, 401 or 403."""
    forge = the_forge()
    repo = visible_repo(forge, caller(), owner, name)
    if resources:
        require(forge, caller(), repo, level, *resources)
    return forge, repo


def body(model: type[M]) -> M:
    """The request's JSON as `model`. Raises ForgeError: 400 when it is not JSON, 422 when it does not fit."""
    data = request.get_json(force=True, silent=True) if request.get_data() else {}
    if data is None:
        raise ForgeError(400, "Problems parsing JSON")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [
            {
                "resource": model.__name__,
                "field": ".".join(str(part) for part in problem["loc"]),
                "code": "missing_field" if problem["type"] == "missing" else "invalid",
                "message": problem["msg"],
            }
            for problem in error.errors(include_url=False)
        ]
        raise ForgeError(422, "Validation Failed", *problems) from None


def page_bounds() -> tuple[int, int, int]:
    """(page from 1, items per page, offset of the first)."""
    per_page = min(max(request.args.get("per_page", 30, type=int), 1), 100)
    page = max(request.args.get("page", 1, type=int), 1)
    return page, per_page, (page - 1) * per_page


def paged(items: Sequence[T], shape: Callable[[T], Any], *, key: str = "") -> Response:
    """One page of `items`, shaped, with the Link header; under `key` with a total when GitHub does so."""
    page, per_page, start = page_bounds()
    last = max((len(items) + per_page - 1) // per_page, 1)
    shapes = [shape(item) for item in items[start : start + per_page]]
    response = jsonify({"total_count": len(items), key: shapes} if key else shapes)
    wanted = {"prev": page - 1, "next": page + 1, "first": 1, "last": last}
    links = [
        f'<{_page_url(number)}>; rel="{name}"'
        for name, number in wanted.items()
        if (name in ("prev", "first") and page > 1) or (name in ("next", "last") and page < last)
    ]
    if links:
        response.headers["Link"] = ", ".join(links)
    return response


def _page_url(page: int) -> str:
    arguments = request.args.to_dict() | {"page": str(page)}
    return f"{the_forge().base_url}{request.path}?{urlencode(arguments)}"


def created(shape: Json) -> Response:
    response = jsonify(shape)
    response.status_code = 201
    if "url" in shape:
        response.headers["Location"] = shape["url"]
    return response


def no_content() -> Response:
    return Response(status=204)


def error_response(status: int, message: str, errors: tuple[dict[str, str], ...] = ()) -> Response:
    content: Json = {"message": message, "documentation_url": _DOCUMENTATION, "status": str(status)}
    if errors:
        content["errors"] = list(errors)
    response = jsonify(content)
    response.status_code = status
    return response


def refused(error: ForgeError) -> Response:
    return error_response(error.status, error.message, error.errors)


class RateLimit:
    """Requests counted per caller and hour, in memory: a restart forgives."""

    def __init__(self, limit: int = RATE_LIMIT) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[int, int]] = {}  # caller's key -> (reset as Unix time, used)

    def look(self, key: str, *, spend: int = 0) -> Json:
        """GitHub's rate object, after `spend` more requests."""
        now_s = int(time.time())
        with self._lock:
            reset_s, used = self._windows.get(key, (0, 0))
            if reset_s <= now_s:
                reset_s, used = now_s + _RATE_WINDOW_S, 0
            used += spend
            self._windows[key] = (reset_s, used)
        remaining = max(self.limit - used, 0)
        return {"limit": self.limit, "remaining": remaining, "reset": reset_s, "used": used, "resource": "core"}

    def exceeded(self, key: str) -> bool:
        return int(self.look(key)["used"]) > self.limit


def fault_response(fault: Fault | None) -> Response | None:
    """The error a fault answers with, or None when it only waits or acts."""
    if fault is None or fault.status is None:
        return None
    response = error_response(fault.status, fault.message)
    response.headers.update(fault.headers)
    return response


def _credentials(incoming: Request) -> tuple[str, str]:
    scheme, _, credential = incoming.headers.get("Authorization", "").partition(" ")
    return scheme.lower(), credential.strip()


def install(app: Flask, blueprints: list[Blueprint], *, graphql: Blueprint) -> None:
    """Put the REST API under its prefix, and GraphQL where an enterprise's GitHub has it beside that."""
    limit: RateLimit = app.config["RATE_LIMIT"]

    def before() -> Response | None:
        g.caller = Caller()
        try:
            g.caller = identify(the_forge(), *_credentials(request))
        except ForgeError as error:
            return refused(error)
        limit.look(caller().key, spend=0 if request.path == f"{PREFIX}/rate_limit" else 1)
        if limit.exceeded(caller().key):
            return error_response(403, "API rate limit exceeded.")
        return _moved()

    def after(response: Response) -> Response:
        return _with_headers(response, limit.look(caller().key))

    api = Blueprint("api", __name__, url_prefix=str(PurePosixPath(PREFIX).parent))
    api.before_request(before)
    api.after_request(after)
    for blueprint in blueprints:
        api.register_blueprint(blueprint, url_prefix=f"/{PurePosixPath(PREFIX).name}")
    api.register_blueprint(graphql)
    app.register_blueprint(api)

    app.register_error_handler(ForgeError, refused)
    app.register_error_handler(OverflowError, lambda _: error_response(404, "Not Found"))  # a number that no row has
    app.register_error_handler(GitError, lambda error: error_response(422, str(error)))

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        if isinstance(error, MethodNotAllowed):  # GitHub's 405 means "not mergeable" and nothing else
            error = NotFound()
        return error_response(error.code or 500, error.name)

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        app.logger.error("%s %s failed", request.method, request.path, exc_info=error)
        return error_response(500, "Server Error")


def _moved() -> Response | None:
    """Where a repository that was renamed is found, by its number; the verb must stay what it was."""
    owner, name = ((request.view_args or {}).get(part, "") for part in ("owner", "name"))
    if not owner or not name or the_forge().moved(owner, name) is None:
        return None
    try:
        _, repo = open_repo(owner, name, "read")
    except ForgeError as error:
        return refused(error)
    rest = request.full_path.rstrip("?").removeprefix(f"{PREFIX}/repos/{owner}/{name}")
    permanent = request.method == "GET"
    response = error_response(301 if permanent else 307, "Moved Permanently" if permanent else "Temporary Redirect")
    response.headers["Location"] = f"{the_forge().base_url}{PREFIX}/repositories/{repo.id}{rest}"
    return response


class ByNumber:
    """Lets `/repositories/<number>/...` be what `/repos/<owner>/<name>/...` is."""

    def __init__(self, app: WSGIApplication, forge: Forge) -> None:
        self._app, self._forge = app, forge

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = re.fullmatch(rf"{PREFIX}/repositories/(\d+)(|/.*)", environ["PATH_INFO"])
        repo = self._forge.store.one(Repo, "WHERE id = ?", int(path[1])) if path else None
        if path and repo is not None:
            environ["PATH_INFO"] = f"{PREFIX}/repos/{self._forge.full_name(repo)}{path[2]}"
        return self._app(environ, start_response)


def _with_headers(response: Response, rate: Json) -> Response:
    for name in ("limit", "remaining", "reset", "used", "resource"):
        response.headers.setdefault(f"X-RateLimit-{name.title()}", str(rate[name]))
    response.headers["X-GitHub-Request-Id"] = uuid.uuid4().hex[:20].upper()
    response.headers["X-GitHub-Media-Type"] = "github.v3; format=json"
    response.headers["Cache-Control"] = "private, max-age=0"
    if request.method == "GET" and response.status_code == 200:
        response.set_etag(hashlib.sha256(response.get_data()).hexdigest(), weak=True)
        response.make_conditional(request)
    return response
