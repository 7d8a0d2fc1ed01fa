"""The daemon that hears: segments beside assets, the whole way from a frame to an alarm."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import struct
import subprocess
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from baselines.alert import Alert, AlertState
from baselines.baseline import Stage
from baselines.drift import Kind, Verdict
from baselines.rules import CLAIMED
from baselines.wire import Operation, WireEvent
from collectors.passive.heard import Counts, Evidence, Heard, HeardHost
from collectors.passive.report import Happened, Report
from monitor import actions, lives, store
from monitor.board import inventory
from monitor.config import Plant, load_plant
from monitor.daemon import Daemon
from monitor.ears import Deaf
from monitor.notify.dispatcher import Dispatcher
from monitor.ordering import close_order, open_order
from monitor.polling import Poller, utc_now
from monitor.store import Actor, Database
from tests.floors import PATIENCE, PlantFolder, Process, RunningFloor, running, wait_for
from tests.spoken import CYCLE, PLC, READ, RESTART, ROGUE, SCADA, SECOND, WRITE, WRITE_MANY, Host, Listener, arp
from tests.test_ears import alive
from tests.wires import Wire

KIM = Actor("kim", "kim@workstation")
ONE = """
name = "one"
[model.p9]
protocol = "modbus"
identity = { manufacturer = "ACME", product_code = "P-9", software_revision = "2.4.1" }
[model.p9.point]
mode  = { table = "holding", address = 100, type = "uint16", value = 3 }
crc   = { table = "holding", address = 101, type = "bytes", count = 2, value = "deadbeef" }
limit = { table = "holding", address = 210, type = "float32", value = 12.5 }
[plc.filler]
model = "p9"
port = 0
"""
SEGMENT = '[segment.line3]\ninterface = "eth9"\n'
UNPOLLED = 'criticality = "safety"\n' + SEGMENT  # nothing is sent to a safety controller
REVISION = "witness.software_revision"


class Tap:
    """A sensor that says what a test says."""

    def __init__(self) -> None:
        self._said: asyncio.Queue[Report | Deaf] = asyncio.Queue()
        self.taken = 0
        self.closed = False

    async def hear(self, interface: str) -> AsyncGenerator[Report | Deaf, None]:
        assert interface == "eth9"
        try:
            while True:
                yield await self._said.get()
                self.taken += 1
        finally:
            self.closed = True

    async def say(self, *reports: Report | Deaf) -> None:
        """Say them, and wait until they were taken in."""
        until = self.taken + len(reports)
        for report in reports:
            self._said.put_nowait(report)
        await come(lambda: self.taken >= until, "the daemon to take in a report")


class Room:
    """One daemon with a store and a tap."""

    def __init__(self, plant: Plant, database: Database) -> None:
        self.plant, self.database = plant, database
        self.tap = Tap()
        self.later = timedelta()  # than it is

    def clock(self) -> datetime:
        return utc_now() + self.later

    @asynccontextmanager
    async def daemon(self) -> AsyncIterator[Tap]:
        self.tap, stop = Tap(), asyncio.Event()
        poller = Poller(self.plant.profiles, utc_now)
        dispatcher = Dispatcher(self.plant, self.database, self.clock, lambda: 0.5)
        daemon = Daemon(self.plant, self.database, poller, dispatcher, self.clock, lambda: 0.5, self.tap.hear)
        running = asyncio.create_task(daemon.run(stop))
        try:
            yield self.tap
        finally:
            stop.set()
            await running

    def alerts(self, closed: bool = False) -> dict[tuple[str, str], Alert]:
        with self.database.read() as tx:
            return {(alert.asset, alert.item): alert for alert in store.alerts(tx, closed=closed)}

    def verdict(self, name: str = "line3") -> Verdict:
        with self.database.read() as tx:
            documents = inventory(tx, self.plant, self.clock())
        found: Verdict = next(document["verdict"] for document in documents if document["asset"] == name)
        return found

    def approve(self, name: str) -> None:
        """Approve what was seen last."""
        with self.database.write() as tx:
            run = store.last_run(tx, name, observed=True)
            assert run is not None
            assert run.digest is not None
            seen = store.snapshot_of(tx, name, run.digest, run.last_at, run.profile or "")
            actions.propose(tx, seen, Stage.SAT, KIM, utc_now())
            actions.approve(tx, name, KIM, "test", utc_now())

    def count(self, table: str) -> int:
        with self.database.read() as tx:
            return int(tx.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())

    def polls(self, name: str) -> int:
        with self.database.read() as tx:
            return sum(run.polls for run in store.runs(tx, name))

    def outage(self, name: str) -> str | None:
        with self.database.read() as tx:
            run = store.last_run(tx, name)
        return run.cause_text if run else None


async def come(condition: Callable[[], object], what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, f"waited in vain for {what}"
        await asyncio.sleep(0.01)


def room(folder: Path, address: str, more: str) -> Room:
    plant = load_plant(PlantFolder(folder, {"filler": address}, more, every="50ms").file)
    database = Database(plant.store_url)
    database.migrate()
    return Room(plant, database)


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Room]:
    """A plant whose one asset is not polled: its wire is all that there is."""
    made = room(tmp_path, "modbus://10.0.0.2/1", UNPOLLED)
    yield made
    made.database.close()


@pytest.fixture
def one() -> Iterator[RunningFloor]:
    with running(ONE) as floor:
        yield floor


@pytest.fixture
def polled(one: RunningFloor, tmp_path: Path) -> Iterator[Room]:
    """A plant with one asset, which is polled all the time."""
    made = room(tmp_path, one.plcs["filler"].address, SEGMENT)
    yield made
    made.database.close()


def listener(later: timedelta = timedelta()) -> Listener:
    return Listener(time.time_ns() + int(later.total_seconds()) * SECOND)


def told(frames: list[bytes], dropped: int = 0, later: timedelta = timedelta()) -> Report:
    heard = listener(later).hear(frames)
    return Report(heard=replace(heard, counts=replace(heard.counts, kernel_dropped=dropped)))


def done(frames: list[bytes]) -> Report:
    """What somebody does, before anything else is said of it."""
    listening = listener()
    listening.hear(frames)
    return Report(tuple(Happened(event) for event in listening.events))


def says(*revisions: str, ip: str = "127.0.0.1") -> Report:
    """The wire says of the asset on loopback which revision it answers to others, now."""
    now = time.time_ns()
    evidence = tuple(Evidence("software_revision", said, "modbus", 1, now, said == revisions[-1]) for said in revisions)
    (host,) = [host for host in Listener(now).hear(CYCLE).hosts if host.mac == PLC.mac]
    return Report(heard=Heard(Counts(), (replace(host, ips=(ip,), evidence=evidence),), ()))


# ---- Hosts


def test_a_new_host_is_an_alarm_like_any_other_and_a_restart_is_none(quiet: Room) -> None:
    async def first() -> None:
        async with quiet.daemon() as tap:
            await tap.say(told(CYCLE))
            await come(lambda: quiet.verdict() is Verdict.NO_BASELINE, "the segment")
            quiet.approve("line3")
            await tap.say(told(CYCLE))
            assert quiet.verdict() is Verdict.MATCH

    async def second() -> None:
        async with quiet.daemon() as tap:
            await tap.say(Report(heard=Heard(Counts(), (), ())), told(CYCLE[-1:]))
            assert (quiet.verdict(), quiet.alerts()) == (Verdict.MATCH, {})
            await tap.say(told([*CYCLE, *ROGUE.says(PLC, READ)]))
            found = {item: (alert.kind, alert.techniques) for (_, item), alert in quiet.alerts().items()}
            assert found == {
                f"host.{ROGUE.mac}.ips": (Kind.ADDED, ("T0864",)),
                'conversation."10.0.0.66"."10.0.0.2".modbus': (Kind.ADDED, ("T0848",)),
            }
            assert quiet.verdict() is Verdict.DRIFT
            quiet.approve("line3")
            assert {alert.state for alert in quiet.alerts().values()} == {AlertState.RTN_UNACK}

    asyncio.run(first())
    asyncio.run(second())


def test_an_idle_segment_does_not_grow_the_store(quiet: Room) -> None:
    async def main() -> None:
        async with quiet.daemon() as tap:
            listening = listener()
            for turn in range(30):
                heard = listening.hear([*SCADA.says(PLC, READ), *CYCLE[-2:]], at=turn / 100)
                await tap.say(Report(heard=heard))
        assert (quiet.count("snapshot"), quiet.count("alert_move")) == (1, 0)
        with quiet.database.read() as tx:
            (run,) = store.runs(tx, "line3")
        assert run.polls == 30

    asyncio.run(main())


def test_what_falls_silent_is_stale_and_no_alarm(tmp_path: Path) -> None:
    made = room(tmp_path, "modbus://10.0.0.2/1", UNPOLLED + 'stale_after = "1h"\n')

    async def main() -> None:
        async with made.daemon() as tap:
            await tap.say(told(CYCLE))
            made.approve("line3")
            made.later = timedelta(hours=2)
            await tap.say(told(CYCLE[-1:], later=made.later))  # one goes on
            assert (made.verdict(), made.alerts(closed=True)) == (Verdict.STALE, {})

    asyncio.run(main())
    made.database.close()


# ---- Deafness


def test_a_deaf_segment_is_no_longer_observable_with_the_reason_and_comes_back(quiet: Room) -> None:
    async def main() -> None:
        async with quiet.daemon() as tap:
            await tap.say(told(CYCLE))
            quiet.approve("line3")
            await tap.say(*[Deaf("eth9 is gone")] * 5)
            assert quiet.verdict() is Verdict.NO_LONGER_OBSERVABLE
            assert quiet.outage("line3") == "eth9 is gone"
            await tap.say(Report(notes=("a note",)))
            assert quiet.verdict() is Verdict.NO_LONGER_OBSERVABLE, "it has said nothing yet"
            await tap.say(told(CYCLE[-1:]))
            assert (quiet.verdict(), quiet.alerts(closed=True)) == (Verdict.MATCH, {})
        with quiet.database.read() as tx:
            assert [run.is_outage for run in store.runs(tx, "line3")] == [False, True, False]

    asyncio.run(main())


def test_a_segment_that_was_never_heard_is_never_seen(quiet: Room) -> None:
    async def main() -> None:
        async with quiet.daemon() as tap:
            await tap.say(Deaf("there is no interface eth9"))
            assert quiet.verdict() is Verdict.NEVER_SEEN
            assert quiet.outage("line3") == "there is no interface eth9"

    asyncio.run(main())


def test_lost_frames_are_no_match_also_after_the_sensor_began_anew(quiet: Room) -> None:
    async def main() -> None:
        async with quiet.daemon() as tap:
            await tap.say(told(CYCLE))
            quiet.approve("line3")
            for dropped, expected in ((0, "match"), (100, "never-seen"), (100, "match"), (150, "never-seen")):
                await tap.say(told(CYCLE, dropped))
                assert quiet.verdict() == expected
            await tap.say(Deaf("the sensor ended (-9)"), told(CYCLE, 7))
            assert quiet.verdict() == "never-seen"
            assert quiet.alerts(closed=True) == {}
        with quiet.database.read() as tx:
            run = store.runs(tx, "line3")[-1]
            assert [gap.key for gap in store.snapshot_of(tx, "line3", run.digest or "", run.last_at).unread] == [
                "capture"
            ]

    asyncio.run(main())


def test_nonsense_of_a_sensor_is_a_bug_of_that_segment_and_ends_nothing(quiet: Room) -> None:
    host = HeardHost(None, (), (), told(CYCLE).heard.hosts[0].identity, None, (), (), 0, 0, ())  # type: ignore[union-attr]
    mad = replace(host, mac="x", last_at=2**62 * 5)

    async def main() -> None:
        async with quiet.daemon() as tap:
            for nonsense in (host, mad):
                await tap.say(Report(heard=Heard(Counts(), (nonsense,), ())))
            await tap.say(told(CYCLE))
            assert quiet.verdict() is Verdict.NO_BASELINE

    asyncio.run(main())


def test_who_asks_while_reports_come_gets_an_answer(quiet: Room) -> None:
    async def main() -> None:
        async with quiet.daemon() as tap:
            await tap.say(told(CYCLE))
            with quiet.database.write() as tx:
                asked = [store.request_poll(tx, "line3", utc_now(), "kim") for _ in range(5)]
            answers: dict[int, Any] = {}

            def answered() -> bool:
                with quiet.database.read() as tx:
                    answers.update(store.poll_answers(tx, asked))
                return len(answers) == 5

            while not answered():
                await tap.say(told(CYCLE))
            assert {answer["verdict"] for answer in answers.values()} == {"no-baseline"}
            assert all(answer["items"] for answer in answers.values())
        with quiet.database.read() as tx:
            assert len(store.runs(tx, "line3")) == 1

    asyncio.run(main())


# ---- What was done


def test_what_is_done_is_an_alarm_at_the_asset_or_else_at_the_segment_and_says_who(quiet: Room) -> None:
    other = Host("00:00:54:00:00:03", "10.0.0.3")
    third = Host("00:00:54:00:00:04", "10.0.0.4")

    async def main() -> None:
        async with quiet.daemon() as tap:
            named = replace(told(CYCLE).heard.hosts[0], ips=(ROGUE.ip,), names=("ENG-7",))  # type: ignore[union-attr]
            await tap.say(Report(heard=Heard(Counts(), (named,), ())))
            for server in (PLC, other, third):
                await tap.say(done(ROGUE.says(server, RESTART)))
            alerts = quiet.alerts()
            assert set(alerts) == {
                ("filler", 'wire.restart."10.0.0.66"."10.0.0.2"'),
                ("line3", 'wire.restart."10.0.0.66"."10.0.0.3"'),
                ("line3", 'wire.restart."10.0.0.66"."10.0.0.4"'),
            }
            alert = alerts["filler", 'wire.restart."10.0.0.66"."10.0.0.2"']
            assert (alert.kind, alert.techniques, alert.category) == (Kind.EVENT, ("T0816",), "mode")
            assert alert.observed == "restart of 10.0.0.2 by ENG-7 over modbus"
            assert alert.who is not None
            assert {key: alert.who[key] for key in ("client", "name", "protocol")} == {
                "client": "10.0.0.66", "name": "ENG-7", "protocol": "modbus",
            }  # fmt: skip
            assert alert.who["at"].endswith("Z")
            assert alert.state is AlertState.RTN_UNACK, "it is over, and waits for somebody"
            moves = quiet.count("alert_move")
            await tap.say(*[done(ROGUE.says(PLC, RESTART))] * 9)
            assert quiet.count("alert_move") == moves, "it goes on"
            with quiet.database.write() as tx:
                actions.acknowledge_alerts(tx, [alert.id], KIM, "seen", utc_now())
            assert ("filler", alert.item) not in quiet.alerts()

    asyncio.run(main())


def test_a_write_is_an_alarm_at_the_asset_until_somebody_approves_that_this_client_writes(quiet: Room) -> None:
    async def main() -> None:
        async with quiet.daemon() as tap:
            await tap.say(told([*CYCLE, *SCADA.says(PLC, WRITE)]))
            quiet.approve("line3")
            await tap.say(told([*CYCLE, *SCADA.says(PLC, WRITE)]))
            await tap.say(done(SCADA.says(PLC, WRITE)))
            assert quiet.alerts(closed=True) == {}
            await tap.say(done(SCADA.says(PLC, WRITE_MANY)))
            ((_, alert),) = quiet.alerts().items()
            assert (alert.who and alert.who["client"]) == SCADA.ip, "another function, which nobody approved"
            with quiet.database.write() as tx:
                actions.acknowledge_alerts(tx, [alert.id], KIM, "seen", utc_now())
            await tap.say(done(ROGUE.says(PLC, WRITE)))
            ((where, alert),) = quiet.alerts().items()
            assert where == ("filler", 'wire.write."10.0.0.66"."10.0.0.2"')
            assert (alert.techniques, alert.who and alert.who["client"]) == (("T0836", "T0855"), ROGUE.ip)

    asyncio.run(main())


def wrote(address: int, *words: int, client: str = "10.0.0.66", unit: int = 1) -> Report:
    """Somebody writes registers of the asset on loopback."""
    detail = {"function": "write-multiple-registers", "unit": unit, "address": address, "count": len(words)}
    event = WireEvent(utc_now(), 1, client, "127.0.0.1", "modbus", Operation.WRITE, {**detail, "values": list(words)})
    return Report((Happened(event),))


def test_there_and_back_between_two_polls_is_an_alarm_where_the_wire_saw_it(polled: Room, one: RunningFloor) -> None:
    """The value is as approved before and after, and every poll says so."""

    async def main() -> None:
        async with polled.daemon() as tap:
            await come(lambda: polled.polls("filler"), "a poll")
            polled.approve("filler")
            await more_polls(one)
            with polled.database.write() as tx:
                now = utc_now()
                until = now + timedelta(hours=1)
                order = open_order(tx, ["filler"], ["item.mode=PROGRAM"], now, until, "T", "", KIM, now)
            fourteen, approved = (struct.unpack(">HH", struct.pack(">f", value)) for value in (14.0, 12.5))
            await tap.say(wrote(210, *fourteen), wrote(210, *approved), wrote(100, 7), wrote(500, 1))
            found = {item: alert for (asset, item), alert in polled.alerts().items() if asset == "filler"}
            alert = found['wire.write."10.0.0.66".item.limit']
            assert (alert.state, alert.kind, alert.severity) == ("RTN_UNACK", "event", "medium")
            assert alert.observed == "item.limit was written 14.0 by 10.0.0.66 over modbus"
            assert (alert.who or {})["client"] == "10.0.0.66"
            announced = polled.alerts(closed=True)["filler", 'wire.write."10.0.0.66".item.mode']
            assert announced.state == "NORMAL", "on record, and nobody is called for it"
            assert polled.verdict("filler") == "match"
            await more_polls(one)
            with polled.database.write() as tx:
                done = close_order(tx, order.id, KIM, utc_now()).order
            assert [(each.item, each.approved, each.observed) for each in done.excess] == [("item.limit", 12.5, 14.0)]
            assert [str(each.outcome) for each in done.expectations] == ["missing"]

    asyncio.run(main())


# ---- Two witnesses


async def more_polls(floor: RunningFloor) -> None:
    """Until the asset has answered a few more polls."""
    seen = floor.plcs["filler"].seen
    before = seen.total
    await come(lambda: seen.total > before + 9, "more polls")


def test_two_witnesses_that_contradict_each_other_are_an_alarm_until_they_agree(
    polled: Room, one: RunningFloor
) -> None:
    key = ("filler", REVISION)

    async def first() -> None:
        async with polled.daemon() as tap:
            await come(lambda: polled.polls("filler"), "a poll")
            polled.approve("filler")
            await more_polls(one)
            lie = says("9.9", "2.4.1")  # 9.9 to others; the last answer was the one to us
            await more_polls(one)
            await tap.say(lie)
            alert = polled.alerts()[key]
            assert (alert.kind, alert.approved, alert.observed) == (Kind.CONFLICT, "2.4.1", "9.9")
            assert (alert.techniques, alert.state) == (("T0856", "T0851"), AlertState.UNACK)
            await tap.say(Report(heard=Heard(Counts(), (), ())), says("2.4.1", ip="127.0.0.2"))
            assert polled.alerts()[key].state is AlertState.UNACK, "nothing was said of it"

    async def second() -> None:
        async with polled.daemon() as tap:
            await come(lambda: polled.verdict("filler") is Verdict.MATCH, "a poll")
            await tap.say(says("2.4.1", ip="127.0.0.2"), Deaf("gone"))
            assert polled.alerts()[key].state is AlertState.UNACK, "also after a restart"
            await more_polls(one)
            await tap.say(says("2.4.1"))
            assert polled.alerts()[key].state is AlertState.RTN_UNACK
            assert polled.verdict("filler") is Verdict.MATCH

    asyncio.run(first())
    asyncio.run(second())


def test_an_update_that_the_wire_saw_first_is_no_contradiction(polled: Room, one: RunningFloor) -> None:
    async def main() -> None:
        async with polled.daemon() as tap:
            await come(lambda: polled.polls("filler"), "a poll")
            polled.approve("filler")
            await more_polls(one)
            await asyncio.to_thread(one.apply, "filler", behave="silent")  # it is being updated
            await come(lambda: polled.outage("filler"), "the outage")
            update = says("2.4.1", "2.5.0")
            await tap.say(update)
            await asyncio.to_thread(one.apply, "filler", identity={"software_revision": "2.5.0"})
            await asyncio.to_thread(one.apply, "filler", behave="honest")
            await come(lambda: ("filler", "identity.software_revision") in polled.alerts(), "the drift")
            await tap.say(update)
            await more_polls(one)
            await tap.say(update)
            assert {alert.kind for alert in polled.alerts(closed=True).values()} == {Kind.CHANGED}

    asyncio.run(main())


def test_two_that_claim_the_address_of_an_asset_are_an_alarm_there_without_a_baseline_too(quiet: Room) -> None:
    claim = [*CYCLE, arp(ROGUE.mac, PLC.ip, PLC.ip, 2), *CYCLE[-2:]]
    key = ("filler", CLAIMED)

    async def main() -> None:
        async with quiet.daemon() as tap:
            await tap.say(told(CYCLE))
            assert quiet.alerts() == {}
            await tap.say(told(claim))
            alert = quiet.alerts()[key]
            assert (alert.kind, alert.approved, alert.observed) == (Kind.CONFLICT, PLC.mac, ROGUE.mac)
            assert (alert.techniques, alert.severity) == (("T0830", "T0856"), "critical")
            await tap.say(Deaf("gone"), told([]))
            assert quiet.alerts()[key].state is AlertState.UNACK, "silence clears nothing"
            await tap.say(told(CYCLE))
            assert quiet.alerts()[key].state is AlertState.RTN_UNACK
            await tap.say(told(claim))
            assert quiet.alerts()[key].state is AlertState.UNACK
            quiet.approve("line3")
            await tap.say(told(claim))
            assert quiet.alerts()[key].state is AlertState.RTN_UNACK, "somebody approved both"
            assert quiet.verdict() is Verdict.MATCH

    asyncio.run(main())


# ---- Processes


class WiredPlant(PlantFolder):
    """A plant whose daemon runs in a network namespace."""

    def __init__(self, folder: Path, wire: Wire, interface: str) -> None:
        super().__init__(
            folder, {"filler": "modbus://10.0.0.2/1"}, f'[segment.line3]\ninterface = "{interface}"\n', "1h"
        )
        self._wire = wire

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = ["ip", "netns", "exec", self._wire.namespace, *self.command(*words)]
        with (self.folder / "run.log").open("a") as log:
            return subprocess.Popen(command, env=self.environment, cwd=self.folder, stdout=log, stderr=log, text=True)

    def said(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.log() if line["event"] == event and line.get("asset", "line3") == "line3"]

    def heard(self, what: str) -> bool:
        """Whether something is in the segment's newest snapshot."""
        with sqlite3.connect(self.folder / "asbuilt.db") as opened:
            newest = "SELECT text FROM run JOIN snapshot USING (digest) ORDER BY run.id DESC LIMIT 1"
            found = opened.execute(newest).fetchone()
        return bool(found) and what in found[0]  # nothing is in the first, which says that the sensor listens


