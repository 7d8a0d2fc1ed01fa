"""Who calls, and what they may. A page is asked by a session, the API by a token; everything else is the same.

Every person of the page is a registered person (monitor/persons.py): their password opens their own key, so whatever
they sign here an auditor verifies like everything else. Roles are words of the person's entry in the audit chain.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Request

from monitor import keys, store
from monitor.errors import CallError, NotNow, StoreError, Unverified, UserError
from monitor.roles import WORDS as WORDS
from monitor.roles import Role as Role
from monitor.roles import roles_of as roles_of
from monitor.roles import whole
from monitor.store import Actor, Person, Session, Signing, Transaction
from monitor.tokens import digest_of as digest_of
from monitor.web.here import Here
from monitor.web.limits import TooOften
from monitor.web.passwords import opened
from monitor.web.site import Site

COOKIE = "asbuilt_session"
HOST_COOKIE = f"__Host-{COOKIE}"  # over TLS: no other host of the domain can set it, nor anybody without TLS
IDLE = timedelta(hours=12)  # a shift: a session that nobody used for so long is over
LONGEST = timedelta(days=7)  # and every session after so long
SEEN_EVERY = timedelta(minutes=1)  # that the store is told of its use


class Denied(UserError):
    """Somebody may not do this."""


class WrongPassword(CallError):
    """What was to be signed with a password was sent with another."""


def status_of(error: Exception) -> int:
    """The status of an error that a person or a program can mend (RFC 9110, 15.5)."""
    if isinstance(error, Denied):
        return 403
    if isinstance(error, TooOften):
        return 429
    if isinstance(error, NotNow | Unverified):
        return 409
    return 503 if isinstance(error, StoreError) else 422


class NotSignedIn(Exception):
    """Somebody has to sign in first; then they come back to `then`."""

    def __init__(self, then: str) -> None:
        self.then = then


class Provisional(Exception):
    """Somebody else has chosen the password of who is signed in: they choose their own first."""


class Unknown(Exception):
    """A program came to the API without a token that is good; `why` is a sentence."""

    def __init__(self, why: str) -> None:
        self.why = why


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a person, in the roles that they have here. `via` stands in the audit trail beside their name."""

    person: Person
    roles: frozenset[Role]
    via: str
    address: str
    site: Site
    session: Session | None = None

    @property
    def name(self) -> str:
        return self.person.name

    @property
    def signs(self) -> bool:
        """Whether they have a password, which is what one signs with here."""
        return self.person.sealed is not None

    def may(self, role: Role) -> bool:
        return role in self.roles

    def assure(self, role: Role) -> None:
        """Denied unless they have a role."""
        if not self.may(role):
            raise Denied(f"this takes the role {role}, and {self.name} has not got it here: an admin can give it")

    def assure_still(self, tx: Transaction, role: Role) -> None:
        """Denied unless they have a role in the store as it is now: what they began may have taken an hour."""
        now = store.person(tx, self.name)
        if now is None or role not in roles_of(now):
            raise Denied(f"{self.name} has not got the role {role} any more")

    def actor(self, role: str = "", signer: Signing | None = None) -> Actor:
        """Who acts, in the role in which they sign off, if they do."""
        return Actor(self.name, self.via, role, signer)

    def signing(self, password: str | None, due: bool = False) -> Actor:
        """Who acts: with their own key where that is due, and wherever they gave their password, which opens it."""
        return self.actor(signer=self.signer(password or "") if due or password else None)

    def signer(self, password: str) -> Signing:
        """Their own key, opened with their password. WrongPassword if it is another's; CallError if they keep their key
        elsewhere."""
        if self.person.sealed is None:
            raise CallError(
                f"{self.name} signs with a key in a file, which the page does not have: use asbuilt on the command"
                " line with --key, or have an admin register a password"
            )
        if not password:
            raise CallError("your password is missing: this is signed with your own key, which it opens")
        signer = opened(self.site, self.name, self.person, password, self.address, known=True)
        if signer is None:
            raise WrongPassword(f"this is not the password of {self.name}")
        return signer


def caller_of_session(tx: Transaction, site: Site, secret: str) -> Caller | None:
    """Who is signed in by a session; None if nobody is, any more."""
    found = store.session(tx, digest_of(secret))
    now = site.clock()
    if found is None or now - found.seen_at > IDLE or now - found.began_at > LONGEST:
        return None
    person = store.person(tx, found.person)
    if person is None or not roles_of(person):
        return None
    return Caller(person, roles_of(person), f"page {found.address}", found.address, site, found)


