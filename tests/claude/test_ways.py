"""How a bot gets its way to Claude: by variables, each mistake answered, no secret in what is printed."""

import pytest
from stand_in import KEY

from bot.edge import claude
from bot.edge.claude import Claude, Via
from bot.service import claude_of
from bot.setup.settings import Settings, settings_from

TOKEN = {"NIGHTLAB_TOKEN": "t", "NIGHTLAB_WEBHOOK_SECRET": "s"}


def settings(**variables: str) -> Settings:
    found = settings_from({**TOKEN, **variables})
    assert isinstance(found, Settings), found
    return found


def test_without_a_key_there_is_no_way_and_that_is_fine() -> None:
    assert claude_of(settings()) is None


@pytest.mark.parametrize("name", ["NIGHTLAB_ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY"])
def test_a_key_is_enough(name: str) -> None:
    found = settings(**{name: KEY})
    assert found.claude_via is Via.ANTHROPIC
    way = claude_of(found)
    assert way is not None
    assert KEY not in repr(found) + repr(way) + repr(vars(way))


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"NIGHTLAB_CLAUDE_VIA": "azure"}, "use one of anthropic, bedrock, vertex"),
        ({"NIGHTLAB_CLAUDE_VIA": "anthropic"}, "set NIGHTLAB_ANTHROPIC_API_KEY"),
    ],
)
def test_mistakes_are_answered(variables: dict[str, str], said: str) -> None:
    problems = settings_from({**TOKEN, **variables})
    assert isinstance(problems, list)
    assert said in problems[0]


@pytest.mark.parametrize("via", [Via.BEDROCK, Via.VERTEX])
def test_a_clouds_client_needs_its_extra(via: Via, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claude, "_installed", lambda _: False)
    with pytest.raises(ValueError, match=rf"pip install 'anthropic\[{via.value}\]'"):
        Claude(via=via)


def test_a_clouds_client_is_made_by_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claude, "_installed", lambda _: True)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("CLOUD_ML_REGION", "europe-west1")
    monkeypatch.setenv("ANTHROPIC_VERTEX_PROJECT_ID", "lab")
    for via in ("bedrock", "vertex"):
        assert claude_of(settings(NIGHTLAB_CLAUDE_VIA=via)) is not None
    monkeypatch.delenv("CLOUD_ML_REGION")
    with pytest.raises(ValueError, match="Claude via vertex cannot be used: "):
        claude_of(settings(NIGHTLAB_CLAUDE_VIA="vertex"))
