"""S7comm: TPKT (RFC 1006), COTP (ISO 8073, RFC 905), and Siemens' protocol inside.

Siemens has not published it: what is known of it is in Wireshark's dissector, whose names the functions have. System
status lists (SZL) are in the reference manual "System Software for S7-300/400, System and Standard Functions".
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from baselines.wire import Operation
from collectors.passive.protocols.protocol import Bytes, Carrier, Flags, Lengths, Protocol, Signatures
from collectors.passive.protocols.texts import text
from collectors.passive.said import NOTHING, Act, Asked, Malformed, Said, Sighting

TPKT = 4
CONNECT, CONFIRM, DATA, DISCONNECT = 0xE0, 0xD0, 0xF0, 0x80
OTHERS = (0x10, 0x20, 0x40, 0x50, 0x60, 0x70, 0xC0)  # expedited data, acknowledgements, rejections, errors
CALLING, CALLED = 0xC1, 0xC2  # transport selectors (RFC 905, 13.3.4)
LAST = 0x80  # end of TSDU

S7, S7_PLUS = 0x32, 0x72
JOB, ACK, ACK_DATA, USERDATA = 1, 2, 3, 7
PLUS_VERSIONS = (1, 2, 3)
KINDS = (JOB, ACK, ACK_DATA, USERDATA)
TLS_RECORDS = (20, 21, 22, 23)  # as S7comm-plus has them since TIA Portal V17
TLS_VERSION = 3
# ISO 8327: DATA behind GIVE TOKENS, and what begins and ends a session. IEC 61850's MMS is in it.
SESSION_DATA, SESSION = b"\x01\x00\x01\x00", (0x09, 0x0A, 0x0C, 0x0D, 0x0E, 0x19)

READ_VAR, WRITE_VAR, DOWNLOAD, DOWNLOAD_BLOCK, DOWNLOAD_ENDED = 0x04, 0x05, 0x1A, 0x1B, 0x1C
START_UPLOAD, UPLOAD, END_UPLOAD, INVOKE, STOP, SETUP = 0x1D, 0x1E, 0x1F, 0x28, 0x29, 0xF0
FUNCTIONS = {
    0x00: "cpu-services",
    READ_VAR: "read-var",
    WRITE_VAR: "write-var",
    DOWNLOAD: "request-download",
    DOWNLOAD_BLOCK: "download-block",  # a job of the PLC, which fetches the block that it was told of
    DOWNLOAD_ENDED: "download-ended",  # likewise
    START_UPLOAD: "start-upload",
    UPLOAD: "upload",
    END_UPLOAD: "end-upload",
    INVOKE: "pi-service",
    STOP: "plc-stop",
    SETUP: "setup-communication",
}
AREAS = {
    0x01: "data-record", 0x03: "system-info", 0x05: "system-flags", 0x06: "analog-inputs", 0x07: "analog-outputs",
    0x1C: "counters", 0x1D: "timers", 0x1E: "iec-counters", 0x1F: "iec-timers", 0x80: "peripherals", 0x81: "inputs",
    0x82: "outputs", 0x83: "flags", 0x84: "db", 0x85: "instance-db", 0x86: "local-data", 0x87: "v",
}  # fmt: skip
NUMBERED = (0x1C, 0x1D, 0x1E, 0x1F)  # have a number instead of an address
OF_BLOCKS = (0x84, 0x85)
TYPES = {
    1: "BIT", 2: "BYTE", 3: "CHAR", 4: "WORD", 5: "INT", 6: "DWORD", 7: "DINT", 8: "REAL", 10: "TOD", 11: "TIME",
    12: "S5TIME", 15: "DATE_AND_TIME", 28: "COUNTER", 29: "TIMER", 30: "IEC_TIMER", 31: "IEC_COUNTER",
    32: "HS_COUNTER",
}  # fmt: skip
S7ANY = 0x10
IN_BITS = (3, 4, 5)  # transport sizes of data whose length counts bits
BLOCKS = {"08": "OB", "0A": "DB", "0B": "SDB", "0C": "FC", "0D": "SFC", "0E": "FB", "0F": "SFB"}
FILE_SYSTEMS = {"P": "passive", "A": "active", "B": "active and passive"}

# Program invocations. One that is not here is a command all the same, such as those of a Sinumerik.
INVOCATIONS = {
    "P_PROGRAM": Operation.START,
    "_INSE": Operation.PROGRAM_CHANGE,  # puts a downloaded block in place
    "_INS2": Operation.PROGRAM_CHANGE,
    "_DELE": Operation.PROGRAM_CHANGE,
    "_MODU": Operation.PROGRAM_CHANGE,  # copies RAM to ROM
    "_GARB": Operation.PROGRAM_CHANGE,  # compresses the memory
    "_N_LOGIN_": Operation.LOGIN,
    "_N_LOGOUT": Operation.WRITE,
    "_N_F_COPY": Operation.PROGRAM_CHANGE,
    "_N_F_DELE": Operation.PROGRAM_CHANGE,
    "_N_F_RENA": Operation.PROGRAM_CHANGE,
    "_N_F_XFER": Operation.PROGRAM_UPLOAD,
    "_N_NEWPWD": Operation.WRITE,
    "_N_SELECT": Operation.PROGRAM_CHANGE,
}
WITH_BLOCKS = ("_INSE", "_INS2", "_DELE")
WITH_PASSWORD = ("_N_LOGIN_", "_N_NEWPWD")
COLD = "C"  # P_PROGRAM's argument; without one it is a warm restart

PUSH, REQUEST, RESPONSE = 0, 4, 8  # of user data
NC = 3  # these bits besides: of a numerical control
GROUPS = {
    0: "mode-transition", 1: "programmer-command", 2: "cyclic-data", 3: "block-function", 4: "cpu-function",
    5: "security", 6: "pbc", 7: "time-function", 15: "nc-programming",
}  # fmt: skip
PROGRAMMER, CPU, TIME = 1, 4, 7
READ_SZL, MODIFY_VARIABLE = (CPU, 1), (PROGRAMMER, 8)
SUBFUNCTIONS = {
    (PROGRAMMER, 1): "block-status",
    (PROGRAMMER, 2): "variable-status",
    (PROGRAMMER, 3): "output-istack",
    (PROGRAMMER, 4): "output-bstack",
    (PROGRAMMER, 5): "output-lstack",
    (PROGRAMMER, 6): "time-measurement",
    (PROGRAMMER, 7): "force-selection",
    MODIFY_VARIABLE: "modify-variable",
    (PROGRAMMER, 9): "force",
    (PROGRAMMER, 10): "breakpoint",
    (PROGRAMMER, 11): "exit-hold",
    (PROGRAMMER, 12): "memory-reset",
    (PROGRAMMER, 13): "disable-job",
    (PROGRAMMER, 14): "enable-job",
    (PROGRAMMER, 15): "delete-job",
    (PROGRAMMER, 16): "read-job-list",
    (PROGRAMMER, 17): "read-job",
    (PROGRAMMER, 18): "replace-job",
    (PROGRAMMER, 19): "block-status-v2",
    (PROGRAMMER, 22): "flash-led",
    (2, 1): "cyclic-transfer",
    (2, 4): "unsubscribe",
    (2, 5): "change-driven-transfer",
    (2, 7): "change-driven-transfer-modify",
    (2, 8): "rdrec",
    (3, 1): "list-blocks",
    (3, 2): "list-blocks-of-type",
    (3, 3): "get-block-info",
    READ_SZL: "read-szl",
    (CPU, 2): "message-service",
    (CPU, 3): "diagnostic-message",
    (CPU, 7): "alarm-8-lock",
    (CPU, 8): "alarm-8-unlock",
    (CPU, 11): "alarm-ack",
    (CPU, 19): "alarm-query",
    (5, 1): "plc-password",
    (5, 2): "clear-password",
    (TIME, 1): "read-clock",
    (TIME, 2): "set-clock",
    (TIME, 3): "read-clock",
    (TIME, 4): "set-clock",
    (15, 1): "nc-request-download",
    (15, 2): "nc-download-block",
    (15, 3): "nc-continue-download",
    (15, 4): "nc-download-ended",
    (15, 6): "nc-start-upload",
    (15, 7): "nc-upload",
    (15, 8): "nc-continue-upload",
}
USERDATA_ACTS: dict[tuple[int, int], tuple[Operation, dict[str, Any]]] = {
    (PROGRAMMER, 7): (Operation.WRITE, {}),
    MODIFY_VARIABLE: (Operation.WRITE, {}),
    (PROGRAMMER, 9): (Operation.WRITE, {}),
    (PROGRAMMER, 10): (Operation.MODE_CHANGE, {"mode": "hold"}),  # the program halts where it meets it
    (PROGRAMMER, 11): (Operation.MODE_CHANGE, {}),
    (PROGRAMMER, 12): (Operation.PROGRAM_CHANGE, {}),
    (PROGRAMMER, 18): (Operation.WRITE, {}),
    (CPU, 7): (Operation.WRITE, {"setting": "alarm"}),
    (CPU, 8): (Operation.WRITE, {"setting": "alarm"}),
    (5, 1): (Operation.LOGIN, {}),  # the password stays where it is
    (TIME, 2): (Operation.WRITE, {"setting": "clock"}),
    (TIME, 4): (Operation.WRITE, {"setting": "clock"}),
    (15, 1): (Operation.PROGRAM_DOWNLOAD, {}),
    (15, 6): (Operation.PROGRAM_UPLOAD, {}),
}
# Where a programmer's command finds a variable: what, and how much of it.
PLACES = {0: "flags", 1: "inputs", 2: "outputs", 3: "peripherals", 7: "db"}
WIDTHS = ("BIT", "BYTE", "WORD", "DWORD")
WHOLE_PLACES = {0x54: ("timers", "TIMER"), 0x64: ("counters", "COUNTER")}

MODULE, COMPONENTS = 0x11, 0x1C  # the low byte of an SZL-ID: the partial list
IDENTITIES = (MODULE, COMPONENTS)
TRANSITION, COMMUNICATION = 0x0424, 0x0132
COMPONENT_FIELDS = {  # index of a component's identification → field, bytes
    1: ("name", 24),
    2: ("module_name", 24),
    3: ("plant_id", 32),
    4: ("copyright", 26),
    5: ("serial_number", 24),
    7: ("model", 32),
    8: ("memory_card_serial_number", 32),
    11: ("location", 32),
}
MAKER = 9  # the index that has IDs: of the maker, and of the profile
STATES = {
    1: "STOP (update)", 2: "STOP (memory reset)", 3: "STOP (self-initialization)", 4: "STOP", 5: "STARTUP",
    7: "RESTART", 8: "RUN", 10: "HOLD", 13: "DEFECT",
}  # fmt: skip
SELECTOR = {1: "RUN", 2: "RUN-P", 3: "STOP", 4: "MRES"}
TRANSITIONS = {
    0: "STOP", 1: "WARM RESTART", 2: "RUN", 3: "HOT RESTART", 4: "HOLD", 6: "COLD RESTART", 9: "RUN (redundant)",
    11: "LINK-UP", 12: "UPDATE",
}  # fmt: skip

PARTIAL_MOST = 1 << 16  # bytes of a message, or of a list, that comes in parts
BEGINNING_MOST = 512
TOO_LONG = b""  # instead of the parts of one that is longer
ITEMS_MOST = 32
VALUE_MOST = 32  # bytes of a written value that are shown
RECORDS_MOST = 64

SAYS = {code: Said((name,)) for code, name in FUNCTIONS.items()}
USERDATA_SAYS = {what: Said((name,)) for what, name in SUBFUNCTIONS.items()}
TRANSITION_SAYS = {code: Said((), (Sighting("state", state),)) for code, state in TRANSITIONS.items()}
CONNECTS = Said(("cotp-connect",))
PLUS = Said(("s7comm-plus",))
MMS = Said(("mms",))
ENCRYPTED = Said(("tls",), hidden="encrypted")


def cut(data: bytes) -> int:
    """RFC 1006, 6: version 3, reserved, length of the whole packet, which is at least 7."""
    if data[:1] not in (b"", b"\x03") or data[1:2] not in (b"", b"\0"):
        return -1
    if len(data) < TPKT:
        return 0
    length = data[2] << 8 | data[3]
    return length if length >= TPKT + 3 else -1


def decode(message: bytes, client: bool, asked: Asked) -> Said:
    """One TPKT. What is a job and what an answer, the message says itself."""
    if len(message) < TPKT + 3 or cut(message) != len(message):
        raise Malformed("no TPKT")
    begin = TPKT + 1 + message[TPKT]
    kind = message[TPKT + 1] & 0xF0
    if begin > len(message) or message[TPKT] < 2:
        raise Malformed("COTP ends early")
    if kind == CONNECT:
        return CONNECTS
    if kind != DATA:
        if kind in (CONFIRM, DISCONNECT) or message[TPKT + 1] in OTHERS:
            return NOTHING
        raise Malformed(f"COTP has no PDU 0x{message[TPKT + 1]:02x}")
    data = message[begin:]
    if not message[TPKT + 2] & LAST:
        if data:  # without, it acknowledges
            _hold_part(data, ("part", client), asked)
        return NOTHING
    part = asked.take(("part", client))
    if part is not None:
        data = _whole(part, data)
    if not data:
        return NOTHING
    try:
        return _content(data, client, asked)
    except (struct.error, IndexError):
        raise Malformed("an S7 message ends early") from None


def _hold(data: bytes, key: tuple[str, int], asked: Asked) -> None:
    held = asked.take(key)
    if held is None or (held and len(held) + len(data) <= PARTIAL_MOST):
        asked.note(key, (held or b"") + data, len(held or b"") + len(data))
    else:
        asked.note(key, TOO_LONG)


def _hold_part(data: bytes, key: tuple[str, int], asked: Asked) -> None:
    """Of other protocols (MMS has many such parts) the beginning says all that we know."""
    held = asked.look(key)
    if held is None and data[0] != S7:
        asked.note(key, data[:BEGINNING_MOST], min(len(data), BEGINNING_MOST))
    elif not held or held[0] == S7:
        _hold(data, key, asked)


def _whole(part: bytes, data: bytes) -> bytes:
    """What came in parts; its last part alone if that is a message, and its beginning was another's."""
    if part == TOO_LONG:
        raise Malformed("a message is longer than is kept")
    return data if _is_s7(data) and not _is_s7(part + data) else part + data


