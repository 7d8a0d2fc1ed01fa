"""How every asset stands now, kept in memory: a look at the store refreshes what moved since the last one, and nothing
else, so that of 10,000 assets it takes milliseconds.

What it keeps of an asset is its newest runs, the digests of what is approved and of what was seen, and what that pair
came to: snapshots are read once, and let go of. What age makes of that is reckoned when somebody asks.
"""

from __future__ import annotations

import gc
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from baselines.alert import AlertState
from baselines.asset import Asset, identity_values
from baselines.drift import Verdict, worst
from baselines.snapshot import Severity, parse_item, utc_text
from monitor import store
from monitor.config import Plant
from monitor.inventory import REPORTED_EVERY, unseen_since
from monitor.judged import EPOCH, Pair, judged
from monitor.store import Alarmed, Beat, Database, Kept, Marks, OutOfService, Run, Transaction

Document = dict[str, Any]
MOVING = ("asset", "baseline", "store")  # the first words of actions that may change rows of assets or baselines
RENAMING = ("asset.rename", "store.restore")  # after which runs may belong to other assets
IDENTITY = '{"key":"identity.'  # begins a line of a canonical text that is of an identity field
SAYS_NOTHING: Mapping[str, Any] = identity_values(())
RANKS = {each.value: each.rank for each in Severity}
QUIET = (AlertState.SHELVED, AlertState.SUPPRESSED)  # they stand, and nobody is to be called for them
WAITING = (AlertState.UNACK, AlertState.RTN_UNACK)  # for somebody to acknowledge them


@dataclass(frozen=True, slots=True)
class Judged:
    """What was seen of an asset last against what is approved, and who it says that it is."""

    pair: Pair
    verdict: Verdict
    identity: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Alarms:
    """The open alarms of one asset: how many stand before people, how many of them wait to be acknowledged, the worst
    severity of them, and how many are shelved or suppressed beside them."""

    open: int = 0
    waiting: int = 0
    severity: Severity | None = None
    quiet: int = 0


NO_ALARMS = Alarms()
ENCODER = msgspec.json.Encoder()


