"""Signed heads of the audit chain, and the whole evidence as rows for the verifier."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import String, Table, func, insert, select, type_coerce

from baselines.audit import Checkpoint
from monitor import tables
from monitor.errors import CallError
from monitor.store.database import Transaction
from monitor.verifier import NEEDED, TABLES

Row = Mapping[str, Any]

ROWS_AT_ONCE = 1000


def last_checkpoint(tx: Transaction) -> int:
    """How many entries the newest checkpoint covers; 0 if there is none."""
    return tx.execute(select(func.max(tables.checkpoint.c.entries))).scalar() or 0


def newest_checkpoint(tx: Transaction) -> Checkpoint | None:
    """The newest checkpoint; None if there is none, or it is broken."""
    table = tables.checkpoint
    columns = (table.c.entries, table.c.head, type_coerce(table.c.at, String).label("at"), table.c.key)
    row = tx.execute(select(*columns, table.c.signature).order_by(table.c.entries.desc()).limit(1)).first()
    try:
        at = datetime.fromisoformat(row.at).astimezone(UTC) if row else None
    except (ValueError, TypeError):
        return None
    return Checkpoint(row.entries, row.head, at, row.key, row.signature) if row and at else None


def add_checkpoint(tx: Transaction, made: Checkpoint) -> None:
    """Keep a checkpoint. CallError if there is one already: whoever made it, it was not the plant."""
    known = tx.execute(select(tables.checkpoint.c.entries).where(tables.checkpoint.c.entries == made.entries)).scalar()
    if known is not None:
        raise CallError(
            f"a checkpoint at entry {made.entries} is there already, of which we know nothing (asbuilt verify)"
        )
    tx.execute(
        insert(tables.checkpoint).values(
            entries=made.entries, head=made.head, at=made.at, key=made.key, signature=made.signature
        )
    )


def evidence(tx: Transaction, names: Iterable[str] = TABLES, whole: bool = True) -> dict[str, Iterator[Row]]:
    """The rows of the evidence as they are stored, in the order of their numbers, by table; unless `whole`, only with
    the columns that are verified."""
    return {name: _rows(tx, tables.metadata.tables[name], None if whole else NEEDED.get(name)) for name in names}


@contextmanager
def any_text(tx: Transaction) -> Iterator[None]:
    """So that text which is none in UTF-8 is read as a row that does not verify, and not as a broken store (SQLite)."""
    connection: Any = tx.connection.dbapi_connection
    if tx.dialect.name != "sqlite" or connection is None:
        yield
        return
    before = connection.text_factory
    connection.text_factory = lambda data: data.decode(errors="surrogateescape")
    try:
        yield
    finally:
        connection.text_factory = before


def _rows(tx: Transaction, table: Table, needed: Collection[str] | None) -> Iterator[Row]:
    columns = [
        (type_coerce(column, String) if isinstance(column.type, tables.Moment) else column).label(column.name)
        for column in table.c
        if needed is None or column.name in needed
    ]
    order = next(iter(table.primary_key.columns))
    names = [column.name for column in columns]
    for row in tx.execute(select(*columns).order_by(order).execution_options(yield_per=ROWS_AT_ONCE)):
        yield dict(zip(names, row, strict=True))
