"""The web service. A webhook is verified, stored as a queued workflow, and answered; nothing is done in the request."""

from http import HTTPStatus

from flask import Flask, Response, request

from bot import commands
from bot.core import event
from bot.web import dashboard
from bot.web.signature import is_signed

MAX_BODY_BYTES = 25 * 2**20  # the forge sends nothing larger


def make_app(*, webhook_secret: str) -> Flask:
    """The WSGI application. The engine must be running."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES

    @app.post("/webhook")
    def webhook() -> tuple[str, int]:
        unverified_body = request.get_data(cache=False)
        if not is_signed(
            unverified_body, signature=request.headers.get("X-Hub-Signature-256", ""), secret=webhook_secret
        ):
            return "the signature does not match: is the webhook secret the same on both sides?\n", 401
        name = request.headers.get("X-GitHub-Event", "")
        happened = event.parse(name, unverified_body)
        queued = happened is not None and commands.accept(happened)
        return "queued\n" if queued else "nothing to do\n", HTTPStatus.ACCEPTED

    @app.get("/healthz")
    def health() -> tuple[dict[str, object], int]:
        state = dashboard.health()
        return state, HTTPStatus.OK if state["ok"] else HTTPStatus.SERVICE_UNAVAILABLE

    @app.get("/")
    def experiments() -> str:
        return dashboard.page()

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    return app