class Row(NamedTuple):  # made 10,000 times for one page, which a dataclass that cannot be changed is slow at
    """One asset at a moment. `last` is its newest run, and `last_at` and `polls` how far that has come; `seen_at` is
    when it was seen last, `outage` what the outage that it is in says of itself."""

    asset: Asset
    is_segment: bool
    number: int | None
    last: Run | None
    last_at: datetime | None
    polls: int
    seen_at: datetime | None
    judged: Judged | None
    approved: str | None
    verdict: Verdict
    outage: str | None
    out: OutOfService | None
    alarms: Alarms
    retired_at: datetime | None = None

    @property
    def name(self) -> str:
        return self.asset.name

    @property
    def identity(self) -> Mapping[str, Any]:
        return self.judged.identity if self.judged else SAYS_NOTHING


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the store. It never changes: the next one is another. All but `kept` and `alarmed` is by the numbers
    of assets."""

    marks: Marks = field(default_factory=Marks)
    kept: Mapping[str, Kept] = field(default_factory=dict)  # by name
    last: Mapping[int, Run] = field(default_factory=dict)
    seen: Mapping[int, Run] = field(default_factory=dict)
    beats: Mapping[int, Beat] = field(default_factory=dict)
    outages: Mapping[int, str] = field(default_factory=dict)
    approved: Mapping[int, str] = field(default_factory=dict)
    judged: Mapping[int, Judged] = field(default_factory=dict)
    alarmed: Mapping[int, Alarmed] = field(default_factory=dict)  # by the number of the alarm
    alarms: Mapping[int, Alarms] = field(default_factory=dict)

    def rows(self, plant: Plant, now: datetime) -> Iterator[Row]:
        """Every asset of the plant, in the order of plant.toml; its segments at the end. One after the other: whoever
        keeps only some of 10,000 spares the garbage collector the rest."""
        for polled in plant.assets.values():
            yield self.row(polled.asset, polled.every, now)
        for segment in plant.segments.values():
            yield self.row(segment.asset, REPORTED_EVERY, now, True)

    def retired(self, plant: Plant, now: datetime) -> list[Row]:
        """The assets that were retired, and are not back in plant.toml: as they were seen last."""
        return [
            self.row(Asset(name, "", ""), timedelta(), now)._replace(retired_at=kept.retired_at)
            for name, kept in self.kept.items()
            if kept.retired_at is not None and name not in plant.assets and name not in plant.segments
        ]

    def row(self, asset: Asset, every: timedelta, now: datetime, is_segment: bool = False) -> Row:
        """How one asset stands."""
        kept = self.kept.get(asset.name)
        number = kept.number if kept else 0  # which no asset has
        out = kept.out if kept and kept.out and kept.out.until > now and kept.retired_at is None else None
        last, judged = self.last.get(number), self.judged.get(number)
        last_at, polls = self._end(number, last) if last else (None, 0)
        seen_at, verdict = None, Verdict.NEVER_SEEN
        if last and last_at and judged:
            seen_at = self._end(number, self.seen[number])[0] if last.is_outage else last_at
            gap = unseen_since(last.is_outage, last_at, now, every)
            verdict = judged.verdict if gap is None else worst((judged.verdict, gap))
        return Row(
            asset,
            is_segment,
            number or None,
            last,
            last_at,
            polls,
            seen_at,
            judged,
            self.approved.get(number),
            verdict,
            self.outages.get(number, last.cause_text) if last else None,
            out,
            self.alarms.get(number, NO_ALARMS),
        )

    def _end(self, number: int, run: Run) -> tuple[datetime, int]:
        """How far a run goes, and how many polls it has."""
        beat = self.beats.get(number)
        if beat is None or beat.run != run.id:
            return run.last_at, run.polls
        return max(EPOCH + timedelta(milliseconds=beat.last_at), run.first_at), beat.polls


class Board:
    """The newest look, for everybody who asks: those who ask at the same time get the same one, made once."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._look: Look | None = None
        self._begun = float("-inf")

    def look(self) -> Look:
        """How everything stands, by a look at the store that began after this was asked."""
        asked = self._clock()
        with self._lock:
            if self._look is None or self._begun < asked:
                begun = self._clock()
                with self._database.read() as tx:
                    before, self._look = self._look, looked(tx, self._look)
                if before is None:
                    gc.freeze()  # what is kept of 10,000 assets is not searched for garbage with every other page
                self._begun = begun
            return self._look


def inventory(tx: Transaction, plant: Plant, now: datetime) -> list[Document]:
    """One document per asset, in the order of plant.toml; its segments at the end."""
    return [document(row) for row in looked(tx).rows(plant, now)]


def retired(tx: Transaction, plant: Plant, now: datetime) -> list[Document]:
    """The same of the assets that were retired, and are not back in plant.toml."""
    return [document(row) for row in looked(tx).retired(plant, now)]


def document(row: Row) -> Document:
    """One asset of `asbuilt assets`."""
    asset = row.asset
    return {
        "asset": asset.name,
        "address": asset.address,
        "profile": asset.profile,
        "zone": asset.zone,
        "role": asset.role,
        "purdue_level": asset.purdue_level,
        "criticality": asset.criticality,
        "location": asset.location,
        "machine_type": asset.machine_type,
        "verdict": row.verdict,
        "last_seen": utc_text(row.seen_at) if row.seen_at else None,
        "identity": row.identity,
        "digest": row.judged.pair[1] if row.judged else None,
        "baseline": row.approved,
        "outage": _outage(row),
        "out_of_service": _out(row.out) if row.out else None,
        "retired_at": utc_text(row.retired_at) if row.retired_at else None,
    }


def encoded(rows: Iterable[Row]) -> bytes:
    """The documents of many assets as JSON, as `asbuilt assets --json` has them."""
    return b'{"assets":[' + b",".join(ENCODER.encode(document(row)) for row in rows) + b"]}"


def _outage(row: Row) -> Document | None:
    """The outage that an asset is in: since when, why, how many polls."""
    if row.last is None or row.last_at is None or not row.last.is_outage:
        return None
    return {
        "kind": row.last.cause,
        "text": row.outage,
        "first_at": utc_text(row.last.first_at),
        "last_at": utc_text(row.last_at),
        "polls": row.polls,
    }


def _out(said: OutOfService) -> Document:
    return {"until": utc_text(said.until), "by": said.by, "reason": said.reason}


