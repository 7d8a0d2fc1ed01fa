"""The audit chain: appended to in the transaction of what it tells."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import func, insert, select

from baselines.audit import GENESIS, AuditEntry
from monitor import tables
from monitor.store.database import Transaction


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: the name that they give, and the operating system's word for them (user@host)."""

    name: str
    account: str


def audit(
    tx: Transaction, at: datetime, actor: Actor, action: str, subject: str = "", detail: Mapping[str, str] | None = None
) -> AuditEntry:
    """Append an entry to the chain."""
    last = tx.execute(
        select(tables.audit_entry.c.id, tables.audit_entry.c.hash).order_by(tables.audit_entry.c.id.desc()).limit(1)
    ).first()
    number, previous = (last.id + 1, last.hash) if last else (1, GENESIS)
    entry = AuditEntry(number, at, actor.name, actor.account, action, subject, dict(detail or {}), previous)
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


def last_audit_id(tx: Transaction) -> int:
    """The number of the newest entry; 0 for an empty chain."""
    return tx.execute(select(func.max(tables.audit_entry.c.id))).scalar() or 0


def audit_entries(tx: Transaction, after: int = 0) -> Iterable[AuditEntry]:
    """The entries with a higher number, in order."""
    statement = select(tables.audit_entry).where(tables.audit_entry.c.id > after).order_by(tables.audit_entry.c.id)
    for row in tx.execute(statement):
        yield AuditEntry(
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
