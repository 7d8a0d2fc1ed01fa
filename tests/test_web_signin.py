"""Signing in: the first run, sessions, what a stranger gets, and what a browser is told."""

from __future__ import annotations

import re
import socket
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from baselines.audit import AuditEntry
from monitor import keys, persons, store
from monitor.evidence import deciding
from monitor.keys import Signer
from monitor.polling import utc_now
from monitor.store import Actor, Database, Person
from monitor.web.limits import ADDRESS, MOST, NAME, PAIR, QUEUE, Limits, TooOften
from monitor.web.passwords import opened
from monitor.web.server import HEAD_WITHIN
from monitor.web.signin import inside
from tests.floors import wait_for
from tests.sites import PASSWORD, Visitor, browsing, plant_with, serving, sign_in, signed_in

CODE = re.compile(r"code=([0-9a-f]{16})")
HOURS = timedelta(hours=1)


class Clock:
    """The time, as far ahead as a test wants."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def chain(visitor: Visitor, action: str) -> list[AuditEntry]:
    with visitor.site.database.read() as tx:
        return [each for each in store.audit_entries(tx) if each.action == action]


def guessed(visitor: Visitor, name: str, times: int) -> None:
    """Somebody guessed here so often. Each real try takes a tenth of a second of both processors."""
    for _ in range(times):
        visitor.site.limits.failed(name, "127.0.0.1", known=True)


# The first run


def test_a_stranger_is_sent_to_sign_in_and_the_api_says_401(tmp_path: Path) -> None:
    with serving(plant_with(tmp_path, "")) as visitor:
        assert "First run" in visitor.get("/coverage").text, "nobody is registered yet"
        answer = visitor.api("GET", "/coverage")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert "token is missing" in answer.json()["error"]


def test_the_first_person_needs_the_code_of_the_run(tmp_path: Path, browser: Browser) -> None:
    with serving(plant_with(tmp_path, "")) as visitor:
        url = str(visitor.client.base_url)
        with browsing(browser, url, "phone") as page:
            page.goto("/setup?code=guessed")
            for label, text in {"Your name": "ada", "A password": PASSWORD, "The same again": PASSWORD}.items():
                page.get_by_label(label).fill(text)
            page.get_by_role("button", name="Begin").click()
            assert "not the code of this run" in page.get_by_role("alert").inner_text()
            assert page.get_by_label("Your name").input_value() == "ada", "what was typed is not lost"


def test_of_two_who_set_up_at_once_one_is_the_admin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(plant_with(tmp_path, "")) as visitor:
        found = CODE.search(capsys.readouterr().out)
        assert found
        code, together = found[1], threading.Barrier(2)

        def set_up(name: str) -> str:
            with httpx.Client(base_url=visitor.client.base_url, follow_redirects=True, timeout=30) as client:
                data = {"code": code, "name": name, "password": PASSWORD, "password_again": PASSWORD}
                together.wait()
                return client.post("/setup", data=data).url.path

        with ThreadPoolExecutor(2) as pool:
            paths = sorted(pool.map(set_up, ("ada", "eve")))
        assert paths == ["/", "/sign-in"]
        with visitor.site.database.read() as tx:
            (first,) = store.persons(tx)
        assert set(first.roles) == {"viewer", "operator", "engineer", "approver", "admin"}
        late = visitor.client.post(
            "/setup", data={"code": code, "name": "mallory", "password": PASSWORD, "password_again": PASSWORD}
        )
        assert late.url.path == "/sign-in", "the code opens once"


def test_where_nobody_is_admin_the_page_says_what_to_do(tmp_path: Path) -> None:
    plant = plant_with(tmp_path, "")
    database = Database(plant.store_url)
    database.migrate()
    who = Actor("root", "test")
    with deciding(plant, database, who, print) as tx:
        key, sealed = persons.fresh_key(PASSWORD)
        persons.add_person(tx, Person("sam", ("supplier",), key, sealed), who, utc_now())
    with serving(plant, database) as visitor:
        assert "asbuilt person add NAME --role admin" in visitor.get("/").text or (
            "asbuilt person add NAME --role admin" in visitor.get("/sign-in").text
        )
        refused = visitor.sign_in("sam")
        assert (refused.status_code, "has no role on this page" in refused.text) == (401, True)
        assert "has no role" not in visitor.sign_in("sam", "guessed password").text, "who guesses is not told"


# Sessions


def test_who_signed_in_comes_to_where_they_wanted_to_go(tmp_path: Path, browser: Browser) -> None:
    with signed_in(plant_with(tmp_path, "")) as visitor, browsing(browser, str(visitor.client.base_url)) as page:
        page.goto("/coverage?since=2026-01-01T00:00Z")
        page.get_by_label("Name").fill("ada")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Coverage").wait_for()
        assert page.url.endswith("since=2026-01-01T00:00Z")


def test_a_link_of_another_site_finds_who_is_signed_in(tmp_path: Path, browser: Browser) -> None:
    """A strict cookie is not sent by what another site made the browser do; our own page sends it on."""
    with signed_in(plant_with(tmp_path, "")) as visitor, browsing(browser, str(visitor.client.base_url)) as page:
        sign_in(page, "ada")
        mail = f'<a href="{visitor.client.base_url}/coverage">the alarm</a>'
        page.route("http://mail.example/", lambda route: route.fulfill(body=mail, content_type="text/html"))
        page.goto("http://mail.example/")
        page.get_by_role("link").click()
        page.get_by_role("heading", name="Coverage").wait_for()


def test_a_session_ends_by_itself_and_is_never_one_that_was_brought(tmp_path: Path) -> None:
    clock = Clock()
    with signed_in(plant_with(tmp_path, ""), clock=clock) as visitor:
        client = visitor.client
        first = client.cookies["asbuilt_session"]
        flags = client.post("/sign-in", data={"name": "ada", "password": PASSWORD}, follow_redirects=False)
        cookie = flags.headers["set-cookie"].lower()
        assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/"))
        assert client.cookies["asbuilt_session"] != first, "signing in makes a new one"
        old = httpx.get(client.base_url.join("/coverage"), cookies={"asbuilt_session": first})
        assert old.status_code == 303, "and the one that was there has ended"
        chosen = httpx.Client(base_url=client.base_url, cookies={"asbuilt_session": "chosen-by-eve"})
        chosen.post("/sign-in", data={"name": "ada", "password": PASSWORD})
        with_chosen = httpx.get(client.base_url.join("/coverage"), cookies={"asbuilt_session": "chosen-by-eve"})
        assert with_chosen.status_code == 303
        clock.ahead = 11 * HOURS
        assert visitor.get("/coverage").url.path == "/coverage"
        clock.ahead += 11 * HOURS
        assert visitor.get("/coverage").url.path == "/coverage", "it was used meanwhile"
        clock.ahead += 13 * HOURS
        assert visitor.get("/coverage").url.path == "/sign-in", "nobody used it for half a day"
        visitor.sign_in("ada")
        for _ in range(17):
            clock.ahead += 10 * HOURS
            visitor.get("/coverage")
        assert visitor.get("/coverage").url.path == "/sign-in", "a week is the longest"
        begun = chain(visitor, "session.begin")
        assert {each.detail["by"] for each in begun} == {"password"}


def test_who_signs_out_is_out_with_whoever_has_their_cookie(tmp_path: Path) -> None:
    with signed_in(plant_with(tmp_path, "")) as visitor:
        stolen = dict(visitor.client.cookies)
        forged = visitor.client.post("/sign-out", headers={"Sec-Fetch-Site": "cross-site"})
        assert forged.status_code == 403, "a form of another site"
        assert visitor.client.post("/sign-out", data={"form_key": "0" * 64}).status_code == 403
        assert visitor.post("/sign-out").url.path == "/sign-in"
        assert httpx.get(visitor.client.base_url.join("/coverage"), cookies=stolen).status_code == 303
        assert len(chain(visitor, "session.end")) == 1


@pytest.mark.parametrize(
    ("then", "to"),
    [
        ("/coverage?a=b", "/coverage?a=b"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("\\\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
        ("", "/"),
    ],
)
def test_one_goes_on_to_pages_of_ours_alone(then: str, to: str) -> None:
    assert inside(then) == to


def test_a_form_says_where_it_comes_from(tmp_path: Path) -> None:
    with signed_in(plant_with(tmp_path, "", web='hosts = ["asbuilt.plant.local"]')) as visitor:
        here = str(visitor.client.base_url).rstrip("/")
        data = {"name": "ada", "password": PASSWORD}
        for origin, status in (
            ("http://evil.example", 403),
            ("null", 403),
            ("http://127.0.0.1:1", 403),
            (here.replace("http", "ftp"), 403),
            (here, 303),
            ("https://asbuilt.plant.local", 303),
        ):
            answer = visitor.client.post("/sign-in", data=data, headers={"Origin": origin}, follow_redirects=False)
            assert answer.status_code == status, origin


# Guessing


def test_names_and_passwords_are_guessed_alike(tmp_path: Path) -> None:
    """A name that nobody has takes as long as a wrong password, and is answered with the same words."""
    with signed_in(plant_with(tmp_path, "")) as visitor:
        site = visitor.site
        with site.database.read() as tx:
            known = store.person(tx, "ada")
        spent: dict[str, float] = {}
        for name, person in (("ada", known), ("nobody", None)):
            begun = time.thread_time()
            assert opened(site, name, person, "guessed password", "10.0.0.9") is None
            spent[name] = time.thread_time() - begun
        assert 0.2 < spent["nobody"] / spent["ada"] < 5
        texts = {visitor.sign_in(name, "guessed password").text.replace(name, "") for name in ("ada", "nobody")}
        assert len({re.sub(r"<time.*?</time>", "", text) for text in texts}) == 1


def test_who_guesses_waits_longer_each_time() -> None:
    now = 0.0
    limits = Limits(lambda: now)
    waits = []
    for _ in range(PAIR.free + 12):
        limits.failed("ada", "10.0.0.9")
        waits.append(limits.wait("ada", "10.0.0.9"))
        now += waits[-1]
    assert waits[: PAIR.free] == [0.0] * (PAIR.free - 1) + [1.0]
    assert waits[PAIR.free : PAIR.free + 3] == [2.0, 4.0, 8.0]
    assert waits[-1] == PAIR.longest
    now += 3601
    assert limits.wait("ada", "10.0.0.9") == 0.0


def test_a_stranger_locks_nobody_out() -> None:
    """Whoever guesses elsewhere, from as many addresses as they like: who was right at theirs before does not wait."""
    now = 0.0
    limits = Limits(lambda: now)
    limits.succeeded("ada", "10.0.0.1")
    for number in range(500):
        limits.failed("ada", f"10.1.{number // 250}.{number % 250}")
    assert limits.wait("ada", "10.0.0.1") == 0.0
    assert 0 < limits.wait("ada", "10.9.9.9") <= NAME.longest, "where she never was, a minute at most"
    assert limits.wait("bo", "10.9.9.9") == 0.0
    limits = Limits(lambda: now)
    for number in range(500):
        limits.failed("ada", f"2001:db8:0:1::{number:x}")
    assert limits.wait("ada", "2001:db8:0:1::ffff") > NAME.longest, "a network of IPv6 is one address"
    assert limits.wait("ada", "10.0.0.1", known=True) == 0.0
    for number in range(ADDRESS.free):
        limits.failed(f"name{number}", "10.0.0.7")
    limits.succeeded("eve", "10.0.0.7")
    assert limits.wait("bo", "10.0.0.7") > 0, "an account of one's own buys no more tries"


def test_what_is_remembered_is_bounded() -> None:
    limits = Limits(lambda: 0.0)
    for number in range(MOST + 500):
        limits.failed("x" * 3000 + str(number), f"10.{number // 65536}.{number // 256 % 256}.{number % 256}")
        limits.succeeded(f"y{number}", "10.0.0.1")
    assert len(limits._failed) <= MOST
    assert len(limits._right) <= MOST
    assert all(len(key) == 16 for key in limits._failed)


def test_the_chain_is_told_that_somebody_guesses_and_is_not_filled(tmp_path: Path) -> None:
    now = 0.0
    limits = Limits(lambda: now)
    told = []
    for number in range(1000):
        told.append(limits.failed(f"name{number % 7}", "10.0.0.9"))
        now += 1.0
    assert 1 <= len([each for each in told if each]) <= 3
    assert told[0] == 0, "who mistypes once is nobody's matter"
    with signed_in(plant_with(tmp_path, "")) as visitor:
        for name in ("ada", hunter := "hunter2 in the wrong field"):
            guessed(visitor, name, PAIR.free - 1)
            assert visitor.sign_in(name, "guessed password").status_code == 401
            guessed(visitor, name, 8)
            answer = visitor.sign_in(name)
            assert (answer.status_code, "try again in" in answer.text) == (429, True), "also with the right one"
        (entry,) = chain(visitor, "session.refuse")
        assert (entry.actor, entry.subject, entry.detail["refused"]) == ("asbuilt", "ada", str(PAIR.free))
        with visitor.site.database.read() as tx:
            assert not any(hunter in f"{each.subject}{each.detail}" for each in store.audit_entries(tx))


def test_who_has_a_stolen_session_cannot_guess_the_password_with_it(tmp_path: Path) -> None:
    with signed_in(plant_with(tmp_path, "")) as visitor:
        data = {"name": "eve", "role": "admin", "password": "guessed password"}
        guessed(visitor, "ada", PAIR.free - 1)
        assert visitor.post("/people/add", data).status_code == 422
        assert [each.subject for each in chain(visitor, "session.refuse")] == ["ada"], "it counts like any other"
        guessed(visitor, "ada", 8)
        assert visitor.post("/people/add", {**data, "password": PASSWORD}).status_code == 429


def test_few_passwords_are_tried_at_a_time() -> None:
    limits, trying, may_end = Limits(time.monotonic), threading.Event(), threading.Event()
    done: list[str] = []

    def turn(name: str) -> None:
        try:
            with limits.turn():
                trying.set()
                may_end.wait(30)
                done.append(name)
        except TooOften:
            done.append("refused")

    with ThreadPoolExecutor(QUEUE + 5) as pool:
        pool.submit(turn, "first")
        assert trying.wait(30)
        trying.clear()
        for number in range(QUEUE + 4):
            pool.submit(turn, f"later {number}")
        wait_for(lambda: done.count("refused") == 4, "those for whom there is no room")
        assert not trying.is_set(), "one at a time"
        may_end.set()
    assert len(done) == QUEUE + 5


def test_two_passwords_at_once_do_not_wait_for_each_other_for_ever() -> None:
    """OpenSSL's Argon2 with lanes does, where two threads of a process are in it: monitor/keys.py lets one in."""
    done: list[str] = []
    both = [
        threading.Thread(target=lambda: done.append(keys.seal(Signer.new(), PASSWORD)), daemon=True) for _ in range(2)
    ]
    for each in both:
        each.start()
    for each in both:
        each.join(30)
    assert len(done) == 2