def looked(tx: Transaction, before: Look | None = None) -> Look:
    """A look at the store, given the one before: only what moved since is read."""
    now = store.marks(tx)
    actions = _actions(tx, before.marks, now) if before else set()
    if before is None or _is_another(before.marks, now) or actions.intersection(RENAMING):
        return _looked_anew(tx, now)
    moved = any(action.partition(".")[0] in MOVING for action in actions)
    kept = store.kept_assets(tx) if moved or now.asset != before.marks.asset else before.kept
    approved = store.approved_digests(tx) if moved else before.approved
    last, seen = before.last, before.seen
    if now.run != before.marks.run:
        newest = store.newest_runs(tx, store.began_since(tx, before.marks.run))
        last, seen = {**last, **newest[0]}, {**seen, **newest[1]}
    judged = before.judged if seen is before.seen and not moved else _judged(tx, before.judged, approved, seen)
    alarmed = before.alarmed
    if now.move != before.marks.move:
        told = store.alarms_moved_since(tx, before.marks.move)
        alarmed = {**alarmed, **{each.number: each for each in told}}
        alarmed = {number: each for number, each in alarmed.items() if each.state != AlertState.NORMAL}
    alarms = before.alarms if alarmed is before.alarmed else _counted(alarmed.values())
    return Look(now, kept, last, seen, store.beats(tx), _outages(tx, last), approved, judged, alarmed, alarms)


def _looked_anew(tx: Transaction, now: Marks) -> Look:
    last, seen = store.newest_runs(tx)
    approved = store.approved_digests(tx)
    alarmed = {each.number: each for each in store.open_alarms(tx)}
    judged = _judged(tx, {}, approved, seen)
    return Look(
        now,
        store.kept_assets(tx),
        last,
        seen,
        store.beats(tx),
        _outages(tx, last),
        approved,
        judged,
        alarmed,
        _counted(alarmed.values()),
    )


def _actions(tx: Transaction, before: Marks, now: Marks) -> set[str]:
    """What was decided meanwhile."""
    return {entry.action for entry in store.audit_news(tx, before.entry)} if now.entry > before.entry else set()


def _is_another(before: Marks, now: Marks) -> bool:
    """Whether this is another store, or another life of it: what is only ever added never becomes less."""
    return now.run < before.run or now.entry < before.entry or now.move < before.move or now.asset < before.asset


def _outages(tx: Transaction, last: Mapping[int, Run]) -> Mapping[int, str]:
    """What outages say of themselves, which may change while they last."""
    return store.outage_texts(tx) if any(run.is_outage for run in last.values()) else {}


def _judged(
    tx: Transaction, before: Mapping[int, Judged], approved: Mapping[int, str], seen: Mapping[int, Run]
) -> Mapping[int, Judged]:
    """What was seen against what is approved; only pairs that are new are compared."""
    pairs = {number: (approved.get(number), run.digest) for number, run in seen.items() if run.digest is not None}
    same = {number: known for number, pair in pairs.items() if (known := before.get(number)) and known.pair == pair}
    new = {number: pair for number, pair in pairs.items() if number not in same}
    found = {pair: Judged(pair, verdict, _identity(text)) for pair, verdict, text in judged(tx, new.values())}
    return {**same, **{number: found[pair] for number, pair in new.items()}}


def _identity(text: str) -> Mapping[str, Any]:
    lines = [line for line in text.splitlines() if line.startswith(IDENTITY)]
    return identity_values(parse_item(json.loads(line)) for line in lines) if lines else SAYS_NOTHING


def _counted(alarmed: Iterable[Alarmed]) -> Mapping[int, Alarms]:
    of: defaultdict[int, list[Alarmed]] = defaultdict(list)
    for each in alarmed:
        of[each.asset].append(each)
    return {asset: _alarms(found) for asset, found in of.items()}


def _alarms(found: Collection[Alarmed]) -> Alarms:
    loud = [each for each in found if each.state not in QUIET]
    worst_of = max((each.severity for each in loud), key=RANKS.__getitem__, default=None)
    waiting = sum(each.state in WAITING for each in loud)
    severity = Severity(worst_of) if worst_of else None
    return Alarms(len(loud), waiting, severity, len(found) - len(loud))
