"""EtherNet/IP: how CIP travels on TCP and UDP (ODVA, CIP Networks Library, volume 2, chapter 2), and its I/O."""

from __future__ import annotations

from functools import lru_cache
from struct import unpack_from
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from baselines.wire import Operation
from collectors.passive.protocols.cip import request
from collectors.passive.protocols.cip_answers import answer, identity, state
from collectors.passive.protocols.cip_names import (
    ANSWER,
    ANSWERED,
    BLOCK,
    FIRMWARE,
    FORWARD_OPEN,
    LARGE_FORWARD_OPEN,
    QUIET,
    READ_FRAGMENT,
    READ_TAG,
    READS,
    Connection,
    Heard,
    Want,
    device_types,
    vendors,
)
from collectors.passive.protocols.pccc import pccc
from collectors.passive.protocols.protocol import CONTINUES, Bytes, Carrier, Flags, Lengths, Protocol, Signatures
from collectors.passive.said import NOTHING, Act, Asked, Malformed, Said, Sighting

HEADER = 24  # 2-3.1: command, length, session, status, sender context, options
NOP, LIST_TARGETS, LIST_SERVICES, LIST_IDENTITY, LIST_INTERFACES = 0x00, 0x01, 0x04, 0x63, 0x64
REGISTER, UNREGISTER, SEND_RR, SEND_UNIT, INDICATE_STATUS, CANCEL, START_DTLS = 0x65, 0x66, 0x6F, 0x70, 0x72, 0x73, 0xC8
COMMANDS = {  # 2-3.2; 0x01 is from before the first edition, and EIP-FirmwareChange.pcap still has it
    NOP: "nop",
    LIST_TARGETS: "list-targets",
    LIST_SERVICES: "list-services",
    LIST_IDENTITY: "list-identity",
    LIST_INTERFACES: "list-interfaces",
    REGISTER: "register-session",
    UNREGISTER: "unregister-session",
    SEND_RR: "send-rr-data",
    SEND_UNIT: "send-unit-data",
    INDICATE_STATUS: "indicate-status",
    CANCEL: "cancel",
    START_DTLS: "start-dtls",
}
STATUSES = {0x00, 0x01, 0x02, 0x03, 0x64, 0x65, 0x69, 0x6A}  # 2-3.3; volume 8 adds one
LISTS = (LIST_TARGETS, LIST_SERVICES, LIST_IDENTITY, LIST_INTERFACES)

CIP_IDENTITY, CONNECTED_ADDRESS, PCCC_DATA = 0x0C, 0xA1, 0x91  # items: 2-6.2
CONNECTED_DATA, UNCONNECTED_DATA = 0xB1, 0xB2
SEQUENCED_ADDRESS = 0x8002
ITEMS_MOST = 16

OPENED = (FORWARD_OPEN | ANSWER, LARGE_FORWARD_OPEN | ANSWER)
OPENED_MOST = 8  # connections that are remembered of one TCP connection
UNKNOWN = "?"  # where a connection leads that was opened before anybody listened: perhaps to another module
CACHED_MOST = 600  # bytes of a message that is kept; larger ones are none that is sent again and again


@lru_cache(256)
def only(name: str) -> Said:
    return Said((name,))


def decode(message: bytes, client: bool, asked: Asked) -> Said:
    if len(message) < HEADER:
        raise Malformed("shorter than its header")
    command, length, session, status, context = unpack_from("<HHIIQ", message)
    if HEADER + length != len(message):
        raise Malformed(f"says that it has {length} bytes, and has {len(message) - HEADER}")
    if command in (SEND_UNIT, SEND_RR):
        return _data(message, command, status, context, asked)
    if command == LIST_IDENTITY and length:
        return _identities(message)
    if command not in COMMANDS:
        return only(f"command-0x{command:02x}") if client else NOTHING
    # Whether it asks or answers: a list that is asked for is empty, a session that is asked for has no number yet.
    if (command in LISTS and length) or status or (command == REGISTER and session):
        return NOTHING
    if command == LIST_IDENTITY:
        return LISTED
    return only(COMMANDS[command])


