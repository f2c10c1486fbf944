"""Pull requests: opening, following, merging, and every refusal the bot must cope with."""

from dataclasses import replace
from pathlib import Path

import pytest
from github.GithubException import GithubException
from github.PullRequest import PullRequest
from hub_world import Git, World, propose

from bot.hub import Hub
from bot.hub.forge import Actor
from bot.hub.git.refs import record_pushes
from bot.hub.records import Pull


def open_pull(world: World, branch: str = "exp/1", text: str = "LR = 0.7\nSTEPS = 100\n") -> PullRequest:
    propose(world.repo, branch, "train.py", text)
    return world.repo.create_pull(base="main", head=branch, title="Raise it", body="Because.")


def status_of(error: pytest.ExceptionInfo[GithubException]) -> tuple[int, str]:
    return error.value.status, str(error.value.data["message"])


def test_a_pull_request_shows_what_changed(world: World) -> None:
    pull = open_pull(world)
    assert (pull.number, pull.state, pull.mergeable, pull.mergeable_state) == (1, "open", True, "clean")
    assert (pull.additions, pull.deletions, pull.changed_files, pull.commits) == (1, 1, 1, 1)
    assert [file.patch for file in pull.get_files()] == ["@@ -1,2 +1,2 @@\n-LR = 0.6\n+LR = 0.7\n STEPS = 100"]
    assert [commit.sha for commit in pull.get_commits()] == [pull.head.sha]
    repo = world.repo
    assert [p.number for p in repo.get_pulls(state="open", head="ada:exp/1", base="main")] == [1]
    assert list(repo.get_pulls(head="ada:exp/2")) == []
    for head, base in (("exp/1", "main"), ("no-such", "main"), ("exp/1", "no-such"), ("main", "main")):
        with pytest.raises(GithubException) as error:
            repo.create_pull(base=base, head=head, title="Again")
        assert error.value.status == 422
    assert repo.get_issues().totalCount == 1  # a refused pull request leaves no number behind


def test_a_draft_is_made_ready_before_it_is_merged(world: World) -> None:
    propose(world.repo, "exp/1", "train.py", "LR = 0.7\n")
    pull = world.repo.create_pull(base="main", head="exp/1", title="Raise it", body="Because.", draft=True)
    assert (pull.draft, pull.mergeable_state) == (True, "draft")
    with pytest.raises(GithubException) as error:
        pull.merge()
    assert status_of(error) == (405, "Pull Request is still a draft")
    with pytest.raises(GithubException) as error:
        world.repo_as("eve").get_pull(1).mark_ready_for_review()
    assert error.value.data["errors"][0]["type"] == "FORBIDDEN"
    for _ in range(2):
        assert pull.mark_ready_for_review()["pullRequest"] == {"isDraft": False}
    assert world.repo.get_pull(1).mergeable_state == "clean"
    assert world.repo_as("grace").get_pull(1).convert_to_draft()["pullRequest"] == {"isDraft": True}
    pull.mark_ready_for_review()
    assert pull.merge().merged


@pytest.mark.parametrize("method", ["merge", "squash"])
def test_merging_composes_exactly_the_commit_asked_for(world: World, method: str) -> None:
    pull = open_pull(world)
    before = world.repo.get_branch("main").commit.sha
    done = pull.merge(
        sha=pull.head.sha, merge_method=method, commit_title="Raise it (#1)", commit_message="Why.\n\nGain: 0.01"
    )
    commit = world.repo.get_git_commit(world.repo.get_branch("main").commit.sha)
    assert commit.sha == done.sha
    assert commit.message == "Raise it (#1)\n\nWhy.\n\nGain: 0.01"
    assert [p.sha for p in commit.parents] == ([before, pull.head.sha] if method == "merge" else [before])
    assert commit.tree.sha == world.repo.get_git_commit(pull.head.sha).tree.sha
    pull.update()
    assert (pull.state, pull.merged, pull.merge_commit_sha) == ("closed", True, done.sha)
    assert pull.merged_by.login == "nightlab[bot]"
    assert pull.is_merged()
    with pytest.raises(GithubException) as error:
        pull.merge()
    assert status_of(error) == (405, "Pull Request is not mergeable")


def test_a_moved_head_is_409_and_a_conflict_405(world: World) -> None:
    pull = open_pull(world)
    seen = pull.head.sha
    tip = propose(world.repo, "exp/next", "train.py", "LR = 0.8\n", base="exp/1")
    world.repo.get_git_ref("heads/exp/1").edit(tip)
    with pytest.raises(GithubException) as error:
        pull.merge(sha=seen)
    assert status_of(error) == (409, "Head branch was modified. Review and try the merge again.")
    world.repo.get_git_ref("heads/main").edit(propose(world.repo, "other", "train.py", "LR = 0.1\n"))
    pull.update()
    assert (pull.head.sha, pull.mergeable, pull.mergeable_state) == (tip, False, "dirty")
    with pytest.raises(GithubException) as error:
        pull.merge(sha=tip)
    assert error.value.status == 405


