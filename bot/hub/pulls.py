"""Pull requests: opening, closing, and following the branches they are made of."""

import dataclasses
import json
from typing import Any

from bot.hub.forge import Actor, Forge, ForgeError, invalid
from bot.hub.git.bare import NO_SHA
from bot.hub.hooks import emit
from bot.hub.records import CheckRun, Issue, Protection, Pull, Repo, Status, User, now_utc
from bot.hub.shapes.repositories import Json
from bot.hub.shapes.threads import pull_json


def pull_of(forge: Forge, issue: Issue) -> Pull | None:
    return forge.store.one(Pull, "WHERE issue_id = ?", issue.id)


def protection_of(forge: Forge, repo: Repo, branch: str) -> Protection | None:
    return forge.store.one(Protection, "WHERE repo_id = ? AND branch = ?", repo.id, branch)


def shape(forge: Forge, repo: Repo, pull: Pull) -> Json:
    mergeable, state = mergeability(forge, repo, pull)
    return pull_json(forge, repo, pull, mergeable=mergeable, mergeable_state=state)


def mergeability(forge: Forge, repo: Repo, pull: Pull) -> tuple[bool | None, str]:
    """What a merge right now would find: (mergeable, GitHub's word for why)."""
    git = forge.git(repo)
    base = git.branch(pull.base_ref)
    if forge.store.get(Issue, pull.issue_id).state != "open" or base is None:
        return None, "unknown"
    if git.merge_tree(base, pull.head_sha) is None:
        return False, "dirty"
    if pull.draft:
        return True, "draft"
    protection = protection_of(forge, repo, pull.base_ref)
    if protection is not None:
        if protection.require_up_to_date and not git.is_ancestor(base, pull.head_sha):
            return True, "behind"
        if missing_checks(forge, repo, protection, pull.head_sha):
            return True, "blocked"
    return True, "clean"


def missing_checks(forge: Forge, repo: Repo, protection: Protection, sha: str) -> list[str]:
    """Required checks that have not succeeded on the commit; the newest of a name counts."""
    runs = forge.store.all(CheckRun, "WHERE repo_id = ? AND head_sha = ? ORDER BY id", repo.id, sha)
    passed = {run.name: run.conclusion in ("success", "neutral", "skipped") for run in runs}
    statuses = forge.store.all(Status, "WHERE repo_id = ? AND sha = ? ORDER BY id", repo.id, sha)
    passed |= {status.context: status.state == "success" for status in statuses}
    return [name for name in json.loads(protection.required_checks_json) if not passed.get(name, False)]


def emit_pull(
    forge: Forge, action: str, *, actor: Actor, repo: Repo, pull: Pull, extra: dict[str, Any] | None = None
) -> None:
    if not forge.installations(repo):
        return
    number = forge.store.get(Issue, pull.issue_id).number
    payload = {"number": number, "pull_request": shape(forge, repo, pull)} | (extra or {})
    emit(forge, "pull_request", action, actor=actor, repo=repo, payload=payload)


def open_pull(
    forge: Forge, actor: Actor, repo: Repo, *, head: str, base: str, title: str, body: str, draft: bool
) -> Pull:
    """`head` is a branch, or owner:branch for a fork's. Raises ForgeError."""
    owner, _, head_ref = head.rpartition(":")
    head_repo = _head_repo(forge, repo, owner)
    if head_repo is None:
        raise invalid("PullRequest", "head", code="invalid")
    head_owner = forge.owner(head_repo).login
    with forge.lock(repo) as git, forge.store.write():  # a push from now on finds the pull request
        base_sha, head_sha = git.branch(base), forge.git(head_repo).branch(head_ref)
        if base_sha is None:
            raise invalid("PullRequest", "base", code="invalid")
        if head_sha is None:
            raise invalid("PullRequest", "head", code="invalid")
        clause = "JOIN issue ON issue.id = issue_id WHERE state = 'open' AND head_repo_id = ? AND head_ref = ?"
        if forge.store.one(Pull, f"{clause} AND base_ref = ?", head_repo.id, head_ref, base):
            message = f"A pull request already exists for {head_owner}:{head_ref}."
            raise ForgeError(
                422, "Validation Failed", {"resource": "PullRequest", "code": "custom", "message": message}
            )
        issue = forge.add_issue(actor, repo, title=title, body=body)
        _keep_head(forge, repo, issue.number, head_repo, head_sha)
        if git.ahead_behind(base_sha, head_sha)[0] == 0:
            message = f"No commits between {base} and {head}"
            raise ForgeError(
                422, "Validation Failed", {"resource": "PullRequest", "code": "custom", "message": message}
            )
        pull = forge.store.add(
            Pull(
                issue_id=issue.id,
                repo_id=repo.id,
                head_repo_id=head_repo.id,
                head_ref=head_ref,
                head_sha=head_sha,
                base_ref=base,
                base_sha=base_sha,
                draft=draft,
            )
        )
        emit_pull(forge, "opened", actor=actor, repo=repo, pull=pull)
    return pull


def _head_repo(forge: Forge, repo: Repo, owner: str) -> Repo | None:
    """The repository of `owner` in the same network; forks of forks are not looked for."""
    if not owner or owner.lower() == forge.owner(repo).login.lower():
        return repo
    account = forge.user(owner)
    if account is None:
        return None
    clause = "WHERE owner_id = ? AND (parent_id = ? OR id = ?)"
    return forge.store.one(Repo, clause, account.id, repo.id, repo.parent_id)


