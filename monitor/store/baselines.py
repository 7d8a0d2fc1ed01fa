"""Baselines, and the states that they went through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, insert, select, update

from baselines.baseline import Baseline, Stage, State
from baselines.snapshot import Snapshot
from monitor import tables
from monitor.store.assets import asset_id
from monitor.store.database import Transaction
from monitor.store.runs import snapshot_of


def baselines(tx: Transaction, assets: Sequence[str] = (), state: State | None = None) -> list[Baseline]:
    """The baselines of some assets (of all, if none is named), the oldest first."""
    statement = select(tables.baseline, tables.asset.c.name.label("asset")).join(tables.asset)
    if assets:
        statement = statement.where(tables.asset.c.name.in_(assets))
    if state:
        statement = statement.where(tables.baseline.c.state == state)
    return [_baseline(row) for row in tx.execute(statement.order_by(tables.baseline.c.id))]


def current_baseline(tx: Transaction, asset: str, state: State = State.APPROVED) -> Baseline | None:
    """The one baseline of an asset in a state: approved, or the open proposal."""
    found = baselines(tx, [asset], state)
    return found[-1] if found else None


def baseline_snapshot(tx: Transaction, baseline: Baseline) -> Snapshot:
    """What a baseline holds."""
    return snapshot_of(tx, baseline.asset, baseline.digest, baseline.proposed_at, baseline.profile)


def add_baseline(tx: Transaction, baseline: Baseline) -> Baseline:
    """A new baseline; the one given with its number."""
    values = {
        "asset_id": asset_id(tx, baseline.asset),
        "digest": baseline.digest,
        "state": baseline.state,
        "stage": baseline.stage,
        "profile": baseline.profile,
        "proposed_by": baseline.proposed_by,
        "proposed_at": baseline.proposed_at,
        "reason": baseline.reason,
    }
    number = tx.execute(insert(tables.baseline).values(values).returning(tables.baseline.c.id)).scalar_one()
    return replace(baseline, id=number)


def move_baseline(tx: Transaction, baseline: Baseline, before: State) -> bool:
    """Store a baseline's new state; False if it is no longer in the state `before`: somebody else was first."""
    moved = tx.execute(
        update(tables.baseline)
        .where(tables.baseline.c.id == baseline.id, tables.baseline.c.state == before)
        .values(
            state=baseline.state,
            decided_by=baseline.decided_by,
            decided_at=baseline.decided_at,
            reason=baseline.reason,
        )
    )
    return moved.rowcount == 1


def _baseline(row: Row[Any]) -> Baseline:
    return Baseline(
        row.id,
        row.asset,
        row.digest,
        State(row.state),
        Stage(row.stage),
        row.profile,
        row.proposed_by,
        row.proposed_at,
        row.decided_by,
        row.decided_at,
        row.reason,
    )
