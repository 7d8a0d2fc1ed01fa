"""The longest time in which an asset was not compared with what is approved, within some time.

NERC CIP-010-4 R2.1 counts such times. They are known from the runs in which the asset was seen, and from the gaps that
were written down. Of a run it is known how long the longest time between two of its polls was, but not when it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from baselines.coverage import Span
from baselines.exposure import Sighting

SAME = timedelta(minutes=1)  # by which a gap that was written down may be shorter than the longest of its run


@dataclass(frozen=True, slots=True)
class Lapse:
    """A time without a comparison. Not `exact`: it was somewhere between `start` and `end`. Not `sure`: it may have
    been before or after the time that is looked at, so in this it was so long at most."""

    start: datetime
    end: datetime
    length: timedelta
    exact: bool = True
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Compared:
    """How an asset was compared: the longest lapse, the longest that is sure, and when it was compared last; None if it
    never was since its approval."""

    longest: Lapse
    surely: Lapse
    last_at: datetime | None


def compared(
    approved_at: datetime,
    sightings: Sequence[Sighting],
    gaps: Iterable[Span],
    since: datetime,
    until: datetime,
    deep: timedelta = timedelta(),
) -> Compared:
    """How an asset was compared between two times, since its first approval.

    `sightings` are the runs in which it was seen, the oldest first, with the last one before `since`; `gaps` what was
    written down of when it was not; `deep` is how often all of it is read, where polls between read a part alone.
    """
    looked = [_from(each, approved_at, until) for each in sightings if each.last_at > approved_at]
    ends = [approved_at, *(each.last_at for each in looked)]
    begins = [*(each.first_at for each in looked), until]
    between = [Lapse(start, end, end - start) for start, end in zip(ends, begins, strict=True) if end > start]
    clipped = [Span(max(each.start, approved_at), min(each.end, until)) for each in gaps]
    known = [Lapse(each.start, each.end, each.end - each.start) for each in clipped if each.end > each.start]
    within = [lapse for each in looked for lapse in _within(each, known, since, until, deep)]
    here = [each for each in (*between, *known, *within) if each.end > since]
    none = Lapse(until, until, timedelta())
    surely = max((each for each in here if each.sure), key=_length, default=none)
    longest = max((surely, *here), key=_length)
    return Compared(longest, surely, looked[-1].last_at if looked else None)


def _length(lapse: Lapse) -> timedelta:
    return lapse.length


def _from(sighting: Sighting, approved_at: datetime, until: datetime) -> Sighting:
    """A sighting without what was before the approval, and after the time that is looked at."""
    first_at = min(max(sighting.first_at, approved_at), until)
    gap = sighting.longest_gap
    return Sighting(first_at, min(max(sighting.last_at, first_at), until), sighting.polls, gap)


def _within(
    sighting: Sighting, known: Sequence[Lapse], since: datetime, until: datetime, deep: timedelta
) -> Iterator[Lapse]:
    """The longest time between two polls of a run, unless it was written down when that was."""
    length = min(max(timedelta(seconds=sighting.longest_gap), deep), sighting.last_at - sighting.first_at)
    if length <= timedelta():
        return
    told = (each for each in known if each.start >= sighting.first_at - SAME and each.end <= sighting.last_at + SAME)
    if any(each.length >= length - SAME for each in told):
        return
    outside = max(since - sighting.first_at, timedelta())
    is_sure = outside < length and sighting.last_at < until
    yield Lapse(sighting.first_at, sighting.last_at, length, exact=False, sure=is_sure)
