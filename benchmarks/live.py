"""Live on a veth pair, decoders and all: how many frames a second one core hears without losing one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.mix import captures, write_mix
from benchmarks.results import Result, Row

TITLE = "Live: frames a second without a loss"
NAMESPACE, PLANT, SENSOR = "asbuilt-bench", "plant0", "sensor0"
RATES = (100_000, 200_000, 250_000, 300_000, 350_000, 400_000, 500_000, 600_000)  # frames a second
SECONDS = 5.0
TARGET = 300_000
ONCE = 1  # frames asked for of write_mix: one replica, whatever it holds


def run() -> Result:
    """Send one replica of the mix over and over, faster and faster, from one core to a sensor on the other."""
    folder = captures()
    if folder is None or sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("ip"):
        return Result(TITLE, [], ["Not measured: this takes captures, Linux, root and iproute2."])
    with TemporaryDirectory() as temporary:
        mix = Path(temporary) / "mix.pcap"
        frames = write_mix(folder, mix, ONCE)
        with veth():
            rows = [_row(rate, measured(mix, rate, count=int(rate * SECONDS))) for rate in RATES]
    notes = [
        f"A veth pair in a network namespace; {frames:,} frames of the captures over and over for {SECONDS:g} s, sent "
        "by `benchmarks.sender` on one core, heard by `benchmarks.listener` on the other: ring of 64 MiB, confined, "
        "engine and decoders as in the sensor. The kernel's own work for the receiver is done on the sender's core, as "
        "veth has no card that would interrupt."
    ]
    return Result(TITLE, rows, notes)


def _row(rate: int, told: dict[str, float]) -> Row:
    offered, received, dropped = (told[name] for name in ("per_second", "received", "dropped"))
    share = told["cpu_seconds"] / told["seconds"]
    measured_text = f"{received:,.0f} heard, {dropped:,.0f} lost, {100 * share:.0f} % of the core"
    aimed = rate == TARGET
    return Row(
        f"{rate:,}/s asked for, {offered:,.0f}/s sent",
        measured_text,
        "no loss" if aimed else "",
        dropped == 0 and offered >= 0.98 * rate if aimed else None,
    )


def measured(mix: Path, rate: int, count: int) -> dict[str, float]:
    inside = ["ip", "netns", "exec", NAMESPACE, "taskset", "-c"]
    listener = [*inside, "1", sys.executable, "-m", "benchmarks.listener", SENSOR]
    sender = [*inside, "0", sys.executable, "-m", "benchmarks.sender", PLANT]
    sender += ["--pcap", str(mix), "--rate", str(rate), "--frames", str(count)]
    with subprocess.Popen(listener, stdout=subprocess.PIPE, text=True) as hearing:
        assert hearing.stdout is not None
        hearing.stdout.readline()
        sent = json.loads(subprocess.run(sender, check=True, capture_output=True, text=True).stdout)
        heard = json.loads(hearing.stdout.readline())
    return {**sent, **heard}


@contextmanager
def veth() -> Iterator[None]:
    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    ip("netns", "add", NAMESPACE)
    try:
        quiet = "net.ipv6.conf.default.disable_ipv6=1"  # or the kernel would speak too
        subprocess.run(["ip", "netns", "exec", NAMESPACE, "sysctl", "-qw", quiet], check=True)
        ip("-n", NAMESPACE, "link", "add", PLANT, "type", "veth", "peer", "name", SENSOR)
        for end in (PLANT, SENSOR):
            ip("-n", NAMESPACE, "link", "set", end, "up")
        yield
    finally:
        ip("netns", "del", NAMESPACE)
