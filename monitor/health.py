"""The watch over the watch: whatever makes it blind is an alarm within a minute, and a gap from when until when.

`baselines.coverage` says what blindness is; this gathers the facts, and keeps what follows from them in the store: a
row in `gap` and an alarm of Kind.BLIND for each episode, written in groups and only where something began or ended.
What the store refuses waits here, and is written as it was when the store is back.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import structlog

from baselines.alert import Move
from baselines.asset import Criticality
from baselines.coverage import (
    CAPTURE,
    ITSELF_SEVERITIES,
    LIMITS,
    POLL,
    SEVERITIES,
    WHAT,
    Blind,
    Cause,
    Hearing,
    Limits,
    Looks,
    Passed,
    short_of_disk,
)
from baselines.drift import Kind
from baselines.rules import Finding, blind
from baselines.snapshot import Severity, Snapshot
from collectors.collector import Poll
from collectors.passive.heard import Counts
from collectors.passive.report import Report
from monitor import store
from monitor.config import ITSELF, Plant
from monitor.ears import Deaf
from monitor.errors import StoreError
from monitor.inventory import stale_after
from monitor.pipeline import move_blind
from monitor.store import Database, Gap, SelfTest, Transaction
from monitor.watchdog import Watchdog
from monitor.writer import Writer

GROUP = 500  # episodes in one job, so that the jobs of polls come between
TIDY_EVERY = 60.0  # seconds between two looks for alarms of what is over
GRACE = timedelta(hours=1)  # after a start, until the self-test is overdue
WITNESSES = {POLL: "poll", CAPTURE: "wire", "loss": "wire", "decoding": "wire"}  # all else is about ourselves
UNWRITTEN_MOST = 50_000  # episodes that wait for the store; beyond, the oldest that are over are forgotten

log = structlog.get_logger()

Key = tuple[str, str]  # asset, what of the watch
OURS = frozenset(WHAT.values())  # others may have alarms of this kind too
STORE: Key = (ITSELF, WHAT[Cause.STORE])


@dataclass(frozen=True, slots=True)
class Blindness:
    """Something that is not seen now."""

    asset: str
    what: str
    cause: str
    text: str
    since: datetime


@dataclass(slots=True, eq=False)
class _Episode:
    """One time of blindness, as far as it is known. `row` is its gap in the store; `alarms` that it raises an alarm."""

    asset: str
    what: str
    cause: str
    text: str
    severity: Severity
    first_at: datetime
    last_at: datetime | None = None
    row: int = 0
    alarms: bool = True
    raised: bool = False

    @property
    def key(self) -> Key:
        return self.asset, self.what

    @property
    def finding(self) -> Finding:
        return blind(self.what, self.text, self.severity)

    @property
    def gap(self) -> Gap:
        witness = WITNESSES.get(self.what, "self")
        return Gap(self.asset, witness, self.cause, self.text, self.first_at, self.last_at)


def log_shout(text: str, severity: Severity) -> None:
    """What must be said although the store cannot hold it, where nobody else is there to say it."""
    log.critical("blind", text=text, severity=severity)


def disk_of(database: Database) -> Callable[[], tuple[int, int]] | None:
    """How to ask for the free bytes, and all bytes, of the disk that the store is on; None where it is elsewhere."""
    if not database.is_sqlite:
        return None
    folder = Path(database.url.database or "").parent

    def ask() -> tuple[int, int]:
        found = shutil.disk_usage(folder)
        return found.free, found.total

    return ask


class Lookout:
    """The facts, what follows from them, and what of it the store holds. All of it on the loop's thread.
    `clock` tells the time, `monotonic` seconds that never jump."""

    def __init__(
        self,
        plant: Callable[[], Plant],
        database: Database,
        clock: Callable[[], datetime],
        tell: Callable[[list[Move]], None],
        limits: Limits = LIMITS,
        monotonic: Callable[[], float] = time.monotonic,
        shout: Callable[[str, Severity], None] = log_shout,
        disk: Callable[[], tuple[int, int]] | None = None,
    ) -> None:
        self._plant_now, self._database, self._clock, self._tell = plant, database, clock, tell
        self._limits, self._monotonic, self._shout = limits, monotonic, shout
        self._ask_disk = disk or disk_of(database)
        self._plant: Plant | None = None  # whose assets are in `_looks` and `_hearings`
        self._looks: dict[str, Looks] = {}
        self._hearings: dict[str, Hearing] = {}
        self._seen: dict[str, datetime] = {}  # before we began
        self._lasting: dict[Key, _Episode] = {}
        self._unwritten: dict[_Episode, None] = {}  # in the order in which they came
        self._writing: asyncio.Task[None] | None = None
        self._write_began = 0.0
        self._disk_task: asyncio.Task[tuple[int, int]] | None = None
        self._disk: tuple[int, int] | None = None
        self._refusals = 0  # of the writer, that we know of
        self._refused_since: float | None = None
        self._refused_last = 0.0
        self._refused_why = ""
        self._taken: datetime | None = None  # when a write of our own was taken first after the last refusal
        self._shouted = False
        self._tidied_at = monotonic()
        self._beat_at = monotonic()
        self._beat_on = clock()  # the same by the wall clock
        self._jumped_at: float | None = None
        self._patient_until = monotonic()
        self._writer: Writer  # from `begin` on
        self._watchdog: Watchdog | None = None
        self._self_test: SelfTest | None = None
        self._said: dict[Cause, str] = {}  # what others say of themselves; "" that it works
        self._passed_at = clock()  # the last self-test, or our beginning

    def begin(self, writer: Writer) -> None:
        """Take up what an earlier run has left: what it saw last, and the gaps that it did not see the end of."""
        self._writer, now = writer, self._clock()
        self._refusals = writer.refusals
        with self._database.read() as tx:
            self._seen, left = store.last_looks(tx), store.open_gaps(tx)
            self._self_test, passed = store.last_self_test(tx), store.last_self_test(tx, passed=True)
        overdue = now - timedelta(seconds=self._limits.self_test_within) + GRACE
        self._passed_at = max(passed.at, overdue) if passed else now
        self._follow(now)
        for gap in left:
            self._take_up(gap, now)
        self._note_absence(now)
        self._beat_at, self._beat_on = self._monotonic(), now

    def _take_up(self, gap: Gap, now: datetime) -> None:
        what = WHAT[Cause(gap.cause)] if gap.cause in list(Cause) else gap.cause
        severity = self._severity(gap.asset, gap.cause)
        taken = _Episode(gap.asset, what, gap.cause, gap.text, severity, gap.first_at, row=gap.id, raised=True)
        self._lasting[taken.key] = taken
        if taken.key == STORE or gap.asset not in (*self._looks, *self._hearings, ITSELF):
            self._end(taken.key, now)  # it was just read; or nobody looks at the asset any more

    def _note_absence(self, now: datetime) -> None:
        """That nobody watched before we did, if somebody ever has."""
        last = max((at for name, at in self._seen.items() if name in (*self._looks, *self._hearings)), default=None)
        every = min((looks.every for looks in self._looks.values()), default=self._limits.report_within)
        if last and now - last > stale_after(timedelta(seconds=every)):
            self._note_past(ITSELF, Cause.NOT_RUNNING, "nobody watched the plant: asbuilt did not run", last, now)

    # Facts

    def looked(self, poll: Poll) -> None:
        """An asset was polled."""
        name = poll.target.asset
        at, now = self._monotonic() - poll.seconds, self._clock() - timedelta(seconds=poll.seconds)  # when it began
        looks = self._looks.get(name)
        if looks is None:
            return
        if not isinstance(poll.outcome, Snapshot):
            looks.error = poll.outcome.kind, poll.outcome.text
            return
        if (name, POLL) in self._lasting:
            self._end((name, POLL), now)
        else:
            self._note_unnoticed(name, looks, now)
        looks.see(at, now, poll.seconds)

    def _note_unnoticed(self, name: str, looks: Looks, now: datetime) -> None:
        """That it was not seen while we could not notice: we did not run, stood still, slept, or the clock was set."""
        if looks.good is not None:
            if (now - looks.good).total_seconds() > looks.longest(self._limits):
                jumped = self._jumped_at is not None and self._jumped_at >= looks.good_at
                cause, text = Cause.NOT_POLLED, "nobody has looked at it for longer than its interval"
                if jumped:
                    cause, text = Cause.CLOCK, "the clock was set, or the machine slept"
                self._note_past(name, cause, text, looks.good, now, alarms=False)
            return
        self._note_restart(name, timedelta(seconds=looks.every), now)

    def _note_restart(self, name: str, every: timedelta, now: datetime) -> None:
        """That nobody looked at an asset until now, since an earlier run has."""
        last = self._seen.pop(name, None)
        if last and now - last > stale_after(every):
            self._note_past(name, Cause.NOT_RUNNING, "nobody watched it: asbuilt did not run", last, now, alarms=False)

    def heard(self, segment: str, said: Report | Deaf) -> None:
        """The sensor of a segment has said something."""
        hearing, at = self._hearings.get(segment), self._monotonic()
        if hearing is None:
            return
        if isinstance(said, Deaf):
            hearing.fall_deaf(at, said.why)
        elif said.heard is None:
            hearing.say(at)
        else:
            now = self._clock()
            if (segment, CAPTURE) not in self._lasting:
                self._note_restart(segment, timedelta(seconds=self._limits.report_within), now)
            hearing.report(_passed(said.heard.counts, at, now))

    def self_tested(self, test: SelfTest) -> None:
        """A self-test has ended, well or not."""
        self._self_test = test
        if test.ok:
            self._passed_at = test.at

    def say(self, cause: Cause, why: str) -> None:
        """What another part of the daemon says of itself: why it does not work, or "" that it does. The sentence stays
        the same while the cause does."""
        self._said[cause] = why

    # Time

    async def run(self) -> None:
        """Watch, without end."""
        self._watchdog = Watchdog(self._limits.beat_within)
        ticked = self._monotonic() - self._limits.tick
        try:
            while True:
                self.beat()
                if self._monotonic() - ticked >= self._limits.tick:
                    ticked = self._monotonic()
                    self._try_tick()
                await asyncio.sleep(self._limits.beat)
        finally:
            self._watchdog.stop()
            if self._disk_task:
                self._disk_task.cancel()

    async def settle(self) -> None:
        """Wait until what is being written is written, or refused, and what was asked of the disk is known."""
        tasks = [task for task in (self._writing, self._disk_task) if task]
        if tasks:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Write what is not written yet, if the store takes it."""
        await self.settle()
        if self._unwritten and self._refused_since is None:
            self._write(self._monotonic())
            await self.settle()

    def _try_tick(self) -> None:
        try:
            self.tick()
        except Exception:  # a bug of ours: said with all that helps, and monitoring goes on
            log.exception("bug", chore="health")

    def beat(self) -> None:
        """The loop has come round: whether the clocks agree, and how late it was."""
        if self._watchdog:
            self._watchdog.beat()
        at, now = self._monotonic(), self._clock()
        passed, by_clock = at - self._beat_at, (now - self._beat_on).total_seconds()
        expected = self._beat_on + timedelta(seconds=passed)
        if abs(by_clock - passed) > self._limits.clock_jump:
            self._jumped_at = at
            went = f"{_clock_text(expected)} to {_clock_text(now)}"
            text = f"the clock went from {went}: it was set, or the machine slept"
            self._note_past(ITSELF, Cause.CLOCK, text, min(expected, now), max(expected, now))
        if passed > self._limits.beat_within:
            text = "the program stood still, and nobody was polled: the log says where (loop.stalled)"
            self._note_past(ITSELF, Cause.LOOP, text, min(self._beat_on, now), now)
            self._patient_until = at + self._limits.patience  # whom nobody looked at meanwhile is looked at now
        self._beat_at, self._beat_on = at, now

    def tick(self) -> None:
        """Judge all facts, and write what has begun or ended."""
        at, now = self._monotonic(), self._clock()
        self._follow(now)
        if at >= self._patient_until:
            self._judge_polls(at, now)
            self._judge_segments(at, now)
        self._judge_store(at, now)
        self._judge_disk(now)
        self._judge_self_test(now)
        for cause, why in self._said.items():
            self._judge_itself(bool(why), cause, why, now)
        self._write(at)

    def _follow(self, now: datetime) -> None:
        """Watch what is in the plant now, and nothing else."""
        plant = self._plant_now()
        if plant is self._plant:
            return
        self._plant, at = plant, self._monotonic()
        polled = {name: each.every.total_seconds() for name, each in plant.assets.items() if each.allowed}
        for gone in [*(self._looks.keys() - polled), *(self._hearings.keys() - plant.segments)]:
            self._looks.pop(gone, None)
            self._hearings.pop(gone, None)
            for key in [key for key in self._lasting if key[0] == gone]:
                self._end(key, now)
        for name, every in polled.items():
            self._looks.setdefault(name, Looks(every, at)).every = every
        for name in plant.segments:
            if name not in self._hearings:
                self._hearings[name] = Hearing(at, self._limits, lively=name in self._seen)

    def _judge_polls(self, at: float, now: datetime) -> None:
        for name, looks in self._looks.items():
            if (name, POLL) not in self._lasting and (found := looks.blind(at, self._limits)):
                began = looks.good or self._seen.pop(name, None)
                self._begin(name, found, began or self._ago(now, at - found.since))

    def _judge_segments(self, at: float, now: datetime) -> None:
        for name, hearing in self._hearings.items():
            found = {WHAT[each.cause]: each for each in hearing.blind(at)}
            for what in (CAPTURE, "loss", "decoding"):
                if what not in found and (what != CAPTURE or hearing.said_at > hearing.began):
                    self._end((name, what), now)
                elif what in found and (name, what) not in self._lasting:
                    seen = self._seen.pop(name, None) if hearing.said_at == hearing.began else None
                    self._begin(name, found[what], seen or self._ago(now, at - found[what].since))

    def _judge_store(self, at: float, now: datetime) -> None:
        """Whether writes are refused, or one is under way for too long. It is over when a write of our own was taken,
        and none was refused for a while since."""
        under_way = at - self._write_began if self._writing else 0.0
        if self._writer.refusals > self._refusals:
            self._refuse(self._writer.why)
        elif max(under_way, self._writer.under_way) > self._limits.write_within:
            self._refuse("a write has been under way for too long")
        if self._refused_since is None:
            return
        if not self._shouted and at - self._refused_since >= self._limits.shout_after:
            self._shouted = True
            self._shout(f"the store takes no writes: {self._refused_why}", Severity.CRITICAL)
        if self._taken is not None and at - self._refused_last >= self._limits.write_within:
            self._refused_since, self._shouted = None, False
            self._end(STORE, self._taken)
        elif not self._unwritten:
            self._unwritten[self._lasting[STORE]] = None  # which asks whether it is taken now

    def _refuse(self, why: str) -> None:
        at, now = self._monotonic(), self._clock()
        self._refusals, self._refused_last, self._taken = self._writer.refusals, at, None
        if self._refused_since is None:
            self._refused_since, self._refused_why = at, why
        if STORE not in self._lasting:
            self._begin(ITSELF, Blind(Cause.STORE, f"the store takes no writes: {self._refused_why}", at), now)

    def _judge_disk(self, now: datetime) -> None:
        if self._disk_task and self._disk_task.done():
            if self._disk_task.exception() is None:
                self._disk = self._disk_task.result()
            self._disk_task = None
        if self._ask_disk and self._disk_task is None:
            self._disk_task = asyncio.create_task(asyncio.to_thread(self._ask_disk))
        short = self._disk is not None and short_of_disk(*self._disk, (ITSELF, "disk") in self._lasting, self._limits)
        text = "the disk of the store is nearly full: make room, or nothing more can be kept"
        self._judge_itself(short, Cause.DISK, text, now)

    def _judge_self_test(self, now: datetime) -> None:
        test, plant = self._self_test, self._plant
        if plant is None or not plant.self_test.enabled:
            return self._judge_itself(False, Cause.SELF_TEST, "", now)
        overdue = (now - self._passed_at).total_seconds() > self._limits.self_test_within
        if test and not test.ok:
            return self._judge_itself(True, Cause.SELF_TEST, f"the self-test failed: {test.text}", now)
        return self._judge_itself(overdue, Cause.SELF_TEST, "the self-test is overdue: none has passed for a day", now)

    def _judge_itself(self, is_blind: bool, cause: Cause, text: str, now: datetime) -> None:
        if not is_blind:
            self._end((ITSELF, WHAT[cause]), now)
        elif (ITSELF, WHAT[cause]) not in self._lasting:
            self._begin(ITSELF, Blind(cause, text, 0.0), now)

    # Episodes

    def _begin(self, asset: str, found: Blind, first_at: datetime) -> None:
        text = found.text
        severity = self._severity(asset, found.cause)
        begun = _Episode(asset, WHAT[found.cause], found.cause, text, severity, first_at)
        self._lasting[begun.key] = begun
        self._keep(begun)

    def _keep(self, episode: _Episode) -> None:
        self._unwritten[episode] = None
        if len(self._unwritten) > UNWRITTEN_MOST and (
            oldest := next((each for each in self._unwritten if each.last_at and not each.row), None)
        ):
            del self._unwritten[oldest]

    def _end(self, key: Key, now: datetime) -> None:
        if ended := self._lasting.pop(key, None):
            ended.last_at = max(now, ended.first_at)
            self._unwritten[ended] = None

    def _note_past(
        self, asset: str, cause: Cause, text: str, first_at: datetime, last_at: datetime, alarms: bool = True
    ) -> None:
        """What is over already when it is noticed."""
        severity = self._severity(asset, cause)
        past = _Episode(asset, WHAT[cause], cause, text, severity, first_at, max(first_at, last_at), alarms=alarms)
        self._keep(past)

    def _severity(self, asset: str, cause: str) -> Severity:
        if asset == ITSELF:
            return ITSELF_SEVERITIES.get(Cause(cause), Severity.MEDIUM)
        return SEVERITIES[self._plant.criticality(asset) if self._plant else Criticality.MEDIUM]

    @staticmethod
    def _ago(now: datetime, seconds: float) -> datetime:
        return now - timedelta(seconds=seconds)

    # The store

    def _write(self, at: float) -> None:
        """Write what has begun and ended, a group at a time. With nothing to write, ask whether a write could be."""
        if self._writing and not self._writing.done():
            return
        self._write_began = at
        self._writing = asyncio.create_task(self._write_all())

    async def _write_all(self) -> None:
        try:
            await self._write_group(list(islice(self._unwritten, GROUP)))
            while self._unwritten:
                self._write_began = self._monotonic()
                await self._write_group(list(islice(self._unwritten, GROUP)))
        except StoreError as error:
            self._refuse(str(error))
        except Exception:  # a bug of ours: said with all that helps, and monitoring goes on
            log.exception("bug", chore="health")
        finally:
            self._writing = None

    async def _write_group(self, episodes: Sequence[_Episode]) -> None:
        at, ends = self._monotonic(), [each.last_at for each in episodes]
        tidy = at - self._tidied_at >= TIDY_EVERY
        if not episodes and not tidy:  # nothing is written, but whether the store answers at all is known
            return await self._writer.write(lambda tx: None)
        job = _Job(tuple(zip(episodes, ends, strict=True)), frozenset(self._lasting), tidy, self._clock())
        moves = await self._writer.write(job)
        for episode, end in zip(episodes, ends, strict=True):
            episode.row, episode.raised = job.rows.get(episode, 0), True
            if episode.last_at == end:
                self._unwritten.pop(episode, None)
        self._tidied_at = at if tidy else self._tidied_at
        if episodes and self._taken is None:
            self._taken = self._clock()
        self._tell(moves)
        return None

    # What others ask

    @property
    def blind(self) -> tuple[Blindness, ...]:
        """What is not seen now."""
        return tuple(
            Blindness(each.asset, each.what, each.cause, each.text, each.first_at) for each in self._lasting.values()
        )

    @property
    def store_ok(self) -> bool:
        """Whether the store takes what is written, as far as is known."""
        return self._refused_since is None


