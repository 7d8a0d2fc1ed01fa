"""The poll contract, witnessed from outside: a daemon in one network, devices in another, and a capture at the wire
between them. What tshark finds in the capture is within the limits, and is what `asbuilt contract` says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from collectors.passive.report import decode_report
from tests.floors import PROFILE, ROOT, TWO, PlantFolder, RunningFloor, running, wait_for
from tests.measured import NOTES, note
from tests.test_ring import KINDS
from tests.wires import Crossing, Wire, captured, enter, within

pytestmark = pytest.mark.skipif(
    not (shutil.which("tcpdump") and shutil.which("tshark")), reason="takes tcpdump and tshark"
)

RATE = 5
SECONDS = 120 if NOTES else 3  # of polling
FAULTS = ["honest", "silent", "reset", "slow:0.15", "slow:1", "half", "close", "refuse", "hang_up", "garbage", "drip"]
MORE_FAULTS = [
    "duplicate", "exception:2", "exception:11", "wrong_function", "wrong_unit", "wrong_protocol", "too_few", "too_many",
    "short_count", "long_length", "stale_transaction", "identity_loop", "identity_lies", "no_identity",
]  # fmt: skip
MODBUS_READS = {"1", "2", "3", "4", "43"}
OPCUA_SERVICES = {  # encoding ids (Part 6, Annex A.3): written here once more, so that two sources have to agree
    "428": "GetEndpoints", "446": "OpenSecureChannel", "452": "CloseSecureChannel", "461": "CreateSession",
    "467": "ActivateSession", "473": "CloseSession", "527": "Browse", "533": "BrowseNext", "631": "Read",
}  # fmt: skip
NOTHING_LATE = {"silent", "refuse", "close", "hang_up"}
LONGEST_ANSWER = 260
SERVER = "line9/press"

MODEL = (
    TWO.partition("[plc")[0]
    + """
level = { table = "input", address = 5, type = "uint16", value = 7 }
lock  = { table = "coil", address = 1, type = "bool", value = true }
door  = { table = "discrete", address = 2, type = "bool", value = false }
[model.press]
protocol = "opcua"
namespace = "urn:acme:press"
[model.press.node]
force = { type = "Double", value = 1.5 }
[plc."line9/press"]
model = "press"
"""
)
MORE_ITEMS = """
[item.level]
table = "input"
address = 5
type = "uint16"
[item.lock]
table = "coil"
address = 1
type = "bool"
[item.door]
table = "discrete"
address = 2
type = "bool"
"""


class Across(PlantFolder):
    """A plant whose daemon is in a network namespace."""

    namespace = ""

    def command(self, *words: str) -> list[str]:
        return within(self.namespace, *super().command(*words))


@dataclass
class Witnessed:
    """What a capture shows of one device. Times are in seconds, bytes are TCP's payload."""

    attempts: set[tuple[str, str]] = field(default_factory=set)  # SYNs: our port and sequence number
    open: set[str] = field(default_factory=set)
    most_open: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    at: list[float] = field(default_factory=list)
    tried_at: list[float] = field(default_factory=list)
    bytes_sent: int = 0
    bytes_received: int = 0  # before we hung up
    hung_up: set[str] = field(default_factory=set)
    retransmitted: int = 0
    probes: int = 0  # TCP's keep-alive

    def busiest(self, at: Sequence[float]) -> int:
        """The most within any second, its end left out."""
        return max((bisect_left(at, moment + 1.0) - number for number, moment in enumerate(at)), default=0)


PLANT, EVERYBODY = bytes.fromhex("0a0000000002"), b"\xff" * 6
WHO_HAS = EVERYBODY + PLANT + bytes.fromhex("0806 0001080006040001 0a0000000002 0a090901 000000000000 0a090909")
PING = EVERYBODY + PLANT + bytes.fromhex("0800 4500001c0000000040015ccd0a090901ffffffff 0800f7ff00000000") + bytes(18)
FIELDS = [
    "frame.time_epoch", "ip.src", "tcp.srcport", "tcp.dstport", "tcp.flags.syn", "tcp.flags.ack", "tcp.flags.fin",
    "tcp.flags.reset", "tcp.seq_raw", "tcp.len", "tcp.analysis.retransmission", "tcp.analysis.keep_alive",
    "modbus.func_code", "modbus.mei", "opcua.transport.type", "opcua.servicenodeid.numeric",
]  # fmt: skip


def read_capture(file: Path, devices: Mapping[int, str], host: str) -> dict[int, Witnessed]:
    """What tshark reads in a capture, by the device's port; that there is nothing else in it is asserted."""
    decode = [word for port, protocol in devices.items() for word in ("-d", f"tcp.port=={port},{protocol}")]
    modbus = ",".join(str(port) for port, protocol in devices.items() if protocol == "mbtcp")
    decode += ["-o", f"mbtcp.tcp.port:{modbus}"]  # by which it tells requests from answers
    wanted = [word for name in FIELDS for word in ("-e", name)]
    command = ["tshark", "-r", str(file), *decode, "-Y", "!arp", "-T", "fields", "-E", "separator=|", *wanted]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seen: dict[int, Witnessed] = defaultdict(Witnessed)
    for line in text.splitlines():
        frame = dict(zip(FIELDS, line.split("|"), strict=True))
        assert frame["tcp.dstport"], f"neither ARP nor TCP: {line}"
        ours = frame["ip.src"] != host
        port, client = ("tcp.dstport", "tcp.srcport") if ours else ("tcp.srcport", "tcp.dstport")
        _note(seen[int(frame[port])], frame, frame[client], ours)
    return seen


