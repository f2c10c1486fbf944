"""The JSON Schema of `.github/nightlab.yml`, made from its layout: for editors, and to know which keys stand where."""

from functools import cache
from typing import Any

from bot.core.document import Place
from bot.core.layout import FILE


@cache
def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the file, for editors. What compares two keys is left to the parser."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_untitled(FILE.json_schema())}


def _untitled(schema: Any) -> Any:
    """Without pydantic's titles, which repeat the keys, and without its null, which the file cannot hold."""
    if isinstance(schema, list):
        return [_untitled(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if {"type": "null"} in schema.get("anyOf", []):
        (either,) = (one for one in schema["anyOf"] if one != {"type": "null"})
        schema = {**either, **{key: part for key, part in schema.items() if key != "anyOf"}}
    return {key: _untitled(part) for key, part in schema.items() if not (key == "title" and isinstance(part, str))}


def keys(place: Place) -> list[str]:
    """The keys that may stand at `place`."""
    schema = json_schema()
    here = schema
    for part in place:
        here = here.get("properties", {}).get(part, {})
        here = schema["$defs"][here["$ref"].rpartition("/")[2]] if "$ref" in here else here
    return list(here.get("properties", {}))
