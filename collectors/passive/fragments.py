"""IP datagrams that came in parts (RFC 791, 3.2; RFC 8200, 4.5), put together again as frames of their own."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TypeAlias

LARGEST = 1 << 16
MOST = 256  # datagrams under way
PARTS_MOST = 256
IPV6_HEADER = 40
FRAGMENT = 44
EXTENSIONS = (0, 43, 60)  # that may stand before a fragment header (RFC 8200, 4.1)

# Whose, the head, the offset, whether more follow, the payload.
_Part: TypeAlias = tuple[tuple[bytes, ...], bytes, int, bool, bytes]


@dataclass(slots=True)
class _Datagram:
    head: bytes  # of the first part: everything up to the payload
    parts: dict[int, bytes] = field(default_factory=dict)
    bytes: int = 0  # of all parts
    size: int = LARGEST + 1  # known when the last part has come


class Fragments:
    """Datagrams under way: the newest `MOST`. `lost` counts those that were given up."""

    def __init__(self) -> None:
        self._under_way: dict[tuple[bytes, ...], _Datagram] = {}
        self.lost = 0

    def take(self, frame: bytes, network: int) -> bytes | None:
        """The whole frame, once the last missing part is here. `network`: where its IP header begins."""
        read = _ipv4(frame, network) if frame[network] >> 4 == 4 else _ipv6(frame, network)
        if read is None:
            self.lost += 1
            return None
        key, head, offset, more, payload = read
        known = self._under_way.get(key)
        if known is None:
            known = self._under_way[key] = _Datagram(head)
            if len(self._under_way) > MOST:
                del self._under_way[next(iter(self._under_way))]
                self.lost += 1
        if offset == 0:
            known.head = head
        before = known.parts.get(offset, b"")
        if len(payload) >= len(before):
            known.parts[offset] = payload
            known.bytes += len(payload) - len(before)
        if not more:
            known.size = offset + len(payload)
        whole = _whole(known) if known.bytes >= known.size else None
        if whole is not None:
            del self._under_way[key]
            return _with_length(known.head, network, whole)
        if len(known.parts) > PARTS_MOST or known.bytes > LARGEST:  # bytes: they overlap, which no sender needs
            del self._under_way[key]
            self.lost += 1
        return None


def _ipv4(frame: bytes, network: int) -> _Part | None:
    begin = network + (frame[network] & 15) * 4
    total, identification, position = struct.unpack_from(">HHH", frame, network + 2)
    key = (frame[network + 12 : network + 20], frame[network + 9 : network + 10], identification.to_bytes(2, "big"))
    head = bytearray(frame[:begin])
    head[network + 6 : network + 8] = b"\0\0"
    offset = (position & 0x1FFF) * 8
    payload = frame[begin : network + total]
    if len(payload) != total - (begin - network) or offset + len(payload) > LARGEST:
        return None
    return key, bytes(head), offset, bool(position & 0x2000), payload


def _ipv6(frame: bytes, network: int) -> _Part | None:
    naming, at = network + 6, network + IPV6_HEADER  # where the next header is named, and where it begins
    while at + 8 <= len(frame) and frame[naming] in EXTENSIONS:
        naming, at = at, at + (frame[at + 1] + 1) * 8
    begin = at + 8
    if len(frame) < begin or frame[naming] != FRAGMENT:
        return None
    length = struct.unpack_from(">H", frame, network + 4)[0]
    following, _, position, identification = struct.unpack_from(">BBHI", frame, at)
    key = (frame[network + 8 : network + 40], bytes([following]), identification.to_bytes(4, "big"))
    head = bytearray(frame[:at])
    head[naming] = following
    payload = frame[begin : network + IPV6_HEADER + length]
    offset = position & 0xFFF8
    if len(payload) != length - (begin - network - IPV6_HEADER) or offset + len(payload) > LARGEST:
        return None
    return key, bytes(head), offset, bool(position & 1), payload


def _whole(datagram: _Datagram) -> bytes | None:
    """The payload, if no part is missing; where parts overlap, the one that begins first is believed."""
    data = bytearray()
    for offset in sorted(datagram.parts):
        if offset > len(data):
            return None
        data += datagram.parts[offset][len(data) - offset :]
    return bytes(data[: datagram.size]) if len(data) >= datagram.size else None


def _with_length(head: bytes, network: int, payload: bytes) -> bytes:
    frame = bytearray(head + payload)
    version4 = frame[network] >> 4 == 4
    length = len(frame) - network - (0 if version4 else IPV6_HEADER)
    struct.pack_into(">H", frame, network + (2 if version4 else 4), min(length, 0xFFFF))
    return bytes(frame)
