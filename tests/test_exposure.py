"""How long was really looked, and since when at the earliest something deviates."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baselines.exposure import Onset, Sighting, Span, Watch, Write, asset_days, onset, watched
from baselines.snapshot import Unread

START = datetime(2026, 11, 2, tzinfo=UTC)
LIMIT = timedelta(minutes=2)
HOUR = timedelta(hours=1)


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def sighting(first: float, last: float, polls: int = 1000, gap: float = 30, seen: bool = True) -> Sighting:
    return Sighting(at(first), at(last), polls, gap, seen)


def hours(*sightings: Sighting, approved: float | None = 0) -> float:
    """The asset-hours of one asset."""
    watch = Watch("plc", None if approved is None else at(approved), sightings)
    return 24 * sum(asset_days(watched(watch, LIMIT), [at(-1000), at(1000)]))


@pytest.mark.parametrize(
    ("what", "sightings", "approved", "expected"),
    [
        ("nothing", [], 0, 0),
        ("one poll is no time", [sighting(5, 5, 1, 0)], 0, 0),
        ("a run", [sighting(0, 10)], 0, 10),
        ("an outage", [sighting(0, 4), sighting(4.01, 7, seen=False), sighting(7, 10)], 0, 7),
        ("one run after another", [sighting(0, 4), sighting(4.01, 10)], 0, 10),
        ("values that change with every poll", [sighting(n / 100, n / 100, 1, 0) for n in range(101)], 0, 1),
        ("nobody looked between two runs", [sighting(0, 4), sighting(6, 10)], 0, 8),
        ("nobody looked for six hours within a run", [sighting(0, 10, 500, 6 * 3600)], 0, 4),
        ("two polls, a day apart", [sighting(0, 24, 2, 24 * 3600)], 0, 0),
        ("once an hour is a moment an hour", [sighting(0, 10, 11, 3600)], 0, 9 * 2 / 60),
        ("more in gaps than the longest", [sighting(0, 10, 12, 4 * 3600)], 0, 10 * 2 / 60),
        ("before anything was approved", [sighting(0, 10)], 6, 4),
        ("approved between two runs", [sighting(0, 4), sighting(4.01, 10)], 4.005, 5.995),
        ("never approved", [sighting(0, 10)], None, 0),
        ("approved after it was seen last", [sighting(0, 10)], 11, 0),
        ("a clock that was set back", [sighting(5, 8), sighting(4, 6)], 0, 5),
    ],
)
def test_only_what_was_looked_at_counts(
    what: str, sightings: list[Sighting], approved: float | None, expected: float
) -> None:
    assert hours(*sightings, approved=approved) == pytest.approx(expected), what


SIGHTINGS = st.lists(
    st.tuples(st.floats(0, 3), st.floats(0, 50), st.integers(1, 9000), st.floats(0, 1), st.booleans()), max_size=8
)


@given(SIGHTINGS, st.lists(st.floats(0, 400), max_size=5))
def test_nobody_looks_longer_than_there_is_time_however_it_is_divided(
    rows: list[tuple[float, float, int, float, bool]], cuts: list[float]
) -> None:
    sightings, end = [], 0.0
    for pause, length, polls, gap, seen in rows:
        begin = end + pause
        end = begin + length
        sightings.append(sighting(begin, end, polls, gap * length * 3600, seen))
    spans = watched(Watch("plc", START, tuple(sightings)), LIMIT)
    edges = sorted({at(0), at(500), *map(at, cuts)})
    days = asset_days(spans, edges)
    for day, start, until in zip(days, edges, edges[1:], strict=False):
        assert 0 <= day <= (until - start) / timedelta(days=1) + 1e-9
    assert sum(days) == pytest.approx(sum(asset_days(spans, [at(0), at(500)])))
    assert sum(days) == pytest.approx(
        sum((span.end - span.start).total_seconds() * span.share for span in spans) / 86400
    )


def test_asset_days_belong_to_the_period_in_which_they_were() -> None:
    spans = [Span(at(-5), at(25)), Span(at(30), at(60), 0.5), Span(at(90), at(99))]
    assert asset_days(spans, [at(0), at(24), at(48), at(72)]) == pytest.approx([1, 10 / 24, 0.25])


GOOD, BAD = sighting(0, 4), sighting(5, 9)
OUTAGE = sighting(4.2, 4.8, seen=False)
HALF = replace(sighting(4.1, 4.9), unread=(Unread("item.limit"),))


@pytest.mark.parametrize(
    ("what", "sightings", "writes", "expected"),
    [
        ("never seen before", [BAD], [], None),
        ("only silent before", [OUTAGE, BAD], [], None),
        ("seen as approved until then", [GOOD, BAD], [], Onset(at(4), False)),
        ("silent meanwhile", [GOOD, OUTAGE, BAD], [], Onset(at(4), False)),
        ("not answered meanwhile", [GOOD, HALF, BAD], [], Onset(at(4), False)),
        ("the wire saw it", [GOOD, BAD], [Write(at(4.5), "14.0")], Onset(at(4.5), True)),
        ("the wire did not see which value", [GOOD, BAD], [Write(at(4.5))], Onset(at(4.5), True)),
        ("written twice", [GOOD, BAD], [Write(at(4.7), "15.0"), Write(at(4.5), "14.0")], Onset(at(4.5), True)),
        ("written as approved", [GOOD, BAD], [Write(at(4.5), "12.5")], Onset(at(4), False)),
        ("written before and after", [GOOD, BAD], [Write(at(3), "1"), Write(at(6), "1")], Onset(at(4), False)),
    ],
)
def test_since_when_an_item_deviates(
    what: str, sightings: list[Sighting], writes: list[Write], expected: Onset | None
) -> None:
    assert onset("item.limit", "12.5", at(5), sightings, len(sightings) - 1, writes) == expected, what


def test_an_item_below_one_that_was_not_answered_was_not_seen() -> None:
    assert not HALF.shows("item.limit.high")
    assert HALF.shows("item.limits")
