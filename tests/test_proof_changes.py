"""The long proofs of what the daemon is for: every change is found, soon, and for years."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sqlite3
import struct
import subprocess
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymodbus.client import ModbusTcpClient

from baselines.alert import OF_NO_POLL, AlertState, Event, Move
from baselines.baseline import Stage
from baselines.snapshot import Snapshot
from benchmarks.device import CHANGING, SAME, TREMBLING, Device, profile_tables
from benchmarks.floor import toml
from benchmarks.memory import daemon
from collectors.collector import Poll
from monitor import actions, store
from monitor.config import Plant, Polled, load_plant
from monitor.daemon import Daemon
from monitor.evidence import note_assets
from monitor.notify.dispatcher import Dispatcher
from monitor.pipeline import take
from monitor.polling import Poller, utc_now
from monitor.store import Database
from tests.floors import PlantFolder, wait_for
from tests.lossy import POSSIBLE, LossyLoop
from tests.measured import NOTES, note, times
from tests.shifting import PROFILE, Devices, devices
from tests.test_daemon import webhook
from tests.test_daemon_segments import KIM, come
from tests.wires import Wire

pytestmark = pytest.mark.skipif(not POSSIBLE, reason="segments are lost by a socket filter of Linux")
Row = tuple[str, str, str, str]  # of a move: asset, item, event, what was observed as JSON
Polling = tuple[float, float, frozenset[str] | None]  # when it began, when it ended, what it did not read (None: all)
DEVIATING = (Event.DEVIATES, Event.MOVES_ON)
BUSY = times(10, 1)  # seconds: the figure is 1, where nothing else runs


def percentile(values: Iterable[float], part: float) -> float:
    """The smallest that so much of them does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


class Told(Dispatcher):
    """Keeps when each move of an alarm was told, which is after its commit."""

    def __init__(self, plant: Plant, database: Database) -> None:
        super().__init__(plant, database, utc_now, random.random)
        self.moves: list[tuple[float, Move]] = []

    def tell(self, moves: Sequence[Move]) -> None:
        now = time.monotonic()
        self.moves += [(now, move) for move in moves if move.alert.kind not in OF_NO_POLL]
        super().tell(moves)

    def has(self, asset: str, item: str, value: object) -> bool:
        """Whether an alarm was told of an item with this value."""
        alerts = (move.alert for _, move in self.moves)
        return any((alert.asset, alert.item, alert.observed) == (asset, item, value) for alert in alerts)


class Counted(Poller):
    """Keeps what became of each poll."""

    def __init__(self, plant: Plant) -> None:
        super().__init__(plant.profiles, utc_now)
        self.polls: defaultdict[str, list[Polling]] = defaultdict(list)

    async def poll(self, polled: Polled, tripwire: bool = False) -> Poll:
        began = time.monotonic()
        found = await super().poll(polled, tripwire)
        unread = frozenset(each.key for each in found.outcome.unread) if isinstance(found.outcome, Snapshot) else None
        self.polls[polled.asset.name].append((began, time.monotonic(), unread))
        return found

    def times_read(self, change: Change) -> int:
        """How many polls began and ended while a change stood, and read its item."""
        polls = self.polls[change.asset]
        first = bisect_left(polls, change.since, key=lambda poll: poll[0])
        return sum(
            ended <= change.until and unread is not None and not any(change.item.startswith(key) for key in unread)
            for _, ended, unread in polls[first:]
        )


def plant_of(folder: Path, places: Sequence[str], every: float, more: str = "") -> tuple[Plant, Database]:
    """A plant of shifting devices, with its store."""
    (folder / "shifting.toml").write_text(PROFILE)
    assets = "".join(
        f'[asset.plc{number}]\naddress = "modbus://{place}/1"\nprofile = "shifting.toml"\n'
        f'every = "{every * 1000:.0f}ms"\n{more}'
        for number, place in enumerate(places)
    )
    (folder / "plant.toml").write_text(f'[plant]\nname = "T"\n[store]\nurl = "sqlite:///asbuilt.db"\n{assets}')
    plant = load_plant(folder / "plant.toml")
    database = Database(plant.store_url)
    database.migrate()
    return plant, database


