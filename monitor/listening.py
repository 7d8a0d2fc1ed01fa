"""The daemon's hearing: one sensor a segment, what it says as the segment's snapshots, and what was done as alarms."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Hashable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from baselines.alert import Move
from baselines.rules import occurrence
from baselines.snapshot import Snapshot
from baselines.wire import Operation, WireEvent, Written
from collectors.collector import CollectError, Poll, Unreachable
from collectors.contract import Sent
from collectors.passive.heard import Heard
from collectors.passive.report import Happened, Report
from monitor import store
from monitor.ears import Deaf
from monitor.errors import Gone, StoreError
from monitor.pipeline import confront, occur, take_written
from monitor.segment import Segment
from monitor.store import Transaction
from monitor.touched import touched
from monitor.vitals import Sensed
from monitor.watch import Watch
from monitor.witnesses import AGAIN_AFTER, Doings, Lately, Overheard, Witnessed, is_alarming, weigh

Hear = Callable[[str], AsyncGenerator[Report | Deaf, None]]

LOADING = frozenset(Operation) - {
    Operation.WRITE,  # an item's, or by whom nobody approved: told apart before
    Operation.PROGRAM_UPLOAD,
    Operation.LOGIN,
    Operation.IDENTITY_READ,
}

log = structlog.get_logger()


@dataclass(slots=True)
class Ear:
    """What one segment's sensor has told; `deaf` says why it tells nothing now."""

    segment: Segment
    interface: str
    heard: Heard | None = None
    deaf: str | None = "its sensor has not reported yet"
    lost: bool = False  # frames, since the last report
    approved: Snapshot | None = None
    alone: asyncio.Lock = field(default_factory=asyncio.Lock)  # one observation is stored before the next is

    def fall_deaf(self, why: str) -> None:
        """The next sensor begins to count anew."""
        self.heard, self.deaf = None, why

    def take_in(self, heard: Heard) -> None:
        before = self.heard.counts.kernel_dropped if self.heard else 0
        self.lost = heard.counts.kernel_dropped > before
        self.heard, self.deaf = heard, None
        self.segment.hear(heard)

    def snapshot(self, now: datetime) -> Snapshot:
        return self.segment.snapshot(self.approved, now, self.lost)

    def sensed(self) -> Sensed:
        """What its sensor has counted."""
        if not self.heard:
            return Sensed()
        counts = self.heard.counts
        return Sensed(counts.packets, counts.kernel_dropped, sum(counts.malformed.values()), self.deaf is not None)

    def overheard(self, now: datetime) -> Overheard | None:
        return Overheard(self.heard, now - self.segment.stale_after, self.approved) if self.heard else None

    def name_of(self, client: str) -> str:
        """The name of a host by its address, where it has said one."""
        hosts = self.heard.hosts if self.heard else ()
        return next((host.names[0] for host in hosts if host.names and client in (host.mac, *host.ips)), "")


