"""The hub through the eyes of PyGithub, as the bot uses it."""

import datetime
import threading
import time

import github
import jwt
import pytest
import requests
from github import InputGitAuthor, InputGitTreeElement
from hub_world import World, propose, refuses

# Identity


def test_the_app_acts_as_its_bot_user(world: World) -> None:
    comment = world.repo.create_issue("Idea").create_comment("Hello")
    assert (comment.user.login, comment.user.type) == ("nightlab[bot]", "Bot")
    assert world.integration.get_app().slug == "nightlab"
    installation = world.integration.get_repo_installation("ada", "model")
    assert installation.id == world.app.installation_id
    assert [repo.full_name for repo in installation.get_repos()] == ["ada/model"]


def test_an_installation_token_lives_an_hour_and_may_be_narrowed(world: World) -> None:
    token = world.integration.get_access_token(world.app.installation_id, permissions={"contents": "read"})
    left = token.expires_at - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(minutes=59) < left <= datetime.timedelta(hours=1)
    client = github.Github(base_url=world.hub.api_url, auth=github.Auth.Token(token.token), retry=None)
    repo = client.get_repo("ada/model")
    assert refuses(403, lambda: repo.create_issue("No")) == "Resource not accessible by integration"
    tip = repo.get_git_ref("heads/main")
    refuses(403, lambda: repo.create_git_ref("refs/heads/x", tip.object.sha))
    refuses(422, lambda: world.integration.get_access_token(world.app.installation_id, {"administration": "write"}))


