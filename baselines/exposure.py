"""How long an asset was really looked at, and since when at the earliest it can have deviated: both from its runs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from baselines.snapshot import Unread

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Sighting:
    """Equal outcomes of an asset in a row; `longest_gap` is the longest time between two of them, in seconds.

    `seen` is False for an outage; `unread` is what was asked for and not answered.
    """

    first_at: datetime
    last_at: datetime
    polls: int = 1
    longest_gap: float = 0.0
    seen: bool = True
    unread: tuple[Unread, ...] = ()

    def shows(self, item: str) -> bool:
        """Whether it tells how the item was (or that it was not there)."""
        return self.seen and not any(gap.covers(item) for gap in self.unread)


@dataclass(frozen=True, slots=True)
class Watch:
    """The sightings of an asset, in the order in which they came, and when its first baseline was approved."""

    asset: str
    approved_at: datetime | None
    sightings: tuple[Sighting, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which an asset was looked at, or a `share` of it: from 0 to 1."""

    start: datetime
    end: datetime
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Write:
    """A write to an item that the wire saw; `value` as JSON, None where the wire did not say."""

    at: datetime
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Onset:
    """Since when an item deviates: exactly, or else at the earliest."""

    at: datetime
    exact: bool


def watched(watch: Watch, limit: timedelta) -> list[Span]:
    """The times in which an asset was looked at, and could be told from what was approved.

    Outages do not count, and neither does a time without a poll that is longer than `limit`. Of a run that holds such
    gaps it is known how long the longest was and how many polls there were, but not when: only a share of it counts.
    Nor does what came before the first approval: who has approved nothing sees no deviation.
    """
    begun = watch.approved_at
    if begun is None:
        return []
    seen = [
        Span(each.first_at, each.last_at, _share(each, limit.total_seconds())) for each in watch.sightings if each.seen
    ]
    between = [
        Span(before.last_at, after.first_at)
        for before, after in pairwise(watch.sightings)
        if before.seen and after.seen and after.first_at - before.last_at <= limit
    ]
    return [
        Span(max(span.start, begun), span.end, span.share)
        for span in (*seen, *between)
        if span.share > 0 and max(span.start, begun) < span.end
    ]


def _share(sighting: Sighting, limit: float) -> float:
    length = (sighting.last_at - sighting.first_at).total_seconds()
    if length <= 0:
        return 0.0
    if sighting.longest_gap <= limit:
        return 1.0
    others = max(sighting.polls - 2, 0)  # the times between two polls, without the longest
    return max(0.0, min(length - sighting.longest_gap, others * limit)) / length


def asset_days(spans: Iterable[Span], edges: Sequence[datetime]) -> list[float]:
    """The asset-days between each edge and the next."""
    days = [0.0] * (len(edges) - 1)
    for span in spans:
        for period in range(max(bisect_right(edges, span.start) - 1, 0), len(days)):
            if edges[period] >= span.end:
                break
            seen = min(span.end, edges[period + 1]) - max(span.start, edges[period])
            days[period] += max(seen / DAY, 0.0) * span.share
    return days


def onset(
    item: str,
    approved: str | None,
    raised_at: datetime,
    sightings: Sequence[Sighting],
    number: int,
    writes: Iterable[Write],
) -> Onset | None:
    """Since when an item deviates whose alarm was raised with the sighting of that `number`.

    At the earliest since the asset was last seen with the item as approved; exactly since the wire saw the first
    write after that of another value than the approved one (as JSON). None where it was never seen before.
    """
    earlier = (sightings[each] for each in range(number - 1, -1, -1))
    before = next((each for each in earlier if each.shows(item)), None)
    if before is None:
        return None
    written = [each.at for each in writes if before.last_at < each.at <= raised_at and each.value != approved]
    return Onset(min(written), True) if written else Onset(min(before.last_at, raised_at), False)