class Listening:
    """The segments of a plant, heard for as long as the daemon runs. `hear` gives what the sensor of an interface says,
    `heard` is told all of it, and `suspect` the assets that somebody has just written to, or loaded a program into."""

    def __init__(
        self,
        watch: Watch,
        hear: Hear,
        suspect: Callable[[str], None],
        heard: Callable[[str, Report | Deaf], None] = lambda segment, said: None,
    ) -> None:
        self._watch = watch
        self._hear = hear
        self._suspect = suspect
        self._heard = heard
        self._doings = Doings()
        self._touches = Lately()
        self.ears: dict[str, Ear] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    def restore(self, tx: Transaction) -> None:
        """Go on from what the store holds of every segment."""
        for name, watched in self._watch.plant.segments.items():
            self.ears[name] = Ear(Segment(name, watched.stale_after), watched.interface)
            last = store.last_run(tx, name, observed=True)
            if last and last.digest:
                seen = store.snapshot_of(tx, name, last.digest, last.last_at, last.profile or "")
                self.ears[name].segment.restore(seen)

    def forget(self, name: str) -> None:
        """A segment that is heard no more."""
        self.ears.pop(name, None)
        if task := self._tasks.pop(name, None):
            task.cancel()

    async def run(self) -> None:
        """Hear every segment for ever; raises what a bug in one of them raises."""
        while True:
            for name in self.ears:
                if name not in self._tasks:
                    self._tasks[name] = asyncio.create_task(self._listen_to(name))
            self._changed.clear()
            changed = asyncio.create_task(self._changed.wait())
            try:
                done, _ = await asyncio.wait([changed, *self._tasks.values()], return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
            for task in done - {changed}:
                if not task.cancelled():
                    task.result()

    def follow(self) -> None:
        """The plant has other segments now: hear those that are new, and let go of those that are no more."""
        there = {name: watched.interface for name, watched in self._watch.plant.segments.items()}
        for name in [name for name, ear in self.ears.items() if there.get(name) != ear.interface]:
            self.forget(name)
        for name, watched in self._watch.plant.segments.items():
            if name not in self.ears:
                self.ears[name] = Ear(Segment(name, watched.stale_after), watched.interface)
        self._changed.set()

    async def stop(self) -> None:
        """Let go of every sensor."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen_to(self, name: str) -> None:
        """Hear one segment for as long as it is one."""
        async with contextlib.aclosing(self._hear(self._watch.plant.segments[name].interface)) as reports:
            async for said in reports:
                if not self._watch.has(name):
                    break
                try:
                    await self._take_in(name, said)
                except StoreError as error:
                    self._watch.trouble.failed(error, asset=name)
                except Exception:  # a bug of ours at one segment: said with all that helps, and its neighbours go on
                    log.exception("bug", asset=name)
        await asyncio.Event().wait()  # nothing is left to hear; what ends here would be a bug

    async def _take_in(self, name: str, said: Report | Deaf) -> None:
        ear = self.ears[name]
        self._heard(name, said)
        if isinstance(said, Deaf):
            ear.fall_deaf(said.why)
            return await self.observe(name)
        for note in said.notes:
            log.warning("segment.note", segment=name, text=note)
        await self._occur(name, said.happened)
        if said.heard and self._watch.has(name):
            ear.take_in(said.heard)
            await self.observe(name)
            await self._confront()
        return None

    async def observe(self, name: str) -> None:
        """Take what is known of a segment now as a poll of it is taken."""
        ear, watched = self.ears[name], self._watch.plant.segments[name]
        outcome: Snapshot | CollectError
        async with ear.alone:
            ear.approved = await asyncio.to_thread(self._watch.approved, name)
            outcome = ear.snapshot(self._watch.clock()) if ear.deaf is None else Unreachable(name, ear.deaf)
            await self._watch.take(Poll(watched.target, outcome, Sent(), 0.0), self._watch.asked.pop(name, []))

    async def _occur(self, segment: str, happened: Iterable[Happened]) -> None:
        """Raise what was done to devices: at the asset that it was done to, or else at the segment."""
        happened = tuple(happened)
        try:
            await self._raise_done(segment, happened)
        except Gone as gone:
            await self._watch.leave(gone)
            if self._watch.has(segment):
                await self._occur(segment, happened)

    async def _raise_done(self, segment: str, happened: Iterable[Happened]) -> None:
        now, ear = self._watch.clock(), self.ears[segment]
        events = [each.event for each in happened]
        done = [event for event in events if is_alarming(event, ear.approved)]
        told = [event for event in done if self._doings.is_new(event, now)]
        writes = [each for event in events for each in self._touched(event, ear.name_of(event.client))]
        fresh = [each for each in writes if self._touches.is_new(_touch(*each), AGAIN_AFTER, now)]

        def job(tx: Transaction) -> list[Move]:
            moves = []
            for event in told:
                asset = self._watch.hosts.asset_at(event.server) or segment
                self._watch.assure_same(tx, asset)
                items = [write.item for _, write in self._touched(event, "")]
                moves += occur(tx, asset, occurrence(event, ear.name_of(event.client)), now, items)
            for asset, write in fresh:
                self._watch.assure_same(tx, asset)
                moves += take_written(tx, asset, write, now)
            return moves

        if told or fresh:
            self._watch.tell_moves(await self._watch.writer.write(job))
        suspects: set[str | None] = {asset for asset, _ in fresh}
        suspects |= {self._watch.hosts.asset_at(event.server) for event in [*told, *filter(_loads, events)]}
        for name in filter(None, suspects):
            self._suspect(name)
        self._doings.note(done, now)
        self._touches.note([_touch(*each) for each in fresh], now)

    def _touched(self, event: WireEvent, name: str) -> list[tuple[str, Written]]:
        """The items that an event writes, with the asset that they are of, by the profile that it was last read with.

        A frame does not say which of two ports of one host is meant, so then it is nobody's.
        """
        here = self._watch.hosts.all_at(event.server)
        if event.operation is not Operation.WRITE or len({found.target.address.port for found in here}) != 1:
            return []
        return [
            (found.asset.name, write)
            for found in here
            if (profile := self._watch.profiles.get(found.asset.name))
            for write in touched(event, profile, found.target.address.unit, name)
        ]

    async def _confront(self) -> None:
        """Hold what polls said against what the wire said of the same assets."""
        now = self._watch.clock()
        polled = {
            name: Witnessed(standing.run.first_at, self._watch.read_at[name], standing.snapshot)
            for name, standing in self._watch.standing.items()
            if name in self._watch.plant.assets and standing.snapshot
        }
        overheard = [said for ear in self.ears.values() if (said := ear.overheard(now))]
        if found := weigh(self._watch.plant, overheard, polled):

            def job(tx: Transaction) -> list[Move]:
                for name in found:
                    self._watch.assure_same(tx, name)
                return confront(tx, found, now)

            try:
                self._watch.tell_moves(await self._watch.writer.write(job))
            except Gone as gone:
                await self._watch.leave(gone)
                await self._confront()


def _loads(event: WireEvent) -> bool:
    """Whether something may have changed that no approved conversation makes harmless."""
    return event.operation in LOADING


def _touch(asset: str, write: Written) -> Hashable:
    return asset, write.item, write.who["client"], json.dumps(write.value)
