"""Frames as they pass: what every way of capturing offers, and the choice between them. None can send."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from collectors.passive.source import Batch

RING_BYTES = 64 << 20
WAIT = 0.1  # seconds
ETHERNET, RAW_IP = 1, 101  # tcpdump.org/linktypes.html


class CaptureRefused(Exception):
    """It cannot begin: no such interface, no right to it, nothing to capture with. The message names the remedy."""


class CaptureLost(Exception):
    """It came to an end, or waits for its interface to come up. Ask `batches` again: it goes on when it can, and
    raises this again where only opening anew helps (`final`)."""

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


class Statistics(NamedTuple):
    """Since the capture began, as the kernel counts."""

    received: int  # frames that were handed to us, or will be
    dropped: int  # frames for which there was no room
    frozen: int  # times that the ring was full


class Live(Protocol):
    """A capture that runs. From the moment it is open, no method needs a right, so that the process can give up all."""

    @property
    def link(self) -> int:
        """LINKTYPE_ of every frame."""

    @property
    def descriptors(self) -> frozenset[int]:
        """The file descriptors that it needs to go on."""

    def batches(self, timeout: float = WAIT) -> Iterator[Batch | None]:
        """The frames, without end; None when none came for `timeout` seconds.

        A batch is a view, valid until the next one is asked for. Raises CaptureLost.
        """

    def statistics(self) -> Statistics:
        """Ask at least once in half an hour: the kernel counts in 32 bits."""

    def close(self) -> None:
        """The end. Batches that are still held stay readable, but say nothing any more."""


def open_live(interface: str, *, ring_bytes: int = RING_BYTES, outgoing: bool = False) -> Live:
    """Listen at an interface: with the kernel's own ring on Linux, with libpcap elsewhere.

    `outgoing` also gives the frames that this very host sends. On the loopback interface every frame goes out and
    comes in: it is given once, as it comes in. Raises CaptureRefused, or CaptureLost if the interface is down.
    """
    if sys.platform == "linux":
        from collectors.passive.ring import Ring

        return Ring(interface, ring_bytes=ring_bytes, outgoing=outgoing)
    from collectors.passive.libpcap import Pcap

    return Pcap(interface, ring_bytes=ring_bytes, outgoing=outgoing)


def open_descriptors() -> frozenset[int]:
    """Those of this process, as far as the system tells."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        if os.path.isdir(folder):
            return frozenset(fd for fd in map(int, os.listdir(folder)) if _is_open(fd))
    return frozenset()


def occupy_standard_descriptors() -> None:
    """Were standard output closed, the next descriptor to be opened would take its number: a `print` would then write
    into the capturing socket, and send. So put /dev/null wherever one of the three is missing."""
    while True:
        fd = os.open(os.devnull, os.O_RDWR)  # "the lowest-numbered file descriptor not currently open" (open(2))
        if fd > 2:
            os.close(fd)
            return


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