def _is_s7(data: bytes) -> bool:
    """Whether this is S7comm, and exactly as long as it says."""
    if len(data) < 10 or data[0] != S7 or data[1] not in KINDS:
        return False
    parameters, size = struct.unpack_from(">HH", data, 6)
    return len(data) == (10 if data[1] in (JOB, USERDATA) else 12) + int(parameters) + int(size)


def _content(data: bytes, client: bool, asked: Asked) -> Said:
    if data[0] != S7:
        return _other(data)
    kind, parameters, size = data[1], *struct.unpack_from(">HH", data, 6)
    begin = 10 if kind in (JOB, USERDATA) else 12
    if begin + parameters + size > len(data):
        raise Malformed("an S7 message is shorter than its header says")
    if kind in (ACK, ACK_DATA):
        return NOTHING
    if kind not in KINDS:
        raise Malformed(f"{kind} is no kind of an S7 message")
    parameter = data[begin : begin + parameters]
    body = data[begin + parameters : begin + parameters + size]
    return _job(parameter, body) if kind == JOB else _userdata(parameter, body, client, asked)


def _other(data: bytes) -> Said:
    if data[0] == S7_PLUS:
        return PLUS
    if data[0] in TLS_RECORDS and data[1] == TLS_VERSION:
        return ENCRYPTED
    if data[:4] == SESSION_DATA or (data[0] in SESSION and data[1] <= len(data) - 2):
        return MMS
    raise Malformed(f"0x{data[0]:02x} is no protocol on COTP that is known")


