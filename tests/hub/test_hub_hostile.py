"""What somebody with a pen could do to the hub: names, dates and sizes that nobody sane would choose."""

import gzip
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import github
import pytest
import requests
from github import GithubException, InputGitTreeElement
from hub_world import Git, World, propose, refuses

from bot.hub import Hub
from bot.hub.git.command import command
from bot.hub.pages.markdown import render_markdown
from bot.hub.pages.mermaid import parse_xychart
from bot.hub.wsgi import make_app


def restarted(world: World, tmp_path: Path) -> Hub:
    """The hub on the same folder and address, as after a kill."""
    world.hub.stop()
    return Hub(tmp_path / "hub", port=int(world.hub.base_url.rsplit(":")[-1]))


def narrowed(world: World, repo: str, **permissions: str) -> Callable[..., int]:
    """Sends what a token of the app that may do only this sends; returns the status."""
    token = world.integration.get_access_token(world.app.installation_id, permissions=permissions).token

    def send(method: str, path: str, **body: str) -> int:
        url = f"{world.hub.api_url}/repos/ada/{repo}{path}"
        headers = {"Authorization": f"token {token}"}
        return requests.request(method, url, headers=headers, json=body or None, timeout=10).status_code

    return send


# What is pushed


@pytest.mark.parametrize("name", ["tab\tin it", "line\u2028separator", "caf\u00e9#1?x%20", 'quo"te'])
def test_any_file_and_branch_name_is_followed(world: World, git: Git, tmp_path: Path, name: str) -> None:
    url = world.hub.base_url.replace("://", f"://x:{world.tokens['grace']}@") + "/ada/model.git"
    git("clone", "-q", url, "work")
    work = tmp_path / "work"
    (work / name).write_text("x\n")
    git("add", ".", cwd=work)
    git("commit", "-qm", "Odd name", cwd=work)
    branch = name.replace("\t", "").replace(" ", "").replace("?", "")
    git("push", "-q", "origin", f"HEAD:refs/heads/{branch}", cwd=work)
    tip = git("rev-parse", "HEAD", cwd=work)
    ref = next(ref for ref in world.repo.get_git_matching_refs("heads/") if ref.ref != "refs/heads/main")
    assert (ref.ref, ref.object.sha) == (f"refs/heads/{branch}", tip)
    ref.update()
    assert ref.object.sha == tip  # its own address leads to it
    pull = world.repo.create_pull(base="main", head=branch, title="Odd")
    assert [file.filename for file in pull.get_files()] == [name]
    page = requests.get(f"{world.hub.base_url}/ada/model/pull/1", timeout=10)
    assert page.status_code == 200
    with restarted(world, tmp_path):
        ref.delete()
        pull.update()
        assert pull.state == "closed"


def test_a_branch_that_is_not_text_is_not_seen(world: World, tmp_path: Path) -> None:
    path = world.hub.git_path("ada/model")
    tip = world.repo.get_branch("main").commit.sha
    subprocess.run([*command(path, "update-ref"), b"refs/heads/\xff", tip], check=True)  # type: ignore[list-item]
    assert [branch.name for branch in world.repo.get_branches()] == ["main"]
    with restarted(world, tmp_path):
        propose(world.repo, "exp/1", "train.py", "LR = 1\n")


