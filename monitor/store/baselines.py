"""Baselines, and the states that they went through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update

from baselines.baseline import Baseline, SignOff, Stage, State
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
    return [baseline_of(row) for row in tx.execute(statement.order_by(tables.baseline.c.id))]


def assets_with(tx: Transaction, state: State, stage: Stage | None = None) -> set[str]:
    """The assets that have a baseline in a state; of a stage, if it is named."""
    statement = select(tables.asset.c.name).join(tables.baseline).where(tables.baseline.c.state == state)
    if stage:
        statement = statement.where(tables.baseline.c.stage == stage)
    return set(tx.execute(statement).scalars())


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
        "ticket": baseline.ticket or None,
        "capture": baseline.capture,
        "origin": baseline.origin,
        "decided_by": baseline.decided_by,
        "decided_at": baseline.decided_at,
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
            ticket=baseline.ticket or None,
        )
    )
    return moved.rowcount == 1


def baseline_at(tx: Transaction, asset: str, moment: datetime) -> Baseline | None:
    """The baseline of an asset that was approved at a time, here: what came in a bundle was approved elsewhere."""
    decided = [
        each
        for each in baselines(tx, [asset])
        if each.state in (State.APPROVED, State.SUPERSEDED) and each.decided_at is not None and each.origin is None
    ]
    before = [each for each in decided if each.decided_at is not None and each.decided_at <= moment]
    return before[-1] if before else None


def sign_offs(tx: Transaction, baseline: Baseline) -> list[SignOff]:
    """Who has signed a proposal off, the first first."""
    return sign_offs_of(tx, [baseline.id]).get(baseline.id, [])


def sign_offs_of(tx: Transaction, numbers: Sequence[int]) -> dict[int, list[SignOff]]:
    """The same of the baselines with these numbers, of those that somebody has signed off."""
    table, found = tables.sign_off, dict[int, list[SignOff]]()
    for row in tx.execute(select(table).where(table.c.baseline_id.in_(numbers)).order_by(table.c.id)):
        found.setdefault(row.baseline_id, []).append(SignOff(row.by, row.role, row.at, row.reason, row.ticket))
    return found


def add_sign_off(tx: Transaction, baseline: Baseline, given: SignOff) -> None:
    """Keep a person's word for a proposal."""
    tx.execute(
        insert(tables.sign_off).values(
            baseline_id=baseline.id,
            by=given.by,
            role=given.role,
            at=given.at,
            reason=given.reason,
            ticket=given.ticket,
        )
    )


def baseline_of(row: Row[Any]) -> Baseline:
    """The baseline in a row of its table, with the name of its asset."""
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
        row.ticket or "",
        row.capture,
        row.origin,
    )
