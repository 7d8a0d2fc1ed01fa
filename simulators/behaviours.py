"""How a PLC misbehaves at the bytes: each is a small function that gets an honest answer and spoils it."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

DRIP_SECONDS = 0.2
GARBAGE = bytes(range(255, -1, -1))
RESET_ON_CLOSE = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One answer on its way to the client: the request before it, the answer before that, and the line."""

    request: bytes
    answer: bytes
    previous: bytes
    argument: str
    line: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.line.write(data)
        await self.line.drain()

    def reset(self) -> None:
        reset(self.line)


Behaviour = Callable[[Exchange], Awaitable[None]]


def reset(line: asyncio.StreamWriter) -> None:
    """Ends a connection with RST instead of FIN."""
    with suppress(OSError):  # it is closed already
        line.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    line.transport.abort()


async def honest(exchange: Exchange) -> None:
    await exchange.send(exchange.answer)


async def silent(exchange: Exchange) -> None:
    """Reads and never answers."""


async def slow(exchange: Exchange) -> None:
    await asyncio.sleep(float(exchange.argument))
    await exchange.send(exchange.answer)


async def drip(exchange: Exchange) -> None:
    for at in range(len(exchange.answer)):
        await exchange.send(exchange.answer[at : at + 1])
        await asyncio.sleep(DRIP_SECONDS)


async def half(exchange: Exchange) -> None:
    await exchange.send(exchange.answer[: len(exchange.answer) // 2])


async def reset_within(exchange: Exchange) -> None:
    await half(exchange)
    await asyncio.sleep(0.02)  # or the kernel drops the half that it has not sent yet
    exchange.reset()


async def hang_up(exchange: Exchange) -> None:
    """Answers, and closes the connection."""
    await exchange.send(exchange.answer)
    exchange.line.close()


async def duplicate(exchange: Exchange) -> None:
    await exchange.send(exchange.answer * 2)


async def garbage(exchange: Exchange) -> None:
    await exchange.send(GARBAGE)


COMMON: dict[str, Behaviour] = {
    "silent": silent,
    "slow": slow,
    "drip": drip,
    "half": half,
    "reset": reset_within,
    "hang_up": hang_up,
    "duplicate": duplicate,
    "garbage": garbage,
}
AT_THE_DOOR = ("refuse", "close")  # what befalls the port, before any request; the gate does them


def check(behave: str, known: Mapping[str, Behaviour]) -> str | None:
    """What is wrong with a behaviour as a scenario writes it, or None."""
    name, _, argument = behave.partition(":")
    if name not in known and name not in (*AT_THE_DOOR, "honest"):
        return f"no such behaviour: {name!r}. Known: {', '.join(sorted((*known, *AT_THE_DOOR, 'honest')))}"
    if name not in ("slow", "exception"):
        return f"{name} takes no argument" if argument else None
    try:
        good = float(argument) >= 0 if name == "slow" else 1 <= int(argument) <= 255
    except ValueError:
        good = False
    return None if good else f'write "{name}:N", N ' + ("in seconds" if name == "slow" else "from 1 to 255")
