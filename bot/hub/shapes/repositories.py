"""Rows as GitHub's JSON: accounts, repositories, apps. Conversations and git objects have modules of their own."""

import base64
import json
from typing import Any
from urllib.parse import quote

from bot.hub.forge import Forge
from bot.hub.records import App, Delivery, Installation, Issue, Repo, User

Json = dict[str, Any]


def node_id(kind: str, row_id: int | str) -> str:
    return base64.b64encode(f"{kind}:{row_id}".encode()).decode()


def api_url(forge: Forge, path: str = "") -> str:
    return f"{forge.base_url}/api/v3{path}"


def repo_url(forge: Forge, repo: Repo, path: str = "", name: str = "") -> str:
    """`name` is what people chose, such as a branch or a file: `#` in it must not end the address."""
    return api_url(forge, f"/repos/{forge.full_name(repo)}{path}{quote(name)}")


def html_url(forge: Forge, repo: Repo, path: str = "", name: str = "") -> str:
    return f"{forge.base_url}/{forge.full_name(repo)}{path}{quote(name)}"


def user_json(forge: Forge, account: User) -> Json:
    url = api_url(forge, f"/users/{account.login}")
    page = f"{forge.base_url}/{account.login.removesuffix('[bot]')}"
    return {
        "login": account.login,
        "id": account.id,
        "node_id": node_id("User", account.id),
        "avatar_url": f"{forge.base_url}/static/avatar.svg",
        "gravatar_id": "",
        "url": url,
        "html_url": page,
        "followers_url": f"{url}/followers",
        "following_url": f"{url}/following{{/other_user}}",
        "gists_url": f"{url}/gists{{/gist_id}}",
        "starred_url": f"{url}/starred{{/owner}}{{/repo}}",
        "subscriptions_url": f"{url}/subscriptions",
        "organizations_url": f"{url}/orgs",
        "repos_url": f"{url}/repos",
        "events_url": f"{url}/events{{/privacy}}",
        "received_events_url": f"{url}/received_events",
        "type": account.type,
        "site_admin": False,
    }


def full_user_json(forge: Forge, account: User) -> Json:
    return user_json(forge, account) | {
        "name": account.name or None,
        "company": None,
        "blog": None,
        "location": None,
        "email": account.email or None,
        "hireable": None,
        "bio": None,
        "public_repos": forge.store.count(Repo, "WHERE owner_id = ? AND private = 0", account.id),
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "created_at": account.created_at,
        "updated_at": account.created_at,
    }


_REPO_URLS = {
    "archive_url": "/{archive_format}{/ref}",
    "assignees_url": "/assignees{/user}",
    "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}",
    "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}",
    "commits_url": "/commits{/sha}",
    "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}",
    "contributors_url": "/contributors",
    "deployments_url": "/deployments",
    "downloads_url": "/downloads",
    "events_url": "/events",
    "forks_url": "/forks",
    "git_commits_url": "/git/commits{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "hooks_url": "/hooks",
    "issue_comment_url": "/issues/comments{/number}",
    "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}",
    "keys_url": "/keys{/key_id}",
    "labels_url": "/labels{/name}",
    "languages_url": "/languages",
    "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}",
    "stargazers_url": "/stargazers",
    "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "tags_url": "/tags",
    "teams_url": "/teams",
    "trees_url": "/git/trees{/sha}",
}


def repository_json(forge: Forge, repo: Repo) -> Json:
    url, page = repo_url(forge, repo), html_url(forge, repo)
    open_issues = forge.store.count(Issue, "WHERE repo_id = ? AND state = 'open'", repo.id)
    forks = forge.store.count(Repo, "WHERE parent_id = ?", repo.id)
    return {
        "id": repo.id,
        "node_id": node_id("Repository", repo.id),
        "name": repo.name,
        "full_name": forge.full_name(repo),
        "private": repo.private,
        "owner": user_json(forge, forge.owner(repo)),
        "html_url": page,
        "description": repo.description or None,
        "fork": repo.parent_id is not None,
        "url": url,
        **{name: url + path for name, path in _REPO_URLS.items()},
        "created_at": repo.created_at,
        "updated_at": repo.updated_at,
        "pushed_at": repo.pushed_at,
        "git_url": f"{page}.git",
        "ssh_url": f"{page}.git",
        "clone_url": f"{page}.git",
        "svn_url": page,
        "homepage": None,
        "size": 0,
        "stargazers_count": 0,
        "watchers_count": 0,
        "language": None,
        "has_issues": True,
        "has_projects": False,
        "has_downloads": False,
        "has_wiki": False,
        "has_pages": False,
        "has_discussions": False,
        "forks_count": forks,
        "mirror_url": None,
        "archived": False,
        "disabled": False,
        "open_issues_count": open_issues,
        "license": None,
        "allow_forking": True,
        "is_template": False,
        "web_commit_signoff_required": False,
        "custom_properties": {},
        "topics": [],
        "visibility": "private" if repo.private else "public",
        "forks": forks,
        "open_issues": open_issues,
        "watchers": 0,
        "default_branch": repo.default_branch,
    }


