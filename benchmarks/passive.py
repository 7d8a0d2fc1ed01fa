"""Hearing a capture of a million frames: speed and memory beside other programs, and what share each of them found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any

from benchmarks import agreement
from benchmarks.agreement import DOINGS, FIELDS, Doing, Field, spelt
from benchmarks.mix import captures, write_mix
from benchmarks.results import Result, Row
from collectors.passive.engine import Engine, spare_the_collector
from collectors.passive.source import open_capture

TITLE = "Hearing: frames a CPU second from a capture"
FRAMES = 1_000_000
ONE = 1  # asked for of write_mix: one replica, whatever it holds
TARGET, TIMES_TSHARK = 500_000, 20  # frames a CPU second
HOSTS, MEGABYTES = 3000, 200.0
# The peak of a child counts what its parent held when it was made: so a small parent is put between.
LAUNCHER = """
import os, sys
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
with open(sys.argv[1], "w") as file:
    print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss, file=file)
sys.exit(os.waitstatus_to_exitcode(status) != 0)
"""
DONE_BY = (  # fields by which tshark shows what is done to a device
    "modbus.func_code", "s7comm.param.func", "cip.service", "enip.command", "opcua.servicenodeid.numeric",
    "pn_dcp.service_id", "bacapp.confirmed_service",
)  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """What a process took, and what it printed."""

    seconds: float  # of CPU, user and system
    megabytes: float
    printed: str


@dataclass(frozen=True)
class Yardstick:
    """What tshark says of one replica: the values of each field of identity, the frames of each doing."""

    values: dict[Field, set[str]] = field(default_factory=dict)
    frames: dict[Doing, set[int]] = field(default_factory=dict)

    def identity(self, found: dict[str, set[str]]) -> float:
        """The share of its values that are among those found, by protocol ("" for a program that does not say)."""
        said = [(each, value) for each, values in self.values.items() for value in values]
        return sum(_is_in(value, found, each) for each, value in said) / len(said)

    def doings(self, found: set[int]) -> float:
        """The share of its frames that are among those found."""
        said = set().union(*self.frames.values())
        return len(said & found) / len(said)


def _is_in(value: str, found: dict[str, set[str]], each: Field) -> bool:
    heard = found.get(each.protocol, found.get("", set()))
    return value in heard or (len(value) > 7 and any(value in more for more in heard))


def run() -> Result:
    """Measure asbuilt and whatever else is installed on the same replicas of the captures."""
    folder = captures()
    if folder is None or not shutil.which("tshark"):
        return Result(TITLE, [], ["Not measured: it takes captures (ASBUILT_PCAPS) and tshark, the yardstick."])
    with TemporaryDirectory() as temporary:
        one, mix, long = (Path(temporary) / f"{name}.pcap" for name in ("one", "mix", "long"))
        each = write_mix(folder, one, ONE)
        frames = write_mix(folder, mix, FRAMES)
        longer = write_mix(folder, long, 3 * FRAMES)
        yardstick = measure_yardstick(one)
        theirs, theirs_row = _tshark(mix, frames)
        ours, ours_rows = _asbuilt(mix, frames, each, yardstick, theirs)
        others = _others(mix, one, frames, each, yardstick, theirs)
        rows = [theirs_row, *ours_rows, _length(long, longer, frames / ours.seconds), *others]
        where = where_the_time_goes(mix, frames)
    values, doings = (sum(map(len, said.values())) for said in (yardstick.values, yardstick.frames))
    return Result(
        TITLE,
        rows,
        [
            f"{frames:,} frames: {frames // each} replicas with new addresses of the {each:,} Ethernet frames of all "
            f"captures, in which tshark shows {values} values in {len(yardstick.values)} fields of identity and "
            f"{doings:,} requests that read an identity or change something. Every figure includes starting, decoding, "
            "the inventory and writing it out. dpkt and scapy heard one replica; what each found is a share of these "
            "values and of these requests. Suricata was not to be had here.",
            where,
        ],
    )


def measure_yardstick(one: Path) -> Yardstick:
    found = Yardstick()
    for each in FIELDS:
        if values := agreement.their_values(one, each):
            found.values[each] = values
    for doing in DOINGS:
        if frames := {int(line) for line in agreement.tshark(one, doing.shown, "frame.number")}:
            found.frames[doing] = frames
    return found


def _tshark(mix: Path, frames: int) -> tuple[float, Row]:
    theirs = [name for each in FIELDS for name in each.theirs.split()]
    names = dict.fromkeys(["frame.number", "eth.src", "ip.src", "ip.dst", *theirs])
    wanted = [word for name in (*names, *DONE_BY) for word in ("-e", name)]
    cost = measured(["tshark", "-r", str(mix), "-T", "fields", *wanted])
    rate = frames / cost.seconds
    return rate, Row("tshark, `-T fields` with these fields", f"{rate:,.0f}/s, {cost.megabytes:.0f} MB; the yardstick")


def _asbuilt(mix: Path, frames: int, each: int, yardstick: Yardstick, theirs: float) -> tuple[Cost, list[Row]]:
    cost = measured([sys.executable, "-m", "monitor.cli", "replay", "--json", str(mix)])
    heard = json.loads(cost.printed)
    evidence: dict[str, set[str]] = {}
    for host in heard["hosts"]:
        for found in host["evidence"]:
            evidence.setdefault(found["protocol"].removesuffix("-udp"), set()).add(spelt(found["value"]))
    everywhere: dict[int, int] = {}  # in how many replicas a frame of the first is an event
    for number in {event["frame"] for event in heard["events"]}:
        place = (number - 1) % each + 1
        everywhere[place] = everywhere.get(place, 0) + 1
    acted = {place for place, times in everywhere.items() if times == frames // each}
    identity, doings = yardstick.identity(evidence), yardstick.doings(acted)
    rate, hosts = frames / cost.seconds, len(heard["hosts"])
    full = identity == doings == 1
    found_text = f"{100 * identity:.1f} % of the identity values, {100 * doings:.1f} % of the requests"
    return cost, [
        Row("`asbuilt replay --json`", f"{rate:,.0f}/s", f"≥ {TARGET:,}/s", rate >= TARGET),
        Row("— of what tshark shows", found_text, "100 %", full),
        Row("— beside tshark", f"{rate / theirs:.1f} ×", f"≥ {TIMES_TSHARK} ×", rate >= TIMES_TSHARK * theirs),
        Row(
            f"— memory at its most, {hosts:,} hosts",
            f"{cost.megabytes:.0f} MB",
            f"< {MEGABYTES:.0f} MB at {HOSTS:,} hosts",
            cost.megabytes < MEGABYTES and hosts >= HOSTS,
        ),
    ]


def _length(long: Path, frames: int, rate: float) -> Row:
    cost = measured([sys.executable, "-m", "monitor.cli", "replay", "--json", str(long)])
    hosts = len(json.loads(cost.printed)["hosts"])
    return Row(
        f"`asbuilt replay --json` of {frames:,} frames, {hosts:,} hosts",
        f"{frames / cost.seconds:,.0f}/s, {cost.megabytes:.0f} MB",
        "no slower than a million",
        frames / cost.seconds >= 0.98 * rate,
    )


def _others(mix: Path, one: Path, frames: int, each: int, yardstick: Yardstick, theirs: float) -> list[Row]:
    rows = []
    if shutil.which("ndpiReader"):
        cost = measured(["ndpiReader", "-i", str(mix), "-v", "2"])
        rows.append(_other("nDPI, `ndpiReader -v 2`", frames, cost, theirs, yardstick, {spelt(cost.printed)}, set()))
    for name in ("dpkt", "scapy"):
        command = [sys.executable, "-m", "benchmarks.contenders", name, str(one)]
        try:
            cost = measured(command)
        except subprocess.CalledProcessError:
            rows.append(Row(name, "not installed (`make .venv/bench.done`)"))
            continue
        found: dict[str, Any] = json.loads(cost.printed)
        values = {spelt(value) for value in found["values"]}
        what = {"dpkt": "dpkt, headers alone", "scapy": "scapy, with its layers for plants"}[name]
        rows.append(_other(what, each, cost, theirs, yardstick, values, set(found["frames"])))
    return rows


def _other(
    what: str, frames: int, cost: Cost, theirs: float, yardstick: Yardstick, values: set[str], acted: set[int]
) -> Row:
    rate = frames / cost.seconds
    found = f"{100 * yardstick.identity({'': values}):.1f} % and {100 * yardstick.doings(acted):.1f} %"
    return Row(what, f"{rate:,.0f}/s ({rate / theirs:.1f} ×), {cost.megabytes:.0f} MB; found {found}")


class _Counting(Engine):
    """It tells which messages are new, and does not decode them."""

    def _decode(self, *_: Any) -> None:
        pass


def where_the_time_goes(mix: Path, frames: int) -> str:
    """In a sentence: CPU seconds of reading, of telling what is new, of decoding it, and of the inventory."""
    spare_the_collector()
    begin = time.process_time()
    for _ in open_capture(mix):
        pass
    reading = time.process_time() - begin
    counting, _, _ = _hear(mix, _Counting)
    hearing, telling, decoded = _hear(mix, Engine)
    return (
        f"Where the time goes, in CPU seconds: {reading:.2f} reading the file, {counting - reading:.2f} headers, flows "
        f"and telling what is new, {hearing - counting:.2f} the {decoded:,} messages that were (one for "
        f"{frames / decoded:.1f} frames, as every replica is a plant that was never heard before: "
        f"{1e6 * (hearing - counting) / decoded:.0f} µs each), {telling:.2f} the inventory; the rest: starting, JSON."
    )


def _hear(mix: Path, kind: type[Engine]) -> tuple[float, float, int]:
    """CPU seconds of hearing a capture, of telling what was heard, and how many messages were decoded."""
    begin = time.process_time()
    engine = kind(lambda event: None)
    for batch in open_capture(mix):
        engine.take(batch)
    engine.finish()
    heard_at = time.process_time()
    decoded = engine.heard().counts.decoded
    return heard_at - begin, time.process_time() - heard_at, decoded


def measured(command: Sequence[str]) -> Cost:
    """Run a command and say what it cost. Raises CalledProcessError if it fails."""
    with NamedTemporaryFile("r") as usage:
        launcher = [sys.executable, "-S", "-c", LAUNCHER, usage.name, *command]
        done = subprocess.run(launcher, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        seconds, kilobytes = map(float, usage.read().split())
    return Cost(seconds, kilobytes * 1024 / 1e6, done.stdout.decode("utf-8", "replace"))
