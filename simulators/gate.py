"""The port of a PLC: passes requests on to the honest server behind it, counts them, and spoils the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from simulators.behaviours import Exchange, honest, reset
from simulators.seen import Seen
from simulators.wire import Wire

HOST = "127.0.0.1"


class Tenant(Protocol):
    """A PLC behind a gate. `behaviour` is "honest", or the name and argument of a misbehaviour."""

    behaviour: str
    seen: Seen


@dataclass(slots=True)
class Link:
    """One client's connection, and ours to the honest server."""

    reader: asyncio.StreamReader
    line: asyncio.StreamWriter
    requests: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    last: bytes = b""
    previous: bytes = b""


class Gate:
    """Listens for the PLCs that share one host and port, by their unit. `upstream` is the honest server's port."""

    def __init__(self, wire: Wire, tenants: Mapping[int, Tenant], host: str = HOST) -> None:
        self.wire = wire
        self.host = host
        self.tenants = tenants
        self.port = 0
        self.upstream = 0
        self._server: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def bind(self, port: int) -> None:
        """Takes the port and answers nobody yet: a client is refused."""
        self._server = await asyncio.start_server(self._accept, self.host, port, start_serving=False)
        self.port = self._server.sockets[0].getsockname()[1]

    async def open(self) -> None:
        if self._server is None:
            await self.bind(self.port)
        assert self._server is not None
        await self._server.start_serving()

    async def refuse(self) -> None:
        """Closes the port and drops whoever is connected. The port stays taken, so that nobody else gets it."""
        await self.close()
        await self.bind(self.port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.drop()

    async def drop(self) -> None:
        """Resets every connection."""
        links = list(self._links)
        for line in self._links.values():
            reset(line)
        for task in links:
            task.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    def _at_the_door(self, behaviour: str) -> bool:
        return any(tenant.behaviour == behaviour for tenant in self.tenants.values())

    async def _accept(self, reader: asyncio.StreamReader, line: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links[task] = line
        for tenant in self.tenants.values():
            tenant.seen.connected()
        try:
            if not self._at_the_door("close"):
                await self._serve(Link(reader, line))
        except asyncio.CancelledError:
            pass  # the floor is closing; asyncio.streams would log it
        finally:
            for tenant in self.tenants.values():
                tenant.seen.disconnected()
            del self._links[task]
            line.close()

    async def _serve(self, link: Link) -> None:
        up_reader, up_line = await asyncio.open_connection(HOST, self.upstream)
        answering = asyncio.create_task(self._answer(link, up_reader, up_line))
        try:
            await self._listen(link, up_line)
        finally:
            answering.cancel()
            up_line.close()
            await asyncio.gather(answering, return_exceptions=True)

    async def _listen(self, link: Link, up_line: asyncio.StreamWriter) -> None:
        """Takes requests off the line until the client leaves: at once, whatever the answers are doing."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                try:
                    request = await self._message(link.reader)
                except ValueError:
                    for tenant in self.tenants.values():
                        tenant.seen.malformed += 1
                    return
                tenant_meant = self.tenants.get(self.wire.unit(request))
                if tenant_meant is not None:
                    self.wire.note(request, tenant_meant.seen)
                if self.wire.in_turn:
                    link.requests.put_nowait(request)
                else:
                    link.last = request
                    up_line.write(request)

    async def _answer(self, link: Link, up_reader: asyncio.StreamReader, up_line: asyncio.StreamWriter) -> None:
        try:
            while True:
                if self.wire.in_turn:
                    link.last = await link.requests.get()
                    up_line.write(link.last)
                answer = await self._message(up_reader)
                await self._deliver(link, answer)
                link.previous = answer
        except (ConnectionError, asyncio.IncompleteReadError, ValueError):
            link.line.close()

    async def _deliver(self, link: Link, answer: bytes) -> None:
        tenant = self.tenants.get(self.wire.unit(link.last))
        name, _, argument = (tenant.behaviour if tenant is not None else "honest").partition(":")
        behaviour = self.wire.behaviours.get(name, honest)
        await behaviour(Exchange(link.last, answer, link.previous, argument, link.line))

    async def _message(self, reader: asyncio.StreamReader) -> bytes:
        header = await reader.readexactly(self.wire.header)
        return header + await reader.readexactly(self.wire.size(header) - len(header))