# Jobs


def _job(parameter: bytes, body: bytes) -> Said:
    code = parameter[0]
    said = SAYS.get(code)
    if said is None:
        return Said((f"function-0x{code:02x}",))
    if code == WRITE_VAR:
        return _act(said, Operation.WRITE, {"count": parameter[1], "items": _items(parameter, body)})
    if code == DOWNLOAD:
        return _act(said, Operation.PROGRAM_DOWNLOAD, _file(parameter))
    if code == START_UPLOAD:
        return _act(said, Operation.PROGRAM_UPLOAD, _file(parameter))
    if code == INVOKE:
        return _invocation(parameter)
    if code == STOP:
        return _act(said, Operation.STOP, {"service": text(parameter[7 : 7 + parameter[6]])})
    return said


def _act(said: Said, operation: Operation, detail: dict[str, Any]) -> Said:
    return Said(said.functions, acts=(Act(operation, {"function": said.functions[0], **detail}),))


def _items(parameter: bytes, body: bytes) -> list[dict[str, Any]]:
    """The variables that a write names, and what is written to each, as hex digits."""
    found: list[dict[str, Any]] = []
    at, data = 2, 0
    for _ in range(min(parameter[1], ITEMS_MOST)):
        length = parameter[at + 1]
        item = _address(parameter[at + 2 : at + 2 + length])
        at += 2 + length + (length & 1)
        transport, size = struct.unpack_from(">BH", body, data + 1)
        size = (size + 7) // 8 if transport in IN_BITS else size
        item["bytes"] = size
        item["value"] = body[data + 4 : data + 4 + min(size, VALUE_MOST)].hex()
        data += 4 + size + (size & 1)
        found.append(item)
    return found


