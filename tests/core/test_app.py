"""The App's manifest, and the addresses it is taken to."""

import pytest

from bot.core import app


@pytest.mark.parametrize(
    ("api_url", "web_url"),
    [
        ("https://api.github.com", "https://github.com"),
        ("https://github.example.org/api/v3", "https://github.example.org"),
        ("https://api.octo.ghe.com", "https://octo.ghe.com"),
        ("http://127.0.0.1:8800/api/v3", "http://127.0.0.1:8800"),
    ],
)
def test_where_people_find_the_forge(api_url: str, web_url: str) -> None:
    assert app.web_url(api_url) == web_url
    assert app.registration_url(api_url, organization="", state="s") == f"{web_url}/settings/apps/new?state=s"


def test_an_organizations_app_is_made_on_its_own_page() -> None:
    url = app.registration_url("https://api.github.com", organization="octo", state="s")
    assert url == "https://github.com/organizations/octo/settings/apps/new?state=s"


def test_what_an_installation_lacks() -> None:
    granted = dict(app.PERMISSIONS) | {"checks": "read"}
    del granted["contents"]
    assert app.missing_permissions(granted) == ["write checks", "write contents"]
    assert app.missing_permissions(dict(app.PERMISSIONS) | {"workflows": "write"}) == []
    assert app.missing_events(["push"]) == [event for event in app.EVENTS if event != "push"]


def test_the_manifest_asks_for_no_event_that_forges_refuse() -> None:
    """Events about the installation come by themselves, and asking for them makes the manifest invalid."""
    made = app.manifest(name="nightlab", own_url="http://localhost:1", webhook_url="https://n.example.org/webhook")
    assert not [event for event in made["default_events"] if event.startswith("installation")]
    assert "workflows" not in made["default_permissions"]