def granted(permission: str) -> Json:
    """What somebody with this level may do, in the words of a repository's `permissions`."""
    writes = permission in ("write", "admin")
    admin = permission == "admin"
    return {"admin": admin, "maintain": admin, "push": writes, "triage": writes, "pull": permission != "none"}


def full_repository_json(forge: Forge, repo: Repo, *, permission: str) -> Json:
    """As one asks for it by name: with what the asker may do there."""
    shape = repository_json(forge, repo) | {
        "allow_squash_merge": True,
        "allow_merge_commit": repo.allow_merge_commit,
        "allow_rebase_merge": False,
        "allow_auto_merge": False,
        "allow_update_branch": True,
        "delete_branch_on_merge": False,
        "subscribers_count": 0,
        "network_count": 0,
        "permissions": granted(permission),
    }
    if repo.parent_id is not None:
        parent = repository_json(forge, forge.store.get(Repo, repo.parent_id))
        shape |= {"parent": parent, "source": parent}
    return shape


def app_json(forge: Forge, record: App) -> Json:
    return {
        "id": record.id,
        "slug": record.slug,
        "node_id": node_id("App", record.id),
        "owner": user_json(forge, forge.store.get(User, record.owner_id)),
        "name": record.name,
        "description": "",
        "external_url": forge.base_url,
        "html_url": f"{forge.base_url}/apps/{record.slug}",
        "created_at": record.created_at,
        "updated_at": record.created_at,
        "permissions": json.loads(record.permissions_json),
        "events": json.loads(record.events_json),
    }


def installation_json(forge: Forge, record: Installation) -> Json:
    installed = forge.store.get(App, record.app_id)
    return {
        "id": record.id,
        "account": user_json(forge, forge.store.get(User, record.account_id)),
        "repository_selection": "all",
        "access_tokens_url": api_url(forge, f"/app/installations/{record.id}/access_tokens"),
        "repositories_url": api_url(forge, "/installation/repositories"),
        "html_url": f"{forge.base_url}/apps/{installed.slug}",
        "app_id": installed.id,
        "app_slug": installed.slug,
        "target_id": record.account_id,
        "target_type": "User",
        "permissions": json.loads(installed.permissions_json),
        "events": json.loads(installed.events_json),
        "created_at": record.created_at,
        "updated_at": record.created_at,
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "suspended_by": None,
        "suspended_at": None,
    }


def repository_name_json(forge: Forge, repo: Repo) -> Json:
    """As an installation's webhook lists it."""
    return {
        "id": repo.id,
        "node_id": node_id("Repository", repo.id),
        "name": repo.name,
        "full_name": forge.full_name(repo),
        "private": repo.private,
    }


def hook_config_json(record: App) -> Json:
    return {"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": record.webhook_url}


def ping_json(forge: Forge, record: App) -> Json:
    hook = f"/app/hooks/{record.id}"
    return {
        "zen": "Anything added dilutes everything else.",
        "hook_id": record.id,
        "hook": {
            "type": "App",
            "id": record.id,
            "name": "web",
            "active": True,
            "app_id": record.id,
            "events": json.loads(record.events_json),
            "config": hook_config_json(record),
            "updated_at": record.created_at,
            "created_at": record.created_at,
            "url": api_url(forge, hook),
            "ping_url": api_url(forge, f"{hook}/pings"),
            "deliveries_url": api_url(forge, "/app/hook/deliveries"),
        },
    }


def delivery_json(record: Delivery) -> Json:
    return {
        "id": record.id,
        "guid": record.guid,
        "delivered_at": record.delivered_at or record.created_at,
        "redelivery": record.redelivery,
        "duration": record.duration_s,
        "status": record.status or "pending",
        "status_code": record.status_code or 0,
        "event": record.event,
        "action": record.action,
        "installation_id": record.installation_id,
        "repository_id": record.repo_id,
        "throttled_at": None,
    }


def full_delivery_json(forge: Forge, record: Delivery) -> Json:
    return delivery_json(record) | {
        "url": forge.store.get(App, record.app_id).webhook_url,
        "request": {"headers": json.loads(record.request_headers_json), "payload": json.loads(record.payload)},
        "response": {"headers": json.loads(record.response_headers_json), "payload": record.response_body},
    }
