"""How the daemon is: counts and times that it keeps in memory as it goes, for the watchdog, /readyz and /metrics.

The loop and the writer fill it in; the web's thread reads it. Each number is replaced whole, so no lock is needed; two
numbers read one after the other may be of two moments.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

LONGEST_BEAT = 10.0  # seconds without a turn of the loop, after which it hangs
LONGEST_WRITE = 60.0  # seconds that one group may be with the writer: four times what it waits for another's write
LATEST_POLL = 60.0  # seconds that a poll may be overdue and not begun
LONGEST_LOOK = 30.0  # seconds since the store was read last, after which it is not usable

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Histogram:
    """How often something took how long, in seconds; the last count is of what took longer than the longest bound."""

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def note(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds


@dataclass(frozen=True, slots=True)
class Sensed:
    """What one segment's sensor has counted since it began."""

    packets: int = 0
    dropped: int = 0
    malformed: int = 0
    deaf: bool = True


@dataclass(frozen=True, slots=True)
class Tally:
    """The plant as it stands, counted now and then."""

    assets: int = 0
    blind: int = 0  # assets and segments that are not seen now
    verdicts: Mapping[str, int] = field(default_factory=dict)  # assets, by verdict
    alarms: Mapping[tuple[str, str], int] = field(default_factory=dict)  # by state and severity
    messages: int = 0  # waiting to be sent
    runs: int = 0  # in the store
    segments: Mapping[str, Sensed] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """For systemctl status."""
        return f"{self.assets} assets, {self.blind} blind, {sum(self.alarms.values())} alarms"


class Vitals:
    """One daemon's. `clock` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.polls: Counter[str] = Counter()  # by outcome: "ok", or the kind of the error
        self.poll_seconds = Histogram()
        self.lateness = Histogram()  # of polls at their beginning
        self.commit_seconds = Histogram()
        self.loop_lag = 0.0  # seconds that the last turn came too late
        self.overdue = 0.0  # seconds that the next poll is late
        self.tally = Tally()
        self.beat_at: float | None = None  # the loop's last turn
        self.looked_at: float | None = None  # the store was read
        self.writing_since: float | None = None  # what the writer is at now
        self.store_trouble: str | None = None
        self.leads = False

    def polled(self, outcome: str, seconds: float) -> None:
        self.polls[outcome] += 1
        self.poll_seconds.note(seconds)

    def beat(self, lag: float, overdue: float) -> None:
        self.loop_lag, self.overdue, self.beat_at = lag, overdue, self.clock()

    def writing(self) -> None:
        self.writing_since = self.clock()

    def written(self) -> None:
        if (since := self.writing_since) is not None:
            self.commit_seconds.note(self.clock() - since)
        self.writing_since = None

    def hangs(self) -> list[str]:
        """What does not go on, as sentences; a restart may help, and the watchdog is not fed."""
        now, found = self.clock(), []
        if self.beat_at is None:
            found.append("the loop has not begun")
        elif now - self.beat_at > LONGEST_BEAT:
            found.append(f"the loop has not turned for {now - self.beat_at:.0f} s")
        if (since := self.writing_since) is not None and now - since > LONGEST_WRITE:
            found.append(f"the writer has been at one transaction for {now - since:.0f} s")
        if self.overdue > LATEST_POLL:
            found.append(f"polls are {self.overdue:.0f} s late")
        return found

    def lacks(self) -> list[str]:
        """What keeps us from being ready, as sentences; a restart helps with none but what hangs."""
        found = self.hangs()
        if not self.leads:
            found.append("the store is not led by this process")
        if self.looked_at is None:
            found.append("the first look at the store was not made yet")
        elif (ago := self.clock() - self.looked_at) > LONGEST_LOOK:
            found.append(f"the store was read last {ago:.0f} s ago")
        if self.store_trouble:
            found.append(self.store_trouble)
        return found
