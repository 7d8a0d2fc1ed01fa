"""The numbers of assets."""

from __future__ import annotations

from sqlalchemy import insert, select

from monitor import tables
from monitor.store.database import Transaction


def asset_id(tx: Transaction, name: str) -> int:
    """The number of an asset; it gets one when it is first heard of."""
    found = tx.execute(select(tables.asset.c.id).where(tables.asset.c.name == name)).scalar()
    if found is None:
        found = tx.execute(insert(tables.asset).values(name=name).returning(tables.asset.c.id)).scalar_one()
    return int(found)
