"""Alarms, and every move that they made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update

from baselines.alert import Alert, AlertState, Move
from baselines.drift import Kind
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
