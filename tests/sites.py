"""The web server over a plant of a test, asked over a real socket: by a client, or by a real browser."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from starlette.requests import Request

from monitor import keys, persons, store
from monitor.config import Plant, WebTable, load_plant
from monitor.evidence import deciding
from monitor.polling import utc_now
from monitor.store import Actor, Database, Person, Token
from monitor.vitals import Vitals
from monitor.web.access import COOKIE, digest_of
from monitor.web.server import served
from monitor.web.signin import begin
from monitor.web.site import Site
from tests.floors import wait_for

PASSWORD = "correct horse battery"
EVERYTHING = ("viewer", "operator", "engineer", "approver", "admin")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FORM_KEY = re.compile(r'name="form_key" value="([0-9a-f]+)"')
expect.set_options(timeout=15_000)
SIZES = {"desk": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
ASSET = '[asset."{}"]\naddress = "modbus://127.0.0.1:{}/1"\nprofile = "acme-p1"\n'


def plant_with(folder: Path, text: str, assets: Sequence[str] = ("line1/filler",), web: str = "") -> Plant:
    """A plant.toml with assets that nobody polls, and what else it is to say."""
    named = "\n".join(ASSET.format(name, 10_000 + number) for number, name in enumerate(assets))
    path = folder / "plant.toml"
    head = '[plant]\nname = "Bottling works"\n[store]\nurl = "sqlite:///asbuilt.db"\n[web]\nlisten = "127.0.0.1:0"'
    path.write_text(f"{head}\n{web}\n{named}\n{text}\n", encoding="utf-8")
    return load_plant(path)


@dataclass
class Visitor:
    """Somebody at the page, or with a token at the API: what they send carries what a browser would send."""

    client: httpx.Client
    site: Site

    def get(self, path: str, **asked: Any) -> httpx.Response:
        return self.client.get(path, **asked)

    def sign_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        return self.client.post("/sign-in", data={"name": name, "password": password})

    def enter(self, name: str) -> None:
        """Go on in a session of somebody: see `session_of`."""
        self.client.cookies.set(COOKIE, session_of(self.site, name), domain=self.client.base_url.host)

    def post(self, path: str, data: Mapping[str, Any] | None = None, page: str = "/coverage") -> httpx.Response:
        """Send a form with the key of our session, which stands in every page that we see."""
        found = FORM_KEY.search(self.client.get(page).text)
        assert found, f"{page} has no form"
        return self.client.post(path, data={**(data or {}), "form_key": found[1]})

    def api(self, method: str, path: str, token: str = "", **asked: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.client.request(method, f"/api/v1{path}", headers=headers, **asked)


def session_of(site: Site, name: str) -> str:
    """A new session of somebody, begun without trying their password (which takes a third of a second of a
    processor); the secret that their browser keeps."""
    with site.database.read() as tx:
        person = store.person(tx, name)
    assert person, f"nobody is registered as {name}"
    asked = {"type": "http", "scheme": "http", "path": "/sign-in", "headers": [], "client": ("127.0.0.1", 0)}
    return begin(site, person, Request(asked))


@cache
def key_of(name: str) -> tuple[keys.Signer, str]:
    """Somebody's key, and the same sealed with PASSWORD: in every plant of this worker."""
    signer = keys.Signer.new()
    return signer, keys.seal(signer, PASSWORD)


def register(plant: Plant, database: Database, name: str, roles: Sequence[str] = EVERYTHING) -> Person:
    """Somebody with a password. Only the first needs nobody who signs: name the others' admin first."""
    signer, sealed = key_of(name)
    with deciding(plant, database, _admin(database), lambda text: None) as tx:
        return persons.add_person(tx, Person(name, tuple(roles), signer.key, sealed), _admin(database), utc_now())


