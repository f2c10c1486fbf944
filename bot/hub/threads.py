"""Conversations: issues, comments, labels and reactions. A pull request's conversation is an issue too."""

import dataclasses
import sqlite3
from typing import Any

from bot.hub import pulls
from bot.hub.forge import Actor, Forge, invalid, require_length
from bot.hub.hooks import emit
from bot.hub.records import Comment, Issue, IssueLabel, Label, Reaction, Repo, now_utc
from bot.hub.shapes.threads import REACTIONS, comment_json, issue_json, label_json

DEFAULT_LABEL_COLOR = "ededed"


def emit_thread(
    forge: Forge, action: str, *, actor: Actor, repo: Repo, issue: Issue, extra: dict[str, Any] | None = None
) -> None:
    """As an `issues` or a `pull_request` event, whichever the thread is."""
    pull = pulls.pull_of(forge, issue)
    if pull is not None:
        pulls.emit_pull(forge, action, actor=actor, repo=repo, pull=pull, extra=extra)
    else:
        payload = {"issue": issue_json(forge, repo, issue)} | (extra or {})
        emit(forge, "issues", action, actor=actor, repo=repo, payload=payload)


def open_issue(forge: Forge, actor: Actor, repo: Repo, *, title: str, body: str, labels: list[str]) -> Issue:
    with forge.store.write():
        issue = forge.add_issue(actor, repo, title=title, body=body)
        for name in labels:
            _attach(forge, repo, issue, name)
        emit_thread(forge, "opened", actor=actor, repo=repo, issue=issue)
        for label in forge.labels(issue):
            _emit_label(forge, "labeled", actor, repo, issue, label)
    return issue


def edit(
    forge: Forge,
    actor: Actor,
    repo: Repo,
    issue: Issue,
    *,
    title: str | None = None,
    body: str | None = None,
    state: str | None = None,
    state_reason: str | None = None,
) -> Issue:
    """Change what is not None. Raises ForgeError."""
    with forge.store.write():
        issue = forge.store.get(Issue, issue.id)
        changes: dict[str, Any] = {}
        if title is not None and title != issue.title:
            if not title.strip() or len(title) > 256:
                raise invalid("Issue", "title", "title must have 1 to 256 characters")
            changes["title"] = {"from": issue.title}
        if body is not None and body != issue.body:
            require_length("Issue", "body", body)
            changes["body"] = {"from": issue.body}
        if changes:
            issue = dataclasses.replace(
                issue,
                title=issue.title if title is None else title,
                body=issue.body if body is None else body,
                updated_at=now_utc(),
            )
            forge.store.save(issue)
            emit_thread(forge, "edited", actor=actor, repo=repo, issue=issue, extra={"changes": changes})
        if state is not None and state != issue.state:
            issue = _set_state(forge, actor, repo, issue, state, state_reason)
    return issue


def _set_state(forge: Forge, actor: Actor, repo: Repo, issue: Issue, state: str, reason: str | None) -> Issue:
    pull = pulls.pull_of(forge, issue)
    if pull is not None:
        (pulls.close if state == "closed" else pulls.reopen)(forge, actor, repo, pull)
        return forge.store.get(Issue, issue.id)
    default = "completed" if state == "closed" else "reopened"
    issue = pulls.set_thread_state(forge, actor, issue, state, reason or default)
    emit_thread(forge, "closed" if state == "closed" else "reopened", actor=actor, repo=repo, issue=issue)
    return issue


# Comments


def add_comment(forge: Forge, actor: Actor, repo: Repo, issue: Issue, body: str) -> Comment:
    if not body.strip():
        raise invalid("IssueComment", "body", code="missing_field")
    require_length("IssueComment", "body", body)
    now = now_utc()
    with forge.store.write():
        comment = forge.store.add(
            Comment(
                issue_id=issue.id,
                user_id=actor.user.id,
                app_id=actor.app_id,
                body=body,
                created_at=now,
                updated_at=now,
            )
        )
        forge.store.save(dataclasses.replace(forge.store.get(Issue, issue.id), updated_at=now))
        _emit_comment(forge, "created", actor, repo, comment)
    return comment


