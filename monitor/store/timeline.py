"""What was seen of one asset, what happened to it and who decided about it, the newest first.

An asset is its number; each function gives what came before a moment, `most` of it at most.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import String, select, type_coerce

from baselines.wire import Written
from monitor import tables
from monitor.store.audit import Entry, entries_of, moment_of, readable
from monitor.store.database import Transaction
from monitor.store.gaps import Gap
from monitor.store.runs import Run, run_of, select_runs


class AlarmMove(NamedTuple):
    """A move of an alarm, with what the alarm is about; `observed` and `approved` are as JSON shows them."""

    at: datetime
    alarm: int
    item: str
    kind: str
    event: str
    after: str
    approved: Any
    observed: Any
    direction: str | None
    severity: str
    who: Any
    by: str | None
    reason: str


def alarm_moves(tx: Transaction, asset: int, until: datetime, most: int) -> list[AlarmMove]:
    """How its alarms moved."""
    move, alert = tables.alert_move.c, tables.alert.c
    columns = (move.at, alert.id, alert.item, alert.kind, move.event, move.after, alert.approved, move.observed)
    told = (alert.direction, alert.severity, alert.who, move.by, move.reason)
    joined = select(*columns, *told).join(tables.alert, alert.id == move.alert_id).where(alert.asset_id == asset)
    rows = tx.execute(joined.where(move.at < until).order_by(move.at.desc(), move.id.desc()).limit(most))
    return [_alarm_move(row) for row in rows]


def _alarm_move(row: Any) -> AlarmMove:
    about = (row.at, row.id, row.item, row.kind, row.event, row.after, _read(row.approved), _read(row.observed))
    return AlarmMove(*about, row.direction, row.severity, _read(row.who), row.by, row.reason)


def runs_before(tx: Transaction, asset: int, until: datetime, most: int) -> list[Run]:
    """Its runs that had begun."""
    run = tables.run.c
    statement = select_runs().where(run.asset_id == asset, run.first_at < until)
    return [run_of(row) for row in tx.execute(statement.order_by(run.id.desc()).limit(most))]


def gaps_before(tx: Transaction, asset: int, until: datetime, most: int) -> list[Gap]:
    """Its gaps that had begun."""
    gap = tables.gap.c
    statement = select(tables.gap, tables.asset.c.name.label("asset")).join(tables.asset)
    statement = statement.where(gap.asset_id == asset, gap.first_at < until)
    rows = tx.execute(statement.order_by(gap.first_at.desc(), gap.id.desc()).limit(most))
    return [Gap(row.asset, row.witness, row.cause, row.text, row.first_at, row.last_at, row.id) for row in rows]


def writes_before(tx: Transaction, asset: int, until: datetime, most: int) -> list[Written]:
    """The writes to its items that the wire saw."""
    table = tables.item_write
    statement = select(table).where(table.c.asset_id == asset, table.c.at < until)
    rows = tx.execute(statement.order_by(table.c.at.desc(), table.c.id.desc()).limit(most))
    return [Written(row.item, row.at, _read(row.value), json.loads(row.who)) for row in rows]


def entries_about(
    tx: Transaction, names: Collection[str], actions: Iterable[str], until: datetime, most: int
) -> list[Entry]:
    """The audit entries of some actions about something that is, or was, called so. One whose time cannot be read is
    left out: verifying says so."""
    table = tables.audit_entry
    at = type_coerce(table.c.at, String).label("at")
    columns = (table.c.id, table.c.actor, table.c.action, table.c.subject, table.c.detail, at, table.c.account)
    statement = select(*columns).where(table.c.subject.in_(names), table.c.action.in_(actions), table.c.at < until)
    rows = tx.execute(statement.order_by(table.c.id.desc()).limit(most))
    return [
        Entry(row.id, row.actor, row.action, row.subject, readable(row.detail), moment, row.account)
        for row in rows
        if (moment := moment_of(row.at)) is not None
    ]


def names_of(tx: Transaction, name: str) -> set[str]:
    """What an asset is called now, and whatever it was called before."""
    names = {name}
    for entry in reversed(entries_of(tx, ("asset.rename",))):
        if entry.detail.get("to") in names:
            names.add(entry.subject)
    return names


def orders_about(tx: Transaction, asset: int) -> list[int]:
    """The numbers of the change orders that expect something of it, or had it in excess."""
    lines = (tables.expectation, tables.excess)
    found = (tx.execute(select(each.c.order_id).where(each.c.asset_id == asset).distinct()).scalars() for each in lines)
    return sorted({number for numbers in found for number in numbers})


def _read(text: str | None) -> Any:
    return None if text is None else json.loads(text)