def commission(plant: Plant, database: Database) -> None:
    """Poll every asset once, and approve what it is."""

    async def read() -> list[Poll]:
        poller = Poller(plant.profiles, utc_now)
        found = await asyncio.gather(*map(poller.poll, plant.assets.values()))
        await poller.close()
        return found

    found = asyncio.run(read())
    with database.write() as tx:
        note_assets(tx, plant, KIM, utc_now())
        for poll in found:
            assert isinstance(poll.outcome, Snapshot), poll.outcome
            take(tx, poll, utc_now(), keep=True)
            actions.propose(tx, poll.outcome, Stage.SAT, KIM, utc_now())
            actions.approve(tx, poll.outcome.asset, KIM, "test", utc_now())


# ---- Scripted changes


FIELDS = {
    "mode": "item.mode",
    "program": "item.program",
    "limit": "item.limit",
    "software_revision": "identity.software_revision",
}
AS_APPROVED = {"mode": 3, "program": "deadbeef", "limit": 12.5, "software_revision": "2.4.1"}


def other_value(name: str, number: int) -> Any:
    """A value that no other change of the item has."""
    return {
        "mode": 1000 + number % 60_000,
        "program": f"{number:08x}",
        "limit": 100.0 + number / 2,
        "software_revision": f"3.{number}",
    }[name]


@dataclass(slots=True)
class Change:
    """One scripted change: it stands from `since` to `until`; `told` is when its alarm was told."""

    asset: str
    item: str
    value: Any
    since: float
    until: float = inf
    told: float | None = None


@dataclass(slots=True)
class Script:
    """What is done to the devices: each changes for two intervals or somewhat more, over and over.

    In `make test`, whose intervals are a fraction of a second and whose machine is busy, until it is told, too.
    """

    devices: Devices
    told: Told
    every: float
    chance: random.Random
    fields: Sequence[str] = tuple(FIELDS)
    done: Counter[str] = field(default_factory=Counter)

    async def play(self, number: int, changes: int) -> None:
        await asyncio.sleep(self.chance.random() * self.every)
        standing: set[str] = set()
        for _ in range(changes):
            name = self.chance.choice(self.fields)
            self.done[name] += 1
            value = other_value(name, self.done[name])
            self.devices.set(number, name, value)
            standing.add(name)
            await asyncio.sleep(self.every * self.chance.uniform(2.0, 2.5))
            if not NOTES:
                await come(partial(self.told.has, f"plc{number}", FIELDS[name], value), f"the alarm of {value}")
            if self.chance.random() < 0.4:  # else the next change finds it so, and may move it on
                for each in standing:
                    self.devices.set(number, each, AS_APPROVED[each])
                standing.clear()
                await asyncio.sleep(self.every * self.chance.random())
        for each in standing:
            self.devices.set(number, each, AS_APPROVED[each])


def scripted(done: Iterable[tuple[float, int, str, Any]]) -> tuple[list[Change], dict[tuple[str, str], list[float]]]:
    """The changes, and when each item went back to what is approved."""
    open_: dict[tuple[str, str], Change] = {}
    changes, returns = [], defaultdict(list)
    for at, number, name, value in done:
        key = (f"plc{number}", FIELDS[name])
        if before := open_.pop(key, None):
            before.until = at
        if value == AS_APPROVED[name]:
            returns[key].append(at)
        else:
            open_[key] = Change(*key, value, at)
            changes.append(open_[key])
    return changes, returns


def stored(database: Database) -> Counter[Row]:
    """The moves of alarms that polls raise which the store has, and how often."""
    query = (
        "SELECT asset.name, alert.item, alert_move.event, alert_move.observed, alert.kind FROM alert_move "
        "JOIN alert ON alert.id = alert_move.alert_id JOIN asset ON asset.id = alert.asset_id"
    )
    with database.read() as tx:
        return Counter(tuple(row) for *row, kind in tx.exec_driver_sql(query) if kind not in OF_NO_POLL)


async def played(watching: Daemon, script: Script, count: int, each: int) -> None:
    """Run the daemon; when every device has been polled, play the script, until all of it has been polled too."""
    stop = asyncio.Event()
    running = asyncio.create_task(watching.run(stop))
    await asyncio.sleep(1.1 * script.every)
    await asyncio.gather(*(script.play(number, each) for number in range(count)))
    await asyncio.sleep(1.1 * script.every)
    stop.set()
    await running


