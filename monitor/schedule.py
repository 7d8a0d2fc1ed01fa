"""When each asset is polled next: a queue by due time, with phases spread so that polls never come in bursts."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from collectors.contract import back_off

# After a poll that failed, to twice of that: whether it is an outage is to be known within a minute of its beginning.
SECOND_LOOK = timedelta(seconds=10)


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

    def add(self, name: str, every: timedelta, now: float) -> None:
        """A new asset: first due at its own phase within one interval from now."""
        entry = Entry(every.total_seconds(), now + phase(name) * every.total_seconds())
        self._entries[name] = entry
        heapq.heappush(self._heap, (entry.due, name))

    def remove(self, name: str) -> None:
        """An asset that is polled no more."""
        self._entries.pop(name, None)
        self._heap = [(due, other) for due, other in self._heap if other != name]
        heapq.heapify(self._heap)

    def next_due(self) -> float | None:
        """The earliest due time; None if every asset is being polled."""
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: float) -> list[str]:
        """Take out what is due."""
        due = []
        while self._heap and self._heap[0][0] <= now:
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
