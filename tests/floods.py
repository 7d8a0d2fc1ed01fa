"""Floods for the proofs: a plant that talks, and in one minute of it as many made-up frames as are asked for.

    python -m tests.floods NAME FRAMES

What it did to the engine is printed as one JSON document: run so, the memory that is measured is that of one flood.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import pack

import numpy as np

from collectors.passive.engine import Engine
from collectors.passive.inventory import Inventory
from collectors.passive.source import BLOCK, PAD, Batch
from tests.frames import ACK, AT, SERVER_MAC, SYN, ethernet, fragments4, ipv4, tcp, udp

SECOND = 10**9
MINUTE = 60
TOLD_EVERY = 5  # seconds, as the sensor does
ONE = bytes.fromhex("0200deadbeef")
NOBODY = b"\xff" * 6
POLLED = {f"10.0.1.{n}": every for n, every in enumerate((1, 1, 2, 3, 5, 5, 10, 10, 20, 20), 1)}  # seconds
MASTER, NEWCOMER, NEWCOMER_AT = "10.0.0.10", "10.0.1.200", 17


@dataclass(frozen=True)
class Flood:
    """Frames that follow one another again and again, each time with other bytes in `made_up` (begin and size; for
    each of the frames as many bytes in all). `seconds`: for how long the same are sent before others are."""

    frames: tuple[bytes, ...]
    made_up: tuple[tuple[tuple[int, int], ...], ...]
    seconds: int = 1


def _every(frame: bytes, *spans: tuple[int, int], seconds: int = 1) -> Flood:
    return Flood((frame,), (spans,), seconds)


def lldp(*values: tuple[int, bytes]) -> bytes:
    return b"".join(pack(">H", kind << 9 | len(value)) + value for kind, value in values) + b"\0\0"


def _neighbour(*values: tuple[int, bytes]) -> bytes:
    said = lldp((1, b"\x04" + ONE), (2, b"\x07p"), (3, b"\0\x78"), *values)
    return ethernet(said, 0x88CC, ONE, bytes.fromhex("0180c200000e"))


def _dhcp() -> bytes:
    fixed = pack(">BBBBI", 1, 1, 6, 0, 7) + bytes(20) + ONE + bytes(202)
    options = b"\x63\x82\x53\x63\x35\x01\x01\x0c\x08" + b"NAMENAME" + b"\xff"
    return ethernet(ipv4(udp(fixed + options, 68, 67), 17, "0.0.0.0", "255.255.255.255"), 0x0800, ONE, NOBODY)


SOURCE_MAC, SOURCE_IP, PORTS = (7, 5), (26, 4), (34, 4)  # the first byte of a MAC address tells groups
PLC = "10.0.1.1"
MODBUS_READ = pack(">HHHBBHH", 7, 0, 6, 1, 3, 0, 1)
UMAS_READ_ID = pack(">HHHBBBB", 7, 0, 4, 1, 90, 0, 2)
CIP_REQUEST = bytes.fromhex("6f001800 00010212 00000000 0000000000000000 00000000 00000000 1400 0200 00000000 b2000800")
CIP_REQUEST += bytes.fromhex("0e03 2100 0100 2401")
ENIP_BEGUN = pack("<HHIIQI", 0x6F, 1400, 1, 0, 0, 0)
OPC_UA_PART = b"MSGC" + pack("<5I", 1300, 1, 1, 1, 0)
CHATTY = [(5, f"n{n:03}".encode()) for n in range(40)]

FLOODS: dict[str, Flood] = {
    "MAC and IP addresses": _every(
        ethernet(ipv4(udp(b"?", 40000, 40001), 17), 0x0800, ONE, NOBODY), SOURCE_MAC, SOURCE_IP
    ),
    "openings of TCP connections": _every(
        ethernet(ipv4(tcp(b"", 1, 2, 3, SYN), 6, to=PLC), 0x0800, ONE, SERVER_MAC), SOURCE_IP, PORTS
    ),
    "connections that are answered": Flood(
        (
            ethernet(ipv4(tcp(b"", 1, 2, 3, SYN), 6, to=PLC), 0x0800, ONE, SERVER_MAC),
            ethernet(ipv4(tcp(b"", 2, 1, 3, SYN | ACK), 6, PLC), 0x0800, SERVER_MAC, ONE),
        ),
        ((SOURCE_MAC, SOURCE_IP, (34, 2)), ((1, 5), (30, 4), (36, 2))),
    ),
    "cards that speak for four seconds": _every(
        ethernet(ipv4(udp(b"?", 40000, 40001), 17), 0x0800, ONE, NOBODY), SOURCE_MAC, SOURCE_IP, seconds=4
    ),
    "ARP claims": _every(
        ethernet(bytes.fromhex("0001080006040001") + ONE + bytes(4) + bytes(6) + bytes(4), 0x0806, ONE, NOBODY),
        SOURCE_MAC, (23, 5), (28, 4),
    ),
    "fragments": _every(
        ethernet(fragments4(ipv4(udp(bytes(1400), 1, 2), 17), 1304)[0], 0x0800, ONE, SERVER_MAC), (18, 2), SOURCE_IP
    ),
    "half messages": _every(
        ethernet(ipv4(tcp(ENIP_BEGUN + bytes(1300), 1, 44818, 3), 6, to=PLC), 0x0800, ONE, SERVER_MAC),
        SOURCE_IP, (34, 2),
    ),
    "half messages of one connection": _every(
        ethernet(ipv4(tcp(ENIP_BEGUN + bytes(1300), 1, 44818, 3), 6, to=PLC), 0x0800, ONE, SERVER_MAC), (38, 4)
    ),
    "parts of long messages": _every(
        ethernet(ipv4(tcp(OPC_UA_PART + bytes(1276), 1, 4840, 3), 6, to=PLC), 0x0800, ONE, SERVER_MAC),
        (34, 2), (38, 4), (74, 4),
    ),
    "requests that await an answer": _every(
        ethernet(ipv4(tcp(UMAS_READ_ID, 1, 502, 3), 6, to=PLC), 0x0800, ONE, SERVER_MAC), SOURCE_IP, (38, 4), (54, 2)
    ),
    "messages of one connection": _every(
        ethernet(ipv4(tcp(MODBUS_READ, 1, 502, 3), 6, to=PLC), 0x0800, ONE, SERVER_MAC), (38, 4), (54, 2), (60, 6)
    ),
    "functions of one conversation": _every(
        ethernet(ipv4(tcp(CIP_REQUEST, 1, 44818, 3), 6, to=PLC), 0x0800, ONE, SERVER_MAC), (38, 4), (94, 1), (98, 2)
    ),
    "functions of many conversations": _every(
        ethernet(ipv4(tcp(CIP_REQUEST, 1, 44818, 3), 6, to=PLC), 0x0800, ONE, SERVER_MAC), (29, 1), (34, 2), (38, 4),
        (94, 1), (98, 2),
    ),
    "names of one neighbour": _every(_neighbour((5, b"NAMENAME")), (14 + 9 + 4 + 4 + 2, 8)),
    "neighbours of many names": _every(_neighbour(*CHATTY), SOURCE_MAC, (14 + 9 + 4 + 4 + 2, 4)),
    "DHCP names": _every(_dhcp(), (14 + 20 + 8 + 28 + 1, 5), (14 + 20 + 8 + 240 + 5, 8)),
}  # fmt: skip


class Plant:
    """A master that polls its devices over Modbus, each at its own pace, and somebody new amid the flood."""

    def __init__(self) -> None:
        self._sequence = 1

    def frames(self, second: int) -> list[bytes]:
        found = [
            frame for n, (ip, every) in enumerate(POLLED.items()) if second % every == 0 for frame in self._poll(ip, n)
        ]
        if second >= NEWCOMER_AT and second % 2:
            found += self._poll(NEWCOMER, 200)
        return found

    def _poll(self, ip: str, number: int) -> list[bytes]:
        master, device = b"\0\0\x4e\0\0\1", b"\0\0\x54\0\0" + bytes([number])
        self._sequence += 12
        asked = tcp(MODBUS_READ, 49152 + number, 502, self._sequence)
        told = tcp(pack(">HHHBBBH", 7, 0, 5, 1, 3, 2, 9), 502, 49152 + number, self._sequence)
        return [
            ethernet(ipv4(asked, 6, MASTER, ip), 0x0800, master, device),
            ethernet(ipv4(told, 6, ip, MASTER), 0x0800, device, master),
        ]


def second_of(kind: Flood, count: int, second: int, among: list[bytes], number: int) -> Iterator[Batch]:
    """`count` frames of a flood, and `among` them those of the plant, in batches as large as those of a capture."""
    parts = 1 + count * len(kind.frames[0]) // BLOCK
    for part in range(parts):
        share = len(among) * part // parts, len(among) * (part + 1) // parts
        batch = flooded(kind, count // parts, (second, part, parts), among[slice(*share)], number)
        number += len(batch.offset)
        yield batch


def flooded(kind: Flood, count: int, when: tuple[int, int, int], among: list[bytes], number: int) -> Batch:
    """One batch. `when`: in which second, and which part of how many of it."""
    second, part, parts = when
    rng, width = np.random.default_rng((7, second // kind.seconds, part)), len(kind.frames[0])
    rows = np.tile(np.frombuffer(b"".join(kind.frames), np.uint8).reshape(-1, width), (count // len(kind.frames), 1))
    made = rng.integers(0, 256, (len(rows) // len(kind.frames), sum(size for _, size in kind.made_up[0])), np.uint8)
    for which, spans in enumerate(kind.made_up):
        columns = [at for begin, size in spans for at in range(begin, begin + size)]
        rows[which :: len(kind.frames), columns] = made
    count, more = len(rows), len(among)
    sizes = np.concatenate([np.full(count, width), np.array([len(one) for one in among], np.int64)])
    offset = np.cumsum(sizes) - sizes
    order = np.insert(np.arange(count), np.arange(more) * count // max(1, more), np.arange(count, count + more))
    begin = AT + (second - 2 * MINUTE) * SECOND + SECOND * part // parts
    times = begin + np.arange(count + more) * (SECOND // parts // max(1, count + more))
    return Batch(
        np.frombuffer(rows.tobytes() + b"".join(among) + bytes(PAD), np.uint8), offset[order], sizes[order],
        sizes[order], times, np.arange(number, number + count + more), 1,
    )  # fmt: skip


def flood(name: str, count: int, inventory: Inventory | None = None) -> dict[str, float]:
    """What a minute of a flood does. Raises AssertionError if somebody is lost."""
    plant, engine, number, spent, newcomer_told = Plant(), Engine(lambda event: None), 1, 0.0, 0
    approved, before, telling = {*POLLED, MASTER}, memory(), 0.0
    engine.inventory = inventory or engine.inventory
    for second in range(-2 * MINUTE, MINUTE):
        before = memory() if second == 0 else before
        frames = count // MINUTE if second >= 0 else 0
        for batch in second_of(FLOODS[name], frames, second + 2 * MINUTE, plant.frames(second), number):
            number += len(batch.offset)
            began = time.process_time()
            engine.take(batch)
            spent += time.process_time() - began if second >= 0 else 0
        if second > 0 and (second + 1) % TOLD_EVERY == 0:
            began = time.process_time()
            heard = engine.heard(sure=True)
            telling = max(telling, time.process_time() - began)
            there = {ip for host in heard.hosts for ip in host.ips}
            assert approved <= there, f"{sorted(approved - there)} lost after {second} s of {name}"
            talks = {(talk.client, talk.server) for talk in heard.conversations}
            assert all((MASTER, ip) in talks for ip in POLLED), f"a conversation lost after {second} s of {name}"
            if NEWCOMER in there and not newcomer_told:
                newcomer_told = second + 1
            assert not newcomer_told or NEWCOMER in there
    assert newcomer_told, f"the newcomer was not told amid {name}"
    return {
        "frames": count,
        "us_a_frame": round(spent / count * 1e6, 1),
        "ms_to_tell": round(telling * 1000),
        "MB_more": round(memory() - before),
        "s_until_a_new_device_was_told": newcomer_told - NEWCOMER_AT,
    }


def memory() -> float:
    """The most that this process has held, in MB. Not ru_maxrss: that begins with what the parent held."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    print(json.dumps(flood(sys.argv[1], int(sys.argv[2]))))
