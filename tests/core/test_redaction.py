"""No secret in a log, whether it is known or only looks like one; and what is none stays readable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.words.redaction import HIDDEN, Redactor

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAx1y2z3\nq9w8e7r6t5y4u3i2o1p0==\n-----END RSA PRIVATE KEY-----"
LOOKALIKES = [
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "ghs_16C7e42F292c6912E7710c838347Ae178B4a",
    "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz",
    "sk-ant-api03-abcdefghijklmnop",
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0.c2lnbmF0dXJl",
    KEY,
    KEY.partition("-----END")[0],
]


@pytest.mark.parametrize("secret", LOOKALIKES)
def test_what_looks_like_a_secret_is_hidden(secret: str) -> None:
    said = Redactor([])(f"cannot use {secret} for that")
    assert secret not in said
    assert said.startswith(f"cannot use {HIDDEN}")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("{'Authorization': 'token abcdef'}", "abcdef"),
        ("Authorization: Basic eC1hY2Nlc3MtdG9rZW46YWJj", "eC1hY2Nlc3MtdG9rZW46YWJj"),
        ('{"authorization": "Bearer abcdef", "accept": "json"}', "abcdef"),
        ("x-api-key: abcdef", "abcdef"),
        ("https://x-access-token:abcdef@github.com/a/b.git", "abcdef"),
        ("postgresql://nightlab:abcdef@db/nightlab", "abcdef"),
        ("GET /setup/?token=abcdef", "abcdef"),
        ("GET /setup/made?code=abcdef&state=xyzzy", "abcdef"),
    ],
)
def test_where_secrets_stand_they_are_hidden(text: str, secret: str) -> None:
    assert secret not in Redactor([])(text)


def test_known_secrets_are_hidden_wherever_they_are() -> None:
    redact = Redactor(["hunter2hunter2", KEY, ""])
    assert redact("ahunter2hunter2b") == f"a{HIDDEN}b"
    assert "q9w8e7r6t5y4u3i2o1p0==" not in redact("line 3 was q9w8e7r6t5y4u3i2o1p0==")


@pytest.mark.parametrize(
    "text",
    [
        "experiment c12: merged as 0123456789abcdef0123456789abcdef01234567",
        "the token is missing, and the key too; authorization failed",
        "https://github.com/ada/model/pull/7",
        "ask again later: the model's provider limits us",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor(["s3cr3t-of-a-bot"])(text) == text


@given(st.text(min_size=6), st.text(), st.text())
def test_no_known_secret_passes(secret: str, before: str, after: str) -> None:
    if len(secret.strip()) >= 6 and secret.strip() not in HIDDEN and not secret.strip().startswith("-----"):
        kept = Redactor([secret])(before + secret + after)
        assert secret.strip() not in kept.replace(HIDDEN, "\0")
