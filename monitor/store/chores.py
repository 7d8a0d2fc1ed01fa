"""What is due at a wall-clock time: when it ran last, what came of it, and when it is due again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select

from monitor import tables
from monitor.store.database import Transaction


@dataclass(frozen=True, slots=True)
class Chore:
    """One of them; `text` says what came of it last, as a sentence."""

    name: str
    last_at: datetime | None
    next_at: datetime | None
    text: str = ""


def chores(tx: Transaction) -> dict[str, Chore]:
    """All of them, by name."""
    rows = tx.execute(select(tables.chore).order_by(tables.chore.c.name))
    return {row.name: Chore(row.name, row.last_at, row.next_at, row.text) for row in rows}


def keep_chore(tx: Transaction, chore: Chore) -> None:
    tx.execute(tables.chore.delete().where(tables.chore.c.name == chore.name))
    values = {"name": chore.name, "last_at": chore.last_at, "next_at": chore.next_at, "text": chore.text}
    tx.execute(insert(tables.chore).values(values))
