"""People and accounts: who is registered, by whom, with which roles; passwords, sessions, and how access ends."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from monitor import keys, persons, store
from monitor.errors import CallError, NotNow
from monitor.evidence import deciding, verified_in_full
from monitor.polling import utc_now
from monitor.store import Actor
from tests.sites import EVERYTHING, PASSWORD, Visitor, browsing, enter, plant_with, signed_in

SECRET = re.compile(r'class="card secret"><code>([^<]+)<')
OWN = "my own battery staple"


def another(visitor: Visitor) -> Visitor:
    """Somebody else at the same page."""
    return Visitor(httpx.Client(base_url=visitor.client.base_url, follow_redirects=True, timeout=30), visitor.site)


def registered(visitor: Visitor, name: str, *roles: str, sign_off: str = "") -> str:
    """Have somebody registered by the admin; their provisional password."""
    data = {"name": name, "role": list(roles), "sign_off": sign_off, "password": PASSWORD}
    found = SECRET.search(visitor.post("/people/add", data).text)
    assert found
    return found[1]


def actions(visitor: Visitor) -> list[tuple[str, str, str]]:
    """The newest first: what was done, to whom, by whom."""
    with visitor.site.database.read() as tx:
        return [(each.action, each.subject, each.actor) for each in store.audit_entries(tx)][::-1]


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """The first admin, signed in."""
    with signed_in(plant_with(tmp_path_factory.mktemp("people"), "")) as visitor:
        yield visitor


def test_who_is_registered_chooses_a_password_of_their_own_first(ada: Visitor) -> None:
    given = registered(ada, "bo", "operator", sign_off="supplier, customer")
    bo = another(ada)
    assert bo.sign_in("bo", given).url.path == "/account/password"
    for path in ("/coverage", "/account", "/people"):
        assert bo.get(path).url.path == "/account/password", "nothing else is to be had"
    key = re.search(r'name="form_key" value="(\w+)"', bo.get("/account/password").text)
    assert key
    ended = bo.client.post("/account/sessions/end", data={"session": "others", "form_key": key[1]})
    assert ended.url.path == "/account/password"
    changed = {"password": given, "password_new": OWN, "password_again": OWN}
    for wrong, why in (
        ({"password": "not this"}, "not the password of bo"),
        ({"password_again": "other"}, "two passwords"),
        ({"password_new": "short", "password_again": "short"}, "8 characters"),
        ({"password_new": given, "password_again": given}, "choose another"),
    ):
        answer = bo.post("/account/password", {**changed, **wrong}, page="/account/password")
        assert (answer.status_code, why in answer.text) == (422, True), why
        assert given not in answer.text, "what was typed as a password is never shown"
    before = bo.client.cookies.get("asbuilt_session")
    assert bo.post("/account/password", changed, page="/account/password").url.path == "/account"
    assert bo.client.cookies.get("asbuilt_session") != before, "the session is another one"
    assert bo.get("/coverage").status_code == 200
    assert "name and password do not belong together" in another(ada).sign_in("bo", given).text
    with ada.site.database.read() as tx:
        bo_now = store.person(tx, "bo")
    assert bo_now
    assert bo_now.roles == ("operator", "supplier", "customer")
    assert not keys.is_provisional(str(bo_now.sealed))
    assert ("person.change", "bo", "bo") in actions(ada)[:3]
    assert bo.get("/people").status_code == 403
    assert not verified_in_full(ada.site.database, ada.site.plant()).flaws


def test_what_an_admin_decides_is_signed_by_the_admin(ada: Visitor) -> None:
    for password, status in (("", 422), ("not the password", 422)):
        data = {"name": "eve", "role": "admin", "password": password}
        answer = ada.post("/people/add", data)
        assert (answer.status_code, 'value="eve"' in answer.text) == (status, True)
    registered(ada, "cem", "viewer")
    again = ada.post("/people/add", {"name": "cem", "role": "admin", "password": PASSWORD})
    assert (again.status_code, "registered already" in again.text) == (409, True), "a form that comes twice"
    with ada.site.database.read() as tx:
        last = [each for each in store.audit_entries(tx) if each.action == "person.add"][-1]
    assert (last.subject, last.actor, last.detail["roles"]) == ("cem", "ada", "viewer")
    assert "signature" in last.detail


@pytest.mark.parametrize("name", ["a\nSet-Cookie: x=y", "\u202eada", "asbuilt", " ", "x" * 101, "a\r\nb", "\u200b"])
def test_names_that_are_none_are_refused(ada: Visitor, name: str) -> None:
    answer = ada.post("/people/add", {"name": name, "role": "viewer", "password": PASSWORD})
    assert answer.status_code == 422
    assert "x=y" not in str(answer.headers)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a&b=c?d#e/../f", 'O\'Brien "Q"', "Zoë / 张"])
def test_odd_names_are_names(ada: Visitor, name: str) -> None:
    registered(ada, name, "viewer")
    assert "<script>alert" not in ada.get("/people").text
    shown = ada.get("/people/person", params={"name": name})
    assert (shown.status_code, "<script>alert" in shown.text) == (200, False)
    gone = ada.post("/people/remove", {"name": name, "reason": "tried", "password": PASSWORD})
    assert (gone.url.path, "is not registered any more" in gone.text) == ("/people", True)


def test_roles_count_at_once_and_the_last_admin_stays(ada: Visitor) -> None:
    given = registered(ada, "dan", "viewer")
    dan = another(ada)
    dan.sign_in("dan", given)
    dan.post(
        "/account/password",
        {"password": given, "password_new": OWN, "password_again": OWN},
        page="/account/password",
    )
    assert dan.get("/people").status_code == 403
    data = {"name": "dan", "role": ["viewer", "admin"], "password": PASSWORD}
    assert "has these roles" in ada.post("/people/roles", data).text
    assert dan.get("/people").status_code == 200
    ada.post("/people/roles", {**data, "role": ["viewer"]})
    assert dan.get("/people").status_code == 403
    for path in ("/people/roles", "/people/remove"):
        answer = ada.post(path, {"name": "ada", "role": ["viewer"], "reason": "gone", "password": PASSWORD})
        assert (answer.status_code, "last admin" in answer.text) == (409, True)


def test_whose_password_is_reset_and_who_is_removed_is_out_at_once(ada: Visitor) -> None:
    given = registered(ada, "fay", "viewer")
    fay = another(ada)
    fay.sign_in("fay", given)
    own = {"password": given, "password_new": OWN, "password_again": OWN}
    fay.post("/account/password", own, page="/account/password")
    made = fay.post("/account/tokens/add", {"name": "historian", "scope": "viewer", "password": OWN})
    token = SECRET.findall(made.text)[0]
    assert fay.api("GET", "/coverage", token).status_code == 200
    stolen = dict(fay.client.cookies)
    found = SECRET.search(ada.post("/people/reset", {"name": "fay", "password": PASSWORD}).text)
    assert found
    assert fay.get("/coverage").url.path == "/sign-in"
    assert fay.api("GET", "/coverage", token).status_code == 401, "who had the password may have made it"
    fay.sign_in("fay", found[1])
    assert fay.get("/coverage").url.path == "/account/password"
    assert ada.post("/people/remove", {"name": "fay", "password": PASSWORD}).status_code == 422, "a reason is missing"
    ada.post("/people/remove", {"name": "fay", "reason": "left", "password": PASSWORD})
    assert fay.get("/coverage").url.path == "/sign-in"
    again = registered(ada, "fay", "viewer")
    thief = another(ada)
    thief.client.cookies.update(stolen)
    assert thief.get("/coverage").url.path == "/sign-in", "what was stolen before does not come back with the name"
    assert again
    assert not verified_in_full(ada.site.database, ada.site.plant()).flaws


def test_sessions_are_ended_one_by_one_or_all_but_this(ada: Visitor) -> None:
    others = [another(ada) for _ in range(3)]
    for each in others:
        each.enter("ada")
    with ada.site.database.read() as tx:
        newest = store.sessions(tx, "ada")[0].digest
    assert ada.post("/account/sessions/end", {"session": "0" * 64}).status_code == 409, "nobody's session"
    assert "1 of your sessions" in ada.post("/account/sessions/end", {"session": newest}).text
    assert [each.get("/coverage").url.path for each in others].count("/sign-in") == 1
    assert "2 of your sessions" in ada.post("/account/sessions/end", {"session": "others"}).text
    assert {each.get("/coverage").url.path for each in others} == {"/sign-in"}
    assert ada.get("/coverage").status_code == 200
    assert actions(ada)[0] == ("session.end", "ada", "ada")


def test_a_session_of_somebody_else_is_not_ended(ada: Visitor) -> None:
    given = registered(ada, "gil", "viewer")
    gil = another(ada)
    gil.sign_in("gil", given)
    gil.post(
        "/account/password", {"password": given, "password_new": OWN, "password_again": OWN}, page="/account/password"
    )
    with ada.site.database.read() as tx:
        of_ada = store.sessions(tx, "ada")[0].digest
    assert gil.post("/account/sessions/end", {"session": of_ada}).status_code == 409
    assert ada.get("/coverage").status_code == 200


def test_by_the_command_line_the_same_holds(ada: Visitor) -> None:
    """What the page refuses, persons.py refuses: the commands call it as well."""
    database, plant = ada.site.database, ada.site.plant()
    with database.read() as tx:
        known = store.person(tx, "ada")
    assert known
    actor = Actor("ada", "test", signer=keys.unseal(str(known.sealed), known.public_key, PASSWORD))
    with pytest.raises(NotNow, match="last admin"), deciding(plant, database, actor, print) as tx:
        persons.remove_person(tx, "ada", actor, "gone", utc_now())
    with pytest.raises(NotNow, match="last admin"), deciding(plant, database, actor, print) as tx:
        persons.change_roles(tx, "ada", ["viewer"], actor, utc_now())
    with pytest.raises(CallError, match="one line"):
        persons.assure_name("a\tb")


def test_it_is_done_in_a_browser_and_read_aloud(ada: Visitor, browser: Browser) -> None:
    url = str(ada.client.base_url)
    with browsing(browser, url, "phone") as page:
        enter(page, ada, "ada")
        for path in ("/people", "/people/add", "/people/person?name=ada", "/account", "/account/password"):
            page.goto(path)
            found = Axe().run(page)
            serious = [each["id"] for each in found.response["violations"] if each["impact"] in ("serious", "critical")]
            assert not serious, (path, serious)
        page.goto("/people/add")
        page.get_by_label("Their name").fill("hal")
        page.get_by_label("engineer").check()
        page.get_by_label("Your password").fill(PASSWORD)
        page.get_by_role("button", name="Register").click()
        given = page.locator(".secret").inner_text()
    with browsing(browser, url) as page:
        page.goto("/sign-in")
        page.get_by_label("Name").fill("hal")
        page.get_by_label("Password").fill(given)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_label("Your password").fill(given)
        page.get_by_label("A new password").fill(OWN)
        page.get_by_label("The same again").fill(OWN)
        page.get_by_role("button", name="Change it").click()
        page.get_by_role("heading", name="Your account").wait_for()
        assert page.get_by_text("polls, proposes baselines").is_visible()
    assert set(EVERYTHING) >= {"engineer"}
