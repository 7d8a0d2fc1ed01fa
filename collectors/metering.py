"""What was really sent to a device, counted where bytes leave and arrive. No clock of its own: moments are given."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, TypeVar

import msgspec

SCHEMA = 1  # of the counts as they are kept
FIRST = 200  # answers that are kept for good, to compare with: at least so many, less than twice as many
PER_OCTAVE = 4  # classes of response times between one time and its double: each is 19 % wide
WINDOW = 1.0  # seconds in which requests are counted for the highest rate

K = TypeVar("K")
Times = dict[int, int]  # how many answers, by the class of their response time


def time_class(seconds: float) -> int:
    """The class of a response time: from 2 ** (n / 4) to 2 ** ((n + 1) / 4) microseconds."""
    return int(math.log2(seconds * 1e6) * PER_OCTAVE) if seconds > 1e-6 else 0


def quantile(times: Mapping[int, int], share: float) -> float | None:
    """The response time, in seconds, that so large a share of the answers kept to; None if there are none.

    It is the middle of its class, so at most 9 % off.
    """
    left = math.ceil(sum(times.values()) * share)
    for number in sorted(times):
        left -= times[number]
        if left <= 0:
            return float(2 ** ((number + 0.5) / PER_OCTAVE) / 1e6)
    return None


@dataclass(slots=True)
class Counts:
    """What was sent to a device and what came of it, over some time. Bytes are of the application: what TCP was given
    and what it gave; the longest wait is in seconds.

    `broken` says how often a limit was exceeded, by the limit: always empty, unless we have a bug.
    """

    connections: int = 0  # tried, also in vain
    opened: int = 0
    most_open: int = 0
    requests: dict[str, int] = field(default_factory=dict)  # by function or service
    bytes_sent: int = 0
    bytes_received: int = 0
    busiest: int = 0  # the most requests in any second
    answers: Times = field(default_factory=dict)
    first: Times = field(default_factory=dict)
    time_outs: int = 0
    refusals: int = 0
    malformed: int = 0
    longest_wait: float = 0.0  # of a request for its turn
    forbidden: dict[str, int] = field(default_factory=dict)  # what the guard refused, by what it said
    broken: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) for each in FIELDS if each.name != "most_open")  # which stays open

    def plus(self, other: Counts) -> Counts:
        """The counts of both times."""
        return Counts(
            **{
                name: _joined(name, getattr(self, name), getattr(other, name))
                for name in (each.name for each in FIELDS)
            }
        )


FIELDS = fields(Counts)
HIGHEST = {"most_open", "busiest", "longest_wait"}  # of two counts the higher one holds; others add up


def _joined(name: str, one: Any, other: Any) -> Any:
    if name in HIGHEST:
        return max(one, other)
    return _sums(one, other) if isinstance(one, dict) else one + other


def _sums(one: Mapping[K, int], other: Mapping[K, int]) -> dict[K, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in dict.fromkeys([*one, *other])}


@dataclass(frozen=True, slots=True)
class Record:
    """All that is known of a device: the sums, and the response times of the first answers and of the last hours.

    `lately` are the answers of the hour that `hour` begins, `before` those of the last hour with answers before it.
    """

    since: datetime
    until: datetime
    counts: Counts
    hour: str = ""
    lately: Times = field(default_factory=dict)
    before: Times = field(default_factory=dict)

    @property
    def recent(self) -> Times:
        """The response times of the last one to two hours in which it answered."""
        return _sums(self.before, self.lately)

    def plus(self, counts: Counts, since: datetime, until: datetime) -> Record:
        """The record with what was counted from one time to another."""
        hour = f"{until:%Y-%m-%dT%H}" if counts.answers else self.hour
        before, lately = (self.before, self.lately) if hour == self.hour else (self.lately, {})
        sums = self.counts.plus(counts)
        sums.answers = {}
        if sum(self.counts.first.values()) >= FIRST:
            sums.first = self.counts.first
        return Record(min(self.since, since), max(self.until, until), sums, hour, _sums(lately, counts.answers), before)

    def text(self) -> str:
        """As it is kept, without its times: JSON."""
        kept = {each.name: value for each in FIELDS if (value := getattr(self.counts, each.name))}
        whole = {"schema": SCHEMA, **kept, "hour": self.hour, "lately": self.lately, "before": self.before}
        return msgspec.json.encode(whole).decode()


def new_record(since: datetime) -> Record:
    """The record of a device that nothing was sent to."""
    return Record(since, since, Counts())


def read_record(since: datetime, until: datetime, text: str) -> Record:
    """A record as it was kept; what a later version may have added is left out. ValueError if it is none."""
    try:
        kept = msgspec.json.decode(text, type=_Kept)
    except msgspec.MsgspecError as error:
        raise ValueError(f"no counts: {error}") from None
    counts = Counts(**{each.name: getattr(kept, each.name) for each in FIELDS})
    return Record(since, until, counts, kept.hour, kept.lately, kept.before)


@dataclass(slots=True)
class _Kept(Counts):
    hour: str = ""
    lately: Times = field(default_factory=dict)
    before: Times = field(default_factory=dict)


class Meter:
    """Counts for one device. `allowed` is how many requests a second may hold; moments are of the loop's clock."""

    __slots__ = ("_counts", "_open", "_answered", "_times", "allowed", "connections")

    def __init__(self, allowed: int, connections: int = 1) -> None:
        self.allowed = allowed
        self.connections = connections
        self._counts = Counts()
        self._open = 0
        self._answered = 0
        self._times: deque[float] = deque()

    def take(self) -> Counts:
        """What was counted since this was asked last."""
        taken, self._counts = self._counts, Counts(most_open=self._open)
        return taken

    def give_back(self, taken: Counts) -> None:
        """What was taken could not be kept: it is counted on."""
        self._counts = taken.plus(self._counts)

    def connecting(self) -> None:
        """A connection is tried."""
        self._counts.connections += 1

    def opened(self) -> None:
        self._open += 1
        self._counts.opened += 1
        if self._open > self._counts.most_open:
            self._counts.most_open = self._open
        if self._open > self.connections:
            self._breaks("connections")

    def closed(self) -> None:
        self._open -= 1

    def sent(self, request: str, size: int, now: float) -> None:
        """A request leaves: which, how many bytes, and when."""
        counts, times = self._counts, self._times
        counts.requests[request] = counts.requests.get(request, 0) + 1
        counts.bytes_sent += size
        times.append(now)
        while times[0] <= now - WINDOW:
            times.popleft()
        if (busy := len(times)) > counts.busiest:
            counts.busiest = busy
        if busy > self.allowed:
            self._breaks("requests_per_second")

    def received(self, size: int) -> None:
        self._counts.bytes_received += size

    def answered(self, seconds: float) -> None:
        """An answer is whole, so many seconds after its request left."""
        number, answers = time_class(seconds), self._counts.answers
        answers[number] = answers.get(number, 0) + 1
        if self._answered < FIRST:
            self._answered += 1
            first = self._counts.first
            first[number] = first.get(number, 0) + 1

    def waited(self, seconds: float) -> None:
        """A request had to wait for its turn."""
        if seconds > self._counts.longest_wait:
            self._counts.longest_wait = seconds

    def timed_out(self) -> None:
        self._counts.time_outs += 1

    def refused(self) -> None:
        """The device answered that it will not."""
        self._counts.refusals += 1

    def was_malformed(self) -> None:
        """A poll ended because the device broke its protocol."""
        self._counts.malformed += 1

    def forbade(self, what: str) -> None:
        """The guard stopped a request of ours."""
        self._counts.forbidden[what] = self._counts.forbidden.get(what, 0) + 1

    def _breaks(self, limit: str) -> None:
        self._counts.broken[limit] = self._counts.broken.get(limit, 0) + 1
