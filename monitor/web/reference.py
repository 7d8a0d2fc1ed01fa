"""The API for people: what its document says, as a page can show it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from monitor.web.gate import OCTETS

Schema = Mapping[str, Any]
MULTIPLE = "several"
SAMPLES = {"date-time": "2026-11-23T18:00:00Z", "password": "your password", "integer": 1, "number": 1, "boolean": True}
TEXTS = {
    "asset": "line1/filler",
    "assets": "line1/filler",
    "item": "item.fill_limit",
    "reason": "ticket 4711",
    "digest": "0" * 64,
}


@dataclass(frozen=True, slots=True)
class Field:
    """Something that an operation takes. `place` is path, query or body."""

    name: str
    place: str
    kind: str
    must: bool
    about: str


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation, and how it is called from a shell."""

    id: str
    method: str
    path: str
    scope: str
    summary: str
    about: str
    fields: list[Field]
    curl: str


@dataclass(frozen=True, slots=True)
class Subject:
    """Operations that belong together."""

    name: str
    about: str
    operations: list[Operation]


def subjects(document: Schema, base: str) -> list[Subject]:
    """The operations by subject, in the order in which the document has the subjects; `base` is where the API is."""
    found: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            found.setdefault(said["tags"][0], []).append(_operation(document, base, path, method, said))
    tags = [(tag["name"], tag["description"]) for tag in document["tags"] if tag["name"] in found]
    return [Subject(name, text, found[name]) for name, text in tags]


def _operation(document: Schema, base: str, path: str, method: str, said: Schema) -> Operation:
    sent = said.get("requestBody", {}).get("content", {})
    body = resolved(document, sent.get("application/json", {}).get("schema", {}))
    asked = [
        Field(each["name"], each["in"], kind_of(document, each["schema"]), each.get("required", False), about(each))
        for each in said.get("parameters", ())
    ]
    fields = [
        Field(name, "body", kind_of(document, each), name in body.get("required", ()), about(each))
        for name, each in body.get("properties", {}).items()
    ]
    return Operation(
        said["operationId"],
        method.upper(),
        path,
        said["security"][0]["token"][0],
        said["summary"],
        said.get("description", ""),
        asked + fields,
        _curl(document, base, path, method, said),
    )


def about(said: Schema) -> str:
    return " ".join(str(said.get("description", "")).split())


def resolved(document: Schema, schema: Schema) -> Schema:
    """A schema itself, where it is a reference to one, or one that may also be null."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    choices = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    return resolved(document, choices[0]) if len(choices) == 1 else schema


def kind_of(document: Schema, schema: Schema) -> str:
    """What a value is, in a few words."""
    found = resolved(document, schema)
    if "enum" in found:
        return " or ".join(map(str, found["enum"]))
    if "const" in found:
        return str(found["const"])
    if "anyOf" in found:
        return " or ".join(kind_of(document, each) for each in found["anyOf"])
    kind = found.get("type", "any value")
    if kind == "array":
        return f"{MULTIPLE}: {kind_of(document, found.get('items', {}))}"
    plain = {"string": "text", "integer": "whole number", "boolean": "true or false", "object": "object"}
    return {"date-time": "time"}.get(found.get("format", ""), plain.get(kind, str(kind)))


def sample(document: Schema, name: str, schema: Schema) -> Any:
    """A value that a field may have."""
    found = resolved(document, schema)
    if "enum" in found:
        return found["enum"][0]
    if "anyOf" in found:
        return sample(document, name, found["anyOf"][0])
    kind = found.get("type", "string")
    if kind == "array":
        return [sample(document, name, found.get("items", {}))]
    if kind == "object":
        must = found.get("required", ())
        return {each: sample(document, each, found["properties"][each]) for each in must}
    return SAMPLES.get(found.get("format", kind), TEXTS.get(name, name))


def _curl(document: Schema, base: str, path: str, method: str, said: Schema) -> str:
    sent = said.get("requestBody", {}).get("content", {})
    words = ["curl", "-H", '"Authorization: Bearer $TOKEN"']
    if method not in ("get", "post") or (method == "post" and not sent):
        words += ["-X", method.upper()]
    if OCTETS in sent:
        words += ["-H", f"'Content-Type: {OCTETS}'", "--data-binary", "@file"]
    elif sent:
        body = sample(document, "", sent["application/json"]["schema"])
        words += ["-H", "'Content-Type: application/json'", "-d", shlex.quote(json.dumps(body))]
    if any(not each.startswith("application/json") for each in said["responses"].get("200", {}).get("content", ())):
        words += ["-o", "file"]
    return " ".join([*words, shlex.quote(base + _address(document, path, said))])


def _address(document: Schema, path: str, said: Schema) -> str:
    asked: list[tuple[str, Any]] = []
    for each in said.get("parameters", ()):
        value = sample(document, each["name"], each["schema"])
        if each["in"] == "path":
            path = path.replace(f"{{{each['name']}}}", str(value))
        elif each.get("required"):
            asked += [(each["name"], one) for one in (value if isinstance(value, list) else [value])]
    return path + (f"?{urlencode(asked)}" if asked else "")