def sensors(daemon: Process) -> list[int]:
    children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
    return [int(child) for child in children]


def test_from_a_frame_to_an_alarm_to_an_approval_with_processes(wire: Wire, tmp_path: Path) -> None:
    plant = WiredPlant(tmp_path, wire, wire.sensor)
    with plant.daemon() as daemon:
        wait_for(lambda: plant.heard(""), "the sensor to listen")
        wire.send(*CYCLE)
        wait_for(lambda: plant.heard("read-holding-registers"), "the segment to be heard")
        assert plant.asbuilt("baseline", "propose", "line3").code == 0
        assert plant.asbuilt("baseline", "approve", "line3", "--by", "Ada", "--reason", "SAT").code == 0
        assert plant.asbuilt("check", "line3").code == 0
        wire.send(*ROGUE.says(PLC, READ, WRITE, RESTART))
        wait_for(lambda: plant.heard(ROGUE.mac), "the rogue")
        checked = plant.asbuilt("check", "line3", "--json")
        assert (checked.code, checked.asset("line3")["verdict"]) == (1, "drift")
        found = {each["item"]: (each["kind"], each["techniques"]) for each in checked.asset("line3")["deviations"]}
        assert found[f"host.{ROGUE.mac}.ips"] == ("added", ["T0864"])
        assert found['conversation."10.0.0.66"."10.0.0.2".modbus'] == ("added", ["T0848"])
        alerts = plant.asbuilt("alerts", "list", "--json").json["alerts"]
        (restart,) = [alert for alert in alerts if alert["item"].startswith("wire.restart")]
        assert (restart["asset"], restart["kind"], restart["techniques"]) == ("filler", "event", ["T0816"])
        assert restart["who"]["client"] == ROGUE.ip
        assert {alert["item"] for alert in alerts if alert["asset"] == "filler"} >= {
            'wire.write."10.0.0.66"."10.0.0.2"'
        }
        assert restart["text"] == "filler: restart of 10.0.0.2 by 10.0.0.66 over modbus"

        (sensor,) = sensors(daemon)
        os.kill(sensor, signal.SIGKILL)
        wait_for(lambda: plant.said("asset.unreachable"), "the outage")
        assert plant.said("asset.unreachable")[0]["why"] == "the sensor ended (-9)"
        wait_for(lambda: plant.said("asset.back"), "a new sensor")
        (second,) = sensors(daemon)
        daemon.kill()
        daemon.wait()
        wait_for(lambda: not alive(second), "the sensor to end with the daemon")
    assert wire.transmitted() == 0


