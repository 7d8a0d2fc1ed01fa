"""Frames through libpcap (macOS, the BSDs, Windows with Npcap), by ctypes: a call and a copy for every frame.

Slower than the ring of Linux by a factor of thirty, and the same to whoever asks for batches.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import select
import sys
import time
from collections.abc import Iterator

import numpy as np

from collectors.passive.live import (
    RAW_IP,
    RING_BYTES,
    WAIT,
    CaptureLost,
    CaptureRefused,
    Statistics,
    occupy_standard_descriptors,
    open_descriptors,
)
from collectors.passive.source import PAD, Batch

# pcap/pcap.h
ERROR, ERROR_BREAK, NO_SUCH_DEVICE, PERM_DENIED, IFACE_NOT_UP, PROMISC_PERM_DENIED = -1, -2, -5, -8, -9, -11
NANOSECONDS = 1  # PCAP_TSTAMP_PRECISION_NANO
DIRECTION_IN = 1  # PCAP_D_IN
ERRBUF_BYTES = 256
SNAPLEN = 262144  # "a value of 65535, on most if not all networks, to capture all the data" (pcap(3PCAP)), and more
BUFFER_MS = 100
MOST = 4096  # frames in a batch
MOST_BYTES = 4 << 20
DLT_RAW = (12, 14)  # what LINKTYPE_RAW, 101, is called inside; 14 on OpenBSD (tcpdump.org/linktypes.html)
NAMES = {
    "win32": ("wpcap.dll",),
    "darwin": ("libpcap.A.dylib", "/usr/lib/libpcap.A.dylib"),
    "linux": ("libpcap.so.1", "libpcap.so.0.8", "libpcap.so"),
}
REMEDIES = {
    "win32": "install Npcap (npcap.com), and start this as administrator unless Npcap is open to all",
    "darwin": "start this with sudo, or join the group access_bpf, which Wireshark's ChmodBPF makes",
    "linux": "start this from a systemd unit that has AmbientCapabilities=CAP_NET_RAW, or as root",
}
REMEDY = REMEDIES.get(sys.platform, "start this as root, or let its user read /dev/bpf*")


class Time(ctypes.Structure):
    """struct timeval, as the platform has it."""

    _fields_ = (
        ("sec", ctypes.c_uint32 if sys.platform.startswith("openbsd") else ctypes.c_long),
        ("usec", ctypes.c_uint32 if sys.platform.startswith(("darwin", "openbsd")) else ctypes.c_long),
    )


class FrameHeader(ctypes.Structure):
    """struct pcap_pkthdr."""

    _fields_ = (("at", Time), ("captured", ctypes.c_uint32), ("wire", ctypes.c_uint32))


class Counts(ctypes.Structure):
    """struct pcap_stat, with room for what Windows adds."""

    _fields_ = (("received", ctypes.c_uint), ("dropped", ctypes.c_uint), ("rest", ctypes.c_uint * 8))


class Pcap:
    """A `Live` capture."""

    def __init__(self, interface: str, *, ring_bytes: int = RING_BYTES, outgoing: bool = False) -> None:
        occupy_standard_descriptors()
        before = open_descriptors()
        self._interface = interface
        self._pcap = load_library()
        self._last = (0, 0)
        self._statistics = Statistics(0, 0, 0)
        self._number = 1
        self._final: CaptureLost | None = None
        errors = ctypes.create_string_buffer(ERRBUF_BYTES)
        self._handle: int | None = self._pcap.pcap_create(interface.encode(), errors)
        if self._handle is None:
            raise CaptureRefused(f"{interface} cannot be captured: {_text(errors.value)}")
        try:
            self._activate(ring_bytes, outgoing, errors)
        except BaseException:
            self.close()
            raise
        link: int = self._pcap.pcap_datalink(self._pointer())
        self.link = RAW_IP if link in DLT_RAW else link
        self.descriptors = open_descriptors() - before

    def _activate(self, ring_bytes: int, outgoing: bool, errors: ctypes.Array[ctypes.c_char]) -> None:
        pcap, handle = self._pcap, self._pointer()
        pcap.pcap_set_snaplen(handle, SNAPLEN)
        pcap.pcap_set_promisc(handle, 1)
        pcap.pcap_set_timeout(handle, BUFFER_MS)
        pcap.pcap_set_buffer_size(handle, ring_bytes)
        # absent before libpcap 1.5, and on systems that do not tell nanoseconds
        precise = getattr(pcap, "pcap_set_tstamp_precision", None)
        self._fraction = 1 if precise is not None and precise(handle, NANOSECONDS) == 0 else 1000
        code = pcap.pcap_activate(handle)
        if code in (PERM_DENIED, PROMISC_PERM_DENIED):
            raise CaptureRefused(f"no permission to capture at {self._interface}: {REMEDY}")
        if code == IFACE_NOT_UP:
            raise CaptureLost(f"{self._interface} is down; bring it up")
        if code == NO_SUCH_DEVICE:
            raise CaptureRefused(f"there is no interface {self._interface} ({self._error()})")
        if code < 0:
            raise CaptureRefused(f"{self._interface} cannot be captured: {self._error()}")
        if not outgoing and not self._interface.startswith("lo"):  # there, libpcap gives each frame once by itself
            pcap.pcap_setdirection(handle, DIRECTION_IN)  # where it is not to be had, both directions are heard
        self._poll = None
        if sys.platform != "win32":
            pcap.pcap_setnonblock(handle, 1, errors)
            self._poll = select.poll()
            self._poll.register(pcap.pcap_get_selectable_fd(handle), select.POLLIN)

    def batches(self, timeout: float = WAIT) -> Iterator[Batch | None]:
        """The frames, without end; None when none came for `timeout` seconds. Raises CaptureLost."""
        while True:
            if self._final:
                raise self._final
            batch = self._read(timeout)
            if batch is None and self._poll is not None:
                # whatever it says, ask again: with BPF, "select() … might not time out" (pcap_get_selectable_fd(3PCAP))
                self._poll.poll(timeout * 1000)
                batch = self._read(timeout)
            yield batch

    def statistics(self) -> Statistics:
        """As the library counts; it does not tell how often its buffer was full."""
        counts = Counts()
        if self._handle is not None and self._pcap.pcap_stats(self._pointer(), ctypes.byref(counts)) == 0:
            received, dropped = ((new - old) & 0xFFFFFFFF for new, old in zip(_both(counts), self._last, strict=True))
            self._last = _both(counts)
            before = self._statistics
            # on Linux, macOS and the BSDs, the library counts what was dropped as received too (pcap_stats(3PCAP))
            self._statistics = Statistics(before.received + received - dropped, before.dropped + dropped, 0)
        return self._statistics

    def close(self) -> None:
        if self._handle is not None:
            self._pcap.pcap_close(self._pointer())
            self._handle = None

    def _read(self, timeout: float) -> Batch | None:
        """What is there now; on Windows, what comes in `timeout` seconds."""
        header, frame = ctypes.POINTER(FrameHeader)(), ctypes.c_void_p()
        headers: list[tuple[int, int, int, int]] = []
        frames: list[bytes] = []
        arguments = (self._pointer(), ctypes.byref(header), ctypes.byref(frame))
        next_ex, copy = self._pcap.pcap_next_ex, ctypes.string_at
        size, until = 0, time.monotonic() + timeout
        while len(frames) < MOST and size < MOST_BYTES:
            code = next_ex(*arguments)
            if code == 1:
                about = header.contents
                captured, at = about.captured, about.at
                headers.append((captured, about.wire, at.sec, at.usec))
                frames.append(copy(frame.value or 0, captured))
                size += captured
            elif code == 0 or code == ERROR_BREAK:
                break
            elif frames:
                break  # it will say so again
            else:
                self._lost()
            if self._poll is None and time.monotonic() > until:
                break
        return self._batch(headers, frames) if frames else None

    def _batch(self, headers: list[tuple[int, int, int, int]], frames: list[bytes]) -> Batch:
        columns = np.array(headers, np.int64)
        captured = columns[:, 0]
        number = np.arange(self._number, self._number + len(frames))
        self._number += len(frames)
        return Batch(
            data=np.frombuffer(b"".join([*frames, bytes(PAD)]), np.uint8),
            offset=np.cumsum(captured) - captured,
            captured=captured,
            wire=columns[:, 1],
            at=columns[:, 2] * 1_000_000_000 + columns[:, 3] * self._fraction,
            number=number,
            link=self.link,
        )

    def _lost(self) -> None:
        what = self._error()
        if "down" in what.lower():  # PCAP_ERROR alone does not tell it from the rest
            raise CaptureLost(f"{self._interface} went down; the capture goes on when it is up again")
        self._final = CaptureLost(f"{self._interface} is lost: {what}; open it again", final=True)
        raise self._final

    def _pointer(self) -> ctypes.c_void_p:
        return ctypes.c_void_p(self._handle)

    def _error(self) -> str:
        return _text(self._pcap.pcap_geterr(self._pointer()))


def load_library() -> ctypes.CDLL:
    """libpcap, or Npcap on Windows. Raises CaptureRefused where there is none."""
    """libpcap, or Npcap on Windows. Raises CaptureRefused where there is none."""
    if sys.platform == "win32":
        folder = os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "Npcap")
        if os.path.isdir(folder):
            os.add_dll_directory(folder)
    for name in NAMES.get(sys.platform, ()):
        try:
            return _declared(ctypes.CDLL(name))
        except OSError:
            continue
    if found := ctypes.util.find_library("pcap"):
        return _declared(ctypes.CDLL(found))
    remedy = REMEDY if sys.platform == "win32" else "install the package libpcap"
    raise CaptureRefused(f"there is no libpcap: {remedy}")


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    library.pcap_create.restype = ctypes.c_void_p
    library.pcap_geterr.restype = ctypes.c_char_p
    library.pcap_close.restype = None
    return library


def _both(counts: Counts) -> tuple[int, int]:
    return counts.received, counts.dropped


def _text(told: bytes) -> str:
    return told.decode("utf-8", "replace")
