"""Tokens of programs: made once, by whom they speak for, and good for no more than that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor import store
from monitor.config import load_plant
from monitor.evidence import verified_in_full
from monitor.polling import utc_now
from monitor.store import Database
from tests.floors import PlantFolder
from tests.sites import PASSWORD, Visitor, plant_with, register, signed_in

SECRET = re.compile(r'class="card secret"><code>([^<]+)<')


class Clock:
    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Visitor]:
    with signed_in(plant_with(tmp_path_factory.mktemp("tokens"), ""), clock=clock) as visitor:
        yield visitor


def made(visitor: Visitor, name: str, *scopes: str, until: str = "") -> str:
    data = {"name": name, "scope": list(scopes), "until": until, "password": PASSWORD}
    answer = visitor.post("/account/tokens/add", data)
    found = SECRET.search(answer.text)
    assert found, answer.text
    return found[1]


def test_a_token_is_shown_once_and_kept_nowhere(ada: Visitor) -> None:
    token = made(ada, "historian", "viewer")
    assert token.startswith("asbuilt_")
    assert ada.api("GET", "/coverage", token).status_code == 200
    account = ada.get("/account").text
    assert "historian" in account
    assert token not in account
    folder = ada.site.plant().path.parent
    assert not any(token.encode() in path.read_bytes() for path in folder.iterdir() if path.is_file())


def test_a_token_is_taken_from_its_header_alone(ada: Visitor) -> None:
    token = made(ada, "header", "viewer")
    for query in ("token", "access_token", "Authorization"):
        assert ada.api("GET", f"/coverage?{query}={token}").status_code == 401
    ada.client.cookies.set("asbuilt_session", token)
    assert ada.get("/coverage").url.path == "/sign-in"
    ada.client.cookies.clear()
    ada.enter("ada")
    for header in (f"Basic {token}", f"Bearer {token}x", "Bearer", token):
        answer = ada.client.get("/api/v1/coverage", headers={"Authorization": header})
        assert answer.status_code == 401, header
    cookies = dict(ada.client.cookies)
    assert cookies
    assert ada.api("GET", "/coverage").status_code == 401, "a session is not enough for the API"


def test_scopes_are_roles_of_the_person(ada: Visitor) -> None:
    register(ada.site.plant(), ada.site.database, "bo", ["operator"])
    ada.post("/sign-out")
    ada.enter("bo")
    for scopes, why in (([], "one scope"), (["admin"], "not got the role admin"), (["root"], "scopes are viewer")):
        answer = ada.post("/account/tokens/add", {"name": "x", "scope": scopes, "password": PASSWORD})
        assert (answer.status_code, why in answer.text) == (422, True), why
    for data, why in (
        ({"password": "wrong horse battery"}, "not the password"),
        ({"name": ""}, "a name is missing"),
        ({"until": "2020-01-01T00:00"}, "in the future"),
        ({"until": "soon"}, "is no time"),
    ):
        asked = {"name": "x", "scope": "viewer", "password": PASSWORD}
        answer = ada.post("/account/tokens/add", {**asked, **data})
        assert (answer.status_code, why in answer.text) == (422, True), why
    token = made(ada, "panel", "viewer")
    twice = ada.post("/account/tokens/add", {"name": "panel", "scope": "viewer", "password": PASSWORD})
    assert (twice.status_code, "already" in twice.text) == (409, True)
    with ada.site.database.read() as tx:
        (row,) = store.tokens(tx, person="bo")
    ada.post("/sign-out")
    ada.enter("ada")
    revoked = ada.post("/account/tokens/revoke", {"token": row.id})
    assert revoked.url.path == "/account", "an admin may revoke everybody's"
    assert ada.api("GET", "/coverage", token).status_code == 401


def test_a_token_ends(ada: Visitor, clock: Clock) -> None:
    token = made(ada, "short", "viewer", until=(utc_now() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M"))
    assert ada.api("GET", "/coverage", token).status_code == 200
    clock.ahead = timedelta(hours=2)
    answer = ada.api("GET", "/coverage", token)
    assert (answer.status_code, "has ended" in answer.json()["error"]) == (401, True)
    clock.ahead = timedelta()


def test_nobody_revokes_the_token_of_somebody_else(ada: Visitor) -> None:
    token = made(ada, "own", "viewer")
    register(ada.site.plant(), ada.site.database, "cem", ["viewer"])
    with ada.site.database.read() as tx:
        number = store.tokens(tx)[-1].id
    ada.post("/sign-out")
    ada.enter("cem")
    answer = ada.post("/account/tokens/revoke", {"token": number})
    assert (answer.status_code, "their own matter" in answer.text) == (409, True)
    assert ada.api("GET", "/coverage", token).status_code == 200
    ada.post("/sign-out")
    ada.enter("ada")


def test_making_and_revoking_is_on_record(ada: Visitor) -> None:
    made(ada, "recorded", "viewer")
    with ada.site.database.read() as tx:
        number = store.tokens(tx)[-1].id
    ada.post("/account/tokens/revoke", {"token": number})
    with ada.site.database.read() as tx:
        found = [each for each in store.audit_entries(tx) if each.action.startswith("token.")]
    assert {each.action for each in found} == {"token.add", "token.revoke"}
    assert all("signature" in each.detail for each in found if each.action == "token.add")
    assert not verified_in_full(ada.site.database, ada.site.plant()).flaws


def test_on_the_command_line(tmp_path: Path) -> None:
    folder = PlantFolder(tmp_path, {"filler": "modbus://127.0.0.1:9/1"})
    plant = load_plant(folder.file)
    database = Database(plant.store_url)
    database.migrate()
    register(plant, database, "ada")
    register(plant, database, "bo", ["viewer"])
    database.close()
    signed = {"ASBUILT_PASSWORD": PASSWORD}
    folder.more = signed
    done = folder.asbuilt("token", "add", "--name", "x", "--scope", "viewer", "--by", "ada", "--until", "+1h", "--json")
    (made,) = done.json["tokens"]
    assert (made["person"], made["scopes"], made["good"], made["token"][:8]) == ("ada", ["viewer"], True, "asbuilt_")
    for_bo = folder.asbuilt("token", "add", "--name", "y", "--scope", "viewer", "--by", "ada", "--person", "bo")
    assert (for_bo.code, for_bo.out.startswith("asbuilt_")) == (0, True)
    others = folder.asbuilt("token", "add", "--name", "z", "--scope", "viewer", "--by", "bo", "--person", "ada")
    assert (others.code, "their own matter" in others.err) == (2, True)
    listed = folder.asbuilt("token", "list", "--json").json["tokens"]
    assert [(each["person"], each["name"]) for each in listed] == [("ada", "x"), ("bo", "y")]
    assert "token" not in listed[0]
    gone = folder.asbuilt("token", "revoke", "1", "--by", "ada")
    assert gone.code == 0
    assert folder.asbuilt("person", "remove", "bo", "--reason", "left", "--by", "ada").code == 0
    assert folder.asbuilt("token", "list").out.startswith("there is no token")
    assert folder.asbuilt("verify").code == 0