def edit_comment(forge: Forge, actor: Actor, repo: Repo, comment: Comment, body: str) -> Comment:
    require_length("IssueComment", "body", body)
    with forge.store.write():
        edited = forge.store.save(dataclasses.replace(comment, body=body, updated_at=now_utc()))
        _emit_comment(forge, "edited", actor, repo, edited, {"changes": {"body": {"from": comment.body}}})
    return edited


def delete_comment(forge: Forge, actor: Actor, repo: Repo, comment: Comment) -> None:
    with forge.store.write():
        _emit_comment(forge, "deleted", actor, repo, comment)
        forge.store.remove(comment)


def _emit_comment(
    forge: Forge, action: str, actor: Actor, repo: Repo, comment: Comment, extra: dict[str, Any] | None = None
) -> None:
    issue = forge.store.get(Issue, comment.issue_id)
    payload = {
        "issue": issue_json(forge, repo, issue),
        "comment": comment_json(forge, repo, comment),
    }
    emit(forge, "issue_comment", action, actor=actor, repo=repo, payload=payload | (extra or {}))


# Labels


def label_named(forge: Forge, repo: Repo, name: str) -> Label | None:
    return forge.store.one(Label, "WHERE repo_id = ? AND name = ? COLLATE NOCASE", repo.id, name)


def create_label(forge: Forge, repo: Repo, *, name: str, color: str, description: str) -> Label:
    if not 0 < len(name) <= 50:
        raise invalid("Label", "name", "name must have 1 to 50 characters")
    if label_named(forge, repo, name) is not None:
        raise invalid("Label", "name", code="already_exists")
    return forge.store.add(Label(repo_id=repo.id, name=name, color=color.lstrip("#").lower(), description=description))


def _attach(forge: Forge, repo: Repo, issue: Issue, name: str) -> Label | None:
    """The label, made when the repository lacks it; None when the issue has it already."""
    label = label_named(forge, repo, name)
    if label is None:
        label = create_label(forge, repo, name=name, color=DEFAULT_LABEL_COLOR, description="")
    try:
        forge.store.add(IssueLabel(issue_id=issue.id, label_id=label.id))
    except sqlite3.IntegrityError:
        return None
    return label


def _emit_label(forge: Forge, action: str, actor: Actor, repo: Repo, issue: Issue, label: Label) -> None:
    extra = {"label": label_json(forge, repo, label)}
    emit_thread(forge, action, actor=actor, repo=repo, issue=issue, extra=extra)


def add_labels(forge: Forge, actor: Actor, repo: Repo, issue: Issue, names: list[str]) -> None:
    with forge.store.write():
        for name in names:
            added = _attach(forge, repo, issue, name)
            if added is not None:
                _emit_label(forge, "labeled", actor, repo, issue, added)


def remove_label(forge: Forge, actor: Actor, repo: Repo, issue: Issue, label: Label) -> bool:
    """Whether the issue had it."""
    with forge.store.write():
        link = forge.store.one(IssueLabel, "WHERE issue_id = ? AND label_id = ?", issue.id, label.id)
        if link is None:
            return False
        forge.store.remove(link)
        _emit_label(forge, "unlabeled", actor, repo, issue, label)
    return True


# Reactions


def react(forge: Forge, actor: Actor, *, subject: str, subject_id: int, content: str) -> tuple[Reaction, bool]:
    """The reaction, and whether it is new: the same one twice is one."""
    if content not in REACTIONS:
        raise invalid("Reaction", "content", code="invalid")
    with forge.store.write():
        clause = "WHERE subject = ? AND subject_id = ? AND user_id = ? AND content = ?"
        found = forge.store.one(Reaction, clause, subject, subject_id, actor.user.id, content)
        if found is not None:
            return found, False
        reaction = Reaction(
            subject=subject, subject_id=subject_id, user_id=actor.user.id, content=content, created_at=now_utc()
        )
        return forge.store.add(reaction), True
