"""Snapshots, each kept once; and runs of equal outcomes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import Row, Select, bindparam, func, insert, select, update

from baselines.snapshot import Snapshot, parse_snapshot
from monitor import tables
from monitor.store.assets import asset_id
from monitor.store.database import Transaction
from monitor.store.documents import sound_texts
from monitor.store.pulses import end_run, live_runs

FEW = 100  # assets that are asked for by name; of more, all are read
CLOCK_JITTER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Run:
    """Equal outcomes in a row: a snapshot (`digest`, `profile`) or an outage (`cause`, `cause_text`).

    `longest_gap` is the longest time between two of its polls, in seconds; `deep_at` is when all of it was read last,
    where the polls since were tripwires (None: the last poll read all).
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
    deep_at: datetime | None = None

    @property
    def read_at(self) -> datetime:
        """When all of it was read last."""
        return self.deep_at or self.last_at

    @property
    def is_outage(self) -> bool:
        return self.digest is None

    def can_go_on(self, at: datetime) -> bool:
        """Whether a poll at this time can belong to it: not if the clock was set back meanwhile."""
        return at >= self.last_at - CLOCK_JITTER

    def extended(self, at: datetime, deep: bool = True) -> Run:
        """The run with one more poll, at a time that does not go back; not `deep` if it read the tripwire alone."""
        at = max(at, self.last_at)
        gap = max(self.longest_gap, (at - self.last_at).total_seconds())
        known = (self.id, self.asset, self.digest, self.profile, self.cause, self.cause_text, self.first_at)
        deep_at = None if deep else self.read_at
        return Run(*known, at, self.polls + 1, gap, deep_at)  # done with every poll: replace is slow


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


