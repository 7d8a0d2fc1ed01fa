"""CIP, the Common Industrial Protocol: what a request does, and what the answer to one says of a device.

Clauses are those of ODVA's CIP Networks Library, volume 1 (CIP) and volume 2 (EtherNet/IP). Tag services are those of
Rockwell's 1756-PM020 (Logix 5000 Controllers Data Access), PCCC commands those of 1770-6.5.16 (DF1 Protocol and Command
Set). Services of Rockwell's own classes are in no manual; those that act are in ACTING with what they were seen to do.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from math import isfinite
from pathlib import Path
from struct import unpack_from
from types import ModuleType
from typing import Any, NamedTuple

from baselines.wire import Operation
from collectors.passive.said import Act, Malformed, Sighting

ANSWER = 0x80  # the bit of a service that tells an answer (volume 1, 2-4.2)
PACKET_MOST = 8192  # bytes of a Multiple Service Packet: twice what the largest connection of a Logix controller takes
PARTS_MOST = 500  # of all packets of a message: as many of the shortest acts as fit into 4002 bytes
DEPTH_MOST = 4  # Unconnected_Send in Unconnected_Send, a packet in a packet
FUNCTIONS_MOST = 32  # a message
WANTS_MOST = 16  # a message
VALUES_MOST = 32
DATA_MOST = 64
TEXT_MOST = 256

IDENTITY, ROUTER, CONNECTIONS, FILE, PROGRAM_NAME, SYMBOL, PCCC = 0x01, 0x02, 0x06, 0x37, 0x64, 0x6B, 0x67
CLOCK, FIRMWARE, PORT, TCP_IP, ETHERNET_LINK = 0x8B, 0xA1, 0xF4, 0xF5, 0xF6

GET_ALL, SET_ALL, GET_LIST, SET_LIST, RESET, START, STOP, CREATE, DELETE, PACKET = range(0x01, 0x0B)
APPLY, GET_SINGLE, SET_SINGLE, RESTORE, SAVE = 0x0D, 0x0E, 0x10, 0x15, 0x16
SET_MEMBER, INSERT_MEMBER, REMOVE_MEMBER = 0x19, 0x1A, 0x1B
EXECUTE_PCCC, EXECUTE_LOCAL_PCCC = 0x4B, 0x4D
READ_TAG, WRITE_TAG, MODIFY_TAG, READ_FRAGMENT, WRITE_FRAGMENT = 0x4C, 0x4D, 0x4E, 0x52, 0x53
FORWARD_CLOSE, UNCONNECTED_SEND, FORWARD_OPEN, LARGE_FORWARD_OPEN = 0x4E, 0x52, 0x54, 0x5B
BLOCK = 0x4D  # of a firmware

SERVICES = {  # volume 1, appendix A; those of every class
    GET_ALL: "get-attributes-all",
    SET_ALL: "set-attributes-all",
    GET_LIST: "get-attribute-list",
    SET_LIST: "set-attribute-list",
    RESET: "reset",
    START: "start",
    STOP: "stop",
    CREATE: "create",
    DELETE: "delete",
    PACKET: "multiple-service-packet",
    APPLY: "apply-attributes",
    GET_SINGLE: "get-attribute-single",
    SET_SINGLE: "set-attribute-single",
    0x11: "find-next-object-instance",
    RESTORE: "restore",
    SAVE: "save",
    0x17: "no-operation",
    0x18: "get-member",
    SET_MEMBER: "set-member",
    INSERT_MEMBER: "insert-member",
    REMOVE_MEMBER: "remove-member",
    0x1C: "group-sync",
}
TAG_SERVICES = {  # 1756-PM020, CIP services supported by Logix 5000 controllers
    READ_TAG: "read-tag",
    WRITE_TAG: "write-tag",
    MODIFY_TAG: "read-modify-write-tag",
    READ_FRAGMENT: "read-tag-fragmented",
    WRITE_FRAGMENT: "write-tag-fragmented",
    0x55: "get-instance-attribute-list",
}
CLASS_SERVICES = {
    CONNECTIONS: {  # volume 1, 3-5
        FORWARD_CLOSE: "forward-close",
        UNCONNECTED_SEND: "unconnected-send",
        FORWARD_OPEN: "forward-open",
        0x56: "get-connection-data",
        0x57: "search-connection-data",
        0x5A: "get-connection-owner",
        LARGE_FORWARD_OPEN: "large-forward-open",
    },
    FILE: {  # volume 1, File object
        0x4B: "initiate-upload",
        0x4C: "initiate-download",
        0x4D: "initiate-partial-read",
        0x4E: "initiate-partial-write",
        0x4F: "upload-transfer",
        0x50: "download-transfer",
        0x51: "clear-file",
    },
    0x39: {  # volume 5, Safety Supervisor object
        0x4C: "recover",
        0x4E: "perform-diagnostics",
        0x4F: "configure-request",
        0x50: "validate-configuration",
        0x51: "set-password",
        0x52: "configuration-lock",
        0x53: "mode-change",
        0x54: "safety-reset",
        0x55: "reset-password",
        0x56: "propose-tunid",
        0x57: "apply-tunid",
    },
    0x44: {  # volume 7, Modbus object
        0x4B: "read-discrete-inputs",
        0x4C: "read-coils",
        0x4D: "read-input-registers",
        0x4E: "read-holding-registers",
        0x4F: "write-coils",
        0x50: "write-holding-registers",
        0x51: "modbus-passthrough",
    },
    0x6C: {READ_TAG: "read-template"},  # 1756-PM020, Read Template Service
    PCCC: {EXECUTE_PCCC: "execute-pccc", EXECUTE_LOCAL_PCCC: "execute-local-pccc"},
}
CLASSES = {  # those that a person reads in an act; volume 1, chapter 5, and 1756-PM020
    IDENTITY: "identity",
    ROUTER: "message-router",
    0x04: "assembly",
    0x05: "connection",
    CONNECTIONS: "connection-manager",
    0x0F: "parameter",
    0x10: "parameter-group",
    0x29: "control-supervisor",
    0x2A: "ac-dc-drive",
    FILE: "file",
    0x39: "safety-supervisor",
    0x43: "time-sync",
    0x44: "modbus",
    0x47: "device-level-ring",
    0x48: "qos",
    0x52: "snmp",
    0x5D: "cip-security",
    0x5E: "ethernet-ip-security",
    0x5F: "certificate-management",
    0x61: "password-authenticator",
    PROGRAM_NAME: "program-name",
    PCCC: "pccc",
    0x68: "program",
    0x69: "io-map",
    SYMBOL: "symbol",
    0x6C: "template",
    0x6D: "routine",
    0x70: "task",
    0x72: "memory",
    CLOCK: "wall-clock-time",
    0x8E: "controller",
    FIRMWARE: "nonvolatile-storage",
    0xF3: "connection-configuration",
    PORT: "port",
    TCP_IP: "tcp-ip-interface",
    ETHERNET_LINK: "ethernet-link",
}

WRITES = {  # whatever the class
    SET_ALL,
    SET_LIST,
    SET_SINGLE,
    SET_MEMBER,
    INSERT_MEMBER,
    REMOVE_MEMBER,
    RESET,
    APPLY,
    RESTORE,
    SAVE,
}
# What a Logix project is made of, as a download by Studio 5000 creates it: programs, I/O modules, tags, types,
# routines, tasks, memory (EIP-RebootorRestart.pcap, frames 454 to 705).
PROJECT = frozenset((0x66, 0x68, 0x69, 0x6A, 0x6B, 0x6C, 0x6D, 0x6E, 0x70, 0x72, 0x7E, 0x8C, 0x8D, 0xB0, 0xB1))
PASSING = frozenset((0x05, 0xB2))  # a connection, a trend: whoever reads creates and deletes them
ACTING: dict[tuple[int, int], Operation] = {  # (class, service)
    (IDENTITY, RESET): Operation.RESTART,
    (FILE, 0x4B): Operation.PROGRAM_UPLOAD,
    (FILE, 0x4C): Operation.FIRMWARE_UPDATE,
    (FILE, 0x4D): Operation.PROGRAM_UPLOAD,
    (FILE, 0x4E): Operation.FIRMWARE_UPDATE,
    (FILE, 0x51): Operation.WRITE,
    (0x39, 0x4F): Operation.WRITE,
    (0x39, 0x51): Operation.WRITE,
    (0x39, 0x52): Operation.WRITE,
    (0x39, 0x53): Operation.MODE_CHANGE,
    (0x39, 0x54): Operation.RESTART,
    (0x39, 0x55): Operation.WRITE,
    (0x39, 0x57): Operation.ADDRESS_CHANGE,
    (0x44, 0x4F): Operation.WRITE,
    (0x44, 0x50): Operation.WRITE,
    (0x44, 0x51): Operation.WRITE,
    (SYMBOL, WRITE_TAG): Operation.WRITE,
    (SYMBOL, WRITE_FRAGMENT): Operation.WRITE,
    (SYMBOL, MODIFY_TAG): Operation.WRITE,
    # Offset, length, and the bytes of a tag of the project that is being put in place (same capture, frames 476, 506).
    (0x6A, 0x50): Operation.PROGRAM_DOWNLOAD,
    # The code of a routine is read by it: the answer has the bytes that the other capture writes
    # (EIP-SoftwareUpload.pcap, frame 624) …
    (0x6D, 0x4C): Operation.PROGRAM_UPLOAD,
    # … and written so: address, length, bytes; then the routine is pointed at the address (RebootorRestart, 593, 597).
    (0x72, 0x4B): Operation.PROGRAM_DOWNLOAD,
    # All memory of the project is given back before a download (same capture, frame 454).
    (0x72, RESET): Operation.PROGRAM_CHANGE,
}

READS = (GET_ALL, GET_LIST, GET_SINGLE, READ_TAG, READ_FRAGMENT, 0x55)  # what pollers send
GETS = (GET_ALL, GET_LIST, GET_SINGLE)
TELLING = frozenset((IDENTITY, PROGRAM_NAME, PCCC, PORT, TCP_IP, ETHERNET_LINK))  # classes whose answers say who it is
# Execute_PCCC by its other number is not among them: it shares that with Write Tag, which is answered so often.
ANSWERED = frozenset((*GETS, PACKET, EXECUTE_PCCC, FORWARD_OPEN, LARGE_FORWARD_OPEN))
# To read of these does nothing and says nothing of a device.
QUIET = (
    frozenset(range(256))
    - TELLING
    - {ROUTER, CONNECTIONS, FIRMWARE}
    - {of for of, service in ACTING if service in READS}
)


class Target(NamedTuple):
    """Whom a path leads to (volume 1, appendix C)."""

    of: int | None = None  # the class; None of a tag
    instance: int | None = None
    attribute: int | None = None
    tag: str = ""
    route: str = ""  # ports and links on the way: "1.0" is slot 0 of the backplane


class Want(NamedTuple):
    """An answer that will say who somebody is. `part` is its place in a Multiple Service Packet, -1 if it is alone."""

    part: int
    service: int
    of: int
    instance: int
    attributes: tuple[int, ...]
    route: str


class Connection(NamedTuple):
    """What a Forward_Open asks for: the number that the target will put on what it sends, and the way to it."""

    to_originator: int
    route: str


class Heard:
    """What a request was found to say, as it is read; `parts` counts those of its packets."""

    __slots__ = ("acts", "connection", "functions", "parts", "wants", "wrong")

    def __init__(self) -> None:
        self.functions: dict[str, None] = {}
        self.acts: list[Act] = []
        self.parts = 0
        self.wants: list[Want] = []
        self.connection: Connection | None = None
        self.wrong: Malformed | None = None

    def function(self, name: str) -> None:
        if len(self.functions) < FUNCTIONS_MOST:
            self.functions[name] = None

    def want(self, want: Want) -> None:
        if len(self.wants) < WANTS_MOST:
            self.wants.append(want)


def text(data: bytes) -> str:
    """Text as the device wrote it; what is no UTF-8 is Latin-1."""
    try:
        found = data.decode()
    except UnicodeDecodeError:
        found = data.decode("latin-1")
    return found.replace("\0", "").strip()[:TEXT_MOST]


@cache
def _tables() -> ModuleType | None:
    """pycomm3's tables of vendors and device types, without its driver: its package would import sockets and more."""
    found = find_spec("pycomm3")
    if not found or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / "cip" / "status_info.py"
    if not (spec := spec_from_file_location("_cip_tables", path)) or not spec.loader:
        return None
    spec.loader.exec_module(tables := module_from_spec(spec))
    return tables


