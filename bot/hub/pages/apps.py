"""Pages on which a person makes an app from a manifest and installs it, at the addresses that GitHub has them."""

from urllib.parse import urlencode, urlsplit

from flask import Response, abort, make_response, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from bot.hub import apps, manifests
from bot.hub.api.rest import the_forge
from bot.hub.pages.repositories import POLICY, render, require_same_origin, signed_in
from bot.hub.pages.threads import blueprint
from bot.hub.records import App, Installation, Registration, Repo

__all__ = ["blueprint"]  # the pages' own, with more on it


@blueprint.post("/settings/apps/new")
def new_app() -> Response:
    """Any site may send a manifest here: nothing happens until the visitor says so on the page that this shows."""
    text = request.form.get("manifest", "")
    manifest = manifests.read_manifest(text)
    page = render("new_app.html", manifest=manifest, text=text, state=request.args.get("state", ""))
    return _leading_to(manifest.redirect_url, page)


def _leading_to(url: str, page: str) -> Response:
    """A page whose form is answered with a redirect to `url`: a browser follows only where the page's policy allows."""
    response, target = make_response(page), urlsplit(url)
    if target.netloc:
        allowed = f"form-action 'self' {target.scheme}://{target.netloc}"
        response.headers["Content-Security-Policy"] = POLICY.replace("form-action 'self'", allowed)
    return response


@blueprint.post("/settings/apps")
def create_app() -> BaseResponse:
    forge = the_forge()
    require_same_origin(forge)
    manifest = manifests.read_manifest(request.form.get("manifest", ""))
    code = manifests.register(forge, signed_in(forge).user, manifest, name=request.form.get("name", "").strip())
    back = urlencode({"code": code, "state": request.form.get("state", "")})
    return redirect(f"{manifest.redirect_url}?{back}" if manifest.redirect_url else "/", 303)


def _app(slug: str) -> App:
    found = the_forge().store.one(App, "WHERE slug = ?", slug)
    if found is None:
        abort(404)
    return found


@blueprint.get("/apps/<slug>")
@blueprint.get("/apps/<slug>/installations/new")
def installation(slug: str) -> Response:
    forge, app = the_forge(), _app(slug)
    account = signed_in(forge).user
    repos = forge.store.all(Repo, "WHERE owner_id = ? ORDER BY name", account.id)
    installed = forge.store.count(Installation, "WHERE app_id = ? AND account_id = ?", app.id, account.id) > 0
    return _leading_to(_setup_url(app), render("install.html", app=app, repos=repos, installed=installed))


@blueprint.post("/apps/<slug>/installations")
def install(slug: str) -> BaseResponse:
    forge, app = the_forge(), _app(slug)
    require_same_origin(forge)
    made = apps.install(forge, app, signed_in(forge).user)
    back = urlencode({"installation_id": made.id, "setup_action": "install"})
    url = _setup_url(app)
    return redirect(f"{url}?{back}" if url else f"/apps/{slug}", 303)


def _setup_url(app: App) -> str:
    """Where a person goes on after the installation; empty when its maker did not say."""
    registration = the_forge().store.one(Registration, "WHERE app_id = ?", app.id)
    return registration.setup_url if registration else ""
