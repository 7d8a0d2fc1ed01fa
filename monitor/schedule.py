"""What is due when: each asset's next poll, by a queue whose phases are spread so that polls never come in bursts; and
chores at a time of the day, every day or on the first day of a week, a month, a quarter or a year."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from hashlib import sha256
from math import inf
from zoneinfo import ZoneInfo

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

from collectors.contract import LONGEST_PAUSE, back_off
from monitor.periods import Every

SOON = timedelta(seconds=30)  # after the start what was missed while nobody ran is made up for, one after the other

# After a poll that failed, to twice of that: whether it is an outage is to be known within a minute of its beginning.
SECOND_LOOK = timedelta(seconds=10)

FIRST_DAYS: dict[Every, dict[str, str | int]] = {  # of a period, as APScheduler's cron says it
    Every.DAY: {},
    Every.WEEK: {"day_of_week": "mon"},
    Every.MONTH: {"day": 1},
    Every.QUARTER: {"month": "1,4,7,10", "day": 1},
    Every.YEAR: {"month": 1, "day": 1},
}


@dataclass(slots=True)
class Entry:
    """One asset's place: `every` and `due` in seconds of the loop's clock."""

    every: float
    due: float
    failures: int = 0


class DueQueue:
    """Assets by the time at which they are due. Each is out of the queue while it is polled."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._entries: dict[str, Entry] = {}

    def add(
        self, name: str, every: timedelta, now: float, within: float = inf, in_seconds: float | None = None
    ) -> None:
        """A new asset: first due at its own phase within one interval from now, or `within` seconds if that is less; or
        in so many seconds, where that was settled before and is neither over nor further away than the longest pause
        of one that fails."""
        entry = Entry(every.total_seconds(), now + phase(name) * min(every.total_seconds(), within))
        if in_seconds is not None and 0 < in_seconds <= max(entry.every, 1.25 * LONGEST_PAUSE.total_seconds()):
            entry.due = now + in_seconds
        self._entries[name] = entry
        heapq.heappush(self._heap, (entry.due, name))

    def due_at(self, name: str) -> float | None:
        """When an asset is due, or was if it is being polled; None if it is not known."""
        entry = self._entries.get(name)
        return entry.due if entry else None

    def remove(self, name: str) -> None:
        """An asset that is polled no more. Its place in the queue is passed over when its time comes."""
        self._entries.pop(name, None)

    def next_due(self) -> float | None:
        """The earliest due time; None if every asset is being polled."""
        while self._heap and not self._is_in_force(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _is_in_force(self, due: float, name: str) -> bool:
        entry = self._entries.get(name)
        return entry is not None and entry.due == due

    def late_by(self, name: str, now: float) -> float:
        """Seconds since an asset that is out of the queue was due."""
        return max(0.0, now - self._entries[name].due) if name in self._entries else 0.0

    def take_due(self, now: float) -> list[str]:
        """Take out what is due."""
        due = []
        while (first := self.next_due()) is not None and first <= now:
            due.append(heapq.heappop(self._heap)[1])
        return due

    def polled(self, name: str, succeeded: bool, now: float, jitter: float) -> float:
        """Put an asset back after its poll; the seconds until it is due again.

        It keeps its phase. An asset that failed rests longer and longer; one that is late by more than an interval
        (the computer slept, the disk stalled) is not polled again at once but at its phase.
        """
        entry = self._entries[name]
        entry.failures = 0 if succeeded else entry.failures + 1
        if entry.failures:
            rest = back_off(entry.failures, timedelta(seconds=entry.every), jitter)
            if entry.failures == 1:
                rest = min(rest, SECOND_LOOK * (1 + jitter))
            entry.due = now + rest.total_seconds()
        else:
            missed = max(0.0, (now - entry.due) // entry.every)
            entry.due += (missed + 1) * entry.every
        heapq.heappush(self._heap, (entry.due, name))
        return entry.due - now


def phase(name: str) -> float:
    """Where in its interval an asset is polled, 0 to 1: the same after every start, and spread evenly."""
    return int.from_bytes(sha256(name.encode()).digest()[:6], "big") / 2**48


class Clockwork:
    """Chores at a time of the day, each alone, made up for once if it was missed. `run` does what is due."""

    def __init__(self, run: Callable[[str], Awaitable[None]]) -> None:
        self._run = run
        defaults = {"coalesce": True, "misfire_grace_time": None, "max_instances": 1}
        self._scheduler = AsyncIOScheduler(job_defaults=defaults)

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def follow(
        self,
        times: Mapping[str, time],
        timezone: str,
        missed: Mapping[str, datetime],
        now: datetime,
        every: Mapping[str, Every] = {},
    ) -> None:
        """Do these chores at these times of the day from now on, and no others: those that `every` has on the first day
        of a period, the others every day. What was to be done (`missed`: when) before now, and was not, is done soon.
        """
        for job in self._scheduler.get_jobs():
            if job.id not in times:
                job.remove()
        late = 0
        for name, at in times.items():
            fields = {**FIRST_DAYS[every.get(name, Every.DAY)], "hour": at.hour, "minute": at.minute}
            trigger = CronTrigger(**fields, second=at.second, timezone=ZoneInfo(timezone))
            job = self._scheduler.add_job(self._do, trigger, [name], id=name, replace_existing=True)
            if (due := missed.get(name)) is not None and due <= now:
                late += 1
                job.modify(next_run_time=now + late * SOON)

    async def _do(self, name: str) -> None:
        """Do a chore. One that the end of the daemon cuts off was not done, and the scheduler need not say so."""
        with contextlib.suppress(asyncio.CancelledError):
            await self._run(name)

    def again(self, name: str, at: datetime) -> None:
        """Do a chore at a moment, and after that at its time as before."""
        if job := self._scheduler.get_job(name):
            job.modify(next_run_time=at)

    def next_at(self, name: str) -> datetime | None:
        """When a chore is due next."""
        job = self._scheduler.get_job(name)
        found: datetime | None = getattr(job, "next_run_time", None)
        return found

    def look(self) -> None:
        """See what the time is: a clock that was set moves what is due."""
        self._scheduler.wakeup()
