"""Polling assets: by ourselves where nobody leads, else through the daemon that does."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

import structlog

from collectors.address import Address, device_text
from collectors.collector import (
    LONGEST_POLL,
    Clock,
    Collector,
    Poll,
    Refused,
    Target,
    Unreachable,
    Watcher,
    Watching,
    poll,
)
from collectors.contract import Contract, Pace, Sent
from collectors.metering import Counts, new_record
from collectors.profile import Profiles
from collectors.registry import collector_of
from monitor import evidence, store
from monitor.accounts import account
from monitor.config import Plant, Polled
from monitor.errors import NotNow, StoreError
from monitor.evidence import note_assets, returned, unnoted
from monitor.pipeline import is_due, return_alarms, take, unseen
from monitor.show import checked_document
from monitor.store import Actor, Database, Transaction

AT_ONCE = 1000  # polls under way: 10,000 assets every 30 s, each a second of its contract's pace, are 333
TELL_SECONDS = 10.0  # that a command may take to tell people
LOOK_EVERY = 0.1  # seconds between two looks for an answer of the daemon

log = structlog.get_logger()

T = TypeVar("T")
Document = dict[str, Any]
Progress = Callable[[str], None]


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Tally:
    """What was sent to devices, by "host:port", from one time to another."""

    since: datetime
    until: datetime
    devices: Mapping[str, Counts]


class Poller:
    """All the collectors, made when first needed.

    `on_change`, if it is set before the first poll, is called with an asset that should be polled at once because its
    device says that something changed. It is asked to say so only then.
    """

    def __init__(self, profiles: Profiles, clock: Clock, zones: Mapping[str, float] = MappingProxyType({})) -> None:
        self._paces = {zone: Pace(rate) for zone, rate in zones.items()}
        self._profiles = profiles
        self._clock = clock
        self._places = asyncio.Semaphore(AT_ONCE)
        self._collectors: dict[str, Collector] = {}
        self._watchers: dict[str, Watcher] = {}  # those of them that can
        self._watching: dict[str, tuple[Target, Watching]] = {}  # by asset, as it was last said
        self.on_change: Callable[[str], None] | None = None
        self._contracts: dict[tuple[str, int], Contract] = {}
        self._tallied_at = clock()

    async def poll(self, polled: Polled, tripwire: bool = False) -> Poll:
        """Poll one asset, or its tripwire; a safety controller only if its owner allowed it: else nothing is sent."""
        target = polled.target
        if not polled.allowed:
            text = 'a safety controller is polled only with "allow_safety = true" on the asset itself'
            return Poll(target, Refused(target.asset, text), Sent(), 0.0)
        return await self.poll_target(target, tripwire, self._paces.get(polled.asset.zone))

    async def poll_target(self, target: Target, tripwire: bool = False, zone: Pace | None = None) -> Poll:
        """Poll a target, also one that is of no plant, at its own pace and at that of its zone."""
        collector = self.collector(target.address.protocol)
        contract = self._contracts[target.address.device] = collector.contract(target)
        contract.shared = zone
        done = await poll(collector, target, self._places, tripwire=tripwire)
        self._say_watching(target)
        return done

    def is_told(self, target: Target) -> bool:
        """Whether the target's device is to tell by itself that an item changed."""
        return target.profile in self._profiles and self._profiles[target.profile].limits.subscribe

    def watching(self, target: Target) -> Watching | None:
        """How far the target's device tells by itself that an item changed; None if its profile does not want it."""
        watcher = self._watchers.get(target.address.protocol)
        return watcher.watching(target) if watcher else None

    def _say_watching(self, target: Target) -> None:
        """Say once that the tripwire is polling again, and once that it is not."""
        now = self.watching(target)
        if now is None or self._watching.get(target.asset) == (target, now):
            return
        self._watching[target.asset] = target, now
        if now.items < now.of:
            log.warning("asset.unwatched", asset=target.asset, items=now.items, of=now.of, why=now.why)
        else:
            log.info("asset.watched", asset=target.asset, items=now.items)

    def _changed(self, tell: Callable[[str], None], asset: str) -> None:
        if said := self._watching.get(asset):
            self._say_watching(said[0])
        tell(asset)

    def prepare(self, plant: Plant) -> None:
        """Make the collectors that a plant needs. Their imports take up to seconds, in which nobody's answer is heard:
        in the middle of polling, devices that are there would be taken for silent."""
        for polled in plant.assets.values():
            self.collector(polled.target.address.protocol)

    def follow(self, plant: Plant) -> None:
        """Go on with other profiles; what a device was promised holds at once."""
        self._profiles = plant.profiles
        same = {zone: pace for zone, pace in self._paces.items() if plant.zones.get(zone) == pace.requests_per_second}
        self._paces = {zone: same.get(zone) or Pace(rate) for zone, rate in plant.zones.items()}
        for collector in self._collectors.values():
            collector.follow(plant.profiles)
        for polled in plant.assets.values():
            self.collector(polled.target.address.protocol).contract(polled.target)

    def collector(self, protocol: str) -> Collector:
        if protocol not in self._collectors:
            made = self._collectors[protocol] = collector_of(protocol)(self._profiles, self._clock)
            if isinstance(made, Watcher) and self.on_change:
                self._watchers[protocol] = made
                made.on_change = partial(self._changed, self.on_change)
        return self._collectors[protocol]

    @property
    def devices(self) -> int:
        """How many have been polled."""
        return len(self._contracts)

    def tally(self) -> Tally:
        """What was sent to all devices since this was asked last."""
        since, self._tallied_at = self._tallied_at, self._clock()
        taken = {device_text(device): contract.meter.take() for device, contract in self._contracts.items()}
        return Tally(since, self._tallied_at, {device: counts for device, counts in taken.items() if counts})

    def give_back(self, tally: Tally) -> None:
        """A tally that could not be kept: the next one has it too."""
        self._tallied_at = min(self._tallied_at, tally.since)
        for device, contract in self._contracts.items():
            if counts := tally.devices.get(device_text(device)):
                contract.meter.give_back(counts)

    async def let_go(self, target: Target) -> None:
        """Let go of the connection to one device."""
        await self.collector(target.address.protocol).close(target)

    async def close(self) -> None:
        """Let go of every connection, in good order."""
        for collector in self._collectors.values():
            await collector.close()


