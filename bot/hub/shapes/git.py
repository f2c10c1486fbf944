"""Git objects as GitHub's JSON."""

import base64
from typing import Any
from urllib.parse import quote

from bot.hub.forge import Forge
from bot.hub.git.bare import Commit, Entry, Signature
from bot.hub.git.diff import FileDiff
from bot.hub.records import Protection, Repo, User
from bot.hub.shapes.repositories import Json, html_url, node_id, repo_url, user_json

MOST_ENTRIES = 100_000  # of a tree in one answer

_UNSIGNED: Json = {
    "verified": False,
    "reason": "unsigned",
    "signature": None,
    "payload": None,
    "verified_at": None,
}


def _signature(signature: Signature) -> Json:
    return {"name": signature.name, "email": signature.email, "date": signature.date}


def _parents(forge: Forge, repo: Repo, commit: Commit, *, kind: str) -> list[Json]:
    return [
        {
            "sha": sha,
            "url": repo_url(forge, repo, f"/{kind}/{sha}"),
            "html_url": html_url(forge, repo, f"/commit/{sha}"),
        }
        for sha in commit.parents
    ]


def git_commit_json(forge: Forge, repo: Repo, commit: Commit) -> Json:
    """The object itself, as under /git/commits."""
    return {
        "sha": commit.sha,
        "node_id": node_id("Commit", commit.sha),
        "url": repo_url(forge, repo, f"/git/commits/{commit.sha}"),
        "html_url": html_url(forge, repo, f"/commit/{commit.sha}"),
        "author": _signature(commit.author),
        "committer": _signature(commit.committer),
        "message": commit.message,
        "tree": {"sha": commit.tree, "url": repo_url(forge, repo, f"/git/trees/{commit.tree}")},
        "parents": _parents(forge, repo, commit, kind="git/commits"),
        "verification": _UNSIGNED,
    }


def commit_json(forge: Forge, repo: Repo, record: Commit) -> Json:
    """The commit with the accounts behind it, as under /commits."""
    url = repo_url(forge, repo, f"/commits/{record.sha}")
    return {
        "sha": record.sha,
        "node_id": node_id("Commit", record.sha),
        "url": url,
        "html_url": html_url(forge, repo, f"/commit/{record.sha}"),
        "comments_url": f"{url}/comments",
        "commit": {
            "url": repo_url(forge, repo, f"/git/commits/{record.sha}"),
            "author": _signature(record.author),
            "committer": _signature(record.committer),
            "message": record.message,
            "tree": {"sha": record.tree, "url": repo_url(forge, repo, f"/git/trees/{record.tree}")},
            "comment_count": 0,
            "verification": _UNSIGNED,
        },
        "author": _account(forge, record.author),
        "committer": _account(forge, record.committer),
        "parents": _parents(forge, repo, record, kind="commits"),
    }


def account_of(forge: Forge, signature: Signature) -> User | None:
    """The account that the e-mail address belongs to."""
    found = forge.store.one(User, "WHERE email = ?", signature.email) if signature.email else None
    if found is None and signature.email.endswith("@users.noreply.hub.invalid"):
        found = forge.user(signature.email.partition("+")[2].removesuffix("@users.noreply.hub.invalid"))
    return found


def _account(forge: Forge, signature: Signature) -> Json | None:
    found = account_of(forge, signature)
    return user_json(forge, found) if found else None


def file_diff_json(forge: Forge, repo: Repo, head_sha: str, file: FileDiff) -> Json:
    shape: dict[str, Any] = {
        "sha": file.sha,
        "filename": file.path,
        "status": file.status,
        "additions": file.additions,
        "deletions": file.deletions,
        "changes": file.additions + file.deletions,
        "blob_url": html_url(forge, repo, f"/blob/{head_sha}/", file.path),
        "raw_url": html_url(forge, repo, f"/raw/{head_sha}/", file.path),
        "contents_url": repo_url(forge, repo, "/contents/", file.path) + f"?ref={head_sha}",
    }
    if file.patch is not None:
        shape["patch"] = file.patch
    if file.previous_path is not None:
        shape["previous_filename"] = file.previous_path
    return shape


def ref_json(forge: Forge, repo: Repo, name: str, sha: str, *, kind: str = "commit") -> Json:
    collection = "commits" if kind == "commit" else f"{kind}s"
    return {
        "ref": name,
        "node_id": node_id("Ref", f"{repo.id}:{name}"),
        "url": repo_url(forge, repo, "/git/", name),
        "object": {"sha": sha, "type": kind, "url": repo_url(forge, repo, f"/git/{collection}/{sha}")},
    }


def tree_json(forge: Forge, repo: Repo, sha: str, entries: list[Entry]) -> Json:
    lines = []
    for entry in entries[:MOST_ENTRIES]:
        line: Json = {"path": entry.path, "mode": entry.mode, "type": entry.type, "sha": entry.sha}
        if entry.size is not None:
            line["size"] = entry.size
        if entry.type != "commit":
            line["url"] = repo_url(forge, repo, f"/git/{entry.type}s/{entry.sha}")
        lines.append(line)
    return {
        "sha": sha,
        "url": repo_url(forge, repo, f"/git/trees/{sha}"),
        "tree": lines,
        "truncated": len(entries) > MOST_ENTRIES,
    }


def blob_json(forge: Forge, repo: Repo, sha: str, content: bytes) -> Json:
    return {
        "sha": sha,
        "node_id": node_id("Blob", sha),
        "size": len(content),
        "url": repo_url(forge, repo, f"/git/blobs/{sha}"),
        "content": base64.encodebytes(content).decode(),
        "encoding": "base64",
    }


def contents_json(forge: Forge, repo: Repo, revision: str, entry: Entry) -> Json:
    """An entry of a directory; a file asked for by name gets its content added."""
    url = repo_url(forge, repo, "/contents/", entry.path) + f"?ref={quote(revision, safe='')}"
    kind = {"tree": "dir", "commit": "submodule"}.get(entry.type, "file")
    git_url = repo_url(forge, repo, f"/git/{entry.type}s/{entry.sha}")
    place = f"{revision}/{entry.path}"
    page = html_url(forge, repo, "/tree/" if kind == "dir" else "/blob/", place)
    return {
        "name": entry.path.rpartition("/")[2],
        "path": entry.path,
        "sha": entry.sha,
        "size": entry.size or 0,
        "url": url,
        "html_url": page,
        "git_url": git_url,
        "download_url": html_url(forge, repo, "/raw/", place) if kind == "file" else None,
        "type": "symlink" if entry.mode == "120000" else kind,
        "_links": {"self": url, "git": git_url, "html": page},
    }


def branch_json(
    forge: Forge, repo: Repo, name: str, tip: Json, protection: Protection | None, checks: list[str]
) -> Json:
    """`tip` is a full commit shape for one branch, {sha, url} in a list."""
    url = repo_url(forge, repo, "/branches/", name)
    return {
        "name": name,
        "commit": tip,
        "_links": {"self": url, "html": html_url(forge, repo, "/tree/", name)},
        "protected": protection is not None,
        "protection": {
            "enabled": protection is not None,
            "required_status_checks": {
                "enforcement_level": "everyone" if checks else "off",
                "contexts": checks,
                "checks": [{"context": check, "app_id": None} for check in checks],
            },
        },
        "protection_url": f"{url}/protection",
    }
