"""A simulated PLC of 100 items, and the profile that reads them. It imports nothing of ours.

Its behaviour is the unit that is asked: 1 always answers the same, of 2 one item changes with every read, of 3 one
float moves within its tolerance.
"""

from __future__ import annotations

import struct
from typing import Any

SAME, CHANGING, TREMBLING = 1, 2, 3
READ_HOLDING, IDENTIFY = 3, 43

INTEGERS, FLOATS, TEXT = 80, 15, 3  # and five strings, of three registers each: 125 registers, one read
FLOAT_AT = 2 * INTEGERS  # bytes into the image
TOLERANCE = 0.05
OBJECTS = ("ACME", "P-1", "2.4.1", "", "Filler", "P-1/24", "line")


def profile_tables() -> dict[str, Any]:
    """The profile's items, as a TOML file has them."""
    integers = [{"type": "uint16", "address": at} for at in range(INTEGERS)]
    floats = [
        {"type": "float32", "address": INTEGERS + 2 * at, "tolerance": TOLERANCE, "unit": "l"} for at in range(FLOATS)
    ]
    strings = [{"type": "string", "address": INTEGERS + 2 * FLOATS + TEXT * at, "count": TEXT} for at in range(5)]
    items = [*integers, *floats, *strings]
    return {f"{item['type']}_{item['address']:03}": {"table": "holding", **item} for item in items}


class Device:
    """One PLC; `number` makes its values its own."""

    def __init__(self, number: int) -> None:
        self.reads = 0
        integers = struct.pack(f">{INTEGERS}H", *((number + at) % 60000 for at in range(INTEGERS)))
        floats = struct.pack(f">{FLOATS}f", *(number / 8 + at + 0.3 for at in range(FLOATS)))
        strings = b"".join(f"R{at}{number:04}"[:6].encode() for at in range(5))
        self._image = integers + floats + strings
        (first,) = struct.unpack_from(">f", floats)
        self._changes = (self._image, struct.pack(">H", 60001) + self._image[2:])
        trembled = struct.pack(">f", first + TOLERANCE / 5)
        self._trembles = (self._image, self._image[:FLOAT_AT] + trembled + self._image[FLOAT_AT + 4 :])
        objects = b"".join(bytes([at, len(text)]) + text.encode() for at, text in enumerate(OBJECTS))
        self._identity = bytes([IDENTIFY, 14, 3, 0x82, 0, 0, len(OBJECTS)]) + objects

    def answer(self, unit: int, pdu: bytes) -> bytes:
        """The PDU that answers one."""
        if pdu[0] == IDENTIFY:
            return self._identity
        if pdu[0] != READ_HOLDING:
            return bytes([pdu[0] | 0x80, 1])
        self.reads += 1
        image = self._image
        if unit == CHANGING:
            image = self._changes[self.reads % 2]
        elif unit == TREMBLING:
            image = self._trembles[self.reads % 2]
        address, count = struct.unpack_from(">HH", pdu, 1)
        return bytes([READ_HOLDING, 2 * count]) + image[2 * address : 2 * (address + count)]

    def frame(self, request: bytes) -> bytes:
        """The same with the MBAP header around it."""
        pdu = self.answer(request[6], request[7:])
        return request[:4] + struct.pack(">HB", len(pdu) + 1, request[6]) + pdu