def _note(seen: Witnessed, frame: Mapping[str, str], client: str, ours: bool) -> None:
    size = int(frame["tcp.len"] or 0)
    if frame["tcp.flags.fin"] == "1" or frame["tcp.flags.reset"] == "1":
        seen.open.discard(client)
        if ours:
            seen.hung_up.add(client)
    if ours and frame["tcp.flags.syn"] == "1":
        seen.tried_at += [float(frame["frame.time_epoch"])] * ((client, frame["tcp.seq_raw"]) not in seen.attempts)
        seen.attempts.add((client, frame["tcp.seq_raw"]))
        seen.open.add(client)
        seen.hung_up.discard(client)
        seen.most_open = max(seen.most_open, len(seen.open))
    seen.probes += ours and bool(frame["tcp.analysis.keep_alive"])
    if frame["tcp.analysis.retransmission"]:
        seen.retransmitted += 1
    elif ours:
        seen.bytes_sent += size
        if size:
            seen.requests[_request(frame)] += 1
            seen.at.append(float(frame["frame.time_epoch"]))
    elif client not in seen.hung_up:
        seen.bytes_received += size


def _request(frame: Mapping[str, str]) -> str:
    """The one request that a frame carries, by the name that we count it under."""
    if function := frame["modbus.func_code"]:
        assert function in MODBUS_READS, frame
        assert frame["modbus.mei"] == ("14" if function == "43" else ""), frame
        return f"FC {function}" + "/14" * (function == "43")
    if frame["opcua.transport.type"] == "HEL":
        return "Hello"
    return OPCUA_SERVICES[frame["opcua.servicenodeid.numeric"]]


def numbered() -> list[tuple[int, str]]:
    return [*enumerate(FAULTS + MORE_FAULTS if NOTES else FAULTS)]


@contextmanager
def plant_across(crossing: Crossing, folder: Path) -> Iterator[tuple[RunningFloor, Across]]:
    """A floor with a device for each fault and an OPC UA server, and a plant that polls them as fast as it may."""
    plcs = "".join(f'[plc."line{number}/filler"]\nmodel = "p9"\nbehave = "{fault}"\n' for number, fault in numbered())
    with running(MODEL + plcs, crossing.host, lambda: enter(crossing.floor)) as floor:
        addresses = {name: plc.address for name, plc in floor.plcs.items() if name != SERVER}
        server = f'[asset."{SERVER}"]\naddress = "{floor.plcs[SERVER].address}"\nprofile = "auto"\nevery = "300ms"\n'
        plant = Across(folder, addresses, server)
        plant.namespace = crossing.monitor
        limits = PROFILE.replace("requests_per_second = 200", f"requests_per_second = {RATE}")
        (folder / "p9.toml").write_text(limits + MORE_ITEMS)
        yield floor, plant


def polled(floor: RunningFloor, seconds: float) -> bool:
    """Whether the devices that answer have been polled for so long."""
    times = [[*floor.plcs[name].seen.times] for name in ("line0/filler", SERVER)]
    return all(at and at[-1] - at[0] >= seconds for at in times)


def test_what_leaves_is_within_the_contract_and_is_what_we_say(crossing: Crossing, tmp_path: Path) -> None:
    file = tmp_path / "capture.pcap"
    with plant_across(crossing, tmp_path) as (floor, plant):
        with captured(crossing.floor, crossing.devices, file), plant.daemon():
            wait_for(lambda: polled(floor, SECONDS), f"{SECONDS} s of polls", SECONDS + 20)
            running_yet = plant.asbuilt("contract", "--json").json
            sockets = subprocess.run(within(crossing.monitor, "ss", "-tnoH"), capture_output=True, text=True).stdout
        told = plant.asbuilt("contract", "--json")
    ports = {int(urlsplit(plc.address).port or 0): plc for plc in floor.plcs.values()}
    protocols = {port: "opcua" if plc.protocol == "opcua" else "mbtcp" for port, plc in ports.items()}
    seen = read_capture(file, protocols, crossing.host)

    assert crossing.host in sockets
    assert "keepalive" not in sockets, "the kernel would send probes by itself"
    assert running_yet["is_fresh"], "the daemon gave its counts while it ran"
    assert any(each["sent"] for each in running_yet["contracts"])
    assert told.code == 0, told.out
    contracts = {int(each["device"].rpartition(":")[2]): each for each in told.json["contracts"]}
    assert contracts.keys() == seen.keys() == ports.keys()
    for port, plc in ports.items():
        _confront(plc.behaviour, seen[port], contracts[port])
    assert {*seen[_port(floor, "line0/filler")].requests} == {"FC 1", "FC 2", "FC 3", "FC 4", "FC 43/14"}
    assert {*seen[_port(floor, SERVER)].requests} > {"Hello", "OpenSecureChannel", "GetEndpoints", "Browse", "Read"}
    note(
        "The wire between a daemon and its devices: what tshark finds is within the contract, and what we say",
        devices=len(seen),
        requests=sum(each.requests.total() for each in seen.values()),
        connections=sum(len(each.attempts) for each in seen.values()),
        most_at_once=max(each.most_open for each in seen.values()),
        most_in_a_second=max(each.busiest(each.at) for each in seen.values()),
        allowed_in_a_second=RATE,
    )