class _Job:
    """What is written of a group of episodes, each with its end as it was when the job was made."""

    def __init__(
        self,
        episodes: Iterable[tuple[_Episode, datetime | None]],
        lasting: frozenset[Key],
        tidy: bool,
        now: datetime,
    ) -> None:
        self._episodes, self._lasting, self._tidy, self._now = tuple(episodes), lasting, tidy, now
        self.rows: dict[_Episode, int] = {}

    def __call__(self, tx: Transaction) -> list[Move]:
        store.asset_id(tx, ITSELF)
        numbers = store.asset_numbers(tx)
        known = [(each, end) for each, end in self._episodes if each.asset in numbers]
        for episode, end in known:
            self.rows[episode] = _write_gap(tx, episode, end)
        fresh: defaultdict[str, dict[str, Finding]] = defaultdict(dict)
        for episode, _ in known:
            if episode.alarms and not episode.raised:
                fresh[episode.asset][episode.what] = episode.finding
        found = {asset: list(each.values()) for asset, each in fresh.items()}
        moves = move_blind(tx, found, {}, self._now)
        over: defaultdict[str, set[str]] = defaultdict(set)
        for asset, what in self._over(tx, known):
            over[asset].add(f"watch.{what}")
        return moves + move_blind(tx, {}, over, self._now)

    def _over(self, tx: Transaction, known: Iterable[tuple[_Episode, datetime | None]]) -> Iterator[Key]:
        for episode, end in known:
            if end is not None and episode.alarms and episode.key not in self._lasting:
                yield episode.key
        if self._tidy:  # what was shelved while it ended, or raised by a run that ended before it did
            for alert in store.alerts(tx, kind=Kind.BLIND):
                key = alert.asset, alert.item.removeprefix("watch.")
                if key[1] in OURS and key not in self._lasting:
                    yield key


def _write_gap(tx: Transaction, episode: _Episode, end: datetime | None) -> int:
    if not episode.row:
        return store.add_gap(tx, replace(episode.gap, last_at=end))
    store.end_gap(tx, episode.row, end)
    return episode.row


def _passed(counts: Counts, at: float, now: datetime) -> Passed:
    idle = max(0.0, now.timestamp() - counts.last_at / 1e9) if counts.last_at else 0.0
    malformed = sum(counts.malformed.values())
    messages = counts.decoded, malformed, counts.skipped
    return Passed(at, counts.packets, counts.kernel_dropped, counts.unreadable, *messages, idle)


def _clock_text(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="seconds")
