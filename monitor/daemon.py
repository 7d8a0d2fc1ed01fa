"""The daemon: polls every asset at its interval, hears every segment, answers the polls that commands ask for, and does
what is due at its time."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any

import structlog

from baselines.coverage import LIMITS, Cause, Limits
from baselines.snapshot import Severity, Snapshot
from collectors.collector import CollectError, Poll, Target
from collectors.written import FileError
from monitor import store
from monitor.backup import scheduled
from monitor.canary import SELF_TEST, self_test, self_test_document
from monitor.clocks import look_at_clocks
from monitor.config import ITSELF, Plant, Polled, load_plant
from monitor.contract import COUNTS, Ledger
from monitor.ears import hear
from monitor.errors import CallError, Gone, NotNow, StoreError
from monitor.health import Lookout, log_shout
from monitor.listening import Hear, Listening
from monitor.notary import Notary
from monitor.notify.dispatcher import Dispatcher
from monitor.pipeline import return_alarms
from monitor.polling import Poller, utc_now
from monitor.reload import Difference, difference, needs_restart
from monitor.reporting import CHORE, MAKING, Making, Reporter
from monitor.retention import forget
from monitor.schedule import Clockwork, DueQueue
from monitor.sd import Manager
from monitor.signs import Signs, Standings
from monitor.store import Chore, Database, News, PollRequest
from monitor.vitals import Vitals
from monitor.watch import Watch

FIRST_WITHIN, FIRST_APART = 10.0, 0.005  # seconds: every asset is looked at once soon, however seldom later
FLUSH_EVERY = 60.0  # seconds that the end of a run may lag on disk
LISTEN_EVERY = 0.25  # seconds between two looks for what commands did
SWEEP_EVERY = 5.0  # seconds between two looks for alarms that were put away until now
UNDELIVERED = timedelta(minutes=10)  # that a message may wait before its route is taken for dead
BACKUP = "backup"
FAREWELL = 1.0  # seconds that closing connections in good order may take
CHORES = {"verify": time(3, 30), "forget": time(4, 30), "clocks": time(6, 30)}  # by the plant's clock

log = structlog.get_logger()


def build(plant: Plant, database: Database) -> Daemon:
    """The daemon with its real parts."""
    return Daemon(
        plant,
        database,
        Poller(plant.profiles, utc_now, plant.zones),
        Dispatcher(plant, database, utc_now, random.random),
        clock=utc_now,
        jitter=random.random,
        manager=Manager(),
    )


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
        hear: Hear = hear,
        manager: Manager | None = None,
        limits: Limits = LIMITS,
        making: Making = MAKING,
    ) -> None:
        self.vitals = Vitals()
        self._manager = manager or Manager({})
        self._database = database
        self._poller = poller
        poller.on_change = self._suspect
        self._dispatcher = dispatcher
        self._clock = clock
        self._jitter = jitter
        self._hear = hear
        self._plant = plant
        self._now: Callable[[], Plant] = lambda: plant
        self._limits = limits
        self._making = making
        self._testing = asyncio.Lock()
        self._errands: set[asyncio.Task[Any]] = set()
        self._queue = DueQueue()
        self._wake = asyncio.Event()
        self._reload_asked = asyncio.Event()
        self._polling: dict[str, asyncio.Task[None]] = {}
        self._due: set[str] = set()  # assets whose scheduled poll is under way
        self._deep: set[str] = set()  # assets of which all is to be read next
        self._unkept: set[str] = set()  # assets whose last poll the store did not take
        self._last_request = 0
        self._last_entry = 0  # of the audit chain
        self._looked = asyncio.Event()  # the first checkpoint was made, if one was due
        self._chores: dict[str, Callable[[], Awaitable[str]]] = {}
        self._kept: dict[str, Chore] = {}  # what came of each chore last

    @property
    def plant(self) -> Plant:
        """The plant as its file said when it was read last."""
        return self._now()

    async def run(self, stop: asyncio.Event) -> None:
        """Poll until `stop` is set; then let go of every device and bring the store up to date."""
        self._database.assure_lead()
        self.vitals.leads = True
        teller, known = self._dispatcher, (self._plant, self._database, self._clock)
        self._watch = watch = Watch(*known, teller.tell, self._leave, self.vitals, teller.begin)
        self._now = lambda: watch.plant
        signs = Signs(self._database, self.vitals, watch.trouble, self._manager)
        self.lookout = Lookout(
            lambda: watch.plant, self._database, self._clock, watch.tell_moves, self._limits, shout=self._shout
        )
        self._listening = Listening(watch, self._hear, self._suspect, self.lookout.heard)
        self._notary = Notary(watch)
        self._ledger = Ledger(self._poller, watch.writer.write, watch.trouble.failed)
        self._clockwork = Clockwork(self._do)
        self._reporter = Reporter(
            *(lambda: watch.plant, self._database, self._clock),
            *(self.lookout.say, self._clockwork.again, self._making),
        )
        self._chores = {
            "verify": self._verify,
            "forget": self._forget,
            "clocks": self._look_at_clocks,
            BACKUP: self._back_up,
            SELF_TEST: self._self_test,
        }
        with self._database.read() as tx:
            self._last_entry = store.last_audit_id(tx)
            self._listening.restore(tx)
            next_at, self._kept = store.next_polls(tx), store.chores(tx)
        with contextlib.suppress(StoreError, NotNow):  # said by the chores, when they find the same
            await watch.note(watch.plant)
            for name in [*watch.plant.assets, *watch.plant.segments]:
                if name not in watch.numbers:
                    await self._leave(Gone(name, "is not in plant.toml any more"))
        self._poller.prepare(watch.plant)
        self.lookout.begin(watch.writer)
        self._schedule(next_at)
        self._clockwork.start()
        self._keep_time({name: chore.next_at for name, chore in self._kept.items() if chore.next_at})
        chores = [
            asyncio.create_task(chore)
            for chore in (
                self._listen(),
                self._flush_at_times(),
                self._ledger.keep_at_times(),
                self._sweep(),
                self._verify_at_first(),
                self._dispatcher.run(watch.writer.write, watch.trouble.failed),
                self._loop(),
                self._listening.run(),
                self._reload_when_asked(),
                self.lookout.run(),
                signs.beat(self._queue.next_due),
                signs.count(self._standings),
            )
        ]
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([*chores, stopping], return_when=asyncio.FIRST_COMPLETED)
            for chore in chores:
                if chore.done():
                    chore.result()  # a chore ends only by a bug: say it, and let the service manager restart us
        finally:
            self._manager.stopping()
            await self._end([*chores, stopping])

    async def _end(self, chores: list[asyncio.Task[None] | asyncio.Task[bool]]) -> None:
        self._clockwork.stop()
        tasks = [*chores, *self._polling.values(), *self._errands]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._listening.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await self._poller.close()
        await self._ledger.keep()
        try:
            await self._flush()
        except StoreError as error:
            self._watch.trouble.failed(error)
        await self._notary.close()
        await self.lookout.close()
        self._watch.writer.stop()

    # Polling

    def _schedule(self, next_at: Mapping[str, datetime]) -> None:
        """Put every asset into the queue: at the time that was settled before we were started, or at its phase."""
        loop, now, assets = asyncio.get_running_loop(), self._clock(), self._watch.plant.assets
        within = max(FIRST_WITHIN, len(assets) * FIRST_APART)
        for name, polled in assets.items():
            waits = name in next_at and not self._poller.is_told(polled.target)  # who is told must first have asked
            settled = (next_at[name] - now).total_seconds() if waits else None
            self._queue.add(name, polled.every, loop.time(), within, settled)

    async def _loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            for name in self._queue.take_due(loop.time()):
                self._due.add(name)
                self._poll_now(name)
            due = self._queue.next_due()
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0.0, due - loop.time())):
                    await self._wake.wait()

    def _poll_now(self, name: str) -> None:
        if name not in self._polling and self._watch.has(name):
            self._polling[name] = asyncio.create_task(self._poll_asset(name))

    def _suspect(self, name: str) -> None:
        """Read all of an asset at once: somebody has just done something to it."""
        if name in self._watch.plant.assets:
            self._deep.add(name)
            self._poll_now(name)

    async def _poll_asset(self, name: str) -> None:
        succeeded = False
        polled = self._watch.plant.assets.get(name)
        try:
            if name in self._listening.ears:
                return await self._listening.observe(name)
            if polled is None:
                return None
            if name in self._due:
                self.vitals.lateness.note(self._queue.late_by(name, asyncio.get_running_loop().time()))
            asked = self._watch.asked.pop(name, [])
            succeeded = await self._look_at(polled, asked)
        except StoreError as error:
            self._watch.trouble.failed(error, asset=name)
        except Exception:  # a bug of ours at one asset: said with all that helps, and its neighbours go on
            log.exception("bug", asset=name)
        finally:
            del self._polling[name]
            now_polled = self._watch.plant.assets.get(name)
            if polled and (now_polled is None or now_polled.target.address.device != polled.target.address.device):
                await self._let_go(polled.target)
            if name in self._due:
                self._reschedule(name, succeeded)
            if name not in self._unkept and (name in self._watch.asked or name in self._deep):
                self._poll_now(name)  # it was asked meanwhile: what was just read may be older than that

    async def _look_at(self, polled: Polled, asked: list[int]) -> bool:
        """Poll an asset, the tripwire alone where that is enough for now; whether it answered."""
        name = polled.asset.name
        if not asked and self._tripwire_will_do(polled):
            poll = await self._poll(polled, tripwire=True)
            if not self._watch.is_tripped(poll):
                return True
            if not isinstance(poll.outcome, Snapshot):
                await self._take(poll, asked)
                return False
        self._deep.discard(name)
        poll = await self._poll(polled)
        await self._take(poll, asked)
        return isinstance(poll.outcome, Snapshot)

    async def _poll(self, polled: Polled, tripwire: bool = False) -> Poll:
        poll = await self._poller.poll(polled, tripwire=tripwire)
        self.lookout.looked(poll)
        self.vitals.polled(poll.outcome.kind if isinstance(poll.outcome, CollectError) else "ok", poll.seconds)
        return poll

    async def _take(self, poll: Poll, asked: list[int]) -> None:
        """Take a poll in. Where the store refuses it, the device is not left alone for that: all of it is read at its
        next time, and who asked is answered then."""
        name = poll.target.asset
        try:
            await self._watch.take(poll, asked)
            self._unkept.discard(name)
        except StoreError as error:
            self._watch.trouble.failed(error, asset=name)
            self._unkept.add(name)
            self._deep.add(name)
            if asked:
                self._watch.asked[name][:0] = asked

    def _tripwire_will_do(self, polled: Polled) -> bool:
        standing = self._watch.standing.get(polled.asset.name)
        if (
            polled.deep_every is None
            or standing is None
            or standing.snapshot is None
            or polled.asset.name in self._deep
        ):
            return False
        return self._clock() - standing.run.read_at < polled.deep_every

    def _reschedule(self, name: str, succeeded: bool) -> None:
        self._due.discard(name)
        if name not in self._watch.plant.assets:  # left alone since
            return
        self._queue.polled(name, succeeded, asyncio.get_running_loop().time(), self._jitter())
        self._wake.set()

    # Assets that go, and a plant.toml that was changed

    async def _leave(self, gone: Gone) -> None:
        """Poll an asset no more, and let go of its device: it was retired, or goes on under another name."""
        name, plant = gone.asset, self._watch.plant
        if not self._watch.has(name):
            return
        self._watch.follow(
            replace(
                plant,
                assets={other: each for other, each in plant.assets.items() if other != name},
                segments={other: each for other, each in plant.segments.items() if other != name},
            )
        )
        log.warning(
            "asset.gone", asset=name, why=f"{gone.why}: it is left alone until plant.toml is read again (SIGHUP)"
        )
        await self._drop(name, plant.assets.get(name))

    async def _drop(self, name: str, polled: Polled | None) -> None:
        self._watch.standing.pop(name, None)
        self._listening.forget(name)
        if polled:
            self._queue.remove(name)
            self._wake.set()
            if name not in self._polling:
                await self._let_go(polled.target)
        await self._watch.decline(name, self._watch.asked.pop(name, []))

    async def _let_go(self, target: Target) -> None:
        """Close the connection to a device that no asset stands for any more."""
        others = self._watch.plant.assets.values()
        if all(other.target.address.device != target.address.device for other in others):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await self._poller.let_go(target)

    def reload(self) -> None:
        """Read plant.toml again, as soon as may be."""
        self._reload_asked.set()

    async def _reload_when_asked(self) -> None:
        while True:
            await self._reload_asked.wait()
            self._reload_asked.clear()
            self._manager.reloading()
            try:
                await self._reload()
            except FileError as error:
                log.error("config.refused", faults=error.faults, text="nothing was changed")
            except (CallError, NotNow, StoreError) as error:
                log.error("config.refused", faults=[str(error)], text="nothing was changed")
            except Exception:  # a bug of ours: said with all that helps, and monitoring goes on
                log.exception("bug", chore="reload")
            self._manager.ready()

    async def _reload(self) -> None:
        """Do as plant.toml says now, all of it or nothing."""
        before = self._watch.plant
        after = await asyncio.to_thread(load_plant, before.path)
        if why := needs_restart(before, after):
            raise CallError(why)
        await asyncio.to_thread(self._poller.prepare, after)
        await self._watch.note(after)  # on record before it is done: what fails from here on is a bug
        found = difference(before, after)
        self._watch.follow(after)
        self._poller.follow(after)
        for name in found.gone:
            await self._drop(name, before.assets.get(name))
        await self._follow(found, before)
        self._listening.follow()
        self._dispatcher.follow(after)
        self._keep_time({})
        self._wake.set()
        log.info("config.reloaded", added=found.added, gone=found.gone, changed=found.changed, settings=found.settings)

    async def _follow(self, found: Difference, before: Plant) -> None:
        now, assets = asyncio.get_running_loop().time(), self._watch.plant.assets
        for name in found.changed:
            self._watch.standing.pop(name, None)
            self._deep.add(name)
            if name in before.assets and name not in self._polling:
                await self._let_go(before.assets[name].target)
        for name in [each for each in (*found.added, *found.changed) if each in assets]:
            if name not in before.assets or before.assets[name].every != assets[name].every:
                self._queue.remove(name)
                self._due.discard(name)
                self._queue.add(name, assets[name].every, now, FIRST_WITHIN)

    def _standings(self) -> Standings:
        plant, standing = self._watch.plant, self._watch.standing
        names = (*plant.assets, *plant.segments)
        known = {name: there.checked if (there := standing.get(name)) else None for name in names}
        sensed = {name: ear.sensed() for name, ear in self._listening.ears.items()}
        return known, sensed, len({each.asset for each in self.lookout.blind} & known.keys())

    # What commands do, and what time does

    async def _listen(self) -> None:
        while True:
            try:
                requests, entries = await asyncio.to_thread(self._look)
                self.vitals.looked_at = self.vitals.clock()
                for entry in entries:
                    await self._heed(entry)
            except StoreError as error:
                self._watch.trouble.failed(error)
                requests = []
            await self._notary.checkpoint(self._last_entry)
            self._looked.set()
            for request in requests:
                self._last_request = request.id
                if request.asset == ITSELF:
                    await self._oblige(request)
                elif self._watch.has(request.asset):
                    self._watch.asked[request.asset].append(request.id)
                    self._poll_now(request.asset)
                else:
                    await self._watch.decline(request.asset, [request.id])
            await asyncio.sleep(LISTEN_EVERY)

    async def _heed(self, entry: News) -> None:
        """What we knew of an asset no longer holds: somebody has decided something about it."""
        self._watch.standing.pop(entry.subject, None)
        await self._note_life(entry)
        if ear := self._listening.ears.get(entry.subject):
            ear.approved = await asyncio.to_thread(self._watch.approved, entry.subject)
        self._last_entry = entry.id

    def _look(self) -> tuple[list[PollRequest], list[News]]:
        self._database.assure_lead()
        with self._database.read() as tx:
            requests = store.open_poll_requests(tx, self._last_request)
            return requests, store.audit_news(tx, self._last_entry)

    async def _oblige(self, request: PollRequest) -> None:
        """Do what somebody asks of the daemon itself."""
        if request.what == COUNTS:
            await self._ledger.keep()
            await self._watch.answer([request.id], {})
        elif request.what == SELF_TEST:
            self._run_errand(self._test_for(request.id))

    def _run_errand(self, errand: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    def _shout(self, text: str, severity: Severity) -> None:
        """Say at once, and without the store, what the store cannot hold."""
        log_shout(text, severity)
        self._run_errand(self._dispatcher.shout(text, severity))

    async def _test_for(self, request: int) -> None:
        await self._watch.answer([request], await self._tested())

    async def _note_life(self, entry: News) -> None:
        """Leave an asset alone that a person has just renamed or retired."""
        if entry.action == "asset.retire":
            await self._leave(Gone(entry.subject, f"was retired by {entry.actor}"))
        elif entry.action == "asset.rename" and "to" in entry.detail:
            self._watch.standing.pop(entry.detail["to"], None)
            await self._leave(Gone(entry.subject, f"was renamed to {entry.detail['to']} by {entry.actor}"))

    async def _verify_at_first(self) -> None:
        await self._looked.wait()
        await self._do("verify")
        await asyncio.Event().wait()

    async def _flush_at_times(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY)
            self._clockwork.look()
            try:
                await self._flush()
                await self._look_at_routes()
            except StoreError as error:
                self._watch.trouble.failed(error)

    async def _look_at_routes(self) -> None:
        """Have a route that does not deliver alarmed, by the others."""
        now, known = self._clock(), await asyncio.to_thread(self._dispatcher.health)
        dead = sorted(name for name, route in known.items() if route.oldest and now - route.oldest > UNDELIVERED)
        why = f"messages do not arrive by {', '.join(dead)}: asbuilt notify list says why" if dead else ""
        self.lookout.say(Cause.ROUTE, why)

    async def _flush(self) -> None:
        """Bring the ends of runs on disk up to date, and when each asset is due."""
        begin = self._clock() - timedelta(seconds=asyncio.get_running_loop().time())
        due = {name: self._queue.due_at(name) for name in self._watch.lagging}
        await self._watch.flush({name: begin + timedelta(seconds=at) for name, at in due.items() if at is not None})

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            try:
                moves = await self._watch.writer.write(lambda tx: return_alarms(tx, self._clock()))
                self._watch.tell_moves(moves)
                await self._notary.catch_up()
            except StoreError as error:
                self._watch.trouble.failed(error)

    async def _verify(self) -> str:
        text = await self._notary.verify()
        self.lookout.say(Cause.EVIDENCE, self._notary.why)
        return text

    async def _forget(self) -> str:
        gone = await forget(self._watch.plant, self._database, self._watch.writer.write, self._clock())
        return ", ".join(f"{rows} of {table}" for table, rows in gone.items() if rows) or "nothing was old enough"

    async def _back_up(self) -> str:
        try:
            made, _ = await asyncio.to_thread(scheduled, self._watch.plant, self._database, self._clock())
        except (CallError, NotNow, StoreError) as error:
            self.lookout.say(Cause.BACKUP, f"the backup failed: {error}")
            raise
        self.lookout.say(Cause.BACKUP, "")
        return f"wrote {made.path}"

    async def _self_test(self) -> str:
        return str((await self._tested())["text"])

    async def _tested(self) -> dict[str, Any]:
        """Test the whole way from a change to the message; one test at a time."""
        async with self._testing:
            test = await self_test(self._watch.writer.write, self._clock, self._watch.tell_moves, self._dispatcher.told)
        self.lookout.self_tested(test)
        log.info("self-test.passed" if test.ok else "self-test.failed", **self_test_document(test))
        return self_test_document(test)

    async def _look_at_clocks(self) -> str:
        assets = [*self._watch.plant.assets, *self._watch.plant.segments]
        moves = await self._watch.writer.write(lambda tx: look_at_clocks(tx, assets, self._clock()))
        self._watch.tell_moves(moves)
        return f"{len(moves)} alarms moved"

    def _keep_time(self, missed: Mapping[str, datetime]) -> None:
        plant = self._watch.plant
        times = dict(CHORES)
        if plant.self_test.enabled:
            times[SELF_TEST] = plant.self_test.time
        if plant.backups:
            times[BACKUP] = plant.backups.at
        reports = {CHORE + name: wanted for name, wanted in plant.reports.items()}
        times |= {name: wanted.at for name, wanted in reports.items()}
        every = {name: wanted.every for name, wanted in reports.items()}
        missed = {**missed, **self._reporter.owed(self._kept)}
        self._clockwork.follow(times, plant.timezone, missed, self._clock(), every)

    async def _do(self, name: str) -> None:
        """Do a chore, and keep what came of it. One that fails is said, and the next is done all the same."""
        began = self._clock()
        try:
            text = await (self._reporter.make(name) if name.startswith(CHORE) else self._chores[name]())
        except (CallError, NotNow, StoreError) as error:
            text = str(error)
            log.error("chore.failed", chore=name, why=text)
        except Exception as error:  # a bug of ours: said with all that helps, and monitoring goes on
            text = f"a bug: {error!r}"
            log.exception("bug", chore=name)
        chore = self._kept[name] = Chore(name, began, self._clockwork.next_at(name), text)
        with contextlib.suppress(StoreError):  # said by the other chores
            await self._watch.writer.write(lambda tx: store.keep_chore(tx, chore))


async def run_until_stopped(daemon: Daemon) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP has plant.toml read again."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(name, stop.set)
        except NotImplementedError:  # Windows
            signal.signal(name, lambda *_: loop.call_soon_threadsafe(stop.set))
    if hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, daemon.reload)
    await daemon.run(stop)
