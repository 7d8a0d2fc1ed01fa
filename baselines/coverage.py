"""Blindness: what follows from when an asset was looked at last and from what a sensor says, and how much was covered.

All moments are seconds of a clock that never jumps, unless they are datetimes. The figures of `Limits` are made so that
what begins is found within a minute, where an asset is polled every 30 s or more often.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from baselines.asset import Criticality
from baselines.snapshot import Severity


class Cause(StrEnum):
    """Why something was not seen."""

    UNREACHABLE = "unreachable"  # the three outcomes of a poll that failed
    REFUSED = "refused"
    MALFORMED = "malformed"
    NOT_POLLED = "not-polled"
    NOT_RUNNING = "not-running"
    DEAF = "deaf"
    NO_REPORT = "no-report"
    NO_FRAMES = "no-frames"
    FRAMES_LOST = "frames-lost"
    GARBAGE = "garbage"
    DISK = "disk"
    CLOCK = "clock"
    STORE = "store"
    LOOP = "loop"
    SELF_TEST = "self-test"
    EVIDENCE = "evidence"
    BACKUP = "backup"
    REPORT = "report"
    ROUTE = "route"


POLL, CAPTURE, LOSS, DECODING, RUNNING = "poll", "capture", "loss", "decoding", "running"
ITSELF_CAUSES = (
    *(Cause.DISK, Cause.CLOCK, Cause.STORE, Cause.LOOP, Cause.SELF_TEST),
    *(Cause.EVIDENCE, Cause.BACKUP, Cause.REPORT, Cause.ROUTE),
)
WHAT: dict[Cause, str] = {  # what of the watch each makes blind: its alarm is at watch.<this>
    Cause.UNREACHABLE: POLL,
    Cause.REFUSED: POLL,
    Cause.MALFORMED: POLL,
    Cause.NOT_POLLED: POLL,
    Cause.NOT_RUNNING: RUNNING,
    Cause.DEAF: CAPTURE,
    Cause.NO_REPORT: CAPTURE,
    Cause.NO_FRAMES: CAPTURE,
    Cause.FRAMES_LOST: LOSS,
    Cause.GARBAGE: DECODING,
    **{cause: cause.value for cause in ITSELF_CAUSES},
}
SEVERITIES: dict[Criticality, Severity] = {  # of blindness, by how much hangs on the asset
    Criticality.LOW: Severity.LOW,
    Criticality.MEDIUM: Severity.MEDIUM,
    Criticality.HIGH: Severity.HIGH,
    Criticality.SAFETY: Severity.CRITICAL,
}
ITSELF_SEVERITIES: dict[Cause, Severity] = {  # of what makes all of the plant blind, or may
    Cause.DISK: Severity.HIGH,
    Cause.STORE: Severity.CRITICAL,
    Cause.LOOP: Severity.HIGH,
    Cause.CLOCK: Severity.MEDIUM,
    Cause.SELF_TEST: Severity.HIGH,
    Cause.EVIDENCE: Severity.CRITICAL,
    Cause.BACKUP: Severity.HIGH,
    Cause.REPORT: Severity.MEDIUM,
    Cause.ROUTE: Severity.HIGH,
    Cause.NOT_RUNNING: Severity.MEDIUM,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """When what counts as blindness. Times in seconds, shares from 0 to 1.

    10 % of the frames lost for half of the time between two reports are 5 % of that time: hence `lossy`.
    """

    tick: float = 5.0  # between two looks at all of this
    patience: float = 25.0  # beyond the interval of an asset, and the time that its poll takes
    deaf_for: float = 20.0  # a sensor that ends is started again after a second, and then later and later
    report_within: float = 40.0  # a sensor reports every 30 s at least
    quiet_for: float = 45.0
    lively: int = 20  # frames in `lively_in`: a segment on which so little was heard may well be quiet
    lively_in: float = 60.0
    window: float = 30.0  # of reports that shares are taken over
    frames_least: int = 100  # of which a share says something
    lossy: float = 0.05
    lossless: float = 0.01  # what ends it, for `calm`
    messages_least: int = 20
    message_bytes: int = 60  # of a message, about
    garbage: float = 0.5
    readable: float = 0.25
    calm: float = 60.0
    disk_bytes: int = 200_000_000  # free
    disk_share: float = 0.02  # free, if that is less than `disk_most`
    disk_most: int = 5_000_000_000
    disk_again: float = 1.1  # times the limit, before it is well again
    clock_jump: float = 5.0
    write_within: float = 10.0
    shout_after: float = 20.0
    beat: float = 1.0
    beat_within: float = 10.0
    self_test_within: float = 25 * 3600.0


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Blind:
    """Something is not seen, `since` a moment."""

    cause: Cause
    text: str
    since: float


@dataclass(slots=True)
class Looks:
    """When an asset was looked at. `good` is when it was last seen, None for never since we began; `error` is the kind
    and the text of what its last poll came to, if that failed. `usual` is the time between two looks where that is
    more than its interval: behind a slow gateway, assets wait for their turn."""

    every: float
    good_at: float
    good: datetime | None = None
    took: float = 0.0
    usual: float = 0.0
    error: tuple[str, str] | None = None

    def see(self, at: float, now: datetime, took: float) -> None:
        """A poll that began at a moment has seen it."""
        if self.error is None and self.good is not None:
            self.usual = at - self.good_at
        self.good_at, self.good, self.took, self.error = at, now, took, None

    def longest(self, limits: Limits) -> float:
        """Seconds after a good look until it counts as unseen. A lost poll is repeated before that."""
        return max(self.every, self.usual) + limits.patience + self.took

    def blind(self, now: float, limits: Limits) -> Blind | None:
        """Why it is not seen."""
        if now - self.good_at <= self.longest(limits):
            return None
        if self.error is None:
            return Blind(Cause.NOT_POLLED, "nobody has looked at it for longer than its interval", self.good_at)
        kind, text = self.error
        return Blind(Cause(kind), text, self.good_at)


@dataclass(frozen=True, slots=True)
class Passed:
    """What a sensor has counted since it began, `at` a moment. `idle` is how long before it the last frame came."""

    at: float
    frames: int = 0
    lost: int = 0
    unreadable: int = 0
    decoded: int = 0
    malformed: int = 0
    skipped: int = 0  # bytes
    idle: float = 0.0


@dataclass(slots=True)
class Latch:
    """A share that is too high `since` a moment, until it was low for a while: it does not flap about its limit."""

    since: float | None = None
    low_since: float | None = None

    def feed(self, share: float, before: Passed, now: Passed, high: float, low: float, calm: float) -> None:
        """The share between two reports."""
        if share >= high:
            self.since, self.low_since = before.at if self.since is None else self.since, None
        elif self.since is not None and share < low:
            self.low_since = now.at if self.low_since is None else self.low_since
            if now.at - self.low_since >= calm:
                self.since = self.low_since = None
        else:
            self.low_since = None


@dataclass(slots=True)
class Hearing:
    """What one segment's sensor has said, and how well it hears. `lively` that there was something to hear before."""

    began: float
    limits: Limits
    lively: bool = False
    said_at: float = field(init=False)
    frame_at: float = field(init=False)
    deaf: tuple[float, Blind] | None = None  # since when
    loss: Latch = field(default_factory=Latch)
    garbage: Latch = field(default_factory=Latch)
    _reports: deque[Passed] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.said_at = self.frame_at = self.began
        self._reports.append(Passed(self.began))

    def fall_deaf(self, at: float, why: str) -> None:
        """The sensor has ended; the next one counts anew."""
        self.deaf = self.deaf or (at, Blind(Cause.DEAF, why, self.said_at))
        self._begin_anew(at)

    def _begin_anew(self, at: float) -> None:
        self._reports.clear()
        self._reports.append(Passed(at))

    def say(self, at: float) -> None:
        """The sensor has said something."""
        self.said_at, self.deaf = at, None

    def report(self, now: Passed) -> None:
        """The sensor has told its counts."""
        self.say(now.at)
        if now.frames < self._reports[-1].frames:
            self._begin_anew(self._reports[-1].at)
        last = self._reports[-1]
        self._reports.append(now)
        if now.frames > last.frames:
            self.frame_at = max(last.at, now.at - now.idle)
            self.lively = now.frames - self._before(now, self.limits.lively_in).frames >= self.limits.lively
        before = self._before(now, self.limits.window)
        limits = self.limits
        self.loss.feed(_lost(before, now, limits), before, now, limits.lossy, limits.lossless, limits.calm)
        self.garbage.feed(_garbage(before, now, limits), before, now, limits.garbage, limits.readable, limits.calm)
        while len(self._reports) > 2 and self._reports[1].at <= now.at - max(limits.window, limits.lively_in):
            self._reports.popleft()

    def _before(self, now: Passed, span: float) -> Passed:
        """The last report that is at least so much older, or else the oldest."""
        earlier = (each for each in reversed(self._reports) if each.at <= now.at - span)
        return next(earlier, self._reports[0])

    def blind(self, now: float) -> list[Blind]:
        """What is not seen, and why: at most one of each that WHAT names."""
        found = [why] if (why := self._capture(now)) else []
        if self.loss.since is not None:
            text = "the capture loses frames: of what passes, so much is not seen that it counts"
            found.append(Blind(Cause.FRAMES_LOST, text, self.loss.since))
        if self.garbage.since is not None:
            text = "the decoder sees garbage: half of the messages, or of the frames, and more cannot be read"
            found.append(Blind(Cause.GARBAGE, text, self.garbage.since))
        return found

    def _capture(self, now: float) -> Blind | None:
        limits = self.limits
        if self.deaf:
            since, blind = self.deaf
            return blind if now - since >= limits.deaf_for else None
        if now - self.said_at >= limits.report_within:
            return Blind(Cause.NO_REPORT, "its sensor runs, and does not report", self.said_at)
        last = self._reports[-1]
        nothing_new = len(self._reports) > 1 and last.frames == self._reports[-2].frames
        if self.lively and nothing_new and now - self.frame_at >= limits.quiet_for:
            text = "no frame is captured any more: is the mirror (SPAN) port or the TAP still connected?"
            return Blind(Cause.NO_FRAMES, text, self.frame_at)
        return None