@cache
def vendors() -> dict[int, str]:
    """The names of ODVA's vendor numbers."""
    return {number: name for number, name in getattr(_tables(), "VENDORS", {}).items() if isinstance(number, int)}


@cache
def device_types() -> dict[int, str]:
    """The names of the device profiles (volume 1, chapter 6)."""
    return {number: name for number, name in getattr(_tables(), "PRODUCT_TYPES", {}).items() if isinstance(number, int)}


# Paths


def target(data: bytes, at: int, end: int) -> Target:
    """A padded path. What leads through a class to another of its parts leads to the last of them."""
    of = instance = attribute = None
    tag = route = ""
    while at < end:
        kind = data[at]
        if kind < 0x20:  # port
            hop, at = _hop(data, at, end)
            route = f"{route}.{hop}" if route else hop
        elif kind < 0x40:  # logical
            if kind == 0x34:  # an electronic key: of no target
                at += 2 + 2 * data[at + 1] if at + 1 < end else 2
                continue
            size = (2, 4, 6)[kind & 3] if kind & 3 < 3 else 0
            if not size or at + size > end:
                raise Malformed("a path whose segment has no end")
            number = data[at + 1] if size == 2 else int.from_bytes(data[at + 2 : at + size], "little")
            match kind & 0x1C:
                case 0x00 if not tag:
                    of, instance, attribute = number, None, None
                case 0x04:
                    instance = number
                case 0x08:
                    tag += f"[{number}]"
                case 0x10:
                    attribute = number
            at += size
        elif kind < 0x60:  # network: one byte, or a length in words
            at += 2 + 2 * data[at + 1] if kind & 0x10 and at + 1 < end else 2
        elif kind == 0x91:  # a name
            if at + 2 > end or at + 2 + data[at + 1] > end:
                raise Malformed("a path whose name has no end")
            length = data[at + 1]
            name = text(data[at + 2 : at + 2 + length])
            tag = f"{tag}.{name}" if tag else name
            at += 2 + length + (length & 1)
        elif kind == 0x80:  # data
            at += 2 + 2 * data[at + 1] if at + 1 < end else 2
        else:
            raise Malformed(f"a path with a segment 0x{kind:02x}")
    return Target(None if tag and of is None else of, instance, attribute, tag[:TEXT_MOST], route[:TEXT_MOST])