RATES = (0.0, 0.1, 0.3)  # of the devices, a third each
LEAST_FOUND = {0.0: 100, 0.1: times(100, 99), 0.3: times(100, 90)}  # in %; in `make test` all are waited for


def test_every_change_is_found_and_nothing_else_whatever_is_lost(tmp_path: Path) -> None:
    """A change that stands for two intervals is found, unless no poll got through while it stood."""
    count, each, every = times(10, 556) * len(RATES), times(1, 6), times(500, 20_000) / 1000
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with devices(count) as plcs:
        plant, database = plant_of(tmp_path, plcs.places, every)
        commission(plant, database)
        rates = {place.partition(":")[0]: RATES[number % len(RATES)] for number, place in enumerate(plcs.places)}
        plcs.lose(rates)
        poller, told = Counted(plant), Told(plant, database)
        script = Script(plcs, told, every, random.Random(5))

        async def main() -> None:
            await played(Daemon(plant, database, poller, told, utc_now, random.random), script, count, each)

        with asyncio.Runner(loop_factory=lambda: LossyLoop(rates)) as runner:
            runner.run(main())
        changes, returns = scripted(plcs.changes())
        moves = stored(database)
        database.close()

    assert len(changes) == count * each
    assert unscripted(moves, changes, returns) == []
    tell_when(told, changes, returns)
    wrong = []
    for rate in RATES:
        names = {f"plc{number}" for number in range(count) if RATES[number % len(RATES)] == rate}
        wrong += judge_found(rate, every, [each for each in changes if each.asset in names], poller)
    assert wrong == []


def unscripted(moves: Iterable[Row], changes: Iterable[Change], returns: Mapping[tuple[str, str], object]) -> list[Row]:
    """The moves that nothing was done for."""
    values = {(each.asset, each.item, json.dumps(each.value)) for each in changes}
    return [
        (asset, item, event, observed)
        for asset, item, event, observed in moves
        if ((asset, item, observed) not in values if event in DEVIATING else (asset, item) not in returns)
    ]


def tell_when(told: Told, changes: Iterable[Change], returns: Mapping[tuple[str, str], Sequence[float]]) -> None:
    """Note of each change when its alarm was told first; nothing is told before it is done."""
    by_value = {(each.asset, each.item, json.dumps(each.value)): each for each in changes}
    for at, move in told.moves:
        key = (move.alert.asset, move.alert.item)
        if move.event in DEVIATING:
            change = by_value[(*key, json.dumps(move.alert.observed))]
            assert at > change.since
            change.told = change.told or at
        else:
            assert any(back < at for back in returns[key])


def judge_found(rate: float, every: float, changes: Sequence[Change], poller: Counted) -> list[str]:
    """What is wrong: a change that a poll could see and that was not found, or fewer of all than should be."""
    missed = [each for each in changes if each.told is None]
    unseen = [each for each in missed if not poller.times_read(each)]
    done = [poll for asset in {each.asset for each in changes} for poll in poller.polls[asset]]
    late = [each.told - each.since for each in changes if each.told is not None]
    note(
        f"scripted changes of two intervals of {every:g} s and more, with {rate:.0%} of the segments lost each way",
        changes=len(changes), found=len(late), missed_though_a_poll_got_through=len(missed) - len(unseen),
        missed_as_none_did=len(unseen), seconds_until_found_p50=round(percentile(late, 0.5), 1),
        p99=round(percentile(late, 0.99), 1), alarms_of_nothing=0, polls=len(done),
        polls_that_failed=sum(unread is None for *_, unread in done),
        read_in_part=sum(bool(unread) for *_, unread in done),
    )  # fmt: skip
    wrong = [f"at {rate:.0%}, missed though it was read: {each}" for each in missed if each not in unseen]
    if 100 * len(late) < LEAST_FOUND[rate] * len(changes):
        wrong.append(f"at {rate:.0%}, found {len(late)} of {len(changes)}")
    return wrong


# ---- How soon