def _address(item: bytes) -> dict[str, Any]:
    """S7ANY: syntax, type, count, DB, area, address in bits. Other syntaxes are shown as they are."""
    if len(item) != 10 or item[0] != S7ANY:
        return {"item": item[:VALUE_MOST].hex()}
    kind, count, db, area = struct.unpack_from(">BHHB", item, 1)
    address = int.from_bytes(item[7:10], "big")
    where: dict[str, Any] = {"area": AREAS.get(area, f"0x{area:02x}")}
    if area in OF_BLOCKS:
        where["db"] = db
    where["address"] = address if area in NUMBERED else address >> 3
    if kind == 1:
        where["bit"] = address & 7
    return where | {"type": TYPES.get(kind, f"0x{kind:02x}"), "count": count}


def _file(parameter: bytes) -> dict[str, Any]:
    """The block that a download or an upload is of: "_0A00001P" is DB 1 in the passive file system. Behind the name of
    one that is downloaded: its length in load memory, and that of its code, six digits each."""
    name = text(parameter[9 : 9 + parameter[8]])
    detail: dict[str, Any] = {"file": name}
    if block := _block(name[1:]):
        detail["block"] = block
        detail["file_system"] = FILE_SYSTEMS.get(name[-1:], name[-1:])
    rest = parameter[9 + parameter[8] :]
    if len(rest) >= 14 and rest[2:14].isdigit():
        detail["load_memory_bytes"], detail["code_bytes"] = int(rest[2:8]), int(rest[8:14])
    return detail