def _hop(data: bytes, at: int, end: int) -> tuple[str, int]:
    """A port segment (volume 1, appendix C): the number of the port, and the link address behind it."""
    port, long = data[at] & 0x0F, data[at] & 0x10
    begin = at
    at += 1
    length = 1
    if long and at < end:
        length = data[at]
        at += 1
    if port == 0x0F:
        if at + 2 > end:
            raise Malformed("a path whose port has no end")
        (port,) = unpack_from("<H", data, at)
        at += 2
    if at + length > end:
        raise Malformed("a path whose port has no end")
    link = text(data[at : at + length]) if long else str(data[at])
    at += length
    return f"{port}.{link}", at + ((at - begin) & 1)


def _route(one: str, other: str) -> str:
    return f"{one}.{other}"[:TEXT_MOST] if one and other else one or other


# Requests


def function(service: int, of: int | None) -> str:
    """The name of a service; of a class that keeps its services to itself, its number."""
    if of is not None and (found := CLASS_SERVICES.get(of, {}).get(service)):
        return found
    if found := SERVICES.get(service):
        return found
    if (of is None or of == SYMBOL or service == 0x55) and (found := TAG_SERVICES.get(service)):
        return found
    return f"service-0x{service:02x}" if of is None else f"service-0x{service:02x}-class-0x{of:02x}"


def request(data: bytes, heard: Heard, route: str = "", part: int = -1, depth: int = 0) -> None:
    """A message router request (volume 1, 2-4.1). `route` is how the whole message came to the one it is for."""
    if len(data) < 2 or len(data) < 2 + 2 * data[1]:
        raise Malformed("a CIP request shorter than its path")
    service, begin = data[0], 2 + 2 * data[1]
    if service in (READ_TAG, READ_FRAGMENT) and begin > 2 and data[2] == 0x91:
        heard.function(TAG_SERVICES[service])
        return
    whom = target(data, 2, begin)
    of, body = whom.of, data[begin:]
    heard.function(function(service, of))
    if service == PACKET and (of is None or of == ROUTER):
        _packet(body, heard, route, part, depth)
    elif of == CONNECTIONS and service == UNCONNECTED_SEND:
        _unconnected(body, heard, route, part, depth)
    elif of == CONNECTIONS and service in (FORWARD_OPEN, LARGE_FORWARD_OPEN):
        heard.connection = _forward_open(body, route, service == LARGE_FORWARD_OPEN)
    elif of == PCCC and service in (EXECUTE_PCCC, EXECUTE_LOCAL_PCCC):
        if not body or len(body) < body[0]:
            raise Malformed("a PCCC command without its requester")
        pccc(body[body[0] :], heard, Want(part, service, PCCC, 1, (), route))
    elif of in TELLING and service in GETS:
        _get(service, whom, body, heard, _route(route, whom.route), part)
    else:
        _act(service, whom, body, heard, _route(route, whom.route))


def _packet(body: bytes, heard: Heard, route: str, part: int, depth: int) -> None:
    """Multiple_Service_Packet (volume 1, appendix A): a count, as many offsets, and there a request each.

    One that is wrong is refused by the device, and the others are done; so it is here.
    """
    if depth >= DEPTH_MOST:
        raise Malformed("packets in packets without end")
    places = parts(body)
    heard.parts += len(places)
    if heard.parts > PARTS_MOST:
        raise Malformed(f"packets of {heard.parts} parts")
    for number, (start, end) in enumerate(places):
        try:
            # The answer to a packet in a packet is not looked into: no device was seen to take one.
            request(body[start:end], heard, route, number if part == -1 else -2, depth + 1)
        except Malformed as wrong:
            heard.wrong = heard.wrong or wrong