def _lost(before: Passed, now: Passed, limits: Limits) -> float:
    lost = now.lost - before.lost
    return _share(lost, now.frames - before.frames + lost, limits.frames_least)


def _garbage(before: Passed, now: Passed, limits: Limits) -> float:
    """The worst of the shares of messages, of frames, and of streams that could not be read."""
    decoded, skipped = now.decoded - before.decoded, now.skipped - before.skipped
    malformed = now.malformed - before.malformed
    lost_messages = skipped // limits.message_bytes  # where a stream is no protocol's, nobody can tell how many
    return max(
        _share(now.unreadable - before.unreadable, now.frames - before.frames, limits.frames_least),
        _share(malformed + lost_messages, max(decoded, malformed) + lost_messages, limits.messages_least),
    )


def _share(part: int, whole: int, least: int) -> float:
    return part / whole if whole >= least else 0.0


def short_of_disk(free: int, total: int, before: bool, limits: Limits) -> bool:
    """Whether the store's disk is nearly full; `before` whether it was."""
    least = max(limits.disk_bytes, min(total * limits.disk_share, limits.disk_most))
    return free < least * (limits.disk_again if before else 1)


@dataclass(frozen=True, slots=True)
class Span:
    """From when until when something was not seen."""

    start: datetime
    end: datetime


def unseen_seconds(gaps: Iterable[Span], start: datetime, end: datetime) -> float:
    """The seconds between two moments in which at least one gap lasted."""
    seconds, until = 0.0, start
    for gap in sorted(gaps, key=lambda each: each.start):
        begin, finish = max(gap.start, until), min(gap.end, end)
        if begin < finish:
            seconds += (finish - begin).total_seconds()
            until = finish
    return seconds
