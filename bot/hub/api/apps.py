"""Apps: installations, their tokens, and webhook deliveries. Also the endpoints about oneself and about limits."""

import json

from flask import Blueprint, Response, current_app, jsonify, request
from pydantic import BaseModel

from bot.hub.access import NOT_FOUND, Caller, issue_installation_token, may, permission_of
from bot.hub.api.rest import RateLimit, actor, body, caller, created, page_bounds, paged, the_forge
from bot.hub.forge import ForgeError
from bot.hub.hooks import redeliver
from bot.hub.manifests import redeem
from bot.hub.records import App, Delivery, Installation, Repo, User
from bot.hub.shapes.repositories import (
    Json,
    api_url,
    app_json,
    delivery_json,
    full_delivery_json,
    full_user_json,
    granted,
    hook_config_json,
    installation_json,
    repository_json,
)

blueprint = Blueprint("apps", __name__)


class AccessTokenRequest(BaseModel):
    permissions: dict[str, str] = {}
    repositories: list[str] = []
    repository_ids: list[int] = []


@blueprint.get("/user")
def get_self() -> Response:
    if caller().installation is not None:
        raise ForgeError(403, "Resource not accessible by integration")
    return jsonify(full_user_json(the_forge(), actor().user))


@blueprint.get("/users/<login>")
def get_user(login: str) -> Response:
    account = the_forge().user(login)
    if account is None:
        raise NOT_FOUND
    return jsonify(full_user_json(the_forge(), account))


@blueprint.get("/rate_limit")
def get_rate_limit() -> Response:
    limit: RateLimit = current_app.config["RATE_LIMIT"]
    rate = limit.look(caller().key)
    return jsonify({"resources": {"core": rate, "search": rate | {"resource": "search"}}, "rate": rate})


@blueprint.get("/meta")
def get_meta() -> Response:
    return jsonify({"verifiable_password_authentication": False, "installed_version": "3.19.0"})


@blueprint.get("/app")
def get_app() -> Response:
    app = caller().require_app()
    count = the_forge().store.count(Installation, "WHERE app_id = ?", app.id)
    return jsonify(app_json(the_forge(), app) | {"installations_count": count})


@blueprint.post("/app-manifests/<code>/conversions")
def convert_manifest(code: str) -> Response:
    """Nobody needs to be signed in: who has the code, which works once and for an hour, is who made the app."""
    registration = redeem(the_forge(), code)
    if registration is None:
        raise NOT_FOUND
    app = the_forge().store.get(App, registration.app_id)
    secrets = {
        "client_id": f"Iv1.{app.id:016x}",
        "client_secret": "",  # of its OAuth side, which the hub does not have
        "webhook_secret": app.webhook_secret,
        "pem": registration.private_key_pem,
    }
    return created(app_json(the_forge(), app) | secrets)


@blueprint.get("/app/installations")
def list_installations() -> Response:
    app = caller().require_app()
    found = the_forge().store.all(Installation, "WHERE app_id = ? ORDER BY id", app.id)
    return paged(found, lambda one: installation_json(the_forge(), one))


def _own_installation(installation_id: int) -> Installation:
    app = caller().require_app()
    found = the_forge().store.one(Installation, "WHERE id = ? AND app_id = ?", installation_id, app.id)
    if found is None:
        raise NOT_FOUND
    return found


@blueprint.get("/repos/<owner>/<name>/installation")
def get_repo_installation(owner: str, name: str) -> Response:
    app, repo = caller().require_app(), the_forge().repo(owner, name)
    return _installation_on(app, repo.owner_id if repo else None)


def _installation_on(app: App, account_id: int | None) -> Response:
    found = the_forge().store.one(Installation, "WHERE app_id = ? AND account_id = ?", app.id, account_id)
    if found is None:
        raise NOT_FOUND
    return jsonify(installation_json(the_forge(), found))


