"""The web service. A webhook is verified, stored as a queued workflow, and answered; nothing is done in the request."""

import hmac
import logging
import os
import time
from http import HTTPStatus

from flask import Flask, Response, request
from prometheus_client import CONTENT_TYPE_LATEST

from bot.core.intake import payload as payloads
from bot.core.text import line
from bot.intake import events
from bot.loop import meters
from bot.setup import journal
from bot.web import dashboard, metrics
from bot.web.signature import is_signed

log = logging.getLogger("nightlab")
REFUSED = "refused"
TO_EVERYBODY = {"webhook", "live", "ready"}  # the forge signs, and a probe has no password
MAX_BODY_BYTES = 25 * 2**20  # the forge sends nothing larger


def ask_for(password: str) -> Response | None:
    """None when the request has it."""
    given = (request.authorization and request.authorization.password) or ""
    if hmac.compare_digest(given.encode(), password.encode()):
        return None
    challenge = {"WWW-Authenticate": 'Basic realm="Nightlab", charset="UTF-8"'}
    return Response("The password is NIGHTLAB_DASHBOARD_PASSWORD; any user's name will do.\n", 401, challenge)


def make_app(*, webhook_secret: str, forge_url: str, password: str = "") -> Flask:
    """The WSGI application. The engine must be running; people find the forge at `forge_url`. Whoever wants to read
    gives `password`, if it is set, by HTTP's basic authentication, which browsers and Prometheus know."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES

    if password:
        app.before_request(lambda: None if request.endpoint in TO_EVERYBODY else ask_for(password))

    @app.post("/webhook")
    def webhook() -> tuple[str, int]:
        began_s = time.monotonic()
        name, delivery = request.headers.get("X-GitHub-Event", ""), request.headers.get("X-GitHub-Delivery", "")
        with journal.about(event=line(name, 40), delivery=line(delivery, 60)):
            text, status, outcome = take()
            log.info("webhook: %s", outcome)
        meters.webhook(name if outcome != REFUSED else "", outcome, time.monotonic() - began_s)
        return text, status

    def take() -> tuple[str, int, str]:
        unverified_body = request.get_data(cache=False)
        if not is_signed(
            unverified_body, signature=request.headers.get("X-Hub-Signature-256", ""), secret=webhook_secret
        ):
            return "the signature does not match: is the webhook secret the same on both sides?\n", 401, REFUSED
        name = request.headers.get("X-GitHub-Event", "")
        happened = payloads.parse(name, unverified_body)
        queued = happened is not None and events.accept(happened)
        outcome = "queued" if queued else "nothing to do"
        return f"{outcome}\n", HTTPStatus.ACCEPTED, outcome

    @app.get("/healthz/live")
    def live() -> dict[str, object]:
        """The process answers; whether it can work is another question."""
        return {"ok": True, "pid": os.getpid()}

    @app.get("/healthz")
    @app.get("/healthz/ready")
    def ready() -> tuple[dict[str, object], int]:
        """The database answers too, so webhooks can be taken."""
        state = dashboard.health()
        return state, HTTPStatus.OK if state["ok"] else HTTPStatus.SERVICE_UNAVAILABLE

    @app.get("/metrics")
    def metrics_page() -> Response:
        return Response(metrics.page(), content_type=CONTENT_TYPE_LATEST)

    @app.get("/")
    def experiments() -> str:
        return dashboard.page(forge_url=forge_url)

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    return app