LISTED = Said((COMMANDS[LIST_IDENTITY],), (), (Act(Operation.IDENTITY_READ, {"function": COMMANDS[LIST_IDENTITY]}),))


def items(message: bytes, at: int) -> list[tuple[int, int, int]]:
    """The items of the common packet format (2-6): type, begin, end of each."""
    if at + 2 > len(message):
        raise Malformed("no count of items")
    (count,) = unpack_from("<H", message, at)
    at += 2
    if count > ITEMS_MOST:
        raise Malformed(f"{count} items")
    found = []
    for _ in range(count):
        if at + 4 > len(message):
            raise Malformed("an item without its header")
        kind, length = unpack_from("<HH", message, at)
        at += 4 + length
        if at > len(message):
            raise Malformed("an item longer than its message")
        found.append((kind, at - length, at))
    return found


def _identities(message: bytes) -> Said:
    """The answer to ListIdentity (2-4.2): version, socket address, the Identity object, its state."""
    found: list[Sighting] = []
    for kind, begin, end in items(message, HEADER):
        if kind == CIP_IDENTITY:
            if begin + 18 > end:
                raise Malformed("an identity without its address")
            address = message[begin + 6 : begin + 10]
            seen, at = identity(message[:end], begin + 18)
            found += seen
            if at < end and (name := state(message[at])):
                found.append(Sighting("state", name))
            if any(address):
                found.append(Sighting("ip", ".".join(str(byte) for byte in address)))
    return Said((), tuple(found))


def _data(message: bytes, command: int, status: int, context: int, asked: Asked) -> Said:
    """SendRRData and SendUnitData (2-4.7, 2-4.8): an interface handle, a time-out, items."""
    if len(message) < HEADER + 8:
        if status:
            return NOTHING  # refused
        raise Malformed("nothing in it")
    connection = 0
    for kind, begin, end in items(message, HEADER + 6):
        if kind == CONNECTED_ADDRESS and end - begin >= 4:
            (connection,) = unpack_from("<I", message, begin)
        elif kind == UNCONNECTED_DATA:
            return _cip(message[begin:end], "unconnected", context, 0, asked)
        elif kind == CONNECTED_DATA:
            if end - begin < 4:
                raise Malformed("a connected message without its request")
            (sequence,) = unpack_from("<H", message, begin)
            return _cip(message[begin + 2 : end], "connected", sequence, connection, asked)
        elif kind == PCCC_DATA:  # as SLC 5/05 and PLC-5E speak it
            heard = Heard()
            pccc(message[begin:end], heard)
            return Said(tuple(heard.functions), (), tuple(heard.acts))
    return NOTHING if status else only(COMMANDS[command])


def _cip(data: bytes, way: str, number: int, connection: int, asked: Asked) -> Said:
    """A CIP message. An answer belongs to the request with the same `number`, over the same connection."""
    if not data:
        raise Malformed("an empty CIP message")
    if data[0] & ANSWER:
        if len(data) < 4:
            raise Malformed("a CIP answer shorter than its status")
        return _answered(data, way, number, connection, asked) if data[0] & 0x7F in ANSWERED else NOTHING
    found = _request(data) if len(data) > CACHED_MOST else _request_again(data)
    if not found.said.acts and not found.awaits:
        return found.said
    opened: dict[int, Connection] = asked.kept("opened") or {}
    known = opened.get(connection)
    if known and known.route:
        found = _request(data, known.route)
    if found.awaits:
        awaits = found.awaits
        if connection and not known and not isinstance(awaits, Connection):
            awaits = tuple(want._replace(route=want.route or UNKNOWN) for want in awaits)
        asked.note((way, connection if known else 0, number), awaits)
    if found.block:
        told = asked.kept("firmware")
        asked.keep("firmware", True)  # also when it is: what a block says depends on this note
        if told:
            return only(found.said.functions[0])
    return found.said