def test_a_change_of_the_tripwire_is_alarmed_within_an_interval_and_a_second(tmp_path: Path) -> None:
    count, each, every = times(20, 50), times(1, 4), times(500, 3000) / 1000
    with devices(count) as plcs:
        plant, database = plant_of(tmp_path, plcs.places, every, 'deep_every = "1h"\n')
        commission(plant, database)
        told = Told(plant, database)
        script = Script(plcs, told, every, random.Random(6), ("mode", "program", "software_revision"))

        async def main() -> None:
            polling = Poller(plant.profiles, utc_now)
            await played(Daemon(plant, database, polling, told, utc_now, random.random), script, count, each)

        asyncio.run(main())
        changes, returns = scripted(plcs.changes())
        moves = stored(database)
        database.close()
    assert unscripted(moves, changes, returns) == []
    tell_when(told, changes, returns)
    late = [each.told - each.since if each.told else inf for each in changes]
    note(
        f"from a change to the commit of its alarm, by a tripwire every {every:g} s",
        changes=len(late), seconds_p50=round(percentile(late, 0.5), 2), p99=round(percentile(late, 0.99), 2),
        at_most=round(max(late), 2),
    )  # fmt: skip
    assert percentile(late, 0.99) < every + BUSY


class Aside(PlantFolder):
    """A plant whose daemon is in the namespace of a wire, where only its device and a test send anything."""

    def __init__(self, folder: Path, place: str, wire: Wire) -> None:
        segment = '[segment.line]\ninterface = "lo"\n'
        super().__init__(folder, {"plc": f"modbus://{place}/1"}, 'deep_every = "1h"\n' + segment, every="10s")
        (folder / "p9.toml").write_text(PROFILE)
        self._wire = wire

    def start(self, *words: str) -> subprocess.Popen[str]:
        with self._wire.inside():
            return self.start_apart(*words)


ROGUE = "127.0.0.66"


def test_a_write_on_the_wire_is_alarmed_within_a_second_with_who_it_was(wire: Wire, tmp_path: Path) -> None:
    """A daemon with its sensor, both processes; a client that is none of ours writes to the device."""
    writes = times(5, 100)
    first: list[float] = []
    polled: list[float] = []
    with ExitStack() as stack:
        with wire.inside():
            plcs = stack.enter_context(devices(1, port=502))
            (place,) = plcs.places
            host, port = place.split(":")
            client = ModbusTcpClient(host, port=int(port), source_address=(ROGUE, 0))
            assert client.connect()  # type: ignore[no-untyped-call]
        stack.callback(client.close)
        plant = Aside(tmp_path, place, wire)
        stack.enter_context(plant.daemon())
        for words in (("propose", "plc"), ("approve", "plc", "--reason", "test")):
            done = plant.asbuilt("baseline", *words)
            assert done.code == 0, done.out + done.err
        wait_for(lambda: known(tmp_path, LISTENS), "the sensor to listen")
        for number in range(writes):
            value = 100.0 + number
            began = time.monotonic()
            assert not client.write_registers(103, list(struct.unpack(">HH", struct.pack(">f", value)))).isError()
            for item, seconds in ((f'wire.write."{ROGUE}".item.limit', first), ("item.limit", polled)):
                wait_for(partial(named, tmp_path, item, value), f"{item} of {value}")
                seconds.append(time.monotonic() - began)
    for what, seconds in (("seen on the wire", first), ("and read by the poll that it called for", polled)):
        note(
            f"from a write of another client to the alarm that names it, {what}",
            writes=writes, seconds_p50=round(percentile(seconds, 0.5), 2), p99=round(percentile(seconds, 0.99), 2),
            at_most=round(max(seconds), 2),
        )  # fmt: skip
    assert percentile(first, 0.99) < BUSY


LISTENS = "SELECT 1 FROM run JOIN asset ON asset.id = run.asset_id WHERE asset.name = 'line' AND digest NOT NULL"
NEWEST = "SELECT observed, who FROM alert WHERE item = ? ORDER BY id DESC LIMIT 1"


def known(folder: Path, query: str, *values: str) -> tuple[Any, ...] | None:
    """The first row that the store gives."""
    with closing(sqlite3.connect(folder / "asbuilt.db")) as opened:
        found: tuple[Any, ...] | None = opened.execute(query, values).fetchone()
    return found


