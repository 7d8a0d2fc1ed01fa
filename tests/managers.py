"""A service manager, as much of it as a service sees: a datagram socket that hears what it is told (sd_notify(3))."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from tests.floors import PATIENCE


class ServiceManager:
    """`heard` are the datagrams so far, each as its lines."""

    def __init__(self, channel: socket.socket, name: str) -> None:
        self._channel = channel
        self.environment = {"NOTIFY_SOCKET": name}
        self.heard: list[list[str]] = []

    def wait_for(self, beginning: str) -> str:
        """The next line that begins so."""
        self._channel.settimeout(PATIENCE)
        while True:
            self.heard.append(self._channel.recv(1 << 16).decode().split("\n"))
            for line in self.heard[-1]:
                if line.startswith(beginning):
                    return line

    def is_silent(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        self._channel.settimeout(seconds)
        try:
            self.heard.append(self._channel.recv(1 << 16).decode().split("\n"))
        except TimeoutError:
            return True
        return False

    def forget(self) -> None:
        """What lies in the socket is not looked at."""
        while not self.is_silent(0.001):
            pass


@contextmanager
def service_manager(watchdog: float = 0.0, path: str = "") -> Iterator[ServiceManager]:
    """Listening at a path, or, as systemd may, in the abstract namespace."""
    name = path or f"@asbuilt-test-{uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(path or "\0" + name[1:])
        manager = ServiceManager(channel, name)
        if watchdog:
            manager.environment["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        yield manager