@blueprint.post("/app/installations/<int:installation_id>/access_tokens")
def create_access_token(installation_id: int) -> Response:
    forge, asked = the_forge(), body(AccessTokenRequest)
    installation = _own_installation(installation_id)
    own = forge.store.all(Repo, "WHERE owner_id = ? ORDER BY id", installation.account_id)
    chosen = [repo for repo in own if repo.id in asked.repository_ids or repo.name in asked.repositories]
    if len(chosen) < len(set(asked.repository_ids)) + len(set(asked.repositories)):
        raise ForgeError(422, "There is at least one repository that does not exist or is not accessible.")
    text, token = issue_installation_token(
        forge,
        forge.store.get(App, installation.app_id),
        installation,
        permissions=asked.permissions,
        repository_ids=[repo.id for repo in chosen],
    )
    shape = {
        "token": text,
        "expires_at": token.expires_at,
        "permissions": json.loads(token.permissions_json),
        "repository_selection": "selected" if chosen else "all",
    }
    if chosen:
        shape["repositories"] = [repository_json(forge, repo) for repo in chosen]
    return created(shape)


@blueprint.get("/installation/repositories")
def list_installation_repositories() -> Response:
    forge, who = the_forge(), caller()
    if who.installation is None:
        raise ForgeError(403, "You must authenticate with an installation access token in order to list repositories.")
    own = forge.store.all(Repo, "WHERE owner_id = ? ORDER BY id", who.installation.account_id)
    reached = [repo for repo in own if not who.repository_ids or repo.id in who.repository_ids]
    return paged(reached, lambda repo: repository_json(forge, repo), key="repositories")


@blueprint.get("/user/repos")
def list_own_repos() -> Response:
    return _visible_repos(actor().user, caller())


def _visible_repos(account: User, who: Caller) -> Response:
    forge = the_forge()
    own = forge.store.all(Repo, "WHERE owner_id = ? ORDER BY name", account.id)
    visible = [repo for repo in own if may(forge, who, repo, "read", "metadata")]

    def shape(repo: Repo) -> Json:
        permission = permission_of(forge, repo, who.actor.user) if who.actor else "read"
        return repository_json(forge, repo) | {"permissions": granted(permission)}

    return paged(visible, shape)


# Deliveries


@blueprint.get("/app/hook/config")
def get_hook_config() -> Response:
    app = caller().require_app()
    return jsonify(hook_config_json(app))


@blueprint.get("/app/hook/deliveries")
def list_deliveries() -> Response:
    """Newest first, paged by cursor as on GitHub: `cursor` is the id before which to go on."""
    app = caller().require_app()
    _, per_page, _ = page_bounds()
    before = request.args.get("cursor", 1 << 62, type=int)
    clause = "WHERE app_id = ? AND id < ? AND status_code IS NOT NULL ORDER BY id DESC LIMIT ?"
    found = the_forge().store.all(Delivery, clause, app.id, before, per_page)
    response = jsonify([delivery_json(one) for one in found])
    if len(found) == per_page:
        url = api_url(the_forge(), f"/app/hook/deliveries?per_page={per_page}&cursor={found[-1].id}")
        response.headers["Link"] = f'<{url}>; rel="next"'
    return response


def _own_delivery(delivery_id: int) -> Delivery:
    app = caller().require_app()
    found = the_forge().store.one(Delivery, "WHERE id = ? AND app_id = ?", delivery_id, app.id)
    if found is None:
        raise NOT_FOUND
    return found


@blueprint.get("/app/hook/deliveries/<int:delivery_id>")
def get_delivery(delivery_id: int) -> Response:
    return jsonify(full_delivery_json(the_forge(), _own_delivery(delivery_id)))


@blueprint.post("/app/hook/deliveries/<int:delivery_id>/attempts")
def redeliver_delivery(delivery_id: int) -> tuple[Response, int]:
    redeliver(the_forge(), _own_delivery(delivery_id))
    return jsonify({}), 202
