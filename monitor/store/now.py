"""How everything stands now, and what of it moved since a mark: a few queries over all assets, never one per asset.

Everything is by the number of its asset, which stays whatever the asset is called.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Select, func, select, type_coerce

from baselines.alert import AlertState
from baselines.baseline import State
from monitor import tables
from monitor.store.assets import OutOfService
from monitor.store.database import Transaction
from monitor.store.runs import Run, run_of, select_runs

AT_ONCE = 500  # numbers in one query


@dataclass(frozen=True, slots=True)
class Kept:
    """An asset as its row has it: also one that is retired. `out` may be over."""

    number: int
    name: str
    out: OutOfService | None
    retired_at: datetime | None


class Beat(NamedTuple):
    """How far the current run of an asset goes; `last_at` in milliseconds since 1970."""

    run: int
    last_at: int
    polls: int


class Alarmed(NamedTuple):
    """An alarm, as far as it is counted."""

    number: int
    asset: int
    state: str
    severity: str


def kept_assets(tx: Transaction) -> dict[str, Kept]:
    """Every asset that was ever heard of, by name."""
    row = tables.asset.c
    columns = (row.id, row.name, row.out_until, row.out_by, row.out_reason, row.retired_at)
    return {
        name: Kept(number, name, OutOfService(until, by, why) if until is not None else None, retired_at)
        for number, name, until, by, why, retired_at in tx.execute(select(*columns).order_by(row.id))
    }


def newest_runs(tx: Transaction, assets: Collection[int] | None = None) -> tuple[dict[int, Run], dict[int, Run]]:
    """The newest run of each asset (of some, by number), and the newest in which it was seen."""
    run = tables.run.c
    newest = select(run.asset_id, func.max(run.id)).group_by(run.asset_id)
    seen = newest.where(run.digest.is_not(None))
    if assets is None:
        every, observed = (_pairs(tx, each) for each in (newest, seen))
    else:
        every, observed = {}, {}
        for part in _parts(assets):
            every |= _pairs(tx, newest.where(run.asset_id.in_(part)))
            observed |= _pairs(tx, seen.where(run.asset_id.in_(part)))
    found: dict[int, Run] = {}
    for part in _parts({*every.values(), *observed.values()}):
        found |= {row.id: run_of(row) for row in tx.execute(select_runs().where(run.id.in_(part)))}
    return (
        {asset: found[number] for asset, number in every.items()},
        {asset: found[number] for asset, number in observed.items()},
    )


def began_since(tx: Transaction, mark: int) -> set[int]:
    """The assets of which a run with a higher number than the mark began."""
    run = tables.run.c
    return set(tx.execute(select(run.asset_id).where(run.id > mark).distinct()).scalars())


def beats(tx: Transaction) -> dict[int, Beat]:
    """How far the current run of each asset goes."""
    pulse = tables.pulse.c
    columns = (pulse.asset_id, pulse.run_id, type_coerce(pulse.last_at, BigInteger), pulse.polls)
    return {row[0]: Beat(*row[1:]) for row in tx.execute(select(*columns))}


def outage_texts(tx: Transaction) -> dict[int, str]:
    """By asset what the outage that it is in says of itself: that may change while it lasts."""
    run = tables.run.c
    current = select(run.asset_id, run.cause_text).join(tables.pulse, tables.pulse.c.run_id == run.id)
    return _pairs(tx, current.where(run.digest.is_(None)))


def approved_digests(tx: Transaction) -> dict[int, str]:
    """The digest of the approved baseline of each asset that has one."""
    baseline = tables.baseline.c
    approved = select(baseline.asset_id, baseline.digest).where(baseline.state == State.APPROVED)
    return _pairs(tx, approved.order_by(baseline.id))


def open_alarms(tx: Transaction) -> list[Alarmed]:
    """The alarms that are not NORMAL."""
    alert = tables.alert.c
    here = [state for state in AlertState if state is not AlertState.NORMAL]  # by the index: most are NORMAL
    columns = (alert.id, alert.asset_id, alert.state, alert.severity)
    return [Alarmed(*row) for row in tx.execute(select(*columns).where(alert.state.in_(here)))]


def alarms_moved_since(tx: Transaction, mark: int) -> list[Alarmed]:
    """The alarms that made a move with a higher number than the mark, NORMAL ones too."""
    alert, move = tables.alert.c, tables.alert_move.c
    moved = select(move.alert_id).where(move.id > mark)
    columns = (alert.id, alert.asset_id, alert.state, alert.severity)
    return [Alarmed(*row) for row in tx.execute(select(*columns).where(alert.id.in_(moved)))]


def last_doers(tx: Transaction, assets: Collection[int]) -> Mapping[int, str]:
    """Of assets whose open alarms say who did it, the newest of these words, as JSON."""
    alert = tables.alert.c
    found: dict[int, str] = {}
    for part in _parts(assets):
        newest = select(func.max(alert.id)).where(alert.asset_id.in_(part), alert.state != AlertState.NORMAL)
        newest = newest.where(alert.who.is_not(None)).group_by(alert.asset_id)
        found |= _pairs(tx, select(alert.asset_id, alert.who).where(alert.id.in_(newest)))
    return found


def _parts(numbers: Collection[int]) -> Iterator[list[int]]:
    found = list(numbers)
    return (found[start : start + AT_ONCE] for start in range(0, len(found), AT_ONCE))


def _pairs(tx: Transaction, statement: Select[Any]) -> dict[int, Any]:
    return dict(tx.execute(statement).all())
