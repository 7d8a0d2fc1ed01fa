"""How everything stood at a moment: a few queries over all assets, never one per asset.

What came at the moment or after it is left out. A name is that of today, whatever an asset was called then.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Select, String, and_, func, or_, select, type_coerce

from baselines.audit import Checkpoint
from baselines.baseline import Baseline, SignOff, State
from baselines.exposure import Sighting
from monitor import tables
from monitor.store.audit import moment_of
from monitor.store.baselines import baseline_of
from monitor.store.database import Transaction
from monitor.store.gaps import SelfTest
from monitor.store.pulses import live_runs
from monitor.store.runs import Run, run_of, select_runs

AT_ONCE = 500  # digests in one query
ROWS_AT_ONCE = 1000


def runs_at(tx: Transaction, until: datetime, observed: bool = False) -> dict[str, Run]:
    """The newest run of each asset that had begun; with `observed` the newest that is no outage.

    It may go on behind the moment: then it is known that it lasted, and not how far it had come.
    """
    run = tables.run.c
    last = select(func.max(run.id)).where(run.first_at < until).group_by(run.asset_id)
    if observed:
        last = last.where(run.digest.is_not(None))
    return {row.asset: run_of(row) for row in tx.execute(select_runs().where(run.id.in_(last)))}


def baselines_at(tx: Transaction, until: datetime) -> dict[str, Baseline]:
    """The approved baseline of each asset that had one: approved here, whatever came in a bundle."""
    baseline = tables.baseline.c
    decided = and_(
        baseline.state.in_([State.APPROVED, State.SUPERSEDED]),
        baseline.decided_at < until,
        baseline.origin.is_(None),
    )
    last = select(func.max(baseline.id)).where(decided).group_by(baseline.asset_id)
    return _by_asset(tx, last)


def first_approvals(tx: Transaction, until: datetime) -> dict[str, datetime]:
    """When a baseline of each asset was first approved, of those that had one: since then there is something to compare
    with."""
    baseline = tables.baseline.c
    statement = (
        select(tables.asset.c.name, func.min(baseline.decided_at).label("at"))
        .join(tables.asset, tables.asset.c.id == baseline.asset_id)
        .where(
            baseline.state.in_([State.APPROVED, State.SUPERSEDED]),
            baseline.decided_at < until,
            baseline.origin.is_(None),
        )
        .group_by(tables.asset.c.name)
    )
    return {row.name: row.at for row in tx.execute(statement)}


def proposals_at(tx: Transaction, until: datetime) -> dict[str, Baseline]:
    """The open proposal of each asset that had one."""
    baseline = tables.baseline.c
    newest = select(func.max(baseline.id)).where(baseline.proposed_at < until, baseline.origin.is_(None))
    found = _by_asset(tx, newest.group_by(baseline.asset_id))
    return {name: each for name, each in found.items() if each.decided_at is None or each.decided_at >= until}


def _by_asset(tx: Transaction, numbers: Select[Any]) -> dict[str, Baseline]:
    statement = select(tables.baseline, tables.asset.c.name.label("asset")).join(tables.asset)
    rows = tx.execute(statement.where(tables.baseline.c.id.in_(numbers)).order_by(tables.baseline.c.id))
    return {row.asset: baseline_of(row) for row in rows}


def all_sign_offs(tx: Transaction, until: datetime) -> Mapping[int, list[SignOff]]:
    """Who had signed off what, by the number of the baseline, the first first."""
    found: defaultdict[int, list[SignOff]] = defaultdict(list)
    table = tables.sign_off
    for row in tx.execute(select(table).where(table.c.at < until).order_by(table.c.id)):
        found[row.baseline_id].append(SignOff(row.by, row.role, row.at, row.reason, row.ticket))
    return found


def sightings_at(tx: Transaction, since: datetime, until: datetime) -> Iterator[tuple[str, list[Sighting]]]:
    """Each asset that was seen, with the runs in which it was that reach into a time, and the last one before it.

    The end of a run is when all of the asset was read last.
    """
    run, pulse, runs = tables.run.c, tables.pulse.c, live_runs()
    lasted = or_(run.last_at >= since, pulse.last_at >= since)
    before = and_(run.last_at < since, or_(pulse.last_at.is_(None), pulse.last_at < since), run.digest.is_not(None))
    last_before = select(func.max(run.id)).select_from(runs).where(before).group_by(run.asset_id)
    chosen = and_(run.first_at < until, run.digest.is_not(None), or_(lasted, run.id.in_(last_before)))
    found: list[Sighting] = []
    asset = ""
    statement = select_runs().where(chosen).order_by(run.asset_id, run.id)
    for row in tx.execute(statement.execution_options(yield_per=ROWS_AT_ONCE)):
        if row.asset != asset and found:
            yield asset, found
            found = []
        asset, seen = row.asset, run_of(row)
        found.append(Sighting(seen.first_at, max(seen.first_at, seen.read_at), seen.polls, seen.longest_gap))
    if found:
        yield asset, found


def count_audited(tx: Transaction, since: datetime, until: datetime) -> dict[str, int]:
    """How many entries of each action a time has."""
    table = tables.audit_entry
    counted = select(table.c.action, func.count()).where(table.c.at >= since, table.c.at < until)
    return {row[0]: row[1] for row in tx.execute(counted.group_by(table.c.action).order_by(table.c.action))}


def checkpoints_at(tx: Transaction, until: datetime) -> tuple[int, Checkpoint | None]:
    """How many checkpoints there were, and the newest of them; None too if that is broken."""
    table = tables.checkpoint
    before = table.c.at < until
    count = int(tx.execute(select(func.count()).select_from(table).where(before)).scalar_one())
    columns = (table.c.entries, table.c.head, type_coerce(table.c.at, String).label("at"), table.c.key)
    newest = select(*columns, table.c.signature).where(before).order_by(table.c.entries.desc()).limit(1)
    row = tx.execute(newest).first()
    at = moment_of(row.at) if row else None
    return count, Checkpoint(row.entries, row.head, at, row.key, row.signature) if row and at else None


def self_tests(tx: Transaction, since: datetime, until: datetime) -> list[SelfTest]:
    """The self-tests of a time, the oldest first."""
    table = tables.self_test
    wanted = select(table).where(table.c.at >= since, table.c.at < until).order_by(table.c.id)
    return [SelfTest(row.at, bool(row.ok), json.loads(row.legs), row.text) for row in tx.execute(wanted)]