def pushed_commit(world: World, header: str) -> str:
    """A commit whose bytes somebody chose, on a branch, as a push would leave it."""
    path = world.hub.git_path("ada/model")
    text = header.format(tree=world.repo.get_branch("main").commit.commit.tree.sha)
    write = command(path, "hash-object", "-t", "commit", "-w", "--stdin")
    sha = subprocess.run(write, input=text.encode(), stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    subprocess.run(command(path, "update-ref", "refs/heads/odd", sha), check=True)
    return sha


@pytest.mark.parametrize("time_s", [253_402_300_800, 10**15])
def test_a_commit_from_the_far_future_stops_nothing(world: World, tmp_path: Path, time_s: int) -> None:
    person = f"Eve <eve@example.org> {time_s} +0000"
    sha = pushed_commit(world, f"tree {{tree}}\nauthor {person}\ncommitter {person}\n\nLater\n")
    with restarted(world, tmp_path):
        assert world.repo.get_git_commit(sha).author.date.year == 9999
        assert requests.get(f"{world.hub.base_url}/ada/model/commit/{sha}", timeout=10).status_code == 200
        propose(world.repo, "exp/1", "train.py", "LR = 1\n")


def test_a_name_cannot_forge_a_parent(world: World, tmp_path: Path) -> None:
    person = f"Eve\u2028parent {'1' * 40}\u2028 <eve@example.org> 1 +0000"
    sha = pushed_commit(world, f"tree {{tree}}\nauthor {person}\ncommitter {person}\n\nx\n")
    with restarted(world, tmp_path):
        assert world.repo.get_git_commit(sha).parents == []


def test_a_file_name_that_is_not_text_is_shown_somehow(world: World, tmp_path: Path) -> None:
    path = world.hub.git_path("ada/model")
    blob = world.repo.get_git_tree("main").tree[0].sha
    tree = subprocess.run(
        command(path, "mktree", "-z"),
        input=b"100644 blob " + blob.encode() + b"\tnot \xff text\0",
        stdout=subprocess.PIPE,
        check=True,
    ).stdout.decode()
    sha = pushed_commit(world, f"tree {tree}author E <e@e> 1 +0000\ncommitter E <e@e> 1 +0000\n\nx\n")
    with restarted(world, tmp_path):
        for page in ("/ada/model/tree/odd", f"/ada/model/commit/{sha}"):
            assert requests.get(world.hub.base_url + page, timeout=10).status_code == 200


def test_revisions_are_not_branches(world: World) -> None:
    propose(world.repo, "exp/1", "train.py", "LR = 1\n")
    for head, base in (("exp/1~0", "main"), ("exp/1", "main@{0}"), ("exp/1", "main^{commit}")):
        refuses(422, lambda head=head, base=base: world.repo.create_pull(base=base, head=head, title="x"))


def test_a_tree_holds_what_its_modes_say(world: World) -> None:
    repo = world.repo
    base = repo.get_git_tree("main")
    readme = next(entry.sha for entry in base.tree if entry.path == "README.md")
    for element in (
        InputGitTreeElement("x", "100644", "blob", sha=base.sha),
        InputGitTreeElement("x", "040000", "tree", sha=readme),
        InputGitTreeElement(f"x\x00160000 {base.sha}\ty", "100644", "blob", sha=readme),
    ):
        refuses(422, lambda element=element: repo.create_git_tree([element], base))
    headers = {"Authorization": f"token {world.tokens['ada']}"}
    for path in ("contents/a%00b", "commits/a%00b", "issues/99999999999999999999", "labels/a%00b"):
        answer = requests.get(f"{world.hub.api_url}/repos/ada/model/{path}", headers=headers, timeout=10)
        assert answer.status_code in (404, 422), path


# Who may do what


def test_a_former_name_tells_nothing_of_a_private_repository(world: World) -> None:
    world.hub.create_repo("ada", "secret", private=True)
    world.client("ada").get_repo("ada/secret").edit(name="hidden")
    url = f"{world.hub.api_url}/repos/ada/secret"
    assert requests.get(url, allow_redirects=False, timeout=10).status_code == 404
    token = {"Authorization": f"token {world.tokens['ada']}"}
    assert requests.get(url, headers=token, allow_redirects=False, timeout=10).status_code == 301


def test_a_narrow_token_reaches_nothing_else_in_a_private_repository(world: World) -> None:
    world.hub.create_repo("ada", "secret", private=True)
    full = world.integration.get_github_for_installation(world.app.installation_id).get_repo("ada/secret")
    full.create_file("a", "Write", "x")
    comment = full.create_issue("Idea", labels=["x"]).create_comment("psst")
    narrow = narrowed(world, "secret", checks="write")
    of_comment = f"/issues/comments/{comment.id}"
    for path in ("/issues", "/issues/1", of_comment, f"{of_comment}/reactions", "/labels", "/labels/x", "/branches",
                 "/branches/main", "/pulls", "/commits", "/git/ref/heads/main", "/contents/a"):  # fmt: skip
        assert narrow("GET", path) == 403, path
    assert narrow("POST", "/forks") == 403


def test_an_app_that_may_only_read_changes_nothing_of_its_own(world: World) -> None:
    propose(world.repo, "exp/1", "train.py", "LR = 1\n")
    pull = world.repo.create_pull(base="main", head="exp/1", title="Mine")
    comment = world.repo.create_issue("Mine").create_comment("mine")
    reaction = comment.create_reaction("eyes")
    narrow = narrowed(world, "model", issues="read", pull_requests="read")
    of_comment = f"/issues/comments/{comment.id}"
    assert narrow("PATCH", "/issues/2", title="x") == 403
    assert narrow("PATCH", f"/pulls/{pull.number}", title="x") == 403
    assert narrow("PATCH", of_comment, body="x") == 403
    assert narrow("DELETE", of_comment) == 403
    assert narrow("DELETE", f"{of_comment}/reactions/{reaction.id}") == 403
    token = world.integration.get_access_token(world.app.installation_id, permissions={"pull_requests": "read"}).token
    client = github.Github(base_url=world.hub.api_url, auth=github.Auth.Token(token), retry=None)
    with pytest.raises(GithubException) as error:
        client.get_repo("ada/model").get_pull(pull.number).convert_to_draft()
    assert error.value.data["errors"][0]["type"] == "FORBIDDEN"


def test_only_who_may_write_approves_or_blocks(world: World) -> None:
    world.hub.protect("ada/model", "main", required_approvals=1)
    propose(world.repo, "exp/1", "train.py", "LR = 1\n")
    pull = world.repo.create_pull(base="main", head="exp/1", title="Raise it")
    world.repo_as("eve").get_pull(1).create_review(event="APPROVE")
    assert "At least 1 approving review" in refuses(405, pull.merge)
    world.repo_as("grace").get_pull(1).create_review(event="APPROVE")
    world.repo_as("eve").get_pull(1).create_review(body="no", event="REQUEST_CHANGES")
    assert pull.merge().merged
    refuses(422, lambda: world.repo_as("eve").get_pull(1).create_review(body="x" * 65_537))


def test_a_pull_requests_own_refs_cannot_be_moved(world: World) -> None:
    tip = propose(world.repo, "exp/1", "train.py", "LR = 1\n")
    world.repo.create_pull(base="main", head="exp/1", title="Mine")
    ref = world.repo.get_git_ref("pull/1/head")
    refuses(422, lambda: ref.edit(world.repo.get_branch("main").commit.sha, force=True))
    assert world.repo.get_git_ref("pull/1/head").object.sha == tip


def test_a_fork_needs_a_free_name(world: World) -> None:
    world.hub.create_repo("eve", "model")
    refuses(422, lambda: world.repo_as("eve").create_fork())


# Sizes and times


def test_a_chart_or_a_list_takes_no_time(world: World) -> None:
    started_s = time.monotonic()
    assert parse_xychart("xychart-beta\nx-axis" + " " * 1_000 + "z\nline [1, 2]") is not None
    for row in ("x-axis " + "1" * 1_000 + "z", "title" + " " * 20_000 + '"',
                "y-axis 1" + " " * 1_000 + "--> [", "line [" + "1" * 20_000 + "x]"):  # fmt: skip
        assert parse_xychart(f"xychart-beta\n{row}\nline [1, 2]") is None
    render_markdown("- [ ] x\n" * 8_000)
    assert time.monotonic() - started_s < 3


def test_times_and_colours_are_what_they_say(world: World) -> None:
    sha = propose(world.repo, "exp/1", "train.py", "LR = 1\n")
    world.repo.create_pull(base="main", head="exp/1", title="Mine")
    headers = {"Authorization": f"token {world.repo.requester.auth.token}"}
    url = f"{world.hub.api_url}/repos/ada/model"
    for field in ("started_at", "completed_at"):
        run = {"name": "nightlab", "head_sha": sha, field: "soon"}
        assert requests.post(f"{url}/check-runs", json=run, headers=headers, timeout=10).status_code == 422
    run = {"name": "nightlab", "head_sha": sha, "started_at": "2026-01-01T01:00:00+01:00"}
    made = requests.post(f"{url}/check-runs", json=run, headers=headers, timeout=10)
    assert made.json()["started_at"] == "2026-01-01T00:00:00Z"
    label = {"name": "x", "color": "red"}
    assert requests.post(f"{url}/labels", json=label, headers=headers, timeout=10).status_code == 422
    label = {"name": "two\nlines", "color": "ff0000"}
    assert requests.post(f"{url}/labels", json=label, headers=headers, timeout=10).status_code == 201


def test_requests_have_a_size(world: World) -> None:
    bomb = gzip.compress(bytes(64 << 20))
    answer = requests.post(
        f"{world.hub.base_url}/ada/model.git/git-upload-pack", data=bomb,
        headers={"Content-Encoding": "gzip", "Content-Type": "application/x-git-upload-pack-request"}, timeout=30,
    )  # fmt: skip
    assert answer.status_code == 413
    url, headers = f"{world.hub.api_url}/repos/ada/model/issues", {"Authorization": f"token {world.tokens['eve']}"}
    answer = requests.post(url, data=bytes(64 << 20), headers=headers, timeout=30)
    assert answer.status_code == 413


def test_a_page_under_another_name_has_no_visitor(tmp_path: Path) -> None:
    """A name that somebody else's DNS leads to this machine must not show what the visitor may see."""
    with Hub(tmp_path / "visited", visitor="ada") as hub:
        hub.create_user("ada")
        hub.create_repo("ada", "secret", private=True)
        page = f"{hub.base_url}/ada/secret"
        assert requests.get(page, timeout=10).status_code == 200
        elsewhere = {"Host": "evil.example"}
        assert requests.get(page, headers=elsewhere, timeout=10).status_code == 404
        assert "ada/secret" not in requests.get(hub.base_url, headers=elsewhere, timeout=10).text
        form = {"manifest": '{"url": "https://a.example", "redirect_url": "https://b.example; script-src *"}'}
        answer = requests.post(f"{hub.base_url}/settings/apps/new", data=form, timeout=10)
        assert answer.status_code == 422
        assert "script-src" not in answer.headers["Content-Security-Policy"]


OPEN = {
    ("GET", "/api/v3/repos/<owner>/<name>"),
    ("GET", "/api/v3/repos/<owner>/<name>/collaborators/<login>/permission"),
    ("GET", "/api/v3/repos/<owner>/<name>/installation"),
}  # what an app may ask about every repository that it is installed on


def test_every_call_asks_whether_the_caller_may(world: World) -> None:
    """Of a private repository a stranger hears nothing, and a token without permissions next to nothing."""
    world.hub.create_repo("ada", "secret", private=True)
    app = make_app(world.hub.forge)
    none = world.integration.get_access_token(world.app.installation_id, permissions={"statuses": "read"}).token
    places = {"owner": "ada", "name": "secret", "login": "ada", "number": 1, "comment_id": 1, "run_id": 1,
              "review_id": 1, "reaction_id": 1, "sha": "0" * 40, "service": "git-upload-pack"}  # fmt: skip
    tried = 0
    for rule in app.url_map.iter_rules():
        if not {"owner", "name"} <= rule.arguments:
            continue
        path = rule.build({name: places.get(name, "main") for name in rule.arguments})[1]  # type: ignore[index]
        for method in (rule.methods or set()) & {"GET", "POST", "PUT", "PATCH", "DELETE"}:
            for token in ("", world.tokens["eve"]):
                headers = {"Authorization": f"token {token}"} if token else {}
                answer = app.test_client().open(path, method=method, json={}, headers=headers)
                assert answer.status_code in (401, 404), (method, path, answer.status_code)
            if rule.rule.startswith("/api/v3") and (method, rule.rule) not in OPEN and "status" not in rule.rule:
                headers = {"Authorization": f"token {none}"}
                answer = app.test_client().open(path, method=method, json={}, headers=headers)
                assert answer.status_code == 403, (method, path, answer.status_code)
            tried += 1
    assert tried > 50
