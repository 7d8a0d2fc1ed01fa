"""Tokens of programs, each of a person and in some of their roles. A token is shown once; the store has its digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any

from baselines.snapshot import utc_text
from monitor import store
from monitor.errors import CallError, NotNow
from monitor.persons import ADMIN
from monitor.roles import Role, roles_of
from monitor.store import Actor, Token, Transaction

MARK = "asbuilt_"  # by which a token is found where it should not be
LONGEST_NAME = 100  # letters
MOST = 50  # tokens of a person that are good


def digest_of(secret: str) -> str:
    """How the store knows what a browser or a program keeps."""
    return sha256(secret.encode()).hexdigest()


def make(
    tx: Transaction,
    person: str,
    name: str,
    scopes: Sequence[str],
    ends_at: datetime | None,
    actor: Actor,
    now: datetime,
) -> tuple[Token, str]:
    """A token of a person, and what the program is to keep. They sign for it, or an admin does.

    CallError for scopes that they have not got, or an end that has passed.
    """
    _assure_may(tx, person, actor, signs=True)
    wanted = _scopes(tx, person, scopes)
    name = name.strip()
    if not name or not name.isprintable() or len(name) > LONGEST_NAME:
        raise CallError(f"a token's name is one line of letters that can be seen, {LONGEST_NAME} at most")
    if ends_at is not None and ends_at <= now:
        raise CallError("a token ends in the future, or never")
    good = [each for each in store.tokens(tx, person=person) if each.is_good(now)]
    if any(each.name == name for each in good):
        raise NotNow(f"{person} has a token {name} already: revoke it first, or choose another name")
    if len(good) >= MOST:
        raise NotNow(f"{person} has {MOST} tokens: revoke those that are of no use any more")
    secret = MARK + token_urlsafe(32)
    made = store.add_token(tx, Token(0, digest_of(secret), person, name, wanted, now, ends_at))
    until = utc_text(ends_at) if ends_at else ""
    detail = {"token": str(made.id), "name": name, "scopes": " ".join(wanted), "until": until}
    store.audit(tx, now, actor, "token.add", person, detail)
    return made, secret


def revoke(tx: Transaction, number: int, actor: Actor, now: datetime) -> Token:
    """A token is of no use any more: its person says so, or an admin."""
    found = next(iter(store.tokens(tx, number=number)), None)
    if found is None:
        raise NotNow(f"there is no token {number}; asbuilt token list shows them")
    _assure_may(tx, found.person, actor, signs=False)
    if found.revoked_at is not None:
        raise NotNow(f"token {number} was revoked already")
    store.revoke_token(tx, number, now)
    detail = {"token": str(number), "name": found.name}
    store.audit(tx, now, actor, "token.revoke", found.person, detail)
    return replace(found, revoked_at=now)


def token_document(token: Token, now: datetime) -> dict[str, Any]:
    """A token as JSON shows it, without what it is."""
    moments = {name: getattr(token, name) for name in ("made_at", "ends_at", "used_at", "revoked_at")}
    return {
        "id": token.id,
        "person": token.person,
        "name": token.name,
        "scopes": list(token.scopes),
        "good": token.is_good(now),
        **{name: utc_text(at) if at else None for name, at in moments.items()},
    }


def _scopes(tx: Transaction, name: str, scopes: Sequence[str]) -> tuple[str, ...]:
    person = store.person(tx, name)
    if person is None:
        raise NotNow(f"nobody is registered as {name}; asbuilt person list shows who is")
    wanted = tuple(dict.fromkeys(scopes))
    if not wanted:
        raise CallError(f"a token has one scope at least: {', '.join(sorted(roles_of(person)))}")
    if foreign := [scope for scope in wanted if scope not in {role.value for role in roles_of(person)}]:
        known = "" if foreign[0] in list(Role) else f"; scopes are {', '.join(Role)}"
        raise CallError(f"{name} has not got the role {foreign[0]}, so no token of theirs has{known}")
    return wanted


def _assure_may(tx: Transaction, person: str, actor: Actor, signs: bool) -> None:
    admins = [each.name for each in store.persons(tx) if ADMIN in each.roles]
    if actor.name != person and actor.name not in admins:
        raise NotNow(f"a token of {person} is their own matter, or an admin's")
    if signs and actor.signer is None:
        raise NotNow(
            f"{actor.name} has not signed this: a token acts in a person's name, and is made with a signature"
            " (--by NAME, and --key or their password)"
        )
