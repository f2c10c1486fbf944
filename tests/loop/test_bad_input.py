"""Whatever people, candidates and strangers send: one clear sentence where they look, and a tidy forge."""

import hashlib
import hmac
import http.client
import json
from urllib.parse import urlsplit

import github
import pytest
import requests
from living_lab import SECRET, Lab, Target, eventually
from quick_task import BETTER, CONTRACT, TRAIN, WORSE


def post(lab: Lab, body: bytes, *, event: str = "issue_comment", signature: str | None = None) -> tuple[int, str]:
    """(status, answer) of a webhook; signed rightly unless a signature is given, unsigned when it is empty."""
    if signature is None:
        signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-GitHub-Event": event, "X-GitHub-Delivery": "d"}
    if signature:
        headers["X-Hub-Signature-256"] = signature
    connection = http.client.HTTPConnection(urlsplit(lab.bot.url).netloc, timeout=30)
    try:
        connection.request("POST", "/webhook", body, headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def shown(reply: str) -> str:
    """Markdown as a reader sees it, where a backtick that means nothing has a backslash before it."""
    return reply.replace("\\`", "`")


@pytest.mark.parametrize("signature", ["", "sha256=" + "0" * 64, "sha1=abc", "sha256=", "é"])
def test_a_body_that_is_not_signed_is_refused(lab: Lab, signature: str) -> None:
    status, said = post(lab, b"{}", signature=signature.encode().decode("latin-1"))
    assert status == 401
    assert said == "the signature does not match: is the webhook secret the same on both sides?\n"


@pytest.mark.parametrize(
    ("event", "body"),
    [
        ("issue_comment", b"{not json"),
        ("issue_comment", b""),
        ("issue_comment", b"\xff\xfe"),
        ("issue_comment", b"[]"),
        ("issue_comment", b'{"action": "created"}'),
        ("issue_comment", b"[" * 100_000),
        ("push", b'{"ref": "refs/heads/main", "after": "; rm -rf /"}'),
        ("star", b'{"action": "created"}'),
        ("", b"{}"),
    ],
)
def test_a_signed_body_that_means_nothing_is_accepted_and_forgotten(lab: Lab, event: str, body: bytes) -> None:
    assert post(lab, body, event=event) == (202, "nothing to do\n")


def test_a_body_larger_than_a_forge_sends_is_refused_unread(lab: Lab) -> None:
    status, _ = post(lab, b" " * (25 * 2**20 + 1))
    assert status == 413


def test_a_repository_that_is_not_ours_does_no_harm(lab: Lab) -> None:
    payload = {
        "action": "created",
        "comment": {"id": 1, "body": "/experiment LR 0.7", "user": {"login": "ada", "type": "User"}},
        "issue": {"id": 1, "number": 1, "state": "open", "body": "", "user": {"login": "ada", "type": "User"}},
        "repository": {"id": 1, "full_name": "nobody/nothing", "default_branch": "main"},
    }
    assert post(lab, json.dumps(payload).encode())[0] == 202
    eventually(lambda: lab.bot.is_done_in("nobody/nothing"), "the end of it")
    assert lab.bot.alive


def test_what_is_no_command_of_a_person_is_ignored(lab: Lab) -> None:
    target = lab.repository()
    for text in (
        f"Nothing here.\n\n    /experiment {BETTER}",
        f"```\n/experiment {BETTER}\n```",
        f"> /experiment {BETTER}\n\nI would not.",
        f"`/experiment {BETTER}`",
        f"<!-- /experiment {BETTER} -->",
        "/usr/bin/python is where it is",
    ):
        target.ask(text, number=None if not target.asked else 1)
    target.ask("Just words.", number=1).edit(f"/experiment {BETTER}")
    as_app(lab, target).get_issue(1).create_comment(f"/experiment {BETTER}")
    lab.settle(target)
    assert list(target.ada.get_pulls(state="all")) == []
    assert [c.user.login for c in target.ada.get_issue(1).get_comments()] == ["ada"] * 7 + ["nightlab[bot]"]
    assert not target.has("nightlab-ledger")


def as_app(lab: Lab, target: Target) -> github.Repository.Repository:
    environment = lab.bot.environment
    auth = github.Auth.AppAuth(int(environment["NIGHTLAB_APP_ID"]), (lab.bot.folder / "key.pem").read_text())
    integration = github.GithubIntegration(auth=auth, base_url=lab.hub.api_url)
    installation = integration.get_repo_installation(*target.name.split("/"))
    client = github.Github(auth=auth.get_installation_auth(installation.id), base_url=lab.hub.api_url)
    return client.get_repo(target.name)


def test_who_may_not_write_is_told_so(lab: Lab) -> None:
    target = lab.repository()
    number = target.ada.create_issue(title="An idea").number
    comment = target.ask(f"/experiment {BETTER}", login="eve", number=number)
    (reply,) = target.replies(number)
    assert "`eve` cannot start or stop experiments here: it takes write access to this repository" in reply
    lab.settle(target)
    assert target.reactions(comment) == ["-1"]
    assert list(target.ada.get_pulls(state="all")) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/experimnt LR 0.7", "did you mean `/experiment`?"),
        ("/campaign begin", "write `/campaign start`, `/campaign stop` or `/campaign status`"),
        ("/hold", "`/hold` is for comments on pull requests: write it there"),
        ("/campaign stop", "No campaign is running here."),
        ("/help", "| command | what it does |"),
        ("/experiment make it magically better", "The tuner changes one constant by name and number"),
        ("/experiment LR 0.5", "LR is 0.5 already"),
    ],
)
def test_a_command_that_cannot_be_obeyed_is_answered_in_one_sentence(
    lab: Lab, one_target: Target, text: str, said: str
) -> None:
    number = one_target.ada.create_issue(title="An idea").number
    one_target.ask(text, number=number)
    (reply,) = one_target.replies(number)
    assert said in shown(reply)
    lab.settle(one_target)
    assert len(one_target.replies(number)) == 1
    assert list(one_target.ada.get_pulls(state="all")) == []


