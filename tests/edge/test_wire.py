"""What a forge may answer at any instant, over real HTTP."""

import re
import time
from collections.abc import Iterator
from types import SimpleNamespace

import github.Auth
import pytest

from bot.edge.github import access as access_module
from bot.edge.github import wire as wire_module
from bot.edge.github.access import Access
from bot.edge.github.allowance import LimitedError
from bot.edge.github.wire import ClosedError
from bot.hub import Fault, Hub, InstalledApp
from bot.hub.access import Token
from bot.hub.repositories import change_repo

MODEL = "/repos/ada/model"


@pytest.fixture(scope="module")
def forge_and_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hub, InstalledApp]]:
    folder = tmp_path_factory.mktemp("wire")
    (folder / "source").mkdir()
    (folder / "source" / "train.py").write_text("LR = 0.6\n")
    with Hub(folder / "hub") as hub:
        hub.create_user("ada")
        hub.create_repo("ada", "model", source=folder / "source")
        yield hub, hub.create_app("ada", "Nightlab", account="ada")


@pytest.fixture
def hub(forge_and_app: tuple[Hub, InstalledApp]) -> Hub:
    forge_and_app[0].faults.clear()
    return forge_and_app[0]


@pytest.fixture
def access(hub: Hub, forge_and_app: tuple[Hub, InstalledApp]) -> Access:
    app = forge_and_app[1]
    return Access(api_url=hub.api_url, app_id=app.app_id, private_key=app.private_key_pem, token="", write_spacing_s=0)


def counter(hub: Hub, path: str, *, method: str = ".*") -> Fault:
    """A fault that does nothing but count."""
    return hub.faults.add(Fault(method=method, path_regex=path, times=1_000_000))


def test_a_token_that_ends_in_mid_flight_is_renewed_once(hub: Hub, access: Access) -> None:
    forge = access.forge("ada/model")
    issued = counter(hub, "/access_tokens$")
    for token in hub.forge.store.all(Token, "WHERE installation_id IS NOT NULL"):
        hub.forge.store.remove(token)
    assert forge.tip("main") is not None
    assert issued.hits == 1


def test_a_refusal_that_new_credentials_do_not_mend_is_final(hub: Hub, access: Access) -> None:
    forge = access.forge("ada/model")
    asked = hub.faults.add(Fault(path_regex=f"{MODEL}/git/ref", status=401, message="Bad credentials", times=99))
    with pytest.raises(ClosedError, match="does not accept the credentials of installation"):
        forge.tip("main")
    assert asked.hits == 2


@pytest.mark.parametrize(
    ("path", "status", "message", "said"),
    [
        ("/access_tokens$", 403, "This installation has been suspended", "is suspended"),
        ("/access_tokens$", 404, "Not Found", "install the App again"),
        ("/installation$", 404, "Not Found", "ada/model is not open to Nightlab"),
        (f"{MODEL}$", 404, "Not Found", "ada/model is not open to Nightlab"),
        (f"{MODEL}$", 403, "Repository was archived so is read-only.", "unarchive it"),
    ],
)
def test_a_door_that_is_closed_is_one_sentence(
    hub: Hub, access: Access, path: str, status: int, message: str, said: str
) -> None:
    asked = hub.faults.add(Fault(path_regex=path, status=status, message=message, times=99))
    with pytest.raises(ClosedError, match=said):
        access.forge("ada/model")
    assert asked.hits == 1


def test_a_door_that_opens_again_is_open(hub: Hub, access: Access) -> None:
    hub.faults.add(Fault(path_regex="/access_tokens$", status=403, message="This installation has been suspended"))
    with pytest.raises(ClosedError):
        access.forge("ada/model")
    assert access.forge("ada/model").tip("main") is not None


def test_a_limit_is_kept_without_asking_again(hub: Hub, access: Access) -> None:
    forge = access.forge("ada/model")
    hub.faults.add_secondary_rate_limit(path_regex=MODEL, retry_after_s=300)
    with pytest.raises(LimitedError):
        forge.tip("main")
    asked = counter(hub, MODEL)
    with pytest.raises(LimitedError):
        forge.comment(1, marker="", body="")
    assert asked.hits == 0
    app, installation = access.budgets
    assert app.pause_s == 0
    assert 295 < installation.pause_s < 331


def test_watching_costs_nothing_while_nothing_changes(hub: Hub, access: Access) -> None:
    forge = access.forge("ada/model")
    first = forge.tip("main")
    before = access.budgets[1]
    commits = counter(hub, "/git/commits/")
    assert [forge.tip("main") for _ in range(5)] == [first] * 5
    after = access.budgets[1]
    assert commits.hits == 0, "a commit never changes, so it need not be asked for"
    assert after.unchanged - before.unchanged == after.requests - before.requests == 5


def test_what_changed_is_seen_at_once(access: Access) -> None:
    forge = access.forge("ada/model")
    first = forge.tip("main")
    assert first is not None
    made = forge.commit_files(parent_sha=first.sha, files={"a": "b"}, message="m", when_utc="2026-01-02T03:04:05Z")
    forge.repo.get_git_ref("heads/main").edit(made.sha)
    assert forge.tip("main") == made


@pytest.mark.parametrize("skew_s", [-400, 400])
def test_a_clock_that_is_wrong_is_noticed_and_allowed_for(
    access: Access, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, skew_s: int
) -> None:
    wrong = SimpleNamespace(time=lambda: time.time() + skew_s, monotonic=time.monotonic)
    for module in (github.Auth, wire_module, access_module):
        monkeypatch.setattr(module, "time", wrong)
    assert access.forge("ada/model").tip("main") is not None
    noticed = re.search(r"differs from the forge's by (-?\d+) s", caplog.text)
    assert noticed is not None
    assert abs(int(noticed[1]) + skew_s) <= 2


def test_an_empty_repository_has_no_branch_and_no_file(hub: Hub, access: Access) -> None:
    """GitHub says so in words of its own."""
    forge = access.forge("ada/model")
    hub.faults.add(Fault(path_regex=f"{MODEL}/git/ref/", status=409, message="Git Repository is empty."))
    hub.faults.add(Fault(path_regex=f"{MODEL}/contents/", status=404, message="This repository is empty."))
    assert forge.tip("main") is None
    assert forge.read("train.py", sha="HEAD") is None


def test_a_redirect_keeps_verb_body_and_query(hub: Hub, access: Access) -> None:
    forge = access.forge("ada/model")
    issue = forge.repo.create_issue("One")
    for number in range(3):
        issue.create_comment(str(number))
    repo = hub.forge.repo("ada", "model")
    assert repo is not None
    renamed = change_repo(hub.forge, repo, name="other", description=None, default_branch=None)
    try:
        comments = forge.wire.requestJsonAndCheck("GET", f"{MODEL}/issues/1/comments", {"per_page": 1, "page": 2})[1]
        assert [comment["body"] for comment in comments] == ["1"]
        forge.comment(1, marker="<!-- x -->", body="<!-- x --> written after the renaming")
        assert access.forge("ada/other").repo.get_issue(1).comments == 4
    finally:
        change_repo(hub.forge, renamed, name="model", description=None, default_branch=None)
