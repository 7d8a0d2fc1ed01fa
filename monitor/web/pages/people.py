"""The people who are registered: an admin registers them, gives them roles, and ends their access. All of it is signed
with the admin's own key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response

from monitor import persons, store
from monitor.errors import NotNow, UserError
from monitor.evidence import deciding
from monitor.keys import Signer
from monitor.roles import WORDS, Role
from monitor.store import Actor, Person, Transaction
from monitor.web.access import Admin, Caller, is_provisional, status_of
from monitor.web.asked import say
from monitor.web.forms import Form, Sent
from monitor.web.here import Here
from monitor.web.render import back_to, page
from monitor.web.site import Site

router = APIRouter(prefix="/people")

Deed = Callable[[Transaction, Actor], Person]


@router.get("")
def people(request: Request, site: Here, caller: Admin) -> Response:
    with site.database.read() as tx:
        everybody, sessions = store.persons(tx), store.sessions(tx)
        begun = store.last_times(tx, "session.begin")
    newest: dict[str, Any] = {}
    for each in sorted(sessions, key=lambda each: each.seen_at):
        newest[each.person] = each.seen_at
    shown: dict[str, Any] = {"people": everybody, "seen": newest, "begun": begun, "signs_with": signs_with}
    return page(request, site, "people.html.j2", caller, **shown)


def signs_with(person: Person) -> str:
    """With what somebody signs, in a word or two."""
    if is_provisional(person):
        return "provisional password"
    return "password" if person.sealed else "key file"


@router.get("/person")
def person(request: Request, site: Here, caller: Admin, name: str) -> Response:
    found = _registered(site, name)
    with site.database.read() as tx:
        sessions = store.sessions(tx, name)
        good = [each for each in store.tokens(tx, person=name) if each.is_good(site.clock())]
        begun = store.last_times(tx, "session.begin").get(name)
    shown: dict[str, Any] = {
        "person": found,
        "signs_with": signs_with(found),
        "sessions": sessions,
        "tokens": good,
        "begun": begun,
    }
    return page(request, site, "person.html.j2", caller, WORDS=WORDS, **shown)


def path_of(name: str) -> str:
    """Where the page of a person is."""
    return f"/people/person?name={quote(name, safe='')}"


def _registered(site: Site, name: str) -> Person:
    with site.database.read() as tx:
        found = store.person(tx, name)
    if found is None:
        raise NotNow(f"nobody is registered as {name}: People shows who is")
    return found


@router.get("/add")
def add(request: Request, site: Here, caller: Admin) -> Response:
    return _form(request, site, caller, "person_add.html.j2", ticked=[Role.VIEWER])


@router.post("/add")
def added(request: Request, site: Here, caller: Admin, form: Sent) -> Response:
    password = persons.provisional_password()

    def register() -> Person:
        name, roles = form.text("name", "their name", required=True), _roles(form)
        if form.is_ticked("without_password"):
            person = Person(name, roles, Signer.new().key)  # whose private half nobody keeps: they sign nothing
        else:
            person = Person(name, roles, *persons.fresh_key(password, provisional=True))
        return _done(site, caller, form, lambda tx, actor: _add(tx, person, actor, site))

    try:
        person = register()
    except UserError as error:
        return _form(request, site, caller, "person_add.html.j2", error, form, ticked=form.texts("role"))
    if person.sealed is None:
        return back_to(path_of(person.name), f"{person.name} is registered, and signs in at the provider.")
    return page(request, site, "provisional.html.j2", caller, person=person, password=password)


def _add(tx: Transaction, person: Person, actor: Actor, site: Site) -> Person:
    if store.person(tx, person.name):
        raise NotNow(f"{person.name} is registered already: change their roles, or reset their password")
    return persons.add_person(tx, person, actor, site.clock())


@router.get("/roles")
def roles(request: Request, site: Here, caller: Admin, name: str) -> Response:
    found = _registered(site, name)
    return _form(request, site, caller, "person_roles.html.j2", person=found, ticked=found.roles)


@router.post("/roles")
def roles_changed(request: Request, site: Here, caller: Admin, form: Sent) -> Response:
    person = _registered(site, form.text("name"))
    try:
        words = _roles(form)
        now = site.clock()
        _done(site, caller, form, lambda tx, actor: persons.change_roles(tx, person.name, words, actor, now))
    except UserError as error:
        return _form(
            request, site, caller, "person_roles.html.j2", error, form, person=person, ticked=form.texts("role")
        )
    return back_to(path_of(person.name), f"{person.name} has these roles from now on.")


@router.get("/reset")
def reset(request: Request, site: Here, caller: Admin, name: str) -> Response:
    return _form(request, site, caller, "person_reset.html.j2", person=_registered(site, name))


@router.post("/reset")
def was_reset(request: Request, site: Here, caller: Admin, form: Sent) -> Response:
    person, password = _registered(site, form.text("name")), persons.provisional_password()
    try:
        if person.name == caller.name:
            raise NotNow("you have a password, or you could not sign this: change it under your account")
        key, sealed = persons.fresh_key(password, provisional=True)
        now = site.clock()
        _done(site, caller, form, lambda tx, actor: persons.change_key(tx, person.name, key, sealed, actor, now))
    except UserError as error:
        return _form(request, site, caller, "person_reset.html.j2", error, form, person=person)
    return page(request, site, "provisional.html.j2", caller, person=person, password=password)


@router.get("/remove")
def remove(request: Request, site: Here, caller: Admin, name: str) -> Response:
    return _form(request, site, caller, "person_remove.html.j2", person=_registered(site, name))


@router.post("/remove")
def removed(request: Request, site: Here, caller: Admin, form: Sent) -> Response:
    person = _registered(site, form.text("name"))
    try:
        why, now = form.text("reason", "the reason", required=True), site.clock()
        _done(site, caller, form, lambda tx, actor: persons.remove_person(tx, person.name, actor, why, now))
    except UserError as error:
        return _form(request, site, caller, "person_remove.html.j2", error, form, person=person)
    if person.name == caller.name:
        return back_to("/sign-in", "You are not registered any more.")
    return back_to("/people", f"{person.name} is not registered any more. What they signed stays theirs.")


def _form(
    request: Request,
    site: Site,
    caller: Caller,
    template: str,
    error: UserError | None = None,
    form: Form | None = None,
    **shown: Any,
) -> Response:
    """A page with a form, perhaps once more with what was wrong in it."""
    status, said = (status_of(error), str(error)) if error else (200, "")
    shown |= {"WORDS": WORDS, "provider": site.plant().web.oidc is not None}
    return page(request, site, template, caller, form=form, error=said, status=status, **shown)


def _roles(form: Form) -> tuple[str, ...]:
    """The roles of the page that are ticked, and the words in which somebody signs off."""
    return persons.named([*form.texts("role"), *form.text("sign_off").replace(",", " ").split()])


def _done(site: Site, caller: Caller, form: Form, deed: Deed) -> Person:
    """Do what an admin decides about people, signed with their own key."""
    actor = caller.actor(Role.ADMIN, caller.signer(form.secret()))
    with deciding(site.plant(), site.database, actor, say) as tx:
        return deed(tx, actor)
