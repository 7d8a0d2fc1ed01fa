"""Periods of a calendar, each from its first midnight in a time zone to its last: which is over, and when. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


class Every(StrEnum):
    """How long a period is. A week begins on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


LONGEST = {Every.DAY: 1, Every.WEEK: 7, Every.MONTH: 31, Every.QUARTER: 92, Every.YEAR: 366}  # days


@dataclass(frozen=True, slots=True)
class Period:
    """`first` is its first day, `after` the day after its last."""

    first: date
    after: date

    def since(self, zone: ZoneInfo) -> datetime:
        """The midnight with which it begins, in UTC."""
        return _at(self.first, time(), zone)

    def until(self, zone: ZoneInfo) -> datetime:
        """The midnight with which it ends, in UTC."""
        return _at(self.after, time(), zone)


def last_period(every: Every, at: time, now: datetime, zone: ZoneInfo) -> Period:
    """The last one that is over, once it is `at` on the day after it."""
    after = _first_day(every, now.astimezone(zone).date())
    if _at(after, at, zone) > now:
        after = _first_day(every, after - timedelta(days=1))
    return Period(_first_day(every, after - timedelta(days=1)), after)


def due(every: Every, at: time, now: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """When it was `at` on the day after the last period that is over, and when it will be after the next; in UTC."""
    after = last_period(every, at, now, zone).after
    following = _first_day(every, after + timedelta(days=LONGEST[every]))
    return _at(after, at, zone), _at(following, at, zone)


def _at(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, zone).astimezone(UTC)


def _first_day(every: Every, day: date) -> date:
    """The first day of the period that a day is in."""
    match every:
        case Every.DAY:
            return day
        case Every.WEEK:
            return day - timedelta(days=day.weekday())
        case Every.MONTH:
            return day.replace(day=1)
        case Every.QUARTER:
            return day.replace(month=day.month - (day.month - 1) % 3, day=1)
        case Every.YEAR:
            return day.replace(month=1, day=1)
