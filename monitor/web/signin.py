"""Signing in and out, and the first run: there is no default password, only a code that the daemon's log has."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from hmac import compare_digest
from secrets import token_hex, token_urlsafe

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import Response

from monitor import keys, persons, store
from monitor.errors import CallError, NotNow, UserError
from monitor.evidence import deciding
from monitor.store import Actor, Person, Session
from monitor.web.access import COOKIE, LONGEST, Role, Viewer, address_of, digest_of, roles_of
from monitor.web.forms import Form, FromAnybody, Sent
from monitor.web.here import Here
from monitor.web.limits import Limits
from monitor.web.render import back_to, page
from monitor.web.site import Site

ALL = tuple(role.value for role in Role)  # what the first person is: nobody else is there yet
DUMMY = keys.seal(keys.Signer.new(), token_hex(8))  # opened in vain for a name that nobody has: that takes as long

log = structlog.get_logger()
router = APIRouter(include_in_schema=False)


@dataclass(slots=True)
class Door:
    """What signing in needs beside the store: limits, and the code of the first run."""

    limits: Limits = field(default_factory=lambda: Limits(time.monotonic))
    code: str = field(default_factory=lambda: token_hex(4))


def say_code(site: Site, door: Door, url: str) -> None:
    """Where nobody is registered yet: say in the log how the first person comes in."""
    with site.database.read() as tx:
        if store.persons(tx):
            return
    log.warning("web.setup", url=f"{url}/setup?code={door.code}", text="nobody is registered yet: open this address")


def door_of(request: Request) -> Door:
    found: Door = request.app.state.door
    return found


@router.get("/setup")
def setup(request: Request, site: Here, code: str = "") -> Response:
    if _is_set_up(site):
        return back_to("/sign-in")
    return page(request, site, "setup.html.j2", code=code)


@router.post("/setup")
def first_person(request: Request, site: Here, form: FromAnybody) -> Response:
    try:
        secret = _first_person(request, site, form)
    except UserError as error:
        code = form.text("code")
        return page(request, site, "setup.html.j2", form=form, error=str(error), status=422, code=code)
    answer = back_to("/", "Welcome. You are the admin: register the others under People.")
    _keep(answer, secret, request)
    return answer


def _is_set_up(site: Site) -> bool:
    with site.database.read() as tx:
        return bool(store.persons(tx))


def _first_person(request: Request, site: Site, form: Form) -> str:
    door, address = door_of(request), address_of(request)
    if wait := door.limits.wait(address):
        raise NotNow(f"too many wrong codes: try again in {wait:.0f} s")
    if not compare_digest(form.text("code").encode(), door.code.encode()):
        door.limits.failed(address)
        raise CallError("this is not the code of this run: asbuilt run writes it into its log (web.setup)")
    name, password = form.text("name", "your name", required=True), form.secret()
    if not name.isprintable():
        raise CallError("your name is one line of letters that can be seen")
    if password != form.secret("password_again"):
        raise CallError("these are two passwords")
    signer = keys.Signer.new()
    person = Person(name, ALL, signer.key, keys.seal(signer, password))
    actor = Actor(name, f"page {address}")
    with deciding(site.plant(), site.database, actor, _say) as tx:
        if store.persons(tx):
            raise NotNow("somebody else was registered a moment ago: sign in, or ask them")
        persons.add_person(tx, person, actor, site.clock())
    return begin(site, person, address)


@router.get("/sign-in")
def sign_in(request: Request, site: Here, then: str = "/") -> Response:
    if not _is_set_up(site):
        return page(request, site, "setup.html.j2", code="")
    return page(request, site, "sign_in.html.j2", then=_inside(then))


@router.post("/sign-in")
def signed_in(request: Request, site: Here, form: FromAnybody) -> Response:
    then = _inside(form.text("then"))
    try:
        secret = _sign_in(request, site, form)
    except UserError as error:
        return page(request, site, "sign_in.html.j2", form=form, error=str(error), status=401, then=then)
    answer = back_to(then)
    _keep(answer, secret, request)
    return answer


def _sign_in(request: Request, site: Site, form: Form) -> str:
    name, address = form.text("name", "your name", required=True), address_of(request)
    limits = door_of(request).limits
    if wait := limits.wait(f"name {name}", f"address {address}"):
        raise NotNow(f"too many wrong passwords: try again in {wait:.0f} s")
    with site.database.read() as tx:
        person = store.person(tx, name)
    with limits.gate:
        sealed, key = (person.sealed, person.public_key) if person and person.sealed else (DUMMY, "00" * 32)
        opened = keys.unseal(sealed, key, form.secret())
    if person is None or opened is None:
        times = limits.failed(f"name {name}", f"address {address}")
        log.warning("web.refused", name=name, address=address, times=times)
        raise CallError("name and password do not belong together")
    if not roles_of(person):
        raise CallError(f"{name} has no role on this page: an admin can give one (asbuilt person add, --role viewer)")
    limits.succeeded(f"name {name}", f"address {address}")
    return begin(site, person, address)


def begin(site: Site, person: Person, address: str) -> str:
    """Begin a session of somebody who has proved who they are; what their browser is to keep."""
    secret, now = token_urlsafe(32), site.clock()
    made = Session(digest_of(secret), person.name, token_hex(32), address, now, now)
    actor = Actor(person.name, f"page {address}")
    with deciding(site.plant(), site.database, actor, _say) as tx:
        store.end_sessions(tx, unseen_since=now - LONGEST)
        store.add_session(tx, made)
        store.audit(tx, now, actor, "session.begin", person.name, {"address": address})
    return secret


@router.post("/sign-out")
def sign_out(site: Here, caller: Viewer, _: Sent) -> Response:
    assert caller.session is not None
    with deciding(site.plant(), site.database, caller.actor(), _say) as tx:
        store.end_sessions(tx, digest=caller.session.digest)
        store.audit(tx, site.clock(), caller.actor(), "session.end", caller.name, {"address": caller.session.address})
    answer = back_to("/sign-in")
    answer.delete_cookie(COOKIE)
    return answer


def _keep(answer: Response, secret: str, request: Request) -> None:
    secure = request.url.scheme == "https"
    most = int(LONGEST / timedelta(seconds=1))
    answer.set_cookie(COOKIE, secret, max_age=most, httponly=True, secure=secure, samesite="strict")


def _inside(path: str) -> str:
    """A page of ours to go on to: anything else, also what a browser would take for another host, is the first page."""
    inside = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if inside else "/"


def _say(text: str) -> None:
    log.warning("web", text=text)
