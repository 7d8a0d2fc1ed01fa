"""The outbox: how far each route has been told of what moved, and the messages that wait, arrived, or were given up."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import case, delete, func, insert, select, update

from baselines.alert import AlertState, Event
from baselines.drift import Kind
from baselines.snapshot import Category, Severity
from monitor import tables
from monitor.notify.grouping import ELSEWHERE, FLAP_SECONDS, FLAPS, RAISING, WAITING, Moved
from monitor.store.database import Transaction

LONGEST_REST = timedelta(hours=1)  # no message is put off for longer


class MessageState(StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"  # given up


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the outbox; `body` is JSON."""

    key: str
    route: str
    severity: Severity
    made_at: datetime
    due_at: datetime
    body: str
    tries: int = 0
    id: int = 0


@dataclass(frozen=True, slots=True)
class RouteHealth:
    """How a route does: what waits for how long and why, and what arrived last."""

    waiting: int = 0
    oldest: datetime | None = None
    why: str = ""
    sent_at: datetime | None = None
    failed: int = 0


def begin_routes(tx: Transaction, names: Collection[str]) -> None:
    """See to it that each route has its mark: a new one begins at the newest move. One that is no more loses it, and
    what waits for it is given up."""
    known = set(tx.scalars(select(tables.route.c.name)))
    if gone := known - set(names):
        tx.execute(delete(tables.route).where(tables.route.c.name.in_(gone)))
        why = "the route is not in plant.toml any more"
        tx.execute(
            update(tables.message)
            .where(tables.message.c.route.in_(gone), tables.message.c.state == MessageState.WAITING)
            .values(state=MessageState.FAILED, why=why)
        )
    newest = newest_move(tx)
    for name in sorted({*names} - known):
        tx.execute(insert(tables.route).values(name=name, move_id=newest, held=""))


def newest_move(tx: Transaction) -> int:
    """The number of the newest move; 0 if nothing has ever moved."""
    return tx.scalar(select(func.max(tables.alert_move.c.id))) or 0


def route_marks(tx: Transaction) -> dict[str, tuple[int, str]]:
    """By route: the last move that it took in, and what it holds, as JSON."""
    return {row.name: (row.move_id, row.held) for row in tx.execute(select(tables.route))}


def keep_route(tx: Transaction, name: str, mark: int, held: str) -> None:
    tx.execute(update(tables.route).where(tables.route.c.name == name).values(move_id=mark, held=held))


def first_move_after(tx: Transaction, mark: int) -> datetime | None:
    """When the first move behind a mark was made."""
    moves = tables.alert_move
    return tx.scalar(select(moves.c.at).where(moves.c.id > mark).order_by(moves.c.id).limit(1))


def moves_after(tx: Transaction, mark: int, most: int, now: datetime, until: datetime | None = None) -> list[Moved]:
    """The moves behind a mark, at most so many, with what routing needs to know of them; those made by `until`."""
    moves, alert = tables.alert_move, tables.alert
    columns = (moves.c.id, moves.c.alert_id, moves.c.at, moves.c.event, moves.c.before, moves.c.after)
    of_alert = (alert.c.severity, alert.c.category, alert.c.kind, tables.asset.c.name)
    statement = select(*columns, *of_alert).select_from(moves.join(alert).join(tables.asset)).where(moves.c.id > mark)
    found = []
    for row in tx.execute(statement.order_by(moves.c.id).limit(most)):
        if until is not None and row.at > until:
            break
        found.append(row)
    ids = sorted({row.alert_id for row in found})
    raised, left = _raised(tx, ids, now), _left(tx, ids) if until is not None else {}
    return [
        Moved(
            row.id,
            row.alert_id,
            Event(row.event),
            AlertState(row.before),
            AlertState(row.after),
            row.name,
            Severity(row.severity),
            Category(row.category),
            Kind(row.kind),
            raised.get(row.alert_id, 0),
            waits=until is not None and left.get(row.alert_id, 0) < row.id,
        )
        for row in found
    ]


