"""What a daemon does that runs for years: tripwires between deep polls, who did it, a plant.toml that is changed."""

from __future__ import annotations

import asyncio
import signal
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from baselines.alert import Alert
from baselines.baseline import Stage
from baselines.drift import Verdict
from monitor import actions, store
from monitor.board import inventory
from monitor.config import load_plant
from monitor.daemon import Daemon
from monitor.notify.dispatcher import Dispatcher
from monitor.polling import Poller, utc_now
from monitor.store import Database
from tests.floors import PlantFolder, RunningFloor, running, wait_for
from tests.test_daemon_segments import KIM, ONE, SEGMENT, Tap, come, wrote


class Tiered:
    """A daemon over one asset, whose tripwire is read often and whose rest seldom."""

    def __init__(self, folder: Path, address: str, deep_every: str) -> None:
        files = PlantFolder(folder, {"filler": address}, SEGMENT, every="50ms")
        text = files.file.read_text().replace('every = "50ms"', f'every = "50ms"\ndeep_every = "{deep_every}"')
        files.file.write_text(text)
        self.plant = load_plant(files.file)
        self.database = Database(self.plant.store_url)
        self.database.migrate()
        self.later = timedelta()

    @asynccontextmanager
    async def daemon(self) -> AsyncIterator[Tap]:
        tap, stop = Tap(), asyncio.Event()
        poller, dispatcher = (
            Poller(self.plant.profiles, utc_now),
            Dispatcher(self.plant, self.database, utc_now, lambda: 0.0),
        )
        clock = lambda: utc_now() + self.later  # noqa: E731
        daemon = Daemon(self.plant, self.database, poller, dispatcher, clock, lambda: 0.5, tap.hear)
        task = asyncio.create_task(daemon.run(stop))
        try:
            yield tap
        finally:
            stop.set()
            await task

    def approve(self) -> None:
        with self.database.write() as tx:
            run = store.last_run(tx, "filler", observed=True)
            assert run is not None
            seen = store.snapshot_of(tx, "filler", run.digest or "", run.last_at, run.profile or "")
            actions.propose(tx, seen, Stage.SAT, KIM, utc_now())
            actions.approve(tx, "filler", KIM, "test", utc_now())

    def alerts(self) -> dict[str, Alert]:
        with self.database.read() as tx:
            return {alert.item: alert for alert in store.alerts(tx, ["filler"])}

    def verdict(self) -> Verdict:
        with self.database.read() as tx:
            (document, *_) = inventory(tx, self.plant, utc_now() + self.later)
        found: Verdict = document["verdict"]
        return found


@pytest.fixture
def one() -> Iterator[RunningFloor]:
    with running(ONE) as floor:
        yield floor


def reads(floor: RunningFloor) -> dict[Any, int]:
    return dict(floor.plcs["filler"].seen.reads)


async def read_again(floor: RunningFloor, times: int = 3) -> None:
    """Until the tripwire was read so many times more."""
    before = reads(floor)[TRIPWIRE]
    await come(lambda: reads(floor)[TRIPWIRE] >= before + times, "the tripwire to be read again")


TRIPWIRE, DEEP = ("holding", 100, 3), ("holding", 210, 2)  # mode and program in one read, the parameter in another


def test_between_deep_polls_only_the_tripwire_is_read_and_when_it_moves_all_is(
    one: RunningFloor, tmp_path: Path
) -> None:
    tiered = Tiered(tmp_path, one.plcs["filler"].address, "1h")

    async def main() -> None:
        async with tiered.daemon():
            await come(lambda: TRIPWIRE in reads(one), "a poll")
            await come(lambda: tiered.verdict() is Verdict.NO_BASELINE, "the first snapshot")
            tiered.approve()
            await come(lambda: reads(one)[DEEP] >= 2, "the poll after the approval")
            await read_again(one)
            before = reads(one)[DEEP]
            await read_again(one, 5)
            assert reads(one)[DEEP] == before, "an unmoved tripwire spares the rest"
            one.apply("filler", set={"limit": 14.0})
            await read_again(one)
            assert tiered.alerts() == {}, "a parameter is no tripwire: nobody has looked at it"
            one.apply("filler", set={"crc": "cafebabe"})
            await come(lambda: tiered.alerts().keys() == {"item.crc", "item.limit"}, "both alarms")

    asyncio.run(main())


