"""Clocks that a standard sets: what has to be done within so many days, and how much of them is left.

NERC CIP-010-4: R2.1, monitor at least once every 35 calendar days for changes to the baseline; R1.3, update the
baseline within 30 calendar days of completing a change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from baselines.rules import Finding, blind
from baselines.snapshot import Severity


@dataclass(frozen=True, slots=True)
class Clock:
    """One clause: what it is about, how long it allows, and how long before its end people are told."""

    key: str
    clause: str
    about: str
    within: timedelta
    notice: timedelta = timedelta(days=7)


COMPARED = Clock("compared", "CIP-010-4 R2.1", "it was last compared with its baseline at {at}", timedelta(days=35))
UPDATED = Clock(
    "updated", "CIP-010-4 R1.3", "its change was completed at {at}, and waits for its approval", timedelta(days=30)
)
CLOCKS = (COMPARED, UPDATED)


def running_out(began: Mapping[Clock, datetime], now: datetime) -> list[Finding]:
    """What of an asset is due soon or overdue; `began` says since when each clock runs."""
    return [_finding(clock, at) for clock, at in began.items() if now >= at + clock.within - clock.notice]


def _finding(clock: Clock, began: datetime) -> Finding:
    """The same text while it lasts: the date on which it is due, and never how many days are left."""
    due = began + clock.within
    about = clock.about.format(at=f"{began:%Y-%m-%d}")
    return blind(clock.key, f"{about}: {clock.clause} allows until {due:%Y-%m-%d}", Severity.HIGH)


def keys(clocks: Iterable[Clock] = CLOCKS) -> frozenset[str]:
    """The keys of their alarms."""
    return frozenset(f"watch.{clock.key}" for clock in clocks)
