"""The long proof of change orders: random orders, randomly done, against what a simulated PLC was really made to do."""

from __future__ import annotations

import asyncio
import random
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from baselines.baseline import Stage, State
from baselines.snapshot import Snapshot
from baselines.wire import Written
from collectors.address import parse_address
from collectors.collector import Target, poll
from collectors.modbus import ModbusCollector
from collectors.profile import Profiles, parse_profile
from monitor import actions, ordering, store
from monitor.pipeline import take, take_written
from monitor.store import Actor, Database
from simulators.floor import Floor
from simulators.plc import Plc
from simulators.scenario import parse
from tests.evidences import stored_flaw
from tests.floors import PROFILE, TWO
from tests.measured import note, times

ADA, BO = Actor("ada", "ada@laptop"), Actor("bo", "bo@plant")
BEGIN = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
WINDOW = (10, 50)  # minutes after an order was opened
VALUES: Mapping[str, tuple[Any, ...]] = {
    "limit": (12.5, 13.0, 14.25, 11.0),
    "mode": (3, 7, 5),
    "crc": ("deadbeef", "cafecafe", "00000001"),
}
SHOWN = {3: "RUN", 7: "PROGRAM"}
STEP = timedelta(minutes=1)


@dataclass
class Truth:
    """What the proof knows, for it made it happen: the value of every item by the minute, as polls could see it."""

    before: dict[str, Any]
    seen: list[tuple[int, dict[str, Any]]] = field(default_factory=list)  # minute, and all values then
    written: list[tuple[int, str, Any]] = field(default_factory=list)  # there and back, which only the wire saw

    def outcome(self, item: str, expected: Any) -> str:
        """By hand, and otherwise than the product does it: minute by minute."""
        values = [(-1, self.before[item]), *((minute, values[item]) for minute, values in self.seen)]
        final = values[-1][1]
        moved = final != self.before[item]
        if not (moved if expected == "*" else final == expected):
            return "partial" if moved else "missing"
        away = [minute for (_, value), (minute, _) in pairwise(values) if not self._there(item, expected, value)]
        arrived = max(away, default=-1)
        return "as-planned" if WINDOW[0] <= arrived <= WINDOW[1] else "outside-window"

    def _there(self, item: str, expected: Any, value: Any) -> bool:
        return bool(value != self.before[item] if expected == "*" else value == expected)

    def excess(self, declared: set[str]) -> set[str]:
        """Items that nobody declared, and that came to another value than the approved one since the window began."""
        found = {item for minute, item, value in self.written if minute >= WINDOW[0] and value != self.before[item]}
        for item in VALUES:
            last = self.before[item]
            for minute, values in self.seen:
                if minute >= WINDOW[0] and values[item] not in (last, self.before[item]):
                    found.add(item)
                last = values[item]
        return found - declared


def test_a_hundred_orders_done_in_part_come_out_as_they_were_done(database: Database) -> None:
    async def play() -> None:
        chance, orders, outcomes = random.Random(11), times(15, 400), Counter[str]()
        profile = parse_profile(tomllib.loads(PROFILE) | {"limits": {"requests_per_second": 100_000}}, "p9.toml")
        async with Floor(parse(TWO), ports="free") as floor:
            plc = floor.plcs["line1/filler"]
            clock = Clock()
            collector = ModbusCollector(Profiles([profile]), clock.now)
            room = Room(database, floor, plc, collector, clock)
            await room.approve_what_is_there()
            for _ in range(orders):
                outcomes += await one_order(room, chance)
            await collector.close()
        assert {"as-planned", "partial", "missing", "outside-window", "excess"} <= {*outcomes} or orders < 100
        with database.read() as tx:
            assert stored_flaw(tx) is None
        note("every outcome of an order is what was really done", orders=orders, **dict(sorted(outcomes.items())))

    asyncio.run(play())


class Clock:
    def __init__(self) -> None:
        self.at = BEGIN

    def now(self) -> datetime:
        return self.at


