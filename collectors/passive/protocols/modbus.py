"""Modbus/TCP, and Schneider's UMAS inside it.

MODBUS Application Protocol V1.1b3 (the functions) and MODBUS Messaging on TCP/IP V1.0b (the header). Requests and
answers look alike: which it is, only the direction tells. Schneider has not published UMAS: codes and fields are those
of research (Kaspersky ICS CERT, "The secrets of Schneider Electric's UMAS protocol"; Apache PLC4X; Claroty).
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from baselines.wire import Operation
from collectors.passive.protocols.protocol import Bytes, Carrier, Flags, Lengths, Protocol, Signatures
from collectors.passive.protocols.texts import LONGEST, text
from collectors.passive.said import NOTHING, Act, Asked, Malformed, Said, Sighting

HEADER = 7  # transaction, protocol, length, unit
LARGEST = 254  # bytes behind the length field: unit and PDU (V1.0b, 3.1.3)
LARGEST_UMAS = 2048  # UMAS does not keep to that
VALUES_MOST = 32
DATA_MOST = 32  # bytes of what UMAS writes that are shown

DIAGNOSTICS, REPORT_SERVER_ID, TRANSPORT, UMAS = 8, 17, 43, 90
RESTART_COMMUNICATIONS, LISTEN_ONLY = 1, 4  # of diagnostics (6.8.1)
CANOPEN, IDENTIFICATION = 13, 14  # what is transported (6.19)
EXCEPTION = 0x80  # the bit that makes a function the refusal of it (7)
FUNCTIONS = {  # V1.1b3, 6
    1: "read-coils",
    2: "read-discrete-inputs",
    3: "read-holding-registers",
    4: "read-input-registers",
    5: "write-single-coil",
    6: "write-single-register",
    7: "read-exception-status",
    DIAGNOSTICS: "diagnostics",
    11: "get-comm-event-counter",
    12: "get-comm-event-log",
    15: "write-multiple-coils",
    16: "write-multiple-registers",
    REPORT_SERVER_ID: "report-server-id",
    20: "read-file-record",
    21: "write-file-record",
    22: "mask-write-register",
    23: "read-write-multiple-registers",
    24: "read-fifo-queue",
    TRANSPORT: "encapsulated-interface-transport",
    UMAS: "umas",
}
READS = (1, 2, 3, 4)
OBJECTS = {  # of a device's identification (6.21)
    0: "manufacturer",
    1: "product_code",
    2: "software_revision",
    3: "vendor_url",
    4: "product_name",
    5: "model",
    6: "user_application_name",
}

READ_ID, SIGNED = 0x02, 0x38
UMAS_FUNCTIONS = {
    0x01: "init-comm",
    READ_ID: "read-id",
    0x03: "read-project-info",
    0x04: "read-plc-info",
    0x05: "read-loader-info",
    0x06: "read-card-info",
    0x07: "read-block-info",
    0x0A: "repeat",
    0x10: "take-reservation",
    0x11: "release-reservation",
    0x12: "keep-alive",
    0x20: "read-memory-block",
    0x21: "write-memory-block",
    0x22: "read-variables",
    0x23: "write-variables",
    0x24: "read-coils-registers",
    0x25: "write-coils-registers",
    0x26: "data-dictionary",
    0x27: "data-dictionary-preload",
    0x28: "read-physical-address",
    0x29: "write-physical-address",
    0x2A: "browse-events",
    0x30: "initialize-upload",
    0x31: "upload-block",
    0x32: "end-upload",
    0x33: "initialize-download",
    0x34: "download-block",
    0x35: "end-download",
    0x36: "backup",
    0x37: "preload-blocks",
    SIGNED: "signed",
    0x39: "read-ethernet-master-data",
    0x40: "start-plc",
    0x41: "stop-plc",
    0x42: "initialize-plc",
    0x43: "swap-blocks",
    0x50: "monitor-plc",
    0x51: "get-auto-modification",
    0x52: "get-forced-bits",
    0x53: "get-selected-blocks",
    0x58: "check-plc",
    0x60: "set-breakpoint",
    0x61: "delete-breakpoint",
    0x62: "step-over",
    0x63: "step-in",
    0x64: "step-out",
    0x65: "get-call-stack",
    0x66: "check-debug-allowed",
    0x6C: "process-message",
    0x6D: "private",
    0x6E: "reservation-nonces",
    0x70: "read-io-object",
    0x71: "write-io-object",
    0x72: "read-rack",
    0x73: "get-status-module",
    0x74: "read-device-data",
}
# The names of 0x30 to 0x35 say it from the computer's side, as a web page is uploaded: "upload" brings a program into
# the PLC, "download" fetches it, as its answers show (modicon_test.pcap). What the trade calls a download (MITRE ATT&CK
# for ICS, T0843) is the former.
UMAS_ACTS = {
    READ_ID: Operation.IDENTITY_READ,
    0x21: Operation.WRITE,
    0x23: Operation.WRITE,
    0x25: Operation.WRITE,
    0x29: Operation.WRITE,
    0x30: Operation.PROGRAM_DOWNLOAD,
    0x31: Operation.PROGRAM_DOWNLOAD,
    0x32: Operation.PROGRAM_DOWNLOAD,
    0x33: Operation.PROGRAM_UPLOAD,
    0x34: Operation.PROGRAM_UPLOAD,
    0x35: Operation.PROGRAM_UPLOAD,
    0x36: Operation.PROGRAM_CHANGE,  # memory to the card, or back
    0x37: Operation.PROGRAM_CHANGE,
    0x40: Operation.START,
    0x41: Operation.STOP,
    0x42: Operation.RESTART,
    0x43: Operation.PROGRAM_CHANGE,
    0x60: Operation.MODE_CHANGE,  # the program halts where it meets it
    0x71: Operation.WRITE,
}
UMAS_BLOCKS = (0x31, 0x34)
DONE, REFUSED = 0xFE, 0xFD
INNER = HEADER + 36  # a signed request holds another: behind its code, a mark and 32 bytes of signature
LEAST_ID = HEADER + 3 + 24  # an answer to Read ID has that many bytes, and one of a name

SAYS = {code: Said((name,)) for code, name in FUNCTIONS.items()}
CANOPEN_SAYS = Said(("canopen-general-reference",))
UMAS_SAYS = {code: Said((f"umas-{name}",)) for code, name in UMAS_FUNCTIONS.items()}


def cut(data: bytes) -> int:
    """The length that the header announces (V1.0b, 3.1.3): protocol 0, 2 to 254 bytes behind it, or more of UMAS."""
    if len(data) < 6:
        return -1 if data[2:4] not in (b"", b"\0", b"\0\0") else 0
    length = data[4] << 8 | data[5]
    if data[2] or data[3] or length < 2 or length > LARGEST_UMAS:
        return -1
    if length > LARGEST and data[HEADER : HEADER + 1] != bytes([UMAS]):
        return -1 if len(data) > HEADER else 0
    return 6 + length


def decode(message: bytes, client: bool, asked: Asked) -> Said:
    """One message: a request names its function and what it does, an answer says who the device is."""
    if len(message) < HEADER + 1 or cut(message) != len(message):
        raise Malformed("no Modbus/TCP header, or another length than it says")
    try:
        return _request(message, asked) if client else _answer(message, asked)
    except (struct.error, IndexError):
        raise Malformed(f"function {message[HEADER]} ends early") from None


def _request(message: bytes, asked: Asked) -> Said:
    function = message[HEADER]
    if function in READS:
        if len(message) != HEADER + 5:
            raise Malformed("a read is five bytes long")
        return SAYS[function]
    if function == UMAS:
        return _umas(message, asked)
    name = FUNCTIONS.get(function)
    if name is None:
        if not 0 < function < EXCEPTION:
            raise Malformed(f"{function} is no function of a request")  # V1.1b3, 4.1: 1 to 127
        return Said((f"function-0x{function:02x}",))
    if function == TRANSPORT and message[HEADER + 1] == CANOPEN:
        return CANOPEN_SAYS
    act = _act(function, name, message[HEADER + 1 :])
    if act is None:
        return SAYS[function]
    operation, detail = act
    return Said((detail["function"],), acts=(Act(operation, {"unit": message[6], **detail}),))


def _act(function: int, name: str, body: bytes) -> tuple[Operation, dict[str, Any]] | None:
    """What a request does to the device, and with what; None if it only reads."""
    said: dict[str, Any] = {"function": name}
    match function:
        case 5:  # 6.5: 0xFF00 is on, 0 off, and there is nothing else
            address, value = struct.unpack(">HH", body)
            shown = {0xFF00: True, 0: False}.get(value, value)
            return Operation.WRITE, said | {"address": address, "count": 1, "values": [shown]}
        case 6:
            address, value = struct.unpack(">HH", body)
            return Operation.WRITE, said | {"address": address, "count": 1, "values": [value]}
        case 15:
            address, count = struct.unpack_from(">HH", body)
            data = _counted(body, 4, (count + 7) // 8)
            bits = [bool(data[number >> 3] >> (number & 7) & 1) for number in range(min(count, VALUES_MOST))]
            return Operation.WRITE, said | {"address": address, "count": count, "values": bits}
        case 16:
            address, count = struct.unpack_from(">HH", body)
            values = _words(_counted(body, 4, 2 * count), count)
            return Operation.WRITE, said | {"address": address, "count": count, "values": values}
        case 23:  # 6.17: reads one range and writes another
            other, others, address, count = struct.unpack_from(">HHHH", body)
            values = _words(_counted(body, 8, 2 * count), count)
            read = {"read_address": other, "read_count": others}
            return Operation.WRITE, said | {"address": address, "count": count, "values": values, **read}
        case 22:
            address, and_mask, or_mask = struct.unpack(">HHH", body)
            return Operation.WRITE, said | {"address": address, "count": 1, "and": and_mask, "or": or_mask}
        case 21:
            return Operation.WRITE, said | {"records": _records(body)}
        case 8:
            return _diagnostics(said, body)
        case 43 if body[0] == IDENTIFICATION:
            _, code, number = struct.unpack("3B", body)
            return Operation.IDENTITY_READ, {
                "function": "read-device-identification",
                "code": code,
                "object": number,
            }
        case 17:
            if body:
                raise Malformed("the server id is asked for with more than its function")
            return Operation.IDENTITY_READ, said
    return None


def _diagnostics(said: dict[str, Any], body: bytes) -> tuple[Operation, dict[str, Any]] | None:
    subfunction, data = struct.unpack_from(">HH", body)
    said["subfunction"] = subfunction
    if subfunction == RESTART_COMMUNICATIONS:  # 6.8.1: 0xFF00 clears the event log too
        return Operation.RESTART, said | {"clear_log": data == 0xFF00}
    if subfunction == LISTEN_ONLY:
        return Operation.MODE_CHANGE, said | {"mode": "listen-only"}
    return None


def _words(data: bytes, count: int) -> list[int]:
    return list(struct.unpack_from(f">{min(count, VALUES_MOST)}H", data))


def _counted(body: bytes, at: int, size: int) -> bytes:
    """The data behind the byte count at `at`, which must say `size`."""
    if body[at] != size & 0xFF or len(body) != at + 1 + size:
        raise Malformed("the byte count is not what is there")
    return body[at + 1 :]


def _records(body: bytes) -> list[dict[str, Any]]:
    """Sub-requests of FC 21: reference type 6, file, record, length in registers, registers (6.15)."""
    found: list[dict[str, Any]] = []
    if len(body) != 1 + body[0]:
        raise Malformed("the byte count is not what is there")
    at = 1
    while at < len(body):
        kind, file, record, count = struct.unpack_from(">BHHH", body, at)
        if kind != 6:
            raise Malformed("a file record is of reference type 6")
        values = _words(body[at + 7 : at + 7 + 2 * count], count)
        found.append({"file": file, "record": record, "count": count, "values": values})
        at += 7 + 2 * count
    return found


def _answer(message: bytes, asked: Asked) -> Said:
    function = message[HEADER]
    if function == TRANSPORT and message[HEADER + 1] == IDENTIFICATION:
        return Said(sightings=tuple(_objects(message)))
    if function == REPORT_SERVER_ID:
        return _server_id(message)
    if function == UMAS:
        return _umas_answer(message, asked)
    return NOTHING


def _objects(message: bytes) -> list[Sighting]:
    """6.21: code, conformity level, more follows, next object, number of objects; then id, length, value of each."""
    found = []
    at = HEADER + 7
    for _ in range(message[HEADER + 6]):
        number, length = message[at], message[at + 1]
        value = message[at + 2 : at + 2 + length]
        if len(value) < length:
            raise Malformed("an object of the identification ends early")
        at += 2 + length
        if shown := text(value):
            found.append(Sighting(OBJECTS.get(number, f"object_{number}"), shown))
    return found


def _server_id(message: bytes) -> Said:
    """6.13: a byte count, then what the device likes, its run indicator (0x00 or 0xFF) somewhere at the end."""
    value = message[HEADER + 2 : HEADER + 2 + message[HEADER + 1]]
    name = value.rstrip(b"\x00\xff")
    shown = text(name)
    if not shown or b"\0" in name or not shown.isprintable():
        shown = value.hex()[:LONGEST]
    return Said(sightings=(Sighting("server_id", shown),)) if shown else NOTHING


def _umas(message: bytes, asked: Asked) -> Said:
    """Session, function, data. A PLC with an application password wants its requests signed."""
    at = HEADER + 2
    code = message[at]
    signed = code == SIGNED and message[INNER : INNER + 1] == bytes([UMAS]) and len(message) > INNER + 2
    if signed:
        at = INNER + 2
        code = message[at]
    said = UMAS_SAYS.get(code) or Said((f"umas-0x{code:02x}",))
    operation = UMAS_ACTS.get(code)
    if operation is None:
        return said
    data = message[at + 1 :]
    detail: dict[str, Any] = {"unit": message[6], "function": said.functions[0]}
    if code == READ_ID:
        asked.note(("umas", message[:2]), at)
    elif operation is Operation.WRITE:
        detail |= {"bytes": len(data), "data": data[:DATA_MOST].hex()}
    elif code in UMAS_BLOCKS and len(data) >= 4:
        detail |= {"bytes": len(data), "block": data[2] | data[3] << 8}
    if signed:
        detail["signed"] = True
    return Said(said.functions, acts=(Act(operation, detail),))


def _umas_answer(message: bytes, asked: Asked) -> Said:
    """Of Read ID, little-endian: range (u16), ident (u32), model (u16), commercial version (u16, its digits are BCD),
    patch, internal version, hardware version (u16 each), crash code (u32), unknown (u16), length of the name, name."""
    if message[HEADER + 2] not in (DONE, REFUSED):
        raise Malformed("UMAS answers done or refused")
    if len(message) < LEAST_ID or (at := asked.take(("umas", message[:2]))) is None or message[at] != DONE:
        return NOTHING
    body = message[at + 1 :]
    version, _, _, hardware = struct.unpack_from("<4H", body, 8)
    found = [
        ("manufacturer", "Schneider Electric"),
        ("software_revision", f"{version >> 8:x}.{version & 0xFF:02x}" if version else ""),
        ("hardware_revision", str(hardware) if hardware else ""),
        ("model", text(body[23 : 23 + body[22]])),
    ]
    return Said(sightings=tuple(Sighting(field, value) for field, value in found if value))


def begins(payload: bytes) -> bool:
    """Whether a conversation on another port is Modbus: one whole message, as long as its function's are."""
    if len(payload) < HEADER + 2 or cut(payload) != len(payload):
        return False
    function, body = payload[HEADER], payload[HEADER + 1 :]
    size = len(body)
    if function in READS:
        count = body[2] << 8 | body[3] if size == 4 else 0
        answered = size == 1 + body[0] and (function < 3 or not body[0] & 1)
        return 0 < count <= (2000 if function < 3 else 125) or answered  # 6.1 to 6.4
    if function in (5, 6):
        return size == 4
    if function in (15, 16):
        return size == 4 or (size > 5 and size == 5 + body[4])
    if function == TRANSPORT:
        return body[0] == IDENTIFICATION and (size == 3 or size > 6)
    if function == UMAS:
        return size >= 2 and (body[1] in UMAS_FUNCTIONS or body[1] in (DONE, REFUSED))
    return function > EXCEPTION and function & 0x7F in FUNCTIONS and size == 1 and 0 < body[0] <= 11  # 7