def caller_of_token(tx: Transaction, site: Site, secret: str, address: str) -> Caller:
    """Whose token it is; Unknown if it is none that is good."""
    found = store.tokens(tx, digest=digest_of(secret))
    if not found or not found[0].is_good(site.clock()):
        raise Unknown("this token is not known, has ended, or was revoked")
    token, person = found[0], store.person(tx, found[0].person)
    if person is None:
        raise Unknown(f"{token.person} is not registered any more, and with them goes their token")
    if is_provisional(person):
        raise Unknown(f"{person.name} has to choose a password of their own first, on the page")
    return Caller(person, roles_of(person) & whole(token.scopes), f"token {token.name} {address}", address, site)


def is_provisional(person: Person) -> bool:
    return bool(person.sealed) and keys.is_provisional(str(person.sealed))


def cookie_name(request: Request) -> str:
    """The cookie of the session: whatever came without TLS is nobody's session where there is TLS."""
    return HOST_COOKIE if request.url.scheme == "https" else COOKIE


def address_of(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def somebody(request: Request, site: Here) -> Caller:
    """Who is signed in, also with a password that somebody else has chosen; NotSignedIn if nobody knows."""
    secret = request.cookies.get(cookie_name(request), "")
    caller = None
    if secret:
        with site.database.read() as tx:
            caller = caller_of_session(tx, site, secret)
    if caller is None:
        then = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        raise NotSignedIn(quote(then if request.method == "GET" else "/", safe=""))
    assert caller.session is not None
    now = site.clock()
    if now - caller.session.seen_at > SEEN_EVERY:
        with suppress(StoreError), site.database.write() as tx:  # a store that is full can still be looked at
            store.session_seen(tx, caller.session.digest, now)
    return caller


Somebody = Annotated[Caller, Depends(somebody)]


def visitor(request: Request, site: Here) -> Caller:
    """Who looks at a page, with a password that only they know; NotSignedIn if nobody knows, Provisional if it is not
    theirs alone."""
    caller = somebody(request, site)
    if is_provisional(caller.person):
        raise Provisional
    return caller


def program(request: Request, site: Here) -> Caller:
    """Who uses the API; Unknown unless they bring a token that is good (RFC 6750, 2.1)."""
    known: Caller | None = getattr(request.state, "caller", None)
    if known is not None:  # by the gate, which every request passes first
        return known
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise Unknown("a token is missing: Authorization: Bearer …; people make theirs on the page, under their name")
    secret, now = secret.strip(), site.clock()
    with site.database.read() as tx:
        caller = caller_of_token(tx, site, secret, address_of(request))
        (token,) = store.tokens(tx, digest=digest_of(secret))
    if token.used_at is None or now - token.used_at > SEEN_EVERY:
        with suppress(StoreError), site.database.write() as tx:
            store.token_used(tx, token.id, now)
    return caller


NEEDED: dict[Callable[..., Caller], Role] = {}  # what a dependency assures of


def _may(role: Role, who: Callable[..., Caller]) -> Callable[..., Caller]:
    def assured(caller: Caller = Depends(who)) -> Caller:
        caller.assure(role)
        return caller

    NEEDED[assured] = role
    return assured


# On a page, whoever looks at it or sends its form:
Viewer = Annotated[Caller, Depends(_may(Role.VIEWER, visitor))]
Operator = Annotated[Caller, Depends(_may(Role.OPERATOR, visitor))]
Engineer = Annotated[Caller, Depends(_may(Role.ENGINEER, visitor))]
Approver = Annotated[Caller, Depends(_may(Role.APPROVER, visitor))]
Admin = Annotated[Caller, Depends(_may(Role.ADMIN, visitor))]
# In the API, whose token it is:
ViewerToken = Annotated[Caller, Depends(_may(Role.VIEWER, program))]
OperatorToken = Annotated[Caller, Depends(_may(Role.OPERATOR, program))]
EngineerToken = Annotated[Caller, Depends(_may(Role.ENGINEER, program))]
ApproverToken = Annotated[Caller, Depends(_may(Role.APPROVER, program))]
AdminToken = Annotated[Caller, Depends(_may(Role.ADMIN, program))]
