"""Signing in at a provider of the plant's own (OpenID Connect Core 1.0, 3.1: code flow, with PKCE, state and nonce).

Whoever comes back has to be registered here under the name that the provider gives: it vouches for people, and
registers nobody. What waits for their return is in a cookie of theirs, sealed by this run of the server. That cookie
alone is lax: the provider sends them back from its own site. The session that then begins is strict, so our own page
has to send them on.
"""

from __future__ import annotations

import json
import time
import warnings
from hmac import compare_digest
from secrets import token_urlsafe
from typing import Any

import structlog
from cryptography.fernet import Fernet, InvalidToken
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from monitor import store
from monitor.config import OidcTable
from monitor.errors import CallError, NotNow, UserError
from monitor.store import Person
from monitor.web.access import address_of, is_provisional
from monitor.web.here import Here
from monitor.web.render import page
from monitor.web.signin import assure_role, begin, door_page, inside, keep
from monitor.web.site import Site

COOKIE, HOST_COOKIE = "asbuilt_provider", "__Host-asbuilt_provider"
WITHIN = 600  # seconds from leaving to coming back
PATIENCE = 10.0  # seconds that the provider has for an answer
LEEWAY = 60  # seconds that its clock may differ
# No "none", and nothing that is signed with a secret that we share with whoever else is a client of this kind.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
BACK = "/sign-in/provider/back"
KEY = Fernet(Fernet.generate_key())  # of this run

log = structlog.get_logger()
router = APIRouter(include_in_schema=False, prefix="/sign-in/provider")


@router.get("")
def leave(request: Request, site: Here, then: str = "/") -> Response:
    """To the provider."""
    try:
        oidc = _configured(site)
        state, nonce, verifier = token_urlsafe(32), token_urlsafe(32), token_urlsafe(48)
        with _client(oidc, request) as client:
            place = _discovered(client, oidc)["authorization_endpoint"]
            url, _ = client.create_authorization_url(place, state=state, nonce=nonce, code_verifier=verifier)
    except UserError as error:
        return door_page(request, site, then, error=str(error), status=503)
    answer = RedirectResponse(url, 303)
    waiting = {"state": state, "nonce": nonce, "verifier": verifier, "then": inside(then), "issuer": oidc.issuer}
    sealed = KEY.encrypt(json.dumps(waiting).encode()).decode()
    name = _cookie(request)
    secure = name == HOST_COOKIE
    answer.set_cookie(name, sealed, max_age=WITHIN, httponly=True, secure=secure, samesite="lax")
    return answer


@router.get("/back")
def back(request: Request, site: Here, code: str = "", state: str = "", iss: str = "", error: str = "") -> Response:
    """From the provider."""
    try:
        oidc = _configured(site)
        waiting = _waiting(request, oidc, state)
        if error or not code:
            raise NotNow(f"the provider let nobody in: {error[:100] or 'it sent no code'}")
        if iss and iss != oidc.issuer:  # RFC 9207
            raise NotNow("this answer is of another provider")
        claims = _claims(request, oidc, code, waiting)
        person = _person(site, oidc, claims)
        secret = begin(site, person, request, oidc.issuer)
    except UserError as wrong:
        log.warning("web.refused", provider=True, address=address_of(request), why=str(wrong))
        answer: Response = door_page(request, site, "/", error=str(wrong), status=401)
    else:
        to = "/account/password" if is_provisional(person) else inside(waiting["then"])
        answer = page(request, site, "onward.html.j2", to=to)
        keep(answer, secret, request)
    name = _cookie(request)
    answer.delete_cookie(name, secure=name == HOST_COOKIE, httponly=True, samesite="lax")
    return answer


def _cookie(request: Request) -> str:
    return HOST_COOKIE if request.url.scheme == "https" else COOKIE


def _configured(site: Site) -> OidcTable:
    oidc = site.plant().web.oidc
    if oidc is None:
        raise NotNow("no provider is named in plant.toml: [web.oidc]")
    return oidc


def _waiting(request: Request, oidc: OidcTable, state: str) -> dict[str, str]:
    """What this browser left with; NotNow if it did not, or too long ago."""
    try:
        text = KEY.decrypt(request.cookies.get(_cookie(request), "").encode(), ttl=WITHIN)
    except InvalidToken:
        raise NotNow("this browser did not go to the provider from here, or too long ago: try again") from None
    found: dict[str, str] = json.loads(text)
    if not compare_digest(found["state"].encode(), state.encode()) or found["issuer"] != oidc.issuer:
        raise NotNow("this is the answer to another question: try again")
    return found