def _block(name: str) -> str | None:
    kind, number = BLOCKS.get(name[:2]), name[2:7]
    return f"{kind} {int(number)}" if kind and number.isascii() and number.isdigit() else None


def _invocation(parameter: bytes) -> Said:
    """PI service: seven bytes, an argument with its length (16 bits), a name with its length."""
    length = struct.unpack_from(">H", parameter, 8)[0]
    argument = parameter[10 : 10 + length]
    name = text(parameter[11 + length : 11 + length + parameter[10 + length]])
    detail: dict[str, Any] = {"service": name}
    if name in WITH_BLOCKS and argument:
        blocks = [text(argument[2 + 8 * at : 10 + 8 * at]) for at in range(min(argument[0], ITEMS_MOST))]
        detail["blocks"] = [_block(block) or block for block in blocks]
    elif name not in WITH_PASSWORD and (shown := text(argument)):
        detail["argument"] = shown
        if name == "P_PROGRAM" and shown == COLD:
            detail["restart"] = "cold"
    operation = INVOCATIONS.get(name)
    if operation is None:
        return _act(SAYS[INVOKE], Operation.WRITE, detail)
    return _act(Said((f"pi-{name.strip('_').lower().replace('_', '-')}",)), operation, detail)


# User data


def _userdata(parameter: bytes, body: bytes, client: bool, asked: Asked) -> Said:
    way, group = parameter[5] >> 4, parameter[5] & 15
    what = (group, parameter[6])
    if way & ~NC == REQUEST:
        if what == READ_SZL:
            return _szl_request(body)
        if what in USERDATA_ACTS:
            operation, detail = USERDATA_ACTS[what]
            return _act(USERDATA_SAYS[what], operation, detail | (_modified(body) if what == MODIFY_VARIABLE else {}))
        return USERDATA_SAYS.get(what) or Said((f"{GROUPS.get(group, f'group-{group}')}-0x{parameter[6]:02x}",))
    if way == RESPONSE and what == READ_SZL:
        return _szl_answer(parameter, body, client, asked)
    if way == PUSH and group == 0:
        return TRANSITION_SAYS.get(parameter[6], NOTHING)
    return NOTHING


