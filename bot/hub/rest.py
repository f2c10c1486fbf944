"""What every REST endpoint shares: the caller, typed bodies, pages, and GitHub's error bodies and headers."""

import hashlib
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from flask import Blueprint, Flask, Request, Response, current_app, g, jsonify, request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from bot.hub.access import Caller, identify, visible_repo
from bot.hub.faults import Fault
from bot.hub.forge import Actor, Forge, ForgeError
from bot.hub.git import GitError
from bot.hub.records import Repo
from bot.hub.shapes import Json

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


def the_repo(owner: str, name: str) -> Repo:
    """The repository of the request's path. Raises ForgeError (404)."""
    return visible_repo(the_forge(), caller(), owner, name)


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


def install(app: Flask, blueprints: list[Blueprint]) -> None:
    """Put the REST API under its prefix."""
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
        return None

    def after(response: Response) -> Response:
        return _with_headers(response, limit.look(caller().key))

    api = Blueprint("api", __name__, url_prefix=PREFIX)
    api.before_request(before)
    api.after_request(after)
    for blueprint in blueprints:
        api.register_blueprint(blueprint)
    app.register_blueprint(api)

    app.register_error_handler(ForgeError, refused)
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