@pytest.fixture(scope="session")
def one_target(shared_lab: Lab) -> Target:
    """For commands that change nothing."""
    return shared_lab.repository()


def test_a_command_on_a_closed_issue_is_refused(lab: Lab, one_target: Target) -> None:
    issue = one_target.ada.create_issue(title="An idea")
    issue.edit(state="closed")
    comment = one_target.ask(f"/experiment {BETTER}", number=issue.number)
    (reply,) = one_target.replies(issue.number)
    assert "This thread is closed, so nothing was started." in reply
    lab.settle(one_target)
    assert one_target.reactions(comment) == ["confused"]


def test_a_command_on_a_pull_request_that_is_none_of_ours(lab: Lab) -> None:
    target = lab.repository()
    target.ada.create_git_ref("refs/heads/mine", target.git("rev-parse", "main"))
    target.push("mine", "notes.md", "Mine.\n")
    number = target.ada.create_pull(base="main", head="mine", title="Mine", body="").number
    target.ask("/close", number=number)
    (reply,) = target.replies(number)
    assert "This pull request is not an experiment of mine" in reply
    assert target.ada.get_pull(number).state == "open"


@pytest.mark.parametrize("command", [f"/experiment {BETTER}", "/campaign start n=1"])
def test_without_a_contract_the_person_is_told_to_add_one(lab: Lab, command: str) -> None:
    target = lab.repository(contract=None)
    target.ask(command)
    (reply,) = target.replies(1)
    assert ".github/nightlab.yml" in reply
    assert "docs/contract.md shows the shortest" in reply
    lab.settle(target)
    assert len(target.replies(1)) == 1
    assert list(target.ada.get_pulls(state="all")) == []


