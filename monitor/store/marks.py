"""How far the store has come: a few numbers that cost next to nothing, and say whether anything moved since."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, func, select, type_coerce

from monitor import tables
from monitor.store.database import Transaction


@dataclass(frozen=True, slots=True)
class Marks:
    """The highest numbers of what is only ever added; `pulse` is the newest poll, in milliseconds since 1970, and
    `blind` how many gaps last."""

    run: int = 0
    move: int = 0
    entry: int = 0
    asset: int = 0
    gap: int = 0
    blind: int = 0
    pulse: int = 0


def marks(tx: Transaction) -> Marks:
    """How far the store has come."""
    added = (tables.run, tables.alert_move, tables.audit_entry, tables.asset, tables.gap)
    highest = [select(func.max(table.c.id)).scalar_subquery() for table in added]
    blind = select(func.count()).select_from(tables.gap).where(tables.gap.c.last_at.is_(None)).scalar_subquery()
    pulse = select(func.max(type_coerce(tables.pulse.c.last_at, BigInteger))).scalar_subquery()
    return Marks(*(number or 0 for number in tx.execute(select(*highest, blind, pulse)).one()))
