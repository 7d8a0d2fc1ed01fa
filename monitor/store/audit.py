"""The audit chain: appended to in the transaction of what it tells."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Row, func, insert, select

from baselines.audit import GENESIS, AuditEntry
from monitor import tables
from monitor.store.database import Transaction


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
    last = tx.execute(
        select(tables.audit_entry.c.id, tables.audit_entry.c.hash).order_by(tables.audit_entry.c.id.desc()).limit(1)
    ).first()
    number, previous = (last.id + 1, last.hash) if last else (1, GENESIS)
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


def last_audit(tx: Transaction, *actions: str) -> AuditEntry | None:
    """The newest entry, or the newest of some actions; None if there is none."""
    statement = select(tables.audit_entry).order_by(tables.audit_entry.c.id.desc()).limit(1)
    if actions:
        statement = statement.where(tables.audit_entry.c.action.in_(actions))
    return next((_entry(row) for row in tx.execute(statement)), None)


def last_audit_id(tx: Transaction) -> int:
    """The number of the newest entry; 0 for an empty chain."""
    return tx.execute(select(func.max(tables.audit_entry.c.id))).scalar() or 0


def audit_entries(tx: Transaction, after: int = 0) -> Iterable[AuditEntry]:
    """The entries with a higher number, in order."""
    statement = select(tables.audit_entry).where(tables.audit_entry.c.id > after).order_by(tables.audit_entry.c.id)
    return map(_entry, tx.execute(statement))


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        row.id,
        row.at,
        row.actor,
        row.account,
        row.action,
        row.subject,
        json.loads(row.detail),
        row.previous,
        row.hash,
    )
