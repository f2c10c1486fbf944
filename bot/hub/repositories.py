"""Making repositories: empty, from files, or as a fork."""

import os
import re
import shutil
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

from bot.hub.forge import Actor, Forge
from bot.hub.git import run_git
from bot.hub.records import Repo, User, now_utc
from bot.hub.refs import record_pushes
from bot.hub.repository import NO_SHA, Change, Repository

NAME = re.compile(r"(?!\.{1,2}$)(?!.*\.git$)[A-Za-z0-9._-]{1,100}")


def _add_repo(
    forge: Forge, owner: User, *, name: str, description: str, private: bool, default_branch: str, parent_id: int | None
) -> Repo:
    """The row and its empty bare repository: both or neither. Raises sqlite3.IntegrityError when the name is taken."""
    if forge.repo(owner.login, name) is not None:
        raise sqlite3.IntegrityError(f"{owner.login}/{name} exists")
    now = now_utc()
    with forge.store.write():
        repo = forge.store.add(
            Repo(
                owner_id=owner.id,
                name=name,
                private=private,
                description=description,
                default_branch=default_branch,
                parent_id=parent_id,
                created_at=now,
                updated_at=now,
                pushed_at=now,
            )
        )
        path = forge.git_path(repo.id)
        shutil.rmtree(path, ignore_errors=True)  # left by a hub that died here; its row was never stored
        Repository.create(path, default_branch=default_branch)
    return repo


def create_repo(
    forge: Forge,
    owner: User,
    *,
    name: str,
    description: str,
    private: bool,
    default_branch: str,
    files: Mapping[str, bytes],
    executable: frozenset[str] = frozenset(),
    message: str = "Initial commit",
) -> Repo:
    """A repository whose first commit holds `files` (path -> content). Raises sqlite3.IntegrityError when it exists."""
    repo = _add_repo(
        forge,
        owner,
        name=name,
        description=description,
        private=private,
        default_branch=default_branch,
        parent_id=None,
    )
    if files:
        with forge.lock(repo) as git:
            changes = [
                Change(path=path, mode="100755" if path in executable else "100644", sha=git.write_blob(content))
                for path, content in files.items()
            ]
            signature = forge.signature(owner, int(time.time()))
            sha = git.write_commit(
                tree=git.write_tree(changes), parents=[], message=message, author=signature, committer=signature
            )
            git.update_ref(f"refs/heads/{default_branch}", new=sha, old=NO_SHA)
            record_pushes(forge, Actor(user=owner), repo)
    return repo


def fork_repo(forge: Forge, owner: User, parent: Repo) -> Repo:
    """The account's fork, made when there is none yet."""
    found = forge.store.one(Repo, "WHERE owner_id = ? AND parent_id = ?", owner.id, parent.id)
    if found is not None:
        return found
    fork = _add_repo(
        forge,
        owner,
        name=parent.name,
        description=parent.description,
        private=parent.private,
        default_branch=parent.default_branch,
        parent_id=parent.id,
    )
    with forge.lock(fork) as git:
        source = str(forge.git_path(parent.id))
        run_git(git.path, "fetch", "--quiet", "--no-write-fetch-head", "--", source, "refs/heads/*:refs/heads/*")
        record_pushes(forge, Actor(user=owner), fork)
    return fork


def read_folder(folder: Path) -> tuple[dict[str, bytes], frozenset[str]]:
    """Path -> content of every file, and which of them are executable."""
    files: dict[str, bytes] = {}
    executable = set()
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_symlink() or not path.is_file() or {".git", "__pycache__"} & set(relative.parts):
            continue
        files[relative.as_posix()] = path.read_bytes()
        if os.access(path, os.X_OK):
            executable.add(relative.as_posix())
    return files, frozenset(executable)