def _modified(body: bytes) -> dict[str, Any]:
    """Of a programmer's "modify variable": return code, transport size, length; the lengths of parameters and data;
    parameters; the number of variables, where each is (six bytes), and what is written to each."""
    try:
        at = 8 + struct.unpack_from(">H", body, 4)[0]
        count = struct.unpack_from(">H", body, at)[0]
        data = at + 2 + 6 * count
        items = []
        for number in range(min(count, ITEMS_MOST)):
            item = _place(*struct.unpack_from(">BBHH", body, at + 2 + 6 * number))
            size = struct.unpack_from(">H", body, data + 2)[0]
            item["value"] = body[data + 4 : data + 4 + min(size, VALUE_MOST)].hex()
            data += 4 + size + (size & 1)
            items.append(item)
    except struct.error:
        return {}  # that it modifies is sure, what it modifies is not
    return {"count": count, "items": items}


def _place(kind: int, repeated: int, db: int, address: int) -> dict[str, Any]:
    if kind in WHOLE_PLACES:
        area, width = WHOLE_PLACES[kind]
    else:
        area, width = PLACES.get(kind >> 4, f"0x{kind:02x}"), WIDTHS[kind & 3]
    item: dict[str, Any] = {"area": area}
    if area == "db":
        item["db"] = db
    item["address"] = address
    item["bit" if width == "BIT" else "count"] = repeated
    return item | {"type": width}


# System status lists


def _szl_request(body: bytes) -> Said:
    if len(body) < 8:
        return NOTHING  # the next part of an answer is asked for
    number, index = struct.unpack_from(">HH", body, 4)
    said = Said((f"read-szl-0x{number:04x}",))
    return _act(said, Operation.IDENTITY_READ, {"index": index}) if number & 0xFF in IDENTITIES else said


def _szl_answer(parameter: bytes, body: bytes, client: bool, asked: Asked) -> Said:
    """A list, or a part of one: return code 0xFF, transport size, length, then the list. The parameter has the number
    that the parts of one list share, and whether more follow."""
    if len(parameter) < 12 or len(body) < 4 or body[0] != 0xFF:
        return NOTHING
    reference, more = parameter[8], parameter[9]
    data = body[4 : 4 + struct.unpack_from(">H", body, 2)[0]]
    key = (f"szl {reference}", client)
    if more:
        _hold(data, key, asked)
        return NOTHING
    if reference:
        part = asked.take(key)
        if not part:
            return NOTHING  # the end of a list that began before anybody listened, or is too long
        data = part + data
    if len(data) < 8:
        return NOTHING
    number, _, size, count = struct.unpack_from(">HHHH", data)
    if reference and 8 + size * count != len(data):
        return NOTHING  # its beginning is missing
    records = [data[8 + size * at : 8 + size * (at + 1)] for at in range(min(count, RECORDS_MOST))]
    found = _said_of(number, [record for record in records if len(record) == size and size > 1])
    return Said(sightings=tuple(Sighting(*one) for one in found)) if found else NOTHING


