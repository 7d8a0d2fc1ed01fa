"""Periods of a calendar: from midnight to midnight where the plant is, whatever the clock does there."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.periods import Every, Period, due, last_period

BERLIN = ZoneInfo("Europe/Berlin")
FIVE = time(5)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("every", "now", "first", "after"),
    [
        (Every.DAY, "2026-11-26T12:00", date(2026, 11, 25), date(2026, 11, 26)),
        (Every.DAY, "2026-11-26T03:59", date(2026, 11, 24), date(2026, 11, 25)),  # 4:59 in Berlin
        (Every.DAY, "2026-11-26T04:00", date(2026, 11, 25), date(2026, 11, 26)),
        (Every.WEEK, "2026-11-26T12:00", date(2026, 11, 16), date(2026, 11, 23)),
        (Every.WEEK, "2026-11-23T04:00", date(2026, 11, 16), date(2026, 11, 23)),
        (Every.WEEK, "2026-11-23T03:00", date(2026, 11, 9), date(2026, 11, 16)),
        (Every.MONTH, "2026-03-01T04:00", date(2026, 2, 1), date(2026, 3, 1)),
        (Every.MONTH, "2026-01-31T22:00", date(2025, 12, 1), date(2026, 1, 1)),
        (Every.QUARTER, "2026-11-26T12:00", date(2026, 7, 1), date(2026, 10, 1)),
        (Every.QUARTER, "2026-01-01T12:00", date(2025, 10, 1), date(2026, 1, 1)),
        (Every.YEAR, "2026-01-01T03:00", date(2024, 1, 1), date(2025, 1, 1)),
        (Every.YEAR, "2026-01-01T12:00", date(2025, 1, 1), date(2026, 1, 1)),
    ],
)
def test_the_last_period_is_the_one_that_is_over_where_the_plant_is(
    every: Every, now: str, first: date, after: date
) -> None:
    assert last_period(every, FIVE, utc(now), BERLIN) == Period(first, after)


def test_a_month_in_which_the_clock_is_changed_is_an_hour_shorter_or_longer() -> None:
    march, october = Period(date(2026, 3, 1), date(2026, 4, 1)), Period(date(2026, 10, 1), date(2026, 11, 1))
    assert (march.since(BERLIN), march.until(BERLIN)) == (utc("2026-02-28T23:00"), utc("2026-03-31T22:00"))
    assert october.until(BERLIN) - october.since(BERLIN) == timedelta(days=31, hours=1)


@given(
    st.sampled_from(Every),
    st.times(),
    st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Kiritimati", "America/Santiago", "Asia/Kathmandu"]),
)
def test_one_period_follows_the_other_without_a_gap(every: Every, at: time, now: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    last, following = due(every, at, now, zone)
    assert last <= now < following
    period, then = last_period(every, at, now, zone), last_period(every, at, following, zone)
    assert period.after == then.first
    assert period.until(zone) == then.since(zone)
    assert period.since(zone) < period.until(zone)
    assert last_period(every, at, following - timedelta(seconds=1), zone) == period
