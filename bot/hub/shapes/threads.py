"""Issues, pull requests and comments as GitHub's JSON."""

from bot.hub.forge import Forge
from bot.hub.git.diff import diff_commits
from bot.hub.records import App, Collaborator, Comment, Issue, Label, Pull, Reaction, Repo, User
from bot.hub.shapes.repositories import Json, app_json, html_url, node_id, repo_url, repository_json, user_json

REACTIONS = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")


def person_json(forge: Forge, user_id: int | None) -> Json | None:
    return user_json(forge, forge.store.get(User, user_id)) if user_id is not None else None


def _via(forge: Forge, app_id: int | None) -> Json | None:
    return app_json(forge, forge.store.get(App, app_id)) if app_id is not None else None


def association(forge: Forge, repo: Repo, user_id: int) -> str:
    if user_id == repo.owner_id:
        return "OWNER"
    known = forge.store.one(Collaborator, "WHERE repo_id = ? AND user_id = ?", repo.id, user_id)
    return "COLLABORATOR" if known else "NONE"


def label_json(forge: Forge, repo: Repo, record: Label) -> Json:
    return {
        "id": record.id,
        "node_id": node_id("Label", record.id),
        "url": repo_url(forge, repo, "/labels/", record.name),
        "name": record.name,
        "color": record.color,
        "default": False,
        "description": record.description,
    }


def reaction_json(forge: Forge, record: Reaction) -> Json:
    return {
        "id": record.id,
        "node_id": node_id("Reaction", record.id),
        "user": person_json(forge, record.user_id),
        "content": record.content,
        "created_at": record.created_at,
    }


def reactions_json(forge: Forge, subject: str, subject_id: int, url: str) -> Json:
    found = forge.store.all(Reaction, "WHERE subject = ? AND subject_id = ?", subject, subject_id)
    counts = {content: sum(r.content == content for r in found) for content in REACTIONS}
    return {"url": f"{url}/reactions", "total_count": len(found)} | counts


def issue_json(forge: Forge, repo: Repo, record: Issue) -> Json:
    url = repo_url(forge, repo, f"/issues/{record.number}")
    pull = forge.store.one(Pull, "WHERE issue_id = ?", record.id)
    page = html_url(forge, repo, f"/{'pull' if pull else 'issues'}/{record.number}")
    shape: Json = {
        "url": url,
        "repository_url": repo_url(forge, repo),
        "labels_url": f"{url}/labels{{/name}}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "html_url": page,
        "id": record.id,
        "node_id": node_id("Issue", record.id),
        "number": record.number,
        "title": record.title,
        "user": person_json(forge, record.user_id),
        "labels": [label_json(forge, repo, one) for one in forge.labels(record)],
        "state": record.state,
        "state_reason": record.state_reason,
        "locked": False,
        "assignee": None,
        "assignees": [],
        "milestone": None,
        "comments": forge.store.count(Comment, "WHERE issue_id = ?", record.id),
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "closed_at": record.closed_at,
        "author_association": association(forge, repo, record.user_id),
        "active_lock_reason": None,
        "body": record.body or None,
        "reactions": reactions_json(forge, "issue", record.id, url),
        "timeline_url": f"{url}/timeline",
        "performed_via_github_app": _via(forge, record.app_id),
    }
    if pull is not None:
        shape["draft"] = pull.draft
        shape["pull_request"] = {
            "url": repo_url(forge, repo, f"/pulls/{record.number}"),
            "html_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "merged_at": pull.merged_at,
        }
    return shape


def full_issue_json(forge: Forge, repo: Repo, record: Issue) -> Json:
    return issue_json(forge, repo, record) | {"closed_by": person_json(forge, record.closed_by_id)}


