"""Where a message ends, and what a request asks: all that a gate needs to know of a protocol. Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from simulators import modbus_faults, opcua_faults
from simulators.behaviours import Behaviour
from simulators.seen import Seen

MODBUS_TABLES = {
    1: "coil",
    2: "discrete",
    3: "holding",
    4: "input",
    5: "coil",
    6: "holding",
    15: "coil",
    16: "holding",
}
MODBUS_SINGLE_WRITES = (5, 6)
LONGEST_PDU = 253
LARGEST_CHUNK = 1 << 24


@dataclass(frozen=True, slots=True)
class Wire:
    """How one protocol's messages are cut and read.

    `size` gives a whole message's size from its `header` bytes, or raises ValueError; `unit` says which PLC
    behind the port is meant; `note` writes a request into a witness. With `in_turn` a request waits until the
    one before it is answered.
    """

    header: int
    size: Callable[[bytes], int]
    unit: Callable[[bytes], int]
    note: Callable[[bytes, Seen], None]
    behaviours: Mapping[str, Behaviour]
    in_turn: bool


def modbus_size(header: bytes) -> int:
    protocol, length = struct.unpack(">HH", header[2:6])
    if protocol or not 2 <= length <= LONGEST_PDU + 1:
        raise ValueError("no MBAP header")
    return 6 + int(length)


def modbus_note(request: bytes, seen: Seen) -> None:
    function = request[7]
    seen.request(function, len(request))
    table = MODBUS_TABLES.get(function)
    if table is None or len(request) < 12:
        return
    address, count = struct.unpack(">HH", request[8:12])
    if function in (1, 2, 3, 4):
        seen.reads[table, address, count] += 1
    else:
        seen.writes.append((table, address, 1 if function in MODBUS_SINGLE_WRITES else count))


def opcua_size(header: bytes) -> int:
    size = int.from_bytes(header[4:8], "little")
    if not 8 <= size <= LARGEST_CHUNK:
        raise ValueError("no chunk header")
    return size


def opcua_note(message: bytes, seen: Seen) -> None:
    kind = message[:3].decode("latin-1")
    if message[3:4] == b"C":
        seen.bytes_received += len(message)  # its final chunk is the request
        return
    seen.request(service(message) if kind == "MSG" else kind, len(message))


def service(message: bytes) -> str:
    """The service by its four-byte NodeId (Part 6, 5.2.2.9); "encrypted" where it cannot be read."""
    if message[24:26] == b"\x01\x00":
        return SERVICES.get(int.from_bytes(message[26:28], "little"), "encrypted")
    return "encrypted"


SERVICES = {  # NodeIds of the binary encodings of the requests (Part 6, NodeIds.csv)
    422: "FindServers", 12208: "FindServersOnNetwork", 428: "GetEndpoints", 437: "RegisterServer",
    12211: "RegisterServer2", 446: "OpenSecureChannel", 452: "CloseSecureChannel", 461: "CreateSession",
    467: "ActivateSession", 473: "CloseSession", 479: "Cancel", 488: "AddNodes", 494: "AddReferences",
    500: "DeleteNodes", 506: "DeleteReferences", 527: "Browse", 533: "BrowseNext", 554: "TranslateBrowsePaths",
    560: "RegisterNodes", 566: "UnregisterNodes", 615: "QueryFirst", 621: "QueryNext", 631: "Read",
    664: "HistoryRead", 673: "Write", 700: "HistoryUpdate", 712: "Call", 751: "CreateMonitoredItems",
    763: "ModifyMonitoredItems", 769: "SetMonitoringMode", 775: "SetTriggering", 781: "DeleteMonitoredItems",
    787: "CreateSubscription", 793: "ModifySubscription", 799: "SetPublishingMode", 826: "Publish",
    832: "Republish", 841: "TransferSubscriptions", 847: "DeleteSubscriptions",
}  # fmt: skip

MODBUS = Wire(7, modbus_size, lambda request: request[6], modbus_note, modbus_faults.BEHAVIOURS, in_turn=True)
OPCUA = Wire(8, opcua_size, lambda _: 0, opcua_note, opcua_faults.BEHAVIOURS, in_turn=False)
WIRES: Mapping[str, Wire] = {"modbus": MODBUS, "opcua": OPCUA}