@pytest.mark.parametrize(
    ("claims", "word"),
    [
        ({"exp": -10, "iat": -700}, "Expiration"),
        ({"exp": 3600, "iat": -60}, "too far"),
        ({"exp": 300}, "could not be decoded"),
        ({"exp": 300, "iat": 3600}, "could not be decoded"),
    ],
)
def test_app_tokens_are_checked(world: World, claims: dict[str, int], word: str) -> None:
    now_s = int(time.time()) - 70 if claims["exp"] < 0 else int(time.time())
    payload = {"iss": str(world.app.app_id)} | {name: now_s + offset for name, offset in claims.items()}
    token = jwt.encode(payload, world.app.private_key_pem, algorithm="RS256")
    answer = requests.get(f"{world.hub.api_url}/app", headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert answer.status_code == 401
    assert word in answer.json()["message"]


def test_an_app_token_signed_by_somebody_else_is_refused(world: World) -> None:
    other = world.hub.create_app("eve", "Other", account="eve")
    now_s = int(time.time())
    claims = {"iss": str(world.app.app_id), "iat": now_s - 60, "exp": now_s + 300}
    for token in (
        jwt.encode(claims, other.private_key_pem, algorithm="RS256"),
        jwt.encode(claims, "secret" * 8, algorithm="HS256"),
        jwt.encode(claims, "", algorithm="none"),
    ):
        answer = requests.get(f"{world.hub.api_url}/app", headers={"Authorization": f"Bearer {token}"}, timeout=10)
        assert answer.status_code == 401


def test_who_may_do_what(world: World) -> None:
    world.hub.create_repo("ada", "secret", private=True)
    assert refuses(404, lambda: world.client("eve").get_repo("ada/secret")) == "Not Found"
    assert world.client("ada").get_repo("ada/secret").private
    eve = world.repo_as("eve")
    tip = eve.get_git_ref("heads/main").object.sha
    refuses(403, lambda: eve.create_git_ref("refs/heads/evil", tip))
    issue = eve.create_issue("Mine", labels=["urgent"])
    assert issue.labels == []  # a reader's labels are dropped
    refuses(403, lambda: issue.add_to_labels("urgent"))
    refuses(403, lambda: eve.create_check_run("fake", tip))
    nobody = github.Github(base_url=world.hub.api_url, retry=None)
    assert nobody.get_repo("ada/model").name == "model"
    refuses(401, lambda: nobody.get_repo("ada/model").create_issue("No"))
    wrong = github.Github(base_url=world.hub.api_url, auth=github.Auth.Token("nonsense"), retry=None)
    assert refuses(401, lambda: wrong.get_repo("ada/model")) == "Bad credentials"
    permissions = {login: world.repo.get_collaborator_permission(login) for login in ("ada", "grace", "eve")}
    assert permissions == {"ada": "admin", "grace": "write", "eve": "read"}
    refuses(403, lambda: world.repo_as("grace").create_check_run("fake", tip))  # only apps make check runs


def test_an_app_sees_only_where_it_is_installed(world: World) -> None:
    world.hub.create_repo("eve", "hidden", private=True)
    world.hub.create_repo("eve", "shown")
    client = world.integration.get_github_for_installation(world.app.installation_id)
    refuses(404, lambda: client.get_repo("eve/hidden"))
    refuses(403, lambda: client.get_repo("eve/shown").create_issue("No"))


# Git data


def test_a_commit_keeps_its_dates_and_message(world: World) -> None:
    repo = world.repo
    parent = repo.get_git_commit(repo.get_git_ref("heads/main").object.sha)
    tree = repo.create_git_tree([InputGitTreeElement("train.py", "100644", "blob", content="LR = 1\n")], parent.tree)
    author = InputGitAuthor("Night", "night@example.org", "2026-01-02T03:04:05+02:00")
    message = "Title\n\nBody\n\nExperiment: 7\n"
    commit = repo.create_git_commit(message, tree, [parent], author=author, committer=author)
    again = repo.create_git_commit(message, tree, [parent], author=author, committer=author)
    assert commit.sha == again.sha  # the same commit made twice is one: the bot's key to idempotence
    assert commit.message == message
    assert commit.author.date == datetime.datetime(2026, 1, 2, 1, 4, 5, tzinfo=datetime.UTC)
    assert repo.get_git_tree(tree.sha, recursive=True).tree[-1].path == "train.py"
    assert {entry.path for entry in repo.get_git_tree(tree.sha).tree} == {"README.md", "src", "train.py"}


def test_trees_add_replace_and_remove(world: World) -> None:
    repo = world.repo
    base = repo.get_git_commit(repo.get_git_ref("heads/main").object.sha).tree
    removed = InputGitTreeElement("src/data.py", "100644", "blob", sha=None)
    script = InputGitTreeElement("a/b/run.sh", "100755", "blob", content="#!/bin/sh\n")
    tree = repo.create_git_tree([removed, script], base)
    entries = {entry.path: entry.mode for entry in repo.get_git_tree(tree.sha, recursive=True).tree}
    assert entries == {
        "README.md": "100644",
        "a": "040000",
        "a/b": "040000",
        "a/b/run.sh": "100755",
        "train.py": "100644",
    }
    moved = repo.create_git_tree([InputGitTreeElement("copy", "040000", "tree", sha=base.sha)])
    assert "copy/src/data.py" in {entry.path for entry in repo.get_git_tree(moved.sha, recursive=True).tree}
    for bad in ("../up", ".git/config", "a//b", "/abs", "a/", ""):
        element = InputGitTreeElement(bad, "100644", "blob", content="x")
        refuses(422, lambda element=element: repo.create_git_tree([element], base))
    missing = InputGitTreeElement("x", "100644", "blob", sha="0" * 39 + "1")
    refuses(422, lambda: repo.create_git_tree([missing], base))


def test_refs_move_forward_only_unless_forced(world: World) -> None:
    repo = world.repo
    first = propose(repo, "exp/1", "train.py", "LR = 1\n")
    second = propose(repo, "exp/2", "train.py", "LR = 2\n")
    ref = repo.get_git_ref("heads/exp/1")
    assert refuses(422, lambda: ref.edit(second)) == "Update is not a fast forward"
    ref.edit(second, force=True)
    assert repo.get_git_ref("heads/exp/1").update() is False  # its own address answers, unchanged: 304
    assert repo.get_branch("exp/1").commit.sha == second
    assert refuses(422, lambda: repo.create_git_ref("refs/heads/exp/1", first)) == "Reference already exists"
    refuses(422, lambda: repo.create_git_ref("refs/heads/new", "0" * 39 + "1"))
    for name in ("refs/heads/a..b", "refs/heads/", "heads/x/y", "refs/pull/1/head", "refs/heads/-x.lock"):
        refuses(422, lambda name=name: repo.create_git_ref(name, first))
    ref.delete()
    refuses(404, lambda: repo.get_git_ref("heads/exp/1"))
    refuses(422, ref.delete)
    assert [one.ref for one in repo.get_git_matching_refs("heads/exp")] == ["refs/heads/exp/2"]


def test_of_many_who_move_a_ref_at_once_one_wins(world: World) -> None:
    repo = world.repo
    shas = [propose(repo, f"exp/{i}", "train.py", f"LR = {i}\n") for i in range(8)]
    outcomes: list[int] = []

    def move(sha: str) -> None:
        answer = requests.patch(
            f"{world.hub.api_url}/repos/ada/model/git/refs/heads/main",
            json={"sha": sha},
            headers={"Authorization": f"token {world.tokens['ada']}"},
            timeout=30,
        )
        outcomes.append(answer.status_code)

    threads = [threading.Thread(target=move, args=(sha,)) for sha in shas]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [200] + [422] * 7


# Contents and history


def test_files_are_read_and_written_at_a_revision(world: World) -> None:
    repo = world.repo
    made = repo.create_file("notes/a.md", "Note", "one\n")
    assert repo.get_contents("notes/a.md").decoded_content == b"one\n"
    repo.update_file("notes/a.md", "Change", "two\n", made["content"].sha)
    refuses(409, lambda: repo.update_file("notes/a.md", "Stale", "three\n", made["content"].sha))
    assert repo.get_contents("notes/a.md", ref=made["commit"].sha).decoded_content == b"one\n"
    assert [entry.path for entry in repo.get_contents("notes")] == ["notes/a.md"]
    assert [c.commit.message for c in repo.get_commits(path="notes/a.md")] == ["Change", "Note"]
    refuses(404, lambda: repo.get_contents("notes/b.md"))
    refuses(404, lambda: repo.get_contents("README.md", ref="no-such-branch"))
    comparison = repo.compare(made["commit"].sha, "main")
    assert (comparison.status, comparison.ahead_by, comparison.files[0].status) == ("ahead", 1, "modified")


def test_pages_and_etags(world: World) -> None:
    repo = world.repo
    issue = repo.create_issue("Long")
    for i in range(7):
        issue.create_comment(f"comment {i}")
    client = world.client("ada")
    client.per_page = 3
    comments = client.get_repo("ada/model").get_issue(issue.number).get_comments()
    assert [comment.body for comment in comments] == [f"comment {i}" for i in range(7)]
    assert next(iter(comments.reversed)).body == "comment 6"
    url = f"{world.hub.api_url}/repos/ada/model/issues/{issue.number}"
    headers = {"Authorization": f"token {world.tokens['ada']}"}
    first = requests.get(url, headers=headers, timeout=10)
    again = requests.get(url, headers=headers | {"If-None-Match": first.headers["ETag"]}, timeout=10)
    assert (again.status_code, again.content) == (304, b"")
    issue.create_comment("more")
    third = requests.get(url, headers=headers | {"If-None-Match": first.headers["ETag"]}, timeout=10)
    assert third.status_code == 200
    assert int(third.headers["X-RateLimit-Remaining"]) < int(first.headers["X-RateLimit-Remaining"])
    assert client.get_rate_limit().rate.limit == 15_000


# Conversations


def test_comments_labels_and_reactions(world: World) -> None:
    issue = world.repo_as("eve").create_issue("Try a larger batch", body="Please.")
    comment = world.repo_as("grace").get_issue(issue.number).create_comment("/experiment try it")
    mine = world.repo.get_issue(issue.number)
    assert mine.get_comment(comment.id).create_reaction("eyes").user.login == "nightlab[bot]"
    mine.get_comment(comment.id).create_reaction("eyes")
    assert [r.content for r in mine.get_comment(comment.id).get_reactions()] == ["eyes"]
    mine.add_to_labels("experiment", "new")
    mine.remove_from_labels("new")
    assert [label.name for label in mine.get_labels()] == ["experiment"]
    refuses(403, lambda: world.repo_as("eve").get_issue(issue.number).get_comment(comment.id).edit("changed"))
    own = mine.create_comment("working")
    own.edit("done")
    assert [c.body for c in mine.get_comments()] == ["/experiment try it", "done"]
    own.delete()
    mine.edit(state="closed", state_reason="not_planned")
    assert [i.number for i in world.repo.get_issues(state="closed")] == [issue.number]
    assert world.repo.get_issue(issue.number).state_reason == "not_planned"
    assert refuses(422, lambda: mine.create_comment("x" * 65_537)) == "Validation Failed"
    assert mine.create_comment("x" * 65_536)


def test_check_runs_and_statuses(world: World) -> None:
    repo = world.repo
    sha = propose(repo, "exp/1", "train.py", "LR = 1\n")
    run = repo.create_check_run(
        "nightlab", sha, status="in_progress", external_id="e1", output={"title": "Run 1", "summary": "s"}
    )
    run.edit(output={"title": "Run 2", "summary": "s", "text": "t"})
    assert (run.status, run.output.title, run.conclusion) == ("in_progress", "Run 2", None)
    run.edit(conclusion="success", output={"title": "Merged", "summary": "yes"})
    assert run.status == "completed"
    assert run.completed_at is not None
    found = repo.get_commit("exp/1").get_check_runs(check_name="nightlab")
    assert [(r.id, r.conclusion, r.app.slug) for r in found] == [(run.id, "success", "nightlab")]
    assert repo.get_check_run(run.id).external_id == "e1"
    refuses(422, lambda: run.edit(output={"title": "t", "summary": "x" * 65_536}))
    refuses(422, lambda: repo.create_check_run("x", sha, status="completed"))
    refuses(422, lambda: repo.create_check_run("x", "0" * 40))
    commit = repo.get_commit(sha)
    commit.create_status("pending", context="ci")
    commit.create_status("success", context="ci")
    combined = commit.get_combined_status()
    assert (combined.state, combined.total_count) == ("success", 1)


def test_bodies_that_do_not_fit_say_which_field(world: World) -> None:
    url = f"{world.hub.api_url}/repos/ada/model/issues"
    headers = {"Authorization": f"token {world.tokens['ada']}"}
    answer = requests.post(url, data="{not json", headers=headers, timeout=10)
    assert (answer.status_code, answer.json()["message"]) == (400, "Problems parsing JSON")
    answer = requests.post(url, json={"body": "no title"}, headers=headers, timeout=10)
    assert answer.status_code == 422
    assert answer.json()["errors"][0] | {"message": ""} == {
        "resource": "NewIssue", "field": "title", "code": "missing_field", "message": "",
    }  # fmt: skip
