"""The daemon: polls every asset at its interval, moves alarms, answers the polls that commands ask for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from baselines.alert import Move
from baselines.rules import occurrence
from baselines.snapshot import Snapshot
from baselines.wire import Operation, WireEvent, Written
from collectors.collector import CollectError, Poll, Target, Unreachable
from collectors.contract import Sent
from collectors.passive.heard import Heard
from collectors.passive.report import Happened, Report
from collectors.profile import Profile
from monitor import store, verifier
from monitor.accounts import account
from monitor.config import Plant
from monitor.ears import Deaf, hear
from monitor.errors import CallError, Gone, NotNow, StoreError
from monitor.evidence import (
    begun,
    checkpoint,
    note_assets,
    note_configuration,
    publish,
    publish_newest,
    returned,
    verified,
)
from monitor.notify.dispatcher import Dispatcher
from monitor.pipeline import (
    Checked,
    Standing,
    confront,
    goes_on,
    occur,
    return_alarms,
    take,
    take_written,
    unseen,
)
from monitor.polling import Poller, utc_now
from monitor.schedule import DueQueue
from monitor.segment import Segment
from monitor.show import checked_document, move_text
from monitor.store import Database, News, PollRequest, Run, Transaction
from monitor.touched import touched
from monitor.witnesses import AGAIN_AFTER, Doings, Lately, Overheard, Witnessed, asset_at, is_alarming, weigh
from monitor.writer import Writer

FLUSH_EVERY = 60.0  # seconds that the end of a run may lag on disk
LISTEN_EVERY = 0.25  # seconds between two looks for what commands did
VERIFY_EVERY = 86400.0  # seconds between two looks whether the evidence verifies
SWEEP_EVERY = 5.0  # seconds between two looks for alarms that were put away until now
FAREWELL = 1.0  # seconds that closing connections in good order may take

log = structlog.get_logger()


def build(plant: Plant, database: Database) -> Daemon:
    """The daemon with its real parts."""
    return Daemon(
        plant,
        database,
        Poller(plant.profiles, utc_now),
        Dispatcher(plant, database, utc_now, random.random),
        clock=utc_now,
        jitter=random.random,
    )


@dataclass(slots=True)
class _Ear:
    """What one segment's sensor has told; `deaf` says why it tells nothing now."""

    segment: Segment
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

    def overheard(self, now: datetime) -> Overheard | None:
        return Overheard(self.heard, now - self.segment.stale_after, self.approved) if self.heard else None

    def name_of(self, client: str) -> str:
        """The name of a host by its address, where it has said one."""
        hosts = self.heard.hosts if self.heard else ()
        return next((host.names[0] for host in hosts if host.names and client in (host.mac, *host.ips)), "")


