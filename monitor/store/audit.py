"""The audit chain: appended to in the transaction of what it tells."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from sqlalchemy import Row, String, func, insert, select, type_coerce

from baselines.audit import GENESIS, AuditEntry
from monitor import tables
from monitor.errors import NotNow, StoreError
from monitor.store.database import Transaction

LAST_ID = 2**31 - 2  # what both databases can count to


class Signing(Protocol):
    """A private key that signs; `key` is its public half, in hexadecimal."""

    @property
    def key(self) -> str: ...

    def sign(self, data: bytes) -> str: ...


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: the name that they give, and the operating system's word for them (user@host).

    `role` is the one in which they act; `signer` their own key, where they sign with it.
    """

    name: str
    account: str
    role: str = ""
    signer: Signing | None = None


ITSELF = Actor("asbuilt", "")  # what the program decides by itself


def audit(
    tx: Transaction, at: datetime, actor: Actor, action: str, subject: str = "", detail: Mapping[str, str] | None = None
) -> AuditEntry:
    """Append an entry to the chain, signed if the actor signs."""
    last, previous = audit_head(tx) or (0, GENESIS)
    number = last + 1
    if last >= LAST_ID:
        raise NotNow(f"the audit chain cannot go on: nobody made {last} entries (asbuilt verify)")
    entry = AuditEntry(number, at, actor.name, actor.account, action, subject, dict(detail or {}), previous)
    if actor.signer:
        signed = {"key": actor.signer.key, "signature": actor.signer.sign(entry.statement())}
        entry = replace(entry, detail={**entry.detail, **signed})
    entry = replace(entry, hash=entry.computed_hash())
    tx.execute(
        insert(tables.audit_entry).values(
            id=entry.id,
            at=entry.at,
            actor=entry.actor,
            account=entry.account,
            action=entry.action,
            subject=entry.subject,
            detail=json.dumps(entry.detail, sort_keys=True),
            previous=entry.previous,
            hash=entry.hash,
        )
    )
    return entry


def audit_head(tx: Transaction) -> tuple[int, str] | None:
    """The number and the hash of the newest entry; None for an empty chain."""
    table = tables.audit_entry
    last = tx.execute(select(table.c.id, table.c.hash).order_by(table.c.id.desc()).limit(1)).first()
    return (last.id, last.hash) if last else None


def head_at(tx: Transaction, until: datetime) -> tuple[int, str]:
    """How many entries the chain had before a moment, and the hash of the last of them; (0, "") for none. An entry that
    a wrong clock dated later stands before others, and is one of them."""
    table = tables.audit_entry
    before = select(table.c.id, table.c.hash).where(table.c.at < until)
    last = tx.execute(before.order_by(table.c.id.desc()).limit(1)).first()
    return (last.id, last.hash) if last else (0, "")


def hash_at(tx: Transaction, number: int) -> str | None:
    """The hash of an entry; None if there is no such one."""
    return tx.execute(select(tables.audit_entry.c.hash).where(tables.audit_entry.c.id == number)).scalar()


def last_audit_id(tx: Transaction) -> int:
    """The number of the newest entry; 0 for an empty chain."""
    return tx.execute(select(func.max(tables.audit_entry.c.id))).scalar() or 0


def last_detail(tx: Transaction, *actions: str) -> Mapping[str, str] | None:
    """What the newest entry of some actions says, nothing if it is broken; None if there is no such entry."""
    table = tables.audit_entry
    statement = select(table.c.detail).where(table.c.action.in_(actions)).order_by(table.c.id.desc()).limit(1)
    text = tx.execute(statement).scalar()
    return None if text is None else readable(text)


def last_times(tx: Transaction, action: str) -> dict[str, datetime]:
    """When each subject was in an entry of an action last; without one whose time cannot be read."""
    table = tables.audit_entry
    at = func.max(type_coerce(table.c.at, String))
    rows = tx.execute(select(table.c.subject, at).where(table.c.action == action).group_by(table.c.subject))
    return {subject: moment for subject, text in rows if (moment := moment_of(text)) is not None}


def readable(text: Any) -> dict[str, str]:
    """What a detail says, as far as it can be read: also of an entry that is broken."""
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class News:
    """What the daemon needs of an entry, also of one that is broken: it goes on all the same."""

    id: int
    actor: str
    action: str
    subject: str
    detail: Mapping[str, str]


