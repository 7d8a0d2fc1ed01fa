"""What describes the API to programs: one OpenAPI document, made of the operations themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from monitor.web.access import NEEDED, WORDS, Role
from monitor.web.asked import NO_NUL
from monitor.web.documents import schemas

PATH = "/api/v1"
ABOUT = """What the page of asbuilt does, for programs. The documents are those of the commands' `--json`
(docs/json.md); errors are `{"error": sentence}`. Within `v1` keys and operations are only ever added."""

ERRORS = {
    401: "No token, or one that is not good.",
    403: "The token lacks the scope, its person the role, or the password is not theirs.",
    404: "There is nothing here.",
    405: "The path has other methods: Allow names them.",
    409: "It is understood, and cannot be done as things stand: the sentence says why.",
    413: "It is too large.",
    415: "It is of another media type than the operation takes.",
    422: "It has not the shape that is declared here.",
    429: "Too many wrong passwords: the sentence says when to try again.",
    503: "The store cannot be used at this moment.",
}
SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token of a person, who makes it on the page under their name. Its scopes are roles, and it may"
    " what its scopes and its person's roles both allow: "
    + "; ".join(f"**{role}** {words}" for role, words in WORDS.items())
    + ".",
}
PARAMETER = re.compile(r"\{(\w+)[^}]*\}")  # of a path
METHODS = ("get", "put", "post", "delete", "patch")
TAGS = {
    "plant": "The plant, and whoever asks.",
    "assets": "Devices and segments: how they stand, what was read of them, their history and what becomes of them.",
    "alarms": "Alarms in the states of ISA-18.2, and the cases behind them.",
    "baselines": "What was approved, what is proposed, and who signed for it.",
    "change orders": "What was announced, and whether it was done.",
    "conformity": "Machines of one type, compared with each other.",
    "quality": "Figures over a time: causes, rates, response times.",
    "network": "Hosts, conversations and events, as they were heard.",
    "coverage": "What we cannot see, and since when.",
    "watch": "Whether we watch as we should: poll contract, self-test.",
    "artefacts": "Known-good files in the vault, and what restores a device.",
    "reports": "Reports for auditors, and what takes longer than a request.",
    "evidence": "The audit chain.",
    "people": "Who may do what, and their tokens.",
}


def described(app: FastAPI, operations: Iterable[APIRoute]) -> dict[str, Any]:
    """The document of an application with these operations, each with the role that it takes."""
    document = get_openapi(
        title="asbuilt",
        version=version("asbuilt"),
        summary="A plant as it was built, and what changed since.",
        description=ABOUT,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        servers=[{"url": PATH}],
    )
    roles = {id_of(route): role_of(route) for route in operations}
    answers, defined = schemas("#/components/schemas/{model}")
    for operation in _operations(document):
        answer = answers.get(operation["operationId"])
        if answer is not None:
            _declare_answer(operation, answer)
        role = roles[operation["operationId"]]
        operation["security"] = [{"token": [role.value] if role else []}]
        _say(operation)
        _declare_errors(operation)
    for parameter in _parameters(document):
        parameter["schema"] = _as_sent(parameter["schema"])
    components = document.setdefault("components", {})
    sent = components.setdefault("schemas", {})
    assert all(sent.get(name, schema) == schema for name, schema in defined.items()), "two schemas of one name"
    sent |= defined
    _add_components(components)
    return document


def id_of(route: APIRoute) -> str:
    """What an operation is called: its method and the words of its path, so that no two have one name."""
    method = min(route.methods or ())
    words = PARAMETER.sub(r"by_\1", route.path).replace("-", "_").split("/")
    return "_".join([method.lower(), *filter(None, words)])


def role_of(route: APIRoute) -> Role | None:
    """The role that an operation takes; None if it takes none, which is a bug."""
    return next((NEEDED[call] for call in _calls(route.dependant) if call in NEEDED), None)


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for each in dependant.dependencies:
        if each.call is not None:
            yield each.call
        yield from _calls(each)


def _operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from (path[method] for method in METHODS if method in path)


def _say(operation: dict[str, Any]) -> None:
    """The first sentence of what an operation says of itself is its summary."""
    first, _, more = " ".join(operation.get("description", operation["summary"]).split()).partition(". ")
    operation["summary"] = first.removesuffix(".")
    operation.pop("description", None)
    if more:
        operation["description"] = more


def _declare_answer(operation: dict[str, Any], answer: dict[str, Any]) -> None:
    for status, said in operation["responses"].items():
        if status.startswith("2"):
            said["content"]["application/json"]["schema"] = answer


def _declare_errors(operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    answers.pop("422", None)
    for status in ERRORS:
        answers[str(status)] = {"$ref": f"#/components/responses/{status}"}


def _parameters(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for operation in _operations(document):
        yield from operation.get("parameters", ())


def _as_sent(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of what stands in an address: what is left out is not null, and no text holds a NUL (gate.py)."""
    choices = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if len(choices) == 1:
        schema = {key: value for key, value in schema.items() if key != "anyOf"} | choices[0]
    if "items" in schema:
        return schema | {"items": _as_sent(schema["items"])}
    is_free = schema.get("type") == "string" and not schema.keys() & {"enum", "const", "pattern", "format"}
    return schema | {"pattern": NO_NUL} if is_free else schema


def _add_components(components: dict[str, Any]) -> None:
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    text = {"type": "string", "description": "What is wrong, as a sentence."}
    components["schemas"]["Error"] = {
        "type": "object",
        "properties": {"error": text},
        "required": ["error"],
        "additionalProperties": False,
    }
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    answers = {str(status): {"description": words, "content": content} for status, words in ERRORS.items()}
    answers["401"]["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}}
    answers["405"]["headers"] = {"Allow": {"required": True, "schema": {"type": "string"}}}
    components["responses"] = answers
    components["securitySchemes"] = {"token": SCHEME}