def parts(body: bytes) -> list[tuple[int, int]]:
    """Where the parts of a Multiple_Service_Packet, or of the answer to one, begin and end."""
    if len(body) < 2:
        raise Malformed("a packet without its count")
    (count,) = unpack_from("<H", body)
    if len(body) > PACKET_MOST or count > PARTS_MOST or 2 + 2 * count > len(body):
        raise Malformed(f"a packet of {count} parts that has no room for them")
    if not count:
        return []
    offsets = unpack_from(f"<{count}H", body, 2)
    ends = (*offsets[1:], len(body))
    if any(not 2 + 2 * count <= start <= end for start, end in zip(offsets, ends, strict=True)):
        raise Malformed("a packet whose parts are out of order")
    return list(zip(offsets, ends, strict=True))


def _unconnected(body: bytes, heard: Heard, route: str, part: int, depth: int) -> None:
    """Unconnected_Send (volume 1, 3-5): ticks, the length of a request, the request, and the way that it goes."""
    if depth >= DEPTH_MOST:
        raise Malformed("requests in requests without end")
    if len(body) < 4:
        raise Malformed("an Unconnected_Send without a message")
    (length,) = unpack_from("<H", body, 2)
    at = 4 + length + (length & 1)
    if 4 + length > len(body):
        raise Malformed("an Unconnected_Send shorter than its message")
    way = ""
    if at + 2 <= len(body):
        end = at + 2 + 2 * body[at]
        way = target(body, at + 2, end).route if end <= len(body) else "?"
    request(body[4 : 4 + length], heard, _route(route, way), part, depth + 1)


def _forward_open(body: bytes, route: str, large: bool) -> Connection:
    """Forward_Open and Large_Forward_Open (volume 1, 3-5)."""
    size = 38 if large else 34
    if len(body) < size + 2 or len(body) < size + 2 + 2 * body[size + 1]:
        raise Malformed("a Forward_Open shorter than its path")
    (to_originator,) = unpack_from("<I", body, 6)
    return Connection(to_originator, _route(route, target(body, size + 2, size + 2 + 2 * body[size + 1]).route))


def _get(service: int, whom: Target, body: bytes, heard: Heard, route: str, part: int) -> None:
    of = whom.of or 0
    instance = 1 if whom.instance is None else whom.instance
    attributes: tuple[int, ...] = ()
    if service == GET_SINGLE:
        attributes = () if whom.attribute is None else (whom.attribute,)
    elif service == GET_LIST:
        if len(body) < 2 or len(body) < 2 + 2 * (count := int.from_bytes(body[:2], "little")):
            raise Malformed("a list of attributes shorter than its count")
        attributes = unpack_from(f"<{min(count, 32)}H", body, 2)
    if not instance:
        return  # of the class itself, not of a device
    if part >= -1:
        heard.want(Want(part, service, of, instance, attributes, route))
    # An engineering station asks for the status (attribute 5) each second: that reads no identity.
    if of == IDENTITY and (service == GET_ALL or any(number in (1, 2, 3, 4, 6, 7) for number in attributes)):
        heard.acts.append(Act(Operation.IDENTITY_READ, _detail(service, whom, route)))


def _detail(service: int, whom: Target, route: str) -> dict[str, Any]:
    detail: dict[str, Any] = {"function": function(service, whom.of)}
    if route:
        detail["route"] = route
    if whom.tag:
        detail["tag"] = whom.tag
    if whom.of is not None:
        detail["class"] = whom.of
        if whom.of in CLASSES:
            detail["object"] = CLASSES[whom.of]
    if whom.instance is not None:
        detail["instance"] = whom.instance
    if whom.attribute is not None:
        detail["attribute"] = whom.attribute
    return detail


def _act(service: int, whom: Target, body: bytes, heard: Heard, route: str) -> None:
    of = whom.of
    if of is None and service in (WRITE_TAG, WRITE_FRAGMENT, MODIFY_TAG):
        of = SYMBOL
    operation = ACTING.get((-1 if of is None else of, service))
    if operation is None:
        if service in WRITES:
            operation = Operation.ADDRESS_CHANGE if of in (TCP_IP, ETHERNET_LINK) else Operation.WRITE
        elif service == START:
            operation = Operation.START
        elif service == STOP:
            operation = Operation.STOP
        elif service in (CREATE, DELETE):
            if of in PASSING:
                return
            operation = Operation.PROGRAM_CHANGE if of in PROJECT else Operation.WRITE
        elif of == FIRMWARE and service >= 0x4B:
            operation = Operation.FIRMWARE_UPDATE
        else:
            return
    detail = _detail(service, whom, route)
    if of == SYMBOL and service in WRITTEN:
        WRITTEN[service](body, detail)
    elif of == FILE:
        operation = _file(operation, service, whom, body, detail)
    elif of == FIRMWARE:
        if len(body) >= 4:  # as EIP-FirmwareChange.pcap has it: 1.8 MB announced, then blocks from 0 up
            detail["offset" if service == BLOCK else "size"] = int.from_bytes(body[:4], "little")
    elif service == RESET:
        detail["type"] = body[0] if body else 0  # volume 1, Identity object: 0 power cycle, 1 as it left the factory, …
    elif service == SET_LIST:
        _set_list(whom, body, detail)
    elif service == SET_SINGLE:
        _set(of, whom.attribute, body, detail)
    elif body:
        detail |= {"length": len(body), "data": body[:DATA_MOST].hex()}
    heard.acts.append(Act(operation, detail))


def _file(operation: Operation, service: int, whom: Target, body: bytes, detail: dict[str, Any]) -> Operation:
    """File object (volume 1): an upload comes from the device. Instance 0xC8 is its electronic data sheet."""
    if service == 0x4C and len(body) >= 4:
        detail["size"] = int.from_bytes(body[:4], "little")
    if body:
        detail |= {"length": len(body), "data": body[:DATA_MOST].hex()}
    if whom.instance in (0xC8, 0xC9) and operation is Operation.PROGRAM_UPLOAD:
        detail["file"] = "electronic-data-sheet"
        return Operation.IDENTITY_READ
    return operation


