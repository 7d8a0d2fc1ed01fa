"""Change orders, and the writes that the wire saw of what they may be about."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, exists, func, insert, not_, or_, select, update

from baselines.change import Excess, Expectation, Order, OrderState, Outcome
from baselines.wire import Written
from monitor import tables
from monitor.store.assets import asset_id
from monitor.store.database import Transaction


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders somebody looks for: those with an asset of this name or a part of it, with these words in their
    ticket, reason, or names of people, and of the closed those that went as planned, or that did not."""

    state: OrderState
    asset: str = ""
    words: str = ""
    as_planned: bool | None = None


def orders(
    tx: Transaction,
    state: OrderState | None = None,
    number: int | None = None,
    closed_at: datetime | None = None,
    since: datetime | None = None,
) -> list[Order]:
    """The orders in a state (in any, if none is named), with a number, closed at a moment, or not closed before one
    (`since`), the oldest first."""
    statement = select(tables.change_order).order_by(tables.change_order.c.id)
    if state is not None:
        statement = statement.where(tables.change_order.c.state == state)
    if number is not None:
        statement = statement.where(tables.change_order.c.id == number)
    if closed_at is not None:
        statement = statement.where(tables.change_order.c.closed_at == closed_at)
    if since is not None:
        closed = tables.change_order.c.closed_at
        statement = statement.where(or_(closed.is_(None), closed >= since))
    return _orders(tx, statement)


def orders_of(tx: Transaction, numbers: Collection[int]) -> list[Order]:
    """The orders with some numbers, the oldest first."""
    order = tables.change_order.c
    return _orders(tx, select(tables.change_order).where(order.id.in_(numbers)).order_by(order.id)) if numbers else []


def find_orders(tx: Transaction, wanted: OrderFilter, most: int, after: int = 0) -> tuple[int, list[Order]]:
    """How many orders there are that somebody looks for, and `most` of them after the first so many: of the open those
    whose end comes first, of the closed those that were closed last."""
    order, condition = tables.change_order.c, _condition(wanted)
    count = tx.execute(select(func.count()).select_from(tables.change_order).where(condition)).scalar_one()
    first = (order.ends_at, order.id) if wanted.state is OrderState.OPEN else (order.closed_at.desc(), order.id.desc())
    numbers = select(order.id).where(condition).order_by(*first).limit(most).offset(after)
    places = {number: place for place, number in enumerate(tx.execute(numbers).scalars())}
    found = _orders(tx, select(tables.change_order).where(order.id.in_(places)))
    return count, sorted(found, key=lambda each: places[each.id])


def _condition(wanted: OrderFilter) -> ColumnElement[bool]:
    order = tables.change_order.c
    conditions = [order.state == wanted.state]
    if wanted.words:
        told = (order.ticket, order.reason, order.opened_by, order.closed_by)
        words = wanted.words.lower()
        conditions.append(or_(*(func.lower(column).contains(words, autoescape=True) for column in told)))
    if wanted.asset:
        named = tables.asset.c.name.contains(wanted.asset, autoescape=True)
        about = tables.expectation.join(tables.asset)
        conditions.append(exists().select_from(about).where(tables.expectation.c.order_id == order.id, named))
    if wanted.as_planned is not None:
        otherwise = or_(
            exists().where(tables.expectation.c.order_id == order.id, tables.expectation.c.outcome != "as-planned"),
            exists().where(tables.excess.c.order_id == order.id),
        )
        conditions.append(not_(otherwise) if wanted.as_planned else otherwise)
    return and_(*conditions)


def _orders(tx: Transaction, statement: Select[Any]) -> list[Order]:
    rows = tx.execute(statement).all()
    chosen = statement.with_only_columns(tables.change_order.c.id).order_by(None)
    expected, excess = _lines(tx, tables.expectation, chosen), _lines(tx, tables.excess, chosen)
    return [_order(row, expected.get(row.id, []), excess.get(row.id, [])) for row in rows]


def _lines(tx: Transaction, table: Any, numbers: Select[Any]) -> Mapping[int, list[Row[Any]]]:
    """The lines of some orders, by order."""
    found: defaultdict[int, list[Row[Any]]] = defaultdict(list)
    statement = (
        select(table, tables.asset.c.name.label("asset")).join(tables.asset).where(table.c.order_id.in_(numbers))
    )
    for row in tx.execute(statement.order_by(table.c.id)):
        found[row.order_id].append(row)
    return found