def _client(oidc: OidcTable, request: Request) -> Any:
    """The provider's client; CallError where what it takes is not installed, or its secret cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what will be in its next version
            from authlib.integrations.httpx_client import OAuth2Client
    except ImportError:
        raise CallError("signing in at a provider takes more: pip install 'asbuilt[oidc]'") from None
    try:
        secret = oidc.secret.read() if oidc.client_secret_env or oidc.client_secret_file else None
    except ValueError as error:
        raise CallError(f"web.oidc: {error}") from None
    return OAuth2Client(
        oidc.client_id,
        secret,
        scope="openid profile email",
        redirect_uri=f"{request.url.scheme}://{request.headers['host']}{BACK}",
        code_challenge_method="S256",
        token_endpoint_auth_method="client_secret_basic" if secret else "none",
        timeout=PATIENCE,
        follow_redirects=False,
        trust_env=False,
    )


def _discovered(client: Any, oidc: OidcTable) -> dict[str, Any]:
    """What the provider says of itself (OpenID Connect Discovery 1.0, 4)."""
    found = _fetched(client, f"{oidc.issuer.rstrip('/')}/.well-known/openid-configuration")
    if found.get("issuer") != oidc.issuer:
        raise NotNow(f"the provider calls itself {str(found.get('issuer'))[:100]!r}, and plant.toml {oidc.issuer!r}")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        place = found.get(name)
        if not isinstance(place, str) or not place.startswith(("https://", f"{oidc.issuer.split('://')[0]}://")):
            raise NotNow(f"the provider names no {name} that can be used")
    return found


def _fetched(client: Any, url: str) -> dict[str, Any]:
    """A JSON object of the provider's; NotNow if it does not come."""
    from httpx import HTTPError

    try:
        answer = client.request("GET", url, withhold_token=True)
        found = json.loads(answer.content) if answer.status_code == 200 else None
    except (HTTPError, ValueError, RecursionError) as error:
        raise NotNow(f"the provider cannot be reached: {_told(error)}") from None
    if not isinstance(found, dict):
        raise NotNow(f"the provider does not answer as one: {url} gave {answer.status_code}")
    return found


def _told(error: Exception) -> str:
    return str(error)[:200] or type(error).__name__


def _claims(request: Request, oidc: OidcTable, code: str, waiting: dict[str, str]) -> dict[str, Any]:
    """What the provider says of whoever brought its code."""
    from authlib.common.errors import AuthlibBaseError
    from httpx import HTTPError

    with _client(oidc, request) as client:
        places = _discovered(client, oidc)
        keys = _fetched(client, places["jwks_uri"])
        try:
            given = client.fetch_token(places["token_endpoint"], code=code, code_verifier=waiting["verifier"])
        except (HTTPError, AuthlibBaseError, ValueError) as error:
            raise NotNow(f"the provider does not stand by its code: {_told(error)}") from None
    return read_claims(oidc, str(given.get("id_token", "")), keys, waiting["nonce"])


def read_claims(oidc: OidcTable, token: str, keys: Any, nonce: str) -> dict[str, Any]:
    """What an ID token says, by the provider's keys (JWKS); NotNow if any of it is wrong (OpenID Connect Core 1.0,
    3.1.3.7)."""
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    rules = jwt.JWTClaimsRegistry(
        now=int(time.time()),
        leeway=LEEWAY,
        iss={"essential": True, "value": oidc.issuer},
        aud={"essential": True, "value": oidc.client_id},
        exp={"essential": True},
        iat={"essential": True},
        sub={"essential": True},
        nonce={"essential": True, "value": nonce},
    )
    try:
        read = jwt.decode(token, KeySet.import_key_set(keys), algorithms=ALGORITHMS)
        rules.validate(read.claims)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise NotNow(f"what the provider says of you cannot be believed: {_told(error)}") from None
    claims: dict[str, Any] = read.claims
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if claims.get("azp", None if several else oidc.client_id) != oidc.client_id:
        raise NotNow("what the provider says of you is meant for another program")
    return claims


def _person(site: Site, oidc: OidcTable, claims: dict[str, Any]) -> Person:
    """Who is registered under the name that the provider gives; nobody else comes in."""
    name = claims.get(oidc.claim)
    if not isinstance(name, str) or not name:
        raise NotNow(f"the provider does not say {oidc.claim} of you: claim in [web.oidc] of plant.toml")
    if oidc.claim == "email" and claims.get("email_verified") is not True:
        raise NotNow("the provider has not verified your email address")
    with site.database.read() as tx:
        person = store.person(tx, name)
    if person is None:
        raise NotNow(f"nobody is registered as {name[:100]}: an admin can do it (People)")
    assure_role(person)
    return person
