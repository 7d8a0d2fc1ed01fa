"""Alarms, and every move that they made."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, case, func, insert, select, update

from baselines.alert import ACKED, NORMAL, RTN_UNACK, SHELVE, UNACK, Alert, AlertState, Event, Move
from baselines.drift import Kind
from baselines.life import Moved
from baselines.rules import Direction
from baselines.snapshot import Category, Severity
from monitor import tables
from monitor.store.assets import asset_id
from monitor.store.database import Transaction


def alerts(
    tx: Transaction,
    assets: Sequence[str] = (),
    ids: Sequence[int] = (),
    closed: bool = False,
    since: datetime | None = None,
    kind: Kind | None = None,
) -> list[Alert]:
    """The alarms that are not NORMAL (with `closed` all), of some assets, with some numbers or of one kind, the oldest
    first; with `since` those that have changed since."""
    statement = select(tables.alert, tables.asset.c.name.label("asset")).join(tables.asset)
    if not closed:
        statement = statement.where(tables.alert.c.state != AlertState.NORMAL)
    if since is not None:
        statement = statement.where(tables.alert.c.changed_at >= since)
    if assets:
        statement = statement.where(tables.asset.c.name.in_(assets))
    if ids:
        statement = statement.where(tables.alert.c.id.in_(ids))
    if kind is not None:
        statement = statement.where(tables.alert.c.kind == kind)
    return [_alert(row) for row in tx.execute(statement.order_by(tables.alert.c.id))]


OPEN = (UNACK, RTN_UNACK, ACKED)  # the states in which an alarm stands before people
RANKS = {severity: -severity.rank for severity in Severity}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which alarms are asked for: what is empty does not choose. `text` is a part of an asset's name or of an item;
    `assets` None is any asset. `open_cases` are those that people have still to say the cause of."""

    states: Collection[AlertState] = ()
    severities: Collection[Severity] = ()
    categories: Collection[Category] = ()
    kinds: Collection[Kind] = ()
    assets: Collection[str] | None = None
    text: str = ""
    open_cases: bool = False


def find_alerts(tx: Transaction, wanted: Wanted, most: int, skip: int = 0) -> list[Alert]:
    """So many of the alarms that are asked for, the most urgent first: by severity, then what nobody has acknowledged,
    then the oldest. Of those that are over, the newest first."""
    alert = tables.alert.c
    if set(wanted.states) == {NORMAL}:
        order: Sequence[ColumnElement[Any]] = (alert.id.desc(),)
    else:
        waits = case((alert.state.in_((UNACK, RTN_UNACK)), 0), else_=1)
        order = (case(RANKS, value=alert.severity, else_=1), waits, alert.raised_at, alert.id)
    statement = _chosen(select(tables.alert, tables.asset.c.name.label("asset")), wanted)
    return [_alert(row) for row in tx.execute(statement.order_by(*order).limit(most).offset(skip))]


def alerts_after(tx: Transaction, wanted: Wanted, after: int, most: int) -> list[Alert]:
    """So many of the alarms that are asked for, with numbers above one, in the order of their numbers."""
    statement = _chosen(select(tables.alert, tables.asset.c.name.label("asset")), wanted)
    statement = statement.where(tables.alert.c.id > after).order_by(tables.alert.c.id).limit(most)
    return [_alert(row) for row in tx.execute(statement)]


def count_alerts(tx: Transaction, wanted: Wanted) -> int:
    """How many alarms are asked for."""
    return int(tx.execute(_chosen(select(func.count(tables.alert.c.id)), wanted)).scalar_one())


def _chosen(statement: Select[Any], wanted: Wanted) -> Select[Any]:
    alert, name = tables.alert.c, tables.asset.c.name
    statement = statement.select_from(tables.alert.join(tables.asset))
    for column, values in (
        (alert.state, wanted.states),
        (alert.severity, wanted.severities),
        (alert.category, wanted.categories),
        (alert.kind, wanted.kinds),
    ):
        if values:
            statement = statement.where(column.in_(values))
    if wanted.assets is not None:
        statement = statement.where(name.in_(wanted.assets))
    if wanted.open_cases:
        needs_none = alert.kind == Kind.SELFTEST
        statement = statement.where(alert.closed_at.is_(None), alert.suppressed_by.is_(None), ~needs_none)
    if wanted.text:
        part = wanted.text
        statement = statement.where(name.icontains(part, autoescape=True) | alert.item.icontains(part, autoescape=True))
    return statement


def alerts_like(tx: Transaction, alert: Alert, most: int) -> list[Alert]:
    """The closed cases of the same item, whatever asset it is of, the newest first: how it came about, and what was
    done about it."""
    statement = (
        select(tables.alert, tables.asset.c.name.label("asset"))
        .join(tables.asset)
        .where(tables.alert.c.item == alert.item, tables.alert.c.closed_at.is_not(None), tables.alert.c.id != alert.id)
        .order_by(tables.alert.c.closed_at.desc())
        .limit(most)
    )
    return [_alert(row) for row in tx.execute(statement)]


