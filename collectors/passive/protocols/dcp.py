"""PROFINET DCP, and the other PROFINET frames on EtherType 0x8892 by their FrameID (IEC 61158-6-10)."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

import numpy as np

from baselines.wire import Operation
from collectors.passive.protocols.protocol import Bytes, Carrier, Flags, Lengths, Protocol, Signatures
from collectors.passive.protocols.texts import ip_text, mac_text, text
from collectors.passive.said import NOTHING, Act, Asked, Malformed, Said, Sighting

DCP_FIRST, DCP_LAST = 0xFEFC, 0xFEFF  # FrameIDs of Hello, Get and Set, Identify, and the answer to Identify
GET, SET, IDENTIFY, HELLO = 3, 4, 5, 6
FUNCTIONS = {GET: "get", SET: "set", IDENTIFY: "identify", HELLO: "hello"}
ANSWER = 1  # bit of the service type; 5 is the answer of who does not know the service
HEADER = 12
BLOCKS_MOST = 128
IP, DEVICE, DHCP, CONTROL = 1, 2, 3, 5
MAC, IP_PARAMETER, FULL_IP = (IP, 1), (IP, 2), (IP, 3)
STATION, NAME, DEVICE_ID, ROLE, OPTIONS, ALIAS, INSTANCE, OEM_ID = ((DEVICE, suboption) for suboption in range(1, 9))
SIGNAL, FACTORY_RESET, RESET_TO_FACTORY = (CONTROL, 3), (CONTROL, 5), (CONTROL, 6)
TEXTS = {STATION: "model", NAME: "name", ALIAS: "alias"}
VENDOR_AND_DEVICE = {DEVICE_ID: ("vendor_id", "device_id"), OEM_ID: ("oem_vendor_id", "oem_device_id")}
ROLES = ("IO-Device", "IO-Controller", "IO-Multidevice", "IO-Supervisor")  # from the lowest bit
RESETS = {  # what a ResetToFactory resets: the qualifier without its lowest bit
    2: "application data",
    4: "communication parameters",
    6: "engineering parameters",
    8: "all stored data",
    16: "device",
    18: "device, and restore data",
}
ADDRESSES = (("ip", 0), ("mask", 4), ("gateway", 8))
FRAMES = (  # FrameIDs up to, and what they are
    (0x001F, "reserved"),
    (0x0081, "ptcp"),
    (0x00FF, "reserved"),
    (0x0FFF, "rt-isochronous"),
    (0x7FFF, "reserved"),
    (0xFBFF, "rt-cyclic"),
    (0xFC00, "reserved"),
    (0xFC01, "alarm"),  # of high priority
    (0xFE00, "reserved"),
    (0xFE01, "alarm"),
    (0xFEFB, "reserved"),
    (0xFEFF, "dcp"),
    (0xFF43, "ptcp"),
    (0xFF7F, "reserved"),
    (0xFF8F, "fragment"),
    (0xFFFF, "reserved"),
)
FRAME_LIMITS = [limit for limit, _ in FRAMES]
SAYS = [Said((name,)) for _, name in FRAMES]
LIMITS = np.array(FRAME_LIMITS)
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def decode(message: bytes, client: bool, asked: Asked) -> Said:
    """What kind of frame it is; of DCP what a station says of itself, or what is set."""
    if len(message) < 2:
        raise Malformed("PROFINET without a FrameID")
    frame = message[0] << 8 | message[1]
    if not DCP_FIRST <= frame <= DCP_LAST:
        return SAYS[bisect_left(FRAME_LIMITS, frame)]
    if len(message) < HEADER:
        raise Malformed("DCP ends in its header")
    service, kind, length = message[2], message[3], message[10] << 8 | message[11]
    data = message[HEADER : HEADER + length]
    if len(data) < length:
        raise Malformed("DCP is shorter than its header says")
    if service not in FUNCTIONS:
        return Said((f"service-{service}",))  # 1 and 2 are the makers' own
    if kind & ANSWER:
        return Said(sightings=tuple(_sightings(data))) if service in (GET, IDENTIFY) else NOTHING
    function = FUNCTIONS[service]
    if service == HELLO:
        return Said((function,), tuple(_sightings(data)))
    if service == SET:
        return _set(data)
    asks_for = _asked_for(data) if service == GET else _filters(data)
    return Said((function,), acts=(Act(Operation.IDENTITY_READ, {"function": function, **asks_for}),))


def _blocks(data: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Option and suboption, and what is in the block; it is padded to an even length."""
    at = 0
    for _ in range(BLOCKS_MOST):
        if at + 4 > len(data):
            return
        option, suboption, length = struct.unpack_from(">BBH", data, at)
        block = data[at + 4 : at + 4 + length]
        if len(block) < length:
            raise Malformed("a DCP block ends early")
        yield (option, suboption), block
        at += 4 + length + (length & 1)


