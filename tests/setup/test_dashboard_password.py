"""Who may read the dashboard and the metrics; test_operations.py reads them with the password, of a bot that works."""

import hashlib
import hmac

import pytest
from flask.testing import FlaskClient

from bot.web.app import make_app

PASSWORD = "pässword: of the lab"


def client(password: str) -> FlaskClient:
    return make_app(webhook_secret="w", forge_url="https://forge.example", password=password).test_client()


@pytest.mark.parametrize("path", ["/", "/metrics", "/whatever-comes-later"])
@pytest.mark.parametrize("given", [None, ("ada", ""), ("ada", "wrong"), (PASSWORD, "")])
def test_nobody_reads_without_the_password(path: str, given: tuple[str, str] | None) -> None:
    answer = client(PASSWORD).get(path, auth=given)
    assert (answer.status_code, answer.headers["WWW-Authenticate"].split()[0]) == (401, "Basic")
    assert PASSWORD not in answer.text


@pytest.mark.parametrize("header", ["Basic", "Basic !", "Basic /w==", "Bearer x", f"Digest {PASSWORD}"])
def test_what_is_no_password_is_refused(header: str) -> None:
    assert client(PASSWORD).get("/", headers={"Authorization": header}).status_code == 401


def test_the_password_opens_with_any_name() -> None:
    assert client(PASSWORD).get("/whatever-comes-later", auth=("anybody", PASSWORD)).status_code == 404
    assert client("").get("/whatever-comes-later").status_code == 404  # where none is set, none is asked for


def test_probes_and_the_forge_need_none() -> None:
    assert client(PASSWORD).get("/healthz/live").status_code == 200
    body = b"{}"
    signature = "sha256=" + hmac.new(b"w", body, hashlib.sha256).hexdigest()
    signed = {"X-GitHub-Event": "ping", "X-Hub-Signature-256": signature}
    assert client(PASSWORD).post("/webhook", data=body, headers=signed).status_code == 202
    assert client(PASSWORD).post("/webhook", data=body).status_code == 401
