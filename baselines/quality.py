"""What quality people look at: why a plant deviates, how often, how soon that is seen and mended, how changes go.

Every figure is of deviations that nobody had announced. What was suppressed, because an order or the asset being out
of service announced it, and what the wire saw somebody do, is counted apart.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum

from baselines.cause import Cause
from baselines.drift import DEVIATIONS, Kind
from baselines.exposure import Onset, Span, asset_days
from baselines.snapshot import Category, Severity

OF_THE_WIRE = (Kind.CONFLICT, Kind.EVENT)  # the rest is about our own watch, and no quality of the plant's
ENOUGH_PERIODS = 8  # of fewer, three-sigma limits say little
ENOUGH_DAYS = 10.0  # asset-days: a rate of fewer says nothing yet
ENOUGH_EXPECTED = 1.0  # deviations a period: with fewer, a single one may be out of limits
SIGMAS = 3
AS_PLANNED = "as-planned"
NO_CAUSE = "no cause given yet"  # how the bar without a name is called


class By(StrEnum):
    """How long a period is."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class How(StrEnum):
    """How a deviation ended. OTHERWISE: its alarm ended without anything having been seen, such as by retirement."""

    MENDED = "mended"
    APPROVED = "approved"
    OTHERWISE = "otherwise"


class Out(StrEnum):
    """On which side of the control limits a period is."""

    ABOVE = "above"
    BELOW = "below"


@dataclass(frozen=True, slots=True)
class Case:
    """One alarm and what became of it. `how` is None while it is open; `cause` is None until somebody has given one.

    `suppressed`: it was announced from the beginning, and never stood before people as an alarm.
    """

    asset: str
    item: str
    kind: Kind
    category: Category
    severity: Severity
    raised_at: datetime
    onset: Onset | None = None
    acknowledged_at: datetime | None = None
    ended_at: datetime | None = None
    how: How | None = None
    cause: str | None = None
    suppressed: bool = False


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """A change order: `outcomes` of what it expected, and how much changed that it had not declared."""

    ends_at: datetime
    closed_at: datetime | None = None
    outcomes: tuple[str | None, ...] = ()
    excess: int = 0

    @property
    def as_planned(self) -> bool:
        """Whether all came as planned at the first try, and nothing else."""
        return not self.excess and all(outcome == AS_PLANNED for outcome in self.outcomes)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a Pareto; `share` and `cumulative` are from 0 to 1. `name` is None for those without a cause yet."""

    name: str | None
    count: int
    share: float
    cumulative: float


@dataclass(frozen=True, slots=True)
class Rate:
    """The deviations of a period, `rate` and its control limits per 1,000 asset-days: None where nobody looked."""

    start: datetime
    end: datetime
    deviations: int
    false_alarms: int
    asset_days: float
    rate: float | None = None
    lower: float | None = None
    upper: float | None = None
    out: Out | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """Durations in seconds, in order."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Times:
        """A clock that was set back makes no time negative."""
        return cls(tuple(sorted(max(value, 0.0) for value in values)))

    @property
    def median(self) -> float | None:
        return statistics.median(self.values) if self.values else None

    @property
    def p90(self) -> float | None:
        """The shortest of them that nine in ten do not exceed."""
        return self.values[math.ceil(0.9 * len(self.values)) - 1] if self.values else None

    @property
    def longest(self) -> float | None:
        return self.values[-1] if self.values else None


@dataclass(frozen=True, slots=True)
class Yield:
    """The change orders that were closed in a period, and how many of them passed."""

    start: datetime
    end: datetime
    closed: int
    passed: int


