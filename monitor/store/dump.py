"""All that is stored, row by row, for a backup; and back, into an empty database, at the schema that it was of then.

A table is lines of JSON, an object for each row with its columns as they are stored. Tables come in the order in which
they refer to each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec
from sqlalchemy import Integer, MetaData, Table, TypeDecorator, func, insert, inspect, select, text, type_coerce, update
from sqlalchemy.exc import DataError, IntegrityError

from monitor import tables
from monitor.errors import CallError, StoreError, Unverified
from monitor.store.database import Transaction, revision, upgrade

NOT_DUMPED = frozenset({"poll_request", "session"})  # nobody waits for those answers, or is signed in, any more
TABLES = tuple(table.name for table in tables.metadata.sorted_tables if table.name not in NOT_DUMPED)
ROWS_AT_ONCE = 1000
DROPPED, NOT_SENT = "dropped", "not sent: it waited in a store that was restored from a backup"


@dataclass(frozen=True, slots=True)
class Held:
    """What people are not told after a restore: messages that waited, and moves that some route was not told of yet."""

    messages: int
    moves: int


def dumped(tx: Transaction, name: str) -> Iterator[bytes]:
    """The rows of a table as lines of JSON, some thousand at a time. CallError for what is no text and no number."""
    table = tables.metadata.tables[name]
    columns = [
        (type_coerce(column, column.type.impl) if isinstance(column.type, TypeDecorator) else column).label(column.name)
        for column in table.c
    ]
    names = [column.name for column in table.c]
    encode = msgspec.json.Encoder().encode
    order = list(table.primary_key.columns)
    rows = tx.execute(select(*columns).order_by(*order).execution_options(yield_per=ROWS_AT_ONCE))
    for part in rows.partitions():
        lines = [encode(_plain(name, dict(zip(names, row, strict=True)))) for row in part]
        yield b"\n".join(lines) + b"\n"


def _plain(table: str, row: dict[str, Any]) -> dict[str, Any]:
    for column, value in row.items():
        if isinstance(value, bytes):
            raise CallError(f"a row of {table} cannot be backed up: its {column} is no text (asbuilt verify)")
        if isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise CallError(f"a row of {table} cannot be backed up: its {column} is no UTF-8") from None
    return row


def is_empty(tx: Transaction) -> bool:
    """Whether a database has no tables at all."""
    return not inspect(tx).get_table_names()


def schema(tx: Transaction) -> str | None:
    """The migration that the schema is at."""
    return revision(tx)


def make_schema(tx: Transaction, at: str) -> None:
    """The tables of a schema, in an empty database."""
    try:
        upgrade(tx, at)
    except StoreError:
        raise CallError(f"the backup is of schema {at}, made by a newer asbuilt: upgrade asbuilt first") from None


def bring_up(tx: Transaction) -> None:
    """Bring the schema up to this version's."""
    upgrade(tx)


def load(tx: Transaction, name: str, lines: Iterable[bytes]) -> int:
    """Put the rows of a table into it; how many. Unverified for a row that is none of this schema."""
    table = Table(name, MetaData(), autoload_with=tx, resolve_fks=False)
    names, count = {column.name for column in table.c}, 0
    rows_of = (_row(name, line, names) for line in lines)
    while rows := list(islice(rows_of, ROWS_AT_ONCE)):
        try:
            tx.execute(insert(table), rows)
        except (DataError, IntegrityError) as error:
            raise Unverified(f"rows of {name} do not fit the store: {str(error.orig).strip()}") from None
        count += len(rows)
    _go_on_counting(tx, table)
    return count


def _row(table: str, line: bytes, names: set[str]) -> dict[str, Any]:
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        row = None
    if not isinstance(row, dict) or set(row) != names:
        raise Unverified(f"a line of {table} is no row of it: {line[:80].decode(errors='replace')!r}")
    return row


def _go_on_counting(tx: Transaction, table: Table) -> None:
    """PostgreSQL counts by itself, and does not look at what is there."""
    keys = list(table.primary_key.columns)
    if tx.dialect.name == "sqlite" or len(keys) != 1 or not isinstance(keys[0].type, Integer):
        return
    sequence = tx.execute(select(func.pg_get_serial_sequence(table.name, keys[0].name))).scalar()
    last = tx.execute(select(func.max(keys[0]))).scalar()
    if sequence is not None and last is not None:
        tx.execute(text("SELECT setval(:sequence, :last)"), {"sequence": sequence, "last": last})


def hold_back_news(tx: Transaction) -> Held:
    """What waited to be told when the backup was made is no news any more: messages that waited are dropped, and every
    route is marked as told of all moves."""
    message, route, move = tables.message.c, tables.route.c, tables.alert_move.c
    waiting = update(tables.message).where(message.sent_at.is_(None), message.state != DROPPED)
    messages = tx.execute(waiting.values(state=DROPPED, why=NOT_SENT)).rowcount
    last = tx.execute(select(func.max(move.id))).scalar() or 0
    oldest = tx.execute(select(func.min(route.move_id))).scalar()
    moves = 0
    if oldest is not None:
        moves = tx.execute(select(func.count()).select_from(tables.alert_move).where(move.id > oldest)).scalar_one()
        tx.execute(update(tables.route).values(move_id=last, held=""))
    return Held(messages, moves)
