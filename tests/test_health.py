"""The watch over the watch: what blinds it is an alarm within a minute, and a gap from when until when.

Time is a number here that a test sets; the store, its writer and its faults are real.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from baselines.alert import Alert, AlertState, Move, acknowledge
from baselines.coverage import LIMITS, Limits
from baselines.drift import Kind, Verdict
from baselines.rules import blind
from baselines.snapshot import Severity, Snapshot
from collectors.collector import Poll, Unreachable
from collectors.contract import Sent
from collectors.passive.heard import Counts, Heard
from collectors.passive.report import Report
from monitor import store
from monitor.config import ITSELF, Plant, load_plant
from monitor.daemon import Daemon
from monitor.ears import Deaf
from monitor.evidence import note_assets
from monitor.health import GROUP, Lookout
from monitor.notify.dispatcher import Dispatcher
from monitor.pipeline import move_blind
from monitor.polling import Poller, utc_now
from monitor.store import Database, Gap, OutOfService, Run, SelfTest
from monitor.watchdog import Watchdog
from monitor.writer import Writer
from tests.floors import RunningFloor, running
from tests.spoken import CYCLE
from tests.test_daemon_segments import ONE, SEGMENT, Room, Tap, come, room, told

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
GIGA = 10**9
PLANT = """
[plant]
name = "Test"
[store]
url = "sqlite:///asbuilt.db"
[asset.filler]
address = "modbus://127.0.0.1:1"
profile = "generic-modbus"
criticality = "high"
[asset.capper]
address = "modbus://127.0.0.1:2"
profile = "generic-modbus"
[asset.estop]
address = "modbus://127.0.0.1:3"
profile = "generic-modbus"
criticality = "safety"
[segment.line3]
interface = "eth9"
"""


class Bench:
    """A watch whose time a test sets: `seconds` that never jump, and a wall clock that is `later` than those."""

    def __init__(self, plant: Plant, database: Database, limits: Limits) -> None:
        self.plant, self.database, self.limits = plant, database, limits
        self.seconds, self.later = 0.0, timedelta()
        self.disk = (500 * GIGA, 1000 * GIGA)
        self.shouts: list[str] = []
        self.moves: list[Move] = []
        self.frames, self.lost, self.malformed = 900, 0, 0
        self.hears = True
        self.answers = dict.fromkeys(plant.assets, True)

    def clock(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds) + self.later

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Lookout]:
        writer = Writer(self.database)
        watch = Lookout(
            lambda: self.plant,
            self.database,
            self.clock,
            self.moves.extend,
            self.limits,
            lambda: self.seconds,
            lambda text, severity: self.shouts.append(f"{severity}: {text}"),
            lambda: self.disk,
        )
        try:
            watch.begin(writer)
            yield watch
            await watch.close()
        finally:
            writer.stop()

    async def go(self, watch: Lookout, seconds: int, until: Callable[[], object] = lambda: False) -> float:
        """Let time pass, with a poll of each asset and a report each 30 s; how long until a condition held."""
        began = self.seconds
        for second in range(1, seconds + 1):
            self.seconds = began + second
            watch.beat()
            if self.seconds % 30 == 0:
                self.look(watch)
            if self.seconds % 5 == 0:
                watch.tick()
                await watch.settle()
                if until():
                    break
        return self.seconds - began

    def look(self, watch: Lookout) -> None:
        for name, answers in self.answers.items():
            watch.looked(self.poll(name, answers))
        if self.hears:
            watch.heard("line3", self.report())

    def poll(self, name: str, answers: bool) -> Poll:
        target = self.plant.assets[name].target
        taken = Snapshot.of(name, self.clock(), [], [])
        return Poll(target, taken if answers else Unreachable(name, "no answer"), Sent(), 0.0)

    def report(self) -> Report:
        counts = Counts(
            packets=self.frames,
            last_at=int(self.clock().timestamp() * 1e9),
            kernel_dropped=self.lost,
            decoded=self.frames // 2,
            malformed={"modbus": self.malformed},
        )
        self.frames += 900
        return Report(heard=Heard(counts, (), ()))

    def alerts(self, closed: bool = False) -> dict[tuple[str, str], Alert]:
        with self.database.read() as tx:
            return {(alert.asset, alert.item): alert for alert in store.alerts(tx, closed=closed, kind=Kind.BLIND)}

    def state(self, asset: str, item: str) -> AlertState | None:
        found = self.alerts(closed=True).get((asset, item))
        return found.state if found else None

    def gaps(self, asset: str) -> list[Gap]:
        with self.database.read() as tx:
            return store.gaps(tx, [asset], NOON - timedelta(days=365), NOON + timedelta(days=3650))

    def count(self, table: str) -> int:
        with self.database.read() as tx:
            return int(tx.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())

    def saw(self, name: str, at: datetime) -> None:
        """An earlier run has seen an asset."""
        with self.database.write() as tx:
            seen = Snapshot.of(name, at, [], [])
            store.keep_snapshot(tx, seen)
            store.add_run(tx, Run(0, name, seen.digest, "", None, None, at, at, 1, 0.0))


def bench_in(folder: Path, limits: Limits = LIMITS, text: str = PLANT) -> Bench:
    (folder / "plant.toml").write_text(text)
    plant = load_plant(folder / "plant.toml")
    database = Database(plant.store_url)
    database.migrate()
    with database.write() as tx:
        note_assets(tx, plant, store.ITSELF, NOON)
    return Bench(plant, database, limits)


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    made = bench_in(tmp_path)
    yield made
    made.database.close()


def seconds_of(gap: Gap) -> tuple[str, str, float, float | None]:
    first = (gap.first_at - NOON).total_seconds()
    return gap.witness, gap.cause, first, (gap.last_at - NOON).total_seconds() if gap.last_at else None


# ---- Polls


def test_a_plant_that_is_well_writes_nothing(bench: Bench) -> None:
    async def main() -> None:
        async with bench.running() as watch:
            await bench.go(watch, 900)
            assert [bench.count(table) for table in ("gap", "alert", "alert_move")] == [0, 0, 0]
            assert watch.blind == ()
            assert watch.store_ok

    asyncio.run(main())


def test_a_silent_device_is_an_alarm_within_a_minute_and_a_gap_from_to(bench: Bench) -> None:
    async def main() -> None:
        async with bench.running() as watch:
            await bench.go(watch, 90)  # the last good look is now
            bench.answers["filler"] = False
            took = await bench.go(watch, 300, lambda: bench.alerts())
            assert took <= 60
            ((key, alert),) = bench.alerts().items()
            assert key == ("filler", "watch.poll")
            assert (alert.severity, alert.observed) == (Severity.HIGH, "no answer")
            assert [each.asset for each in watch.blind] == ["filler"]
            await bench.go(watch, 600)
            bench.answers["filler"] = True
            await bench.go(watch, 60)
            assert bench.state("filler", "watch.poll") is AlertState.RTN_UNACK
            assert len(bench.moves) == 2
            (gap,) = bench.gaps("filler")
            assert seconds_of(gap)[:3] == ("poll", "unreachable", 90)
            assert gap.last_at is not None
            assert (gap.last_at - NOON).total_seconds() % 30 == 0
            assert bench.gaps("capper") == []

    asyncio.run(main())


def test_one_lost_poll_is_no_alarm_where_the_second_look_succeeds(bench: Bench) -> None:
    async def main() -> None:
        async with bench.running() as watch:
            await bench.go(watch, 59)
            bench.answers["filler"] = False
            await bench.go(watch, 1)
            bench.answers["filler"] = True
            await bench.go(watch, 15)
            watch.looked(bench.poll("filler", True))  # the second look, as the queue has it
            await bench.go(watch, 200)
            assert bench.alerts(closed=True) == {}
            assert bench.gaps("filler") == []

    asyncio.run(main())


def test_a_collector_that_hangs_is_an_alarm_within_a_minute(bench: Bench) -> None:
    async def main() -> None:
        async with bench.running() as watch:
            await bench.go(watch, 90)
            del bench.answers["filler"]  # nothing comes of it any more, good or bad
            assert await bench.go(watch, 300, lambda: bench.alerts()) <= 60
            assert bench.alerts()["filler", "watch.poll"].observed.startswith("nobody has looked")
            assert [seconds_of(gap)[1:] for gap in bench.gaps("filler")] == [("not-polled", 90, None)]

    asyncio.run(main())


def test_what_was_never_seen_has_a_gap_from_when_it_was_first_asked(bench: Bench) -> None:
    async def main() -> None:
        bench.answers["capper"] = False
        async with bench.running() as watch:
            await bench.go(watch, 120)
            assert [seconds_of(gap) for gap in bench.gaps("capper")] == [("poll", "unreachable", 0, None)]

    asyncio.run(main())


def test_a_safety_controller_that_nobody_may_poll_is_no_blindness(bench: Bench) -> None:
    async def main() -> None:
        del bench.answers["estop"]
        async with bench.running() as watch:
            await bench.go(watch, 300)
        assert bench.alerts() == {}

    asyncio.run(main())


def test_an_acknowledgement_holds_while_the_cause_does(bench: Bench) -> None:
    async def main() -> None:
        async with bench.running() as watch:
            bench.answers["capper"] = False
            await bench.go(watch, 100)
            with bench.database.write() as tx:
                moved = acknowledge(bench.alerts()["capper", "watch.poll"], "kim", "seen", bench.clock())
                assert moved is not None
                store.store_move(tx, moved, "kim")
            await bench.go(watch, 600)
            assert bench.state("capper", "watch.poll") is AlertState.ACKED
            bench.answers["capper"] = True
            await bench.go(watch, 60)
            assert bench.state("capper", "watch.poll") is AlertState.NORMAL

    asyncio.run(main())


def test_an_alarm_that_was_put_away_while_it_ended_does_not_stay_for_ever(bench: Bench) -> None:
    async def main() -> None:
        async with bench.running() as watch:
            bench.answers["capper"] = False
            await bench.go(watch, 100)
            shelved = replace(bench.alerts()["capper", "watch.poll"], state=AlertState.SHELVED)
            with bench.database.write() as tx:
                store.keep_alert(tx, shelved)
            bench.answers["capper"] = True
            await bench.go(watch, 60)
            with bench.database.write() as tx:
                store.keep_alert(tx, replace(shelved, state=AlertState.UNACK))  # its time away is over
            await bench.go(watch, 90)
            assert bench.state("capper", "watch.poll") is AlertState.RTN_UNACK

    asyncio.run(main())


def test_an_alarm_of_the_same_kind_that_another_part_keeps_is_left_alone(bench: Bench) -> None:
    async def main() -> None:
        with bench.database.write() as tx:
            move_blind(tx, {"filler": [blind("cip-010", "not compared for 35 days", Severity.LOW)]}, {}, NOON)
        async with bench.running() as watch:
            await bench.go(watch, 200)
        assert bench.state("filler", "watch.cip-010") is AlertState.UNACK

    asyncio.run(main())


def test_the_alarm_of_what_is_out_of_service_is_kept_back(bench: Bench) -> None:
    async def main() -> None:
        with bench.database.write() as tx:
            store.take_out(tx, "capper", OutOfService(NOON + timedelta(hours=1), "kim", "overhaul"))
        bench.answers["capper"] = False
        async with bench.running() as watch:
            await bench.go(watch, 100)
            assert bench.state("capper", "watch.poll") is AlertState.SUPPRESSED
            assert len(bench.gaps("capper")) == 1, "it is not seen all the same"

    asyncio.run(main())


def test_a_plant_that_goes_dark_at_once_is_written_in_groups_and_with_so_many_statements_an_asset(
    tmp_path: Path,
) -> None:
    text = PLANT + "".join(
        f'[asset."cell{number}"]\naddress = "modbus://10.0.{number >> 8}.{number & 255}"\nprofile = "generic-modbus"\n'
        for number in range(GROUP + 100)
    )
    bench = bench_in(tmp_path, text=text)
    statements: list[str] = []

    async def main() -> None:
        async with bench.running() as watch:
            await bench.go(watch, 30)
            bench.answers = dict.fromkeys(bench.answers, False)
            await bench.go(watch, 50)
            event.listen(bench.database.engine, "before_cursor_execute", lambda *said: statements.append(said[2]))
            await bench.go(watch, 20)

    asyncio.run(main())
    assert bench.count("gap") == bench.count("alert") == GROUP + 102
    assert sum("INSERT INTO gap" in said for said in statements) == GROUP + 102
    assert sum("INSERT INTO alert_move" in said for said in statements) < 10, "what moves together is stored together"
    assert len(statements) < 4 * (GROUP + 102) + 200
    bench.database.close()


# ---- Segments


@pytest.mark.parametrize(
    ("fault", "item", "cause"),
    [
        ("deaf", "watch.capture", "deaf"),
        ("hangs", "watch.capture", "no-report"),
        ("no frames", "watch.capture", "no-frames"),
        ("loss", "watch.loss", "frames-lost"),
        ("garbage", "watch.decoding", "garbage"),
    ],
)
def test_a_segment_that_hears_badly_is_an_alarm_within_a_minute_and_ends(
    bench: Bench, fault: str, item: str, cause: str
) -> None:
    async def main() -> None:
        async with bench.running() as watch:
            await bench.go(watch, 120)
            began = bench.seconds
            spoil(watch)
            while not bench.alerts():
                await bench.go(watch, 5)
                spoil(watch)
                assert bench.seconds - began <= 60
            assert list(bench.alerts()) == [("line3", item)]
            (gap,) = bench.gaps("line3")
            assert seconds_of(gap)[:2] == ("wire", cause)
            assert abs(seconds_of(gap)[2] - began) <= 30
            assert gap.last_at is None
            bench.hears = True
            await bench.go(watch, 180)
            assert bench.state("line3", item) is AlertState.RTN_UNACK
            assert bench.gaps("line3")[0].last_at is not None

    def spoil(watch: Lookout) -> None:
        bench.hears = fault in ("loss", "garbage")
        if fault == "deaf":
            watch.heard("line3", Deaf("eth9 is gone"))
        if fault == "no frames" and bench.seconds % 30 == 0:
            frames, bench.frames = bench.frames, bench.frames - 900
            said = bench.report()
            bench.frames = frames
            assert said.heard
            watch.heard("line3", said)
        bench.lost += 17 if fault == "loss" else 0  # of 150 each 5 s
        bench.malformed += 90 if fault == "garbage" else 0

    asyncio.run(main())


# ---- Ourselves


def test_a_nearly_full_disk_is_an_alarm_until_there_is_room(bench: Bench) -> None:
    async def main() -> None:
        async with bench.running() as watch:
            await bench.go(watch, 30)
            bench.disk = (100_000_000, 100 * GIGA)
            assert await bench.go(watch, 60, lambda: bench.alerts()) <= 15
            assert list(bench.alerts()) == [(ITSELF, "watch.disk")]
            bench.disk = (50 * GIGA, 100 * GIGA)
            await bench.go(watch, 60)
            assert bench.state(ITSELF, "watch.disk") is AlertState.RTN_UNACK

    asyncio.run(main())


@pytest.mark.parametrize("jump", [7200, -7200, 6])
def test_a_clock_that_jumps_is_an_alarm_with_from_and_to(bench: Bench, jump: int) -> None:
    async def main() -> None:
        async with bench.running() as watch:
            await bench.go(watch, 100)
            bench.later = timedelta(seconds=jump)
            assert await bench.go(watch, 60, lambda: bench.alerts()) <= 5
            assert bench.state(ITSELF, "watch.clock") is AlertState.RTN_UNACK, "it is over at once"
            (gap,) = bench.gaps(ITSELF)
            expected = sorted((101, 101 + jump))
            assert seconds_of(gap) == ("self", "clock", *expected)
            await bench.go(watch, 120)
            assert [seconds_of(each)[1:3] for each in bench.gaps("filler")] == [("clock", 90)] * (jump > 100)

    asyncio.run(main())


def test_a_clock_that_is_slewed_is_none(bench: Bench) -> None:
    async def main() -> None:
        async with bench.running() as watch:
            for _ in range(60):
                bench.later += timedelta(seconds=0.5)
                await bench.go(watch, 1)
        assert bench.count("gap") == 0

    asyncio.run(main())


def test_a_loop_that_stood_still_is_an_alarm_when_it_goes_on(bench: Bench) -> None:
    async def main() -> None:
        async with bench.running() as watch:
            await bench.go(watch, 100)
            bench.seconds += 40  # nothing came round
            await bench.go(watch, 20)
            assert [seconds_of(gap) for gap in bench.gaps(ITSELF)] == [("self", "loop", 100, 141)]
            assert bench.state(ITSELF, "watch.loop") is AlertState.RTN_UNACK

    asyncio.run(main())


def test_a_standstill_is_one_alarm_and_a_gap_of_every_asset(bench: Bench) -> None:
    async def main() -> None:
        async with bench.running() as watch:
            await bench.go(watch, 90)
            bench.seconds += 300
            await bench.go(watch, 120)
            assert {item for _, item in bench.alerts()} == {"watch.loop"}
            for name in ("filler", "capper"):
                assert [seconds_of(gap) for gap in bench.gaps(name)] == [("poll", "not-polled", 90, 420)]

    asyncio.run(main())


def test_the_watchdog_says_where_a_loop_stands_while_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    dog = Watchdog(0.1)
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        pass  # so that the line is known
    assert dog.silent_for > 0.4
    dog.beat()
    dog.stop()
    said = capsys.readouterr().out
    assert said.count("loop.stalled") == 1
    assert "test_the_watchdog_says_where" in said


# ---- A store that refuses

FAST = replace(LIMITS, write_within=0.2, shout_after=20)


def test_a_store_that_is_locked_is_shouted_and_stored_when_it_is_back(tmp_path: Path) -> None:
    bench = bench_in(tmp_path)

    async def main() -> None:
        async with bench.running() as watch:
            await bench.go(watch, 60)
            other = sqlite3.connect(tmp_path / "asbuilt.db", isolation_level=None)
            other.execute("BEGIN EXCLUSIVE")
            bench.answers["filler"] = False
            for _ in range(60):  # without waiting for the write that hangs
                bench.seconds += 1
                watch.beat()
                if bench.seconds % 30 == 0:
                    bench.look(watch)
                if bench.seconds % 5 == 0:
                    watch.tick()
                    await asyncio.sleep(0)
            assert not watch.store_ok
            assert len(bench.shouts) == 1
            assert bench.shouts[0].startswith("critical: the store takes no writes")
            bench.answers["filler"] = True
            bench.look(watch)
            other.execute("ROLLBACK")
            other.close()
            await watch.settle()
            await bench.go(watch, 60)
            assert watch.store_ok
            for asset, item in ((ITSELF, "watch.store"), ("filler", "watch.poll")):
                assert bench.state(asset, item) is AlertState.RTN_UNACK
            assert [seconds_of(gap) for gap in bench.gaps("filler")] == [("poll", "unreachable", 60, 120)]
            (gap,) = bench.gaps(ITSELF)
            assert gap.cause == "store"
            assert 60 <= seconds_of(gap)[2] <= 80
            assert len(bench.shouts) == 1

    asyncio.run(main())
    bench.database.close()


FULL = """
import asyncio, os, sys
from pathlib import Path
from baselines.alert import AlertState
from baselines.coverage import LIMITS
from monitor import store
from monitor.config import ITSELF
from monitor.health import disk_of
from tests.test_health import bench_in

