"""GitHub's published descriptions, from npm: `npm ci` in this folder, or NIGHTLAB_NPM names a node_modules folder."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "loop"))

HERE = Path(__file__).parent


def _package(name: str) -> Path:
    for folder in (os.environ.get("NIGHTLAB_NPM"), HERE / "node_modules", "node_modules"):
        if folder and (Path(folder) / name).is_dir():
            return (Path(folder) / name).absolute()
    pytest.skip(f"needs the npm package {name}: run `npm ci` in tests/published, or set NIGHTLAB_NPM")


def _published(package: str, file: str) -> Any:
    return json.loads((_package(package) / file).read_text())


@pytest.fixture(scope="session")
def emulate() -> Path:
    """Where the emulator is."""
    return _package("emulate")


def _without_nullable(schema: Any) -> Any:
    """OpenAPI 3.0 says `nullable`; JSON Schema says that null is one of the types.

    `oneOf` becomes `anyOf`: GitHub's alternatives overlap (an error body fits two of them).
    """
    if isinstance(schema, list):
        return [_without_nullable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {
        "anyOf" if key == "oneOf" else key: _without_nullable(value)
        for key, value in schema.items()
        if key != "nullable"
    }
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain


@pytest.fixture(scope="session")
def openapi() -> dict[str, Any]:
    """GitHub's REST API, with every schema as JSON Schema."""
    description = _published("@octokit/openapi", "generated/api.github.com.json")
    # Here alone GitHub demands a user and an enterprise in one (allOf); the component of the same name says anyOf.
    listed = description["paths"]["/app/installations"]["get"]["responses"]["200"]["content"]["application/json"]
    listed["schema"]["items"] = {"$ref": "#/components/schemas/installation"}
    return {part: _without_nullable(description[part]) for part in ("paths", "components")}


@pytest.fixture(scope="session")
def webhook_schemas() -> dict[str, Any]:
    found: dict[str, Any] = _published("@octokit/webhooks-schemas", "schema.json")
    return found


@pytest.fixture(scope="session")
def examples() -> dict[str, list[dict[str, Any]]]:
    """Payloads of webhooks, by the event's name."""
    published = _published("@octokit/webhooks-examples", "api.github.com/index.json")
    return {entry["name"]: entry["examples"] for entry in published}