def _admin(database: Database) -> Actor:
    with database.read() as tx:
        admins = [each for each in store.persons(tx) if "admin" in each.roles and each.sealed]
    if not admins:
        return Actor("nobody", "test")
    signer: keys.Signer | None
    signer, sealed = key_of(admins[0].name)
    if sealed != admins[0].sealed:
        signer = keys.unseal(str(admins[0].sealed), admins[0].public_key, PASSWORD)
    return Actor(admins[0].name, "test", signer=signer)


def token_of(visitor: Visitor, person: str, scopes: Sequence[str]) -> str:
    """A new token of somebody."""
    secret = token_urlsafe(8)
    with visitor.site.database.write() as tx:
        store.add_token(tx, Token(0, digest_of(secret), person, secret, tuple(scopes), utc_now()))
    return secret


@contextmanager
def serving(
    plant: Plant, database: Database | None = None, clock: Callable[[], datetime] = utc_now
) -> Iterator[Visitor]:
    """The web server over a plant, and somebody who has not signed in."""
    ours = database or Database(plant.store_url)
    ours.migrate()
    site = Site(lambda: plant, ours, clock, Vitals())
    with (
        closing(ours),
        served(WebTable("127.0.0.1:0"), site) as url,
        httpx.Client(base_url=url, follow_redirects=True, timeout=30) as client,
    ):
        wait_for(lambda: client.get("/healthz").status_code > 0, "the web server")
        yield Visitor(client, site)


@contextmanager
def signed_in(plant: Plant, name: str = "ada", roles: Sequence[str] = EVERYTHING, **served: Any) -> Iterator[Visitor]:
    """The same, and somebody who has."""
    with serving(plant, **served) as visitor:
        register(plant, visitor.site.database, name, roles)
        visitor.enter(name)
        yield visitor


@pytest.fixture(scope="session")
def chromium() -> Iterator[tuple[Browser, asyncio.AbstractEventLoop]]:
    """A headless Chromium that is installed here, one for a worker, and the loop that drives it."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no browser: install one of {', '.join(BROWSERS)} (apt-get install chromium)")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        loop = asyncio.get_running_loop()
        _run(None)
        try:
            yield launched, loop
        finally:
            _run(loop)
            launched.close()


@pytest.fixture
def browser(chromium: tuple[Browser, asyncio.AbstractEventLoop]) -> Iterator[Browser]:
    """The browser of this worker; where none is installed, tests that need one say so."""
    launched, loop = chromium
    _run(loop)
    try:
        yield launched
    finally:
        _run(None)


def _run(loop: asyncio.AbstractEventLoop | None) -> None:
    """Have a loop be the one that runs here: as long as it is, no asyncio.run() of another test works. What drives the
    browser lets its loop run on between two calls, and notices nothing when it is taken away and given back."""
    asyncio._set_running_loop(loop)


@contextmanager
def browsing(
    browser: Browser, url: str, size: str = "desk", may_say: Sequence[str] = ("status of 4",), **options: Any
) -> Iterator[Page]:
    """A page of a browser of its own session. What it complains about (a script's error, our own policy broken) fails
    the test, but for what it may say: an answer of 4xx is what a test asks for."""
    context = browser.new_context(base_url=url, viewport=SIZES[size], **options)  # type: ignore[arg-type]
    said: list[str] = []
    try:
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        try:
            yield page
        except BaseException:
            print(page.url, page.inner_text("body"), sep="\n")  # which pytest shows
            raise
    finally:
        context.close()
    complaints = [text for text in said if not any(each in text for each in may_say)]
    assert not complaints, complaints


def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    """Sign in as a person does."""
    page.goto("/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/sign-in" not in url)


def enter(page: Page, visitor: Visitor, name: str) -> None:
    """The same without the form: see `session_of`."""
    secret, url = session_of(visitor.site, name), str(visitor.client.base_url)
    page.context.add_cookies([{"name": COOKIE, "value": secret, "url": url, "httpOnly": True, "sameSite": "Strict"}])
