"""The memory of a daemon that polls 1,000 assets, each a connection of its own and 100 items."""

from __future__ import annotations

import operator
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import create_engine, func, select

from benchmarks.device import SAME
from benchmarks.floor import commission, write_plant
from benchmarks.responder import Responders, responders
from benchmarks.results import Result, Row
from benchmarks.startup import command
from monitor import tables
from monitor.config import load_plant
from monitor.store import Database

ASSETS = 1000
EVERY = "10s"  # instead of 30 s, so that all have been polled twice soon
POLLS = 2
PATIENCE = 60.0  # seconds
MEGABYTES = 250.0  # the target


def run() -> Result:
    """Read VmRSS and VmHWM of the daemon when every asset is commissioned and has been polled twice since."""
    if not Path("/proc/self/status").exists():
        return Result("Memory", [], ["Read from /proc, which this system does not have."])
    with TemporaryDirectory() as folder, responders(ASSETS) as devices:
        plant = write_plant(Path(folder), devices.ports, EVERY, SAME, {})
        with daemon(plant) as process:
            wait_for_polls(devices, 1)
            approve(plant)
            wait_for_polls(devices, POLLS)
            resident, peak = memory_of(process.pid)
        observed, outages = counted(Path(folder))
    title = "Memory"
    if (observed, outages) != (ASSETS, 0):
        return Result(title, [], [f"Not measured: {observed} of {ASSETS} assets were observed, {outages} failed."])
    return Result(
        title,
        [
            Row(
                f"`asbuilt run`, {ASSETS:,} assets with baselines, resident (VmRSS)",
                f"{resident:.0f} MB",
                f"< {MEGABYTES:.0f} MB",
                resident < MEGABYTES,
            ),
            Row("the most it ever held (VmHWM)", f"{peak:.0f} MB"),
        ],
        [
            f"{ASSETS:,} Modbus devices on loopback, each a connection, an identity and 100 items of its own, at "
            f'the contract\'s default of 5 requests a second, every = "{EVERY}"; read when each had been commissioned '
            f"and polled {POLLS} times since. Afterwards the store held a run of each, and no outage.",
        ],
    )


@contextmanager
def daemon(plant: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`asbuilt run` over a plant; stopped by SIGTERM, as a service manager does."""
    with subprocess.Popen([*command(), "run", "--plant", str(plant)], stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_for_polls(devices: Responders, times: int) -> None:
    """Wait until every device has been polled so many times more, and what came of it is kept."""
    deadline = time.monotonic() + PATIENCE
    wanted = [reads + times for reads in devices.reads()]
    while any(map(operator.lt, devices.reads(), wanted)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not every asset was polled within {PATIENCE:g} s")
        time.sleep(0.5)
    time.sleep(1)


def approve(plant: Path) -> None:
    """Commission the plant while its daemon runs, as a command does."""
    loaded = load_plant(plant)
    database = Database(loaded.store_url)
    commission(database, loaded.assets)
    database.close()


def memory_of(process: int) -> tuple[float, float]:
    """Resident memory now and at its highest, in MB of 1,000,000 bytes."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    found = dict(re.findall(r"(VmRSS|VmHWM):\s+(\d+) kB", status))
    return int(found["VmRSS"]) * 1024 / 1e6, int(found["VmHWM"]) * 1024 / 1e6


def counted(folder: Path) -> tuple[int, int]:
    """How many assets the store has observed, and how many outages it holds."""
    engine = create_engine(f"sqlite:///{folder / 'asbuilt.db'}")
    observed = select(func.count(tables.run.c.asset_id.distinct())).where(tables.run.c.digest.is_not(None))
    outages = select(func.count()).where(tables.run.c.digest.is_(None))
    with engine.connect() as connection:
        found = connection.execute(observed).scalar_one(), connection.execute(outages).scalar_one()
    engine.dispose()
    return found