def _said_of(number: int, records: list[bytes]) -> list[tuple[str, str]]:
    """What the records of a list say, each of which begins with its index."""
    if number & 0xFF == MODULE:
        return _module({record[1]: record for record in reversed(records) if len(record) >= 28})
    if number & 0xFF == COMPONENTS:
        return [said for record in records if len(record) >= 6 for said in _component(record)]
    if number == TRANSITION and records and len(records[0]) >= 4:
        state = STATES.get(records[0][3] & 15)  # the other half is the state before
        return [("state", state)] if state else []
    if number == COMMUNICATION and records and len(records[0]) >= 10 and records[0][1] == 4:
        selected = SELECTOR.get(records[0][9])
        return [("mode_selector", selected)] if selected else []
    return []


def _module(records: dict[int, bytes]) -> list[tuple[str, str]]:
    """Order number (20 bytes), module type, version (4): of the module (1), its hardware (6), firmware (7: 'V' a b c),
    boot loader (0x81: 'A', blank, a, b)."""
    found = []
    if (module := records.get(1)) and (order := text(module[2:22])):
        found.append(("product_code", order))
    if hardware := records.get(1) or records.get(6):
        version = hardware[24] << 8 | hardware[25]
        if 0 < version < 256:
            found.append(("hardware_revision", str(version)))
    if (firmware := records.get(7)) and firmware[24:25] == b"V":
        found.append(("software_revision", f"V{firmware[25]}.{firmware[26]}.{firmware[27]}"))
    if (loader := records.get(0x81)) and loader[2:13] == b"Boot Loader" and loader[24:26].isascii():
        found.append(("boot_loader", f"Boot Loader {text(loader[24:26])}{loader[26]}.{loader[27]}"))
    return found


def _component(record: bytes) -> list[tuple[str, str]]:
    index = record[1]
    if index == MAKER:
        maker = record[2] << 8 | record[3]
        return [("vendor_id", str(maker))] if maker else []
    if index not in COMPONENT_FIELDS:
        return []
    field, size = COMPONENT_FIELDS[index]
    value = text(record[2 : 2 + size])
    if not value:
        return []
    if field == "copyright" and "siemens" in value.casefold():
        return [("manufacturer", "Siemens"), (field, value)]
    return [(field, value)]


def begins(payload: bytes) -> bool:
    """Whether a conversation on another port is S7: one TPKT that connects transport selectors (as remote desktops do
    not, which have COTP too), or S7 in COTP data."""
    if len(payload) < TPKT + 7 or cut(payload) != len(payload):
        return False
    kind, size = payload[TPKT + 1], payload[TPKT]
    if kind in (CONNECT, CONFIRM):
        return size == len(payload) - TPKT - 1 and _selects(payload[TPKT + 7 :])
    if kind != DATA or size != 2:
        return False
    data = payload[TPKT + 3 :]
    if data[0] == S7_PLUS and len(data) >= 8:
        length = 4 + (data[2] << 8 | data[3])
        return data[1] in PLUS_VERSIONS and (length == len(data) or data[length:] == bytes([S7_PLUS, data[1], 0, 0]))
    return _is_s7(data)


def _selects(options: bytes) -> bool:
    """Whether the variable part of a connection names both transport selectors: code, length, value of each."""
    at, codes = 0, set()
    while at + 2 <= len(options):
        codes.add(options[at])
        at += 2 + options[at + 1]
    return at == len(options) and {CALLING, CALLED} <= codes


# Signatures

