"""Who is asking, and what they may do."""

import datetime
import hashlib
import json
import secrets
import time
from dataclasses import dataclass

import jwt

from bot.hub.forge import Actor, Forge, ForgeError
from bot.hub.records import App, Collaborator, Installation, Repo, Token, User, now_utc, utc

TOKEN_LIFE_S = 3600
_JWT_LIFE_S = 600  # GitHub's limit
_CLOCK_SKEW_S = 60
_LEVELS = ("none", "read", "write", "admin")

BAD_CREDENTIALS = ForgeError(401, "Bad credentials")
NOT_FOUND = ForgeError(404, "Not Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sent a request. Nobody: `actor` and `app_itself` are None. `key` is what rate limits are counted by."""

    key: str = "anonymous"
    actor: Actor | None = None
    app_itself: App | None = None  # authenticated by JWT: may manage installations, and nothing else
    installation: Installation | None = None
    permissions: dict[str, str] | None = None  # of an installation's token
    repository_ids: tuple[int, ...] = ()  # that token is limited to, when not empty

    def require_actor(self) -> Actor:
        if self.actor is None:
            raise ForgeError(401, "Requires authentication")
        return self.actor

    def require_app(self) -> App:
        if self.app_itself is None:
            raise ForgeError(401, "A JSON web token could not be decoded")
        return self.app_itself


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def issue_token(forge: Forge, user: User) -> str:
    """A personal token; only its hash is kept."""
    text = f"hub_{secrets.token_urlsafe(30)}"
    forge.store.add(Token(sha256=_sha256(text), user_id=user.id))
    return text


def issue_installation_token(
    forge: Forge, app: App, installation: Installation, *, permissions: dict[str, str], repository_ids: list[int]
) -> tuple[str, Token]:
    """Raises ForgeError when it asks for more than the app was given."""
    granted: dict[str, str] = json.loads(app.permissions_json)
    for name, level in permissions.items():
        if level not in _LEVELS or _LEVELS.index(level) > _LEVELS.index(granted.get(name, "none")):
            raise ForgeError(422, "The permissions requested are not granted to this installation.")
    text = f"hubs_{secrets.token_urlsafe(40)}"
    expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=TOKEN_LIFE_S)
    token = Token(
        sha256=_sha256(text),
        user_id=app.bot_id,
        installation_id=installation.id,
        permissions_json=json.dumps(permissions or granted),
        repository_ids_json=json.dumps(repository_ids),
        expires_at=utc(expires),
    )
    return text, forge.store.add(token)


def identify(forge: Forge, scheme: str, credential: str) -> Caller:
    """The caller behind an Authorization header (scheme in lower case). Raises ForgeError (401)."""
    if not scheme:
        return Caller()
    if scheme not in ("bearer", "token"):
        raise BAD_CREDENTIALS
    if scheme == "bearer" and credential.count(".") == 2:
        app = _verified_app(forge, credential)
        return Caller(key=f"app:{app.id}", app_itself=app)
    token = forge.store.one(Token, "WHERE sha256 = ?", _sha256(credential))
    if token is None or (token.expires_at is not None and token.expires_at <= now_utc()):
        raise BAD_CREDENTIALS
    user = forge.store.get(User, token.user_id)
    if token.installation_id is None:
        return Caller(key=f"user:{user.id}", actor=Actor(user=user))
    installation = forge.store.get(Installation, token.installation_id)
    return Caller(
        key=f"installation:{installation.id}",
        actor=Actor(user=user, app=forge.store.get(App, installation.app_id)),
        installation=installation,
        permissions=json.loads(token.permissions_json),
        repository_ids=tuple(json.loads(token.repository_ids_json)),
    )


def _verified_app(forge: Forge, credential: str) -> App:
    """The app whose key signed the token, by GitHub's rules for `iat` and `exp`."""
    try:
        claimed = jwt.decode(credential, options={"verify_signature": False})
        app = forge.store.one(App, "WHERE id = ?", int(claimed["iss"]))
        if app is None:
            raise ForgeError(401, "Integration not found")
        claims = jwt.decode(
            credential,
            app.public_key_pem,
            algorithms=["RS256"],
            leeway=_CLOCK_SKEW_S,
            options={"require": ["iat", "exp", "iss"]},
        )
    except jwt.ExpiredSignatureError:
        raise ForgeError(
            401, "'Expiration time' claim ('exp') must be a numeric value representing the future"
        ) from None
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
        raise ForgeError(401, "A JSON web token could not be decoded") from None
    if claims["exp"] > time.time() + _JWT_LIFE_S + _CLOCK_SKEW_S or claims["exp"] - claims["iat"] > (
        _JWT_LIFE_S + _CLOCK_SKEW_S
    ):
        raise ForgeError(401, "'Expiration time' claim ('exp') is too far in the future")
    return app


def permission_of(forge: Forge, repo: Repo, user: User) -> str:
    """none, read, write or admin."""
    if user.id == repo.owner_id:
        return "admin"
    found = forge.store.one(Collaborator, "WHERE repo_id = ? AND user_id = ?", repo.id, user.id)
    if found is not None:
        return found.permission
    return "none" if repo.private else "read"


def _reaches(caller: Caller, repo: Repo) -> bool:
    """Whether an installation's token covers the repository."""
    if caller.installation is None or caller.installation.account_id != repo.owner_id:
        return False
    return not caller.repository_ids or repo.id in caller.repository_ids


def may(forge: Forge, caller: Caller, repo: Repo, level: str, *resources: str) -> bool:
    """Whether the caller has `level` on any of the resources, in the words of an app's permissions."""
    if level == "read" and not repo.private:
        return True
    if caller.actor is None:
        return False
    if caller.permissions is not None:
        granted = (caller.permissions.get(resource, "none") for resource in resources)
        return _reaches(caller, repo) and any(_LEVELS.index(has) >= _LEVELS.index(level) for has in granted)
    has = permission_of(forge, repo, caller.actor.user)
    return _LEVELS.index(has) >= _LEVELS.index(level)


def visible_repo(forge: Forge, caller: Caller, owner: str, name: str) -> Repo:
    """Raises ForgeError (404), for one that is not there and for one the caller may not know about alike."""
    repo = forge.repo(owner, name) or forge.moved(owner, name)
    if repo is None:
        raise NOT_FOUND
    visible = _reaches(caller, repo) if caller.permissions is not None else False
    if not visible and not may(forge, caller, repo, "read", "metadata"):
        raise NOT_FOUND
    return repo


def require(forge: Forge, caller: Caller, repo: Repo, level: str, *resources: str) -> None:
    """Raises ForgeError: 401 for nobody who wants to write, 403 for somebody who may not."""
    if may(forge, caller, repo, level, *resources):
        return
    if level != "read":
        caller.require_actor()
    if caller.permissions is not None:
        raise ForgeError(403, "Resource not accessible by integration")
    raise ForgeError(403, "Must have push access to the repository.")


def require_own(forge: Forge, caller: Caller, repo: Repo, author_id: int, *resources: str) -> Actor:
    """People may change what they wrote themselves; everybody else, and every app, needs `write`."""
    actor = caller.require_actor()
    if actor.user.id != author_id or caller.permissions is not None:
        require(forge, caller, repo, "write", *resources)
    return actor


def require_participation(forge: Forge, caller: Caller, repo: Repo, *resources: str) -> Actor:
    """Who sees a repository may open issues and pull requests there, comment and react; an app needs `write`."""
    actor = caller.require_actor()
    require(forge, caller, repo, "write" if caller.permissions is not None else "read", *resources)
    return actor