@pytest.mark.parametrize("command", [f"/experiment {BETTER}", "/campaign start n=1"])
def test_a_broken_contract_is_answered_with_line_and_suggestion(lab: Lab, command: str) -> None:
    target = lab.repository(contract=CONTRACT.replace("budget:", "buget:"))
    target.ask(command)
    (reply,) = target.replies(1)
    assert "line 6" in reply
    assert "did you mean `budget`?" in shown(reply)
    lab.settle(target)
    assert list(target.ada.get_pulls(state="all")) == []


def test_a_push_that_breaks_the_contract_gets_a_failed_check(lab: Lab) -> None:
    target = lab.repository()
    sha = target.push("main", ".github/nightlab.yml", CONTRACT.replace("budget:", "buget:"))
    (check,) = eventually(lambda: list(target.ada.get_commit(sha).get_check_runs()), "the check")
    lab.settle(target)
    check = target.ada.get_check_run(check.id)
    assert (check.status, check.conclusion, check.output.title) == ("completed", "failure", "Broken contract")
    assert "line 6" in check.output.summary
    mended = target.push("main", ".github/nightlab.yml", CONTRACT)
    lab.settle(target)
    assert target.checks(mended) == []


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ("def main(:\n", "The tuner cannot read train.py: it is not valid Python"),
        ("import os\n", "The tuner found no constant to change in train.py"),
    ],
)
def test_a_train_py_that_cannot_be_tuned_is_said_to_be(lab: Lab, train: str, said: str) -> None:
    target = lab.repository(train=train)
    row = target.row(target.experiment(BETTER))
    assert row["state"] == "abandoned"
    (reply,) = target.replies(1)
    assert "No experiment came of this" in reply
    assert said in reply
    assert target.settled()["branches"] == ["main", "nightlab-ledger"]


SABOTAGES = [
    ("SABOTAGE 2", "the model's logits are not finite"),
    ("SABOTAGE 3", "train.py was not done after 5 s"),
    ("SABOTAGE 4", "train.py exited without leaving anything in $OUT_DIR"),
    ("SABOTAGE 5", "the model failed: "),
]


@pytest.mark.parametrize(
    ("idea", "said"), [pytest.param(*case, marks=[pytest.mark.slow] if i else []) for i, case in enumerate(SABOTAGES)]
)
def test_a_candidate_that_leaves_no_number_is_closed_with_the_reason(lab: Lab, idea: str, said: str) -> None:
    target = lab.repository(contract=CONTRACT.replace("timeout_s: 30", "timeout_s: 5"))
    identity = target.experiment(idea)
    row = target.row(identity)
    pull = target.pull()
    assert row["state"] == "crashed"
    assert said in row["reason"]
    assert pull.state == "closed"
    assert [label.name for label in pull.labels] == ["nightlab: crashed"]
    assert target.checks(pull.head.sha) == [(identity, "completed", "failure")]
    assert target.settled()["branches"] == ["main", "nightlab-ledger"]
    assert lab.bot.offspring("train.py") == []


@pytest.mark.slow
def test_a_main_that_gives_no_number_is_not_the_candidates_fault(lab: Lab) -> None:
    target = lab.repository(train=TRAIN.replace("SABOTAGE = 0", "SABOTAGE = 1"))
    row = target.row(target.experiment("SABOTAGE 0"))
    assert row["state"] == "abandoned"
    assert row["reason"].startswith("main itself did not give a number: train.py failed: ZeroDivisionError")


@pytest.mark.slow
def test_runs_that_nobody_takes_are_not_waited_for_in_silence(lab: Lab) -> None:
    target = lab.repository(contract=CONTRACT + "hardware: h100\n")
    identity = target.experiment(WORSE)
    said = "No runner takes runs of hardware class h100"
    number = target.pull().number
    eventually(lambda: said in "".join(target.replies(number)), "a word on the pull request")
    assert said in requests.get(lab.bot.url, timeout=30).text
    target.pull().edit(state="closed")
    assert target.row(identity)["state"] == "abandoned"
