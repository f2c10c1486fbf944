"""Moving refs, and recording what moved: one path for the API, for pushes and for what a killed hub left behind."""

import dataclasses
from typing import Any

from bot.hub import pulls
from bot.hub.forge import Actor, Forge, ForgeError
from bot.hub.git.bare import EMPTY_TREE, NO_SHA, BareRepository, Commit, RefMovedError
from bot.hub.git.diff import diff_commits
from bot.hub.hooks import emit
from bot.hub.records import Ref, Repo, now_utc
from bot.hub.shapes.git import account_of
from bot.hub.shapes.repositories import html_url

_EVENT_COMMITS = 20  # GitHub lists at most this many in one push event
_PROTECTED = "Changes must be made through a pull request."


def record_pushes(forge: Forge, actor: Actor, repo: Repo) -> None:
    """Compare git's branches and tags with what was recorded, and let everything that follows from it happen.

    Git moves first and this comes after, so a hub that died in between catches up when it starts again.
    """
    with forge.lock(repo) as git, forge.store.write():
        recorded = {ref.name: ref for ref in forge.store.all(Ref, "WHERE repo_id = ?", repo.id)}
        current = git.refs("refs/heads/", "refs/tags/")
        moves: dict[str, tuple[str, str]] = {}
        for name in sorted(recorded.keys() | current.keys()):
            known = recorded.get(name)
            old, new = known.sha if known else NO_SHA, current.get(name, NO_SHA)
            if old == new:
                continue
            moves[name] = (old, new)
            if known is None:
                forge.store.add(Ref(repo_id=repo.id, name=name, sha=new))
            elif new == NO_SHA:
                forge.store.remove(known)
            else:
                forge.store.save(dataclasses.replace(known, sha=new))
        if not moves:
            return
        now = now_utc()
        forge.store.save(dataclasses.replace(forge.store.get(Repo, repo.id), pushed_at=now, updated_at=now))
        for name, (old, new) in moves.items():
            if forge.installations(repo):
                emit(
                    forge, "push", None, actor=actor, repo=repo, payload=_push(forge, actor, repo, git, name, old, new)
                )
        prefix = "refs/heads/"
        branches = {name.removeprefix(prefix): move for name, move in moves.items() if name.startswith(prefix)}
        pulls.follow(forge, actor, repo, branches)


def _push(forge: Forge, actor: Actor, repo: Repo, git: BareRepository, name: str, old: str, new: str) -> dict[str, Any]:
    commits: list[Commit] = []
    if new != NO_SHA and git.object_type(new) == "commit":
        exclude = old if old != NO_SHA else ""
        if not exclude and name != f"refs/heads/{repo.default_branch}":
            exclude = git.branch(repo.default_branch) or ""
        commits = git.commits(new, exclude=exclude, limit=_EVENT_COMMITS)[::-1]
    head = git.commits(new, limit=1) if new != NO_SHA and git.object_type(new) == "commit" else []
    return {
        "ref": name,
        "before": old,
        "after": new,
        "base_ref": None,
        "created": old == NO_SHA,
        "deleted": new == NO_SHA,
        "forced": NO_SHA not in (old, new) and not git.is_ancestor(old, new),
        "compare": html_url(forge, repo, f"/compare/{old[:12]}...{new[:12]}"),
        "commits": [_pushed_commit(forge, repo, git, commit) for commit in commits],
        "head_commit": _pushed_commit(forge, repo, git, head[0]) if head else None,
        "pusher": {"name": actor.user.login, "email": actor.user.email or None},
    }


def _pushed_commit(forge: Forge, repo: Repo, git: BareRepository, commit: Commit) -> dict[str, Any]:
    files = diff_commits(git, commit.parents[0] if commit.parents else EMPTY_TREE, commit.sha)
    people = {}
    for role, signature in (("author", commit.author), ("committer", commit.committer)):
        people[role] = {"name": signature.name, "email": signature.email, "date": signature.date}
        account = account_of(forge, signature)
        if account is not None:
            people[role]["username"] = account.login
    return {
        "id": commit.sha,
        "tree_id": commit.tree,
        "distinct": True,
        "message": commit.message,
        "timestamp": commit.committer.date,
        "url": html_url(forge, repo, f"/commit/{commit.sha}"),
        **people,
        "added": [file.path for file in files if file.status == "added"],
        "removed": [file.path for file in files if file.status == "removed"],
        "modified": [file.path for file in files if file.status not in ("added", "removed")],
    }


def _require_unprotected(forge: Forge, repo: Repo, name: str) -> None:
    protection = pulls.protection_of(forge, repo, name.removeprefix("refs/heads/"))
    if name.startswith("refs/heads/") and protection is not None and protection.require_pull:
        raise ForgeError(422, _PROTECTED)


def create_ref(forge: Forge, actor: Actor, repo: Repo, name: str, sha: str) -> None:
    """Raises ForgeError when it exists, is not a name, or points at nothing."""
    with forge.lock(repo) as git:
        if not git.valid_ref(name) or not name.startswith(("refs/heads/", "refs/tags/")):
            raise ForgeError(422, f"{name} is not a valid ref name.")
        _require_object(git, name, sha)
        try:
            git.update_ref(name, new=sha, old=NO_SHA)
        except RefMovedError:
            raise ForgeError(422, "Reference already exists") from None
        record_pushes(forge, actor, repo)


def update_ref(forge: Forge, actor: Actor, repo: Repo, name: str, sha: str, *, force: bool) -> None:
    with forge.lock(repo) as git:
        old = _known(git, name)
        _require_unprotected(forge, repo, name)
        _require_object(git, name, sha)
        if not force and not git.is_ancestor(old, sha):
            raise ForgeError(422, "Update is not a fast forward")
        try:
            git.update_ref(name, new=sha, old=old)
        except RefMovedError:
            raise ForgeError(409, f"Reference {name} was modified. Try again.") from None
        record_pushes(forge, actor, repo)


def delete_ref(forge: Forge, actor: Actor, repo: Repo, name: str) -> None:
    with forge.lock(repo) as git:
        old = _known(git, name)
        _require_unprotected(forge, repo, name)
        try:
            git.update_ref(name, new=NO_SHA, old=old)
        except RefMovedError:
            raise ForgeError(409, f"Reference {name} was modified. Try again.") from None
        record_pushes(forge, actor, repo)


def _known(git: BareRepository, name: str) -> str:
    """Where a branch or tag is. Other refs, such as those of pull requests, are the forge's own."""
    old = git.refs(name).get(name)
    if old is None or not name.startswith(("refs/heads/", "refs/tags/")):
        raise ForgeError(422, "Reference does not exist")
    return old


def _require_object(git: BareRepository, name: str, sha: str) -> None:
    kind = git.object_type(sha)
    if kind is None:
        raise ForgeError(422, "Object does not exist")
    if kind != "commit" and name.startswith("refs/heads/"):
        raise ForgeError(422, "Object is not a commit")
