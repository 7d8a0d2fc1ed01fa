"""A whole plant: 10,000 assets of 100 items each, polled every 30 s by one daemon, while nothing changes."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.device import SAME
from benchmarks.floor import write_plant
from benchmarks.hosts import Hosts, hosts
from benchmarks.memory import approve, counted, daemon, memory_of
from benchmarks.results import Result, Row

ASSETS = int(os.environ.get("BENCH_ASSETS", "10000"))
EVERY = 30  # seconds
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "10"))  # of EVERY, in which it is measured
SETTLING = 2  # rounds between the approvals and the measurement
DAY = 86_400


@dataclass(frozen=True)
class Used:
    """What the daemon has used so far: seconds of CPU, bytes written to files; and the size of its store."""

    at: float
    cpu: float
    written: int
    size: int


def run() -> Result:
    """Start, commission, and watch for ROUNDS × EVERY seconds."""
    title = f"A plant of {ASSETS:,} assets"
    with TemporaryDirectory() as folder, hosts(ASSETS) as devices:
        plant = write_plant(Path(folder), devices.addresses, f"{EVERY}s", SAME, {})
        began = time.monotonic()
        with daemon(plant) as process:
            first = wait_for(devices, 1) - began
            wait_for(devices, ASSETS)
            while counted(Path(folder))[0] < ASSETS:
                time.sleep(1)
            approve(plant)
            time.sleep(SETTLING * EVERY)
            before = used(process, Path(folder))
            devices.forget()
            time.sleep(ROUNDS * EVERY)
            after = used(process, Path(folder))
            late, polls = lateness(devices.reads())
            resident, peak = memory_of(process.pid)
        observed, outages = counted(Path(folder))
    if (observed, outages) != (ASSETS, 0):
        return Result(title, [], [f"Not measured: {observed} of {ASSETS} assets were observed, {outages} failed."])
    seconds = after.at - before.at
    cpu = (after.cpu - before.cpu) / seconds
    written = (after.written - before.written) / seconds * DAY / 1e9
    grown = (after.size - before.size) / 1e6
    return Result(
        title,
        [
            Row("from the start of the process to the first poll", f"{first:.1f} s", "< 10 s", first < 10),
            Row("a poll is late, 99 % of them by less than", f"{late * 1000:.0f} ms", "≤ 1 s", late <= 1),
            Row("CPU, of one core", f"{100 * cpu:.1f} %", "< 60 %", cpu < 0.6),
            Row("resident (VmRSS)", f"{resident:.0f} MB", "< 600 MB", resident < 600),
            Row("the most it ever held (VmHWM), at the approvals", f"{peak:.0f} MB"),
            Row("growth of the database meanwhile", f"{grown:.2f} MB", "< 1 MB", grown < 1),
            Row("written to the disk, for a day", f"{written:.2f} GB", "< 2 GB", written < 2),
        ],
        [
            f"{ASSETS:,} Modbus devices on loopback in another process, each with an address, an identity "
            f'and 100 items of its own, every = "{EVERY}s", at the default contract; all with approved baselines. '
            f"Watched for {seconds:.0f} s, {polls:,} polls. Lateness is measured at the devices: how much later a read "
            "came than that device's earliest one, counted in steps of the interval. Written is what the kernel "
            "accounts to the daemon (write_bytes of /proc), with the log of SQLite.",
        ],
    )


def wait_for(devices: Hosts, count: int, patience: float = 300.0) -> float:
    """Wait until so many devices have been read; when that was."""
    deadline = time.monotonic() + patience
    while len(seen := [times for times in devices.reads() if times]) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(seen)} of {count} devices were polled within {patience:g} s")
        time.sleep(0.2)
    return min(times[0] for times in seen)


def used(process: subprocess.Popen[bytes], folder: Path) -> Used:
    stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    cpu = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    lines = Path(f"/proc/{process.pid}/io").read_text(encoding="ascii").splitlines()
    written = next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))
    with sqlite3.connect(folder / "asbuilt.db") as store:
        (pages,) = store.execute("PRAGMA page_count").fetchone()
        (size,) = store.execute("PRAGMA page_size").fetchone()
    return Used(time.monotonic(), cpu, written, pages * size)


def lateness(reads: list[list[float]]) -> tuple[float, int]:
    """The 99th percentile of how late reads were, in seconds, and how many there were."""
    late: list[float] = []
    for times in reads:
        phases = [moment - EVERY * round((moment - times[0]) / EVERY) for moment in times]
        late += [each - min(phases) for each in phases]
    late.sort()
    return late[int(len(late) * 0.99)], len(late)