def _set_list(whom: Target, body: bytes, detail: dict[str, Any]) -> None:
    """Set_Attribute_List (volume 1, appendix A): whose the bytes are is known if there is but one attribute."""
    if len(body) < 2:
        return
    (count,) = unpack_from("<H", body)
    if count == 1 and len(body) >= 4:
        (detail["attribute"],) = unpack_from("<H", body, 2)
        _set(whom.of, detail["attribute"], body[4:], detail)
    else:
        detail |= {"count": count, "length": len(body) - 2, "data": body[2 : 2 + DATA_MOST].hex()}


def _set(of: int | None, attribute: int | None, data: bytes, detail: dict[str, Any]) -> None:
    """What is set, in words where they are known: an address, a name, a time; the bytes otherwise."""
    if of == TCP_IP and attribute == 3 and len(data) >= 4:  # volume 2, TCP/IP Interface object
        control = int.from_bytes(data[:4], "little") & 0x0F
        detail["control"] = {0: "static", 1: "bootp", 2: "dhcp"}.get(control, f"0x{control:x}")
    elif of == TCP_IP and attribute == 5 and len(data) >= 22:  # volume 2, TCP/IP Interface object
        names = ("ip", "mask", "gateway", "name_server", "name_server_2")
        detail |= {name: _ip(data[4 * at : 4 * at + 4]) for at, name in enumerate(names)}
        detail["domain"] = text(_string(data, 20))
    elif of == TCP_IP and attribute == 6 and len(data) >= 2:  # volume 2, TCP/IP Interface object
        detail["name"] = text(_string(data, 0))
    elif of == CLOCK and attribute == 6 and len(data) >= 8:
        # Microseconds since 1970, as pycomm3's set_plc_time sends them (and EIP-ChangeDateAttempt.pcap, frame 138).
        detail["microseconds"] = micros = int.from_bytes(data[:8], "little")
        if micros < 1 << 53:
            detail["time"] = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).isoformat()
    elif data:
        detail |= {"length": len(data), "data": data[:DATA_MOST].hex()}


# Tags

ATOMIC = {  # volume 1, appendix C
    0xC1: ("BOOL", "?"),
    0xC2: ("SINT", "b"),
    0xC3: ("INT", "h"),
    0xC4: ("DINT", "i"),
    0xC5: ("LINT", "q"),
    0xC6: ("USINT", "B"),
    0xC7: ("UINT", "H"),
    0xC8: ("UDINT", "I"),
    0xC9: ("ULINT", "Q"),
    0xCA: ("REAL", "f"),
    0xCB: ("LREAL", "d"),
    0xD1: ("BYTE", "B"),
    0xD2: ("WORD", "H"),
    0xD3: ("DWORD", "I"),
    0xD4: ("LWORD", "Q"),
}
STRUCTURE = 0x02A0


def _written(body: bytes, detail: dict[str, Any], fragment: bool) -> None:
    """Write Tag, Write Tag Fragmented (1756-PM020): a type, a count, an offset in bytes if fragmented, the values."""
    at = 0
    if len(body) < 4:
        raise Malformed("a tag written without type and count")
    (kind,) = unpack_from("<H", body)
    if kind == STRUCTURE and len(body) >= 6:
        detail["type"] = f"structure 0x{int.from_bytes(body[2:4], 'little'):04x}"
        at = 2
    else:
        detail["type"] = ATOMIC[kind][0] if kind in ATOMIC else f"0x{kind:04x}"
    (detail["count"],) = unpack_from("<H", body, at + 2)
    at += 4
    if fragment and len(body) >= at + 4:
        (detail["offset"],) = unpack_from("<I", body, at)
        at += 4
    if kind in ATOMIC:
        detail["values"] = values(body[at:], ATOMIC[kind][1], detail["count"])
    else:
        detail |= {"length": len(body) - at, "data": body[at : at + DATA_MOST].hex()}


def _modified(body: bytes, detail: dict[str, Any]) -> None:
    """Read Modify Write Tag (1756-PM020): the size of the masks, the one to be ored, the one to be anded."""
    if len(body) < 2:
        raise Malformed("a tag modified without its masks")
    (size,) = unpack_from("<H", body)
    size = min(size, 12)
    detail |= {"or": body[2 : 2 + size].hex(), "and": body[2 + size : 2 + 2 * size].hex()}