def poll_assets(plant: Plant, database: Database, names: Sequence[str], by: str, progress: Progress) -> list[Document]:
    """Poll assets once, store what they said, move their alarms; their documents, in the order of `names`.

    Never opens a second connection beside a running daemon: it asks the daemon, and reads the answers.
    """
    _note_assets(plant, database, by)
    if database.lead():
        try:
            return asyncio.run(_poll_ourselves(plant, database, names, progress))
        finally:
            database.follow()
    return _ask_daemon(plant, database, names, by, progress)


def _note_assets(plant: Plant, database: Database, by: str) -> None:
    """See to it that every asset of the plant has its number, also one that was retired and is there again."""
    with database.read() as tx:
        if not unnoted(tx, plant):
            return
    with database.write() as tx:
        back = note_assets(tx, plant, Actor(by, account()), utc_now())
    for name in back:
        log.info("asset.returned", asset=name, text=returned(name))


def keep_tally(tx: store.Transaction, tally: Tally) -> None:
    """Add what was sent to what the store knows of it."""
    known, since, until = store.records(tx, tally.devices), tally.since, tally.until
    sums = {
        device: (known.get(device) or new_record(since)).plus(counts, since, until)
        for device, counts in tally.devices.items()
    }
    store.keep_records(tx, sums)


def return_due(plant: Plant, database: Database) -> None:
    """Bring back the alarms whose time away is over, where no daemon runs that does it every few seconds."""
    with database.read() as tx:
        if not is_due(tx, utc_now()):
            return
    if database.lead():
        try:
            with database.write() as tx:
                begin_routes(tx, plant)
                return_alarms(tx, utc_now())
            asyncio.run(_tell(plant, database))
        finally:
            database.follow()


def identify_at(plant: Plant, database: Database, name: str, address: Address) -> Poll:
    """What the device at another address says it is, asked as the asset is: once, and of its identity alone.

    NotNow if the daemon polls that device for another asset: it would see a second connection.
    """
    polled = plant.assets[name]
    there = [other for other, each in plant.assets.items() if each.target.address.device == address.device]
    leads = database.lead()
    try:
        if there and not leads:
            raise NotNow(
                f"the daemon polls {address.host}:{address.port} already ({there[0]}), and it is not to see a second"
                " connection: end asbuilt run first, or move it without a look (--unseen)"
            )
        known = Profiles(replace(plant.profiles[each], items=()) for each in plant.profiles.names)
        target = replace(polled.target, address=address)
        poller = Poller(known, utc_now)
        found = asyncio.run(_poll_once(poller, replace(polled, target=target)))
        with database.write() as tx:
            keep_tally(tx, poller.tally())
        return found
    finally:
        if leads:
            database.follow()


