"""Thousands of Modbus devices in a process of their own, which change when they are told to.

They share no line with what they test. Each has an address of its own on loopback, and all are behind one listener
(as in benchmarks/hosts.py).
"""

from __future__ import annotations

import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Protocol

from benchmarks.apart import apart
from tests.lossy import lose

FIRST = 2  # 127.2.0.2 and on: 127.0.0.1 is everybody's
READ_HOLDING, WRITE_MANY, IDENTIFY = 3, 16, 43
PROFILE = """
name = "shifting"
[item.mode]
table = "holding"
address = 100
type = "uint16"
category = "mode"
[item.program]
table = "holding"
address = 101
type = "bytes"
count = 2
category = "program"
[item.limit]
table = "holding"
address = 103
type = "float32"
tolerance = 0.05
"""


class Device(Protocol):
    """What answers one request of Modbus TCP."""

    def frame(self, request: bytes) -> bytes: ...


class Shifting:
    """A PLC with a mode, a program, a parameter and a revision; whoever will may set the parameter."""

    def __init__(self, _number: int) -> None:
        self.mode, self.program, self.limit, self.software_revision = 3, "deadbeef", 12.5, "2.4.1"

    def frame(self, request: bytes) -> bytes:
        """The answer; the values of one request are of one moment."""
        pdu = self._answer(request[7:])
        return request[:4] + struct.pack(">HB", len(pdu) + 1, request[6]) + pdu

    def _answer(self, pdu: bytes) -> bytes:
        if pdu[0] == IDENTIFY:
            texts = [text.encode() for text in ("ACME", "P-9", self.software_revision)]
            objects = b"".join(bytes([number, len(text)]) + text for number, text in enumerate(texts))
            return bytes([IDENTIFY, 14, pdu[2], 0x82, 0, 0, len(texts)]) + objects
        if pdu[0] == WRITE_MANY and pdu[1:5] == struct.pack(">HH", 103, 2):
            (self.limit,) = struct.unpack_from(">f", pdu, 6)
            return pdu[:5]
        if pdu[0] != READ_HOLDING:
            return bytes([pdu[0] | 0x80, 1])
        image = struct.pack(">H", self.mode) + bytes.fromhex(self.program) + struct.pack(">f", self.limit)
        address, count = struct.unpack_from(">HH", pdu, 1)
        wanted = image[2 * (address - 100) : 2 * (address - 100 + count)]
        return bytes([READ_HOLDING, len(wanted)]) + wanted


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices, from outside; `places` are their host:port."""

    pipe: Connection
    places: Sequence[str]

    def set(self, number: int, name: str, value: object) -> None:
        """Have one changed, at once; when that was is in `changes`."""
        self.pipe.send(("set", number, name, value))

    def changes(self) -> list[tuple[float, int, str, Any]]:
        """What was set so far: moment (time.monotonic), device, name, value."""
        self.pipe.send(("changes",))
        found: list[tuple[float, int, str, Any]] = self.pipe.recv()
        return found

    def requests(self) -> int:
        """How many reads of registers were answered so far."""
        self.pipe.send(("requests",))
        return int(self.pipe.recv())

    def lose(self, rates: Mapping[str, float]) -> None:
        """Of each host, lose so much of what comes in on the connections that are made from now on."""
        self.pipe.send(("lose", rates))
        self.pipe.recv()


@contextmanager
def devices(count: int, make: Callable[[int], Device] = Shifting, host: str = "", port: int = 0) -> Iterator[Devices]:
    """So many; they end with the block, or with us. One may be at a `host` that is no loopback."""
    with apart(_serve, count, make, port) as pipe:
        port = pipe.recv()
        yield Devices(pipe, [f"{_host(number)}:{port}" for number in range(count)])


def _host(number: int) -> str:
    number += FIRST
    return f"127.2.{number // 256}.{number % 256}"


class _Server:
    def __init__(self, count: int, make: Callable[[int], Device], port: int) -> None:
        self.devices = [make(number) for number in range(count)]
        self.by_host = {_host(number): device for number, device in enumerate(self.devices)}
        self.selector = selectors.DefaultSelector()
        self.listening = socket.create_server(("0.0.0.0", port), backlog=4096)
        self.selector.register(self.listening, selectors.EVENT_READ, self.accept)
        self.rates: Mapping[str, float] = {}
        self.requests = 0
        self.changes: list[tuple[float, int, str, Any]] = []

    def accept(self) -> None:
        connection, _ = self.listening.accept()
        device = self.by_host[connection.getsockname()[0]]
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if rate := self.rates.get(connection.getsockname()[0]):
            lose(connection, rate)
        self.selector.register(connection, selectors.EVENT_READ, partial(self.answer, connection, device, bytearray()))

    def answer(self, connection: socket.socket, device: Device, received: bytearray) -> None:
        try:
            if part := connection.recv(512):
                received += part
                while len(received) > 6 and len(received) >= (size := 6 + received[4] * 256 + received[5]):
                    self.requests += received[7] == READ_HOLDING
                    connection.send(device.frame(bytes(received[:size])))
                    del received[:size]
                return
        except OSError:
            pass
        self.selector.unregister(connection)
        connection.close()

    def told(self, order: tuple[Any, ...]) -> Any:
        match order:
            case ("set", number, name, value):
                self.changes.append((time.monotonic(), number, name, value))
                setattr(self.devices[number], name, value)
            case ("lose", rates):
                self.rates = rates
                return True
            case (wanted,):
                return getattr(self, wanted)
        return None


def _serve(pipe: Connection, count: int, make: Callable[[int], Device], port: int) -> None:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = _Server(count, make, port)
    server.selector.register(pipe, selectors.EVENT_READ, None)
    pipe.send(server.listening.getsockname()[1])
    while True:
        for key, _ in server.selector.select():
            if key.data is not None:
                key.data()
                continue
            try:
                if (answer := server.told(pipe.recv())) is not None:
                    pipe.send(answer)
            except EOFError:
                return
