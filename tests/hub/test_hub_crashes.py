"""What is left when the hub dies between two of its steps, or when two things happen at once."""

import sqlite3
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hub_world import World, propose

from bot.hub import Hub, repositories
from bot.hub.forge import Actor
from bot.hub.git.refs import update_ref
from bot.hub.records import Pull, User
from bot.hub.server import Server, bind
from bot.hub.store import Store


def test_a_repository_is_made_whole_or_not_at_all(world: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(repositories, "record_pushes", die)
        with pytest.raises(KeyboardInterrupt):
            world.hub.create_repo("ada", "other", source=folder)
        forge = world.hub.forge
        eve, model = forge.user("eve"), forge.repo("ada", "model")
        assert eve is not None
        assert model is not None
        with pytest.raises(KeyboardInterrupt):
            repositories.fork_repo(forge, eve, model)
    assert not world.hub.has_repo("ada/other")
    assert not world.hub.has_repo("eve/model")
    world.hub.create_repo("ada", "other", source=folder)
    assert world.client("ada").get_repo("ada/other").get_contents("train.py")
    assert world.repo_as("eve").create_fork().get_branch("main").commit.sha


def test_a_lock_that_git_left_is_taken_away(world: World, tmp_path: Path) -> None:
    lock = world.hub.git_path("ada/model") / "refs" / "heads" / "main.lock"
    world.hub.stop()
    lock.touch()  # a moment ago: all of this machine's processes died at once
    with Hub(tmp_path / "hub", port=int(world.hub.base_url.rsplit(":")[-1])):
        world.repo.create_file("x", "Write", "x")


def test_a_commit_that_fails_leaves_the_database_usable(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.sqlite")
    user = User(login="ada", type="User", name="", email="", created_at="")

    def refuse_commits(action: int, first: str | None, *_: object) -> int:
        return sqlite3.SQLITE_DENY if (action, first) == (sqlite3.SQLITE_TRANSACTION, "COMMIT") else sqlite3.SQLITE_OK

    store._connection().set_authorizer(refuse_commits)
    with pytest.raises(sqlite3.DatabaseError):
        store.add(user)
    store._connection().set_authorizer(None)
    store.add(user)
    assert store.count(User) == 1
    store.close()


def test_one_repository_that_cannot_be_read_does_not_keep_the_hub_from_starting(world: World, tmp_path: Path) -> None:
    world.hub.create_repo("ada", "broken")
    (world.hub.git_path("ada/broken") / "HEAD").unlink()
    world.hub.stop()
    with Hub(tmp_path / "hub", port=int(world.hub.base_url.rsplit(":")[-1])):
        propose(world.repo, "exp/1", "train.py", "LR = 1\n")


def test_only_the_hubs_user_may_read_its_folder(world: World, tmp_path: Path) -> None:
    assert (tmp_path / "hub").stat().st_mode & 0o077 == 0  # secrets of webhooks, and private repositories


def test_a_head_that_moves_while_its_pull_request_is_opened_is_followed(world: World) -> None:
    propose(world.repo, "exp/1", "train.py", "LR = 1\n")
    newer = propose(world.repo, "tmp", "train.py", "LR = 2\n", base="exp/1")
    forge = world.hub.forge
    repo, ada = forge.repo("ada", "model"), forge.user("ada")
    assert repo is not None
    assert ada is not None
    opening = threading.Thread(target=lambda: world.repo.create_pull(base="main", head="exp/1", title="Raise it"))
    with forge.lock(repo):
        opening.start()
        time.sleep(0.5)  # it waits for the lock now
        update_ref(forge, Actor(user=ada), repo, "refs/heads/exp/1", newer, force=False)
    opening.join()
    assert world.repo.get_pull(1).head.sha == newer


def test_a_pull_request_closed_while_it_was_merged_counts_as_merged(world: World, tmp_path: Path) -> None:
    """As in test_hub_pulls, up to the instant after the ref moved; somebody closes it, and the hub starts again."""
    head = propose(world.repo, "exp/1", "train.py", "LR = 1\n")
    pull = world.repo.create_pull(base="main", head="exp/1", title="Raise it")
    forge = world.hub.forge
    repo, record = forge.repo("ada", "model"), forge.store.one(Pull, "")
    assert repo is not None
    assert record is not None
    git, signature = forge.git(repo), forge.signature(forge.owner(repo), 1)
    base = git.branch("main")
    assert base is not None
    sha = git.write_commit(
        tree=git.commit(head).tree, parents=[base], message="Squashed", author=signature, committer=signature
    )
    forge.store.save(replace(record, attempt_sha=sha, attempt_by_id=repo.owner_id))
    git.update_ref("refs/heads/main", new=sha, old=base)
    pull.edit(state="closed")
    world.hub.stop()
    with Hub(tmp_path / "hub", port=int(world.hub.base_url.rsplit(":")[-1])):
        pull.update()
        assert (pull.merged, pull.merge_commit_sha) == (True, sha)


def test_a_fork_that_moved_while_its_pull_request_was_closed(world: World) -> None:
    fork = world.repo_as("eve").create_fork()
    propose(fork, "mine", "train.py", "LR = 0.9\n")
    pull = world.repo_as("eve").create_pull(base="main", head="eve:mine", title="From outside")
    pull.edit(state="closed")
    newer = propose(fork, "more", "train.py", "LR = 0.95\n", base="mine")
    fork.get_git_ref("heads/mine").edit(newer)
    pull.edit(state="open")
    assert (pull.head.sha, pull.mergeable) == (newer, True)
    assert world.repo.get_git_ref("pull/1/head").object.sha == newer


def test_a_server_that_ends_at_once_waits_for_who_stops_it() -> None:
    server = Server(lambda _environ, _start: [], bind("127.0.0.1", 0))
    pull = server._server.pull_trigger

    def slowly() -> None:
        pull()
        time.sleep(0.3)  # the loop has seen by now that it is to end
        pull()

    server._server.pull_trigger = slowly
    server.start()
    server.stop()
    assert not server.is_alive()