# Signatures. What is signed does nothing, whoever sends it; most answers only repeat what they answer.

ASKS_OR_TELLS = np.isin(np.arange(256), (*READS, 7, 11, 12, 20, 24)) | (np.arange(256) > EXCEPTION)
TELLS_NOTHING = ~np.isin(np.arange(256), (REPORT_SERVER_ID, TRANSPORT, UMAS))  # as an answer
UMAS_QUIET = np.isin(np.arange(256), sorted(set(UMAS_FUNCTIONS) - set(UMAS_ACTS) - {SIGNED}))
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
MARK = np.uint64(1 << 63)


def sign(head: Bytes, length: Lengths, client: Flags) -> Signatures:
    """Of a read, neither address nor data says more of a conversation than its function does; nor do most answers.
    Those that say who the device is have no signature."""
    function = head[:, HEADER]
    size = (head[:, 4].astype(np.int64) << 8) + head[:, 5] + 6
    umas = function == UMAS
    most = np.where(umas, 6 + LARGEST_UMAS, 6 + LARGEST)
    one = (head[:, 2] == 0) & (head[:, 3] == 0) & (size == length) & (length > HEADER) & (length <= most)
    twelve = length == HEADER + 5
    code = head[:, HEADER + 2]
    second = head[:, HEADER + 1].astype(np.uint64) << np.uint64(8) | code
    quiet = ASKS_OR_TELLS[function] | (TELLS_NOTHING[function] & ~client)
    diagnosed = (function == DIAGNOSTICS) & twelve & (second != RESTART_COMMUNICATIONS) & (second != LISTEN_ONLY)
    answered = ((code == DONE) | (code == REFUSED)) & (length < LEAST_ID)
    monitored = umas & (length > HEADER + 2) & (UMAS_QUIET[code] | answered)
    known = one & (quiet | diagnosed | monitored)
    told = np.where(diagnosed, second, np.where(monitored, code, np.uint64(0)))
    kind = told << np.uint64(12) | function.astype(np.uint64) << np.uint64(2) | twelve.astype(np.uint64) << np.uint64(1)
    return np.where(known, kind * MULTIPLIER | MARK, np.uint64(0))


MODBUS = Protocol("modbus", Carrier.TCP, frozenset({502}), decode, cut, sign, begins, (2, b"\0"))
