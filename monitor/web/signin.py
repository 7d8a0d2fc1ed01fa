"""Signing in and out, and the first run: there is no default password, only a code that the daemon's log has."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from hmac import compare_digest
from secrets import token_hex, token_urlsafe
from urllib.parse import urlsplit

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import Response

from monitor import keys, persons, store
from monitor.errors import CallError, StoreError, UserError
from monitor.evidence import deciding
from monitor.roles import Role, roles_of
from monitor.store import Actor, Person, Session
from monitor.tokens import digest_of
from monitor.web.access import (
    COOKIE,
    HOST_COOKIE,
    LONGEST,
    NotSignedIn,
    Somebody,
    address_of,
    cookie_name,
    is_provisional,
    somebody,
    status_of,
)
from monitor.web.asked import say
from monitor.web.forms import Form, FromAnybody, Sent
from monitor.web.here import Here
from monitor.web.limits import TooOften
from monitor.web.passwords import assure_turn, opened
from monitor.web.render import back_to, page
from monitor.web.site import Site

ALL = tuple(role.value for role in Role)  # what the first person is: nobody else is there yet
MOST_SESSIONS = 20  # of a person: the oldest give way
SETUP = ""  # under which name wrong codes are counted: nobody is called so

log = structlog.get_logger()
router = APIRouter(include_in_schema=False)


@dataclass(slots=True)
class Door:
    """The code of the first run, and whether the log has it."""

    code: str = field(default_factory=lambda: token_hex(8))
    said: bool = False


def say_code(site: Site, door: Door, url: str) -> None:
    """Where nobody is registered yet: say in the log, once, how the first person comes in."""
    if door.said or _is_set_up(site):
        return
    door.said = True
    log.warning("web.setup", url=f"{url}/setup?code={door.code}", text="nobody is registered yet: open this address")


def door_of(request: Request) -> Door:
    found: Door = request.app.state.door
    return found


@router.get("/setup")
def setup(request: Request, site: Here, code: str = "") -> Response:
    if _is_set_up(site):
        return back_to("/sign-in")
    return _first_run(request, site, code=code)


def _first_run(request: Request, site: Site, **shown: object) -> Response:
    say_code(site, door_of(request), f"{request.url.scheme}://{request.url.netloc}")
    return page(request, site, "setup.html.j2", **{"code": "", **shown})  # type: ignore[arg-type]


@router.post("/setup")
def first_person(request: Request, site: Here, form: FromAnybody) -> Response:
    try:
        secret = _first_person(request, site, form)
    except UserError as error:
        return _first_run(request, site, form=form, error=str(error), status=status_of(error))
    answer = back_to("/", "Welcome. You are the admin: register the others under People.")
    keep(answer, secret, request)
    return answer


def _is_set_up(site: Site) -> bool:
    with site.database.read() as tx:
        return bool(store.persons(tx))


def _first_person(request: Request, site: Site, form: Form) -> str:
    address = address_of(request)
    if _is_set_up(site):
        raise NotSignedIn("/")
    assure_turn(site, SETUP, address, known=True)
    if not compare_digest(form.text("code").encode(), door_of(request).code.encode()):
        site.limits.failed(SETUP, address, known=True)
        raise CallError("this is not the code of this run: asbuilt run writes it into its log (web.setup)")
    name, password = form.text("name", "your name", required=True), form.secret()
    persons.assure_name(name)
    if password != form.secret("password_again"):
        raise CallError("these are two passwords: type the same one twice")
    signer = keys.Signer.new()
    person = Person(name, ALL, signer.key, keys.seal(signer, password))
    actor = Actor(name, f"page {address}")
    with deciding(site.plant(), site.database, actor, say) as tx:
        if store.persons(tx):
            raise NotSignedIn("/")  # somebody else was registered a moment ago
        persons.add_person(tx, person, actor, site.clock())
    return begin(site, person, request)


@router.get("/sign-in")
def sign_in(request: Request, site: Here, then: str = "/") -> Response:
    if not _is_set_up(site):
        return _first_run(request, site)
    try:
        somebody(request, site)
    except NotSignedIn:
        return door_page(request, site, then)
    return back_to(inside(then))


def door_page(request: Request, site: Site, then: str, **shown: object) -> Response:
    """The page on which one signs in."""
    with site.database.read() as tx:
        everybody = store.persons(tx)
    admin = any(Role.ADMIN in each.roles for each in everybody)
    oidc = site.plant().web.oidc
    provider = urlsplit(oidc.issuer).hostname if oidc else ""
    shown |= {"then": inside(then), "admin": admin, "provider": provider}
    return page(request, site, "sign_in.html.j2", **shown)  # type: ignore[arg-type]


@router.post("/sign-in")
def signed_in(request: Request, site: Here, form: FromAnybody) -> Response:
    then = form.text("then")
    try:
        person = _sign_in(request, site, form)
        secret = begin(site, person, request)
    except UserError as error:
        status = status_of(error) if isinstance(error, StoreError | TooOften) else 401
        return door_page(request, site, then, form=form, error=str(error), status=status)
    answer = back_to("/account/password" if is_provisional(person) else inside(then))
    keep(answer, secret, request)
    return answer


def _sign_in(request: Request, site: Site, form: Form) -> Person:
    name, address = form.text("name", "your name", required=True), address_of(request)
    with site.database.read() as tx:
        person = store.person(tx, name)
        known = any(each.address == address for each in store.sessions(tx, name))
    if opened(site, name, person, form.secret(), address, known) is None or person is None:
        raise CallError("name and password do not belong together")
    assure_role(person)
    return person


def assure_role(person: Person) -> None:
    """CallError for who may do nothing here."""
    if not roles_of(person):
        raise CallError(
            f"{person.name} has no role on this page: an admin can give one (People; or asbuilt person add, --role)"
        )


def begin(site: Site, person: Person, request: Request, by: str = "password") -> str:
    """Begin a session of somebody who has proved who they are; what their browser is to keep.

    It is always a new one: whatever the browser brought along was perhaps given to it by somebody else, and ends.
    """
    secret, now, address = token_urlsafe(32), site.clock(), address_of(request)
    made = Session(digest_of(secret), person.name, token_hex(32), address, now, now)
    actor = Actor(person.name, f"page {address}")
    with deciding(site.plant(), site.database, actor, say) as tx:
        store.end_sessions(tx, unseen_since=now - LONGEST)
        if brought := request.cookies.get(cookie_name(request)):
            store.end_sessions(tx, digest=digest_of(brought))
        for old in store.sessions(tx, person.name)[MOST_SESSIONS - 1 :]:
            store.end_sessions(tx, digest=old.digest)
        store.add_session(tx, made)
        store.audit(tx, now, actor, "session.begin", person.name, {"address": address, "by": by})
    return secret


@router.post("/sign-out")
def sign_out(request: Request, site: Here, caller: Somebody, _: Sent) -> Response:
    assert caller.session is not None
    with deciding(site.plant(), site.database, caller.actor(), say) as tx:
        store.end_sessions(tx, digest=caller.session.digest)
        store.audit(tx, site.clock(), caller.actor(), "session.end", caller.name, {"sessions": "1"})
    answer = back_to("/sign-in")
    name = cookie_name(request)
    answer.delete_cookie(name, secure=name == HOST_COOKIE, httponly=True, samesite="strict")
    return answer


def keep(answer: Response, secret: str, request: Request) -> None:
    """Have the browser keep the session; nothing but our own pages makes it send it."""
    name, most = cookie_name(request), int(LONGEST / timedelta(seconds=1))
    answer.set_cookie(name, secret, max_age=most, httponly=True, secure=name == HOST_COOKIE, samesite="strict")
    if name == HOST_COOKIE and COOKIE in request.cookies:
        answer.delete_cookie(COOKIE)


def inside(path: str) -> str:
    """A page of ours to go on to: anything else, also what a browser would take for another host, is the first page."""
    known = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if known else "/"
