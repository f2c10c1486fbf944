"""What a client said to the hub, held against GitHub's published description of its API."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import jsonschema
from flask import Flask, Response, request

PREFIX = "/api/v3"


@dataclass(frozen=True, kw_only=True)
class Call:
    agent: str
    method: str
    path: str  # without the prefix
    query: str
    body: Any
    status: int
    answer: Any

    @property
    def writes(self) -> bool:
        return self.method != "GET"


class Recorder:
    """Notes every request of the REST API; put it into an application before it serves."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def into(self, app: Flask) -> Flask:
        app.after_request(self._note)
        return app

    def _note(self, response: Response) -> Response:
        if request.path.startswith(PREFIX):
            self.calls.append(
                Call(
                    agent=request.headers.get("User-Agent", ""),
                    method=request.method,
                    path=request.path.removeprefix(PREFIX),
                    query=request.query_string.decode(),
                    body=request.get_json(silent=True),
                    status=response.status_code,
                    answer=response.get_json(silent=True),
                )
            )
        return response


class Description:
    """GitHub's OpenAPI description, with schemas as JSON Schema."""

    def __init__(self, openapi: dict[str, Any]) -> None:
        self._openapi = openapi

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], str]]:
        """Paths with fewer placeholders first: `/pulls/comments` before `/pulls/{pull_number}`."""
        found = []
        for path in sorted(self._openapi["paths"], key=lambda path: (path.count("{"), -len(path))):
            inner = re.sub(r"\\\{(ref|path|basehead)\\\}$", ".+", re.escape(path))
            found.append((re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", inner)), path))
        return found

    def named(self, method: str, path: str) -> str | None:
        """`METHOD /path/of/the/description`, or None when GitHub has no such call."""
        for pattern, described in self._patterns:
            if pattern.fullmatch(path) and method.lower() in self._openapi["paths"][described]:
                return f"{method} {described}"
        return None

    def operation(self, call: Call) -> str | None:
        return self.named(call.method, call.path)

    def problems(self, call: Call) -> list[str]:
        """What is wrong with a call or its answer; empty when GitHub would understand the one and might give the
        other."""
        named = self.operation(call)
        if named is None:
            return ["GitHub has no such call"]
        method, path = named.split(" ", 1)
        item = self._openapi["paths"][path]
        operation = item[method.lower()]
        found = self._query_problems(call, [*item.get("parameters", []), *operation.get("parameters", [])])
        schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        if call.body is not None:
            found += self._body_problems(call.body, schema)
        elif schema is not None and operation["requestBody"].get("required"):
            found.append("it needs a body")
        described = operation["responses"].get(str(call.status))
        if described is None:
            return [*found, f"{call.status} is no answer that GitHub describes"]
        content = self._resolved(described).get("content", {}).get("application/json")
        if content is not None:
            found += self._errors("the answer", call.answer, content["schema"])
        return found

    def _query_problems(self, call: Call, parameters: list[dict[str, Any]]) -> list[str]:
        known = {one["name"]: one for one in map(self._resolved, parameters) if one["in"] == "query"}
        found = []
        for name, text in parse_qsl(call.query):
            if name not in known:
                found.append(f"there is no parameter {name}")
                continue
            kind = self._resolved(known[name]["schema"]).get("type")
            value = int(text) if kind == "integer" and text.isdecimal() else text
            found += self._errors(f"?{name}", value, known[name]["schema"])
        return found

    def _body_problems(self, body: Any, schema: dict[str, Any] | None) -> list[str]:
        if schema is None:
            return ["it takes no body"]
        known = self._properties(schema)
        unknown = sorted(set(body) - known) if known and isinstance(body, dict) else []
        return [*(f"there is no field {name}" for name in unknown), *self._errors("the body", body, schema)]

    def _properties(self, schema: dict[str, Any]) -> set[str]:
        schema = self._resolved(schema)
        found = set(schema.get("properties", {}))
        for part in ("oneOf", "anyOf", "allOf"):
            for inner in schema.get(part, []):
                found |= self._properties(inner)
        return found

    def _resolved(self, described: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in described:
            _, *steps = described["$ref"].split("/")
            described = self._openapi
            for step in steps:
                described = described[step]
        return described

    def _errors(self, where: str, instance: Any, schema: dict[str, Any]) -> list[str]:
        validator = jsonschema.Draft7Validator({"components": self._openapi["components"], "allOf": [schema]})
        error = jsonschema.exceptions.best_match(validator.iter_errors(instance))
        return [f"{where}: {error.json_path}: {error.message[:200]}"] if error is not None else []


def tally(calls: list[Call], description: Description) -> str:
    """How often each call was made, most often first, as text."""
    counts = Counter(description.operation(call) or f"{call.method} {call.path}" for call in calls)
    unchanged = sum(call.status == 304 for call in calls)
    writes = sum(call.writes for call in calls)
    lines = [f"{len(calls)} calls: {writes} writes, {unchanged} reads answered with 304"]
    return "\n".join([*lines, *(f"{count:5} {name}" for name, count in counts.most_common())])
