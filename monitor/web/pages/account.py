"""Your own account: your password, where you are signed in, and the tokens of your programs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from monitor import persons, store, tokens
from monitor.errors import CallError, NotNow, UserError
from monitor.evidence import deciding
from monitor.roles import WORDS, Role
from monitor.web.access import Caller, Somebody, Viewer, is_provisional, status_of
from monitor.web.asked import say
from monitor.web.forms import Form, Sent
from monitor.web.here import Here
from monitor.web.render import back_to, page
from monitor.web.signin import begin, keep
from monitor.web.site import Site

OTHERS = "others"  # in place of a session's digest: all but the one that asks

router = APIRouter()


@router.get("/account")
def account(request: Request, site: Here, caller: Viewer) -> Response:
    return _account(request, site, caller)


def _account(request: Request, site: Site, caller: Caller, error: str = "", status: int = 200) -> Response:
    now = site.clock()
    with site.database.read() as tx:
        sessions = store.sessions(tx, caller.name)
        good = [each for each in store.tokens(tx, person=caller.name) if each.is_good(now)]
    words = [(word, WORDS[Role(word)] if word in list(Role) else "signs off in it") for word in caller.person.roles]
    shown: dict[str, Any] = {"roles": words, "sessions": sessions, "tokens": good}
    return page(request, site, "account.html.j2", caller, error=error, status=status, **shown)


@router.get("/account/password")
def password(request: Request, site: Here, caller: Somebody) -> Response:
    return page(request, site, "password.html.j2", caller, provisional=is_provisional(caller.person))


@router.post("/account/password")
def new_password(request: Request, site: Here, caller: Somebody, form: Sent) -> Response:
    try:
        _change_password(site, caller, form)
        secret = begin(site, caller.person, request)
    except UserError as error:
        shown: dict[str, Any] = {
            "provisional": is_provisional(caller.person),
            "error": str(error),
            "status": status_of(error),
        }
        return page(request, site, "password.html.j2", caller, **shown)
    answer = back_to("/account", "Your password is changed, and you are signed in here alone.")
    keep(answer, secret, request)
    return answer


def _change_password(site: Site, caller: Caller, form: Form) -> None:
    old, new = form.secret(), form.secret("password_new")
    if new != form.secret("password_again"):
        raise CallError("these are two passwords: type the new one twice")
    if new == old:
        raise CallError("this is the password that you have: choose another")
    actor = caller.actor(signer=caller.signer(old))
    key, sealed = persons.fresh_key(new)
    with deciding(site.plant(), site.database, actor, say) as tx:
        persons.change_key(tx, caller.name, key, sealed, actor, site.clock())


@router.post("/account/sessions/end")
def end_session(request: Request, site: Here, caller: Viewer, form: Sent) -> Response:
    try:
        ended = _end_sessions(site, caller, form.text("session", "the session", required=True))
    except UserError as error:
        return _account(request, site, caller, str(error), status_of(error))
    return back_to("/account", f"{ended} of your sessions ended." if ended else "You are signed in nowhere else.")


def _end_sessions(site: Site, caller: Caller, wanted: str) -> int:
    assert caller.session is not None
    actor, here = caller.actor(), caller.session.digest
    with deciding(site.plant(), site.database, actor, say) as tx:
        mine = [each.digest for each in store.sessions(tx, caller.name) if each.digest != here]
        ended = [each for each in mine if wanted in (OTHERS, each)]
        if wanted != OTHERS and not ended:
            raise NotNow("this session has ended already; the one in which you are ends by signing out")
        for each in ended:
            store.end_sessions(tx, digest=each)
        if ended:
            store.audit(tx, site.clock(), actor, "session.end", caller.name, {"sessions": str(len(ended))})
    return len(ended)


@router.get("/account/tokens/add")
def token(request: Request, site: Here, caller: Viewer) -> Response:
    return page(request, site, "token_add.html.j2", caller, WORDS=WORDS, ticked=[Role.VIEWER])


@router.post("/account/tokens/add")
def new_token(request: Request, site: Here, caller: Viewer, form: Sent) -> Response:
    scopes = form.texts("scope")
    try:
        made, secret = _make_token(site, caller, form, scopes)
    except UserError as error:
        shown: dict[str, Any] = {
            "form": form,
            "error": str(error),
            "status": status_of(error),
            "WORDS": WORDS,
            "ticked": scopes,
        }
        return page(request, site, "token_add.html.j2", caller, **shown)
    return page(request, site, "token.html.j2", caller, token=made, secret=secret)


def _make_token(site: Site, caller: Caller, form: Form, scopes: list[str]) -> tuple[store.Token, str]:
    plant, now = site.plant(), site.clock()
    name = form.text("name", "a name", required=True)
    ends_at = form.moment("until", "its end", now, plant.timezone) if form.text("until") else None
    actor = caller.actor(signer=caller.signer(form.secret()))
    with deciding(plant, site.database, actor, say) as tx:
        return tokens.make(tx, caller.name, name, scopes, ends_at, actor, now)


@router.post("/account/tokens/revoke")
def revoke_token(request: Request, site: Here, caller: Viewer, form: Sent) -> Response:
    actor = caller.actor()
    try:
        with deciding(site.plant(), site.database, actor, say) as tx:
            for number in form.numbers("token", "the token"):
                tokens.revoke(tx, number, actor, site.clock())
    except UserError as error:
        return _account(request, site, caller, str(error), status_of(error))
    return back_to("/account", "The token is of no use any more.")
