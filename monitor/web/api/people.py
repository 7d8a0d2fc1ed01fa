"""Who may do what: the people who are registered, and tokens. What is decided about people is signed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import Field, StringConstraints

from monitor import persons, store, tokens
from monitor.errors import NotNow
from monitor.evidence import deciding
from monitor.persons import person_document
from monitor.roles import Role
from monitor.store import Actor, Person, Transaction
from monitor.tokens import token_document
from monitor.web.access import AdminToken, Caller, ViewerToken
from monitor.web.api.sent import Body, IdIn, Name, Password, Reason, When
from monitor.web.asked import say
from monitor.web.here import Here
from monitor.web.site import Site

Words = Annotated[list[Annotated[str, StringConstraints(pattern=r"^[!-~]{1,40}$")]], Field(max_length=50)]

router = APIRouter(tags=["people"])


@router.get("/persons")
def persons_list(
    site: Here, _: AdminToken, removed: Annotated[bool, Query(description="Also who was removed.")] = False
) -> dict[str, Any]:
    """Who is registered, with which roles and which key."""
    with site.database.read() as tx:
        return {"persons": [person_document(each) for each in store.persons(tx, removed=removed)]}


class NewPerson(Body):
    """Somebody who is to be registered, with a password that they change when they sign in first."""

    name: Name
    roles: Words
    """Roles of the page, and words in which they sign off."""
    password: Password
    """Of the admin, who signs it."""


@router.post("/persons", status_code=201)
def register(site: Here, caller: AdminToken, body: NewPerson) -> dict[str, Any]:
    """Register somebody. `provisional_password` is shown once: tell it them, and they choose their own."""
    password = persons.provisional_password()
    person = Person(body.name, persons.named(body.roles), *persons.fresh_key(password, provisional=True))

    def add(tx: Transaction, actor: Actor) -> Person:
        if store.person(tx, person.name):
            raise NotNow(f"{person.name} is registered already: change their roles, or reset their password")
        return persons.add_person(tx, person, actor, site.clock())

    done = _decided(site, caller, body.password, add)
    return {"persons": [person_document(done)], "provisional_password": password}


class ChangedRoles(Body):
    """What somebody is from now on."""

    name: Name
    roles: Words
    password: Password
    """Of the admin, who signs it."""


@router.post("/persons/roles")
def change_roles(site: Here, caller: AdminToken, body: ChangedRoles) -> dict[str, Any]:
    """Give somebody other roles."""
    words, now = persons.named(body.roles), site.clock()
    done = _decided(
        site, caller, body.password, lambda tx, actor: persons.change_roles(tx, body.name, words, actor, now)
    )
    return {"persons": [person_document(done)]}


class Whose(Body):
    """Whose password is reset."""

    name: Name
    password: Password
    """Of the admin, who signs it."""


@router.post("/persons/reset")
def reset_password(site: Here, caller: AdminToken, body: Whose) -> dict[str, Any]:
    """Give somebody another password and key: they are signed in nowhere, and choose their own when they come back."""
    if body.name == caller.name:
        raise NotNow("you have a password, or you could not sign this: change it on the page, under your account")
    password, now = persons.provisional_password(), site.clock()
    key, sealed = persons.fresh_key(password, provisional=True)
    done = _decided(
        site, caller, body.password, lambda tx, actor: persons.change_key(tx, body.name, key, sealed, actor, now)
    )
    return {"persons": [person_document(done)], "provisional_password": password}


class Removed(Body):
    """Who is removed, and why."""

    name: Name
    reason: Reason
    password: Password
    """Of the admin, who signs it."""


@router.post("/persons/remove")
def remove(site: Here, caller: AdminToken, body: Removed) -> dict[str, Any]:
    """Somebody signs no more, and comes in no more. What they signed stays theirs."""
    now = site.clock()
    done = _decided(
        site,
        caller,
        body.password,
        lambda tx, actor: persons.remove_person(tx, body.name, actor, body.reason, now),
    )
    return {"persons": [person_document(done)]}


def _decided(site: Site, caller: Caller, password: str, deed: Callable[[Transaction, Actor], Person]) -> Person:
    actor = caller.actor(Role.ADMIN, caller.signer(password))
    with deciding(site.plant(), site.database, actor, say) as tx:
        return deed(tx, actor)


@router.get("/tokens")
def own_tokens(site: Here, caller: ViewerToken) -> dict[str, Any]:
    """Your own tokens that are good."""
    now = site.clock()
    with site.database.read() as tx:
        found = store.tokens(tx, person=caller.name)
    return {"tokens": [token_document(each, now) for each in found if each.is_good(now)]}


class NewToken(Body):
    """A token for a program, which acts in your name."""

    name: Annotated[Name, Field(max_length=tokens.LONGEST_NAME)]
    scopes: Annotated[list[Role], Field(min_length=1, max_length=len(Role))]
    ends_at: When | None = None
    """When it ends; never, if left out."""
    password: Password
    """Yours: you sign for it."""


@router.post("/tokens", status_code=201)
def new_token(site: Here, caller: ViewerToken, body: NewToken) -> dict[str, Any]:
    """Make another token of your own, which may no more than the one that asks. `token` is shown once."""
    for scope in body.scopes:
        caller.assure(scope)
    actor = caller.actor(signer=caller.signer(body.password))
    scopes = [scope.value for scope in body.scopes]
    now = site.clock()
    with deciding(site.plant(), site.database, actor, say) as tx:
        made, secret = tokens.make(tx, caller.name, body.name, scopes, body.ends_at, actor, now)
    return {"tokens": [token_document(made, now)], "token": secret}


@router.delete("/tokens/{number}")
def revoke_token(site: Here, caller: ViewerToken, number: IdIn) -> dict[str, Any]:
    """A token of yours is of no use any more; of others, if you are an admin."""
    with site.database.read() as tx:
        found = next(iter(store.tokens(tx, number=number)), None)
    if found is None or (found.person != caller.name and not caller.may(Role.ADMIN)):
        raise HTTPException(404, f"you have no token {number}")
    with deciding(site.plant(), site.database, caller.actor(), say) as tx:
        revoked = tokens.revoke(tx, number, caller.actor(), site.clock())
    return {"tokens": [token_document(revoked, site.clock())]}
