"""The pages of the first start. Every one wants the cookie that the link in the terminal gave, once."""

import json
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, abort, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from bot.core.app import PERMISSIONS, web_url
from bot.setup.first_start import Order, Setup

COOKIE = "nightlab-setup"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"


def make_setup_app(setup: Setup) -> Flask:
    """The WSGI application that serves /setup/ and, until the bot runs, says so everywhere else."""
    app = Flask(__name__)
    app.register_blueprint(_pages(setup))

    @app.get("/healthz/live")
    def live() -> dict[str, object]:
        return {"ok": True}

    @app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
    @app.route("/<path:path>", methods=["GET", "POST"])
    def elsewhere(path: str) -> tuple[str, int]:
        return "Nightlab is not set up yet: open the link that it printed at its start.\n", 503

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"  # the link holds a token
        response.headers["Cache-Control"] = "no-store"
        return response

    return app


def _pages(setup: Setup) -> Blueprint:
    pages = Blueprint("setup", __name__, url_prefix="/setup")

    @pages.before_request
    def admitted() -> BaseResponse | None:
        """A browser with the cookie, or one with the link, which then gets the cookie."""
        if setup.knows(request.cookies.get(COOKIE, "")):
            return None
        session = setup.admit(request.args.get("token", ""))
        if session is None:
            abort(403, "This link has been used, or is wrong: start `nightlab serve` again for a new one.")
        answer = redirect("/setup/", 303)
        answer.set_cookie(
            COOKIE, session, path="/setup", httponly=True, samesite="Lax", secure=_own_url(setup).startswith("https")
        )
        return answer

    @pages.get("/")
    def start() -> str:
        setup.try_again()
        return _installation(setup) if setup.credentials else _form(setup, setup.trouble)

    @pages.post("/")
    def describe() -> Response:
        order = setup.order(
            own_url=_own_url(setup),
            address=request.form.get("address", "").strip(),
            organization=request.form.get("organization", "").strip(),
            name=request.form.get("name", "").strip(),
        )
        if not isinstance(order, Order):
            return make_response(_form(setup, order), 422)
        page = render_template(
            "setup_manifest.html", order=order, manifest=json.dumps(order.manifest), permissions=PERMISSIONS
        )
        response, target = make_response(page), urlsplit(order.action)
        response.headers["Content-Security-Policy"] = f"{POLICY} {target.scheme}://{target.netloc}"
        return response

    @pages.get("/made")
    def made() -> BaseResponse:
        """The forge sends the browser here with the code."""
        trouble = setup.complete(code=request.args.get("code", ""), state=request.args.get("state", ""))
        if trouble:
            return make_response(_form(setup, trouble), 502)
        return redirect("/setup/", 303)

    return pages


def _own_url(setup: Setup) -> str:
    """Where this browser finds us. A proxy that speaks HTTPS for us passes on the name and not the scheme."""
    public = setup.settings.public_url or ""
    return public.rstrip("/") if urlsplit(public).netloc == request.host else request.host_url.rstrip("/")


def _form(setup: Setup, trouble: str) -> str:
    return render_template(
        "setup_form.html",
        trouble=trouble,
        forge=web_url(setup.settings.api_url),
        address=request.form.get("address", setup.settings.public_url or _own_url(setup)),
        organization=request.form.get("organization", ""),
        name=request.form.get("name", "nightlab"),
    )


def _installation(setup: Setup) -> str:
    """Meanwhile the bot starts; the page looks again every few seconds until something is installed and ready."""
    trouble = ""
    try:
        repositories = setup.repositories()
    except Exception as error:  # the forge may need a moment before it knows the App
        repositories, trouble = [], f"The forge does not answer yet ({type(error).__name__}); this page tries again."
    return render_template(
        "setup_install.html",
        app=setup.credentials,
        repositories=repositories,
        trouble=trouble,
        ready=bool(repositories) and not any(one.needs for one in repositories),
    )