def _sightings(data: bytes) -> Iterator[Sighting]:
    """Of the blocks of an answer or a Hello; each value has two bytes of block information before it."""
    for block, value in _blocks(data):
        for field, said in _said(block, value[2:]):
            if said:
                yield Sighting(field, said)


def _said(block: tuple[int, int], value: bytes) -> Iterator[tuple[str, str]]:
    if block in TEXTS:
        yield TEXTS[block], text(value)
    elif block in VENDOR_AND_DEVICE and len(value) >= 4:
        vendor, device = VENDOR_AND_DEVICE[block]
        yield vendor, f"0x{value[:2].hex()}"
        yield device, f"0x{value[2:4].hex()}"
    elif block == ROLE and value:
        yield "role", ", ".join(name for bit, name in enumerate(ROLES) if value[0] >> bit & 1)
    elif block == OPTIONS:
        yield "device_options", ",".join(_pairs(value))
    elif block == INSTANCE and len(value) >= 2:
        yield "instance", f"{value[0]}.{value[1]}"
    elif block in (IP_PARAMETER, FULL_IP) and len(value) >= 4:
        yield "ip", ip_text(value[:4])
    elif block == MAC and len(value) == 6:
        yield "mac", mac_text(value)


def _pairs(value: bytes) -> list[str]:
    """Options and suboptions, as option.suboption."""
    return [f"{value[at]}.{value[at + 1]}" for at in range(0, min(len(value) - 1, 64), 2)]


def _asked_for(data: bytes) -> dict[str, Any]:
    return {"options": _pairs(data)}


def _filters(data: bytes) -> dict[str, Any]:
    """Which stations an Identify asks for; its blocks have no block information."""
    return {TEXTS[block]: text(value) for block, value in _blocks(data) if block in (NAME, ALIAS, STATION)}


def _set(data: bytes) -> Said:
    """What a Set asks for, each value behind a qualifier whose lowest bit says that it is to last."""
    functions, acts = ["set"], []
    for block, value in _blocks(data):
        qualifier = int.from_bytes(value[:2], "big")
        if block == SIGNAL:  # the station flashes a LED
            functions.append("signal")
        elif block in (FACTORY_RESET, RESET_TO_FACTORY):
            functions.append("reset-to-factory")
            what = RESETS.get(qualifier & ~1, "") if block == RESET_TO_FACTORY else "factory settings"
            acts.append(
                Act(Operation.RESTART, {"function": "reset-to-factory", "mode": qualifier >> 1, "resets": what})
            )
        elif block[0] != CONTROL:  # of which the others begin and end a transaction
            detail = {"function": "set", **_setting(block, value[2:]), "permanent": bool(qualifier & 1)}
            addresses = block[0] in (IP, DHCP) or block in (NAME, ALIAS)
            acts.append(Act(Operation.ADDRESS_CHANGE if addresses else Operation.WRITE, detail))
    return Said(tuple(dict.fromkeys(functions)), acts=tuple(acts))


def _setting(block: tuple[int, int], value: bytes) -> dict[str, Any]:
    if block in (NAME, ALIAS):
        return {TEXTS[block]: text(value)}
    if block in (IP_PARAMETER, FULL_IP) and len(value) >= 12:
        return {name: ".".join(map(str, value[at : at + 4])) for name, at in ADDRESSES}  # 0.0.0.0 takes it away
    return {"option": block[0], "suboption": block[1], "data": value[:32].hex()}


def sign(head: Bytes, length: Lengths, client: Flags) -> Signatures:
    """Whatever is no DCP, by the range of its FrameID."""
    frame = (head[:, 0].astype(np.int64) << 8) + head[:, 1]
    kind = np.searchsorted(LIMITS, frame).astype(np.uint64)
    known = (length >= 2) & ((frame < DCP_FIRST) | (frame > DCP_LAST))
    return np.where(known, (kind + np.uint64(1)) * MULTIPLIER, np.uint64(0))


DCP = Protocol("profinet-dcp", Carrier.ETHERNET, frozenset({0x8892}), decode, sign=sign)
