"""The longest time without a comparison. Times are days after the beginning; the period is from 100 to 200."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from baselines.coverage import Span
from baselines.exposure import Sighting
from baselines.lapses import compared

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 86400.0


def at(days: float) -> datetime:
    return BEGIN + timedelta(days=days)


def run(first: float, last: float, longest: float = 0.1) -> Sighting:
    return Sighting(at(first), at(last), 100, longest * DAY)


def days(moment: datetime) -> float:
    return (moment - BEGIN).total_seconds() / DAY


@pytest.mark.parametrize(
    ("approved", "runs", "gaps", "longest", "exact", "surely", "last"),
    [
        (50, [], [], (50, 200, 150), True, 150, None),  # never compared
        (50, [run(10, 40)], [], (50, 200, 150), True, 150, None),  # seen before the approval alone
        (50, [run(60, 90), run(130, 199)], [], (90, 130, 40), True, 40, 199),  # it began before the period
        (50, [run(60, 70), run(99, 199)], [], (199, 200, 1), True, 1, 199),  # one that ended before it is none
        (120, [run(60, 130), run(150, 200)], [], (130, 150, 20), True, 20, 200),  # begins with the approval
        (50, [run(110, 190, 30)], [], (50, 110, 60), True, 60, 190),
        (100, [run(101, 190, 30)], [], (101, 190, 30), False, 30, 190),  # known how long, not when
        (100, [run(101, 190, 30)], [(120, 150)], (120, 150, 30), True, 30, 190),  # and here it is known
        (100, [run(101, 190, 30)], [(120, 121)], (101, 190, 30), False, 30, 190),  # another one
        (10, [run(20, 190, 30)], [], (20, 190, 30), False, 10, 190),  # it may have been before the period
        (10, [run(80, 190, 30)], [], (80, 190, 30), False, 30, 190),  # it cannot have been: 20 days are too few
        (10, [run(15, 20), run(101, 250, 60)], [], (20, 101, 81), True, 81, 200),
        (10, [run(90, 250, 300)], [], (90, 200, 110), False, 0, 200),  # no longer than what can be seen of it
        (10, [run(90, 250)], [(195, 220)], (195, 200, 5), True, 5, 200),  # it lasts at the end
    ],
)
def test_longest(
    approved: float,
    runs: list[Sighting],
    gaps: list[tuple[float, float]],
    longest: tuple[float, float, float],
    exact: bool,
    surely: float,
    last: float | None,
) -> None:
    found = compared(at(approved), runs, [Span(at(start), at(end)) for start, end in gaps], at(100), at(200))
    length = found.longest.length.total_seconds() / DAY
    assert (days(found.longest.start), days(found.longest.end), length) == pytest.approx(longest)
    assert found.longest.exact is exact
    assert found.surely.length.total_seconds() / DAY == pytest.approx(surely)
    assert found.last_at == (None if last is None else at(last))


def test_a_tripwire_is_no_comparison() -> None:
    """Of one that is read as a whole once a week alone, a week is the longest."""
    found = compared(at(100), [run(100, 190)], (), at(100), at(200), timedelta(days=7))
    assert found.longest.length == timedelta(days=10)  # since it was read last
    assert compared(at(100), [run(100, 199)], (), at(100), at(200), timedelta(days=7)).longest.length.days == 7
