"""The numbers of assets, and their lives: a name may change, the number stays.

Whatever is stored of an asset hangs on its number, which it gets when it is first heard of. A name that was given up,
by a rename or because the asset was retired, gets none by that: who goes on under it is told that it is gone, and a new
asset of that name comes by `add_assets`, from plant.toml.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update

from baselines.snapshot import utc_text
from monitor import tables
from monitor.errors import Gone
from monitor.store.database import Transaction


@dataclass(frozen=True, slots=True)
class OutOfService:
    """An asset out of service: until when, by whom, why (ISA-18.2, 5.4.7)."""

    until: datetime
    by: str
    reason: str


def asset_id(tx: Transaction, name: str) -> int:
    """The number of an asset; it gets one when it is first heard of. Gone if it is retired, or has another name now."""
    row = tx.execute(select(tables.asset.c.id, tables.asset.c.retired_at).where(tables.asset.c.name == name)).first()
    if row is None:
        _assure_not_renamed(tx, name)
        return int(tx.execute(insert(tables.asset).values(name=name).returning(tables.asset.c.id)).scalar_one())
    if row.retired_at is not None:
        raise Gone(name, f"was retired at {utc_text(row.retired_at)}")
    return int(row.id)


def _assure_not_renamed(tx: Transaction, name: str) -> None:
    table = tables.audit_entry
    renamed = select(table.c.at, table.c.detail).where(table.c.action == "asset.rename", table.c.subject == name)
    row = tx.execute(renamed.order_by(table.c.id.desc()).limit(1)).first()
    if row is not None:
        raise Gone(name, f"is called {json.loads(row.detail)['to']} since {utc_text(row.at)}")


def add_assets(tx: Transaction, names: Iterable[str]) -> None:
    """Give new assets their numbers, whatever else was called so before."""
    for name in names:
        tx.execute(insert(tables.asset).values(name=name))


def known_assets(tx: Transaction) -> Mapping[str, datetime | None]:
    """Every asset that was ever heard of, and when it was retired (None: it was not)."""
    return {row.name: row.retired_at for row in tx.execute(select(tables.asset).order_by(tables.asset.c.id))}


def asset_numbers(tx: Transaction) -> Mapping[str, int]:
    """The numbers of all assets that are not retired, by name."""
    rows = tx.execute(select(tables.asset.c.id, tables.asset.c.name).where(tables.asset.c.retired_at.is_(None)))
    return {row.name: row.id for row in rows}


def out_of_service(tx: Transaction, now: datetime) -> Mapping[str, OutOfService]:
    """The assets that are out of service at a time."""
    statement = select(tables.asset).where(tables.asset.c.out_until > now, tables.asset.c.retired_at.is_(None))
    return {row.name: OutOfService(row.out_until, row.out_by, row.out_reason) for row in tx.execute(statement)}


def take_out(tx: Transaction, name: str, out: OutOfService | None) -> None:
    """Take an asset out of service; without one, back into it."""
    values = {
        "out_until": out.until if out else None,
        "out_by": out.by if out else None,
        "out_reason": out.reason if out else None,
    }
    tx.execute(update(tables.asset).where(tables.asset.c.id == asset_id(tx, name)).values(values))


def retire_asset(tx: Transaction, name: str, at: datetime | None) -> None:
    """Mark an asset as retired, or, without a time, as there again."""
    tx.execute(update(tables.asset).where(tables.asset.c.name == name).values(retired_at=at))


def rename_asset(tx: Transaction, old: str, new: str) -> None:
    """Give an asset another name; its history goes with it."""
    tx.execute(update(tables.asset).where(tables.asset.c.name == old).values(name=new))


def has_history(tx: Transaction, name: str) -> bool:
    """Whether an asset has more than polls to its name: baselines, alarms, orders, or a life of its own."""
    row = tx.execute(select(tables.asset).where(tables.asset.c.name == name)).one()
    lines = (tables.baseline, tables.alert, tables.expectation, tables.excess)
    hang = any(tx.execute(select(line.c.id).where(line.c.asset_id == row.id).limit(1)).first() for line in lines)
    return hang or row.out_until is not None or row.retired_at is not None


def absorb_asset(tx: Transaction, fresh: str, into: str) -> None:
    """Give all that is stored of an asset without a history to another one; the fresh one goes."""
    number = tx.execute(select(tables.asset.c.id).where(tables.asset.c.name == fresh)).scalar_one()
    for table in (tables.run, tables.item_write, tables.poll_request, tables.gap):
        tx.execute(update(table).where(table.c.asset_id == number).values(asset_id=asset_id(tx, into)))
    tx.execute(tables.asset.delete().where(tables.asset.c.id == number))