def test_what_the_tripwire_does_not_read_is_stale_by_its_own_time(one: RunningFloor, tmp_path: Path) -> None:
    tiered = Tiered(tmp_path, one.plcs["filler"].address, "10m")

    async def main() -> None:
        async with tiered.daemon():
            await come(lambda: tiered.verdict() is Verdict.NO_BASELINE, "the first snapshot")
            tiered.approve()
            await come(lambda: tiered.verdict() is Verdict.MATCH, "a match")
            before = reads(one)[DEEP]
            tiered.later = timedelta(minutes=11)
            await come(lambda: reads(one)[DEEP] > before, "the deep poll that is due")

    asyncio.run(main())
    with tiered.database.read() as tx:
        run = store.last_run(tx, "filler")
    assert run is not None
    assert timedelta() <= run.last_at - run.read_at < timedelta(minutes=1)


def test_a_write_on_the_wire_has_all_read_at_once_and_the_alarm_names_who_it_was(
    one: RunningFloor, tmp_path: Path
) -> None:
    tiered = Tiered(tmp_path, one.plcs["filler"].address, "1h")
    fourteen = struct.unpack(">HH", struct.pack(">f", 14.0))

    async def main() -> None:
        async with tiered.daemon() as tap:
            await come(lambda: tiered.verdict() is Verdict.NO_BASELINE, "the first snapshot")
            tiered.approve()
            await read_again(one)
            one.apply("filler", set={"limit": 14.0})
            began = time.monotonic()
            await tap.say(wrote(210, *fourteen))
            await come(lambda: "item.limit" in tiered.alerts(), "the alarm of the poll")
            assert time.monotonic() - began < 1
            alert = tiered.alerts()["item.limit"]
            assert alert.who is not None
            assert (alert.who["client"], alert.who["protocol"]) == ("10.0.0.66", "modbus")

    asyncio.run(main())


def test_who_did_it_is_added_where_the_poll_was_quicker_than_the_sensor(one: RunningFloor, tmp_path: Path) -> None:
    tiered = Tiered(tmp_path, one.plcs["filler"].address, "50ms")
    fourteen, nine = (struct.unpack(">HH", struct.pack(">f", value)) for value in (14.0, 9.0))

    async def main() -> None:
        async with tiered.daemon() as tap:
            await come(lambda: tiered.verdict() is Verdict.NO_BASELINE, "the first snapshot")
            tiered.approve()
            one.apply("filler", set={"limit": 14.0})
            await come(lambda: "item.limit" in tiered.alerts(), "the alarm")
            await tap.say(wrote(210, *nine, client="10.0.0.9"))
            assert tiered.alerts()["item.limit"].who is None, "that was another value"
            await tap.say(wrote(210, *fourteen))
            who = tiered.alerts()["item.limit"].who
            assert who is not None
            assert who["client"] == "10.0.0.66"

    asyncio.run(main())


def events(plant: PlantFolder, name: str) -> list[dict[str, Any]]:
    return [line for line in plant.log() if line["event"] == name]