def test_an_interface_that_comes_late_and_a_daemon_that_ends_leaves_no_sensor(wire: Wire, tmp_path: Path) -> None:
    plant = WiredPlant(tmp_path, wire, "late0")
    with plant.daemon() as daemon:
        wait_for(lambda: plant.said("asset.unreachable"), "the outage")
        assert plant.said("asset.unreachable")[0]["why"].startswith("there is no interface late0; there are ")
        checked = plant.asbuilt("check", "line3", "--json")
        assert (checked.code, checked.asset("line3")["verdict"]) == (3, "never-seen")
        assert "late0" in checked.asset("line3")["error"]["text"]
        wire.link("add", "late0", "type", "veth", "peer", "name", "late1")
        try:
            for end in ("late0", "late1"):
                wire.link("set", end, "up")
            wait_for(lambda: plant.said("asset.back"), "the segment to be heard")
            (sensor,) = sensors(daemon)
            os.kill(daemon.pid, signal.SIGINT)
            assert daemon.wait(PATIENCE) == 0
            assert not alive(sensor)
        finally:
            wire.link("del", "late0")
    assert [line["event"] for line in plant.log()][-1] == "run.stopped"
    without = plant.asbuilt("check", "line3", "--json")
    assert (without.code, without.asset("line3")["verdict"]) == (3, "no-longer-observable")
    assert "start asbuilt run" in without.asset("line3")["error"]["text"]


