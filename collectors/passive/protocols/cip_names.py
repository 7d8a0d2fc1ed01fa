"""CIP: its numbers by name, and what a request and its answer have in common.

Clauses are those of ODVA's CIP Networks Library, volume 1 (CIP) and volume 2 (EtherNet/IP). Tag services are those of
Rockwell's 1756-PM020 (Logix 5000 Controllers Data Access). Services of Rockwell's own classes are in no manual; those
that act are in ACTING with what they were seen to do.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from baselines.wire import Operation
from collectors.passive.said import Act, Malformed

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
