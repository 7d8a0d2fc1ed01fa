"""OPC UA answers that break the protocol (Part 6, 6.7.2).

A chunk: type 0:3, final or not 3, size 4:8; of MSG also channel 8:12, token 12:16, sequence 16:20, request 20:24, and
the body, which begins with its type. What is encrypted is passed on as it is.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from weakref import WeakKeyDictionary

from simulators.behaviours import COMMON, Behaviour, Exchange

TWO_GIGABYTES = 0x7FFF_FFFF
BLOCK = bytes(65536)
PUBLISH_RESPONSE = b"\x01\x00" + struct.pack("<H", 829)
withheld: WeakKeyDictionary[asyncio.StreamWriter, int] = WeakKeyDictionary()  # answers, by line


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


def is_publish(answer: bytes) -> bool:
    return answer[:3] == b"MSG" and answer[24:28] == PUBLISH_RESPONSE


def numbered(answer: bytes, further: int) -> bytes:
    """The answer with another sequence number, as many further."""
    sequence = int.from_bytes(answer[16:20], "little") + further
    return answer[:16] + struct.pack("<I", sequence) + answer[20:] if answer[:3] == b"MSG" else answer


async def publish_nothing(exchange: Exchange) -> None:
    """Whatever else is asked is answered; a Publish never is."""
    if is_publish(exchange.answer):
        withheld[exchange.line] = withheld.get(exchange.line, 0) + 1
    else:
        await exchange.send(numbered(exchange.answer, -withheld.get(exchange.line, 0)))


async def publish_flood(exchange: Exchange) -> None:
    """One Publish is answered again and again."""
    await exchange.send(exchange.answer)
    further = 1
    while is_publish(exchange.answer):
        await exchange.send(numbered(exchange.answer, further))
        further += 1


async def publish_garbage(exchange: Exchange) -> None:
    """The answer to a Publish ends in noise, at its right length."""
    answer = exchange.answer
    noise = b"\xff" * (len(answer) - 28)
    await exchange.send(answer[:28] + noise if is_publish(answer) else answer)


BEHAVIOURS: Mapping[str, Behaviour] = COMMON | {
    "endless": endless,
    "huge_chunk": huge_chunk,
    "bad_hello": bad_hello,
    "publish_nothing": publish_nothing,
    "publish_flood": publish_flood,
    "publish_garbage": publish_garbage,
}