def moves_of(tx: Transaction, number: int) -> list[Moved]:
    """The life of an alarm, the oldest move first; for how long it was shelved is not kept with a move."""
    moves = tables.alert_move
    return [
        Moved(row.at, Event(row.event), AlertState(row.before), AlertState(row.after), row.observed, row.by, row.reason)
        for row in tx.execute(select(moves).where(moves.c.alert_id == number).order_by(moves.c.id))
    ]


def who_shelved(tx: Transaction, ids: Sequence[int]) -> dict[int, str]:
    """Who put alarms away last."""
    moves = tables.alert_move
    of_them = select(moves.c.alert_id, moves.c.by).where(moves.c.alert_id.in_(ids), moves.c.event == SHELVE)
    return {row.alert_id: row.by or "" for row in tx.execute(of_them.order_by(moves.c.id))}


def shelved_until(tx: Transaction, now: datetime) -> list[Alert]:
    """The shelved alarms whose time is over."""
    statement = (
        select(tables.alert, tables.asset.c.name.label("asset"))
        .join(tables.asset)
        .where(tables.alert.c.state == AlertState.SHELVED, tables.alert.c.shelved_until <= now)
    )
    return [_alert(row) for row in tx.execute(statement)]


def suppressed(tx: Transaction, by: str | None = None) -> list[Alert]:
    """The suppressed alarms; with `by` those that an order, or OUT_OF_SERVICE, suppresses."""
    statement = select(tables.alert, tables.asset.c.name.label("asset")).join(tables.asset)
    statement = statement.where(tables.alert.c.state == AlertState.SUPPRESSED)
    if by is not None:
        statement = statement.where(tables.alert.c.suppressed_by == by)
    return [_alert(row) for row in tx.execute(statement.order_by(tables.alert.c.id))]


def keep_alert(tx: Transaction, alert: Alert) -> None:
    """Store what was said of an alarm that did not move."""
    tx.execute(update(tables.alert).where(tables.alert.c.id == alert.id).values(_alert_values(alert)))


def store_move(tx: Transaction, move: Move, by: str | None = None) -> Move:
    """Store how an alarm moved; the move with the alarm's number."""
    [stored] = store_moves(tx, [move], by)
    return stored


def store_moves(tx: Transaction, moves: Sequence[Move], by: str | None = None) -> list[Move]:
    """Store how alarms moved, in this order, each of them once; the moves with the alarms' numbers."""
    numbers = iter(_added(tx, [move.alert for move in moves if not move.alert.id]))
    stored = [move if move.alert.id else replace(move, alert=replace(move.alert, id=next(numbers))) for move in moves]
    for move in moves:
        if move.alert.id:
            keep_alert(tx, move.alert)
    if stored:
        tx.execute(insert(tables.alert_move), [_move_values(move, by) for move in stored])
    return stored


def _added(tx: Transaction, alerts: Sequence[Alert]) -> list[int]:
    """The numbers that new alarms get. A storm is many of them: they go in together."""
    if not alerts:
        return []
    assets = {name: asset_id(tx, name) for name in {alert.asset for alert in alerts}}
    rows = [{**_alert_values(alert), "asset_id": assets[alert.asset]} for alert in alerts]
    added = insert(tables.alert).returning(tables.alert.c.id, sort_by_parameter_order=True)
    return [row.id for row in tx.execute(added, rows)]


def _move_values(move: Move, by: str | None) -> dict[str, Any]:
    alert = move.alert
    return {
        "alert_id": alert.id,
        "at": alert.changed_at,
        "event": move.event,
        "before": move.before,
        "after": alert.state,
        "observed": json.dumps(alert.observed),
        "by": by,
        "reason": alert.reason,
    }


def _alert_values(alert: Alert) -> dict[str, Any]:
    return {
        "item": alert.item,
        "kind": alert.kind,
        "approved": json.dumps(alert.approved),
        "observed": json.dumps(alert.observed),
        "severity": alert.severity,
        "category": alert.category,
        "techniques": " ".join(alert.techniques),
        "direction": alert.direction,
        "state": alert.state,
        "raised_at": alert.raised_at,
        "changed_at": alert.changed_at,
        "acknowledged_by": alert.acknowledged_by,
        "shelved_until": alert.shelved_until,
        "reason": alert.reason,
        "who": json.dumps(alert.who) if alert.who else None,
        "suppressed_by": alert.suppressed_by,
        "cause": alert.cause,
        "prevention": alert.prevention,
        "closed_by": alert.closed_by,
        "closed_at": alert.closed_at,
    }


def _alert(row: Row[Any]) -> Alert:
    return Alert(
        row.asset,
        row.item,
        Kind(row.kind),
        json.loads(row.approved),
        json.loads(row.observed),
        Severity(row.severity),
        Category(row.category),
        tuple(row.techniques.split()),
        Direction(row.direction) if row.direction else None,
        row.raised_at,
        row.changed_at,
        AlertState(row.state),
        row.acknowledged_by,
        row.shelved_until,
        row.reason,
        row.id,
        json.loads(row.who) if row.who else None,
        row.suppressed_by,
        row.cause,
        row.prevention or "",
        row.closed_by,
        row.closed_at,
    )
