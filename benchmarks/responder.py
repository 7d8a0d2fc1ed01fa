"""Modbus servers for the benchmarks, in a process of their own: as fast as plain Python answers, and no more."""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection

from benchmarks.apart import apart
from benchmarks.device import Device

HOST = "127.0.0.1"


class Responders:
    """Devices in another process, each at a port of its own."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.ports: list[int] = pipe.recv()

    def reads(self) -> list[int]:
        """How often each device's registers were read so far."""
        self._pipe.send("reads")
        found: list[int] = self._pipe.recv()
        return found


@contextmanager
def responders(count: int) -> Iterator[Responders]:
    """So many devices; they end with the block, or with us."""
    with apart(serve, count) as pipe:
        yield Responders(pipe)


def serve(pipe: Connection, count: int) -> None:
    """Answer until the pipe closes."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_setaffinity") and cores > 1:  # the first one is the measuring process's
        os.sched_setaffinity(0, range(1, cores))
    devices = [Device(number) for number in range(count)]
    selector = selectors.DefaultSelector()
    pipe.send([_listen(selector, device) for device in devices])
    selector.register(pipe, selectors.EVENT_READ, None)
    while True:
        for key, _ in selector.select():
            if key.data is not None:
                key.data()
                continue
            try:
                pipe.recv()
            except EOFError:
                return
            pipe.send([device.reads for device in devices])


def _listen(selector: selectors.BaseSelector, device: Device) -> int:
    listening = socket.create_server((HOST, 0), backlog=16)
    selector.register(listening, selectors.EVENT_READ, partial(_accept, selector, listening, device))
    port: int = listening.getsockname()[1]
    return port


def _accept(selector: selectors.BaseSelector, listening: socket.socket, device: Device) -> None:
    connection, _ = listening.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    hang_up: Callable[[], None] = partial(_hang_up, selector, connection)
    selector.register(connection, selectors.EVENT_READ, partial(_answer, connection, device, hang_up))


def _answer(connection: socket.socket, device: Device, hang_up: Callable[[], None]) -> None:
    try:
        request = connection.recv(512)
    except ConnectionError:
        request = b""
    if request:
        connection.send(device.frame(request))
    else:
        hang_up()


def _hang_up(selector: selectors.BaseSelector, connection: socket.socket) -> None:
    selector.unregister(connection)
    connection.close()