def add_order(tx: Transaction, order: Order) -> Order:
    """A new order; the one given with its number."""
    values = {
        "ticket": order.ticket,
        "reason": order.reason,
        "starts_at": order.starts_at,
        "ends_at": order.ends_at,
        "state": order.state,
        "opened_by": order.opened_by,
        "opened_at": order.opened_at,
    }
    number = tx.execute(insert(tables.change_order).values(values).returning(tables.change_order.c.id)).scalar_one()
    for each in order.expectations:
        line = {"order_id": number, "asset_id": asset_id(tx, each.asset), "item": each.item}
        tx.execute(insert(tables.expectation).values(expected=json.dumps(each.expected), **line))
    return replace(order, id=number)


def close_order(tx: Transaction, order: Order) -> bool:
    """Store what became of an order; False if somebody else has closed it."""
    closed = tx.execute(
        update(tables.change_order)
        .where(tables.change_order.c.id == order.id, tables.change_order.c.state == OrderState.OPEN)
        .values(state=order.state, closed_by=order.closed_by, closed_at=order.closed_at)
    )
    if closed.rowcount != 1:
        return False
    lines = tables.expectation
    for each in order.expectations:
        tx.execute(
            update(lines)
            .where(
                lines.c.order_id == order.id,
                lines.c.asset_id == asset_id(tx, each.asset),
                lines.c.item == each.item,
            )
            .values(observed=json.dumps(each.observed), outcome=each.outcome)
        )
    for more in order.excess:
        tx.execute(
            insert(tables.excess).values(
                order_id=order.id,
                asset_id=asset_id(tx, more.asset),
                item=more.item,
                approved=json.dumps(more.approved),
                observed=json.dumps(more.observed),
            )
        )
    return True


def _order(row: Row[Any], expected: list[Row[Any]], excess: list[Row[Any]]) -> Order:
    return Order(
        row.id,
        row.ticket,
        row.reason,
        row.starts_at,
        row.ends_at,
        tuple(_expectation(line) for line in expected),
        row.opened_by,
        row.opened_at,
        OrderState(row.state),
        row.closed_by,
        row.closed_at,
        tuple(Excess(line.asset, line.item, json.loads(line.approved), json.loads(line.observed)) for line in excess),
    )


def _expectation(line: Row[Any]) -> Expectation:
    observed = json.loads(line.observed) if line.observed is not None else None
    outcome = Outcome(line.outcome) if line.outcome else None
    return Expectation(line.asset, line.item, json.loads(line.expected), observed, outcome)


def add_written(tx: Transaction, asset: str, written: Written) -> None:
    """Keep a write to an item that the wire saw."""
    tx.execute(
        insert(tables.item_write).values(
            asset_id=asset_id(tx, asset),
            item=written.item,
            at=written.at,
            value=None if written.value is None else json.dumps(written.value),
            who=json.dumps(written.who),
        )
    )


def written(tx: Transaction, asset: str, since: datetime) -> list[Written]:
    """The writes to items of an asset from a time on, the oldest first."""
    table = tables.item_write
    statement = select(table).join(tables.asset).where(tables.asset.c.name == asset, table.c.at >= since)
    return [
        Written(row.item, row.at, None if row.value is None else json.loads(row.value), json.loads(row.who))
        for row in tx.execute(statement.order_by(table.c.at, table.c.id))
    ]


def writes(
    tx: Transaction, since: datetime, until: datetime, assets: Sequence[str] = (), most: int = 1000
) -> list[tuple[str, Written]]:
    """The writes to items of some assets (of all, if none is named) between two times, with the asset; the newest
    first, and no more than `most`."""
    table = tables.item_write
    statement = (
        select(table, tables.asset.c.name)
        .join(tables.asset)
        .where(table.c.at >= since, table.c.at <= until)
        .order_by(table.c.at.desc(), table.c.id.desc())
        .limit(most)
    )
    if assets:
        statement = statement.where(tables.asset.c.name.in_(assets))
    return [
        (row.name, Written(row.item, row.at, None if row.value is None else json.loads(row.value), json.loads(row.who)))
        for row in tx.execute(statement)
    ]
