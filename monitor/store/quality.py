"""What the figures of quality are made of: a few queries over everything, never one per alarm."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, and_, case, func, or_, select

from baselines.alert import AlertState, Event
from baselines.baseline import State
from baselines.drift import DEVIATIONS, Kind
from baselines.exposure import Onset, Sighting, Watch, Write, onset
from baselines.life import ENDED, Life
from baselines.quality import (
    Case,
    How,
    OrderRecord,
)
from baselines.snapshot import Category, Severity, Unread
from monitor import tables
from monitor.store.database import Transaction
from monitor.store.pulses import live_runs

UNREAD_LINE = '{"unread":'  # begins a line of a canonical text, and stands nowhere else: there, quotes are escaped


class _Known(NamedTuple):
    """What is known of all assets, by asset number."""

    sightings: dict[int, list[Sighting]]
    numbers: dict[int, dict[datetime, int]]  # of sightings, by when they began
    writes: dict[tuple[int, str], list[Write]]
    approvals: defaultdict[int, set[datetime]]


def quality_records(
    tx: Transaction, since: datetime, until: datetime, of: Collection[str] | None = None
) -> tuple[list[Case], list[Watch], list[OrderRecord]]:
    """The cases raised between two times, and those of before that are open; how each asset was looked at; and the
    orders that are open, or were closed meanwhile. With `of` only what is about one of these assets."""
    names, known = _names(tx), _known(tx, since, until)
    cases = [_case(row, names[row.asset_id], known) for row in _alerts(tx, since, until)]
    watches, wanted = _watches(names, known), None if of is None else frozenset(of)
    if wanted is not None:
        cases = [case for case in cases if case.asset in wanted]
        watches = [watch for watch in watches if watch.asset in wanted]
    numbers = None if wanted is None else frozenset(number for number, name in names.items() if name in wanted)
    return cases, watches, _orders(tx, since, until, numbers)


def quality_at(
    tx: Transaction, lives: Iterable[Life], since: datetime, until: datetime
) -> tuple[list[Case], list[Watch]]:
    """The cases of alarms as they stood at a time, and how each asset was looked at."""
    known = _known(tx, since, until)
    return [_case_of(life, known) for life in lives], _watches(_names(tx), known)


def _names(tx: Transaction) -> dict[int, str]:
    return {row.id: row.name for row in tx.execute(select(tables.asset.c.id, tables.asset.c.name))}


def _known(tx: Transaction, since: datetime, until: datetime) -> _Known:
    sightings = _sightings(tx, since, until)
    numbers = {
        asset: {each.first_at: number for number, each in enumerate(found)} for asset, found in sightings.items()
    }
    return _Known(sightings, numbers, _writes(tx, since, until), approvals(tx))


def _watches(names: Mapping[int, str], known: _Known) -> list[Watch]:
    return [
        Watch(names[asset], min(known.approvals[asset], default=None), tuple(found))
        for asset, found in known.sightings.items()
    ]


def _of_interest(since: datetime, until: datetime) -> ColumnElement[bool]:
    alert = tables.alert.c
    return and_(alert.raised_at < until, or_(alert.raised_at >= since, alert.state != AlertState.NORMAL))


def _alerts(tx: Transaction, since: datetime, until: datetime) -> Iterable[Row[Any]]:
    alert, move = tables.alert.c, tables.alert_move.c
    moves = (
        select(
            move.alert_id,
            func.min(case((move.event == Event.ACKNOWLEDGE, move.at))).label("acknowledged_at"),
            func.max(case((move.event == Event.CONFORMS, move.at))).label("conformed_at"),
            func.max(case((move.event == Event.CONFORMS, move.id))).label("conformed"),
            func.max(case((move.event.in_([Event.DEVIATES, Event.MOVES_ON]), move.id))).label("deviated"),
            func.max(case((move.after == AlertState.UNACK, 1))).label("surfaced"),
        )
        .join(tables.alert, alert.id == move.alert_id)
        .where(_of_interest(since, until))
        .group_by(move.alert_id)
        .subquery()
    )
    columns = (
        *(alert.asset_id, alert.item, alert.kind, alert.category, alert.severity, alert.state, alert.approved),
        *(alert.raised_at, alert.who, alert.cause, alert.suppressed_by),
        *(moves.c.acknowledged_at, moves.c.conformed_at, moves.c.conformed, moves.c.deviated, moves.c.surfaced),
    )
    joined = select(*columns).outerjoin_from(tables.alert, moves, moves.c.alert_id == alert.id)
    return tx.execute(joined.where(_of_interest(since, until)).order_by(alert.id))


def _case(row: Row[Any], asset: str, known: _Known) -> Case:
    ended_at, how = _end(row, known)
    kind = Kind(row.kind)
    return Case(
        asset,
        row.item,
        kind,
        Category(row.category),
        Severity(row.severity),
        row.raised_at,
        _onset(row, json.loads(row.who) if row.who else None, known) if kind in DEVIATIONS else None,
        row.acknowledged_at,
        ended_at,
        how,
        row.cause,
        row.suppressed_by is not None and not row.surfaced,
    )


def _end(row: Row[Any], known: _Known) -> tuple[datetime | None, How | None]:
    """When and how a deviation ended. An approval ends it in the transaction and at the time of its decision."""
    if row.conformed is not None and row.conformed > (row.deviated or 0) and row.state in ENDED:
        approved = row.conformed_at in known.approvals[row.asset_id]
        return row.conformed_at, How.APPROVED if approved else How.MENDED
    return None, How.OTHERWISE if row.state == AlertState.NORMAL else None


def _case_of(life: Life, known: _Known) -> Case:
    acknowledged, ended = life.acknowledged, life.ended
    return Case(
        life.asset,
        life.item,
        life.kind,
        life.category,
        life.severity,
        life.raised_at,
        _onset(life, life.who, known) if life.kind in DEVIATIONS else None,
        acknowledged.at if acknowledged else None,
        ended.at if ended else None,
        life.how(known.approvals[life.asset_id]),
        life.cause,
        life.is_announced,
    )


def _onset(row: Row[Any] | Life, who: Mapping[str, Any] | None, known: _Known) -> Onset | None:
    """Unknown where no sighting begins when the alarm was raised: an approval raised it, of what was there before."""
    number = known.numbers.get(row.asset_id, {}).get(row.raised_at)
    if number is None:
        return None
    writes = known.writes.get((row.asset_id, row.item), [])
    if who and (at := who.get("at")):
        writes = [*writes, Write(datetime.fromisoformat(at))]
    return onset(row.item, row.approved, row.raised_at, known.sightings[row.asset_id], number, writes)


def _sightings(tx: Transaction, since: datetime, until: datetime) -> dict[int, list[Sighting]]:
    """By asset the runs that reach into a time, and the last one before it in which the asset was seen."""
    run, pulse, runs = tables.run.c, tables.pulse.c, live_runs()
    lasted = or_(run.last_at >= since, pulse.last_at >= since)
    before = and_(run.last_at < since, or_(pulse.last_at.is_(None), pulse.last_at < since), run.digest.is_not(None))
    last_before = select(func.max(run.id)).select_from(runs).where(before).group_by(run.asset_id)
    wanted = select(run.id).select_from(runs).where(run.first_at < until, or_(lasted, run.id.in_(last_before)))
    chosen = run.id.in_(wanted)
    unread = _unread(tx, chosen)
    columns = (run.asset_id, run.digest, run.first_at, run.last_at, run.polls, run.longest_gap)
    now = (pulse.last_at, pulse.polls, pulse.longest_gap)
    found: defaultdict[int, list[Sighting]] = defaultdict(list)
    for asset, digest, first_at, *ended in tx.execute(
        select(*columns, *now).select_from(runs).where(chosen).order_by(run.id)
    ):
        last_at, polls, gap = ended[:3] if ended[3] is None else ended[3:]
        sighting = Sighting(first_at, max(first_at, last_at), polls, gap, digest is not None, unread.get(digest, ()))
        found[asset].append(sighting)
    return found


def _unread(tx: Transaction, runs: ColumnElement[bool]) -> dict[str | None, tuple[Unread, ...]]:
    """By the digest of a snapshot what it could not read, of those that could not read everything."""
    digests = select(tables.run.c.digest).where(runs)
    snapshot = tables.snapshot.c
    incomplete = select(snapshot.digest, snapshot.text).where(
        snapshot.digest.in_(digests), snapshot.text.contains(UNREAD_LINE, autoescape=True)
    )
    return {
        digest: tuple(Unread(json.loads(line)["unread"]) for line in text.split("\n") if line.startswith(UNREAD_LINE))
        for digest, text in tx.execute(incomplete)
    }


def _writes(tx: Transaction, since: datetime, until: datetime) -> dict[tuple[int, str], list[Write]]:
    """The writes meanwhile to items that have deviated meanwhile."""
    write, alert = tables.item_write.c, tables.alert.c
    deviated = select(alert.asset_id, alert.item).where(_of_interest(since, until)).distinct().subquery()
    statement = (
        select(write.asset_id, write.item, write.at, write.value)
        .join(deviated, and_(deviated.c.asset_id == write.asset_id, deviated.c.item == write.item))
        .where(write.at >= since, write.at < until)
    )
    found: defaultdict[tuple[int, str], list[Write]] = defaultdict(list)
    for asset, item, at, value in tx.execute(statement):
        found[asset, item].append(Write(at, value))
    return found


def approvals(tx: Transaction) -> defaultdict[int, set[datetime]]:
    baseline = tables.baseline.c
    statement = select(baseline.asset_id, baseline.decided_at).where(
        baseline.decided_at.is_not(None),
        baseline.state.in_([State.APPROVED, State.SUPERSEDED]),
        baseline.origin.is_(None),  # an imported one was approved elsewhere
    )
    found: defaultdict[int, set[datetime]] = defaultdict(set)
    for asset, at in tx.execute(statement):
        found[asset].add(at)
    return found


def _orders(tx: Transaction, since: datetime, until: datetime, of: frozenset[int] | None = None) -> list[OrderRecord]:
    order, expectation, excess = tables.change_order.c, tables.expectation.c, tables.excess.c
    wanted = and_(order.opened_at < until, or_(order.closed_at.is_(None), order.closed_at >= since))
    chosen = select(order.id).where(wanted)
    outcomes: defaultdict[int, list[str | None]] = defaultdict(list)
    about: set[int] = set()
    for number, asset, outcome in tx.execute(
        select(expectation.order_id, expectation.asset_id, expectation.outcome).where(expectation.order_id.in_(chosen))
    ):
        outcomes[number].append(outcome)
        if of is None or asset in of:
            about.add(number)
    counted = select(excess.order_id, func.count()).where(excess.order_id.in_(chosen)).group_by(excess.order_id)
    exceeded = dict(map(tuple[int, int], tx.execute(counted)))
    columns = (order.id, order.ends_at, order.closed_at)
    return [
        OrderRecord(ends_at, closed_at, tuple(outcomes[number]), exceeded.get(number, 0))
        for number, ends_at, closed_at in tx.execute(select(*columns).where(wanted))
        if of is None or number in about
    ]