def _keep_head(forge: Forge, repo: Repo, number: int, head_repo: Repo, sha: str) -> None:
    """refs/pull/N/head in the base repository, so that the commits stay when the branch goes."""
    git, name = forge.git(repo), f"refs/pull/{number}/head"
    if head_repo.id != repo.id:
        source = str(forge.git_path(head_repo.id))
        git.git("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", source, f"+{sha}:{name}")
    else:
        git.git("update-ref", "--", name, sha)


def set_thread_state(forge: Forge, actor: Actor, issue: Issue, state: str, reason: str | None) -> Issue:
    now = now_utc()
    closed = state == "closed"
    return forge.store.save(
        dataclasses.replace(
            issue,
            state=state,
            state_reason=reason,
            closed_at=now if closed else None,
            closed_by_id=actor.user.id if closed else None,
            updated_at=now,
        )
    )


def close(forge: Forge, actor: Actor, repo: Repo, pull: Pull) -> Pull:
    with forge.store.write():
        set_thread_state(forge, actor, forge.store.get(Issue, pull.issue_id), "closed", None)
        emit_pull(forge, "closed", actor=actor, repo=repo, pull=pull)
    return pull


def set_draft(forge: Forge, actor: Actor, repo: Repo, pull: Pull, *, draft: bool) -> Pull:
    if pull.draft == draft:
        return pull
    with forge.store.write():
        pull = forge.store.save(dataclasses.replace(forge.store.get(Pull, pull.id), draft=draft))
        action = "converted_to_draft" if draft else "ready_for_review"
        emit_pull(forge, action, actor=actor, repo=repo, pull=pull)
    return pull


def reopen(forge: Forge, actor: Actor, repo: Repo, pull: Pull) -> Pull:
    if pull.merged_at is not None:
        raise invalid("PullRequest", "state", "state cannot be changed. The pull request has been merged.")
    head_repo = forge.store.get(Repo, pull.head_repo_id)
    with forge.store.write():
        head_sha = forge.git(head_repo).branch(pull.head_ref)
        if head_sha is None:
            message = f"state cannot be changed. The {pull.head_ref} branch has been deleted."
            raise invalid("PullRequest", "state", message)
        issue = set_thread_state(forge, actor, forge.store.get(Issue, pull.issue_id), "open", None)
        _keep_head(forge, repo, issue.number, head_repo, head_sha)
        pull = forge.store.save(dataclasses.replace(pull, head_sha=head_sha))
        emit_pull(forge, "reopened", actor=actor, repo=repo, pull=pull)
    return pull


def _mark_merged(forge: Forge, actor: Actor, repo: Repo, pull: Pull, *, sha: str) -> None:
    issue = forge.store.get(Issue, pull.issue_id)
    set_thread_state(forge, actor, issue, "closed", None)
    merged = dataclasses.replace(pull, merged_at=now_utc(), merged_by_id=actor.user.id, merge_commit_sha=sha)
    emit_pull(forge, "closed", actor=actor, repo=repo, pull=forge.store.save(merged))


def follow(forge: Forge, actor: Actor, repo: Repo, moves: dict[str, tuple[str, str]]) -> None:
    """What the moved branches mean for open pull requests. `moves` maps a branch to its (old, new) sha."""
    for pull in _pulls(forge, "state = 'open' AND head_repo_id = ?", repo.id):
        if pull.head_ref in moves:
            _follow_head(forge, actor, pull, *moves[pull.head_ref])
    git = forge.git(repo)
    # One that was closed in the middle of its merge is merged all the same.
    waiting = "(state = 'open' OR (attempt_sha IS NOT NULL AND merged_at IS NULL)) AND pull.repo_id = ?"
    for pull in _pulls(forge, waiting, repo.id):
        _, tip = moves.get(pull.base_ref, (NO_SHA, NO_SHA))
        if tip == NO_SHA:
            continue
        if pull.attempt_sha is not None and git.is_ancestor(pull.attempt_sha, tip):
            by = Actor(user=forge.store.get(User, pull.attempt_by_id or actor.user.id))
            _mark_merged(forge, by, repo, pull, sha=pull.attempt_sha)
        elif git.is_ancestor(pull.head_sha, tip) and forge.store.get(Issue, pull.issue_id).state == "open":
            _mark_merged(forge, actor, repo, pull, sha=tip)


def _pulls(forge: Forge, condition: str, repo_id: int) -> list[Pull]:
    clause = f"JOIN issue ON issue.id = issue_id WHERE {condition} ORDER BY issue_id"
    return forge.store.all(Pull, clause, repo_id)


def _follow_head(forge: Forge, actor: Actor, pull: Pull, old: str, new: str) -> None:
    repo = forge.store.get(Repo, pull.repo_id)
    if new == NO_SHA:
        close(forge, actor, repo, pull)
        return
    issue = forge.store.get(Issue, pull.issue_id)
    _keep_head(forge, repo, issue.number, forge.store.get(Repo, pull.head_repo_id), new)
    base_sha = forge.git(repo).branch(pull.base_ref) or pull.base_sha
    pull = forge.store.save(dataclasses.replace(pull, head_sha=new, base_sha=base_sha))
    forge.store.save(dataclasses.replace(issue, updated_at=now_utc()))
    emit_pull(forge, "synchronize", actor=actor, repo=repo, pull=pull, extra={"before": old, "after": new})