async def _poll_once(poller: Poller, polled: Polled) -> Poll:
    try:
        return await poller.poll(polled)
    finally:
        await poller.close()


async def _poll_ourselves(plant: Plant, database: Database, names: Iterable[str], progress: Progress) -> list[Document]:
    poller = Poller(plant.profiles, utc_now, plant.zones)
    poller.prepare(plant)

    async def one(name: str) -> Document:
        if name in plant.segments:
            progress(name)
            return _unheard(database, name)
        outcome = await poller.poll(plant.assets[name])
        with database.write() as tx:
            standing, _ = take(tx, outcome, utc_now(), keep=True)
        progress(name)
        return checked_document(standing.checked)

    try:
        with database.write() as tx:
            begin_routes(tx, plant)
            return_alarms(tx, utc_now())
        return list(await asyncio.gather(*map(one, names)))
    finally:
        await poller.close()
        evidence.cover(plant, database, lambda text: log.warning("evidence", text=text))
        await _tell(plant, database)
        with database.write() as tx:
            keep_tally(tx, poller.tally())


def tell(plant: Plant, database: Database) -> None:
    """Tell people of alarms that a command moved, where no daemon runs that does it within a second."""
    if plant.routes and database.lead():
        try:
            asyncio.run(_tell(plant, database))
        finally:
            database.follow()


def begin_routes(tx: Transaction, plant: Plant) -> None:
    """See to it that the routes are told of what moves from now on."""
    store.begin_routes(tx, [route.name for route in plant.routes])


async def _tell(plant: Plant, database: Database) -> None:
    """Make messages of what moved, and send them. What fails to be sent now stays in the outbox."""
    if not plant.routes:
        return
    from monitor.notify.dispatcher import Dispatcher

    async def write(job: Callable[[Transaction], T]) -> T:
        def run() -> T:
            with database.write() as tx:
                return job(tx)

        return await asyncio.to_thread(run)

    try:
        await Dispatcher(plant, database, utc_now, random.random).run_once(write, TELL_SECONDS)
    except StoreError as error:  # what the command did is done; what moved is told by whoever comes next
        log.warning("store.failed", chore="notify", why=str(error))


def _unheard(database: Database, name: str) -> Document:
    """A segment while no daemon runs: nobody listens, and no moment's listening would show what a segment is."""
    error = Unreachable(name, "a segment is heard by the daemon, and none runs on this plant: start asbuilt run")
    with database.read() as tx:
        seen_before = store.last_run(tx, name, observed=True) is not None
        approved = store.current_baseline(tx, name)
        baseline = store.baseline_snapshot(tx, approved) if approved else None
    return checked_document(unseen(name, utc_now(), baseline, seen_before, error, Sent()))


def _ask_daemon(plant: Plant, database: Database, names: Sequence[str], by: str, progress: Progress) -> list[Document]:
    with database.write() as tx:
        requests = {store.request_poll(tx, name, utc_now(), by): name for name in names}
    answers: dict[int, Document] = {}
    try:
        _await_answers(plant, database, requests, answers, progress)
    finally:
        with database.write() as tx:
            store.withdraw_polls(tx, list(requests))
    return [answers[number] for number in requests]


def _await_answers(
    plant: Plant, database: Database, requests: Mapping[int, str], answers: dict[int, Document], progress: Progress
) -> None:
    """Wait for the daemon's answers, as long as one comes now and then; poll what is left if the daemon is gone."""
    heard_at = time.monotonic()
    while left := [number for number in requests if number not in answers]:
        with database.read() as tx:
            come = store.poll_answers(tx, left)
        for number in come:
            progress(requests[number])
            heard_at = time.monotonic()
        answers |= come
        if come:
            continue
        if database.lead():
            try:
                names = [requests[number] for number in left]
                answers |= zip(left, asyncio.run(_poll_ourselves(plant, database, names, progress)), strict=True)
            finally:
                database.follow()
        elif time.monotonic() - heard_at > LONGEST_POLL + 30:
            raise StoreError("another asbuilt holds this plant but does not answer; is the daemon stuck? (asbuilt run)")
        else:
            time.sleep(LOOK_EVERY)