# ---- Assets and segments that go


def test_what_is_done_to_an_asset_that_was_retired_is_raised_at_its_segment(quiet: Room) -> None:
    async def main() -> None:
        async with quiet.daemon() as tap:
            await tap.say(told(CYCLE))
            with quiet.database.write() as tx:
                lives.retired(tx, quiet.plant, "filler", lives.Reason(KIM, utc_now(), "scrapped"))
            await tap.say(done([*CYCLE, *ROGUE.says(PLC, RESTART)]))
            assert [asset for asset, _ in quiet.alerts()] == ["line3"]
            assert quiet.polls("filler") < 3

    asyncio.run(main())


def test_a_segment_that_was_renamed_is_left_alone(quiet: Room) -> None:
    async def main() -> None:
        async with quiet.daemon() as tap:
            await tap.say(told(CYCLE))
            with quiet.database.write() as tx:
                lives.rename(tx, quiet.plant, "line3", "hall 3", lives.Reason(KIM, utc_now(), "label"))
            await come(lambda: tap.closed, "the sensor to be let go")
            with quiet.database.read() as tx:
                assert sorted(store.known_assets(tx)) == ["filler", "hall 3"]
                assert len(store.runs(tx, "hall 3")) == 1
            assert quiet.alerts() == {}

    asyncio.run(main())
