"""Settings as people give them: where values come from, every mistake answered, no secret shown."""

from pathlib import Path

import pytest
from rich.console import Console

from bot.edge.claude import Via
from bot.setup import config
from bot.setup.settings import SECRETS, Configuration, Settings, configuration, settings_from

SECRET = "s3cr3t-of-a-bot"
ENOUGH = {"NIGHTLAB_TOKEN": SECRET, "NIGHTLAB_WEBHOOK_SECRET": "w"}


@pytest.fixture
def beside(tmp_path: Path) -> dict[str, str]:
    """An environment whose settings file is tmp_path/nightlab.toml."""
    return {"NIGHTLAB_STATE": str(tmp_path / "state")}


def in_force(environment: dict[str, str]) -> Configuration:
    found = configuration(environment)
    assert isinstance(found, Configuration), found
    return found


def test_nothing_is_required_to_start(beside: dict[str, str]) -> None:
    assert not in_force(beside).settings.has_credentials


def test_the_environment_wins_over_the_file_over_the_default(tmp_path: Path, beside: dict[str, str]) -> None:
    (tmp_path / "nightlab.toml").write_text('port = 1\nslots = 3\nclaude_via = "bedrock"\n')
    found = in_force({**beside, "NIGHTLAB_PORT": "2", "NIGHTLAB_HOST": " "})
    assert (found.settings.port, found.settings.slots, found.settings.host) == (2, 3, "127.0.0.1")
    assert found.settings.claude_via is Via.BEDROCK
    assert found.origins["port"] == "NIGHTLAB_PORT"
    assert found.origins["slots"] == f"{tmp_path / 'nightlab.toml'}, slots"
    assert "host" not in found.origins


def test_secrets_in_files_of_their_own(tmp_path: Path, beside: dict[str, str]) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n")
    (tmp_path / "nightlab.toml").write_text('token_file = "token"\n')
    (tmp_path / "hook").write_text("w\n")
    found = in_force({**beside, "NIGHTLAB_WEBHOOK_SECRET_FILE": str(tmp_path / "hook")}).settings
    assert (found.token, found.webhook_secret) == (SECRET, "w")


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    missing = str(tmp_path / "x")
    assert settings_from({"NIGHTLAB_CONFIG": missing}) == [f"NIGHTLAB_CONFIG: there is no file {missing}"]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"NIGHTLAB_PROT": "1"}, "there is no setting NIGHTLAB_PROT: did you mean NIGHTLAB_PORT?"),
        ({"NIGHTLAB_PORT": "tcp://10.0.0.1"}, "NIGHTLAB_PORT: write a whole number, not `tcp://10.0.0.1`"),
        ({"NIGHTLAB_PORT": "70000"}, "NIGHTLAB_PORT: it must be at most 65535, not `70000`"),
        ({"NIGHTLAB_PROGRESS_S": "nan"}, "NIGHTLAB_PROGRESS_S: it must be at most 3600.0, not `nan`"),
        ({"NIGHTLAB_CLAUDE_VIA": "bedrok"}, "`bedrok` is not known here: did you mean `bedrock`?"),
        ({"NIGHTLAB_API_URL": "api.github.com"}, "NIGHTLAB_API_URL: write a web address"),
        ({"NIGHTLAB_TOKEN_FILE": "/x"}, "NIGHTLAB_TOKEN and NIGHTLAB_TOKEN_FILE are both set: keep one"),
        ({"NIGHTLAB_APP_ID": "7"}, "set NIGHTLAB_PRIVATE_KEY_FILE to the private key of App 7"),
        ({"NIGHTLAB_APP_ID": "7"}, "NIGHTLAB_APP_ID and NIGHTLAB_TOKEN are both set: keep one"),
        ({"NIGHTLAB_PRIVATE_KEY": "pem"}, "set NIGHTLAB_APP_ID to the number of the App whose private key is given"),
        ({"NIGHTLAB_WEBHOOK_SECRET": ""}, "set NIGHTLAB_WEBHOOK_SECRET to the secret of the webhook"),
        ({"NIGHTLAB_WEBHOOK_SECRET": "", "NIGHTLAB_WEBHOOK_SECRET_FILE": "/no"}, "cannot read '/no': No such file"),
    ],
)
def test_every_mistake_is_one_sentence(beside: dict[str, str], variables: dict[str, str], said: str) -> None:
    problems = settings_from({**beside, **ENOUGH, **variables})
    assert isinstance(problems, list)
    assert any(said in problem for problem in problems), problems
    assert SECRET not in "".join(problems)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1\n", "prot: there is no such setting: did you mean `port`?"),
        ('port = "x"\n', "port: write a whole number, not `x`"),
        ("port = true\n", "port: write a whole number, not `true`"),
        ("port = [1]\n", "port: write a whole number"),
        ("token = 5\n", "token: it is refused"),
        ("port = \n", "is not TOML: Invalid value (at line 1"),
        ("port = 2026-01-01\n", "port: write a whole number, not `2026-01-01`"),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, beside: dict[str, str], text: str, said: str) -> None:
    (tmp_path / "nightlab.toml").write_text(text)
    problems = settings_from(beside)
    assert isinstance(problems, list)
    assert said in problems[0]


def test_what_others_put_into_the_environment_is_passed_over(beside: dict[str, str]) -> None:
    """Kubernetes describes a service that is named nightlab in such variables."""
    links = {"SERVICE_HOST": "10.0.0.1", "SERVICE_PORT": "80", "PORT_80_TCP": "tcp://10.0.0.1:80"}
    assert in_force({**beside, **{f"NIGHTLAB_{name}": value for name, value in links.items()}})


def test_runners_get_theirs_from_the_file_too(tmp_path: Path, beside: dict[str, str]) -> None:
    (tmp_path / "nightlab.toml").write_text('image = "sha256:ab"\ncpus = 2\n')
    assert in_force(beside).settings.runner_environment == {"NIGHTLAB_IMAGE": "sha256:ab", "NIGHTLAB_CPUS": "2.0"}


def test_no_secret_is_printed(beside: dict[str, str]) -> None:
    console = Console(record=True, width=200)
    environment = beside | {f"NIGHTLAB_{name.upper()}": SECRET for name in SECRETS if name != "private_key"}
    environment["NIGHTLAB_DATABASE_URL"] = f"postgresql://nightlab:{SECRET}@db.example.org/nightlab"
    assert config.show(environment, console=console) == 0
    assert SECRET not in console.export_text()
    assert SECRET not in repr(settings_from(environment))


def test_every_setting_is_explained() -> None:
    console = Console(record=True, width=200)
    config.explain(console=console)
    said = console.export_text()
    assert all(f"NIGHTLAB_{name.upper()}" in said for name in Settings.__dataclass_fields__)
