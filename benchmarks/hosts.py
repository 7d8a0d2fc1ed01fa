"""Thousands of Modbus servers in one process: each at an address of its own on loopback, all behind one listener."""

from __future__ import annotations

import os
import resource
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection

from benchmarks.apart import apart
from benchmarks.device import Device

FIRST = 2  # 127.1.0.2 and on: 127.0.0.1 is everybody's


class Hosts:
    """Devices in another process, each at an address of its own."""

    def __init__(self, pipe: Connection, count: int) -> None:
        self._pipe = pipe
        port = pipe.recv()
        self.addresses = [f"{address_of(number)}:{port}" for number in range(count)]

    def reads(self) -> list[list[float]]:
        """When each device's registers were read (time.monotonic), since they were forgotten last."""
        self._pipe.send("reads")
        found: list[list[float]] = self._pipe.recv()
        return found

    def forget(self) -> None:
        self._pipe.send("forget")


def address_of(number: int) -> str:
    number += FIRST
    return f"127.1.{number // 256}.{number % 256}"


@contextmanager
def hosts(count: int) -> Iterator[Hosts]:
    """So many devices; they end with the block, or with us."""
    with apart(serve, count) as pipe:
        yield Hosts(pipe, count)


class Timed(Device):
    """A device that keeps when it was read."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.times: list[float] = []

    def frame(self, request: bytes) -> bytes:
        if request[7] == 3:
            self.times.append(time.monotonic())
        return super().frame(request)


def serve(pipe: Connection, count: int) -> None:
    """Answer until the pipe closes."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    cores = os.cpu_count() or 1
    if cores > 1:  # the first one is the measured process's
        os.sched_setaffinity(0, range(1, cores))
    devices = {address_of(number): Timed(number) for number in range(count)}
    selector = selectors.DefaultSelector()
    listening = socket.create_server(("0.0.0.0", 0), backlog=4096)
    selector.register(listening, selectors.EVENT_READ, partial(_accept, selector, listening, devices))
    pipe.send(listening.getsockname()[1])
    selector.register(pipe, selectors.EVENT_READ, None)
    while True:
        for key, _ in selector.select():
            if key.data is not None:
                key.data()
                continue
            try:
                asked = pipe.recv()
            except EOFError:
                return
            if asked == "reads":
                pipe.send([device.times for device in devices.values()])
            else:
                for device in devices.values():
                    device.times = []


def _accept(selector: selectors.BaseSelector, listening: socket.socket, devices: dict[str, Timed]) -> None:
    connection, _ = listening.accept()
    device = devices.get(connection.getsockname()[0])
    if device is None:
        connection.close()
        return
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    selector.register(connection, selectors.EVENT_READ, partial(_answer, selector, connection, device))


def _answer(selector: selectors.BaseSelector, connection: socket.socket, device: Timed) -> None:
    try:
        request = connection.recv(512)
    except ConnectionError:
        request = b""
    if request:
        connection.send(device.frame(request))
    else:
        selector.unregister(connection)
        connection.close()
