"""The persons who sign what they decide."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update

from monitor import tables
from monitor.store.database import Transaction


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a key of their own; `sealed` is the private half, where it is kept here under their password."""

    name: str
    roles: tuple[str, ...]
    public_key: str
    sealed: str | None = None
    removed_at: datetime | None = None


def persons(tx: Transaction, removed: bool = False) -> list[Person]:
    """Who is registered, by name; with `removed` also who was."""
    statement = select(tables.person).order_by(tables.person.c.name)
    if not removed:
        statement = statement.where(tables.person.c.removed_at.is_(None))
    return [
        Person(row.name, tuple(row.roles.split()), row.public_key, row.sealed, row.removed_at)
        for row in tx.execute(statement)
    ]


def person(tx: Transaction, name: str) -> Person | None:
    """A registered person."""
    return next((each for each in persons(tx) if each.name == name), None)


def keep_person(tx: Transaction, kept: Person) -> None:
    """Add a person, or change what is known of one."""
    values = {
        "roles": " ".join(kept.roles),
        "public_key": kept.public_key,
        "sealed": kept.sealed,
        "removed_at": kept.removed_at,
    }
    changed = tx.execute(update(tables.person).where(tables.person.c.name == kept.name).values(values))
    if not changed.rowcount:
        tx.execute(insert(tables.person).values(name=kept.name, **values))