@dataclass(frozen=True, slots=True)
class Quality:
    """All figures of a time; see docs/quality.md for what each says, and what it does not."""

    causes: tuple[Bar, ...]
    categories: tuple[Bar, ...]
    severities: tuple[Bar, ...]
    assets: tuple[Bar, ...]
    wire_kinds: tuple[Bar, ...]
    wire_causes: tuple[Bar, ...]
    suppressed: int
    centre: float | None
    rates: tuple[Rate, ...]
    detected: Times  # since the wire saw the write
    detected_at_most: Times  # since the item was last seen as approved
    acknowledged: Times
    mended: Times
    approved: Times
    open: Times  # the ages of those that have not ended
    open_before: Times  # the ages of those that were raised before this time, and have not ended either
    ended_otherwise: int
    yields: tuple[Yield, ...]
    outcomes: tuple[Bar, ...]
    orders_open: int
    orders_overdue: int

    @property
    def deviations(self) -> int:
        return sum(rate.deviations for rate in self.rates)

    @property
    def false_alarms(self) -> int:
        return sum(rate.false_alarms for rate in self.rates)

    @property
    def asset_days(self) -> float:
        return sum(rate.asset_days for rate in self.rates)

    @property
    def onset_unknown(self) -> int:
        return self.deviations - len(self.detected.values) - len(self.detected_at_most.values)

    @property
    def closed(self) -> int:
        return sum(each.closed for each in self.yields)

    @property
    def passed(self) -> int:
        return sum(each.passed for each in self.yields)


def edges(since: datetime, until: datetime, by: By, zone: tzinfo) -> list[datetime]:
    """Where the periods between two times begin, and where the last ends, in UTC. The first and the last may be cut.

    A period begins at midnight of the zone; a week on Monday.
    """
    found = [since]
    day = since.astimezone(zone).date()
    while (day := _next(day, by)) <= until.astimezone(zone).date():
        midnight = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
        if found[-1] < midnight < until:  # a zone may leave out a day
            found.append(midnight)
    return [*found, until]


def _next(day: date, by: By) -> date:
    match by:
        case By.DAY:
            return day + timedelta(days=1)
        case By.WEEK:
            return day + timedelta(days=7 - day.weekday())
        case By.MONTH:
            return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def measure(
    cases: Iterable[Case],
    spans: Iterable[Span],
    orders: Iterable[OrderRecord],
    times: Sequence[datetime],
    now: datetime,
) -> Quality:
    """The figures between the first and the last of `times`, which are the edges of its periods.

    `cases` are all that were raised meanwhile, and those of before that are still open; an order counts when it is
    closed. What is open has its age of `now`.
    """
    everything = [case for case in cases if case.raised_at < times[-1]]
    here = [case for case in everything if case.raised_at >= times[0]]
    found = [case for case in here if _counts(case)]
    wire = [case for case in here if case.kind in OF_THE_WIRE and not case.suppressed]
    before = [case for case in everything if case.raised_at < times[0] and case.how is None and _counts(case)]
    orders = list(orders)
    closed = [order for order in orders if order.closed_at is not None and times[0] <= order.closed_at < times[-1]]
    still_open = [order for order in orders if order.closed_at is None]
    centre, rates = control_chart(found, asset_days(spans, times), times)
    return Quality(
        causes=pareto(case.cause for case in found),
        categories=pareto(case.category for case in found),
        severities=pareto(case.severity for case in found),
        assets=pareto(case.asset for case in found),
        wire_kinds=pareto(case.kind for case in wire),
        wire_causes=pareto(case.cause for case in wire),
        suppressed=sum(case.suppressed for case in here if case.kind in (*DEVIATIONS, *OF_THE_WIRE)),
        centre=centre,
        rates=rates,
        detected=Times.of(_since(case.onset, case) for case in found if case.onset and case.onset.exact),
        detected_at_most=Times.of(_since(case.onset, case) for case in found if case.onset and not case.onset.exact),
        acknowledged=Times.of(_seconds(case, case.acknowledged_at) for case in found if case.acknowledged_at),
        mended=_ended(found, How.MENDED),
        approved=_ended(found, How.APPROVED),
        open=Times.of(_seconds(case, now) for case in found if case.how is None),
        open_before=Times.of(_seconds(case, now) for case in before),
        ended_otherwise=sum(case.how is How.OTHERWISE for case in found),
        yields=_yields(closed, times),
        outcomes=pareto(_outcomes(closed)),
        orders_open=len(still_open),
        orders_overdue=sum(order.ends_at < now for order in still_open),
    )


