"""A wire to listen at: a veth pair in a network namespace of its own, where nobody but a test sends anything."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import pytest

from collectors.passive.live import Live

CLONE_NEWNET = 0x40000000


class Closable(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=Closable)


class Wire:
    """A veth pair: `plant` is the end where devices are, `sensor` the one that listens."""

    plant, sensor = "plant0", "sensor0"

    def __init__(self, name: str) -> None:
        self.namespace = name
        _namespace(name)
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
        with open("/proc/thread-self/ns/net") as before:
            enter(self.namespace)
            try:
                yield
            finally:
                assert ctypes.CDLL(None).setns(before.fileno(), CLONE_NEWNET) == 0

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


class Crossing:
    """Two namespaces with a veth pair between them: the floor's devices at one end, and who polls them at the other."""

    host, devices = "10.77.0.2", "dev0"

    def __init__(self, name: str) -> None:
        self.floor, self.monitor = f"{name}-f", f"{name}-m"
        try:
            for namespace in (self.floor, self.monitor):
                _namespace(namespace)
                _run("ip", "-n", namespace, "link", "set", "lo", "up")
            pair = ("type", "veth", "peer", "name", self.devices, "netns", self.floor)
            _run("ip", "-n", self.monitor, "link", "add", "mon0", *pair)
            ends = ((self.monitor, "mon0", "10.77.0.1/24"), (self.floor, self.devices, f"{self.host}/24"))
            for namespace, interface, address in ends:
                _run("ip", "-n", namespace, "addr", "add", address, "dev", interface)
                _run("ip", "-n", namespace, "link", "set", interface, "up")
        except subprocess.CalledProcessError:
            self.close()
            raise

    def close(self) -> None:
        for namespace in (self.floor, self.monitor):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True)


@contextmanager
def captured(namespace: str, interface: str, file: Path, *options: str) -> Iterator[None]:
    """A capture of an interface by tcpdump, in the namespace; nothing was lost."""
    command = ["tcpdump", "-i", interface, "-w", str(file), "-U", "--immediate-mode", "-B", "65536", "-Z", "root"]
    tcpdump = subprocess.Popen(within(namespace, *command, *options), stderr=subprocess.PIPE, text=True)
    assert tcpdump.stderr
    assert any("listening on" in line for line in tcpdump.stderr)
    try:
        yield
        before, taken = -2, -1
        while taken != before:  # what the kernel still holds for it would be lost
            threading.Event().wait(0.05)
            tcpdump.send_signal(signal.SIGUSR1)
            before = taken
            taken, _, dropped = map(int, re.findall(r"(\d+) packets?", tcpdump.stderr.readline()))
            assert dropped == 0
    finally:
        tcpdump.terminate()
        tcpdump.communicate(timeout=10)


def within(namespace: str, *command: str) -> list[str]:
    """The command that runs another in a namespace."""
    return ["ip", "netns", "exec", namespace, *command]


def enter(namespace: str) -> None:
    """Sockets that this thread opens from now on are in the namespace, and stay in it."""
    with open(f"/run/netns/{namespace}") as there:
        assert ctypes.CDLL(None, use_errno=True).setns(there.fileno(), CLONE_NEWNET) == 0


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    yield from _made(Wire)


@pytest.fixture
def crossing() -> Iterator[Crossing]:
    yield from _made(Crossing)


def _made(kind: Callable[[str], T]) -> Iterator[T]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("takes root and iproute2: it makes a network namespace")
    name = f"asbuilt-{os.getpid()}-{time.monotonic_ns()}"
    try:
        made = kind(name)
    except (subprocess.CalledProcessError, PermissionError) as failure:
        subprocess.run(["ip", "netns", "del", name], capture_output=True)
        why = getattr(failure, "stderr", "") or str(failure)
        pytest.skip(f"takes the right to make network namespaces, veth pairs and packet sockets: {why.strip()}")
    try:
        yield made
    finally:
        made.close()


def _namespace(name: str) -> None:
    _run("ip", "netns", "add", name)
    # or the kernel itself would send: router solicitations, multicast reports
    _run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
