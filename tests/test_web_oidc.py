"""Signing in at a provider, a real one on loopback."""

from __future__ import annotations

import hmac
import re
import time
import warnings
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from playwright.sync_api import Browser

from collectors.written import FileError
from monitor import store
from monitor.config import OidcTable, load_plant
from monitor.errors import NotNow
from monitor.web.oidc import read_claims
from tests.sites import Visitor, browsing, plant_with, register, serving

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from oidc_provider_mock import User, run_server_in_thread

USERS = [
    User(sub="1", claims={"preferred_username": "ada"}),
    User(sub="2", claims={"preferred_username": "stranger"}),
    User(sub="3", claims={}),
]


@dataclass
class Provided:
    visitor: Visitor
    issuer: str

    def left(self, then: str = "/coverage") -> httpx.Response:
        """Where the browser is sent to."""
        return self.visitor.client.get("/sign-in/provider", params={"then": then}, follow_redirects=False)

    def comes_back(self, sub: str, then: str = "/coverage") -> httpx.Response:
        """Somebody goes to the provider, says there who they are, and comes back."""
        place = self.left(then).headers["location"]
        answer = httpx.post(place, data={"sub": sub}, follow_redirects=False)
        return self.visitor.client.get(answer.headers["location"])


@pytest.fixture(scope="module")
def provided(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provided]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with run_server_in_thread(user_claims=USERS) as server:
            issuer = f"http://127.0.0.1:{server.server_port}"
            oidc = f'[web.oidc]\nissuer = "{issuer}"\nclient_id = "asbuilt"\nclient_secret_env = "PATH"\n'
            plant = plant_with(tmp_path_factory.mktemp("oidc"), oidc)
            with serving(plant) as visitor:
                register(plant, visitor.site.database, "ada")
                yield Provided(visitor, issuer)


def test_who_is_registered_comes_in(provided: Provided) -> None:
    visitor = provided.visitor
    assert "Sign in at 127.0.0.1" in visitor.get("/sign-in").text
    left = provided.left()
    asked = parse_qs(urlsplit(left.headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked.keys() >= {"state", "nonce", "code_challenge"}
    assert "samesite=lax" in left.headers["set-cookie"].lower()
    landed = provided.comes_back("1")
    assert "url=/coverage" in landed.text, "our own page sends them on: a strict cookie is not sent otherwise"
    assert visitor.get("/coverage").url.path == "/coverage"
    with visitor.site.database.read() as tx:
        begun = [each for each in store.audit_entries(tx) if each.action == "session.begin"]
    assert (begun[-1].actor, begun[-1].detail["by"]) == ("ada", provided.issuer)
    visitor.post("/sign-out")


@pytest.mark.parametrize(("sub", "why"), [("2", "nobody is registered as stranger"), ("3", "does not say preferred")])
def test_nobody_else_does(provided: Provided, sub: str, why: str) -> None:
    landed = provided.comes_back(sub)
    assert (landed.status_code, why in landed.text) == (401, True)
    assert provided.visitor.get("/coverage").url.path == "/sign-in"


def test_an_answer_counts_once_and_in_the_browser_that_asked(provided: Provided) -> None:
    place = provided.left()
    cookie = place.headers["set-cookie"].split(";")[0]
    back = httpx.post(place.headers["location"], data={"sub": "1"}, follow_redirects=False).headers["location"]

    def comes(url: str, cookie: str = cookie) -> str:
        """What a browser is told that has this cookie."""
        return httpx.get(url, headers={"Cookie": cookie}, timeout=30).text

    assert "did not go to the provider from here" in comes(back, ""), "a login that somebody else began"
    assert "did not go to the provider from here" in comes(back, cookie.replace("gAAAAA", "gAAAAB"))
    forged = re.sub(r"state=[^&]+", "state=guessed", back)
    assert "answer to another question" in comes(forged)
    another = provided.left().headers["set-cookie"].split(";")[0]
    assert "answer to another question" in comes(back, another)
    denied = re.sub(r"code=[^&]+", "error=access_denied", back)
    assert "let nobody in" in comes(denied)
    assert "of another provider" in comes(f"{back}&iss=https://evil.example")
    assert "url=/coverage" in comes(back)
    assert "does not stand by its code" in comes(back), "it counts once"
    provided.visitor.client.cookies.clear()


def test_one_comes_back_to_pages_of_ours_alone(provided: Provided) -> None:
    landed = provided.comes_back("1", "//evil.example/")
    assert 'url=/"' in landed.text
    provided.visitor.post("/sign-out")


def test_in_a_browser_the_session_holds(provided: Provided, browser: Browser) -> None:
    with browsing(browser, str(provided.visitor.client.base_url)) as page:
        page.route(re.compile("^https:"), lambda route: route.fulfill(body=""))  # what its page has of elsewhere
        page.goto("/coverage")
        page.get_by_role("link", name="Sign in at 127.0.0.1").click()
        page.locator('input[name="sub"]').fill("1")
        page.locator('button[type="submit"]').first.click()
        page.get_by_role("heading", name="Coverage").wait_for()
        page.reload()
        assert page.get_by_role("heading", name="Coverage").is_visible()


# What the provider says is believed only if all of it is right

OIDC = OidcTable("https://login.plant.local", "asbuilt")
RSA, OTHER = RSAKey.generate_key(2048), RSAKey.generate_key(2048)
KEYS = KeySet([RSA]).as_dict(private=False)
HS256 = urlsafe_b64encode(b'{"alg":"HS256"}').decode().rstrip("=")
GOOD = {"iss": OIDC.issuer, "aud": "asbuilt", "sub": "1", "nonce": "n", "preferred_username": "ada"}


def signed(claims: Mapping[str, object], key: RSAKey = RSA, **header: str) -> str:
    now = int(time.time())
    return jwt.encode({"alg": "RS256", **header}, {"iat": now, "exp": now + 60, **claims}, key)


def test_a_good_one_is_believed() -> None:
    assert read_claims(OIDC, signed(GOOD), KEYS, "n")["preferred_username"] == "ada"
    several = signed({**GOOD, "aud": ["asbuilt", "other"], "azp": "asbuilt"})
    assert read_claims(OIDC, several, KEYS, "n")


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"aud": ["asbuilt", "another"]},
        {"azp": "another"},
        {"nonce": "another"},
        {"nonce": ""},
        {"exp": 1},
        {"exp": None},
        {"iat": 99999999999},
        {"sub": ""},
    ],
)
def test_one_with_a_wrong_claim_is_not(claims: dict[str, object]) -> None:
    with pytest.raises(NotNow):
        read_claims(OIDC, signed({**GOOD, **claims}), KEYS, "n")