class Requested(NamedTuple):
    """`awaits` is what its answer will be read with; `block` says that it is one of the many blocks of a firmware, of
    which one connection's first is told."""

    said: Said
    awaits: tuple[Want, ...] | Connection | None
    block: bool


def _request(data: bytes, route: str = "") -> Requested:
    heard = Heard()
    request(data, heard, route)
    if heard.wrong and not heard.acts and not heard.wants:
        raise heard.wrong
    said = Said(tuple(heard.functions), (), tuple(heard.acts))
    block = data[0] == BLOCK and len(said.acts) == 1 and said.acts[0].operation is Operation.FIRMWARE_UPDATE
    return Requested(said, heard.connection or tuple(heard.wants) or None, block)


_request_again = lru_cache(2048)(_request)  # who polls says the same again and again


def _answered(data: bytes, way: str, number: int, connection: int, asked: Asked) -> Said:
    opened: dict[int, Connection] = asked.kept("opened") or {}
    over = next((key for key, known in opened.items() if known.to_originator == connection), 0) if connection else 0
    awaited = asked.take((way, over, number))
    if awaited is None:
        return NOTHING
    if isinstance(awaited, Connection):
        if data[0] in OPENED and data[2] == 0 and len(data) >= 12 + 2 * data[3]:
            to_target, to_originator = unpack_from("<II", data, 4 + 2 * data[3])
            opened = opened | {to_target: Connection(to_originator, awaited.route)}
            while len(opened) > OPENED_MOST:
                del opened[next(iter(opened))]
            asked.keep("opened", opened)
        return NOTHING
    found = answer(data, awaited)
    return Said((), found) if found else NOTHING


def cut(stream: bytes) -> int:
    """2-3.1. Options other than 0 are no message that a device would take, and no status has other numbers."""
    if len(stream) < HEADER:
        return 0 if len(stream) < 2 or int.from_bytes(stream[:2], "little") in COMMANDS else -1
    command, length, _, status, _, options = unpack_from("<HHIIQI", stream)
    if command not in COMMANDS or status not in STATUSES or options:
        return -1
    return HEADER + int(length)


def prepare() -> None:
    vendors()
    device_types()


def unnumbered(message: bytes) -> bytes:
    """Without the sender's context (2-3.1), and of a connected message without its number (volume 1, 3-4.1)."""
    return message[:12] + message[20:44] + message[46:] if message[0] == SEND_UNIT else message[:12] + message[20:]


def begins(payload: bytes) -> bool:
    """A session is registered: version 1, no options (2-4.4)."""
    return (
        len(payload) == HEADER + 4
        and payload[:12] == b"\x65\0\x04\0\0\0\0\0\0\0\0\0"
        and payload[20:] == b"\0\0\0\0\x01\0\0\0"
    )


def begins_udp(payload: bytes) -> bool:
    """An identity is asked for (2-4.2)."""
    return len(payload) == HEADER and payload[:12] == b"\x63\0\0\0\0\0\0\0\0\0\0\0" and payload[20:] == b"\0\0\0\0"


# Signatures. Polling is signed: tags and attributes read of what tells no identity, and all answers but those that may
# tell one. Everything else is decoded always: requests whose end is out of sight (packets of several), all that acts.

SEED, FIRST, SECOND, LAST = (
    np.uint64(number) for number in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)
)
FOLD = np.uint64(32)
COLUMNS = np.arange(8)
READING = np.isin(np.arange(256), READS)
TAGS = np.isin(np.arange(256), (READ_TAG, READ_FRAGMENT))
BLOCK_OF_FIRMWARE, CLASS_FIRMWARE = BLOCK | 2 << 8, 0x20 | FIRMWARE << 8  # service with path length; class segment
SILENT = np.array([service >= ANSWER and service & 0x7F not in ANSWERED for service in range(256)])
# Two bytes at an even place of a path that may lead to a class that is not QUIET.
LOUD = np.array(
    [low in (0x21, 0x22, 0x23) or (low == 0x20 and high not in QUIET) for high in range(256) for low in range(256)]
)


