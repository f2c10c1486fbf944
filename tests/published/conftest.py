"""GitHub's published descriptions, from npm: `npm ci` in this folder, or NIGHTLAB_NPM names a node_modules folder."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def _published(package: str, file: str) -> Any:
    for folder in (os.environ.get("NIGHTLAB_NPM"), HERE / "node_modules", "node_modules"):
        path = Path(folder) / package / file if folder else None
        if path is not None and path.is_file():
            return json.loads(path.read_text())
    pytest.skip(f"needs the npm package {package}: run `npm ci` in tests/published, or set NIGHTLAB_NPM")


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
