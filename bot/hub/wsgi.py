"""The WSGI application: REST API, git transport and pages, with injected faults around all of them."""

from flask import Flask, Response, request

from bot.hub.api import REST, graphql, rest
from bot.hub.forge import Forge
from bot.hub.git import transport
from bot.hub.pages import apps as app_pages

_BODY_LIMIT = 50 << 20  # bytes of a body that is read into memory; packs that are pushed have a limit of their own


def make_app(forge: Forge, *, visitor: str | None = None) -> Flask:
    app = Flask(__name__)
    app.config["VISITOR"] = visitor
    app.config["FORGE"] = forge
    app.config["MAX_CONTENT_LENGTH"] = _BODY_LIMIT
    app.config["RATE_LIMIT"] = rest.RateLimit()
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
    app.before_request(_fault_before)
    app.after_request(_fault_after)
    rest.install(app, [module.blueprint for module in REST], graphql=graphql.blueprint)
    app.wsgi_app = rest.ByNumber(app.wsgi_app, forge)  # type: ignore[method-assign]
    app.register_blueprint(transport.blueprint)
    app.register_blueprint(app_pages.blueprint)
    return app


def _fault_before() -> Response | None:
    faults = rest.the_forge().faults
    return rest.fault_response(faults.take(method=request.method, path=request.path, after=False))


def _fault_after(response: Response) -> Response:
    fault = rest.the_forge().faults.take(method=request.method, path=request.path, after=True)
    return rest.fault_response(fault) or response
