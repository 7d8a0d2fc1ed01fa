"""Gaps: from when until when a witness did not see an asset, and why; and the self-tests of the watch."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, Select, insert, or_, select, update

from monitor import tables
from monitor.store.assets import asset_id
from monitor.store.database import Transaction

FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Gap:
    """One time in which an asset was not seen; `last_at` is None while it lasts, `id` 0 until it is stored."""

    asset: str
    witness: str  # poll, wire, self
    cause: str
    text: str
    first_at: datetime
    last_at: datetime | None = None
    id: int = 0


@dataclass(frozen=True, slots=True)
class SelfTest:
    """One test of the whole way from a change to the message: seconds from the change to each station."""

    at: datetime
    ok: bool
    legs: Mapping[str, float]
    text: str


def add_gap(tx: Transaction, gap: Gap) -> int:
    """A new gap; its number."""
    values = {
        "asset_id": asset_id(tx, gap.asset),
        "witness": gap.witness,
        "cause": gap.cause,
        "text": gap.text,
        "first_at": gap.first_at,
        "last_at": gap.last_at,
    }
    return int(tx.execute(insert(tables.gap).values(values).returning(tables.gap.c.id)).scalar_one())


def end_gap(tx: Transaction, number: int, at: datetime | None) -> None:
    """What was not seen is seen again; None: it lasts still."""
    tx.execute(update(tables.gap).where(tables.gap.c.id == number).values(last_at=at))


def open_gaps(tx: Transaction) -> list[Gap]:
    """The gaps that last."""
    return [_gap(row) for row in tx.execute(_gaps().where(tables.gap.c.last_at.is_(None)))]


def gaps(tx: Transaction, assets: Collection[str], since: datetime, until: datetime) -> list[Gap]:
    """The gaps of assets that last at any time between two moments, the oldest first."""
    lasts = or_(tables.gap.c.last_at.is_(None), tables.gap.c.last_at > since)
    found = tx.execute(_gaps().where(lasts, tables.gap.c.first_at < until).order_by(tables.gap.c.first_at))
    wanted = frozenset(assets)
    return [_gap(row) for row in found if row.asset in wanted]


def _gaps() -> Select[Any]:
    return select(tables.gap, tables.asset.c.name.label("asset")).join(tables.asset)


def _gap(row: Row[Any]) -> Gap:
    return Gap(row.asset, row.witness, row.cause, row.text, row.first_at, row.last_at, row.id)


def first_looks(tx: Transaction, assets: Collection[str] | None = None) -> dict[str, datetime]:
    """When each asset (of some, or of all) was asked first, whatever came of it."""
    table = tables.run
    first = (
        select(table.c.first_at).where(table.c.asset_id == tables.asset.c.id).order_by(table.c.id).limit(1)
    ).scalar_subquery()
    statement = _of(select(tables.asset.c.name, first.label("at")), assets)
    return {row.name: row.at for row in tx.execute(statement) if row.at}


def _of(statement: Select[Any], assets: Collection[str] | None) -> Select[Any]:
    return statement if assets is None else statement.where(tables.asset.c.name.in_(assets))


def last_looks(
    tx: Transaction, until: datetime = FOREVER, assets: Collection[str] | None = None
) -> dict[str, datetime]:
    """When each asset (of some, or of all) was seen last before a moment; of what went on being seen then, the moment
    itself."""
    table = tables.run
    last = (
        select(table.c.last_at)
        .where(table.c.asset_id == tables.asset.c.id, table.c.digest.is_not(None), table.c.first_at < until)
        .order_by(table.c.id.desc())
        .limit(1)
    ).scalar_subquery()
    statement = _of(select(tables.asset.c.name, last.label("at")), assets)
    found = {row.name: row.at for row in tx.execute(statement) if row.at}
    goes_on = tables.pulse.join(tables.run, tables.run.c.id == tables.pulse.c.run_id).join(
        tables.asset, tables.asset.c.id == tables.pulse.c.asset_id
    )
    live = select(tables.asset.c.name, tables.pulse.c.last_at).select_from(goes_on)
    observed = live.where(table.c.digest.is_not(None), table.c.first_at < until)
    for row in tx.execute(_of(observed, assets)):  # how far a run that goes on has come
        found[row.name] = max(row.last_at, found[row.name])
    return {name: min(at, until) for name, at in found.items()}


def add_self_test(tx: Transaction, test: SelfTest) -> None:
    """Keep what came of a self-test."""
    values = {"at": test.at, "ok": int(test.ok), "legs": json.dumps(test.legs), "text": test.text}
    tx.execute(insert(tables.self_test).values(values))


def last_self_test(tx: Transaction, passed: bool = False) -> SelfTest | None:
    """The newest self-test; with `passed` the newest that passed."""
    statement = select(tables.self_test).order_by(tables.self_test.c.id.desc()).limit(1)
    if passed:
        statement = statement.where(tables.self_test.c.ok == 1)
    row = tx.execute(statement).first()
    return None if row is None else SelfTest(row.at, bool(row.ok), json.loads(row.legs), row.text)