def _port(floor: RunningFloor, name: str) -> int:
    return int(urlsplit(floor.plcs[name].address).port or 0)


def _confront(fault: str, seen: Witnessed, contract: Any) -> None:
    """Two witnesses of one device: the wire, and ourselves."""
    sent = contract["sent"]
    assert seen.most_open == 1, f"{fault}: {seen.most_open} connections at once"
    assert seen.busiest(sorted(seen.at + seen.tried_at)) <= RATE, f"{fault}: requests and connections in a second"
    assert (seen.probes, seen.retransmitted) == (0, 0), f"{fault}: the kernel sent something by itself"
    assert contract["verdict"] == "kept", fault
    assert seen.requests == Counter(sent["services"]), fault
    assert len(seen.attempts) == sent["connections"], fault
    assert seen.most_open >= sent["most_open"], fault
    assert seen.bytes_sent == sent["bytes_sent"], fault
    unheard = seen.bytes_received - sent["bytes_received"]
    assert 0 <= unheard <= LONGEST_ANSWER * (fault not in NOTHING_LATE), f"{fault}: an answer that crossed our farewell"
    assert abs(seen.busiest(seen.at) - sent["busiest_second"]) <= 1, f"{fault}: two clocks, one request at an edge"


def test_the_sniffer_sends_no_frame(wire: Wire, tmp_path: Path) -> None:
    file = tmp_path / "sniffer.pcap"
    command = within(wire.namespace, sys.executable, "-m", "collectors.passive.sensor", wire.sensor)
    with captured(wire.namespace, wire.plant, file, "-Q", "in"):  # at the other end: all that leaves the sensor's
        sensor = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        assert sensor.stdout
        decode_report(sensor.stdout.readline())  # it listens
        wire.send(*KINDS, WHO_HAS, PING)
        heard = next(report.heard for line in sensor.stdout if (report := decode_report(line)).heard)
        sensor.terminate()
        sensor.communicate(timeout=20)
    assert heard.counts.packets > 0
    assert sensor.returncode == 0
    assert wire.transmitted() == 0
    assert frames_in(file) == [], "a frame left the sniffer's interface"


def test_a_frame_of_the_sniffers_host_would_be_seen(wire: Wire, tmp_path: Path) -> None:
    """The witness itself: an interface with an address answers who asks for it."""
    file, before = tmp_path / "host.pcap", wire.transmitted()
    subprocess.run(["ip", "-n", wire.namespace, "addr", "add", "10.9.9.9/24", "dev", wire.sensor], check=True)
    with captured(wire.namespace, wire.plant, file, "-Q", "in", "arp[7] == 2"):
        wire.send(WHO_HAS)
        wait_for(lambda: wire.transmitted() > before, "an answer")
    assert len(frames_in(file)) == 1


def frames_in(file: Path) -> list[str]:
    command = ["tcpdump", "-n", "-r", str(file)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def test_a_capture_that_breaks_the_contract_is_seen_to(crossing: Crossing, tmp_path: Path) -> None:
    """The witness itself: two connections at once, a burst, and a write are found."""
    file = tmp_path / "capture.pcap"
    with running(MODEL + '[plc."line0/filler"]\nmodel = "p9"\n', crossing.host, lambda: enter(crossing.floor)) as floor:
        port = _port(floor, "line0/filler")
        script = BURST.format(host=crossing.host, port=port, function=3)
        with captured(crossing.floor, crossing.devices, file):
            subprocess.run(within(crossing.monitor, sys.executable, "-c", script), check=True)
        seen = read_capture(file, {port: "mbtcp"}, crossing.host)[port]
        assert (seen.most_open, seen.busiest(seen.at), seen.requests) == (2, 12, {"FC 3": 12})
        with captured(crossing.floor, crossing.devices, file):
            script = BURST.format(host=crossing.host, port=port, function=6)
            subprocess.run(within(crossing.monitor, sys.executable, "-c", script), check=True)
        with pytest.raises(AssertionError, match="assert '6' in"):
            read_capture(file, {port: "mbtcp"}, crossing.host)


BURST = """
import socket
lines = [socket.create_connection(("{host}", {port})) for _ in range(2)]
for number in range(6):
    for line in lines:
        line.sendall(bytes([0, number, 0, 0, 0, 6, 1, {function}, 0, 100, 0, 1]))
        line.recv(260)
for line in lines:
    line.close()
"""
