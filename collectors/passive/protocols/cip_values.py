"""Values of CIP as they stand in requests and answers (ODVA's CIP Networks Library, volume 1, appendix C)."""

from __future__ import annotations

import struct
from math import isfinite
from struct import unpack_from
from typing import Any

from collectors.passive.protocols.cip_names import PACKET_MOST, PARTS_MOST, TEXT_MOST, VALUES_MOST
from collectors.passive.said import Malformed


def text(data: bytes) -> str:
    """Text as the device wrote it; what is no UTF-8 is Latin-1."""
    try:
        found = data.decode()
    except UnicodeDecodeError:
        found = data.decode("latin-1")
    return found.replace("\0", "").strip()[:TEXT_MOST]


def string(data: bytes, at: int) -> bytes:
    """The STRING at a place: a length of two bytes, the characters (volume 1, appendix C)."""
    return data[at + 2 : at + 2 + int.from_bytes(data[at : at + 2], "little")]


def ip(data: bytes) -> str:
    """An address as a UDINT (volume 2, TCP/IP Interface object), which travels last byte first."""
    return ".".join(str(byte) for byte in reversed(data))


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
