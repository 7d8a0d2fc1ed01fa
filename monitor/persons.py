"""Persons with keys of their own: who is registered, by whom, and with what somebody signs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from secrets import choice
from typing import Any

from baselines.snapshot import utc_text
from monitor import keys, store
from monitor.actions import assure_person
from monitor.errors import CallError, NotNow
from monitor.keys import Signer
from monitor.store import Actor, Person, Transaction

ADMIN = "admin"  # the role that adds and removes persons, once somebody has it
LONGEST_NAME = 100  # letters
LETTERS, GROUPS = "abcdefghjkmnpqrstuvwxyz23456789", 4  # of a provisional password: none is taken for another

Password = Callable[[str, bool], str]  # of whom, and whether they may be asked for it; "" for none


def signer_of(name: str, known: Person | None, key: Path | None, has_to: bool, password: Password) -> Signer | None:
    """With what somebody signs: the key in a file, or the one that is kept under their password; None if they need not.

    CallError if the file is no key, or the password is wrong.
    """
    if key is not None:
        return keys.load(key, password(str(key), True) if keys.is_sealed(key) else "")
    typed = password(name, has_to) if known and known.sealed else ""
    if known is None or known.sealed is None or not typed:
        return None
    signer = keys.unseal(known.sealed, known.public_key, typed)
    if signer is None:
        raise CallError(f"this is not the password of {name}")
    return signer


def provisional_password() -> str:
    """A password to begin with, such as people read out on the telephone: 79 bits."""
    return "-".join("".join(choice(LETTERS) for _ in range(4)) for _ in range(GROUPS))


def add_person(tx: Transaction, person: Person, actor: Actor, now: datetime) -> Person:
    """Register somebody, or give somebody who is registered other roles or another key.

    Whoever is registered already signs for the next: an admin, once there is one, else anybody. The first needs nobody.
    Another key ends their sessions of the page; where somebody else has given it, their tokens as well.
    """
    known = store.person(tx, person.name)
    if known is None:
        assure_name(person.name)
    _assure_may(tx, actor, person.name, person.roles)
    if known and ADMIN in known.roles and ADMIN not in person.roles:
        _assure_other_admin(tx, person.name)
    others = [each for each in store.persons(tx, removed=True) if known is None or each.name != person.name]
    if any(each.public_key == person.public_key for each in others):
        raise NotNow("this key is somebody else's: a key is one person's own")
    if known and known.public_key != person.public_key:
        end_access(tx, person.name, actor, now, tokens=actor.name != person.name)
    store.keep_person(tx, person)
    sealed = sha256(person.sealed.encode()).hexdigest() if person.sealed else ""
    detail = {"roles": " ".join(person.roles), "public_key": person.public_key, "sealed_digest": sealed}
    store.audit(tx, now, actor, "person.change" if known else "person.add", person.name, detail)
    return person


def remove_person(tx: Transaction, name: str, actor: Actor, reason: str, now: datetime) -> Person:
    """Somebody signs no more; what they signed stays theirs."""
    known = _registered(tx, name)
    _assure_may(tx, actor, name, ())
    if ADMIN in known.roles:
        _assure_other_admin(tx, name)
    end_access(tx, name, actor, now)
    removed = replace(known, removed_at=now)
    store.keep_person(tx, removed)
    store.audit(tx, now, actor, "person.remove", name, {"reason": reason})
    return removed


def change_roles(tx: Transaction, name: str, roles: Sequence[str], actor: Actor, now: datetime) -> Person:
    """Somebody who is registered has these roles from now on."""
    return add_person(tx, replace(_registered(tx, name), roles=named(roles)), actor, now)


def change_key(tx: Transaction, name: str, key: str, sealed: str, actor: Actor, now: datetime) -> Person:
    """Somebody who is registered signs with another key from now on."""
    return add_person(tx, replace(_registered(tx, name), public_key=key, sealed=sealed), actor, now)


def fresh_key(password: str, provisional: bool = False) -> tuple[str, str]:
    """A new key: its public half, and the private one sealed with a password. It takes a tenth of a second."""
    signer = Signer.new()
    return signer.key, keys.seal(signer, password, provisional)


def _registered(tx: Transaction, name: str) -> Person:
    known = store.person(tx, name)
    if known is None:
        raise NotNow(f"nobody is registered as {name}; asbuilt person list shows who is")
    return known


def end_access(tx: Transaction, name: str, actor: Actor, now: datetime, tokens: bool = True) -> None:
    """End the sessions of somebody, and with `tokens` revoke their tokens."""
    unsigned = replace(actor, signer=None)  # it follows from the entry that comes next, which is signed
    if ended := store.end_sessions(tx, person=name):
        store.audit(tx, now, unsigned, "session.end", name, {"sessions": str(ended)})
    for token in store.tokens(tx, person=name) if tokens else ():
        if token.revoked_at is None:
            store.revoke_token(tx, token.id, now)
            store.audit(tx, now, unsigned, "token.revoke", name, {"token": str(token.id), "name": token.name})


def assure_name(name: str) -> None:
    """CallError for what cannot stand in the evidence as somebody's name."""
    if not name or not name.isprintable() or name != name.strip() or len(name) > LONGEST_NAME:
        raise CallError(f"a name is one line of letters that can be seen, {LONGEST_NAME} at most, not {name[:40]!r}")
    if name == store.ITSELF.name:
        raise CallError(f"{name} is the name of the program itself in the audit chain: choose another")


def _assure_other_admin(tx: Transaction, name: str) -> None:
    """NotNow if there is no other admin: nobody could register or remove people any more."""
    if not any(ADMIN in each.roles for each in store.persons(tx) if each.name != name):
        raise NotNow(f"{name} is the last admin: make somebody else an admin first")


def _assure_may(tx: Transaction, actor: Actor, name: str, roles: Sequence[str]) -> None:
    """NotNow unless the actor may say that somebody is registered with these roles. Who is no admin may change a key of
    their own, and give up roles. The verifier holds the chain to the same."""
    known = store.persons(tx)
    if not known:
        return
    assure_person(tx, actor, False)
    admins = [each.name for each in known if ADMIN in each.roles]
    if actor.signer is None:
        who = ", ".join(admins or [each.name for each in known])
        raise NotNow(
            f"who signs is decided by who signs already, and {actor.name} has not signed this:"
            f" {who} can, with --by and --key, or their password"
        )
    own = [each for each in known if each.name == name == actor.name and set(roles) <= set(each.roles)]
    if admins and actor.name not in admins and not own:
        raise NotNow(f"{actor.name} is no admin; {', '.join(admins)} can do this")


def named(roles: Sequence[str]) -> tuple[str, ...]:
    """Roles, each once and each one word; CallError for what is none."""
    for role in roles:
        if not role or not role.isprintable() or " " in role:
            raise CallError(f"a role is one word, such as supplier, not {role!r}")
    return tuple(dict.fromkeys(roles))


def person_document(person: Person) -> dict[str, Any]:
    """A person as JSON shows them."""
    return {
        "person": person.name,
        "roles": list(person.roles),
        "public_key": person.public_key,
        "signs_with": "password" if person.sealed else "key file",
        "removed_at": utc_text(person.removed_at) if person.removed_at else None,
    }