def test_plant_toml_is_read_again_as_a_whole_or_not_at_all(
    plant: PlantFolder, floor: RunningFloor, tmp_path: Path
) -> None:
    first, second = (floor.plcs[name].address for name in ("line1/filler", "line2/filler"))
    plant = PlantFolder(tmp_path, {"line1/filler": first})
    with plant.daemon() as daemon:
        wait_for(lambda: floor.plcs["line1/filler"].seen.total > 3, "polls")
        written = plant.file.read_text()
        added = written + f'[asset."line2/filler"]\naddress = "{second}"\nprofile = "p9.toml"\nevery = "300ms"\n'
        plant.file.write_text(added + "evry = 3\n")
        daemon.send_signal(signal.SIGHUP)
        wait_for(lambda: events(plant, "config.refused"), "the refusal")
        assert "asset.line2/filler.evry" in str(events(plant, "config.refused")[0]["faults"])
        assert floor.plcs["line2/filler"].seen.total == 0

        plant.file.write_text(added)
        daemon.send_signal(signal.SIGHUP)
        wait_for(lambda: floor.plcs["line2/filler"].seen.total > 3, "polls of the new one")
        (reloaded,) = events(plant, "config.reloaded")
        assert (reloaded["added"], reloaded["gone"], reloaded["changed"]) == (["line2/filler"], [], [])
        assert floor.plcs["line1/filler"].seen.connections == 1, "the neighbour keeps its connection"

        plant.file.write_text(added.replace(written, written.split('[asset."line1')[0]))
        daemon.send_signal(signal.SIGHUP)
        wait_for(lambda: floor.plcs["line1/filler"].seen.open == 0, "the old one to be let go")
        assert plant.asbuilt("check", "line2/filler").code == 3, "it is read, and has no baseline"
        assert floor.plcs["line2/filler"].seen.connections == 1
    verified = plant.asbuilt("verify", "--json").json
    assert verified["ok"]


@pytest.mark.parametrize(
    ("old", "new"), [("asbuilt.db", "other.db"), ("[plant]", '[web]\nlisten = "127.0.0.1:1"\n[plant]')]
)
def test_what_a_running_daemon_cannot_change_is_refused_and_nothing_else_is_done(
    plant: PlantFolder, floor: RunningFloor, old: str, new: str
) -> None:
    with plant.daemon() as daemon:
        wait_for(lambda: floor.plcs["line1/filler"].seen.total > 3, "polls")
        written = plant.file.read_text()
        plant.file.write_text(written.replace(old, new).split('[asset."line2')[0])
        daemon.send_signal(signal.SIGHUP)
        wait_for(lambda: events(plant, "config.refused"), "the refusal")
        before = floor.plcs["line2/filler"].seen.total
        wait_for(lambda: floor.plcs["line2/filler"].seen.total > before + 3, "polls, as before")


def test_a_device_that_moves_is_let_go_at_its_old_address(
    plant: PlantFolder, floor: RunningFloor, tmp_path: Path
) -> None:
    first, second = (floor.plcs[name].address for name in ("line1/filler", "line2/filler"))
    plant = PlantFolder(tmp_path, {"filler": first})
    with plant.daemon() as daemon:
        wait_for(lambda: floor.plcs["line1/filler"].seen.total > 3, "polls")
        plant.file.write_text(plant.file.read_text().replace(first, second))
        daemon.send_signal(signal.SIGHUP)
        wait_for(lambda: floor.plcs["line2/filler"].seen.total > 3, "polls at the new address")
        wait_for(lambda: floor.plcs["line1/filler"].seen.open == 0, "the old connection to end")


def test_when_the_next_poll_is_due_is_kept(floor: RunningFloor, tmp_path: Path) -> None:
    plant = PlantFolder(tmp_path, {"line1/filler": floor.plcs["line1/filler"].address}, every="1s")
    with plant.daemon():
        wait_for(lambda: floor.plcs["line1/filler"].seen.total > 8, "polls")
    with Database(load_plant(plant.file).store_url).read() as tx:
        (due,) = store.next_polls(tx).values()
        run = store.last_run(tx, "line1/filler")
    assert run is not None
    assert timedelta() < due - run.last_at <= timedelta(seconds=1.5)


def test_a_chore_that_was_done_is_on_record_with_when_it_is_due_again(plant: PlantFolder) -> None:
    with plant.daemon():
        wait_for(lambda: kept(plant), "the first verification")
        done = kept(plant)["verify"]
    assert done.text == "the evidence verifies"
    assert done.next_at is not None
    assert timedelta() < done.next_at - utc_now() <= timedelta(days=1)


def kept(plant: PlantFolder) -> dict[str, store.Chore]:
    with Database(load_plant(plant.file).store_url).read() as tx:
        return store.chores(tx)
