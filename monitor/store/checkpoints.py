"""Signed heads of the audit chain, and the whole evidence as rows for the verifier."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import String, Table, func, insert, select, type_coerce

from baselines.audit import Checkpoint
from monitor import tables
from monitor.store.database import Transaction
from monitor.verifier import TABLES

Row = Mapping[str, Any]


def last_checkpoint(tx: Transaction) -> int:
    """How many entries the newest checkpoint covers; 0 if there is none."""
    return tx.execute(select(func.max(tables.checkpoint.c.entries))).scalar() or 0


def add_checkpoint(tx: Transaction, made: Checkpoint) -> None:
    """Keep a checkpoint."""
    tx.execute(
        insert(tables.checkpoint).values(
            entries=made.entries, head=made.head, at=made.at, key=made.key, signature=made.signature
        )
    )


def evidence(tx: Transaction, names: Iterable[str] = TABLES) -> dict[str, Iterator[Row]]:
    """The rows of the evidence as they are stored, in the order of their numbers, by table."""
    return {name: _rows(tx, tables.metadata.tables[name]) for name in names}


def _rows(tx: Transaction, table: Table) -> Iterator[Row]:
    columns = [
        (type_coerce(column, String) if isinstance(column.type, tables.Moment) else column).label(column.name)
        for column in table.c
    ]
    order = next(iter(table.primary_key.columns))
    for row in tx.execute(select(*columns).order_by(order)):
        yield dict(row._mapping)
