"""An event loop without a network: its connections lead to devices in this process, and no byte meets a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.device import Device


class Wire(asyncio.Transport):
    """A connection to a device that answers in the loop's next turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.BufferedProtocol, device: Device) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._device = device
        self._closed = False

    def write(self, data: Any) -> None:
        self._loop.call_soon(self._answer, data)

    def _answer(self, request: bytes) -> None:
        if self._closed:
            return
        answer = self._device.frame(request)
        self._protocol.get_buffer(-1)[: len(answer)] = answer  # type: ignore[index]
        self._protocol.buffer_updated(len(answer))

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    abort = close


class Loop(asyncio.SelectorEventLoop):
    """A loop whose every connection is a Wire to the device at its port."""

    def __init__(self, devices: Mapping[int, Device]) -> None:
        super().__init__()
        self._devices = devices

    async def create_connection(  # type: ignore[override]
        self, factory: Callable[[], asyncio.BufferedProtocol], host: str, port: int
    ) -> tuple[Wire, asyncio.BufferedProtocol]:
        protocol = factory()
        wire = Wire(self, protocol, self._devices[port])
        protocol.connection_made(wire)
        return wire, protocol