class Daemon:
    """One run of the loop over a plant. `clock` tells the time, `jitter` a number from 0 to 1; `hear` gives what the
    sensor of an interface says."""

    def __init__(
        self,
        plant: Plant,
        database: Database,
        poller: Poller,
        dispatcher: Dispatcher,
        clock: Callable[[], datetime],
        jitter: Callable[[], float],
        hear: Callable[[str], AsyncGenerator[Report | Deaf, None]] = hear,
    ) -> None:
        self._hear = hear
        self._plant = plant
        self._database = database
        self._poller = poller
        self._dispatcher = dispatcher
        self._clock = clock
        self._jitter = jitter
        self._queue = DueQueue()
        self._wake = asyncio.Event()
        self._polling: dict[str, asyncio.Task[None]] = {}
        self._asked: defaultdict[str, list[int]] = defaultdict(list)  # poll requests, by asset
        self._standing: dict[str, Standing] = {}
        self._lagging: dict[str, Run] = {}  # runs whose end on disk is behind
        self._read_at: dict[str, datetime] = {}  # when the last poll that came to this standing began
        self._numbers: dict[str, int] = {}  # of assets, as the store knew them when we began
        self._due: set[str] = set()  # assets whose scheduled poll is under way
        self._last_request = 0
        self._last_entry = 0  # of the audit chain
        self._looked = asyncio.Event()  # the first checkpoint was made, if one was due
        self._signed = 0  # entries that a checkpoint covers, or cannot
        self._account = replace(store.ITSELF, account=account())
        self._segments = {name: _Ear(Segment(name, watched.stale_after)) for name, watched in plant.segments.items()}
        self._doings = Doings()
        self._touches = Lately()
        self._profiles: dict[str, Profile] = {}  # with which each asset was read last

    async def run(self, stop: asyncio.Event) -> None:
        """Poll until `stop` is set; then let go of every device and bring the store up to date."""
        self._database.assure_lead()
        with self._database.read() as tx:
            self._last_entry = store.last_audit_id(tx)
            for name, ear in self._segments.items():
                last = store.last_run(tx, name, observed=True)
                if last and last.digest:
                    ear.segment.restore(store.snapshot_of(tx, name, last.digest, last.last_at, last.profile or ""))
        self._writer = Writer(self._database)
        with contextlib.suppress(StoreError, NotNow):  # said by the chores, when they find the same
            self._numbers = dict(await self._writer.write(self._note_plant))
            for name in [*self._plant.assets, *self._plant.segments]:
                if name not in self._numbers:
                    await self._leave(Gone(name, "is not in plant.toml any more"))
        chores = [
            asyncio.create_task(chore)
            for chore in (
                self._listen(),
                self._flush_at_times(),
                self._sweep(),
                self._verify(),
                self._dispatcher.run(self._writer.write),
                self._loop(),
                *(self._listen_to(name) for name in self._segments),
            )
        ]
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([*chores, stopping], return_when=asyncio.FIRST_COMPLETED)
            for chore in chores:
                if chore.done():
                    chore.result()  # a chore ends only by a bug: say it, and let the service manager restart us
        finally:
            await self._end([*chores, stopping])

    def _note_plant(self, tx: Transaction) -> Mapping[str, int]:
        now = self._clock()
        note_configuration(tx, self._plant, self._account, now)
        self._dispatcher.begin(tx)
        for name in note_assets(tx, self._plant, self._account, now):
            log.info("asset.returned", asset=name, text=returned(name))
        return store.asset_numbers(tx)

    async def _end(self, chores: list[asyncio.Task[None] | asyncio.Task[bool]]) -> None:
        tasks = [*chores, *self._polling.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await self._poller.close()
        try:
            await self._flush()
        except StoreError as error:
            log.error("store.failed", why=str(error))
        self._writer.stop()

    # Polling

    async def _loop(self) -> None:
        loop = asyncio.get_running_loop()
        for name, polled in self._plant.assets.items():
            self._queue.add(name, polled.every, loop.time())
        while True:
            for name in self._queue.take_due(loop.time()):
                self._due.add(name)
                self._poll_now(name)
            due = self._queue.next_due()
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0.0, due - loop.time())):
                    await self._wake.wait()

    def _has(self, name: str) -> bool:
        return name in self._plant.assets or name in self._plant.segments

    def _poll_now(self, name: str) -> None:
        if name not in self._polling and self._has(name):
            self._polling[name] = asyncio.create_task(self._poll_asset(name))

    async def _poll_asset(self, name: str) -> None:
        succeeded = False
        polled = self._plant.assets.get(name)
        try:
            if name in self._segments:
                return await self._observe(name)
            if polled is None:
                return None
            asked = self._asked.pop(name, [])
            poll = await self._poller.poll(polled)
            succeeded = isinstance(poll.outcome, Snapshot)
            await self._take(poll, asked)
        except StoreError as error:
            log.error("store.failed", asset=name, why=str(error))
        except Exception:  # a bug of ours at one asset: said with all that helps, and its neighbours go on
            log.exception("bug", asset=name)
        finally:
            del self._polling[name]
            if polled and not self._has(name):
                await self._let_go(polled.target)
            if name in self._due:
                self._reschedule(name, succeeded)
            if name in self._asked:  # asked meanwhile: what was just read may be older than the question
                self._poll_now(name)

    def _reschedule(self, name: str, succeeded: bool) -> None:
        self._due.discard(name)
        if name not in self._plant.assets:  # left alone since
            return
        self._queue.polled(name, succeeded, asyncio.get_running_loop().time(), self._jitter())
        self._wake.set()

    async def _take(self, poll: Poll, asked: list[int]) -> None:
        name, now = poll.target.asset, self._clock()
        self._read_at[name] = now - timedelta(seconds=poll.seconds)
        if isinstance(poll.outcome, Snapshot) and (profile := self._plant.profiles.by_digest(poll.outcome.profile)):
            self._profiles[name] = profile
        standing = self._standing.get(name)
        if standing and not asked and standing.run.can_go_on(now) and _goes_on(standing, poll):
            standing.run = self._lagging[name] = standing.run.extended(now)
            return None
        lagging = self._lagging.pop(name, None)

        def job(tx: Transaction) -> tuple[Standing, list[Move]]:
            store.extend_runs(tx, [lagging] if lagging else [])
            self._assure_same(tx, name)
            taken, moves = take(tx, poll, now, keep=bool(asked))
            if asked:
                store.answer_poll(tx, asked, checked_document(taken.checked), now)
            return taken, moves

        try:
            taken, moves = await self._writer.write(job)
        except StoreError:
            if lagging:
                self._lagging.setdefault(name, lagging)
            raise
        except Gone as gone:
            if lagging:
                self._lagging.setdefault(name, lagging)
            await self._leave(gone)
            return await self._decline(name, asked)
        self._tell(standing.checked if standing else None, taken.checked, moves)
        self._standing[name] = taken
        return None

    def _tell(self, before: Checked | None, now: Checked, moves: list[Move]) -> None:
        """Say a thing once when it begins and once when it ends."""
        failed = before.error if before else None
        if now.error and (failed is None or failed.kind != now.error.kind):
            log.warning(f"asset.{now.error.kind}", asset=now.asset, why=now.error.text)
        elif failed and not now.error:
            log.info("asset.back", asset=now.asset, verdict=now.verdict)
        self._tell_moves(moves)

    def _tell_moves(self, moves: list[Move]) -> None:
        for move in moves:
            alert = move.alert
            log.warning(
                f"alert.{move.event}",
                alert=alert.id,
                state=alert.state,
                severity=alert.severity,
                text=move_text(move),
                techniques=alert.techniques,
            )
        self._dispatcher.tell(moves)

    # Assets that go

    def _assure_same(self, tx: Transaction, name: str) -> None:
        """Gone if an asset that we know by this name is not the one that is called so now."""
        number = store.asset_id(tx, name)
        if self._numbers.get(name, number) != number:
            raise Gone(name, "is the name of another asset now")

    async def _leave(self, gone: Gone) -> None:
        """Poll an asset no more, and let go of its device: it was retired, or goes on under another name."""
        name, plant = gone.asset, self._plant
        if not self._has(name):
            return
        self._plant = replace(
            plant,
            assets={other: each for other, each in plant.assets.items() if other != name},
            segments={other: each for other, each in plant.segments.items() if other != name},
        )
        log.warning("asset.gone", asset=name, why=f"{gone.why}: it is left alone; start asbuilt run anew to follow")
        self._standing.pop(name, None)
        self._segments.pop(name, None)
        if polled := plant.assets.get(name):
            self._queue.remove(name)
            self._wake.set()
            if name not in self._polling:
                await self._let_go(polled.target)
        await self._decline(name, self._asked.pop(name, []))

    async def _let_go(self, target: Target) -> None:
        """Close the connection to a device that no asset stands for any more."""
        if all(other.target.address.device != target.address.device for other in self._plant.assets.values()):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await self._poller.let_go(target)

    async def _decline(self, name: str, asked: list[int]) -> None:
        """Answer those who ask for a poll of an asset that we do not know, or know no more."""
        if not asked:
            return
        now = self._clock()
        why = "the daemon that runs does not know it: start asbuilt run anew, for it reads plant.toml when it starts"
        answer = checked_document(unseen(name, now, None, False, Unreachable(name, why), Sent()))
        try:
            await self._writer.write(lambda tx: store.answer_poll(tx, asked, answer, now))
        except StoreError as error:
            log.error("store.failed", asset=name, why=str(error))

    # Segments

    async def _listen_to(self, name: str) -> None:
        """Hear one segment for as long as we run."""
        async with contextlib.aclosing(self._hear(self._plant.segments[name].interface)) as reports:
            async for said in reports:
                if not self._has(name):
                    break
                try:
                    await self._take_in(name, said)
                except StoreError as error:
                    log.error("store.failed", asset=name, why=str(error))
                except Exception:  # a bug of ours at one segment: said with all that helps, and its neighbours go on
                    log.exception("bug", asset=name)
        await asyncio.Event().wait()  # nothing is left to hear; a chore that ends is a bug

    async def _take_in(self, name: str, said: Report | Deaf) -> None:
        ear = self._segments[name]
        if isinstance(said, Deaf):
            ear.fall_deaf(said.why)
            return await self._observe(name)
        for note in said.notes:
            log.warning("segment.note", segment=name, text=note)
        await self._occur(name, said.happened)
        if said.heard and self._has(name):
            ear.take_in(said.heard)
            await self._observe(name)
            await self._confront()
        return None

    async def _observe(self, name: str) -> None:
        """Take what is known of a segment now as a poll of it is taken."""
        ear, watched = self._segments[name], self._plant.segments[name]
        outcome: Snapshot | CollectError
        async with ear.alone:
            ear.approved = await asyncio.to_thread(self._approved, name)
            outcome = ear.snapshot(self._clock()) if ear.deaf is None else Unreachable(name, ear.deaf)
            await self._take(Poll(watched.target, outcome, Sent(), 0.0), self._asked.pop(name, []))

    def _approved(self, name: str) -> Snapshot | None:
        with self._database.read() as tx:
            approved = store.current_baseline(tx, name)
            return store.baseline_snapshot(tx, approved) if approved else None

    async def _occur(self, segment: str, happened: Iterable[Happened]) -> None:
        """Raise what was done to devices: at the asset that it was done to, or else at the segment."""
        happened = tuple(happened)
        try:
            await self._raise_done(segment, happened)
        except Gone as gone:
            await self._leave(gone)
            if self._has(segment):
                await self._occur(segment, happened)

    async def _raise_done(self, segment: str, happened: Iterable[Happened]) -> None:
        now, ear = self._clock(), self._segments[segment]
        events = [each.event for each in happened]
        done = [event for event in events if is_alarming(event, ear.approved)]
        told = [event for event in done if self._doings.is_new(event, now)]
        writes = [each for event in events for each in self._touched(event, ear.name_of(event.client))]
        fresh = [each for each in writes if self._touches.is_new(_touch(*each), AGAIN_AFTER, now)]

        def job(tx: Transaction) -> list[Move]:
            moves = []
            for event in told:
                asset = asset_at(self._plant, event.server) or segment
                self._assure_same(tx, asset)
                items = [write.item for _, write in self._touched(event, "")]
                moves += occur(tx, asset, occurrence(event, ear.name_of(event.client)), now, items)
            for asset, write in fresh:
                self._assure_same(tx, asset)
                moves += take_written(tx, asset, write, now)
            return moves

        if told or fresh:
            self._tell_moves(await self._writer.write(job))
        self._doings.note(done, now)
        self._touches.note([_touch(*each) for each in fresh], now)

    def _touched(self, event: WireEvent, name: str) -> list[tuple[str, Written]]:
        """The items that an event writes, with the asset that they are of, by the profile that it was last read with.

        A frame does not say which of two ports of one host is meant, so then it is nobody's.
        """
        here = [found for found in self._plant.assets.values() if found.target.address.host == event.server]
        if event.operation is not Operation.WRITE or len({found.target.address.port for found in here}) != 1:
            return []
        return [
            (found.asset.name, write)
            for found in here
            if (profile := self._profiles.get(found.asset.name))
            for write in touched(event, profile, found.target.address.unit, name)
        ]

    async def _confront(self) -> None:
        """Hold what polls said against what the wire said of the same assets."""
        now = self._clock()
        polled = {
            name: Witnessed(standing.run.first_at, self._read_at[name], standing.snapshot)
            for name, standing in self._standing.items()
            if name in self._plant.assets and standing.snapshot
        }
        overheard = [said for ear in self._segments.values() if (said := ear.overheard(now))]
        if found := weigh(self._plant, overheard, polled):

            def job(tx: Transaction) -> list[Move]:
                for name in found:
                    self._assure_same(tx, name)
                return confront(tx, found, now)

            try:
                self._tell_moves(await self._writer.write(job))
            except Gone as gone:
                await self._leave(gone)
                await self._confront()

    # What commands do, and what time does

    async def _listen(self) -> None:
        while True:
            try:
                requests, entries = await asyncio.to_thread(self._look)
            except StoreError as error:
                log.error("store.failed", why=str(error))
                requests, entries = [], []
            for entry in entries:  # what we knew of this asset no longer holds
                self._last_entry = entry.id
                self._standing.pop(entry.subject, None)
                await self._note_life(entry)
                if ear := self._segments.get(entry.subject):
                    ear.approved = await asyncio.to_thread(self._approved, entry.subject)
            await self._checkpoint()
            self._looked.set()
            for request in requests:
                self._last_request = request.id
                if self._has(request.asset):
                    self._asked[request.asset].append(request.id)
                    self._poll_now(request.asset)
                else:
                    await self._decline(request.asset, [request.id])
            await asyncio.sleep(LISTEN_EVERY)

    async def _note_life(self, entry: News) -> None:
        """Leave an asset alone that a person has just renamed or retired."""
        if entry.action == "asset.retire":
            await self._leave(Gone(entry.subject, f"was retired by {entry.actor}"))
        elif entry.action == "asset.rename" and "to" in entry.detail:
            self._standing.pop(entry.detail["to"], None)
            await self._leave(Gone(entry.subject, f"was renamed to {entry.detail['to']} by {entry.actor}"))

    async def _checkpoint(self) -> None:
        """Sign what the chain has grown by, and keep it outside of the store; what fails is covered by the next."""
        if self._last_entry <= self._signed:
            return
        self._signed = self._last_entry

        try:
            made = await self._writer.write(lambda tx: checkpoint(tx, self._plant.evidence, self._clock()))
            await asyncio.to_thread(publish, self._plant, made, _say)
        except StoreError as error:
            log.error("store.failed", why=str(error))
        except (CallError, NotNow) as error:
            _say(f"no checkpoint was made: {error}")
        except Exception:  # a bug of ours: said with all that helps, and monitoring goes on
            log.exception("bug", chore="checkpoint")

    async def _verify(self) -> None:
        """Say whether the evidence verifies: when we begin, and when that changes. Monitoring goes on either way."""
        before: verifier.Flaw | str | None = ""
        await self._looked.wait()
        while True:
            try:
                flaw = await asyncio.wrap_future(begun(self._flaw))
                if flaw and not before:
                    log.error("evidence.broken", entry=flaw.entry, why=flaw.why, approvals="stopped")
                elif not flaw and before is not None:
                    log.info("evidence.sound")
                before = flaw
            except StoreError as error:
                log.error("store.failed", why=str(error))
            except CallError as error:
                _say(f"the evidence was not verified: {error}")
            except Exception:  # a bug of ours: said with all that helps, and monitoring goes on
                log.exception("bug", chore="verify")
            await asyncio.sleep(VERIFY_EVERY)

    def _flaw(self) -> verifier.Flaw | None:
        with self._database.read() as tx:
            flaw = verified(tx, self._plant).first_bad
            if flaw is None:
                publish_newest(tx, self._plant, _say)
        return flaw

    def _look(self) -> tuple[list[PollRequest], list[News]]:
        self._database.assure_lead()
        with self._database.read() as tx:
            requests = store.open_poll_requests(tx, self._last_request)
            return requests, store.audit_news(tx, self._last_entry)

    async def _flush_at_times(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY)
            try:
                await self._flush()
            except StoreError as error:
                log.error("store.failed", why=str(error))

    async def _flush(self) -> None:
        lagging, self._lagging = self._lagging, {}
        oldest = self._clock() - timedelta(days=1)

        def job(tx: Transaction) -> None:
            store.extend_runs(tx, lagging.values())
            store.forget_polls(tx, oldest)

        try:
            await self._writer.write(job)
        except StoreError:
            self._lagging = lagging | self._lagging
            raise

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            try:
                self._tell_moves(await self._writer.write(lambda tx: return_alarms(tx, self._clock())))
            except StoreError as error:
                log.error("store.failed", why=str(error))


def _say(text: str) -> None:
    log.warning("evidence", text=text)


def _touch(asset: str, write: Written) -> Hashable:
    return asset, write.item, write.who["client"], json.dumps(write.value)


def _goes_on(standing: Standing, poll: Poll) -> bool:
    """Whether a poll brought nothing that the last one did not bring."""
    if isinstance(poll.outcome, CollectError):
        error = standing.checked.error
        return error is not None and (error.kind, error.text) == (poll.outcome.kind, poll.outcome.text)
    held = standing.snapshot
    return held is not None and poll.outcome.profile == held.profile and goes_on(held, poll.outcome, standing.baseline)


async def run_until_stopped(daemon: Daemon) -> None:
    """Run until SIGTERM or SIGINT."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(name, stop.set)
        except NotImplementedError:  # Windows
            signal.signal(name, lambda *_: loop.call_soon_threadsafe(stop.set))
    await daemon.run(stop)
