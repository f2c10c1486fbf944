"""The first start over real HTTP: `nightlab serve` as a process, a hub as the forge, a browser's part in between."""

import json
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import requests
from flask.testing import FlaskClient
from living_process import Process, eventually
from quick_task import write
from werkzeug.test import TestResponse

from bot.hub import Fault, Hub
from bot.hub.records import App, Delivery
from bot.setup import credentials
from bot.setup.first_start import Setup
from bot.setup.settings import Settings
from bot.web.setup import make_setup_app


class _Form(HTMLParser):
    """The last form of a page: where it goes and what is in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action, self.fields = "", dict[str, str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action, self.fields = given["action"], {}
        elif tag == "input":
            self.fields[given["name"]] = given.get("value", "")


class FirstStart(Process):
    """`nightlab serve` before it has an App."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        super().__init__("serve", folder, {"NIGHTLAB_API_URL": hub.api_url, "NIGHTLAB_PORT": "0"})
        self.hub, self.state = hub, folder / "state"

    def link(self) -> str:
        return self.says(r"http://\S+/setup/\?token=\S+", "the link")[0]

    def listens(self) -> str:
        return self.says(r"listens on (\S+);", "the bot's start")[1]


@pytest.fixture
def first(tmp_path: Path) -> Iterator[FirstStart]:
    with Hub(tmp_path / "hub", visitor="ada") as hub:
        hub.create_user("ada")
        hub.create_repo("ada", "ready", source=write(tmp_path / "ready"))
        hub.create_repo("ada", "bare", source=write(tmp_path / "bare", contract=None))
        first = FirstStart(hub, tmp_path / "bot")
        first.start()
        yield first
        first.kill()


def submit(browser: requests.Session, page: requests.Response, **filled: str) -> requests.Response:
    """Send the page's form as a browser would, with its origin."""
    form = _Form(page.text)
    origin = "/".join(page.url.split("/")[:3])
    url = form.action if form.action.startswith("http") else origin + form.action
    return browser.post(url, data=form.fields | filled, headers={"Origin": origin}, timeout=30)


def make_app(browser: requests.Session, link: str) -> requests.Response:
    manifest = submit(browser, browser.get(link, timeout=30))
    return submit(browser, submit(browser, manifest), name="night lab")


def test_from_nothing_to_an_installed_bot(first: FirstStart) -> None:
    browser = requests.Session()
    installation = make_app(browser, first.link())
    assert "exists, and the bot is running" in installation.text
    stored = first.state / credentials.FILE
    assert stored.stat().st_mode & 0o777 == 0o600
    assert not (first.state / credentials.CODE_FILE).exists()
    kept = json.loads(stored.read_text())
    assert kept["private_key"] not in first.said

    url = first.listens()  # without a restart
    assert browser.get(f"{url}/healthz", timeout=30).json()["ok"] is True

    app = first.hub.forge.store.all(App)[0]
    assert app.webhook_url == f"{url}/webhook"
    assert json.loads(app.permissions_json)["checks"] == "write"
    page = browser.get(f"{first.hub.base_url}/apps/night-lab/installations/new", timeout=30)
    installed = submit(browser, page)
    assert installed.url.startswith(f"{url}/setup/?installation_id=")
    assert "<td>ada/ready</td><td>nothing: it is ready</td>" in installed.text
    assert "nightlab init ada/bare" in installed.text

    def heard() -> list[Delivery] | None:
        return first.hub.forge.store.all(Delivery, "WHERE event = 'installation' AND status_code = 202")

    eventually(heard, "a webhook that the bot accepts by its new secret")
    first.kill()
    first.start()
    first.listens()  # and again, from what was stored


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub(tmp_path / "hub", visitor="ada") as hub:
        hub.create_user("ada")
        yield hub


@pytest.fixture
def setup(hub: Hub, tmp_path: Path) -> Setup:
    return Setup(Settings(state=tmp_path / "state", api_url=hub.api_url))


def described(setup: Setup, owner: FlaskClient, **filled: str) -> TestResponse:
    owner.get(setup.path)
    form = {"address": "https://nightlab.example.org", "organization": "", "name": "night lab"}
    return owner.post("/setup/", data=form | filled)


