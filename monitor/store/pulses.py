"""How far the current run of each asset goes: the few bytes that are written again and again while nothing changes."""

from __future__ import annotations

from sqlalchemy import Join, and_, select, update

from monitor import tables
from monitor.store.database import Transaction


def live_runs() -> Join:
    """Runs, each with its pulse if it is its asset's current one: then the pulse says how far it goes."""
    run, pulse = tables.run.c, tables.pulse.c
    return tables.run.outerjoin(tables.pulse, and_(pulse.asset_id == run.asset_id, pulse.run_id == run.id))


def end_run(tx: Transaction, asset: int) -> None:
    """The current run of an asset, by its number, goes no further: where it ended is written to it."""
    pulse = tables.pulse.c
    row = tx.execute(select(tables.pulse).where(pulse.asset_id == asset)).first()
    if row is None:
        return
    ended = {"last_at": row.last_at, "polls": row.polls, "longest_gap": row.longest_gap}
    tx.execute(update(tables.run).where(tables.run.c.id == row.run_id).values(ended))
    tx.execute(tables.pulse.delete().where(pulse.asset_id == asset))


def hand_over(tx: Transaction, giving: int, taking: int) -> None:
    """The current run of one asset becomes that of another, whose own is over."""
    end_run(tx, taking)
    tx.execute(update(tables.pulse).where(tables.pulse.c.asset_id == giving).values(asset_id=taking))
