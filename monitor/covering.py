"""Coverage: for how much of a time each asset was seen, and when and why it was not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from baselines.coverage import Cause, Span, unseen_seconds
from baselines.snapshot import utc_text
from monitor import store
from monitor.config import ITSELF, Plant
from monitor.inventory import REPORTED_EVERY, stale_after
from monitor.store import Gap, Transaction

Document = dict[str, Any]
FEW = 100  # assets that are asked for by name; of more, all are read


@dataclass(frozen=True, slots=True)
class Covered:
    """One asset in a time: `since` is when it was asked first, or the beginning of the time, None if it never was;
    `share` of the time since then in which it was seen, from 0 to 1."""

    asset: str
    since: datetime | None
    share: float | None
    gaps: tuple[Gap, ...]

    @property
    def is_blind(self) -> bool:
        return any(gap.last_at is None for gap in self.gaps)

    def longest(self, until: datetime) -> float:
        """Seconds of the longest gap."""
        return max((lasted(gap, until) for gap in self.gaps), default=0.0)


def lasted(gap: Gap, until: datetime) -> float:
    """Seconds that a gap lasted, or has lasted until now."""
    return ((gap.last_at or until) - gap.first_at).total_seconds()


def coverage(
    tx: Transaction, plant: Plant, names: Sequence[str], since: datetime, until: datetime, now: datetime
) -> list[Covered]:
    """The coverage of assets between two moments; at the end, if it has gaps, that of the monitor itself."""
    few = names if len(names) <= FEW else None
    first, last = store.first_looks(tx, few), store.last_looks(tx, until, few)
    gaps: defaultdict[str, list[Gap]] = defaultdict(list)
    for gap in store.gaps(tx, [*names, ITSELF], since, until):
        gaps[gap.asset].append(gap)
    for name in names:
        if left := _unwatched(plant, name, gaps[name], last.get(name), until, now):
            gaps[name].append(left)
    covered = [_covered(name, first.get(name), gaps[name], since, until) for name in names]
    ourselves = [Covered(ITSELF, None, None, tuple(gaps[ITSELF]))] if gaps[ITSELF] else []
    return covered + ourselves


def _unwatched(
    plant: Plant, name: str, gaps: Iterable[Gap], last: datetime | None, until: datetime, now: datetime
) -> Gap | None:
    """The gap of an asset at which nobody looks now, and nobody has said so yet: the monitor does not run."""
    polled = plant.assets.get(name)
    every = polled.every if polled else REPORTED_EVERY
    if last is None or now - last <= stale_after(every) or last >= until or any(gap.last_at is None for gap in gaps):
        return None
    return Gap(name, "self", Cause.NOT_RUNNING, "nobody watches it: asbuilt does not run", last)


def _covered(name: str, first: datetime | None, gaps: Sequence[Gap], since: datetime, until: datetime) -> Covered:
    known = [*([first] if first else []), *(gap.first_at for gap in gaps)]
    begun = max(min(known), since) if known else None
    if begun is None or begun >= until:
        return Covered(name, begun, None, tuple(gaps))
    unseen = unseen_seconds((Span(gap.first_at, gap.last_at or until) for gap in gaps), begun, until)
    return Covered(name, begun, 1 - unseen / ((until - begun) / timedelta(seconds=1)), tuple(gaps))


def coverage_document(covered: Iterable[Covered], since: datetime, until: datetime) -> Document:
    """The JSON document; see docs/json.md."""
    covered = tuple(covered)
    return {
        "from": utc_text(since),
        "until": utc_text(until),
        "blind_now": [each.asset for each in covered if each.is_blind],
        "assets": [
            {
                "asset": each.asset,
                "watched_since": utc_text(each.since) if each.since else None,
                "share": None if each.share is None else round(each.share, 6),
                "longest_gap": round(each.longest(until), 3),
                "gaps": [_gap_document(gap, until) for gap in each.gaps],
            }
            for each in covered
        ],
    }


def _gap_document(gap: Gap, until: datetime) -> Document:
    return {
        "witness": gap.witness,
        "cause": gap.cause,
        "text": gap.text,
        "from": utc_text(gap.first_at),
        "until": utc_text(gap.last_at) if gap.last_at else None,
        "seconds": round(lasted(gap, until), 3),
    }
