"""Snapshots, each kept once; and runs of equal outcomes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, bindparam, insert, select, update

from baselines.snapshot import Snapshot, parse_snapshot
from monitor import tables
from monitor.store.assets import asset_id
from monitor.store.database import Transaction

CLOCK_JITTER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Run:
    """Equal outcomes in a row: a snapshot (`digest`, `profile`) or an outage (`cause`, `cause_text`).

    `longest_gap` is the longest time between two of its polls, in seconds.
    """

    id: int
    asset: str
    digest: str | None
    profile: str | None
    cause: str | None
    cause_text: str | None
    first_at: datetime
    last_at: datetime
    polls: int
    longest_gap: float

    @property
    def is_outage(self) -> bool:
        return self.digest is None

    def can_go_on(self, at: datetime) -> bool:
        """Whether a poll at this time can belong to it: not if the clock was set back meanwhile."""
        return at >= self.last_at - CLOCK_JITTER

    def extended(self, at: datetime) -> Run:
        """The run with one more poll, at a time that does not go back."""
        at = max(at, self.last_at)
        gap = max(self.longest_gap, (at - self.last_at).total_seconds())
        known = (self.id, self.asset, self.digest, self.profile, self.cause, self.cause_text, self.first_at)
        return Run(*known, last_at=at, polls=self.polls + 1, longest_gap=gap)  # done with every poll: replace is slow


def keep_snapshot(tx: Transaction, snapshot: Snapshot) -> None:
    """Keep what was seen, once."""
    kept = select(tables.snapshot.c.digest).where(tables.snapshot.c.digest == snapshot.digest)
    if tx.execute(kept).first() is None:  # nobody comes between: there is one writer at a time
        tx.execute(insert(tables.snapshot).values(digest=snapshot.digest, text=snapshot.text))


def snapshot_of(tx: Transaction, asset: str, digest: str, taken_at: datetime, profile: str = "") -> Snapshot:
    """The snapshot kept under a digest; KeyError if there is none."""
    text = tx.execute(select(tables.snapshot.c.text).where(tables.snapshot.c.digest == digest)).scalar()
    if text is None:
        raise KeyError(digest)
    return parse_snapshot(asset, taken_at, text, profile)


def last_run(tx: Transaction, asset: str, observed: bool = False) -> Run | None:
    """The newest run of an asset; with `observed` the newest that is no outage."""
    statement = _runs().where(tables.asset.c.name == asset).order_by(tables.run.c.id.desc()).limit(1)
    if observed:
        statement = statement.where(tables.run.c.digest.is_not(None))
    row = tx.execute(statement).first()
    return None if row is None else _run(row)


def runs(tx: Transaction, asset: str) -> list[Run]:
    """All runs of an asset, the oldest first."""
    return [_run(row) for row in tx.execute(_runs().where(tables.asset.c.name == asset).order_by(tables.run.c.id))]


def runs_since(tx: Transaction, asset: str, since: datetime) -> list[Run]:
    """The runs that began at a time or later, and the last observation before it, the oldest first."""
    of_asset = _runs().where(tables.asset.c.name == asset).order_by(tables.run.c.id.desc())
    before = of_asset.where(tables.run.c.first_at < since, tables.run.c.digest.is_not(None)).limit(1)
    after = of_asset.where(tables.run.c.first_at >= since)
    return [_run(row) for statement in (after, before) for row in tx.execute(statement)][::-1]


def add_run(tx: Transaction, run: Run) -> Run:
    """A new run; the one given with its number."""
    values = _run_values(run) | {"asset_id": asset_id(tx, run.asset)}
    number = tx.execute(insert(tables.run).values(values).returning(tables.run.c.id)).scalar_one()
    return replace(run, id=number)


def extend_runs(tx: Transaction, extended: Iterable[Run]) -> None:
    """Bring the ends of runs up to date."""
    rows = [
        {"number": run.id, "last": run.last_at, "count": run.polls, "gap": run.longest_gap, "text": run.cause_text}
        for run in extended
    ]
    if rows:
        tx.execute(
            update(tables.run)
            .where(tables.run.c.id == bindparam("number"))
            .values(
                last_at=bindparam("last"),
                polls=bindparam("count"),
                longest_gap=bindparam("gap"),
                cause_text=bindparam("text"),
            ),
            rows,
        )


def _runs() -> Select[Any]:
    return select(tables.run, tables.asset.c.name.label("asset")).join(tables.asset)


def _run(row: Row[Any]) -> Run:
    return Run(
        row.id,
        row.asset,
        row.digest,
        row.profile,
        row.cause,
        row.cause_text,
        row.first_at,
        row.last_at,
        row.polls,
        row.longest_gap,
    )


def _run_values(run: Run) -> dict[str, Any]:
    return {
        "digest": run.digest,
        "profile": run.profile,
        "cause": run.cause,
        "cause_text": run.cause_text,
        "first_at": run.first_at,
        "last_at": run.last_at,
        "polls": run.polls,
        "longest_gap": run.longest_gap,
    }