def values(data: bytes, kind: str, count: int) -> list[Any]:
    """At most VALUES_MOST of as many numbers as there are. A number that JSON has no word for is text."""
    count = min(count, VALUES_MOST, len(data) // struct.calcsize(f"<{kind}"))
    found = unpack_from(f"<{count}{kind}", data)
    return [_decimal(value, kind) if isinstance(value, float) else value for value in found]


def _decimal(value: float, kind: str) -> float | str:
    """A REAL as a person writes it (0.1, not 0.10000000149) where that means the same."""
    if not isfinite(value):
        return str(value)
    if kind == "f":
        short = float(f"{value:.7g}")
        if abs(short) < 3.4e38 and struct.unpack("<f", struct.pack("<f", short))[0] == value:
            return short
    return value


WRITTEN: dict[int, Callable[[bytes, dict[str, Any]], None]] = {
    WRITE_TAG: lambda body, detail: _written(body, detail, fragment=False),
    WRITE_FRAGMENT: lambda body, detail: _written(body, detail, fragment=True),
    MODIFY_TAG: _modified,
}


# PCCC

PCCC_NAMES = {  # 1770-6.5.16, chapter 7; (command, function), None where a command has no function
    (0x00, None): "protected-write",
    (0x01, None): "unprotected-read",
    (0x02, None): "protected-bit-write",
    (0x05, None): "unprotected-bit-write",
    (0x08, None): "unprotected-write",
    (0x06, 0x00): "echo",
    (0x06, 0x01): "read-diagnostic-counters",
    (0x06, 0x02): "set-variables",
    (0x06, 0x03): "diagnostic-status",
    (0x06, 0x04): "set-timeout",
    (0x06, 0x05): "set-naks",
    (0x06, 0x06): "set-enqs",
    (0x06, 0x07): "reset-diagnostic-counters",
    (0x06, 0x08): "set-data-table-size",
    (0x06, 0x09): "read-link-parameters",
    (0x06, 0x0A): "set-link-parameters",
    (0x07, 0x00): "disable-outputs",
    (0x07, 0x01): "enable-outputs",
    (0x07, 0x03): "enable-scanning",
    (0x07, 0x04): "enter-download-mode",
    (0x07, 0x05): "exit-download-upload-mode",
    (0x07, 0x06): "enter-upload-mode",
    (0x0F, 0x00): "word-range-write",
    (0x0F, 0x01): "word-range-read",
    (0x0F, 0x02): "bit-write",
    (0x0F, 0x03): "file-write",
    (0x0F, 0x04): "file-read",
    (0x0F, 0x05): "download-request",
    (0x0F, 0x06): "upload",
    (0x0F, 0x07): "shutdown",
    (0x0F, 0x08): "physical-write",
    (0x0F, 0x09): "physical-read",
    (0x0F, 0x0A): "restart-request",
    (0x0F, 0x11): "get-edit-resource",
    (0x0F, 0x12): "return-edit-resource",
    (0x0F, 0x17): "read-bytes-physical",
    (0x0F, 0x18): "write-bytes-physical",
    (0x0F, 0x26): "read-modify-write",
    (0x0F, 0x29): "read-section-size",
    (0x0F, 0x3A): "set-cpu-mode",
    (0x0F, 0x41): "disable-forces",
    (0x0F, 0x50): "download-all-request",
    (0x0F, 0x52): "download-completed",
    (0x0F, 0x53): "upload-all-request",
    (0x0F, 0x55): "upload-completed",
    (0x0F, 0x57): "initialize-memory",
    (0x0F, 0x5E): "modify-plc-2-compatibility-file",
    (0x0F, 0x67): "typed-write",
    (0x0F, 0x68): "typed-read",
    (0x0F, 0x79): "read-modify-write-n",
    (0x0F, 0x80): "change-mode",
    (0x0F, 0x81): "open-file",
    (0x0F, 0x82): "close-file",
    (0x0F, 0x88): "execute-multiple-commands",
    (0x0F, 0x8F): "apply-port-configuration",
    (0x0F, 0xA1): "protected-typed-logical-read-2",
    (0x0F, 0xA2): "protected-typed-logical-read-3",
    (0x0F, 0xA7): "protected-typed-file-read",
    (0x0F, 0xA9): "protected-typed-logical-write-2",
    (0x0F, 0xAA): "protected-typed-logical-write-3",
    (0x0F, 0xAB): "protected-typed-logical-masked-write-3",
    (0x0F, 0xAF): "protected-typed-file-write",
}
PCCC_ACTING = {
    **{
        key: Operation.WRITE
        for key, name in PCCC_NAMES.items()
        if any(word in name.split("-") for word in ("write", "set")) or key in ((0x0F, 0x41), (0x0F, 0x5E))
    },
    (0x06, 0x0A): Operation.ADDRESS_CHANGE,
    (0x07, 0x00): Operation.MODE_CHANGE,
    (0x07, 0x01): Operation.MODE_CHANGE,
    (0x07, 0x03): Operation.START,
    (0x07, 0x04): Operation.PROGRAM_DOWNLOAD,
    (0x07, 0x06): Operation.PROGRAM_UPLOAD,
    (0x0F, 0x05): Operation.PROGRAM_DOWNLOAD,
    (0x0F, 0x06): Operation.PROGRAM_UPLOAD,
    (0x0F, 0x07): Operation.STOP,
    (0x0F, 0x0A): Operation.RESTART,
    (0x0F, 0x50): Operation.PROGRAM_DOWNLOAD,
    (0x0F, 0x53): Operation.PROGRAM_UPLOAD,
    (0x0F, 0x57): Operation.PROGRAM_CHANGE,
    (0x0F, 0x8F): Operation.ADDRESS_CHANGE,
    (0x06, 0x03): Operation.IDENTITY_READ,
}
PCCC_MODES = {  # 1770-6.5.16, chapter 7: change mode (MicroLogix 1000; SLC 500), set CPU mode (PLC-5)
    (0x80, 0x01): (Operation.STOP, "program"),
    (0x80, 0x02): (Operation.START, "run"),
    (0x80, 0x06): (Operation.START, "run"),
    (0x80, 0x07): (Operation.MODE_CHANGE, "test"),
    (0x80, 0x08): (Operation.MODE_CHANGE, "test-single-scan"),
    (0x80, 0x09): (Operation.MODE_CHANGE, "test-single-step"),
    (0x3A, 0x00): (Operation.STOP, "program"),
    (0x3A, 0x01): (Operation.MODE_CHANGE, "test"),
    (0x3A, 0x02): (Operation.START, "run"),
}
PCCC_FILES = {  # 1770-6.5.16, chapter 7; the letter of a file in an address, and what its elements are
    0x84: ("S", "h"),
    0x85: ("B", "H"),
    0x86: ("T", "h"),
    0x87: ("C", "h"),
    0x88: ("R", "h"),
    0x89: ("N", "h"),
    0x8A: ("F", "f"),
    0x8B: ("O", "H"),
    0x8C: ("I", "H"),
    0x8D: ("ST", ""),
    0x8E: ("A", ""),
    0x8F: ("D", "H"),
}
PCCC_ANSWER = 0x40


def pccc(data: bytes, heard: Heard, want: Want | None = None) -> None:
    """A PCCC command: command, status, transaction, and for most commands a function."""
    if len(data) < 4:
        raise Malformed("a PCCC command shorter than its header")
    command = data[0] & 0x0F
    if data[0] & PCCC_ANSWER:
        return
    code: int | None = None
    if command in (0x06, 0x07, 0x0F):
        if len(data) < 5:
            raise Malformed("a PCCC command without its function")
        code = data[4]
    name = PCCC_NAMES.get((command, code)) or (
        f"0x{command:02x}" if code is None else f"0x{command:02x}-function-0x{code:02x}"
    )
    heard.function(f"pccc-{name}")
    body = data[4:] if code is None else data[5:]
    detail: dict[str, Any] = {"function": f"pccc-{name}"}
    if want and want.route:
        detail["route"] = want.route
    if command == 0x0F and code in (0x3A, 0x80):
        number = body[0] if body else 0xFF
        operation, detail["mode"] = PCCC_MODES.get(
            (code, number & 3 if code == 0x3A else number), (Operation.MODE_CHANGE, f"0x{number:02x}")
        )
        heard.acts.append(Act(operation, detail))
        return
    if (command, code) not in PCCC_ACTING:
        return
    operation = PCCC_ACTING[command, code]
    if operation is Operation.IDENTITY_READ:
        if want and want.part >= -1:
            heard.want(want)
    elif command == 0x0F and code in (0xA9, 0xAA, 0xAB):
        _pccc_write(code, body, detail)
    elif body:
        detail |= {"length": len(body), "data": body[:DATA_MOST].hex()}
    heard.acts.append(Act(operation, detail))


def _pccc_write(code: int, body: bytes, detail: dict[str, Any]) -> None:
    """Protected typed logical (masked) write (1770-6.5.16, chapter 7): a size, an address, a mask, the values."""
    numbers = []
    at = 1
    for field in range(3 if code == 0xA9 else 4):  # file, type, element, subelement
        long = field != 1 and body[at : at + 1] == b"\xff"  # 255: the next two bytes are the number
        size = 3 if long else 1
        if at + size > len(body):
            raise Malformed("a PCCC address that has no end")
        numbers.append(int.from_bytes(body[at + 1 : at + 3], "little") if long else body[at])
        at += size
    letter, kind = PCCC_FILES.get(numbers[1], (f"0x{numbers[1]:02x}:", ""))
    detail["address"] = f"{letter}{numbers[0]}:{numbers[2]}"
    if len(numbers) > 3 and numbers[3]:
        detail["address"] += f".{numbers[3]}"
    if code == 0xAB:
        detail["mask"] = body[at : at + 2].hex()
        at += 2
    detail["length"] = body[0]
    if kind:
        detail["values"] = values(body[at:], kind, VALUES_MOST)
    else:
        detail["data"] = body[at : at + DATA_MOST].hex()


# Answers

EMBEDDED = 0x1E  # an error in one of the parts (volume 1, appendix B)
LISTED = (0x00, 0x06, 0x0A)  # success; as much as had room; some attributes are refused


def answer(data: bytes, wants: tuple[Want, ...]) -> tuple[Sighting, ...]:
    """What a message router answer (volume 1, 2-4.2) says of who is asked for by `wants`."""
    if len(data) < 4 or len(data) < 4 + 2 * data[3]:
        raise Malformed("a CIP answer shorter than its status")
    service, status, body = data[0] & 0x7F, data[2], data[4 + 2 * data[3] :]
    found: list[Sighting] = []
    if service == PACKET:
        if status in (0x00, EMBEDDED):
            places = parts(body)
            for want in wants:
                if 0 <= want.part < len(places):
                    start, end = places[want.part]
                    found += answer(body[start:end], (want._replace(part=-1),))
    elif status in LISTED and wants and wants[0].service == service and wants[0].part == -1:
        want = wants[0]
        prefix = f"module.{want.route}." if want.route else ""
        if want.instance != 1:
            prefix += f"instance.{want.instance}."
        if want.of == PCCC:
            found = _diagnostic_status(body, prefix)
        elif service == GET_ALL:
            found = _ALL[want.of](body, prefix) if want.of in _ALL and status == 0 else []
        elif service == GET_LIST:
            found = _list(want.of, body, prefix)
        elif want.attributes and status == 0:
            found = _attribute(want.of, want.attributes[0], body, 0, prefix)[0]
    return tuple(found)


def identity(data: bytes, at: int, prefix: str = "") -> tuple[list[Sighting], int]:
    """Attributes 1 to 7 of the Identity object (volume 1), in order; and where they end."""
    if at + 15 > len(data) or at + 15 + data[at + 14] > len(data):
        raise Malformed("an identity that has no end")
    found = []
    for number in range(1, 8):
        seen, at = _attribute(IDENTITY, number, data, at, prefix)
        found += seen
    return found, at


def state(number: int) -> str:
    """Attribute 8 of the Identity object (volume 1)."""
    return STATES.get(number, "" if number == 0xFF else f"state {number}")


STATES = {
    0: "nonexistent",
    1: "device self testing",
    2: "standby",
    3: "operational",
    4: "major recoverable fault",
    5: "major unrecoverable fault",
}


def _identity_all(body: bytes, prefix: str) -> list[Sighting]:
    found, at = identity(body, 0, prefix)
    if at < len(body) and (name := state(body[at])):
        found.append(Sighting(f"{prefix}state", name))
    return found


def _list(of: int, body: bytes, prefix: str) -> list[Sighting]:
    """The answer to Get_Attribute_List (volume 1, appendix A): a count; a number, a status and a value each.

    A value has no length of its own, so that what follows an attribute unknown here cannot be read.
    """
    if len(body) < 2:
        raise Malformed("a list of attributes without its count")
    (count,) = unpack_from("<H", body)
    at = 2
    found: list[Sighting] = []
    for _ in range(min(count, 32)):
        if at + 4 > len(body):
            break
        number, status = unpack_from("<HH", body, at)
        at += 4
        if status:
            continue
        seen, end = _attribute(of, number, body, at, prefix)
        found += seen
        if end <= at:
            break
        at = end
    return found


def _attribute(of: int, number: int, data: bytes, at: int, prefix: str) -> tuple[list[Sighting], int]:
    """What an attribute says, and where it ends: at its beginning if it is not known here."""
    kind = KINDS.get((of, number))
    if kind is None:
        return [], at
    (size, read), pad = kind, 0
    if size == SHORT_STRING:
        size = 1 + data[at] if at < len(data) else 1
    elif size < 0:
        before = 20 if size == INTERFACE else 0
        length = int.from_bytes(data[at + before : at + before + 2], "little")
        pad = length & 1 if size in (STRING, INTERFACE) else 0
        size = before + 2 + pad + (2 * length if size == PATH else length)
    if at + size - pad > len(data):  # some leave the pad byte of a string out
        raise Malformed("an attribute that has no end")
    found = read(data[at : at + size])
    return [Sighting(prefix + name, value[:TEXT_MOST]) for name, value in found if value], at + size


def _ip(data: bytes) -> str:
    """An address as a UDINT (volume 2, TCP/IP Interface object), which travels last byte first."""
    return ".".join(str(byte) for byte in reversed(data))


def _string(data: bytes, at: int) -> bytes:
    return data[at + 2 : at + 2 + int.from_bytes(data[at : at + 2], "little")]


Read = Callable[[bytes], tuple[tuple[str, str], ...]]


def _nothing(data: bytes) -> tuple[tuple[str, str], ...]:
    return ()


def _vendor(data: bytes) -> tuple[tuple[str, str], ...]:
    (number,) = unpack_from("<H", data)
    return ("manufacturer", vendors().get(number) or f"vendor {number}"), ("vendor_id", str(number))


def _device_type(data: bytes) -> tuple[tuple[str, str], ...]:
    (number,) = unpack_from("<H", data)
    return (("device_type", device_types().get(number) or f"type {number}"),)


def _serial(data: bytes) -> tuple[tuple[str, str], ...]:
    """Eight hexadecimal digits, as Rockwell prints it on the device; 0 is none."""
    (number,) = unpack_from("<I", data)
    return (("serial_number", f"{number:08X}" if number else ""),)


def _product(data: bytes) -> tuple[tuple[str, str], ...]:
    name = text(data[1:])
    return ("product_name", name), ("model", name)


def _interface(data: bytes) -> tuple[tuple[str, str], ...]:
    return ("ip", _ip(data[:4]) if any(data[:4]) else ""), ("domain", text(_string(data, 20)))


SHORT_STRING, STRING, PATH, INTERFACE, UNPADDED = range(-1, -6, -1)
KINDS: dict[tuple[int, int], tuple[int, Read]] = {  # (class, attribute): its size, what it says
    (IDENTITY, 1): (2, _vendor),
    (IDENTITY, 2): (2, _device_type),
    (IDENTITY, 3): (2, lambda data: (("product_code", str(unpack_from("<H", data)[0])),)),
    (IDENTITY, 4): (2, lambda data: (("software_revision", f"{data[0]}.{data[1]:02d}"),)),
    (IDENTITY, 5): (2, lambda data: (("status", f"0x{unpack_from('<H', data)[0]:04x}"),)),
    (IDENTITY, 6): (4, _serial),
    (IDENTITY, 7): (SHORT_STRING, _product),
    (IDENTITY, 8): (1, lambda data: (("state", state(data[0])),)),
    (IDENTITY, 9): (2, _nothing),
    (IDENTITY, 10): (1, _nothing),
    # As pycomm3's get_plc_name asks for it; the description behind it as EIP-SoftwareUpload.pcap, frame 20, has it.
    (PROGRAM_NAME, 1): (UNPADDED, lambda data: (("user_application_name", text(data[2:])),)),
    (PROGRAM_NAME, 2): (UNPADDED, lambda data: (("description", text(data[2:])),)),
    (TCP_IP, 1): (4, _nothing),  # volume 2, TCP/IP Interface object
    (TCP_IP, 2): (4, _nothing),
    (TCP_IP, 3): (4, _nothing),
    (TCP_IP, 4): (PATH, _nothing),
    (TCP_IP, 5): (INTERFACE, _interface),
    (TCP_IP, 6): (STRING, lambda data: (("name", text(_string(data, 0))),)),
    (TCP_IP, 7): (6, _nothing),
    (TCP_IP, 8): (1, _nothing),
    (TCP_IP, 9): (8, _nothing),
    (TCP_IP, 10): (1, _nothing),
    (ETHERNET_LINK, 1): (4, _nothing),  # volume 2, Ethernet Link object
    (ETHERNET_LINK, 2): (4, _nothing),
    (ETHERNET_LINK, 3): (6, lambda data: (("mac", data.hex(":") if any(data) else ""),)),
    (ETHERNET_LINK, 4): (44, _nothing),
    (ETHERNET_LINK, 5): (48, _nothing),
    (ETHERNET_LINK, 6): (4, _nothing),
    (ETHERNET_LINK, 7): (1, _nothing),
    (ETHERNET_LINK, 8): (1, _nothing),
    (ETHERNET_LINK, 9): (1, _nothing),
    (ETHERNET_LINK, 10): (SHORT_STRING, lambda data: (("port_description", text(data[1:])),)),
    (PORT, 1): (2, _nothing),  # volume 1, Port object
    (PORT, 2): (2, _nothing),
    (PORT, 3): (PATH, _nothing),
    (PORT, 4): (SHORT_STRING, lambda data: (("port_description", text(data[1:])),)),
}


def _all(of: int, last: int) -> Callable[[bytes, str], list[Sighting]]:
    """The answer to Get_Attributes_All of a class whose attributes come in the order of their numbers."""

    def read(body: bytes, prefix: str) -> list[Sighting]:
        found: list[Sighting] = []
        at = 0
        for number in range(1, last + 1):
            if at < len(body):
                seen, at = _attribute(of, number, body, at, prefix)
                found += seen
        return found

    return read


def _diagnostic_status(body: bytes, prefix: str) -> list[Sighting]:
    """The answer to PCCC diagnostic status of an SLC 500 or MicroLogix (1770-6.5.16, chapter 10): its bulletin name."""
    data = body[body[0] :] if body and body[0] <= len(body) else b""
    if len(data) < 4 + 16 or not data[0] & PCCC_ANSWER or data[1] or data[5] != 0xEE:
        return []
    name = text(data[9:20])
    return [Sighting(f"{prefix}model", name)] if name else []


_ALL: dict[int, Callable[[bytes, str], list[Sighting]]] = {
    IDENTITY: _identity_all,
    TCP_IP: _all(TCP_IP, 6),
    ETHERNET_LINK: _all(ETHERNET_LINK, 3),
    PROGRAM_NAME: _all(PROGRAM_NAME, 1),
}