def test_one_that_the_provider_did_not_sign_is_not() -> None:
    head, body, signature = signed(GOOD).split(".")
    begun = f"{HS256}.{body}"
    mac = hmac.digest(RSA.as_pem(private=False), begun.encode(), "sha256")
    confused = f"{begun}.{urlsafe_b64encode(mac).decode().rstrip('=')}"  # the public key taken for a secret
    for text in (signed(GOOD, OTHER), confused, f"{head}.{body}.", f"eyJhbGciOiJub25lIn0.{body}.", "", "x.y.z"):
        with pytest.raises(NotNow):
            read_claims(OIDC, text, KEYS, "n")
    assert signature


def test_a_provider_that_is_away_is_said(tmp_path: Path) -> None:
    oidc = '[web.oidc]\nissuer = "http://127.0.0.1:9"\nclient_id = "asbuilt"\n'
    with serving(plant_with(tmp_path, oidc)) as visitor:
        register(visitor.site.plant(), visitor.site.database, "ada")
        answer = visitor.get("/sign-in/provider")
        assert (answer.status_code, "cannot be reached" in answer.text) == (503, True)
        assert "Password" in answer.text, "and one signs in with a password as before"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('issuer = "http://login.plant.local"\nclient_id = "a"', "begins with https"),
        ('issuer = "https://l"\nclient_id = "a"\nclient_secret = "x"', "no secret belongs in this file"),
        ('issuer = "https://l"', "client_id: is required"),
        ('issuer = "https://l"\nclient_id = "a"\nclient_secret_env = "A"\nclient_secret_file = "b"', "not both"),
    ],
)
def test_what_is_wrong_in_the_file_is_said(tmp_path: Path, text: str, why: str) -> None:
    plant_with(tmp_path, "")
    path = tmp_path / "plant.toml"
    path.write_text(f"{path.read_text()}\n[web.oidc]\n{text}\n")
    with pytest.raises(FileError, match=why):
        load_plant(path)
