"""Forgetting what was polled long ago, a small batch in each transaction; nothing that is evidence is touched.

Rows are gone through in the order of their numbers, which is that of time: what is young ends the way. What stays,
however old it is: the last run of every asset, and the last one in which it was seen, now and at the time before which
is forgotten (figures of later times begin with it); snapshots that a baseline, a capture or a run names.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, case, func, select

from baselines.change import OrderState
from monitor import tables
from monitor.store.database import Transaction


@dataclass(frozen=True, slots=True)
class _Way:
    """A table that is gone through. What began before a time and has ended before it goes; null: it has not ended."""

    table: Table
    began: ColumnElement[Any]
    ended: ColumnElement[Any]


RUNS = _Way(tables.run, tables.run.c.first_at, tables.run.c.last_at)
WAYS = (
    _Way(tables.item_write, tables.item_write.c.at, tables.item_write.c.at),
    _Way(tables.gap, tables.gap.c.first_at, tables.gap.c.last_at),
    _Way(tables.self_test, tables.self_test.c.at, tables.self_test.c.at),
    _Way(tables.message, tables.message.c.made_at, tables.message.c.made_at),
)
MESSAGES = _Way(tables.message, tables.message.c.made_at, tables.message.c.sent_at)


@dataclass(slots=True)
class Forgetting:
    """How far it has come: `polled` is the time before which what was polled goes, `told` that for sent messages."""

    polled: datetime
    told: datetime
    kept: frozenset[int]  # runs that stay however old they are
    place: int = 0  # in `ways`
    after: int = 0  # the number of the last row that was looked at there
    gone: dict[str, int] = field(default_factory=dict)  # rows, by table
    baseline: int = 0  # the last one whose capture is in `captured`
    captured: set[str] = field(default_factory=set)  # snapshots that captures ended with

    @property
    def ways(self) -> tuple[tuple[_Way, datetime], ...]:
        return (RUNS, self.polled), *((way, self.polled) for way in WAYS), (MESSAGES, self.told)

    @property
    def is_done(self) -> bool:
        return self.place >= len(self.ways)


def forgetting(tx: Transaction, polled: datetime, told: datetime) -> Forgetting:
    """Begin to forget what was polled before a time, and messages that were sent before another. An order that is open
    longer needs what was polled since it began."""
    order = tables.change_order.c
    oldest = tx.execute(select(func.min(order.starts_at)).where(order.state == OrderState.OPEN)).scalar()
    polled = min(polled, oldest or polled)
    begun = Forgetting(polled, told, _kept_runs(tx, polled))
    _note_captures(tx, begun)
    return begun


def forget_some(tx: Transaction, state: Forgetting, most: int) -> int:
    """Look at so many rows more, and forget those that are old; how many went. It is done when `state` says so."""
    way, before = state.ways[state.place]
    number = way.table.c.id
    statement = select(number, way.began.label("began"), way.ended.label("ended"))
    if way is RUNS:
        statement = statement.add_columns(tables.run.c.digest)
    rows = tx.execute(statement.where(number > state.after).order_by(number).limit(most)).all()
    old = [row for row in rows if row.ended is not None and row.ended < before and row.id not in _kept(way, state)]
    if old:
        tx.execute(way.table.delete().where(number.in_([row.id for row in old])))
        state.gone[way.table.name] = state.gone.get(way.table.name, 0) + len(old)
    if way is RUNS and old:
        _forget_snapshots(tx, state, {row.digest for row in old})
    state.after = rows[-1].id if rows else state.after
    if not any(row.began < before for row in rows):
        state.place, state.after = state.place + 1, 0
    return len(old)


def _kept(way: _Way, state: Forgetting) -> Collection[int]:
    return state.kept if way is RUNS else ()


def _kept_runs(tx: Transaction, before: datetime) -> frozenset[int]:
    run = tables.run.c
    seen = case((run.digest.is_not(None), run.id))
    goes_on = run.id.in_(select(tables.pulse.c.run_id))  # its row may say that it ended long ago
    then = case((run.digest.is_not(None) & (run.last_at < before) & ~goes_on, run.id))
    last = select(func.max(run.id), func.max(seen), func.max(then)).group_by(run.asset_id)
    found = {number for row in tx.execute(last) for number in row if number is not None}
    return frozenset(found | set(tx.execute(select(tables.pulse.c.run_id)).scalars()))


def _forget_snapshots(tx: Transaction, state: Forgetting, digests: set[str | None]) -> None:
    """Those of these that nothing names any more."""
    _note_captures(tx, state)
    digests = digests - state.captured - {None}
    for column in (tables.run.c.digest, tables.baseline.c.digest):
        digests -= set(tx.execute(select(column).where(column.in_(digests)).distinct()).scalars())
    if digests:
        tx.execute(tables.snapshot.delete().where(tables.snapshot.c.digest.in_(digests)))
        state.gone["snapshot"] = state.gone.get("snapshot", 0) + len(digests)


def _note_captures(tx: Transaction, state: Forgetting) -> None:
    """With which snapshots the captures ended that baselines name: the evidence names these too."""
    baseline, document = tables.baseline.c, tables.document.c
    new = select(baseline.id, document.text).outerjoin(tables.document, document.digest == baseline.capture)
    for row in tx.execute(new.where(baseline.id > state.baseline).order_by(baseline.id)):
        state.baseline = row.id
        try:
            state.captured.add(str(json.loads(row.text)["last"]))
        except (ValueError, KeyError, TypeError, RecursionError):  # no capture, or one that does not verify anyway
            continue
