"""Git plumbing: what a bare repository tells about its commits."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.hub.git.bare import NO_SHA, BareRepository, Change, RefMovedError, Signature
from bot.hub.git.command import GitError
from bot.hub.git.diff import FileDiff, diff_commits

SIGNATURE = Signature(name="Ada", email="ada@example.org", time_s=1_700_000_000)


@pytest.fixture
def git(tmp_path: Path) -> BareRepository:
    return BareRepository.create(tmp_path / "x.git", default_branch="main")


def commit(git: BareRepository, files: dict[str, tuple[str, bytes]], *parents: str) -> str:
    changes = [Change(path=path, mode=mode, sha=git.write_blob(text)) for path, (mode, text) in files.items()]
    tree = git.write_tree(changes)
    return git.write_commit(tree=tree, parents=parents, message="m", author=SIGNATURE, committer=SIGNATURE)


def by_path(git: BareRepository, base: str, head: str) -> dict[str, FileDiff]:
    return {file.path: file for file in diff_commits(git, base, head)}


def test_a_diff_knows_every_kind_of_change(git: BareRepository) -> None:
    long = b"".join(b"line %d\n" % i for i in range(20))
    old = commit(
        git,
        {
            "kept": ("100644", b"x\n"),
            "edited": ("100644", b"a\nb\n"),
            "gone": ("100644", b"x\ny\n"),
            "name": ("100644", long),
            "kind": ("100644", b"target\n"),
            "mode": ("100644", b"#!/bin/sh\n"),
            "bin": ("100644", b"\0\1"),
            "with space": ("100644", b"1\n"),
        },
    )
    new = commit(
        git,
        {
            "kept": ("100644", b"x\n"),
            "edited": ("100644", b"a\n-- c\n+++ d\n"),
            "new\tname": ("100644", long + b"more\n"),
            "kind": ("120000", b"target"),
            "mode": ("100755", b"#!/bin/sh\n"),
            "bin": ("100644", b"\0\2"),
            "with space": ("100644", b"2"),
            "added": ("100644", b"diff --git a/x b/x\n"),
        },
        old,
    )
    files = by_path(git, old, new)
    assert {path: file.status for path, file in files.items()} == {
        "added": "added", "bin": "modified", "edited": "modified", "gone": "removed", "kind": "changed",
        "mode": "modified", "new\tname": "renamed", "with space": "modified",
    }  # fmt: skip
    assert files["edited"].patch == "@@ -1,2 +1,3 @@\n a\n-b\n+-- c\n++++ d"
    assert (files["edited"].additions, files["edited"].deletions) == (2, 1)
    assert files["added"].patch == "@@ -0,0 +1 @@\n+diff --git a/x b/x"
    assert (files["gone"].sha, files["gone"].deletions) == (None, 2)
    assert files["new\tname"].previous_path == "name"
    assert (files["bin"].patch, files["mode"].patch) == (None, None)
    assert "+target" in (files["kind"].patch or "")
    assert files["with space"].patch == "@@ -1 +1 @@\n-1\n+2\n\\ No newline at end of file"


TEXT = st.text(alphabet=" abc+-@\\\t\n", max_size=30).map(str.encode)
TREES = st.dictionaries(st.sampled_from(["a", "b/c", "b/d", "+e", "ü"]), TEXT, max_size=4)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> BareRepository:
    return BareRepository.create(tmp_path_factory.mktemp("git") / "x.git", default_branch="main")


@settings(max_examples=20, deadline=None)
@given(old=TREES, new=TREES)
def test_every_diff_counts_its_own_lines(shared: BareRepository, old: dict[str, bytes], new: dict[str, bytes]) -> None:
    git = shared
    shas = [commit(git, {path: ("100644", text) for path, text in files.items()}) for files in (old, new)]
    for file in diff_commits(git, shas[0], shas[1]):
        lines = (file.patch or "").split("\n")
        assert file.additions == sum(line.startswith("+") for line in lines)
        assert file.deletions == sum(line.startswith("-") for line in lines)


def test_a_ref_moves_only_from_where_it_was_seen(git: BareRepository) -> None:
    one, two = (commit(git, {"a": ("100644", text)}) for text in (b"1", b"2"))
    git.update_ref("refs/heads/main", new=one, old=NO_SHA)
    for wrong in (two, NO_SHA):
        with pytest.raises(RefMovedError):
            git.update_ref("refs/heads/main", new=two, old=wrong)
    git.update_ref("refs/heads/main", new=two, old=one)
    assert git.branch("main") == two
    git.update_ref("refs/heads/main", new=NO_SHA, old=two)
    assert git.branch("main") is None


def test_conflicts_are_seen_without_a_work_tree(git: BareRepository) -> None:
    base = commit(git, {"a": ("100644", b"1\n"), "b": ("100644", b"1\n")})
    ours = commit(git, {"a": ("100644", b"2\n"), "b": ("100644", b"1\n")}, base)
    theirs = commit(git, {"a": ("100644", b"1\n"), "b": ("100644", b"2\n")}, base)
    clash = commit(git, {"a": ("100644", b"3\n"), "b": ("100644", b"1\n")}, base)
    merged = git.merge_tree(ours, theirs)
    assert merged is not None
    assert {entry.path: git.blob(entry.sha) for entry in git.tree(merged)} == {"a": b"2\n", "b": b"2\n"}
    assert git.merge_tree(ours, clash) is None
    assert git.merge_base(ours, theirs) == base
    assert git.ahead_behind(ours, theirs) == (1, 1)


def test_a_name_cannot_forge_a_commits_header(git: BareRepository) -> None:
    evil = Signature(name="x> 0 +0000\nparent " + "0" * 40, email="<a\n@b>", time_s=5)
    sha = git.write_commit(tree=git.write_tree([]), parents=[], message="m\n", author=evil, committer=evil)
    found = git.commit(sha)
    assert found.parents == ()
    assert (found.author.email, found.author.time_s, found.message) == ("a@b", 5, "m\n")


def test_options_and_garbage_are_no_revisions(git: BareRepository) -> None:
    for name in ("--all", "-h", "", "no such", "..", "@{-1}", "main^{tree}", "\n"):
        assert git.resolve(name) is None
    with pytest.raises(GitError):
        git.commit("HEAD")
