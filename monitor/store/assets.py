"""The numbers of assets, and their lives: a name may change, the number stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update

from monitor import tables
from monitor.store.database import Transaction


@dataclass(frozen=True, slots=True)
class OutOfService:
    """An asset out of service: until when, by whom, why (ISA-18.2, 5.4.7)."""

    until: datetime
    by: str
    reason: str


def asset_id(tx: Transaction, name: str) -> int:
    """The number of an asset; it gets one when it is first heard of."""
    found = tx.execute(select(tables.asset.c.id).where(tables.asset.c.name == name)).scalar()
    if found is None:
        found = tx.execute(insert(tables.asset).values(name=name).returning(tables.asset.c.id)).scalar_one()
    return int(found)


def known_assets(tx: Transaction) -> Mapping[str, datetime | None]:
    """Every asset that was ever heard of, and when it was retired."""
    return {row.name: row.retired_at for row in tx.execute(select(tables.asset).order_by(tables.asset.c.id))}


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
    tx.execute(update(tables.asset).where(tables.asset.c.id == asset_id(tx, name)).values(retired_at=at))


def rename_asset(tx: Transaction, old: str, new: str) -> None:
    """Give an asset another name; its history goes with it."""
    tx.execute(update(tables.asset).where(tables.asset.c.name == old).values(name=new))