def _raised(tx: Transaction, ids: Sequence[int], now: datetime) -> dict[int, int]:
    """How often alarms were raised lately: those that were so often that they flap."""
    moves = tables.alert_move
    statement = (
        select(moves.c.alert_id, func.count())
        .where(
            moves.c.alert_id.in_(ids),
            moves.c.at >= now - timedelta(seconds=FLAP_SECONDS),
            moves.c.event.in_(RAISING),
        )
        .group_by(moves.c.alert_id)
        .having(func.count() > FLAPS)
    )
    return {row[0]: row[1] for row in tx.execute(statement)} if ids else {}


def _left(tx: Transaction, ids: Sequence[int]) -> dict[int, int]:
    """The last move by which alarms no longer waited for somebody to acknowledge them."""
    moves = tables.alert_move
    statement = (
        select(moves.c.alert_id, func.max(moves.c.id))
        .where(moves.c.alert_id.in_(ids), moves.c.after.in_(ELSEWHERE), moves.c.before.in_(WAITING))
        .group_by(moves.c.alert_id)
    )
    return {row[0]: row[1] for row in tx.execute(statement)} if ids else {}


def add_message(tx: Transaction, message: Message) -> None:
    """Put a message into the outbox, unless one with its key is or was there."""
    if tx.scalar(select(tables.message.c.id).where(tables.message.c.key == message.key)) is None:
        tx.execute(
            insert(tables.message).values(
                key=message.key,
                route=message.route,
                state=MessageState.WAITING,
                severity=message.severity,
                made_at=message.made_at,
                due_at=message.due_at,
                tries=message.tries,
                why="",
                body=message.body,
            )
        )


def next_message(tx: Transaction, route: str, now: datetime) -> Message | None:
    """The message that a route is to send now: a critical one first, then the oldest."""
    message = tables.message
    set_back = message.c.due_at > now + LONGEST_REST  # the clock, since
    statement = (
        select(message)
        .where(message.c.state == MessageState.WAITING, message.c.route == route)
        .where((message.c.due_at <= now) | set_back)
        .order_by(case((message.c.severity == Severity.CRITICAL, 0), else_=1), message.c.id)
        .limit(1)
    )
    row = tx.execute(statement).first()
    if row is None:
        return None
    return Message(row.key, row.route, Severity(row.severity), row.made_at, row.due_at, row.body, row.tries, row.id)


def message_sent(tx: Transaction, message: Message, now: datetime) -> None:
    """A message has arrived."""
    changed = {"state": MessageState.SENT, "sent_at": now, "tries": message.tries + 1, "why": ""}
    tx.execute(update(tables.message).where(tables.message.c.id == message.id).values(changed))


def message_kept(tx: Transaction, message: Message, why: str, due_at: datetime | None) -> None:
    """A message has not arrived: it is tried again at a time, or (None) given up."""
    changed = {"tries": message.tries + 1, "why": why}
    changed |= {"due_at": due_at} if due_at else {"state": MessageState.FAILED}
    tx.execute(update(tables.message).where(tables.message.c.id == message.id).values(changed))


def route_health(tx: Transaction, names: Iterable[str]) -> dict[str, RouteHealth]:
    """How each route does."""
    message = tables.message
    waits = message.c.state == MessageState.WAITING
    statement = select(
        message.c.route,
        func.count(case((waits, 1))).label("waiting"),
        func.min(case((waits, message.c.made_at))).label("oldest"),
        func.max(case((waits & (message.c.why != ""), message.c.id))).label("last"),
        func.max(message.c.sent_at).label("sent_at"),
        func.count(case((message.c.state == MessageState.FAILED, 1))).label("failed"),
    ).group_by(message.c.route)
    found = {}
    for row in tx.execute(statement):
        why = tx.scalar(select(message.c.why).where(message.c.id == row.last)) if row.last else ""
        found[row.route] = RouteHealth(row.waiting, row.oldest, why or "", row.sent_at, row.failed)
    return {name: found.get(name, RouteHealth()) for name in names}
