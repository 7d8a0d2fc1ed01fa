"""Frames from a Linux interface, through a ring that the kernel fills and we read in place: AF_PACKET, TPACKET_V3.

"PACKET_MMAP provides a size configurable circular buffer mapped in user space … reading packets just needs to wait for
them, most of the time there is no need to issue a single system call" (Documentation/networking/packet_mmap.rst). The
ring is made of blocks, a block of a chain of frames with a `struct tpacket3_hdr` before each (linux/if_packet.h).
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import select
import socket
import struct
import sys
from collections.abc import Iterator
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collectors.passive.live import (
    ETHERNET,
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

# linux/if_packet.h
SOL_PACKET = 263
ADD_MEMBERSHIP, RX_RING, STATISTICS, VERSION, IGNORE_OUTGOING = 1, 5, 6, 10, 23
TPACKET_V3 = 2
MR_PROMISC = 1
OUTGOING = 4  # sll_pkttype
STATUS_KERNEL, STATUS_VLAN_VALID, STATUS_VLAN_TPID_VALID = 0, 1 << 4, 1 << 6
ETH_P_ALL = 3  # linux/if_ether.h
SIOCGIFFLAGS, IFF_UP = 0x8913, 1  # linux/sockios.h, linux/if.h
LINKS = {1: ETHERNET, 772: ETHERNET, 65534: RAW_IP}  # ARPHRD_ETHER, _LOOPBACK, _NONE (linux/if_arp.h)

BLOCK_BYTES = 1 << 20
BLOCK_MS = 100  # after which a block is handed over that is not full
FRAME_BYTES = 2048  # checked and not used: a frame of TPACKET_V3 takes what it needs
TOGETHER = 8  # blocks in one batch, at most: the more come at once, the less each costs

HEADER = np.dtype(  # struct tpacket3_hdr
    [
        ("next", "u4"),
        ("sec", "u4"),
        ("nsec", "u4"),
        ("snaplen", "u4"),
        ("len", "u4"),
        ("status", "u4"),
        ("mac", "u2"),
        ("net", "u2"),
        ("rxhash", "u4"),
        ("tci", "u4"),
        ("tpid", "u2"),
        ("padding", "u2"),
    ]
)
# in units of 4 bytes
BLOCK_STATUS, BLOCK_FRAMES, BLOCK_FIRST, BLOCK_LENGTH = 2, 3, 4, 5  # struct tpacket_block_desc
MAC_AND_NET = HEADER.fields["mac"][1] // 4  # type: ignore[index]
PACKET_TYPE = 48 + 10  # bytes: struct sockaddr_ll stands behind the header, "pad to TPACKET_ALIGNMENT=16"
ADDRESSES, TAG = 12, 4  # bytes of an Ethernet frame before its VLAN tag, and the tag

Column = NDArray[Any]


class Ring:
    """A `Live` capture."""

    def __init__(
        self,
        interface: str,
        *,
        ring_bytes: int = RING_BYTES,
        block_bytes: int = BLOCK_BYTES,
        block_ms: int = BLOCK_MS,
        outgoing: bool = False,
    ) -> None:
        occupy_standard_descriptors()
        before = open_descriptors()
        self._interface = interface
        self._block_bytes = block_bytes
        self._blocks = max(2, ring_bytes // block_bytes)
        self._together = max(1, min(TOGETHER, self._blocks // 4))
        self._socket = _socket(interface)
        self._gone = False
        try:
            self._settle(block_ms, outgoing)
        except BaseException:
            self._socket.close()
            raise
        self.descriptors = open_descriptors() - before  # two: the mapping holds a duplicate of the socket
        self._data = np.frombuffer(self._map, np.uint8)
        self._words = self._data.view(np.uint32)
        self._status = self._words[BLOCK_STATUS :: block_bytes // 4]
        self._next, self._held = 0, 0  # the block to read next, and how many before it are ours
        self._number = 1
        self._statistics = Statistics(0, 0, 0)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN | select.POLLERR)

    def _settle(self, block_ms: int, outgoing: bool) -> None:
        """The options, in an order that lets no frame of another interface in: the socket has no protocol until the
        ring is there. "If protocol is set to zero, no packets are received. bind(2) can optionally be called with a
        nonzero sll_protocol to start receiving packets" (packet(7))."""
        index = self._index()
        self._socket.setsockopt(SOL_PACKET, VERSION, TPACKET_V3)
        size = self._blocks * self._block_bytes
        request = (self._block_bytes, self._blocks, FRAME_BYTES, size // FRAME_BYTES, block_ms, 0, 0)
        try:
            self._socket.setsockopt(SOL_PACKET, RX_RING, struct.pack("7I", *request))
            self._map = mmap.mmap(self._socket.fileno(), size)
        except OSError as failure:
            raise CaptureRefused(
                f"no ring of {size >> 20} MiB for {self._interface}: {failure.strerror}; ask for a smaller one"
            ) from None
        self._filter_outgoing = not outgoing and not self._ignore_outgoing()
        promiscuous = struct.pack("iHH8x", index, MR_PROMISC, 0)
        self._socket.setsockopt(SOL_PACKET, ADD_MEMBERSHIP, promiscuous)
        self._socket.bind((self._interface, ETH_P_ALL))
        kind = self._socket.getsockname()[3]
        if kind not in LINKS:
            raise CaptureRefused(f"{self._interface} is no Ethernet (its hardware type is {kind}); name one that is")
        self.link = LINKS[kind]
        if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ENETDOWN:
            raise CaptureLost(f"{self._interface} is down; `ip link set {self._interface} up` brings it up")

    def _index(self) -> int:
        try:
            return socket.if_nametoindex(self._interface)
        except OSError:
            there = ", ".join(name for _, name in socket.if_nameindex())
            raise CaptureRefused(f"there is no interface {self._interface}; there are {there}") from None

    def _ignore_outgoing(self) -> bool:
        try:
            self._socket.setsockopt(SOL_PACKET, IGNORE_OUTGOING, 1)
        except OSError:  # before Linux 4.20
            return False
        return True

    def batches(self, timeout: float = WAIT) -> Iterator[Batch | None]:
        """The frames, without end; None when none came for `timeout` seconds. Raises CaptureLost."""
        while True:
            self._status[self._next - self._held : self._next] = STATUS_KERNEL  # "once the packet is read"
            self._held = 0
            self._next %= self._blocks
            if ready := self._ready():
                self._next += ready
                self._held = ready
                batch = self._read(self._next - ready, ready)
                yield batch if len(batch.offset) else None
            elif not self._wait(timeout):
                yield None

    def statistics(self) -> Statistics:
        """ "Receiving statistics resets the internal counters" (packet(7)): so they are added up here. What the kernel
        calls tp_packets includes those that it dropped."""
        fresh = self._socket.getsockopt(SOL_PACKET, STATISTICS, 12)
        packets, drops, freezes = struct.unpack("3I", fresh)
        received, dropped, frozen = self._statistics
        self._statistics = Statistics(received + packets - drops, dropped + drops, frozen + freezes)
        return self._statistics

    def close(self) -> None:
        if self._socket.fileno() < 0:
            return
        self._socket.close()
        self._gone = True
        del self._data, self._words, self._status
        try:
            self._map.close()
        except BufferError:  # a batch is still held: it goes with the last one
            del self._map

    def _ready(self) -> int:
        """How many blocks are ours from here to the end of the ring, up to as many as one batch takes."""
        theirs = np.flatnonzero(self._status[self._next : self._next + self._together] == STATUS_KERNEL)
        return int(theirs[0]) if len(theirs) else min(self._together, self._blocks - self._next)

    def _wait(self, timeout: float) -> bool:
        """Whether to look again. "It doesn't incur in a race condition to first check the status value and then poll
        for frames" (packet_mmap.rst)."""
        if self._gone:
            raise CaptureLost(f"{self._interface} is gone; open it again when it is back", final=True)
        for _, event in self._poll.poll(timeout * 1000):
            if event & ~select.POLLIN:
                self._lost()
            return True
        return False

    def _lost(self) -> None:
        failure = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # and forgotten by the kernel
        if failure not in (0, errno.ENETDOWN):
            raise CaptureLost(f"{self._interface} fails: {os.strerror(failure)}")
        try:
            flags = fcntl.ioctl(self._socket, SIOCGIFFLAGS, struct.pack("16s24x", self._interface.encode()))
        except OSError:
            self._gone = True
            raise CaptureLost(f"{self._interface} is gone; open it again when it is back", final=True) from None
        if not struct.unpack_from("16xH", flags)[0] & IFF_UP:
            raise CaptureLost(f"{self._interface} went down; the capture goes on when it is up again")

    def _read(self, block: int, blocks: int) -> Batch:
        begin = block * self._block_bytes
        at = np.concatenate([self._frames((block + each) * self._block_bytes) for each in range(blocks)])
        rows = _rows(self._data, at, HEADER)
        if self._filter_outgoing:
            coming = self._data[at + PACKET_TYPE] != OUTGOING
            at, rows = at[coming], rows[coming]
        offset = at + rows["mac"]
        captured, wire = rows["snaplen"].astype(np.int64), rows["len"].astype(np.int64)
        tagged = np.flatnonzero(rows["status"] & STATUS_VLAN_VALID)
        if len(tagged):
            _put_tags_back(self._data, offset[tagged], rows[tagged])
            offset[tagged] -= TAG
            captured[tagged] += TAG
            wire[tagged] += TAG
        number = np.arange(self._number, self._number + len(at))
        self._number += len(at)
        return Batch(
            data=self._view(begin, int(offset[-1] + captured[-1]) if len(at) else begin),
            offset=offset - begin,
            captured=captured,
            wire=wire,
            at=rows["sec"].astype(np.int64) * 1_000_000_000 + rows["nsec"],
            number=number,
            link=self.link,
        )

    def _frames(self, block: int) -> Column:
        """Where the header of each frame in a block begins.

        A header begins at a multiple of 8, and as one interface is like itself, tp_mac and tp_net are the same in all
        of them: so take every place where these two stand. If these places are a chain by their tp_next_offset, and as
        many as the kernel says, then it is the chain; if not (a frame holds the same bytes by chance or by malice, or
        link headers differ), follow it link by link.
        """
        words, here = self._words, block // 4
        count, first, length = (int(words[here + field]) for field in (BLOCK_FRAMES, BLOCK_FIRST, BLOCK_LENGTH))
        if not count:
            return np.zeros(0, np.int64)
        marks = words[(block + first) // 4 + MAC_AND_NET : (block + length) // 4 : 2]
        at = np.flatnonzero(marks == marks[0]) * 8 + (block + first)
        if len(at) == count and np.array_equal(at[:-1] + words[at[:-1] // 4], at[1:]):
            return at
        place = block + first
        steps = [place]
        follow = words.data
        steps += [place := place + follow[place // 4] for _ in repeat(None, count - 1)]
        return np.array(steps, np.int64)

    def _view(self, begin: int, end: int) -> NDArray[np.uint8]:
        view = self._data[begin : end + PAD]
        short = end + PAD - begin - len(view)  # at the end of the mapping
        return np.concatenate([view, np.zeros(short, np.uint8)]) if short > 0 else view


def _socket(interface: str) -> socket.socket:
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except PermissionError:
        raise CaptureRefused(
            f"capturing at {interface} takes the capability CAP_NET_RAW: have systemd start the sensor (`systemctl "
            f"enable --now asbuilt-sensor@{interface}.socket`), or start this as root, or once `sudo setcap "
            f"cap_net_raw+ep {os.path.realpath(sys.executable)}`"
        ) from None
    except OSError as failure:
        raise CaptureRefused(
            f"there are no packet sockets here: {failure.strerror}; under asbuilt.service, systemd starts the sensor: "
            f"`systemctl enable --now asbuilt-sensor@{interface}.socket`"
        ) from None


def _rows(data: NDArray[np.uint8], at: Column, kind: np.dtype[Any]) -> Column:
    """What stands at each place, as it is there."""
    whole = np.ndarray((len(data) - kind.itemsize + 1,), f"V{kind.itemsize}", data.data, strides=(1,))
    return whole[at].view(kind)


def _put_tags_back(data: NDArray[np.uint8], offset: Column, rows: Column) -> None:
    """The kernel takes the outermost VLAN tag out of a frame and notes it beside: "tp_vlan_tci field has valid VLAN TCI
    value" (packet_mmap.rst). Here the addresses move four bytes to the front, over the gap that the kernel leaves
    before a frame, and the tag is put behind them."""
    addresses = np.ndarray((len(data) - ADDRESSES + 1,), f"V{ADDRESSES}", data.data, strides=(1,))
    addresses[offset - TAG] = addresses[offset]
    told = (rows["status"] & STATUS_VLAN_TPID_VALID) != 0
    tags = np.empty((len(offset), 2), ">u2")
    tags[:, 0] = np.where(told, rows["tpid"], 0x8100)
    tags[:, 1] = rows["tci"]
    place = np.ndarray((len(data) - TAG + 1,), f"V{TAG}", data.data, strides=(1,))
    place[offset - TAG + ADDRESSES] = tags.view(f"V{TAG}")[:, 0]