# What a request may be


def test_a_name_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    """DNS rebinding: a page of evil.example has its name stand for our address, and asks us as itself."""
    with signed_in(plant_with(tmp_path, "", web='hosts = ["asbuilt.plant.local"]')) as visitor:
        for host, status in (
            ("evil.example", 421),
            ("evil.example:8470", 421),
            ("127.0.0.1.evil.example", 421),
            ("", 421),
            ("localhost:8470", 200),
            ("[::1]:8470", 200),
            ("10.0.0.5", 200),
            ("ASBUILT.plant.local.:8470", 200),
        ):
            answer = visitor.client.get("/coverage", headers={"Host": host})
            assert answer.status_code == status, host
            assert "default-src 'none'" in answer.headers["content-security-policy"]
        said = visitor.client.get("/api/v1/coverage", headers={"Host": "evil.example"})
        assert "[web] hosts" in said.json()["error"]


def test_a_body_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with signed_in(plant_with(tmp_path, "")) as visitor:
        host, port = visitor.client.base_url.host, visitor.client.base_url.port
        with socket.create_connection((host, port), timeout=10) as sock:
            head = f"POST /sign-in HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {2 * 10**9}\r\n"
            sock.sendall(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\nname=".encode())
            assert sock.recv(100).startswith(b"HTTP/1.1 413")

        def endless() -> object:
            for _ in range(400):
                yield b"x" * 10_000

        form = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            status = visitor.client.post("/sign-in", content=endless(), headers=form).status_code  # type: ignore[arg-type]
        except httpx.TransportError:  # it ended the connection while we were still sending
            status = 413
        assert status in (413, 400), "too large, or too large a field"
        files = visitor.client.post("/sign-in", data={"name": "ada"}, files={"f": b"x" * 1000})
        assert files.status_code == 422, "nobody unknown sends us files"
        assert visitor.get("/coverage").status_code == 200


def test_who_asks_for_nothing_is_let_go_of(tmp_path: Path) -> None:
    with serving(plant_with(tmp_path, "")) as visitor:
        host, port = visitor.client.base_url.host, visitor.client.base_url.port
        silent, half = (socket.create_connection((host, port), timeout=HEAD_WITHIN + 10) for _ in range(2))
        with silent, half:
            half.sendall(b"GET /healthz HTTP/1.1\r\nX: y\r\n")
            assert _ended(silent)
            assert _ended(half)


def _ended(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def test_every_answer_tells_the_browser_what_it_may(tmp_path: Path) -> None:
    with signed_in(plant_with(tmp_path, "")) as visitor:
        for path in ("/coverage", "/nothing", "/static/page.css", "/api/v1/coverage", "/healthz"):
            headers = visitor.client.get(path).headers
            assert "frame-ancestors 'none'" in headers["content-security-policy"], path
            assert headers["x-content-type-options"] == "nosniff"
            assert "strict-transport-security" not in headers, "there is no TLS to insist on"
        assert visitor.get("/coverage").headers["cache-control"] == "no-store"


def test_a_store_that_refuses_is_said(tmp_path: Path) -> None:
    plant = plant_with(tmp_path, "")
    with signed_in(plant) as visitor:
        with closing(sqlite3.connect(tmp_path / "asbuilt.db")) as broken:
            broken.execute("DROP TABLE audit_entry")
            broken.commit()
        answer = visitor.sign_in("ada")
        assert (answer.status_code, "the store" in answer.text) == (503, True)
        assert 'value="ada"' in answer.text, "what was typed is not lost"
