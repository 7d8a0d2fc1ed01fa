"""OPC UA answers that break the protocol (Part 6, 6.7.2).

A chunk: type 0:3, final or not 3, size 4:8; of MSG also channel 8:12, token 12:16, sequence 16:20, request 20:24.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from simulators.behaviours import COMMON, Behaviour, Exchange

TWO_GIGABYTES = 0x7FFF_FFFF
BLOCK = bytes(65536)


async def endless(exchange: Exchange) -> None:
    """An answer of intermediate chunks that never comes to its final one, the sequence numbers right."""
    answer = exchange.answer
    if answer[:3] != b"MSG":
        await exchange.send(answer)
        return
    sequence = int.from_bytes(answer[16:20], "little")
    head = answer[:3] + b"C" + struct.pack("<I", 24 + 8192) + answer[8:16]
    while True:
        await exchange.send(head + struct.pack("<I", sequence) + answer[20:24] + BLOCK[:8192])
        sequence += 1


async def huge_chunk(exchange: Exchange) -> None:
    """One chunk that claims 2 GB, and bytes as long as the client takes them."""
    answer = exchange.answer
    if answer[:3] != b"MSG":
        await exchange.send(answer)
        return
    await exchange.send(answer[:4] + struct.pack("<I", TWO_GIGABYTES) + answer[8:])
    while True:
        await exchange.send(BLOCK)


async def bad_hello(exchange: Exchange) -> None:
    """An acknowledgement that promises buffers, messages and chunks without end."""
    answer = exchange.answer
    limits = struct.pack("<5I", 0, 0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFF)
    await exchange.send(answer[:8] + limits if answer[:3] == b"ACK" else answer)


BEHAVIOURS: Mapping[str, Behaviour] = COMMON | {
    "endless": endless,
    "huge_chunk": huge_chunk,
    "bad_hello": bad_hello,
}
