"""The WSGI application: REST API, git transport and pages, with injected faults around all of them."""

from flask import Flask, Response, request

from bot.hub import (
    api_apps,
    api_checks,
    api_contents,
    api_git,
    api_issues,
    api_labels,
    api_pulls,
    api_repos,
    pages_threads,
    rest,
    transport,
)
from bot.hub.forge import Forge


def make_app(forge: Forge, *, visitor: str | None = None) -> Flask:
    app = Flask(__name__)
    app.config["VISITOR"] = visitor
    app.config["FORGE"] = forge
    app.config["RATE_LIMIT"] = rest.RateLimit()
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
    app.before_request(_fault_before)
    app.after_request(_fault_after)
    modules = (api_apps, api_repos, api_git, api_contents, api_issues, api_labels, api_pulls, api_checks)
    rest.install(app, [module.blueprint for module in modules])
    app.register_blueprint(transport.blueprint)
    app.register_blueprint(pages_threads.blueprint)
    return app


def _fault_before() -> Response | None:
    faults = rest.the_forge().faults
    return rest.fault_response(faults.take(method=request.method, path=request.path, after=False))


def _fault_after(response: Response) -> Response:
    fault = rest.the_forge().faults.take(method=request.method, path=request.path, after=True)
    return rest.fault_response(fault) or response
