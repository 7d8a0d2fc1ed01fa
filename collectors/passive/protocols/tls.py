"""TLS: not to be read, and that is said. The server's name is, where the client asks for it (RFC 8446, RFC 6066)."""

from __future__ import annotations

import struct

import numpy as np

from collectors.passive.protocols.protocol import Bytes, Carrier, Flags, Lengths, Protocol, Signatures
from collectors.passive.said import RECEIVER, Asked, Malformed, Said, Sighting

HANDSHAKE = 22
CLIENT_HELLO = 1
SERVER_NAME = 0
TYPES = (20, 21, 22, 23, 24)  # change cipher spec, alert, handshake, application data, heartbeat
RECORD_MOST = (1 << 14) + 2048  # RFC 5246, 6.2.3
HIDDEN = "encrypted"
ENCRYPTED = Said(("tls",), hidden=HIDDEN)


def cut(data: bytes) -> int:
    """RFC 8446, 5.1: type, version 3.x, length."""
    if (data and data[0] not in TYPES) or (len(data) > 1 and data[1] != 3) or (len(data) > 2 and data[2] > 4):
        return -1
    if len(data) < 5:
        return 0
    length = int.from_bytes(data[3:5], "big")
    return 5 + length if length <= RECORD_MOST else -1


def decode(message: bytes, client: bool, asked: Asked) -> Said:
    """One record: of a ClientHello the server's name, of all others nothing but that they are encrypted."""
    if not message or cut(message) != len(message):
        raise Malformed("no TLS record")
    if message[0] == HANDSHAKE and message[5:6] == bytes([CLIENT_HELLO]) and (name := _server_name(message[9:])):
        return Said(("tls",), (Sighting("name", name, RECEIVER),), hidden=HIDDEN)
    return ENCRYPTED


def _server_name(hello: bytes) -> str:
    """The host_name of a ClientHello's server_name extension (RFC 6066, 3); "" if it has none."""
    try:
        at = 34 + 1 + hello[34]  # version, random, session id
        at += 2 + struct.unpack_from(">H", hello, at)[0]  # cipher suites
        at += 1 + hello[at]  # compression methods
        end = min(len(hello), at + 2 + struct.unpack_from(">H", hello, at)[0])
        at += 2
        while at + 4 <= end:
            kind, length = struct.unpack_from(">HH", hello, at)
            if kind == SERVER_NAME:
                size = struct.unpack_from(">H", hello, at + 7)[0]
                return hello[at + 9 : min(at + 9 + size, at + 4 + length)].decode("ascii")[:256]
            at += 4 + length
    except (IndexError, struct.error, UnicodeDecodeError):
        pass  # a hello that ends early names nobody
    return ""


def sign(head: Bytes, length: Lengths, client: Flags) -> Signatures:
    size = (head[:, 3].astype(np.int64) << 8) + head[:, 4] + 5
    known = (head[:, 0] >= TYPES[0]) & (head[:, 0] <= TYPES[-1]) & (head[:, 1] == 3) & (head[:, 2] <= 4)
    hello = (head[:, 0] == HANDSHAKE) & (head[:, 5] == CLIENT_HELLO)
    return np.where(known & (size == length) & ~hello, np.uint64(0x9E3779B97F4A7C15), np.uint64(0))


TLS = Protocol(
    "tls",
    Carrier.TCP,
    frozenset({443, 802}),  # 802: Modbus/TCP Security
    decode,
    cut,
    sign,
    begins=lambda payload: len(payload) >= 6 and payload[0] == HANDSHAKE and cut(payload) > 0,
    glance=(0, bytes(TYPES)),
)
