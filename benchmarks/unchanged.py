"""A poll without the network: what the daemon takes to ask, check, decode, compare and keep 100 items."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from benchmarks.device import CHANGING, SAME, TREMBLING, Device
from benchmarks.floor import commission, write_plant
from benchmarks.results import Result, Row, one_core
from benchmarks.sampler import sampled, shares
from benchmarks.wire import Loop
from monitor import daemon, logs
from monitor.config import Plant, load_plant
from monitor.store import Database

ASSETS = 200
ROUNDS, POLLS = 5, 10_000
PATIENCE = 30.0  # seconds for each of them
FIRST_PORT = 1024
LIFTED = {"requests_per_second": 1_000_000.0}
WITHOUT_IDENTITY = {**LIFTED, "read_identity": False}
MICROSECONDS, KILOBYTES = 100.0, 100.0  # the targets


@dataclass(frozen=True, slots=True)
class Cost:
    """What polls took: CPU microseconds each, and how much the database grew for all of them (kB)."""

    polls: int
    each: float
    grown: float


class Bench:
    """A plant of devices in this process, its store, and daemons over it."""

    def __init__(self, folder: Path, unit: int, every: float, limits: Mapping[str, Any]) -> None:
        self.devices = {FIRST_PORT + number: Device(number) for number in range(ASSETS)}
        self.every = every
        written = write_plant(folder, self.devices, f"{every * 1000:.0f}ms", unit, limits)
        self.plant: Plant = load_plant(written)
        self.database = Database(self.plant.store_url)
        self.database.migrate()
        self.database.lead()

    @property
    def reads(self) -> int:
        return sum(device.reads for device in self.devices.values())

    def commission(self) -> None:
        """Poll every asset, and approve what it is."""
        self.run_daemon(lambda: all(device.reads > 1 for device in self.devices.values()))
        commission(self.database, self.plant.assets)

    def measure(self, polls: int) -> Cost:
        """What so many polls take of a daemon that has seen every asset before."""
        size = self.size()
        known = {port: device.reads + 2 for port, device in self.devices.items()}  # the second poll waits for the first
        begun: list[tuple[int, float]] = []

        def enough() -> bool:
            if not begun and all(self.devices[port].reads >= reads for port, reads in known.items()):
                begun.append((self.reads, time.process_time()))
            return bool(begun) and self.reads >= begun[0][0] + polls

        self.run_daemon(enough)
        ended = time.process_time()
        count = self.reads - begun[0][0]
        return Cost(count, (ended - begun[0][1]) / count * 1e6, (self.size() - size) / 1000)

    def run_daemon(self, enough: Callable[[], bool]) -> None:
        """Run the daemon, all of it, until `enough`; then stop it, which brings the store up to date."""

        async def run() -> None:
            stop = asyncio.Event()
            running = asyncio.create_task(daemon.build(self.plant, self.database).run(stop))
            try:
                async with asyncio.timeout(PATIENCE):
                    while not enough() and not running.done():
                        await asyncio.sleep(0.02)
            finally:
                stop.set()
                await running

        # An end of a run may lag by 60 s on disk, two polls at the default of 30 s: the same two polls here.
        with patch.object(daemon, "FLUSH_EVERY", 2 * self.every), asyncio.Runner(loop_factory=self._loop) as runner:
            runner.run(run())

    def _loop(self) -> Loop:
        return Loop(self.devices)

    def size(self) -> int:
        """Bytes of the database file, with the log brought in."""
        with self.database.engine.connect() as connection:
            connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return Path(str(self.database.url.database)).stat().st_size


@contextmanager
def bench(unit: int, every: float, limits: Mapping[str, Any]) -> Iterator[Bench]:
    """A commissioned plant of devices that behave as `unit` says; what the daemon logs is thrown away."""
    with TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
        logs.set_up()
        made = Bench(Path(folder), unit, every, limits)
        try:
            made.commission()
            yield made
        finally:
            made.database.close()


def run() -> Result:
    """Each kind of poll with the whole daemon over it."""
    with one_core() as pinned:
        with bench(SAME, 0.05, WITHOUT_IDENTITY) as plant:
            blocks = [plant.measure(POLLS) for _ in range(ROUNDS)]
            with sampled() as samples:
                plant.measure(POLLS)
        with bench(SAME, 0.05, LIFTED) as plant:
            identified = min(plant.measure(POLLS).each for _ in range(ROUNDS))
        with bench(TREMBLING, 0.4, WITHOUT_IDENTITY) as plant:
            trembled = plant.measure(POLLS // 5)
        with bench(CHANGING, 1.2, WITHOUT_IDENTITY) as plant:
            changed = plant.measure(POLLS // 10)
    block, grown = min(cost.each for cost in blocks), max(cost.grown for cost in blocks)
    return Result(
        "A poll without the network: CPU time for 100 items",
        [
            Row(
                "unchanged, one block",
                f"{block:.0f} µs",
                f"≤ {MICROSECONDS:.0f} µs",
                block <= MICROSECONDS,
            ),
            Row("unchanged, identity (FC 43/14) and one block", f"{identified:.0f} µs"),
            Row("one float moved within its tolerance", f"{trembled.each:.0f} µs"),
            Row("one item changed: a new run, and an alarm moves", f"{changed.each:.0f} µs"),
            Row(
                f"{min(cost.polls for cost in blocks):,} unchanged polls: growth of the database",
                f"{grown:.1f} kB",
                f"< {KILOBYTES:.0f} kB",
                grown < KILOBYTES,
            ),
        ],
        [
            f"In: all of `asbuilt run` over {ASSETS} assets with approved baselines, several thousand polls a second: "
            "the due-queue, the contract, the link with its checks, the collector, the comparison, the run, its end "
            "brought to disk every second poll (60 s at the default of 30 s) by SQLite with synchronous=FULL, and the "
            "device, which answers from this process. Out: the socket, and nothing else. User and system time of all "
            f"threads, {pinned}; of {ROUNDS} rounds of unchanged polls the best for the time, which a busy machine "
            "only adds to, and the worst for the growth.",
            f"Where an unchanged poll goes (sampled; `select` stands for the writer's thread too): {shares(samples)}.",
        ],
    )
