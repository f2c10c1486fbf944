"""Claude by way of Bedrock and Vertex: a whole conversation, every request signed as the cloud wants it."""

import json
from pathlib import Path

import pytest
from clouds import AWS_ID, AWS_SECRET, Cloud, opened
from conversations import RAISE, SUBMIT, converse_by
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from stand_in import Say

from bot.edge.claude import Claude, Via

SCRIPT = [Say(calls=[RAISE]), Say(calls=[("submit", SUBMIT)])]


@pytest.fixture
def on_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("boto3", reason="pip install 'anthropic[bedrock]'")
    for name, value in {
        "AWS_ACCESS_KEY_ID": AWS_ID,
        "AWS_SECRET_ACCESS_KEY": AWS_SECRET,
        "AWS_REGION": "eu-central-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)


def test_bedrock_is_asked_with_a_signature_over_what_is_sent(on_aws: None) -> None:
    with opened(Cloud([*SCRIPT])) as cloud:
        turns = converse_by(Claude(via=Via.BEDROCK, base_url=cloud.url))
    assert turns[-1].proposal is not None, turns[-1].ended
    assert cloud.refused == []
    assert cloud.paths == ["/model/claude-opus-5-5/invoke-with-response-stream"] * 2
    assert turns[-1].use.output_tokens == 100


def test_bedrock_refuses_another_secret_in_one_sentence(on_aws: None) -> None:
    with opened(Cloud([*SCRIPT], secret="another")) as cloud:
        turns = converse_by(Claude(via=Via.BEDROCK, base_url=cloud.url))
    assert len(cloud.refused) == 1
    assert "our key is not accepted" in turns[-1].ended
    assert AWS_SECRET not in turns[-1].ended


def test_a_cloud_that_gives_no_token_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("google.auth", reason="pip install 'anthropic[vertex]'")
    (tmp_path / "account.json").write_text('{"type": "nobody"}')
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    monkeypatch.setenv("CLOUD_ML_REGION", "europe-west1")
    monkeypatch.setenv("ANTHROPIC_VERTEX_PROJECT_ID", "lab")
    with opened(Cloud([])) as cloud:
        (turn,) = converse_by(Claude(via=Via.VERTEX, base_url=cloud.url))
    assert turn.ended == "asking the model failed: DefaultCredentialsError; the log says more"


def test_vertex_is_asked_with_a_token_that_a_service_account_signed_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("google.auth", reason="pip install 'anthropic[vertex]'")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private, public = (
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    )
    with opened(Cloud([*SCRIPT], public_key=public)) as cloud:
        account = {
            "type": "service_account",
            "project_id": "lab",
            "private_key": private,
            "private_key_id": "1",
            "client_email": "nightlab@lab.example",
            "token_uri": f"{cloud.url}/token",
        }
        (tmp_path / "account.json").write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
        monkeypatch.setenv("CLOUD_ML_REGION", "europe-west1")
        monkeypatch.setenv("ANTHROPIC_VERTEX_PROJECT_ID", "lab")
        turns = converse_by(Claude(via=Via.VERTEX, base_url=cloud.url))
    assert turns[-1].proposal is not None, turns[-1].ended
    assert cloud.refused == []
    models = "/projects/lab/locations/europe-west1/publishers/anthropic/models"
    assert cloud.paths[0] == "/token"
    assert cloud.paths.count(f"{models}/claude-opus-5-5:streamRawPredict") == 2
    assert f"{models}/count-tokens:rawPredict" in cloud.paths
