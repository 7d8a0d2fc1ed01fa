"""The outbox on real databases with real receivers: nothing is lost, nothing is told under two keys, nobody waits for
a receiver that hangs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from baselines.alert import NORMAL, RTN_UNACK, UNACK, Alert, Event, Move, acknowledge
from baselines.asset import Asset
from baselines.drift import Kind
from baselines.snapshot import Category, Severity
from collectors.address import parse_address
from collectors.collector import Target
from collectors.profile import Profiles
from monitor import store
from monitor.config import Evidence, Plant, Polled
from monitor.logs import Trouble
from monitor.notify.dispatcher import Dispatcher
from monitor.notify.grouping import CALM, FLAPS
from monitor.polling import utc_now
from monitor.routes import AnyRoute, Webhook
from monitor.store import Database
from monitor.writer import Writer
from tests.floors import PATIENCE, PlantFolder, RunningFloor, wait_for
from tests.receivers import Web, web
from tests.test_daemon import open_alerts, webhook

T = TypeVar("T")
QUICK = timedelta(milliseconds=50)


def hook(url: str, name: str = "shift", **more: Any) -> Webhook:
    return Webhook(kind="webhook", name=name, url=url, **{"group_for": QUICK, **more})


class Room:
    """A plant with routes, a store, and a dispatcher that runs while it is wanted. `later`: than it is."""

    def __init__(self, database: Database, *routes: AnyRoute) -> None:
        self.database = database
        self.later = timedelta()
        self.plant = self.with_routes(*routes)
        with database.write() as tx:
            store.add_assets(tx, ["plc", "filler"])
            store.begin_routes(tx, [route.name for route in routes])

    def with_routes(self, *routes: AnyRoute) -> Plant:
        address = parse_address("modbus://plc/1")
        polled = Polled(Asset("plc", str(address), "auto", zone="line1"), Target("plc", address, "auto"), QUICK)
        return Plant(Path(), "Bottling", "UTC", "", {"plc": polled}, Profiles(), Evidence(Path()), routes=routes)

    def clock(self) -> datetime:
        return utc_now() + self.later

    def raised(
        self, item: str, severity: Severity = Severity.HIGH, asset: str = "plc", kind: Kind = Kind.CHANGED
    ) -> Move:
        now = self.clock()
        alert = Alert(asset, item, kind, 1, 2, severity, Category.PARAMETER, (), None, now, now, UNACK)
        return Move(Event.DEVIATES, NORMAL, alert)

    def moves(self, moves: Iterable[Move]) -> list[Move]:
        with self.database.write() as tx:
            return [store.store_move(tx, move) for move in moves]

    def raises(self, *items: str, **more: Any) -> list[Move]:
        return self.moves([self.raised(item, **more) for item in items])

    @asynccontextmanager
    async def dispatcher(self) -> AsyncIterator[Dispatcher]:
        writer = Writer(self.database)
        dispatcher = Dispatcher(self.plant, self.database, self.clock, lambda: 0.0, every=0.05)
        running = asyncio.create_task(dispatcher.run(writer.write, Trouble("store").failed))
        try:
            yield dispatcher
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            writer.stop()

    def rows(self) -> dict[str, store.RouteHealth]:
        with self.database.read() as tx:
            return store.route_health(tx, [route.name for route in self.plant.routes])

    def marks(self) -> dict[str, tuple[int, str]]:
        with self.database.read() as tx:
            return store.route_marks(tx)


async def come(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)


def items(served: Web) -> list[list[str]]:
    return [[each["alert"]["item"] for each in document["alerts"]] for document in served.documents]


def test_what_moved_is_told_once_also_over_a_restart(database: Database) -> None:
    async def run() -> None:
        async with web() as served:
            room = Room(database, hook(served.url))
            async with room.dispatcher() as dispatcher:
                dispatcher.tell(room.raises("a", "b"))
                await come(lambda: room.rows()["shift"].sent_at)
            room.raises("c")  # while nobody runs
            async with room.dispatcher():
                await come(lambda: len(served.posted) == 2 and not room.rows()["shift"].waiting)
            async with room.dispatcher():
                room.raises("d")
                await come(lambda: len(served.posted) == 3 and not room.rows()["shift"].waiting)
            assert items(served) == [["a", "b"], ["c"], ["d"]]
            assert len({headers["idempotency-key"] for headers, _ in served.posted}) == 3
            assert room.rows()["shift"].waiting == 0

    asyncio.run(run())


def test_what_was_refused_is_tried_again_under_the_same_key(database: Database) -> None:
    async def run() -> None:
        async with web() as served:
            room = Room(database, hook(served.url))
            served.behaviour = 500
            async with room.dispatcher() as dispatcher:
                room.raises("a", severity=Severity.CRITICAL)
                await come(lambda: room.rows()["shift"].why == "HTTP status 500")
                assert (await asyncio.to_thread(dispatcher.health))["shift"].waiting == 1
            with database.read() as tx:
                waiting = store.next_message(tx, "shift", room.clock() + timedelta(minutes=1))
            assert waiting
            served.behaviour = 204
            room.later = timedelta(minutes=1)  # the next try is due
            async with room.dispatcher():
                await come(lambda: room.rows()["shift"].sent_at)
            assert served.posted[0][0]["idempotency-key"] == waiting.key
            assert waiting.tries == 1

    asyncio.run(run())


def test_a_receiver_that_hangs_holds_up_nobody_else(database: Database) -> None:
    async def run() -> None:
        async with web() as good, web() as bad:
            bad.behaviour = "hang"
            room = Room(database, hook(bad.url, "bad"), hook(good.url, "good"))
            async with room.dispatcher():
                room.raises("a")
                await come(lambda: good.posted)
                room.raises("b")
                await come(lambda: len(good.posted) == 2)

    asyncio.run(run())


def test_a_new_route_hears_of_nothing_that_was_before(database: Database) -> None:
    async def run() -> None:
        async with web() as served, web() as late:
            room = Room(database, hook(served.url))
            async with room.dispatcher() as dispatcher:
                room.raises("a")
                await come(lambda: served.posted)
                room.plant = room.with_routes(hook(late.url, "late"))
                dispatcher.follow(room.plant)
                await come(lambda: "late" in room.marks())
                room.raises("b")
                await come(lambda: late.posted)
            assert (items(served), items(late)) == ([["a"]], [["b"]])

    asyncio.run(run())


def test_routes_by_severity_zone_and_self_test(database: Database) -> None:
    async def run() -> None:
        async with web() as served:
            routes = [
                hook(f"{served.url}?all", "all"),
                hook(f"{served.url}?line", "line", zones=("line1",)),
                hook(f"{served.url}?test", "test", self_test=True, min_severity=Severity.CRITICAL),
            ]
            room = Room(database, *routes)
            async with room.dispatcher():
                room.moves([room.raised("a"), room.raised("b", asset="filler"), room.raised("c", kind=Kind.SELFTEST)])
                await come(lambda: len(served.posted) == 3)
            told = {document["route"]: document for document in served.documents}
            assert [each["alert"]["item"] for each in told["all"]["alerts"]] == ["a", "b"]
            assert [each["alert"]["item"] for each in told["line"]["alerts"]] == ["a"]
            assert [each["alert"]["item"] for each in told["test"]["alerts"]] == ["c"]

    asyncio.run(run())


def test_what_nobody_acknowledges_goes_to_the_next_and_only_once(database: Database) -> None:
    async def run() -> None:
        async with web() as served, web() as other:
            all_critical = hook(other.url, "all", min_severity=Severity.CRITICAL)
            room = Room(database, hook(served.url, after=timedelta(minutes=15)), all_critical)
            seen, _ = room.raises("seen", "unseen")
            acknowledged = acknowledge(seen.alert, "Ada", "", room.clock())
            room.moves([acknowledged] if acknowledged else [])
            async with room.dispatcher():
                room.later = timedelta(minutes=14)
                room.raises("early", severity=Severity.CRITICAL)
                await come(lambda: other.posted)  # it has looked, and has found nothing to tell
                assert served.posted == []
                room.later = timedelta(minutes=16)
                await come(lambda: room.rows()["shift"].sent_at)
            (document,) = served.documents
            assert (document["event"], document["alert"]["item"]) == ("unacknowledged", "unseen")
            assert "nobody has acknowledged" in document["text"]
            room.later = timedelta(hours=2)
            async with room.dispatcher():
                await come(lambda: len(served.posted) == 2)
            assert served.documents[1]["alert"]["item"] == "early"

    asyncio.run(run())


def test_what_flaps_is_told_as_that_and_then_when_it_is_calm(database: Database) -> None:
    async def run() -> None:
        async with web() as served:
            room = Room(database, hook(served.url))
            (first,) = room.raises("a")
            over = replace(first.alert, state=RTN_UNACK)
            for _ in range(FLAPS):
                room.moves([Move(Event.CONFORMS, UNACK, over), Move(Event.DEVIATES, RTN_UNACK, first.alert)])
            async with room.dispatcher():
                await come(lambda: room.rows()["shift"].sent_at)
                room.moves([Move(Event.CONFORMS, UNACK, over)])
                await come(lambda: room.marks()["shift"][0] == 2 * FLAPS + 2)  # it has taken that in
                room.later = timedelta(seconds=CALM + 5)
                await come(lambda: len(served.posted) == 2)
            assert [document["event"] for document in served.documents] == ["flapping", "settled"]
            assert "is calm: it is back as approved: 1" in served.documents[1]["text"]
            with database.read() as tx:
                assert [each.state for each in store.alerts(tx)] == [RTN_UNACK]

    asyncio.run(run())


def test_what_can_not_be_sent_for_days_is_given_up_and_what_its_route_left_behind_too(database: Database) -> None:
    async def run() -> None:
        async with web() as served:
            served.behaviour = 500
            room = Room(database, hook(served.url))
            async with room.dispatcher():
                room.raises("a")
                await come(lambda: room.rows()["shift"].why)
            room.later = timedelta(days=3, minutes=1)
            async with room.dispatcher():
                await come(lambda: room.rows()["shift"].failed == 1)
                room.raises("b")
                await come(lambda: room.rows()["shift"].waiting == 1)
            with database.write() as tx:
                store.begin_routes(tx, [])
            assert (room.rows()["shift"].waiting, room.rows()["shift"].failed) == (0, 2)

    asyncio.run(run())


def test_a_shout_needs_no_store(tmp_path: Path) -> None:
    async def run() -> None:
        async with web() as served, web() as bad:
            bad.behaviour = 500
            database = Database(f"sqlite:///{tmp_path / 'none.db'}")
            plant = Room.with_routes(
                Room.__new__(Room),
                hook(served.url, "all"),
                hook(bad.url, "bad"),
                hook(served.url, "critical", min_severity=Severity.CRITICAL),
                hook(served.url, "boss", after=timedelta(minutes=5)),
            )
            dispatcher = Dispatcher(plant, database, utc_now, lambda: 0.0)
            whys = await dispatcher.shout("the store refuses: disk full", Severity.HIGH)
            assert whys == {"all": "", "bad": "HTTP status 500"}
            (document,) = served.documents
            assert (document["event"], document["text"]) == ("notice", "the store refuses: disk full")
            assert not (tmp_path / "none.db").exists()

    asyncio.run(run())


def test_in_a_storm_few_messages_and_the_critical_one_at_once(tmp_path: Path) -> None:
    """benchmarks/storm.py has all of it: 100,000."""
    database = Database(f"sqlite:///{tmp_path / 'asbuilt.db'}")
    database.migrate()

    async def run() -> None:
        async with web() as served:
            room = Room(database, hook(served.url, group_for=timedelta(seconds=3)))
            storm = [room.raised(f"i{number}") for number in range(2100)]
            storm[2050] = room.raised("worst", severity=Severity.CRITICAL)
            async with room.dispatcher():
                await asyncio.to_thread(room.moves, storm)
                began = time.monotonic()
                await come(lambda: served.posted)
                assert served.documents[0]["text"] == "plc: worst changed from 1 to 2"
                assert time.monotonic() - began < 10
                await come(lambda: sum(each["count"] for each in served.documents) == 2100)
            assert len(served.posted) <= 4
            digest = served.documents[-1]
            assert len(digest["alerts"]) == 20
            assert digest["count"] == digest["more"] + 20

    try:
        asyncio.run(run())
    finally:
        database.close()


# The whole program


@pytest.fixture
def told(floor: RunningFloor, tmp_path: Path) -> Any:
    """A plant with a route, and what was posted by it."""
    with webhook() as (url, posted):
        route = f'[notify.shift]\nkind = "webhook"\nurl = "{url}"\n'
        plant = PlantFolder(tmp_path, {name: plc.address for name, plc in floor.plcs.items()}, route)
        plant.commissioned()
        yield plant, posted, url


def test_a_command_tells_by_itself_where_no_daemon_runs_and_the_routes_can_be_tried(
    told: Any, floor: RunningFloor
) -> None:
    plant, posted, _ = told
    floor.apply("line1/filler", set={"crc": "cafebabe", "limit": 14.0})
    assert plant.asbuilt("check").code == 1
    assert [document["count"] for document in posted] == [1, 1]  # the critical one apart
    assert plant.asbuilt("check").code == 1
    assert len(posted) == 2
    listed = plant.asbuilt("notify", "list", "--json").json["routes"]
    assert [(route["route"], route["waiting"], route["held"]) for route in listed] == [("shift", 0, 0)]
    before = len(posted)
    plant.file.write_text(
        plant.file.read_text() + '[notify.siem]\nkind = "syslog"\naddress = "syslog+tcp://127.0.0.1:9"'
    )
    done = plant.asbuilt("notify", "test")
    assert (done.code, done.out.splitlines()[0]) == (3, "shift: sent")
    assert "siem: did not arrive:" in done.out
    assert posted[before]["event"] == "test"
    only = plant.asbuilt("notify", "test", "shift", "--json")
    assert (only.code, json.loads(only.out)) == (0, {"routes": [{"route": "shift", "ok": True, "why": ""}]})
    assert "has no route nobody" in plant.asbuilt("notify", "test", "nobody").err
    assert "siem" in plant.asbuilt("notify", "list").out


def test_kill_9_between_the_commit_and_the_message_loses_nothing(told: Any, floor: RunningFloor) -> None:
    plant, posted, url = told
    text = plant.file.read_text()
    plant.file.write_text(text.replace(url, "http://127.0.0.1:9/nobody"))
    with plant.daemon() as daemon:
        floor.apply("line1/filler", set={"crc": "cafebabe"})
        wait_for(lambda: open_alerts(plant), "the alarm")
        daemon.kill()
        daemon.wait()
    assert posted == []
    plant.file.write_text(text)
    with plant.daemon():
        wait_for(lambda: posted, "the message after the restart")
    assert [document["alert"]["item"] for document in posted] == ["item.crc"]
