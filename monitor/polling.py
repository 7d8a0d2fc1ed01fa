"""Polling assets: by ourselves where nobody leads, else through the daemon that does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog

from baselines.alert import Move
from collectors.address import Address
from collectors.collector import LONGEST_POLL, Clock, Collector, Poll, Refused, Target, Unreachable, poll
from collectors.contract import Sent
from collectors.profile import Profiles
from collectors.registry import collector_of
from monitor import evidence, store
from monitor.accounts import account
from monitor.config import Plant, Polled
from monitor.errors import NotNow, StoreError
from monitor.evidence import note_assets, returned, unnoted
from monitor.pipeline import is_due, return_alarms, take, unseen
from monitor.show import checked_document
from monitor.store import Actor, Database

AT_ONCE = 200  # polls under way
LOOK_EVERY = 0.1  # seconds between two looks for an answer of the daemon

log = structlog.get_logger()

Document = dict[str, Any]
Progress = Callable[[str], None]


def utc_now() -> datetime:
    return datetime.now(UTC)


class Poller:
    """All the collectors, made when first needed."""

    def __init__(self, profiles: Profiles, clock: Clock) -> None:
        self._profiles = profiles
        self._clock = clock
        self._places = asyncio.Semaphore(AT_ONCE)
        self._collectors: dict[str, Collector] = {}

    async def poll(self, polled: Polled, tripwire: bool = False) -> Poll:
        """Poll one asset, or its tripwire; a safety controller only if its owner allowed it: else nothing is sent."""
        target = polled.target
        if not polled.allowed:
            text = 'a safety controller is polled only with "allow_safety = true" on the asset itself'
            return Poll(target, Refused(target.asset, text), Sent(), 0.0)
        return await self.poll_target(target, tripwire)

    async def poll_target(self, target: Target, tripwire: bool = False) -> Poll:
        """Poll a target that is of no plant."""
        return await poll(self.collector(target.address.protocol), target, self._places, tripwire=tripwire)

    def prepare(self, plant: Plant) -> None:
        """Make the collectors that a plant needs. Their imports take up to seconds, in which nobody's answer is heard:
        in the middle of polling, devices that are there would be taken for silent."""
        for polled in plant.assets.values():
            self.collector(polled.target.address.protocol)

    def follow(self, plant: Plant) -> None:
        """Go on with other profiles; what a device was promised holds at once."""
        self._profiles = plant.profiles
        for collector in self._collectors.values():
            collector.follow(plant.profiles)
        for polled in plant.assets.values():
            self.collector(polled.target.address.protocol).contract(polled.target)

    def collector(self, protocol: str) -> Collector:
        if protocol not in self._collectors:
            self._collectors[protocol] = collector_of(protocol)(self._profiles, self._clock)
        return self._collectors[protocol]

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


def return_due(plant: Plant, database: Database) -> None:
    """Bring back the alarms whose time away is over, where no daemon runs that does it every few seconds."""
    with database.read() as tx:
        if not is_due(tx, utc_now()):
            return
    if database.lead():
        try:
            with database.write() as tx:
                moves = return_alarms(tx, utc_now())
            tell(plant, moves)
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
        return asyncio.run(_poll_once(Poller(known, utc_now), replace(polled, target=target)))
    finally:
        if leads:
            database.follow()


async def _poll_once(poller: Poller, polled: Polled) -> Poll:
    try:
        return await poller.poll(polled)
    finally:
        await poller.close()


async def _poll_ourselves(plant: Plant, database: Database, names: Iterable[str], progress: Progress) -> list[Document]:
    poller = Poller(plant.profiles, utc_now)
    moved: list[Move] = []

    async def one(name: str) -> Document:
        if name in plant.segments:
            progress(name)
            return _unheard(database, name)
        outcome = await poller.poll(plant.assets[name])
        with database.write() as tx:
            standing, moves = take(tx, outcome, utc_now(), keep=True)
        moved.extend(moves)
        progress(name)
        return checked_document(standing.checked)

    try:
        with database.write() as tx:
            moved += return_alarms(tx, utc_now())
        return list(await asyncio.gather(*map(one, names)))
    finally:
        await poller.close()
        evidence.cover(plant, database, lambda text: log.warning("evidence", text=text))
        await _tell(plant, moved)


def tell(plant: Plant, moved: Iterable[Move]) -> None:
    """Tell people of alarms that a command moved."""
    asyncio.run(_tell(plant, list(moved)))


async def _tell(plant: Plant, moved: list[Move]) -> None:
    if plant.routes and moved:
        from monitor.notify import Notifier

        notifier = Notifier(plant.name, plant.routes)
        notifier.tell(moved)
        await notifier.drain()


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