def snapshot_texts(tx: Transaction, digests: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The canonical forms of many snapshots, each with its digest, in the order asked for, each once; not those that
    are missing, or that somebody has changed so that they have another digest by now."""
    return sound_texts(tx, tables.snapshot, digests)


def last_run(tx: Transaction, asset: str, observed: bool = False) -> Run | None:
    """The newest run of an asset; with `observed` the newest that is no outage."""
    statement = select_runs().where(tables.asset.c.name == asset).order_by(tables.run.c.id.desc()).limit(1)
    if observed:
        statement = statement.where(tables.run.c.digest.is_not(None))
    row = tx.execute(statement).first()
    return None if row is None else run_of(row)


def compared_at(tx: Transaction) -> dict[str, datetime]:
    """When all of each asset was read last, of those that were ever read."""
    last = select(func.max(tables.run.c.id)).where(tables.run.c.digest.is_not(None)).group_by(tables.run.c.asset_id)
    return {row.asset: run_of(row).read_at for row in tx.execute(select_runs().where(tables.run.c.id.in_(last)))}


def last_profiles(tx: Transaction, assets: Collection[str]) -> dict[str, str | None]:
    """By asset the digest of the profile that it was read with last, of those that were ever read."""
    last = select(func.max(tables.run.c.id)).where(tables.run.c.digest.is_not(None)).group_by(tables.run.c.asset_id)
    if len(assets) <= FEW:
        last = last.where(tables.run.c.asset_id.in_(select(tables.asset.c.id).where(tables.asset.c.name.in_(assets))))
    statement = select(tables.asset.c.name, tables.run.c.profile).join(tables.run)
    return {row.name: row.profile for row in tx.execute(statement.where(tables.run.c.id.in_(last)))}


def runs(tx: Transaction, asset: str) -> list[Run]:
    """All runs of an asset, the oldest first."""
    return [
        run_of(row) for row in tx.execute(select_runs().where(tables.asset.c.name == asset).order_by(tables.run.c.id))
    ]


def runs_since(tx: Transaction, asset: str, since: datetime) -> list[Run]:
    """The runs that began at a time or later, and the last observation before it, the oldest first."""
    of_asset = select_runs().where(tables.asset.c.name == asset).order_by(tables.run.c.id.desc())
    before = of_asset.where(tables.run.c.first_at < since, tables.run.c.digest.is_not(None)).limit(1)
    after = of_asset.where(tables.run.c.first_at >= since)
    return [run_of(row) for statement in (after, before) for row in tx.execute(statement)][::-1]


def runs_that_say(tx: Transaction, asset: str, text: str, most: int) -> tuple[datetime, datetime, bool] | None:
    """When an asset's snapshots first and last had `text` in them, and whether they may have had it longer: no more
    than so many runs are looked at, the newest. None if none of them has."""
    of_it = (
        select(tables.run.c.id).join(tables.asset).where(tables.asset.c.name == asset, tables.run.c.digest.is_not(None))
    )
    numbers = list(tx.execute(of_it.order_by(tables.run.c.id.desc()).limit(most)).scalars())
    said = (
        select(tables.run.c.id)
        .join(tables.snapshot, tables.snapshot.c.digest == tables.run.c.digest)
        .where(tables.run.c.id.in_(numbers), tables.snapshot.c.text.contains(text, autoescape=True))
    )
    ends = [tx.execute(said.order_by(order).limit(1)).scalar() for order in (tables.run.c.id, tables.run.c.id.desc())]
    found = {run.id: run for run in map(run_of, tx.execute(select_runs().where(tables.run.c.id.in_(ends))))}
    first, last = (found.get(number or 0) for number in ends)
    if first is None or last is None:
        return None
    return first.first_at, last.last_at, first.id == numbers[-1] and len(numbers) == most


def add_run(tx: Transaction, run: Run) -> Run:
    """A new run of an asset, which ends the one before it; the one given with its number."""
    asset = asset_id(tx, run.asset)
    end_run(tx, asset)
    values = _run_values(run) | {"asset_id": asset, "first_at": run.first_at}
    number = tx.execute(insert(tables.run).values(values).returning(tables.run.c.id)).scalar_one()
    begun = replace(run, id=number)
    tx.execute(insert(tables.pulse).values(asset_id=asset, run_id=number, **_pulse_values(begun)))
    return begun


def extend_runs(
    tx: Transaction, extended: Iterable[Run], next_at: Mapping[str, datetime] = MappingProxyType({})
) -> None:
    """Bring the ends of current runs up to date, and when their assets are polled next where that is known."""
    rows = [
        {"number": run.id, "next": next_at.get(run.asset)}
        | {f"to_{key}": value for key, value in _pulse_values(run).items()}
        for run in extended
    ]
    if not rows:
        return
    asset = select(tables.run.c.asset_id).where(tables.run.c.id == bindparam("number")).scalar_subquery()
    tx.execute(
        update(tables.pulse)
        .where(tables.pulse.c.asset_id == asset, tables.pulse.c.run_id == bindparam("number"))
        .values(
            last_at=bindparam("to_last_at"),
            deep_at=bindparam("to_deep_at"),
            polls=bindparam("to_polls"),
            longest_gap=bindparam("to_longest_gap"),
            next_at=bindparam("next"),
        ),
        rows,
    )


def retell_outage(tx: Transaction, run: Run) -> None:
    """Keep what an outage says of itself now."""
    tx.execute(update(tables.run).where(tables.run.c.id == run.id).values(cause_text=run.cause_text))


def next_polls(tx: Transaction) -> dict[str, datetime]:
    """When each asset is to be polled next, where that was kept."""
    statement = select(tables.asset.c.name, tables.pulse.c.next_at).join(tables.asset)
    return {row.name: row.next_at for row in tx.execute(statement.where(tables.pulse.c.next_at.is_not(None)))}


def select_runs() -> Select[Any]:
    """All runs, with their assets, and with how far the current ones go: as `run_of` takes them."""
    pulse = tables.pulse.c
    columns = [pulse[name].label(f"now_{name}") for name in ("last_at", "deep_at", "polls", "longest_gap")]
    every = select(tables.run, *columns, tables.asset.c.name.label("asset"))
    return every.select_from(live_runs().join(tables.asset, tables.asset.c.id == tables.run.c.asset_id))


def run_of(row: Row[Any]) -> Run:
    """The run in a row of `select_runs`."""
    known = (row.id, row.asset, row.digest, row.profile, row.cause, row.cause_text, row.first_at)
    if row.now_last_at is None:
        return Run(*known, row.last_at, row.polls, row.longest_gap)
    return Run(*known, max(row.now_last_at, row.first_at), row.now_polls, row.now_longest_gap, row.now_deep_at)


def _run_values(run: Run) -> dict[str, Any]:
    return {
        "digest": run.digest,
        "profile": run.profile,
        "cause": run.cause,
        "cause_text": run.cause_text,
        "last_at": run.last_at,
        "polls": run.polls,
        "longest_gap": run.longest_gap,
    }


def _pulse_values(run: Run) -> dict[str, Any]:
    return {"last_at": run.last_at, "deep_at": run.deep_at, "polls": run.polls, "longest_gap": run.longest_gap}