QUIET_JOBS = np.isin(np.arange(256), (READ_VAR, DOWNLOAD_BLOCK, DOWNLOAD_ENDED, UPLOAD, END_UPLOAD, SETUP))
# By type with function group, and subfunction: user data of which these two say all.
QUIET_USERDATA = np.ones(1 << 16, np.bool_)
for _way in (REQUEST, REQUEST | 1, REQUEST | 2, REQUEST | NC):
    for _group, _subfunction in (READ_SZL, *USERDATA_ACTS):
        QUIET_USERDATA[(_way << 4 | _group) << 8 | _subfunction] = False
ASKS_SZL = (REQUEST << 4 | CPU) << 8 | READ_SZL[1]
TELLS_SZL = (RESPONSE << 4 | CPU) << 8 | READ_SZL[1]
QUIET_USERDATA[TELLS_SZL] = False
PLAIN, PLUSSED, SESSIONED, HIDDEN, EMPTY = (np.uint64(number << 56) for number in range(1, 6))
EIGHT, SIXTEEN, TWENTY_FOUR = np.uint64(8), np.uint64(16), np.uint64(24)
MULTIPLIER = np.uint64(0xD6E8FEB86659FD93)
MARK = np.uint64(1 << 63)


def _word(head: Bytes, at: int) -> Lengths:
    word: Lengths = head[:, at].astype(np.int64) << 8
    return word | head[:, at + 1]


def sign(head: Bytes, length: Lengths, client: Flags) -> Signatures:
    """Whole messages of which a few bytes say all: reads of variables, answers to jobs, cyclic data, and lists that
    tell neither identity nor operating mode."""
    whole = (head[:, 0] == 3) & (head[:, 1] == 0) & (_word(head, 2) == length)
    whole &= (head[:, 4] == 2) & (head[:, 5] == DATA)
    last = whole & (head[:, 6] >= LAST)
    first, kind = head[:, 7], head[:, 8]
    parameters, values = _word(head, 13), _word(head, 15)
    s7 = last & (first == S7)
    asks = s7 & (17 + parameters + values == length)
    code = head[:, 17]
    job = asks & (kind == JOB) & (parameters > 0) & QUIET_JOBS[code]
    answer = s7 & ((kind == ACK) | (kind == ACK_DATA)) & (19 + parameters + values == length)
    user = asks & (kind == USERDATA) & (parameters >= 8)
    what = _word(head, 22)
    request = user & (what == ASKS_SZL) & (parameters == 8) & (values >= 8)
    szl = np.where(request, _word(head, 29), _word(head, 33))
    alone = (parameters == 12) & (head[:, 25] == 0) & (head[:, 26] == 0) & (head[:, 29] == 0xFF) & (values >= 12)
    told_of = alone & (what == TELLS_SZL) & (szl != TRANSITION) & (szl != COMMUNICATION)
    listed = user & (request | told_of) & ~np.isin(szl & 0xFF, IDENTITIES)
    user &= QUIET_USERDATA[what] & ((head[:, 22] >> 4 != PUSH) | (head[:, 22] & 15 != 0))
    told = np.where(listed, szl, 0).astype(np.uint64) << TWENTY_FOUR
    told |= np.where(listed | user, what, np.where(job, code, 0)).astype(np.uint64) << EIGHT
    told |= kind
    plus = last & (first == S7_PLUS) & np.isin(kind, PLUS_VERSIONS)
    session = last & (first == 1) & (kind == 0) & (head[:, 9] == 1) & (head[:, 10] == 0) & (length > 10)
    hidden = last & np.isin(first, TLS_RECORDS) & (kind == TLS_VERSION) & (head[:, 9] <= 4) & (length > 9)
    empty = whole & (head[:, 6] < LAST) & (length == 7)
    told = np.where(plus, PLUSSED, np.where(session, SESSIONED, np.where(hidden, HIDDEN, np.where(empty, EMPTY, told))))
    known = job | answer | user | listed | plus | session | hidden | empty
    return np.where(known, told * MULTIPLIER | MARK, np.uint64(0))


S7COMM = Protocol("s7comm", Carrier.TCP, frozenset({102}), decode, cut, sign, begins, (0, b"\3"))
