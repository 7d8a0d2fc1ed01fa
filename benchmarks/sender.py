"""Frames as fast as Python gets them out, towards a sensor that is measured: `python -m benchmarks.sender veth0`.

Through a ring that the kernel empties (AF_PACKET, PACKET_TX_RING): the frames lie in it from the start, a round marks
all of them, and one system call sends them. "Then all buffers with status equal to TP_STATUS_SEND_REQUEST are
forwarded to the network device" (Documentation/networking/packet_mmap.rst).

Only towards a loopback or veth interface. Where the other end of a veth leads is for whoever runs this to know: make
a pair of your own, in a network namespace of its own.
"""

from __future__ import annotations

import argparse
import array
import fcntl
import json
import mmap
import socket
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

SOL_PACKET, VERSION, TX_RING, QDISC_BYPASS = 263, 10, 13, 20  # linux/if_packet.h
TPACKET_V2 = 1
SEND_REQUEST, WRONG_FORMAT = 1, 4
HEADER_BYTES = 32  # struct tpacket2_hdr; the frame follows it: "frame base + TPACKET_ALIGN(sizeof(struct tpacket_hdr))"
STATUS, LENGTH = 0, 1  # in units of 4 bytes
SIOCETHTOOL, ETHTOOL_GDRVINFO = 0x8946, 3  # linux/sockios.h, linux/ethtool.h
SIOCGIFFLAGS, IFF_LOOPBACK = 0x8913, 8
SLOT_BYTES, SLOTS, BLOCK_BYTES = 2048, 4096, 1 << 16
LONGEST = 1514
BURST = 256  # frames between two looks at the clock, where a rate is asked for
PCAP = {b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">"}


class Sender:
    """The frames of a list, over and over. What is longer than Ethernet carries is cut."""

    def __init__(self, interface: str, frames: Iterable[bytes]) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        refuse_real(self._socket, interface)
        self._socket.setsockopt(SOL_PACKET, VERSION, TPACKET_V2)
        self._socket.setsockopt(SOL_PACKET, QDISC_BYPASS, 1)
        size = SLOTS * SLOT_BYTES
        request = struct.pack("4I", BLOCK_BYTES, size // BLOCK_BYTES, SLOT_BYTES, SLOTS)
        self._socket.setsockopt(SOL_PACKET, TX_RING, request)
        self._socket.bind((interface, 0))  # protocol 0: this socket receives nothing
        self._map = mmap.mmap(self._socket.fileno(), size)
        self._slots = np.frombuffer(self._map, np.uint8).reshape(SLOTS, SLOT_BYTES)
        self._words = self._slots.view(np.uint32)
        cut = [frame[:LONGEST] for frame in frames]
        self._frames = np.zeros((len(cut), SLOT_BYTES - HEADER_BYTES), np.uint8)
        self._lengths = np.array([len(frame) for frame in cut], np.uint32)
        for row, frame in zip(self._frames, cut, strict=True):
            row[: len(frame)] = np.frombuffer(frame, np.uint8)
        self._slot, self._frame = 0, 0  # the next of each
        self._loaded = np.full(SLOTS, -1)  # which frame lies in a slot

    def send(self, count: int, rate: float | None = None) -> float:
        """Send so many frames, at most `rate` a second, and say how many seconds it took."""
        begin = time.perf_counter()
        sent = 0
        while sent < count:
            some = min(count - sent, SLOTS - self._slot, BURST if rate else SLOTS)
            self._round(some)
            sent += some
            while rate and time.perf_counter() - begin < sent / rate:
                pass
        return time.perf_counter() - begin

    def close(self) -> None:
        del self._slots, self._words
        self._map.close()
        self._socket.close()

    def _round(self, count: int) -> None:
        slots = slice(self._slot, self._slot + count)
        wanted = (self._frame + np.arange(count)) % len(self._frames)
        if not np.array_equal(self._loaded[slots], wanted):
            self._slots[slots, HEADER_BYTES:] = self._frames[wanted]
            self._words[slots, LENGTH] = self._lengths[wanted]
            self._loaded[slots] = wanted
        self._words[slots, STATUS] = SEND_REQUEST
        self._socket.send(b"")  # returns when all of them are out
        if (self._words[slots, STATUS] & WRONG_FORMAT).any():
            raise ValueError("the kernel refuses a frame as malformed")
        self._slot = (self._slot + count) % SLOTS
        self._frame = (self._frame + count) % len(self._frames)


def refuse_real(packets: socket.socket, interface: str) -> None:
    """ValueError for an interface behind which a device could be."""
    name = struct.pack("16s", interface.encode())
    flags = struct.unpack_from("16xH", fcntl.ioctl(packets, SIOCGIFFLAGS, name + bytes(24)))[0]
    if flags & IFF_LOOPBACK:
        return
    told = array.array("B", struct.pack("I192x", ETHTOOL_GDRVINFO))
    with suppress(OSError):  # it has no driver to tell of
        fcntl.ioctl(packets, SIOCETHTOOL, name + struct.pack("P16x", told.buffer_info()[0]))
    driver = bytes(told[4:36]).rstrip(b"\0").decode()
    if driver != "veth":
        raise ValueError(f"{interface} is neither loopback nor veth (its driver is {driver or 'unknown'})")


def read_pcap(path: Path) -> Iterator[bytes]:
    """The frames of a pcap file (IETF draft-ietf-opsawg-pcap, 5)."""
    data = path.read_bytes()
    if data[:4] not in PCAP:
        raise ValueError(f"{path} is no pcap file")
    record = struct.Struct(PCAP[data[:4]] + "8xII")
    at = 24
    while at + 16 <= len(data):
        captured, _ = record.unpack_from(data, at)
        yield data[at + 16 : at + 16 + captured]
        at += 16 + captured


def plain_frames(size: int, count: int = SLOTS) -> list[bytes]:
    """UDP over IPv4 between documentation addresses (RFC 5737), each frame with another port and number."""
    frames = []
    for number in range(count):
        macs = bytes.fromhex("020000000001 020000000002")
        ip = struct.pack(">BBHHHBBH4B4B", 0x45, 0, size - 14, number, 0, 64, 17, 0, 192, 0, 2, 1, 192, 0, 2, 2)
        udp = struct.pack(">HHHHI", 1024 + number % 50_000, 9, size - 34, 0, number)
        frames.append((macs + b"\x08\x00" + ip + udp).ljust(size, b"\0"))
    return frames


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("interface", help="loopback or veth; any other is refused")
    parser.add_argument("--frames", type=int, default=1_000_000, help="how many (default: %(default)s)")
    parser.add_argument("--rate", type=float, help="frames a second, at most (default: what goes)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--pcap", type=Path, help="send what this file holds, over and over")
    what.add_argument("--size", type=int, default=128, help="bytes of a made-up frame, from 60 (default: %(default)s)")
    wanted = parser.parse_args()
    try:
        frames = list(read_pcap(wanted.pcap)) if wanted.pcap else plain_frames(wanted.size)
        sender = Sender(wanted.interface, frames)
    except (OSError, ValueError) as failure:
        print(failure, file=sys.stderr)
        return 2
    seconds = sender.send(wanted.frames, wanted.rate)
    sender.close()
    per_second = round(wanted.frames / seconds)
    print(json.dumps({"frames": wanted.frames, "seconds": round(seconds, 3), "per_second": per_second}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
