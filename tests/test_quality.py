"""The figures of quality: by hand where they are few, by their laws where they are many."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baselines.cause import CHOOSE, Cause
from baselines.drift import Kind
from baselines.exposure import Onset, Span
from baselines.quality import (
    By,
    Case,
    How,
    OrderRecord,
    Out,
    Quality,
    Times,
    cautions,
    control_chart,
    edges,
    measure,
    pareto,
)
from baselines.snapshot import Category, Severity

START = datetime(2026, 8, 3, tzinfo=UTC)  # a Monday
DAY = timedelta(days=1)
WEEKS = [START + 7 * DAY * week for week in range(11)]
NOW = WEEKS[-1]
ROOT = Path(__file__).parent.parent
BERLIN = ZoneInfo("Europe/Berlin")
LONGEST_CAUSE = 24  # letters that alert.cause holds


def case(
    day: float = 0,
    kind: Kind = Kind.CHANGED,
    cause: str | None = None,
    how: How | None = None,
    after: float = 0,
    onset: Onset | None = None,
    suppressed: bool = False,
    acknowledged: datetime | None = None,
) -> Case:
    """A case raised so many days after START, that ended so many days after it was raised."""
    at = START + day * DAY
    return Case(
        "line1/filler",
        "item.limit",
        kind,
        Category.PARAMETER,
        Severity.HIGH,
        at,
        onset,
        acknowledged,
        at + after * DAY if how in (How.MENDED, How.APPROVED) else None,
        how,
        cause,
        suppressed,
    )


def measured(*cases: Case, spans: list[Span] | None = None, orders: tuple[OrderRecord, ...] = ()) -> Quality:
    whole = [Span(START, NOW)] if spans is None else spans
    return measure(cases, whole, orders, WEEKS, NOW)


def test_every_cause_says_when_to_choose_it_and_fits_the_store() -> None:
    assert set(CHOOSE) == set(Cause)
    assert all(text.endswith((".", "?")) for text in CHOOSE.values())
    assert max(map(len, Cause)) <= LONGEST_CAUSE
    documented = (ROOT / "docs" / "quality.md").read_text("utf-8")
    assert all(f"| `{cause}` | {text} |" in documented for cause, text in CHOOSE.items())


def test_a_pareto_by_hand() -> None:
    bars = pareto(["b", None, "a", "c", None, None, None, "b", "c", "b"])
    assert [(bar.name, bar.count, bar.share, bar.cumulative) for bar in bars] == [
        ("b", 3, 0.3, 0.3),
        ("c", 2, 0.2, 0.5),
        ("a", 1, 0.1, 0.6),
        (None, 4, 0.4, 1.0),
    ]


@given(st.lists(st.sampled_from([*Cause, None, "what another version wrote"]), max_size=60), st.randoms())
def test_the_laws_of_a_pareto(causes: list[str | None], chance: random.Random) -> None:
    bars = pareto(causes)
    assert {bar.name: bar.count for bar in bars} == Counter(causes)
    assert sum(bar.share for bar in bars) == pytest.approx(1 if causes else 0)
    assert [bar.cumulative for bar in bars][-1:] == ([1] if causes else [])
    named = [bar.count for bar in bars if bar.name is not None]
    assert named == sorted(named, reverse=True)
    assert all(bar.name is not None for bar in bars[:-1])
    chance.shuffle(causes)
    assert pareto(causes) == bars


def test_a_control_chart_by_hand() -> None:
    cases = [case(3)] * 2 + [case(10)] * 10 + [case(24)] * 30
    centre, rows = control_chart(cases, [1000, 1000, 0, 2000], WEEKS[:5])
    assert centre == pytest.approx(42 / 4)
    assert [row.rate for row in rows] == [2, 10, None, 15]
    assert rows[0].upper == pytest.approx(10.5 + 3 * 10.5**0.5)
    assert rows[3].upper == pytest.approx(10.5 + 3 * (10.5 / 2) ** 0.5)
    assert [row.lower for row in rows] == pytest.approx(
        [10.5 - 3 * 10.5**0.5, 10.5 - 3 * 10.5**0.5, None, 10.5 - 3 * 5.25**0.5]
    )
    assert [row.out for row in rows] == [None] * 4
    few, many = [case(3)], [case(10)] * 30
    assert [row.out for row in control_chart([*few, *many], [1000, 1000], WEEKS[:3])[1]] == [Out.BELOW, Out.ABOVE]


def test_where_nobody_looked_is_a_gap_and_no_zero() -> None:
    found = measured(case(3), spans=[Span(WEEKS[2], WEEKS[4])])
    assert [row.rate for row in found.rates] == [None, None, 0, 0, *[None] * 6]
    assert found.centre == 0
    assert "deviations raised in periods without an asset-day are in no rate: 1" in cautions(found)
    nothing = measured(case(3), spans=[])
    assert nothing.centre is None
    assert [row.deviations for row in nothing.rates] == [1, *[0] * 9]


@given(
    st.lists(st.floats(0, 69.9), max_size=40),
    st.lists(st.one_of(st.just(0.0), st.floats(0.1, 5000)), min_size=10, max_size=10),
    st.floats(0.01, 100),
)
def test_twice_the_asset_days_are_half_the_rate(days: list[float], exposure: list[float], factor: float) -> None:
    cases = [case(day) for day in days]
    centre, rows = control_chart(cases, exposure, WEEKS)
    scaled, others = control_chart(cases, [each * factor for each in exposure], WEEKS)
    assert (centre is None) == (not any(exposure))
    if centre is not None and scaled is not None:
        assert centre == pytest.approx(scaled * factor)
    for row, other in zip(rows, others, strict=True):
        assert row.deviations == other.deviations
        assert (row.rate is None) == (row.asset_days == 0)
        if row.rate is not None and row.lower is not None and row.upper is not None and centre is not None:
            assert [row.rate, row.lower, row.upper] == pytest.approx(
                [each * factor for each in (other.rate, other.lower, other.upper) if each is not None]
            )
            assert 0 <= row.lower <= centre <= row.upper
            assert (row.out is None) == (row.lower <= row.rate <= row.upper)


CASES = st.lists(
    st.builds(
        case,
        st.floats(-20, 80),
        st.sampled_from(Kind),
        st.sampled_from([None, *Cause]),
        st.sampled_from([None, *How]),
        st.floats(0, 30),
        st.one_of(st.none(), st.builds(Onset, st.datetimes(timezones=st.just(UTC)), st.booleans())),
        st.booleans(),
    ),
    max_size=30,
)


@given(CASES, st.randoms())
def test_every_case_is_counted_once_whatever_the_order(cases: list[Case], chance: random.Random) -> None:
    found = measured(*cases)
    of_the_plant = [each for each in cases if each.kind not in (Kind.BLIND, Kind.SELFTEST)]
    here = [each for each in of_the_plant if START <= each.raised_at < NOW]
    wire = sum(bar.count for bar in found.wire_kinds)
    assert found.deviations + found.suppressed + wire == len(here)
    assert wire == sum(each.kind in (Kind.EVENT, Kind.CONFLICT) and not each.suppressed for each in here)
    ended = len(found.mended.values) + len(found.approved.values) + found.ended_otherwise
    assert ended + len(found.open.values) == found.deviations
    assert found.onset_unknown >= 0
    for bars in (found.causes, found.categories, found.severities, found.assets):
        assert sum(bar.count for bar in bars) == found.deviations
    mixed = list(cases)
    chance.shuffle(mixed)
    assert measured(*mixed) == found


def test_what_is_still_open_is_never_dropped() -> None:
    found = measured(case(-30), case(60), case(1, how=How.MENDED, after=2), case(-40, how=How.MENDED, after=1))
    assert found.deviations == 2
    assert found.mended == Times((2 * 86400,))
    assert found.open == Times((10 * 86400,))
    assert found.open_before == Times((100 * 86400,))


def test_exact_and_upper_bounds_are_told_apart() -> None:
    exact, bound = Onset(START + 3 * DAY, True), Onset(START + 2 * DAY, False)
    found = measured(case(5, onset=exact), case(5, onset=bound), case(5), case(1, onset=exact))
    assert found.detected == Times((0.0, 2 * 86400))  # a clock that was set back: at once, and not before
    assert found.detected_at_most == Times((3 * 86400,))
    assert found.onset_unknown == 1


def test_a_false_alarm_counts_and_is_marked() -> None:
    found = measured(case(1, cause=Cause.FALSE_ALARM), case(2))
    assert (found.deviations, found.false_alarms) == (2, 1)
    assert found.rates[0].false_alarms == 1


@pytest.mark.parametrize(
    ("values", "median", "p90", "longest"),
    [
        ([], None, None, None),
        ([4], 4, 4, 4),
        ([3, 1], 2, 3, 3),
        (range(1, 11), 5.5, 9, 10),
        (range(100, 0, -1), 50.5, 90, 100),
        ([-5, 1], 0.5, 1, 1),
    ],
)
def test_times(values: list[float], median: float | None, p90: float | None, longest: float | None) -> None:
    times = Times.of(values)
    assert (times.median, times.p90, times.longest) == (median, p90, longest)


def order(closed: float | None, *outcomes: str | None, excess: int = 0, ends: float = 1) -> OrderRecord:
    when = None if closed is None else START + closed * DAY
    return OrderRecord(START + ends * DAY, when, outcomes, excess)


def test_first_pass_yield() -> None:
    found = measured(
        orders=(
            order(1, "as-planned", "as-planned"),
            order(1, "as-planned", "partial"),
            order(8, "as-planned", excess=2),
            order(8, "as-planned", None),  # closed, and nobody says what became of it
            order(-1, "as-planned"),
            order(None, None, ends=20),
            order(None, None, ends=99),
        )
    )
    assert (found.closed, found.passed) == (4, 1)
    assert [(row.closed, row.passed) for row in found.yields[:3]] == [(2, 1), (2, 0), (0, 0)]
    assert (found.orders_open, found.orders_overdue) == (2, 1)
    assert {bar.name: bar.count for bar in found.outcomes} == {"as-planned": 5, "partial": 1, "excess": 2, None: 1}


@pytest.mark.parametrize(
    ("periods", "per_period", "said"),
    [
        (7, 5, ["only 7 of 8"]),
        (8, 5, []),
        (8, 0, ["less than one"]),
        (3, 0, ["only 3", "less than one"]),
        (1, 5, ["less than 10 asset-days", "only 1"]),
    ],
)
def test_cautions(periods: int, per_period: int, said: list[str]) -> None:
    cases = [case(7 * week + 1) for week in range(periods) for _ in range(per_period)]
    found = cautions(measured(*cases, spans=[Span(START, WEEKS[periods])]))
    assert len(found) == len(said)
    assert all(text.startswith(begin) for text, begin in zip(found, said, strict=True))


@pytest.mark.parametrize(
    ("since", "until", "by", "zone", "expected"),
    [
        ("08-03T00:00Z", "08-04T00:00Z", By.DAY, "UTC", ""),
        ("08-03T12:00Z", "08-05T12:00Z", By.DAY, "UTC", "08-04T00:00Z 08-05T00:00Z"),
        # a day that is an hour longer: the clocks go back on October 25
        ("10-24T22:00Z", "10-26T23:00Z", By.DAY, "Europe/Berlin", "10-25T23:00Z"),
        ("10-21T00:00Z", "11-03T00:00Z", By.WEEK, "Europe/Berlin", "10-25T23:00Z 11-01T23:00Z"),
        ("09-30T21:30Z", "12-01T00:00Z", By.MONTH, "Europe/Berlin", "09-30T22:00Z 10-31T23:00Z 11-30T23:00Z"),
    ],
)
def test_where_a_period_begins(since: str, until: str, by: By, zone: str, expected: str) -> None:
    times = [datetime.fromisoformat(f"2026-{text}") for text in (since, *expected.split(), until)]
    assert edges(times[0], times[-1], by, ZoneInfo(zone)) == times


def test_a_day_that_a_zone_left_out_is_no_period() -> None:
    noons = [datetime(2011, 12, day, 12, tzinfo=UTC) for day in (29, 31)]
    inner = [datetime(2011, 12, day, 10, tzinfo=UTC) for day in (30, 31)]  # December 30 there never was
    assert edges(noons[0], noons[1], By.DAY, ZoneInfo("Pacific/Apia")) == [noons[0], *inner, noons[1]]


@given(st.integers(0, 30 * 365 * 24), st.floats(0.01, 400))
@pytest.mark.parametrize("by", By)
def test_periods_follow_each_other(by: By, hours: int, days: float) -> None:
    since = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
    found = edges(since, since + days * DAY, by, BERLIN)
    assert found == sorted(set(found))
    for edge in found[1:-1]:
        local = edge.astimezone(BERLIN)
        assert (local.hour, local.minute) == (0, 0)
        assert by is not By.WEEK or local.weekday() == 0
        assert by is not By.MONTH or local.day == 1
