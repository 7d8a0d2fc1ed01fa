"""Polls that commands ask of the daemon, and its answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update

from monitor import tables
from monitor.store.assets import asset_id
from monitor.store.database import Transaction


@dataclass(frozen=True, slots=True)
class PollRequest:
    """A poll that a command asked of the daemon; or something else of it, which `what` names."""

    id: int
    asset: str
    what: str = "poll"


def request_poll(tx: Transaction, asset: str, at: datetime, by: str, what: str = "poll") -> int:
    """Ask the daemon for a poll; the number under which it answers."""
    values = {"asset_id": asset_id(tx, asset), "asked_at": at, "asked_by": by, "what": what}
    return int(tx.execute(insert(tables.poll_request).values(values).returning(tables.poll_request.c.id)).scalar_one())


def open_poll_requests(tx: Transaction, after: int = 0) -> list[PollRequest]:
    """The requests with a higher number that nobody has answered."""
    statement = (
        select(tables.poll_request.c.id, tables.asset.c.name, tables.poll_request.c.what)
        .join(tables.asset)
        .where(tables.poll_request.c.answered_at.is_(None), tables.poll_request.c.id > after)
        .order_by(tables.poll_request.c.id)
    )
    return [PollRequest(row.id, row.name, row.what) for row in tx.execute(statement)]


def answer_poll(tx: Transaction, ids: Sequence[int], answer: Mapping[str, Any], at: datetime) -> None:
    """Answer poll requests with the JSON document of their asset."""
    tx.execute(
        update(tables.poll_request)
        .where(tables.poll_request.c.id.in_(ids))
        .values(answered_at=at, answer=json.dumps(answer))
    )


def poll_answers(tx: Transaction, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The answers that are there, by request."""
    statement = select(tables.poll_request.c.id, tables.poll_request.c.answer).where(
        tables.poll_request.c.id.in_(ids), tables.poll_request.c.answered_at.is_not(None)
    )
    return {row.id: json.loads(row.answer) for row in tx.execute(statement)}


def withdraw_polls(tx: Transaction, ids: Sequence[int]) -> None:
    """Whoever asked these polls waits for them no longer."""
    tx.execute(tables.poll_request.delete().where(tables.poll_request.c.id.in_(ids)))


def forget_polls(tx: Transaction, before: datetime) -> None:
    """Drop requests of long ago, answered or given up."""
    tx.execute(tables.poll_request.delete().where(tables.poll_request.c.asked_at < before))