def named(folder: Path, item: str, value: float) -> bool:
    """Whether the store has an alarm of an item with this value, and who did it."""
    observed, who = known(folder, NEWEST, item) or ("", None)
    return str(value) in observed and json.loads(who or "{}").get("client") == ROGUE


# ---- For years


MIX = (*[SAME] * 14, *[TREMBLING] * 5, CHANGING)  # of twenty devices; what changes does so with every other poll
SLOPE = times(256, 4)  # bytes a poll: the full proof has the figure; small, a Poll that is kept is 4,000 and more
WARM = times(3_000, 60_000)  # polls, until what is kept for later is there: modules, caches, arenas, SQLite's pages


class Mixed:
    """A device of 100 items, of which one changes, trembles, or none does."""

    def __init__(self, number: int) -> None:
        self._device = Device(number)

    def frame(self, request: bytes) -> bytes:
        return self._device.frame(request)


def day_plant(folder: Path, places: Sequence[str], hook: str) -> Path:
    """A plant that is polled as fast as it goes; what changes, every two seconds."""
    limits = {"requests_per_second": 1_000_000.0}
    profile = {"name": "benchmark", "limits": limits, "item": profile_tables()}
    assets = {
        f"plc{number}": {
            "address": f"modbus://{place}/{(unit := MIX[number % len(MIX)])}",
            "profile": "profile.toml",
            "every": "2s" if unit == CHANGING else "20ms",
        }
        for number, place in enumerate(places)
    }
    plant = {"plant": {"name": "day"}, "store": {"url": "sqlite:///asbuilt.db"}, "asset": assets}
    plant["notify"] = {"shift": {"kind": "webhook", "url": hook}}
    (folder / "profile.toml").write_text(toml(profile))
    path = folder / "plant.toml"
    path.write_text(toml(plant))
    return path


def resident(pid: int) -> int:
    """Bytes that a process holds now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the line through points that is nearest to them by least squares."""
    x, y = np.array(points).T
    return float(np.polyfit(x, y, 1)[0])


def test_a_day_of_polls_leaves_nothing_behind_in_memory(tmp_path: Path) -> None:
    """`asbuilt run` over devices in another process: most of them unchanged, some tremble, some change and are
    alarmed, told and acknowledged again and again. In full a million polls, which is more than a day has (864,000)."""
    count, polls = times(20, 200), times(7_000, 1_010_000)
    with devices(count, Mixed) as plcs, webhook() as (hook, posted), ExitStack() as stack:
        plant = load_plant(day_plant(tmp_path, plcs.places, hook))
        database = Database(plant.store_url)
        stack.callback(database.close)
        database.migrate()
        commission(plant, database)
        process = stack.enter_context(daemon(plant.path))
        points: list[tuple[float, float]] = []
        began = time.monotonic()
        while (done := plcs.requests()) < polls:
            assert process.poll() is None, "the daemon ended"
            if posted and done > WARM:
                points.append((done, resident(process.pid)))
            acknowledge(database)
            time.sleep(0.2)
        seconds = time.monotonic() - began
        with database.read() as tx:
            alerts = store.alerts(tx, closed=True)
        moves = sum(stored(database).values())
    grown = slope(points)
    note(
        f"no false deviation, and the resident memory of the daemon, in the polls of a day of {count} assets",
        polls=done, bytes_a_poll=round(grown, 2), MB_at_first=round(points[0][1] / 1e6, 1),
        MB_at_last=round(points[-1][1] / 1e6, 1), moves_of_alarms=moves, messages=len(posted), seconds=round(seconds),
    )  # fmt: skip
    changing = {f"plc{number}" for number in range(count) if MIX[number % len(MIX)] == CHANGING}
    assert {alert.asset for alert in alerts if alert.kind not in OF_NO_POLL} == changing, "no false deviation"
    assert moves > 0
    assert posted
    assert grown < SLOPE


def acknowledge(database: Database) -> None:
    """Somebody sees every alarm that waits for it."""
    with database.write() as tx:
        waiting = [alert.id for alert in store.alerts(tx) if alert.state in (AlertState.UNACK, AlertState.RTN_UNACK)]
        if waiting:
            actions.acknowledge_alerts(tx, waiting, KIM, "seen", utc_now())
