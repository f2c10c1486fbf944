"""Merging pull requests, and base branches into them, on the bare repository."""

import dataclasses
import time

from bot.hub import pulls, reviews
from bot.hub.forge import Actor, Forge, ForgeError
from bot.hub.git.bare import BareRepository, RefMovedError, Signature
from bot.hub.git.refs import record_pushes
from bot.hub.records import Issue, Pull, Repo

_COMMITTER = "Hub"
_EMAIL = "noreply@hub.invalid"
_BASE_MODIFIED = "Base branch was modified. Review and try the merge again."
_HEAD_MODIFIED = "Head branch was modified. Review and try the merge again."


def merge(
    forge: Forge,
    actor: Actor,
    repo: Repo,
    pull_id: int,
    *,
    expected_head_sha: str,
    method: str,
    title: str | None,
    message: str | None,
) -> str:
    """The new commit on the base branch. Raises ForgeError: 409 when the head moved, 405 when it cannot be merged.

    As on GitHub, `expected_head_sha` guards the head only; nothing guards against a base that moved before the call.
    """
    with forge.lock(repo) as git:
        pull = forge.store.get(Pull, pull_id)
        issue = forge.store.get(Issue, pull.issue_id)
        if expected_head_sha not in ("", pull.head_sha):
            raise ForgeError(409, _HEAD_MODIFIED)
        base, tree = _require_mergeable(forge, repo, git, pull, issue)
        sha = _write_merge(
            forge, actor, repo, git, pull, issue, base=base, tree=tree, method=method, title=title, message=message
        )
        with forge.store.write():  # a fork's push may change the row at the same time
            pull = forge.store.get(Pull, pull_id)
            forge.store.save(dataclasses.replace(pull, attempt_sha=sha, attempt_by_id=actor.user.id))
        try:
            git.update_ref(f"refs/heads/{pull.base_ref}", new=sha, old=base)
        except RefMovedError:
            raise ForgeError(405, _BASE_MODIFIED) from None
        record_pushes(forge, actor, repo)
    return sha


def _require_mergeable(forge: Forge, repo: Repo, git: BareRepository, pull: Pull, issue: Issue) -> tuple[str, str]:
    """The base's tip and the merged tree."""
    base = git.branch(pull.base_ref)
    tree = git.merge_tree(base, pull.head_sha) if base else None
    if issue.state != "open" or base is None or tree is None:
        raise ForgeError(405, "Pull Request is not mergeable")
    if pull.draft:
        raise ForgeError(405, "Pull Request is still a draft")
    protection = pulls.protection_of(forge, repo, pull.base_ref)
    if protection is not None:
        if protection.require_up_to_date and not git.is_ancestor(base, pull.head_sha):
            raise ForgeError(405, "The head branch is not up to date with the base branch.")
        missing = pulls.missing_checks(forge, repo, protection, pull.head_sha)
        if missing:
            raise ForgeError(405, f'Required status check "{missing[0]}" is expected.')
        if lacking := reviews.required(forge, repo, pull):
            raise ForgeError(405, lacking)
    return base, tree


def _write_merge(
    forge: Forge,
    actor: Actor,
    repo: Repo,
    git: BareRepository,
    pull: Pull,
    issue: Issue,
    *,
    base: str,
    tree: str,
    method: str,
    title: str | None,
    message: str | None,
) -> str:
    head_owner = forge.owner(forge.store.get(Repo, pull.head_repo_id)).login
    if method == "merge" and not repo.allow_merge_commit:
        raise ForgeError(405, "Merge commits are not allowed on this repository.")
    if method == "merge":
        title = title or f"Merge pull request #{issue.number} from {head_owner}/{pull.head_ref}"
        message = issue.title if message is None else message
        parents = [base, pull.head_sha]
    elif method == "squash":
        title = title or f"{issue.title} (#{issue.number})"
        if message is None:
            commits = git.commits(pull.head_sha, exclude=base, limit=250)[::-1]
            message = "\n\n".join(f"* {commit.message.strip()}" for commit in commits) if len(commits) > 1 else ""
        parents = [base]
    else:
        raise ForgeError(405, "Rebase merges are not allowed on this repository.")
    return _commit(forge, git, actor, tree, parents, f"{title}\n\n{message}" if message else title)


def _commit(forge: Forge, git: BareRepository, actor: Actor, tree: str, parents: list[str], message: str) -> str:
    """By the actor, committed by the hub, now."""
    now_s = int(time.time())
    author, committer = forge.signature(actor.user, now_s), Signature(name=_COMMITTER, email=_EMAIL, time_s=now_s)
    return git.write_commit(tree=tree, parents=parents, message=message, author=author, committer=committer)


def update_branch(forge: Forge, actor: Actor, repo: Repo, pull_id: int, *, expected_head_sha: str) -> None:
    """Merge the base branch into the head branch. Raises ForgeError (422)."""
    head_repo = forge.store.get(Repo, forge.store.get(Pull, pull_id).head_repo_id)
    if head_repo.id != repo.id:
        raise ForgeError(422, "The head branch of a fork cannot be updated from here.")
    with forge.lock(repo) as git:
        pull = forge.store.get(Pull, pull_id)
        base = git.branch(pull.base_ref)
        if expected_head_sha not in ("", pull.head_sha):
            raise ForgeError(422, "expected_head_sha does not match the pull request's current head ref.")
        if forge.store.get(Issue, pull.issue_id).state != "open" or base is None:
            raise ForgeError(422, "The pull request is not open.")
        if git.is_ancestor(base, pull.head_sha):
            raise ForgeError(422, "There are no new commits on the base branch.")
        tree = git.merge_tree(pull.head_sha, base)
        if tree is None:
            raise ForgeError(422, "merge conflict between base and head")
        message = f"Merge branch '{pull.base_ref}' into {pull.head_ref}"
        sha = _commit(forge, git, actor, tree, [pull.head_sha, base], message)
        try:
            git.update_ref(f"refs/heads/{pull.head_ref}", new=sha, old=pull.head_sha)
        except RefMovedError:
            raise ForgeError(422, "The head branch was modified. Try again.") from None
        record_pushes(forge, actor, repo)
