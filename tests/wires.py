"""A wire to listen at: a veth pair in a network namespace of its own, where nobody but a test sends anything."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from collectors.passive.live import Live

CLONE_NEWNET = 0x40000000


class Wire:
    """A veth pair: `plant` is the end where devices are, `sensor` the one that listens."""

    plant, sensor = "plant0", "sensor0"

    def __init__(self, name: str) -> None:
        self.namespace = name
        _run("ip", "netns", "add", name)
        # or the kernel itself would send: router solicitations, multicast reports
        _run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
        self.link("add", self.plant, "mtu", "9000", "type", "veth", "peer", "name", self.sensor, "mtu", "9000")
        for interface in ("lo", self.plant, self.sensor):
            self.link("set", interface, "up")
        with self.inside():
            self._sending = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._sending.bind((self.plant, 0))

    def link(self, *arguments: str) -> str:
        return _run("ip", "-n", self.namespace, "-j", "-s", "link", *arguments)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets that this thread opens meanwhile are in the namespace, and stay in it."""
        setns = ctypes.CDLL(None, use_errno=True).setns
        with open("/proc/thread-self/ns/net") as before, open(f"/run/netns/{self.namespace}") as there:
            assert setns(there.fileno(), CLONE_NEWNET) == 0
            try:
                yield
            finally:
                assert setns(before.fileno(), CLONE_NEWNET) == 0

    @contextmanager
    def listening(self, open_: Callable[[str], Live], interface: str | None = None) -> Iterator[Live]:
        with self.inside():
            live = open_(interface or self.sensor)
        try:
            yield live
        finally:
            live.close()

    def send(self, *frames: bytes) -> None:
        for frame in frames:
            self._sending.send(frame)

    def transmitted(self) -> int:
        """The frames that ever left the sensor's end."""
        count: int = json.loads(self.link("show", self.sensor))[0]["stats64"]["tx"]["packets"]
        return count

    def close(self) -> None:
        self._sending.close()
        _run("ip", "netns", "del", self.namespace)


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("takes root and iproute2: it makes a network namespace")
    name = f"asbuilt-{os.getpid()}-{time.monotonic_ns()}"
    try:
        made = Wire(name)
    except (subprocess.CalledProcessError, PermissionError) as failure:
        subprocess.run(["ip", "netns", "del", name], capture_output=True)
        why = getattr(failure, "stderr", "") or str(failure)
        pytest.skip(f"takes the right to make network namespaces, veth pairs and packet sockets: {why.strip()}")
    try:
        yield made
    finally:
        made.close()


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