folder = Path(sys.argv[1])
bench = bench_in(folder)
ask = disk_of(bench.database)

async def main():
    async with bench.running() as watch:
        await bench.go(watch, 60)
        ballast = folder / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        bench.answers["filler"] = bench.answers["capper"] = False
        began = bench.seconds
        while bench.seconds - began < 60:
            bench.disk = ask()
            await bench.go(watch, 5)
            blind, ok = watch.blind, watch.store_ok
        print("blind", sorted((each.asset, each.what) for each in blind))
        print("shouts", len(bench.shouts), "ok", ok)
        ballast.unlink()
        bench.disk = (500 * 10**9, 1000 * 10**9)
        await bench.go(watch, 60)
        print("ok", watch.store_ok)
        print("alerts", sorted((*key, alert.state.value) for key, alert in bench.alerts().items()))
        print("gaps", [(gap.cause, (gap.last_at is None)) for gap in bench.gaps("filler")])

asyncio.run(main())
"""


def can_mount() -> bool:
    """Whether this machine lets us have a file system of our own."""
    asked = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not can_mount(), reason="no mount namespace here: a disk of its own cannot be made and filled")
def test_a_disk_that_is_really_full_is_said_while_it_is_and_kept_when_there_is_room(tmp_path: Path) -> None:
    program = tmp_path / "full.py"
    program.write_text(FULL)
    mount = f"mount -t tmpfs -o size=3m tmpfs {tmp_path}/disk && exec {sys.executable} {program} {tmp_path}/disk"
    (tmp_path / "disk").mkdir()
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines() if not line.startswith("20"))
    assert "('asbuilt', 'disk')" in lines["blind"], done.stdout + done.stderr
    assert "('asbuilt', 'store')" in lines["blind"]
    assert "shouts 1 ok False" in done.stdout
    assert lines["ok"] == "True"
    for asset, item in (("asbuilt", "disk"), ("asbuilt", "store"), ("filler", "poll"), ("capper", "poll")):
        assert f"('{asset}', 'watch.{item}', " in lines["alerts"]


# ---- Starts


def test_the_time_in_which_nobody_watched_is_a_gap_of_every_asset_and_one_alarm(bench: Bench) -> None:
    bench.saw("filler", NOON - timedelta(hours=3))
    bench.saw("capper", NOON - timedelta(minutes=1))
    bench.saw("line3", NOON - timedelta(hours=2))

    async def main() -> None:
        async with bench.running() as watch:
            await bench.go(watch, 60)
        assert [seconds_of(gap) for gap in bench.gaps("filler")] == [("self", "not-running", -10800, 30)]
        assert bench.gaps("capper") == [], "it is not stale yet"
        assert [seconds_of(gap) for gap in bench.gaps("line3")] == [("self", "not-running", -7200, 30)]
        assert bench.alerts() == {}, "it was watched a minute ago"

    asyncio.run(main())


def test_a_monitor_that_was_away_says_so_once(bench: Bench) -> None:
    bench.saw("filler", NOON - timedelta(hours=3))

    async def main() -> None:
        for _ in range(2):
            async with bench.running() as watch:
                await bench.go(watch, 60)
        assert bench.state(ITSELF, "watch.running") is AlertState.RTN_UNACK

    asyncio.run(main())


def test_an_open_gap_is_taken_up_by_the_next_run_and_ended_by_it(bench: Bench) -> None:
    async def first() -> None:
        bench.answers["filler"] = False
        async with bench.running() as watch:
            await bench.go(watch, 100)

    async def second() -> None:
        bench.seconds += 3600
        async with bench.running() as watch:
            await bench.go(watch, 100)
            assert len(bench.gaps("filler")) == 1
            assert len(bench.alerts()) == 1
            bench.answers["filler"] = True
            await bench.go(watch, 60)
        (gap,) = bench.gaps("filler")
        assert seconds_of(gap)[2] == 0
        assert seconds_of(gap)[3] == pytest.approx(3830, abs=40)
        assert bench.state("filler", "watch.poll") is AlertState.RTN_UNACK

    asyncio.run(first())
    asyncio.run(second())


def test_what_is_in_the_plant_no_more_leaves_no_open_gap(bench: Bench) -> None:
    async def main() -> None:
        bench.answers["filler"] = bench.answers["capper"] = False
        async with bench.running() as watch:
            await bench.go(watch, 100)
            del bench.answers["filler"]
            bench.plant = replace(bench.plant, assets={k: v for k, v in bench.plant.assets.items() if k != "filler"})
            await bench.go(watch, 10)
            assert bench.gaps("filler")[0].last_at is not None
            assert bench.gaps("capper")[0].last_at is None
        bench.plant = replace(bench.plant, assets={})
        bench.answers = {}
        async with bench.running() as watch:
            await bench.go(watch, 10)
        assert bench.gaps("capper")[0].last_at is not None

    asyncio.run(main())


# ---- Self-tests


def test_a_self_test_that_failed_or_is_overdue_is_an_alarm(bench: Bench) -> None:
    async def main() -> None:
        async with bench.running() as watch:
            watch.self_tested(SelfTest(bench.clock(), False, {}, "the change was not found"))
            await bench.go(watch, 5)
            assert bench.alerts()[ITSELF, "watch.self-test"].observed.endswith("the change was not found")
            watch.self_tested(SelfTest(bench.clock(), True, {}, ""))
            await bench.go(watch, 5)
            assert bench.state(ITSELF, "watch.self-test") is AlertState.RTN_UNACK
            bench.seconds += 26 * 3600
            await bench.go(watch, 10)
            assert "overdue" in bench.alerts()[ITSELF, "watch.self-test"].observed

    asyncio.run(main())


# ---- In the daemon, with real devices

QUICK = Limits(tick=0.05, beat=0.02, patience=3.0, deaf_for=0.1, beat_within=1.0, calm=0.1, report_within=60)


@asynccontextmanager
async def daemon_of(room: Room) -> AsyncIterator[tuple[Daemon, Tap]]:
    tap, stop = Tap(), asyncio.Event()
    poller, dispatcher = (
        Poller(room.plant.profiles, utc_now),
        Dispatcher(room.plant, room.database, utc_now, lambda: 0.0),
    )
    daemon = Daemon(room.plant, room.database, poller, dispatcher, utc_now, lambda: 0.5, tap.hear, limits=QUICK)
    running = asyncio.create_task(daemon.run(stop))
    try:
        yield daemon, tap
    finally:
        stop.set()
        await running


def test_the_daemon_says_what_it_does_not_see_and_when_it_sees_again(tmp_path: Path) -> None:
    def found_blind() -> set[tuple[str, str, AlertState]]:
        return {(asset, item, alert.state) for (asset, item), alert in made.alerts().items()}

    async def main(floor: RunningFloor) -> None:
        async with daemon_of(made) as (daemon, tap):
            await tap.say(told(CYCLE))
            await come(lambda: made.verdict("filler") is Verdict.NO_BASELINE, "polls")
            await asyncio.to_thread(floor.apply, "filler", behave="silent")
            await tap.say(Deaf("eth9 is gone"))
            expected = {("filler", "watch.poll", AlertState.UNACK), ("line3", "watch.capture", AlertState.UNACK)}
            await come(lambda: found_blind() >= expected, "the alarms")
            assert {each.asset for each in daemon.lookout.blind} >= {"filler", "line3"}
            await come(lambda: daemon.vitals.tally.blind == 2, "both to be counted, as /metrics shows")
            await asyncio.to_thread(floor.apply, "filler", behave="honest")
            await tap.say(told(CYCLE))
            await come(lambda: {state for *_, state in found_blind()} == {AlertState.RTN_UNACK}, "the end")
            time.sleep(1.5)  # noqa: ASYNC251 (the loop is to stand still)
            await come(lambda: (ITSELF, "watch.loop", AlertState.RTN_UNACK) in found_blind(), "the standstill")
            with made.database.read() as tx:
                assert store.open_gaps(tx) == []
                found = store.gaps(tx, ["filler", "line3", ITSELF], NOON - timedelta(days=999), utc_now())
            causes = {(gap.asset, gap.witness, gap.cause) for gap in found}
            assert causes >= {
                ("filler", "poll", "unreachable"),
                ("line3", "wire", "deaf"),
                (ITSELF, "self", "loop"),
            }

    with running(ONE) as floor:
        made = room(tmp_path, floor.plcs["filler"].address, SEGMENT)
        asyncio.run(main(floor))
        made.database.close()