def test_strangers_see_nothing(setup: Setup) -> None:
    app = make_setup_app(setup)
    owner, stranger = app.test_client(), app.test_client()
    link = setup.path
    assert stranger.get("/setup/").status_code == 403
    assert stranger.get("/setup/?token=guess").status_code == 403
    assert owner.get(link, follow_redirects=True).status_code == 200
    assert stranger.get(link).status_code == 403  # it works once
    assert stranger.get("/setup/made?code=abc&state=x").status_code == 403
    assert stranger.post("/webhook").status_code == 503
    assert stranger.get("/healthz").status_code == 503


@pytest.mark.parametrize("state", ["", "x"])
def test_an_answer_that_nobody_waits_for_is_refused(setup: Setup, state: str) -> None:
    owner = make_setup_app(setup).test_client()
    described(setup, owner)
    answer = owner.get(f"/setup/made?code=abc&state={state}")
    assert "belongs to no set-up that was begun here" in answer.text
    assert not list(setup.settings.state.glob("*"))


def test_behind_a_proxy_that_speaks_https_for_us(setup: Setup) -> None:
    setup.settings = replace(setup.settings, public_url="https://nightlab.example.org")
    owner = make_setup_app(setup).test_client()
    answer = owner.get(setup.path, base_url="http://nightlab.example.org")
    assert "Secure" in answer.headers["Set-Cookie"]
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    owner.set_cookie("nightlab-setup", setup._session, domain="nightlab.example.org", path="/setup")
    form = {"address": "https://hooks.example.org", "organization": "", "name": "night lab"}
    page = owner.post("/setup/", data=form, base_url="http://nightlab.example.org")
    assert "https://nightlab.example.org/setup/made" in page.text


@pytest.mark.parametrize(
    ("filled", "said"),
    [
        ({"address": "nightlab.example.org"}, "write the address at which the forge finds this bot"),
        ({"address": "javascript:alert(1)"}, "write the address at which the forge finds this bot"),
        ({"organization": "a/b"}, "is not the name of an organization"),
        ({"name": "x" * 35}, "must have 1 to 34 characters"),
    ],
)
def test_mistakes_in_the_form_are_answered(setup: Setup, filled: dict[str, str], said: str) -> None:
    answer = described(setup, make_setup_app(setup).test_client(), **filled)
    assert (answer.status_code, said in answer.text) == (422, True)


def test_an_organizations_app_is_made_on_the_organizations_page(setup: Setup, hub: Hub) -> None:
    page = described(setup, make_setup_app(setup).test_client(), organization="octo-lab")
    assert _Form(page.text).action.startswith(f"{hub.base_url}/organizations/octo-lab/settings/apps/new?state=")
    assert f"form-action 'self' {hub.base_url}" in page.headers["Content-Security-Policy"]


def test_a_forge_that_is_down_for_a_moment(setup: Setup, hub: Hub) -> None:
    owner = make_setup_app(setup).test_client()
    page = described(setup, owner)
    browser = requests.Session()
    asked = _Form(page.text)
    confirm = browser.post(asked.action, data=asked.fields, timeout=30)
    form = _Form(confirm.text)
    origin = {"Origin": hub.base_url}
    made = browser.post(hub.base_url + form.action, data=form.fields, headers=origin, allow_redirects=False, timeout=30)
    hub.faults.add(Fault(method="POST", path_regex="conversions", status=502))
    answer = owner.get(made.headers["Location"].removeprefix("http://localhost"))
    assert "the forge answered 502" in answer.text
    assert "exists, and the bot is running" in owner.get("/setup/").text


@pytest.mark.slow
@pytest.mark.parametrize("taken", [False, True], ids=["the code is unused", "the code is used up"])
def test_a_kill_during_the_conversion_is_not_silent(first: FirstStart, taken: bool) -> None:
    """The next start uses the code, or says that the key is lost."""
    status = None if taken else 502
    first.hub.faults.add(Fault(method="POST", path_regex="conversions", status=status, action=first.kill))
    with pytest.raises(requests.ConnectionError):
        make_app(requests.Session(), first.link())
    first.hub.faults.clear()
    assert (first.state / credentials.CODE_FILE).stat().st_mode & 0o777 == 0o600
    first.start()
    if taken:
        page = requests.get(first.link(), timeout=30)
        assert "nobody has its key: delete it on" in page.text
        assert not (first.state / credentials.CODE_FILE).exists()
    else:
        first.listens()