@dataclass
class Room:
    """A simulated PLC, a store, and a clock that goes as fast as we like."""

    database: Database
    floor: Floor
    plc: Plc
    collector: ModbusCollector
    clock: Clock

    async def set(self, values: Mapping[str, Any]) -> None:
        await self.floor.apply({"plc": "line1/filler", "set": dict(values)})

    async def poll(self) -> Snapshot:
        target = Target("plc", parse_address(self.plc.address), "p9")
        polled = await poll(self.collector, target)
        assert isinstance(polled.outcome, Snapshot)
        with self.database.write() as tx:
            take(tx, polled, self.clock.at)
        return polled.outcome

    async def approve_what_is_there(self) -> None:
        seen = await self.poll()
        with self.database.write() as tx:
            actions.propose(tx, seen, Stage.SAT, ADA, self.clock.at)
            actions.approve(tx, "plc", BO, "it is", self.clock.at)

    def values(self) -> dict[str, Any]:
        """What the PLC really holds, by itself."""
        return {item: self.plc.value(item) for item in VALUES}


async def one_order(room: Room, chance: random.Random) -> Counter[str]:
    """Open an order, let things be done or not, close it, and hold what it says against what was done."""
    await room.poll()
    before = room.values()
    truth = Truth(before)
    declared = {
        item: "*" if chance.random() < 0.2 else chance.choice([v for v in VALUES[item] if v != before[item]])
        for item in chance.sample(list(VALUES), chance.randint(1, 3))
    }
    opened = room.clock.at
    with room.database.write() as tx:
        order = ordering.open_order(
            tx,
            ["plc"],
            [f"item.{item}={value}" for item, value in declared.items()],
            opened + WINDOW[0] * STEP,
            opened + WINDOW[1] * STEP,
            "T",
            "",
            ADA,
            opened,
        )
    for minute in sorted(chance.sample(range(1, 70), chance.randint(0, 6))):
        room.clock.at = opened + minute * STEP
        if chance.random() < 0.15:
            item = chance.choice(list(VALUES))
            there = chance.choice(VALUES[item])
            if declared.get(item) in ("*", there):
                continue  # the order takes it for its own: judged in test_change
            truth.written.append((minute, item, there))
            wrote = Written(f"item.{item}", room.clock.at, shown(there), {"client": "10.0.0.9", "protocol": "modbus"})
            with room.database.write() as tx:
                take_written(tx, "plc", wrote, room.clock.at)
            continue
        await room.set(step(declared, before, chance))
        await room.poll()
        truth.seen.append((minute, room.values()))
    room.clock.at = opened + 75 * STEP
    await room.poll()
    truth.seen.append((75, room.values()))
    with room.database.write() as tx:
        closed = ordering.close_order(tx, order.id, ADA, room.clock.at).order
    assert {each.item.removeprefix("item."): str(each.outcome) for each in closed.expectations} == {
        item: truth.outcome(item, value) for item, value in declared.items()
    }, f"{truth} {declared} {closed.expectations}"
    assert {each.item.removeprefix("item.") for each in closed.excess} == truth.excess(set(declared)), (truth, declared)
    room.clock.at += STEP
    await settle(room, closed.as_planned)
    room.clock.at += STEP
    return Counter([*(str(each.outcome) for each in closed.expectations), *["excess"] * len(closed.excess)])


def step(declared: Mapping[str, Any], before: Mapping[str, Any], chance: random.Random) -> dict[str, Any]:
    """What somebody does at a moment: as declared, otherwise, back, or what nobody declared."""
    done: dict[str, Any] = {}
    for item in VALUES:
        match chance.randrange(8):
            case 0 | 1 | 2 if item in declared and declared[item] != "*":
                done[item] = declared[item]
            case 3 if item in declared:
                done[item] = chance.choice(VALUES[item])
            case 4:
                done[item] = before[item]
            case 5 if chance.random() < 0.2:
                done[item] = chance.choice(VALUES[item])
    return done


def shown(value: Any) -> Any:
    return SHOWN.get(value, value)


async def settle(room: Room, as_planned: bool) -> None:
    """Back to a plant that is as approved: what was done as planned is approved, all else is undone."""
    with room.database.write() as tx:
        proposed = store.current_baseline(tx, "plc", State.PROPOSED)
        assert (proposed is not None) == as_planned
        if proposed is not None:
            actions.approve(tx, "plc", BO, "as planned", room.clock.at, although_changed=True)
    await room.approve_what_is_there()