def audit_news(tx: Transaction, after: int) -> list[News]:
    """The entries with a higher number, in order, whatever they hold."""
    table = tables.audit_entry
    columns = (table.c.id, table.c.actor, table.c.action, table.c.subject, table.c.detail)
    rows = tx.execute(select(*columns).where(table.c.id > after).order_by(table.c.id))
    return [News(row.id, row.actor, row.action, row.subject, readable(row.detail)) for row in rows]


@dataclass(frozen=True, slots=True)
class Entry(News):
    """An entry of the audit chain with its time, also of one that is broken."""

    at: datetime
    account: str


def entries_of(
    tx: Transaction, actions: Collection[str], until: datetime | None = None, since: datetime | None = None
) -> list[Entry]:
    """The entries of some actions before a time (and not before another), in order, whatever they hold. One whose time
    cannot be read is left out: verifying says so."""
    table = tables.audit_entry
    at = type_coerce(table.c.at, String).label("at")
    columns = (table.c.id, table.c.actor, table.c.action, table.c.subject, table.c.detail, table.c.account)
    statement = select(*columns, at).where(table.c.action.in_(actions)).order_by(table.c.id)
    if until is not None:
        statement = statement.where(table.c.at < until)
    if since is not None:
        statement = statement.where(table.c.at >= since)
    return [
        Entry(row.id, row.actor, row.action, row.subject, readable(row.detail), moment, row.account)
        for row in tx.execute(statement)
        if (moment := moment_of(row.at)) is not None
    ]


def entries_page(
    tx: Transaction,
    *,
    before: int | None = None,
    after: int | None = None,
    limit: int = 100,
    actor: str = "",
    action: str = "",
    subject: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Entry]:
    """So many entries as are asked for, whatever they hold: the newest before a number, or the oldest after one, each
    time in this order. `action` is one, or the beginning of some ("baseline."). One whose time cannot be read is left
    out: verifying says so."""
    table = tables.audit_entry
    at = type_coerce(table.c.at, String).label("at")
    columns = (table.c.id, table.c.actor, table.c.action, table.c.subject, table.c.detail, table.c.account)
    statement = select(*columns, at)
    wanted = {table.c.actor: actor, table.c.subject: subject, table.c.action: "" if action.endswith(".") else action}
    for column, value in wanted.items():
        if value:
            statement = statement.where(column == value)
    if action.endswith("."):
        statement = statement.where(table.c.action.startswith(action, autoescape=True))
    if since is not None:
        statement = statement.where(table.c.at >= since)
    if until is not None:
        statement = statement.where(table.c.at < until)
    if after is not None:
        statement = statement.where(table.c.id > after).order_by(table.c.id)
    else:
        statement = statement.order_by(table.c.id.desc())
    if before is not None:
        statement = statement.where(table.c.id < before)
    return [
        Entry(row.id, row.actor, row.action, row.subject, readable(row.detail), moment, row.account)
        for row in tx.execute(statement.limit(limit))
        if (moment := moment_of(row.at)) is not None
    ]


def moment_of(text: str | None) -> datetime | None:
    """A time as it is stored; None if there is none, or it is broken, which verifying says."""
    try:
        return datetime.fromisoformat(text or "").astimezone(UTC)
    except (ValueError, TypeError):
        return None


def audit_entries(tx: Transaction, after: int = 0, actions: Collection[str] = ()) -> Iterable[AuditEntry]:
    """The entries with a higher number, in order; with `actions` only these. StoreError for one that is broken."""
    table = tables.audit_entry
    columns = [
        (type_coerce(column, String) if column is table.c.at else column).label(column.name) for column in table.c
    ]
    statement = select(*columns).where(table.c.id > after).order_by(table.c.id)
    if actions:
        statement = statement.where(table.c.action.in_(actions))
    return map(_entry, tx.execute(statement))


def _entry(row: Row[Any]) -> AuditEntry:
    try:
        at, detail = datetime.fromisoformat(row.at).astimezone(UTC), json.loads(row.detail)
        detail.items()  # an AttributeError for what is no table
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise StoreError(f"entry {row.id} of the audit chain is broken: see asbuilt verify") from None
    return AuditEntry(row.id, at, row.actor, row.account, row.action, row.subject, detail, row.previous, row.hash)
