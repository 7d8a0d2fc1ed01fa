"""A storm of alarms: 100,000 deviations in a minute, one of them critical, and what people get of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from baselines.alert import NORMAL, UNACK, Alert, Event, Move
from baselines.drift import Kind
from baselines.snapshot import Category, Severity
from benchmarks.results import Result, Row
from collectors.profile import Profiles
from monitor import store
from monitor.config import Evidence, Plant
from monitor.logs import Trouble
from monitor.notify.dispatcher import Dispatcher
from monitor.polling import utc_now
from monitor.routes import Webhook
from monitor.store import Database, Transaction
from monitor.writer import Writer

ALARMS, CRITICAL_AT = 100_000, 62_345
SECONDS, GROUPS = 60, 240  # the storm comes in so many transactions
ROUTES = 3
ASSETS = 1000
TARGET, FEW = 30.0, 10


@dataclass
class Inbox:
    """What one person got, and when."""

    came: list[tuple[float, dict[str, Any]]] = field(default_factory=list)


@contextmanager
def inbox() -> Iterator[tuple[str, Inbox]]:
    box = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/0":
                box.came.append((time.monotonic(), document))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", box
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def raised(number: int) -> Move:
    now = utc_now()
    severity = Severity.CRITICAL if number == CRITICAL_AT else Severity.HIGH
    asset, item = f"plc{number % ASSETS}", f"item.i{number}"
    alert = Alert(asset, item, Kind.CHANGED, 1, 2, severity, Category.PARAMETER, (), None, now, now, UNACK)
    return Move(Event.DEVIATES, NORMAL, alert)


def run() -> Result:
    with TemporaryDirectory() as folder, inbox() as (url, box):
        database = Database(f"sqlite:///{folder}/asbuilt.db")
        database.migrate()
        database.lead()
        routes = tuple(Webhook(kind="webhook", name=f"r{number}", url=f"{url}/{number}") for number in range(ROUTES))
        plant = Plant(Path(folder), "storm", "UTC", "", {}, Profiles(), Evidence(Path(folder)), routes=routes)
        try:
            stored_at, cost, took = asyncio.run(storm(plant, database, box))
        finally:
            database.close()
    critical = next(at for at, each in box.came if each["severity"] == "critical") - stored_at
    told = sum(each["count"] for _, each in box.came)
    in_storm = len(box.came)
    rows = [
        Row("the critical one is stored → it is out", f"{critical:.1f} s", f"{TARGET:g} s", critical <= TARGET),
        Row("messages that a person gets until all are told", str(in_storm), f"{FEW}", in_storm <= FEW),
        Row("alarms that the messages speak of", f"{told:,}", f"{ALARMS:,}", told == ALARMS),
        Row(f"what the dispatcher takes for {ROUTES} routes, of one core", f"{cost / took:.0%}"),
        Row("the same, for each alarm and route", f"{cost / ALARMS / ROUTES * 1e6:.1f} µs"),
    ]
    note = (
        f"{ALARMS:,} alarms at {ASSETS:,} assets are stored in {took:.0f} s, on a real SQLite file, by the same writer."
    )
    return Result("A storm of alarms", rows, [note])


async def storm(plant: Plant, database: Database, box: Inbox) -> tuple[float, float, float]:
    """When the critical one was stored, the CPU seconds of the dispatcher, and how long the storm took."""
    writer, cost, stored_at = Writer(database), 0.0, 0.0
    with database.write() as tx:
        store.add_assets(tx, [f"plc{number}" for number in range(ASSETS)])
    dispatcher = Metered(plant, database, utc_now, lambda: 0.0)
    await writer.write(dispatcher.begin)
    running = asyncio.create_task(dispatcher.run(writer.write, Trouble("store").failed))
    began, size = time.monotonic(), ALARMS // GROUPS + 1
    for group in range(GROUPS):
        numbers = range(group * size, min((group + 1) * size, ALARMS))
        moves = [raised(number) for number in numbers]
        dispatcher.tell(await writer.write(partial(stored, moves)))
        if CRITICAL_AT in numbers:
            stored_at = time.monotonic()
        await asyncio.sleep(max(0.0, began + (group + 1) * SECONDS / GROUPS - time.monotonic()))
    took, cost = time.monotonic() - began, dispatcher.seconds
    async with asyncio.timeout(timedelta(minutes=12).total_seconds()):
        while sum(each["count"] for _, each in box.came) < ALARMS:
            await asyncio.sleep(0.1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    writer.stop()
    return stored_at, cost, took


def stored(moves: list[Move], tx: Transaction) -> list[Move]:
    return store.store_moves(tx, moves)


class Metered(Dispatcher):
    """A dispatcher that measures what its transactions take."""

    seconds = 0.0

    def _step(self, tx: Transaction, at_once: bool) -> tuple[list[str], bool]:
        began = time.thread_time()
        try:
            return super()._step(tx, at_once)
        finally:
            self.seconds += time.thread_time() - began


if __name__ == "__main__":
    print(run().markdown("python -m benchmarks storm"))