def comment_json(forge: Forge, repo: Repo, record: Comment) -> Json:
    thread = forge.store.get(Issue, record.issue_id)
    url = repo_url(forge, repo, f"/issues/comments/{record.id}")
    kind = "pull" if forge.store.one(Pull, "WHERE issue_id = ?", thread.id) else "issues"
    return {
        "url": url,
        "html_url": html_url(forge, repo, f"/{kind}/{thread.number}#issuecomment-{record.id}"),
        "issue_url": repo_url(forge, repo, f"/issues/{thread.number}"),
        "id": record.id,
        "node_id": node_id("IssueComment", record.id),
        "user": person_json(forge, record.user_id),
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "author_association": association(forge, repo, record.user_id),
        "body": record.body,
        "reactions": reactions_json(forge, "comment", record.id, url),
        "performed_via_github_app": _via(forge, record.app_id),
    }


def _tip(forge: Forge, repo_id: int, ref: str, sha: str) -> Json:
    repo = forge.store.get(Repo, repo_id)
    owner = forge.owner(repo)
    return {
        "label": f"{owner.login}:{ref}",
        "ref": ref,
        "sha": sha,
        "user": user_json(forge, owner),
        "repo": repository_json(forge, repo),
    }


def pull_summary_json(forge: Forge, repo: Repo, record: Pull) -> Json:
    """As in a list of pull requests."""
    thread = forge.store.get(Issue, record.issue_id)
    url = repo_url(forge, repo, f"/pulls/{thread.number}")
    issue_url = repo_url(forge, repo, f"/issues/{thread.number}")
    page = html_url(forge, repo, f"/pull/{thread.number}")
    links = {
        "self": url,
        "html": page,
        "issue": issue_url,
        "comments": f"{issue_url}/comments",
        "review_comments": f"{url}/comments",
        "review_comment": repo_url(forge, repo, "/pulls/comments{/number}"),
        "commits": f"{url}/commits",
        "statuses": repo_url(forge, repo, f"/statuses/{record.head_sha}"),
    }
    return {
        "url": url,
        "id": record.id,
        "node_id": node_id("PullRequest", record.id),
        "html_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "issue_url": issue_url,
        "number": thread.number,
        "state": thread.state,
        "locked": False,
        "title": thread.title,
        "user": person_json(forge, thread.user_id),
        "body": thread.body or None,
        "created_at": thread.created_at,
        "updated_at": thread.updated_at,
        "closed_at": thread.closed_at,
        "merged_at": record.merged_at,
        "merge_commit_sha": record.merge_commit_sha,
        "assignee": None,
        "assignees": [],
        "requested_reviewers": [],
        "requested_teams": [],
        "labels": [label_json(forge, repo, one) for one in forge.labels(thread)],
        "milestone": None,
        "draft": record.draft,
        **{f"{name}_url": links[name] for name in ("commits", "review_comments", "review_comment", "comments")},
        "statuses_url": links["statuses"],
        "head": _tip(forge, record.head_repo_id, record.head_ref, record.head_sha),
        "base": _tip(forge, record.repo_id, record.base_ref, record.base_sha),
        "_links": {name: {"href": href} for name, href in links.items()},
        "author_association": association(forge, repo, thread.user_id),
        "auto_merge": None,
        "active_lock_reason": None,
    }


def pull_json(forge: Forge, repo: Repo, record: Pull, *, mergeable: bool | None, mergeable_state: str) -> Json:
    """In full; `mergeable` is what a merge right now would find, None for a pull request that is not open."""
    git = forge.git(repo)
    start = git.merge_base(record.base_sha, record.head_sha) or record.base_sha
    files = diff_commits(git, start, record.head_sha)
    ahead, _ = git.ahead_behind(record.base_sha, record.head_sha)
    return pull_summary_json(forge, repo, record) | {
        "merged": record.merged_at is not None,
        "mergeable": mergeable,
        "rebaseable": False if mergeable is not None else None,
        "mergeable_state": mergeable_state,
        "merged_by": person_json(forge, record.merged_by_id),
        "comments": forge.store.count(Comment, "WHERE issue_id = ?", record.issue_id),
        "review_comments": 0,
        "maintainer_can_modify": False,
        "commits": ahead,
        "additions": sum(file.additions for file in files),
        "deletions": sum(file.deletions for file in files),
        "changed_files": len(files),
    }