def _counts(case: Case) -> bool:
    return not case.suppressed and case.kind in DEVIATIONS


def _seconds(case: Case, until: datetime) -> float:
    return (until - case.raised_at).total_seconds()


def _since(onset: Onset, case: Case) -> float:
    return (case.raised_at - onset.at).total_seconds()


def _ended(cases: Iterable[Case], how: How) -> Times:
    return Times.of(_seconds(case, case.ended_at) for case in cases if case.how is how and case.ended_at)


def pareto(names: Iterable[str | None]) -> tuple[Bar, ...]:
    """The bars, the highest first and of equal ones by name; what has no name stands last, however high it is."""
    counts = Counter(names)
    total, reached = counts.total(), 0
    bars = []
    for name in sorted(counts, key=lambda name: (name is None, -counts[name], name or "")):
        reached += counts[name]
        bars.append(Bar(name, counts[name], counts[name] / total, reached / total))
    return tuple(bars)


def control_chart(
    cases: Iterable[Case], days: Sequence[float], times: Sequence[datetime]
) -> tuple[float | None, tuple[Rate, ...]]:
    """A u-chart: centre line, and per period the rate and its limits, per 1,000 asset-days.

    The centre is all deviations of the periods in which somebody looked, by all of their asset-days; the limits are
    three times the standard deviation of a Poisson count with it: ū ± 3·√(ū / nᵢ), never below 0.
    """
    counts, false = [0] * len(days), [0] * len(days)
    for case in cases:
        period = bisect_right(times, case.raised_at) - 1
        counts[period] += 1
        false[period] += case.cause == Cause.FALSE_ALARM
    rows = [Rate(*row) for row in zip(times, times[1:], counts, false, days, strict=False)]
    seen = [row for row in rows if row.asset_days > 0]
    if not seen:
        return None, tuple(rows)
    centre = 1000 * sum(row.deviations for row in seen) / sum(row.asset_days for row in seen)
    return centre, tuple(_limited(row, centre) if row.asset_days > 0 else row for row in rows)


def _limited(row: Rate, centre: float) -> Rate:
    exposure = row.asset_days / 1000
    rate, reach = row.deviations / exposure, SIGMAS * math.sqrt(centre / exposure)
    lower, upper = max(centre - reach, 0.0), centre + reach
    out = Out.ABOVE if rate > upper else Out.BELOW if rate < lower else None
    return replace(row, rate=rate, lower=lower, upper=upper, out=out)


def _yields(closed: Iterable[OrderRecord], times: Sequence[datetime]) -> tuple[Yield, ...]:
    counts, passed = [0] * (len(times) - 1), [0] * (len(times) - 1)
    for order in closed:
        assert order.closed_at is not None
        period = bisect_right(times, order.closed_at) - 1
        counts[period] += 1
        passed[period] += order.as_planned
    return tuple(Yield(*row) for row in zip(times, times[1:], counts, passed, strict=False))


def _outcomes(orders: Iterable[OrderRecord]) -> Iterable[str | None]:
    for order in orders:
        yield from order.outcomes
        yield from ["excess"] * order.excess


def cautions(quality: Quality) -> list[str]:
    """What to bear in mind before anything is made of the control chart, as sentences."""
    seen = [row for row in quality.rates if row.asset_days > 0]
    said = []
    if 0 < quality.asset_days < ENOUGH_DAYS:
        said.append(f"less than {ENOUGH_DAYS:g} asset-days: the rate says nothing yet")
    if 0 < len(seen) < ENOUGH_PERIODS:
        said.append(f"only {len(seen)} of {ENOUGH_PERIODS} periods that limits need to mean much")
    if seen and quality.deviations / len(seen) < ENOUGH_EXPECTED:
        said.append("less than one deviation a period: a single one may be out of limits by chance")
    if unseen := sum(row.deviations for row in quality.rates if row.asset_days <= 0):
        said.append(f"deviations raised in periods without an asset-day are in no rate: {unseen}")
    return said
