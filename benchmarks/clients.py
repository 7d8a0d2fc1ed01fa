"""Those who read the same 125 registers in modbus.py: each opens its connections and gives one `ask` for each."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from pymodbus.client import AsyncModbusTcpClient

from benchmarks.device import CHANGING, SAME
from benchmarks.responder import HOST
from collectors.address import Address
from collectors.collector import Target
from collectors.contract import Limits
from collectors.metering import Meter
from collectors.modbus import ModbusCollector
from collectors.modbus.link import Link
from collectors.profile import ItemSpec, Profile, Profiles, Register

REGISTERS = 125
REQUEST = struct.pack(">BHH", 3, 0, REGISTERS)
VALUES = struct.Struct(f">{REGISTERS}H")
HEADER = struct.Struct(">HHHB")
TIMEOUT = 10.0

Ask = Callable[[], Awaitable[object]]
Client = Callable[[Sequence[int]], AbstractAsyncContextManager[list[Ask]]]


class Bare(asyncio.BufferedProtocol):
    """The ceiling of asyncio: MBAP in and out, nothing checked, no deadline."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._buffer = memoryview(bytearray(520))
        self._filled = self._transaction = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self) -> asyncio.Future[bytes]:
        self._transaction = (self._transaction + 1) & 0xFFFF
        self._waiting: asyncio.Future[bytes] = self._loop.create_future()
        self.transport.write(HEADER.pack(self._transaction, 0, len(REQUEST) + 1, SAME) + REQUEST)
        return self._waiting

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer[self._filled :]

    def buffer_updated(self, received: int) -> None:
        self._filled += received
        if self._filled > 6 and self._filled == 6 + HEADER.unpack_from(self._buffer)[2]:
            self._waiting.set_result(bytes(self._buffer[7 : self._filled]))
            self._filled = 0


@asynccontextmanager
async def bare(ports: Sequence[int]) -> AsyncIterator[list[Ask]]:
    loop = asyncio.get_running_loop()
    clients = [(await loop.create_connection(Bare, HOST, port))[1] for port in ports]
    yield [client.ask for client in clients]
    for client in clients:
        client.transport.close()


@asynccontextmanager
async def link(ports: Sequence[int]) -> AsyncIterator[list[Ask]]:
    """Our `Link` alone: every answer checked, a deadline for every request."""
    links = await _links(ports)
    yield [partial(each.ask, "plc", SAME, REQUEST, TIMEOUT) for each in links]
    for each in links:
        each.close()


@asynccontextmanager
async def link_values(ports: Sequence[int]) -> AsyncIterator[list[Ask]]:
    """The same with the byte count checked and 125 numbers at the end, as pymodbus gives them."""

    async def read(asked: Link) -> list[int]:
        answer = await asked.ask("plc", SAME, REQUEST, TIMEOUT)
        if answer[1] != VALUES.size or len(answer) != VALUES.size + 2:
            raise ValueError("not what was asked for")
        return list(VALUES.unpack_from(answer, 2))

    links = await _links(ports)
    yield [partial(read, each) for each in links]
    for each in links:
        each.close()


async def _links(ports: Sequence[int]) -> list[Link]:
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(lambda: Link(Meter(1)), HOST, port))[1] for port in ports]


@asynccontextmanager
async def _collector(ports: Sequence[int], unit: int) -> AsyncIterator[list[Ask]]:
    items = tuple(ItemSpec(f"r{at}", Register("holding", at, "uint16")) for at in range(REGISTERS))
    limits = Limits(requests_per_second=1_000_000, read_identity=False, timeout=TIMEOUT)
    collector = ModbusCollector(Profiles([Profile("block", limits=limits, items=items)]), lambda: datetime.now(UTC))
    yield [
        partial(collector.collect, Target(f"plc {port}", Address("modbus", HOST, port, unit), "block"))
        for port in ports
    ]
    await collector.close()


def collect_same(ports: Sequence[int]) -> AbstractAsyncContextManager[list[Ask]]:
    """Our collector's full path; the device always answers the same bytes."""
    return _collector(ports, SAME)


def collect_changing(ports: Sequence[int]) -> AbstractAsyncContextManager[list[Ask]]:
    """The same; one register differs in every answer."""
    return _collector(ports, CHANGING)


@asynccontextmanager
async def pymodbus(ports: Sequence[int]) -> AsyncIterator[list[Ask]]:
    """pymodbus's own client, a connection each."""
    clients = [AsyncModbusTcpClient(HOST, port=port, timeout=TIMEOUT) for port in ports]
    for client in clients:
        await client.connect()
    yield [partial(client.read_holding_registers, 0, count=REGISTERS, device_id=SAME) for client in clients]
    for client in clients:
        client.close()
