"""Making repositories: empty, from files, or as a fork."""

import os
import re
import shutil
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bot.hub.forge import Actor, Forge
from bot.hub.git.bare import NO_SHA, BareRepository, Change
from bot.hub.git.command import run_git
from bot.hub.git.refs import record_pushes
from bot.hub.records import FormerName, Repo, User, now_utc

NAME = re.compile(r"(?!\.{1,2}$)(?!.*\.git$)[A-Za-z0-9._-]{1,100}")


def _add_repo(forge: Forge, repo: Repo) -> Repo:
    """The row and its empty bare repository, now: both or neither. Raises sqlite3.IntegrityError for a taken name."""
    if forge.repo(forge.owner(repo).login, repo.name) is not None:
        raise sqlite3.IntegrityError(f"{repo.name} exists")
    now = now_utc()
    with forge.store.write():
        repo = forge.store.add(replace(repo, id=0, created_at=now, updated_at=now, pushed_at=now))
        path = forge.git_path(repo.id)
        shutil.rmtree(path, ignore_errors=True)  # left by a hub that died here; its row was never stored
        BareRepository.create(path, default_branch=repo.default_branch)
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
    with forge.store.write():  # all of it or nothing; nobody else can hold the lock of a repository that is not stored
        repo = _add_repo(
            forge,
            Repo(
                owner_id=owner.id,
                name=name,
                private=private,
                description=description,
                default_branch=default_branch,
            ),
        )
        if files:
            git = forge.git(repo)
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


def change_repo(
    forge: Forge,
    repo: Repo,
    *,
    name: str | None = None,
    description: str | None = None,
    default_branch: str | None = None,
    allow_merge_commit: bool | None = None,
) -> Repo:
    """What is None stays as it is. Under a name it had before, it is still found. Raises sqlite3.IntegrityError when
    the new name is taken."""
    with forge.lock(repo) as git, forge.store.write():
        changed = replace(
            repo,
            name=repo.name if name is None else name,
            description=repo.description if description is None else description,
            default_branch=repo.default_branch if default_branch is None else default_branch,
            allow_merge_commit=repo.allow_merge_commit if allow_merge_commit is None else allow_merge_commit,
            updated_at=now_utc(),
        )
        if changed.name != repo.name:
            for former in forge.store.all(
                FormerName, "WHERE owner_id = ? AND name IN (?, ?)", repo.owner_id, repo.name, changed.name
            ):
                forge.store.remove(former)
            forge.store.add(FormerName(owner_id=repo.owner_id, name=repo.name, repo_id=repo.id))
        if changed.default_branch != repo.default_branch:
            run_git(git.path, "symbolic-ref", "HEAD", f"refs/heads/{changed.default_branch}")
        return forge.store.save(changed)


def fork_repo(forge: Forge, owner: User, parent: Repo) -> Repo:
    """The account's fork, made when there is none yet."""
    found = forge.store.one(Repo, "WHERE owner_id = ? AND parent_id = ?", owner.id, parent.id)
    if found is not None:
        return found
    source = str(forge.git_path(parent.id))
    with forge.store.write():
        fork = _add_repo(forge, replace(parent, owner_id=owner.id, parent_id=parent.id))
        forge.git(fork).git("fetch", "--quiet", "--no-write-fetch-head", "--", source, "refs/heads/*:refs/heads/*")
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