def sign(head: Bytes, lengths: Lengths, client: Flags) -> Signatures:
    words: NDArray[np.uint16] = np.ascontiguousarray(head).view("<u2")
    command = words[:, 0]
    plain = (words[:, 4] | words[:, 5] | words[:, 10] | words[:, 11]) == 0  # no status, no options
    exact = plain & (words[:, 1] + np.int64(HEADER) == lengths)
    two = exact & (words[:, 15] == 2)
    connected = two & (command == SEND_UNIT) & (words[:, 16] == CONNECTED_ADDRESS) & (words[:, 17] == 4)
    connected &= (words[:, 20] == CONNECTED_DATA) & (words[:, 21] + np.int64(44) == lengths)
    unconnected = two & (command == SEND_RR) & (words[:, 16] == 0) & (words[:, 17] == 0)
    unconnected &= (words[:, 18] == UNCONNECTED_DATA) & (words[:, 19] + np.int64(40) == lengths)
    first = np.where(connected, words[:, 23], words[:, 20])
    service, size = first & 0xFF, first >> 8
    length = lengths - np.where(connected, 46, 40)
    path = np.where(connected[:, None], words[:, 24:32], words[:, 21:29])
    path = np.where(size[:, None] > COLUMNS, path, 0)
    tag = TAGS[service] & ((path[:, 0] & 0xFF) == 0x91)
    asks = READING[service] & (length >= 2 + 2 * size.astype(np.int64))
    asks &= tag | ((size <= len(COLUMNS)) & ~LOUD[path].any(axis=1))
    answers = SILENT[service] & (length >= 4)
    idle = exact & (command == NOP)
    signed = ((connected | unconnected) & (asks | answers)) | idle
    block = (connected | unconnected) & (first == BLOCK_OF_FIRMWARE) & (path[:, 0] == CLASS_FIRMWARE)
    halves = np.ascontiguousarray(path).view("<u8")
    known = np.where(answers | tag, service, first).astype(np.uint64) * LAST
    mixed: Signatures = command.astype(np.uint64) * SEED
    mixed += np.where(idle, np.uint64(0), known)
    mixed += np.where(tag | answers | idle, np.uint64(0), halves[:, 0] * FIRST ^ halves[:, 1] * SECOND)
    mixed ^= mixed >> FOLD
    polled = np.where(signed, mixed * SEED | np.uint64(CONTINUES), np.uint64(0))
    return np.where(block, np.uint64(1), polled)


# Implicit I/O (volume 2, 2-6.3.1, and volume 1, chapter 3): what goes round without being asked for

IO = only("io")


def decode_io(message: bytes, client: bool, asked: Asked) -> Said:
    kinds = [kind for kind, _, _ in items(message, 0)]
    if len(kinds) < 2 or kinds[0] not in (SEQUENCED_ADDRESS, CONNECTED_ADDRESS) or kinds[1] != CONNECTED_DATA:
        raise Malformed("neither an address nor data")
    return IO


def sign_io(head: Bytes, lengths: Lengths, client: Flags) -> Signatures:
    words: NDArray[np.uint16] = np.ascontiguousarray(head).view("<u2")
    plain = (words[:, 0] == 2) & (words[:, 1] == SEQUENCED_ADDRESS) & (words[:, 2] == 8)
    plain &= (words[:, 7] == CONNECTED_DATA) & (words[:, 8] + np.int64(18) == lengths)
    signatures: Signatures = plain * SEED
    return signatures


GLANCE = (0, bytes(COMMANDS))
ENIP = Protocol("enip", Carrier.TCP, frozenset((44818,)), decode, cut, sign, begins, GLANCE, unnumbered, prepare)
ENIP_UDP = Protocol("enip-udp", Carrier.UDP, frozenset((44818,)), decode, None, sign, begins_udp, GLANCE)
CIP_IO = Protocol("cip-io", Carrier.UDP, frozenset((2222,)), decode_io, None, sign_io)