def test_a_base_that_moves_during_the_merge_is_405(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody writes to the repository on disk between the check and the swap."""
    pull = open_pull(world)
    other = propose(world.repo, "other", "README.md", "# Other\n")
    git = world.hub.forge.git(world.hub.forge.repo("ada", "model"))
    write_commit = type(git).write_commit

    def meddle(self, **fields):  # type: ignore[no-untyped-def]
        git.update_ref("refs/heads/main", new=other, old=git.branch("main"))
        return write_commit(self, **fields)

    monkeypatch.setattr(type(git), "write_commit", meddle)
    with pytest.raises(GithubException) as error:
        pull.merge(sha=pull.head.sha)
    assert status_of(error) == (405, "Base branch was modified. Review and try the merge again.")
    assert world.repo.get_branch("main").commit.sha == other


def test_updating_a_branch_merges_the_base_into_it(world: World) -> None:
    pull = open_pull(world)
    old = pull.head.sha
    base = propose(world.repo, "other", "README.md", "# Other\n")
    world.repo.get_git_ref("heads/main").edit(base)
    assert not pull.update_branch(expected_head_sha="0" * 40)
    assert pull.update_branch(expected_head_sha=old)
    pull.update()
    assert [p.sha for p in world.repo.get_git_commit(pull.head.sha).parents] == [old, base]
    assert [file.filename for file in pull.get_files()] == ["train.py"]
    assert not pull.update_branch(expected_head_sha=pull.head.sha)  # there is nothing new on the base


def test_a_head_that_reaches_the_base_by_itself_counts_as_merged(world: World) -> None:
    pull = open_pull(world)
    world.repo_as("grace").get_git_ref("heads/main").edit(pull.head.sha)
    pull.update()
    assert (pull.merged, pull.merge_commit_sha, pull.merged_by.login) == (True, pull.head.sha, "grace")


def test_closing_deleting_and_reopening(world: World) -> None:
    pull = open_pull(world)
    pull.edit(title="Better title", body="Better body", state="closed")
    assert (pull.state, pull.merged, pull.title) == ("closed", False, "Better title")
    pull.edit(state="open")
    world.repo.get_git_ref("heads/exp/1").delete()
    pull.update()
    assert pull.state == "closed"
    with pytest.raises(GithubException) as error:
        pull.edit(state="open")
    assert error.value.status == 422
    assert world.repo.get_git_commit(pull.head.sha).message == "Change train.py"  # the commits stay


def test_protected_branches(world: World) -> None:
    world.hub.protect("ada/model", "main", require_pull=True, require_up_to_date=True, required_checks=["ci"])
    pull = open_pull(world)
    repo = world.repo
    with pytest.raises(GithubException) as error:
        repo.get_git_ref("heads/main").edit(pull.head.sha)
    assert status_of(error) == (422, "Changes must be made through a pull request.")
    with pytest.raises(GithubException) as error:
        repo.create_file("x", "Write", "x")
    assert error.value.status == 409
    assert pull.mergeable_state == "blocked"
    with pytest.raises(GithubException) as error:
        pull.merge()
    assert status_of(error) == (405, 'Required status check "ci" is expected.')
    repo.get_commit(pull.head.sha).create_status("success", context="ci")
    world.hub.protect("ada/model", "main", require_up_to_date=True)
    repo.get_git_ref("heads/main").edit(propose(repo, "other", "README.md", "# Other\n"))
    pull.update()
    assert pull.mergeable_state == "behind"
    with pytest.raises(GithubException) as error:
        pull.merge()
    assert status_of(error) == (405, "The head branch is not up to date with the base branch.")
    assert repo.get_branch("main").protected


def test_a_fork_can_propose(world: World) -> None:
    fork = world.repo_as("eve").create_fork()
    assert (fork.full_name, fork.fork, fork.parent.full_name) == ("eve/model", True, "ada/model")
    tip = propose(fork, "mine", "train.py", "LR = 0.9\n")
    pull = world.repo_as("eve").create_pull(base="main", head="eve:mine", title="From outside")
    assert (pull.head.repo.full_name, pull.head.label, pull.head.sha) == ("eve/model", "eve:mine", tip)
    fork.get_git_ref("heads/mine").edit(propose(fork, "more", "train.py", "LR = 0.95\n", base="mine"))
    pull.update()
    assert world.repo.get_git_ref(f"pull/{pull.number}/head").object.sha == pull.head.sha != tip
    world.repo.get_pull(pull.number).merge(sha=pull.head.sha)
    assert world.repo.get_contents("train.py").decoded_content == b"LR = 0.95\n"


def test_a_hub_that_died_right_after_moving_the_base_still_knows_who_merged(world: World, tmp_path: Path) -> None:
    """What `merge` does, up to the instant after the ref moved, then a restart."""
    pull = open_pull(world)
    hub, forge = world.hub, world.hub.forge
    repo = forge.repo("ada", "model")
    assert repo is not None
    git = forge.git(repo)
    record = forge.store.one(Pull, "")
    assert record is not None
    signature = forge.signature(forge.owner(repo), 1)
    tree = git.commit(pull.head.sha).tree
    base = git.branch("main")
    assert base is not None
    sha = git.write_commit(tree=tree, parents=[base], message="Squashed", author=signature, committer=signature)
    grace = forge.user("grace")
    assert grace is not None
    forge.store.save(replace(record, attempt_sha=sha, attempt_by_id=grace.id))
    git.update_ref("refs/heads/main", new=sha, old=base)
    hub.stop()
    with Hub(tmp_path / "hub", port=int(hub.base_url.rsplit(":")[-1])):
        pull.update()
        assert (pull.merged, pull.merge_commit_sha, pull.merged_by.login) == (True, sha, "grace")


def test_git_clone_fetch_and_push(world: World, git: Git, tmp_path: Path) -> None:
    url = f"{world.hub.base_url}/ada/model.git"
    git("clone", "-q", url, "work")
    work = tmp_path / "work"
    git("switch", "-qc", "exp/1", cwd=work)
    (work / "train.py").write_text("LR = 2\n")
    git("commit", "-qam", "Try two", cwd=work)
    with pytest.raises(RuntimeError):
        git("push", "-q", url, "exp/1", cwd=work)  # nobody may push
    eve = url.replace("://", f"://x:{world.tokens['eve']}@")
    with pytest.raises(RuntimeError):
        git("push", "-q", eve, "exp/1", cwd=work)
    grace = url.replace("://", f"://x-access-token:{world.tokens['grace']}@")
    git("push", "-q", grace, "exp/1", cwd=work)
    pull = world.repo.create_pull(base="main", head="exp/1", title="Pushed")
    assert pull.head.sha == git("rev-parse", "HEAD", cwd=work)
    (work / "big.bin").write_bytes(bytes(range(256)) * 8192)  # beyond git's buffer: chunked and gzipped transfer
    git("add", ".", cwd=work)
    git("commit", "-qm", "More", cwd=work)
    git("push", "-q", grace, "exp/1", cwd=work)
    pull.update()
    assert pull.head.sha == git("rev-parse", "HEAD", cwd=work)
    git("push", "-q", grace, "exp/1:main", cwd=work)
    pull.update()
    assert (pull.merged, pull.merged_by.login) == (True, "grace")
    git("fetch", "-q", url, pull.head.sha, cwd=work)  # any commit by its sha
    git("fetch", "-q", url, "refs/pull/1/head", cwd=work)
    with pytest.raises(RuntimeError):
        git("push", "-q", grace, "HEAD:refs/pull/1/head", cwd=work)
    world.hub.protect("ada/model", "main", require_pull=True)
    git("commit", "-q", "--allow-empty", "-m", "Direct", cwd=work)
    with pytest.raises(RuntimeError, match="hidden ref"):
        git("push", "-q", grace, "HEAD:main", cwd=work)


def test_private_repositories_are_cloned_with_a_token_only(world: World, git: Git) -> None:
    world.hub.create_repo("ada", "secret", private=True)
    world.repo_as("ada")
    url = f"{world.hub.base_url}/ada/secret.git"
    for outsider in (url, url.replace("://", f"://x:{world.tokens['eve']}@"), url.replace("://", "://x:wrong@")):
        with pytest.raises(RuntimeError):
            git("clone", "-q", outsider, "out")
    git("clone", "-q", url.replace("://", f"://x:{world.tokens['ada']}@"), "in")


def test_recording_the_same_refs_twice_changes_nothing(world: World) -> None:
    pull = open_pull(world)
    forge = world.hub.forge
    repo = forge.repo("ada", "model")
    assert repo is not None
    record_pushes(forge, Actor(user=forge.owner(repo)), repo)
    assert world.repo.get_pull(pull.number).updated_at == pull.updated_at
