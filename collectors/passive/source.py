"""Frames from capture files: pcap and pcapng, also compressed with gzip, also from a pipe; for any bytes.

What the formats are: draft-ietf-opsawg-pcap ("pcap") and draft-ietf-opsawg-pcapng ("pcapng"). In both, records lie one
behind the other and only a record says where the next one begins. Walking this chain in Python costs far more than
all else; so `_walk_lanes` guesses many places where records begin and walks on from all of them at once. A guess
is believed only where the chain before it ends on it exactly: the result is always that of `_walk_plainly`.

A capture may lie. What is read before the first lie is kept, and none of its lengths decides how much memory is taken.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from struct import Struct, pack, unpack_from
from typing import Any, BinaryIO, ClassVar, NamedTuple, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

Bytes: TypeAlias = NDArray[np.uint8]
Numbers: TypeAlias = NDArray[np.int64]

PAD = 256  # bytes that lie behind the last frame at least: a look at the head of any frame stays inside
MOST = 32_768  # frames of a batch
BLOCK = 4 << 20  # bytes of a capture that are in memory at once
LARGEST = 262_144  # bytes of a frame: MAXIMUM_SNAPLEN of libpcap, WTAP_MAX_PACKET_SIZE_STANDARD of Wireshark
INTERFACES = 65_536  # of a section: an obsolete Packet Block could name no more
PATIENCE = 0.25  # seconds after which what came through a slow pipe is handed on
LATEST = 2**63 - 1  # nanoseconds since 1970: the year 2262

LANE = 16_384  # bytes that are walked from one guess
REACH = 2_048  # bytes in which a guess is looked for
FEWEST = 16  # lanes that are worth the trouble


class NoCapture(Exception):
    """The file is no capture. The message names it and says what to do."""


class _Broken(Exception):
    """The capture cannot be followed any further; the message says why."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames that came together, all of one link type, in order. `data` is valid until the next batch is asked for."""

    data: Bytes  # the bytes they lie in; PAD bytes at least follow the last frame, zeros where the capture ends
    offset: Numbers  # where each frame begins in data
    captured: Numbers  # bytes of it that are there
    wire: Numbers  # bytes that it had on the wire, at least `captured`
    at: Numbers  # nanoseconds since 1970, UTC; 0 where the capture does not say (a Simple Packet Block)
    number: Numbers  # of the frame in the capture, from 1, as tshark counts frame.number
    link: int  # LINKTYPE_… (tcpdump.org/linktypes.html)


# ---- The bytes -----------------------------------------------------------------------------------------------------


class _Tape:
    """A stream that counts what was read of it, and can be told to give its first bytes once more."""

    def __init__(self, stream: io.RawIOBase | io.BufferedIOBase) -> None:
        self._stream = stream
        self._again = b""
        self.count = 0

    def readinto1(self, buffer: memoryview) -> int:
        """What one read gives; 0 at the end."""
        if self._again:
            size = min(len(self._again), len(buffer))
            buffer[:size], self._again = self._again[:size], self._again[size:]
            return size
        raw = isinstance(self._stream, io.RawIOBase)
        size = (self._stream.readinto(buffer) if raw else cast(io.BufferedIOBase, self._stream).readinto1(buffer)) or 0
        self.count += size
        return size

    def read(self, size: int = -1) -> bytes:
        """For gzip, which always says how much."""
        buffer = bytearray(size)
        return bytes(buffer[: self.readinto1(memoryview(buffer))])

    def begins(self, size: int) -> bytes:
        """The first bytes, which will be read again."""
        start = b""
        while len(start) < size and (more := self.read(size - len(start))):
            start += more
        self._again = start
        return start

    def close(self) -> None:
        self._stream.close()


class _Window:
    """The part of a capture that is in memory: `data[begin:end]` is yet to be looked at, and PAD zeros follow it."""

    def __init__(self, stream: _Tape | gzip.GzipFile) -> None:
        self._stream = stream
        self._buffer = np.zeros(BLOCK + PAD, np.uint8)
        self._base = 0  # where the buffer begins in the capture
        self.begin = self.end = 0
        self.failure = ""  # why no more can be read, if not because it is the end

    @property
    def data(self) -> Bytes:
        return self._buffer[: self.end + PAD]

    def place(self, at: int) -> int:
        """Where in the capture `data[at]` is."""
        return self._base + at

    def need(self, size: int) -> bool:
        """Whether `size` (at most BLOCK) bytes follow `begin`. Reads if not, and then all that fits."""
        if self.end - self.begin >= size:
            return True
        left = self.end - self.begin
        self._buffer[:left] = self._buffer[self.begin : self.end]
        self._base += self.begin
        self.begin, self.end = 0, left
        room, since = memoryview(self._buffer.data), time.monotonic()
        while self.end < BLOCK and not self.failure and (self.end < size or time.monotonic() - since < PATIENCE):
            try:
                got = self._stream.readinto1(room[self.end : BLOCK])
            except (OSError, EOFError, zlib.error) as error:  # a disk; gzip that is cut short; gzip that is broken
                self.failure = str(error)
                break
            if not got:
                break
            self.end += got
        self._buffer[self.end : self.end + PAD] = 0
        return self.end >= size

    def skip(self, size: int) -> None:
        """Go on `size` bytes, of which none are kept, or to the end."""
        while size > self.end - self.begin:
            size -= self.end - self.begin
            self.begin = self.end
            if not self.need(1):
                return
        self.begin += size


# ---- The chain of records ------------------------------------------------------------------------------------------


class _Chain(NamedTuple):
    """How a record says where the next one begins: the number at `field`, `least` if it is smaller, and `extra`."""

    order: str
    field: int
    least: int
    extra: int


_PLAIN = {order: Struct(order + "I") for order in "<>"}


def _everywhere(data: Bytes, what: str | np.dtype[Any], at: int = 0) -> NDArray[Any]:
    """`what` as it stands at every byte of `data`, from the byte `at`, aligned or not. Copies nothing."""
    kind = np.dtype(what)
    return np.ndarray((data.size - at - kind.itemsize + 1,), kind, data.data, at, (1,))


def _numbers(data: Bytes, offset: Numbers, order: str, count: int) -> NDArray[np.int64]:
    """The `count` numbers of 32 bits that stand at each offset: one row for all the first, one for all the second…"""
    found = _everywhere(data, f"V{4 * count}")[offset].view(order + "u4").reshape(offset.size, count)
    return np.ascontiguousarray(found.T, np.int64)


def _walk_plainly(data: Bytes, begin: int, until: int, chain: _Chain) -> tuple[Numbers, int]:
    """Where the records lie that begin in begin…until, and where the chain leads behind them.

    Checks nothing: a record that lies ends the walk or leads it astray, so whoever uses the records checks each,
    and all those behind the first bad one are none.
    """
    view, number, (_, field, least, extra) = memoryview(data.data), _PLAIN[chain.order].unpack_from, chain
    found, at = [], begin
    while at < until:
        found.append(at)
        at += max(number(view, at + field)[0], least) + extra
    return np.array(found, np.int64), at


def _guess(data: Bytes, begin: int, until: int, chain: _Chain, sign: tuple[int, bytes]) -> Numbers:
    """Where records probably begin, one in every LANE bytes: `sign` stands in three that follow one another.

    A sign is what many records have in common, and at which byte of them."""
    (where, wanted), last = sign, data.size - PAD
    lanes = np.arange(begin + LANE, until - REACH - PAD, LANE)
    rows = _everywhere(data, f"V{REACH + len(wanted)}", where)[lanes].view(np.uint8).reshape(lanes.size, -1)
    hit = rows[:, :REACH] == wanted[0]
    for index in range(1, len(wanted)):
        hit &= rows[:, index : index + REACH] == wanted[index]
    hits = np.flatnonzero(hit)
    if hits.size > lanes.size * REACH // 8:  # the sign says nothing: it is zeros, and so is the file
        return lanes[:0]
    lane, found = hits // REACH, lanes[hits // REACH] + hits % REACH
    length, signs = _everywhere(data, chain.order + "u4", chain.field), _everywhere(data, f"V{len(wanted)}", where)
    after, likely = found, np.ones(found.size, bool)
    for _ in range(2):
        after = np.minimum(after + np.maximum(length[after], chain.least) + chain.extra, last)
        likely &= signs[after] == np.void(wanted)
    _, first = np.unique(lane[likely], return_index=True)
    return cast(Numbers, found[likely][first])


def _walk_lanes(data: Bytes, begin: int, until: int, chain: _Chain, sign: tuple[int, bytes]) -> Numbers:
    """Where `_walk_plainly` says that records lie, in a quarter of the time if they are many."""
    if until - begin < FEWEST * LANE:
        return _walk_plainly(data, begin, until, chain)[0]
    starts = np.append(begin, _guess(data, begin, until, chain, sign))
    limits = np.minimum(np.append(starts[1:], until), starts + 2 * LANE)
    length, last, at = _everywhere(data, chain.order + "u4", chain.field), data.size - PAD, starts
    steps = [at]
    while (at < limits).any():
        for _ in range(8):  # a lane may well go on into the next: only what lies before its limit counts
            at = np.minimum(at + np.maximum(length[at], chain.least) + chain.extra, last)
            steps.append(at)
    table = np.array(steps).T.copy()  # a row for each lane
    counts = (table < limits[:, None]).sum(axis=1)
    ends = table[np.arange(starts.size), counts]

    pieces, here = [], begin
    for row, start, count, end in zip(table, starts.tolist(), counts.tolist(), ends.tolist(), strict=True):
        if here < start:  # the chain did not end on this guess
            piece, here = _walk_plainly(data, here, start, chain)
            pieces.append(piece)
        if here == start:
            pieces.append(row[:count])
            here = end
    piece, _ = _walk_plainly(data, here, until, chain)
    return np.concatenate([*pieces, piece])


# ---- The two formats -----------------------------------------------------------------------------------------------


class _Frames(NamedTuple):
    """What a Batch says, of frames of any link types."""

    offset: Numbers
    captured: Numbers
    wire: Numbers
    at: Numbers
    number: Numbers
    link: Numbers


class _Format(Protocol):
    damage: str  # what was wrong but could be passed over, if anything

    def whole(self, window: _Window) -> bool:
        """Whether a whole, sound record lies at `begin`; False at the end of what can be read. Raises _Broken."""

    def frames(self, window: _Window) -> _Frames:
        """The frames of the records from `begin` on, as far as they are whole and sound: at least that one. Goes on
        behind them."""


def _bad(sound: NDArray[np.bool_]) -> int:
    """The index of the first that is not sound, or how many there are."""
    return sound.size if sound.all() else int(np.argmin(sound))


class _Pcap:
    """pcap, section 4: a header of 24 bytes; records of 16 bytes (24 in Kuznetzov's form) and the packet."""

    MAGIC: ClassVar = {  # nanoseconds in a unit of the second field; bytes of a record's header
        0xA1B2C3D4: (1000, 16),
        0xA1B23C4D: (1, 16),
        0xA1B2CD34: (1000, 24),  # "modified": it has the interface, protocol and packet type as well
    }

    def __init__(self, window: _Window, order: str) -> None:
        magic, link = (unpack_from(order + "I", window.data.data, window.begin + at)[0] for at in (0, 20))
        self._unit, self._size = self.MAGIC[magic]
        self._link = link & 0xFFFF  # the bits above say whether and how long a frame check sequence is
        self._chain = _Chain(order, 8, 0, self._size)
        self._number = 0
        self.damage = ""
        window.begin += 24

    def whole(self, window: _Window) -> bool:
        if not window.need(self._size):
            return False
        (captured,) = unpack_from(self._chain.order + "I", window.data.data, window.begin + 8)
        if captured > LARGEST:
            raise _Broken(f"a packet of {captured} bytes (at most {LARGEST})")
        return window.need(self._size + captured)

    def frames(self, window: _Window) -> _Frames:
        data, begin = window.data, window.begin
        where = 2 if self._chain.order == "<" else 0  # the high half of the seconds lasts 18 hours
        sign = where, data[begin + where : begin + where + 2].tobytes()
        offset = _walk_lanes(data, begin, window.end, self._chain, sign)
        seconds, fraction, captured, wire = _numbers(data, offset, self._chain.order, 4)
        ends = offset + self._size + captured
        count = _bad((captured <= LARGEST) & (ends <= window.end))
        window.begin = int(ends[count - 1])
        frames = _Frames(
            offset + self._size,
            captured,
            np.maximum(wire, captured),
            seconds * 1_000_000_000 + fraction * self._unit,
            np.arange(self._number + 1, self._number + offset.size + 1),
            np.full(offset.size, self._link),
        )
        self._number += count
        return _Frames(*(column[:count] for column in frames))


def _nanoseconds(ticks: NDArray[np.uint64], resolution: int) -> NDArray[np.uint64]:
    """Ticks of a clock with that if_tsresol (pcapng, 4.2); at most LATEST."""
    power, second = resolution & 0x7F, np.uint64(1_000_000_000)
    if resolution & 0x80:  # "a negative power of 2"; 34 bits of a second are enough, and do not overflow
        ticks = ticks >> np.uint64(min(max(power - 34, 0), 63))
        power = min(power, 34)
        at: NDArray[np.uint64] = np.minimum(ticks >> np.uint64(power), np.uint64(LATEST // 1_000_000_000 - 1)) * second
        at += ((ticks & np.uint64((1 << power) - 1)) * second) >> np.uint64(power)
        return at
    if power <= 9:
        unit = 10 ** (9 - power)
        return np.minimum(ticks, np.uint64(LATEST // unit)) * np.uint64(unit)
    return cast(NDArray[np.uint64], ticks // np.uint64(10 ** min(power - 9, 19)))


def _times(ticks: NDArray[np.uint64], resolution: Numbers, late: Numbers) -> Numbers:
    """Nanoseconds since 1970, of clocks of any if_tsresol and if_tsoffset; what lies outside 1970…2262 is clipped."""
    at = np.zeros(ticks.size, np.uint64)
    for each in np.flatnonzero(np.bincount(resolution)).tolist():
        mine = resolution == each
        at[mine] = _nanoseconds(ticks[mine], each)
    at = np.minimum(at, (LATEST - np.maximum(late, 0)).astype(np.uint64))
    return cast(Numbers, np.maximum(at.astype(np.int64) + late, 0))


class _Interface(NamedTuple):
    """An Interface Description Block (pcapng, 4.2)."""

    link: int
    snaplen: int  # LARGEST if there is no limit
    resolution: int  # if_tsresol
    offset: int  # if_tsoffset, in nanoseconds

    @classmethod
    def of(cls, block: bytes, order: str) -> _Interface:
        (link, snaplen), at, end = unpack_from(order + "H2xI", block, 8), 16, len(block) - 4
        resolution, offset = 6, 0  # "If this option is not present, a resolution of 10^-6 is assumed"
        while at + 4 <= end:
            code, size = unpack_from(order + "HH", block, at)
            value = block[at + 4 : min(at + 4 + size, end)]
            if code == 0:
                break
            if code == 9 and len(value) == 1:
                resolution = value[0]
            if code == 14 and len(value) == 8:
                offset = min(max(unpack_from(order + "q", value)[0] * 1_000_000_000, -LATEST), LATEST)
            at += 4 + size + -size % 4
        return cls(link, min(snaplen or LARGEST, LARGEST), resolution, offset)


class _Pcapng:
    """pcapng: blocks, each with its length in front and again behind, in sections, each with its own byte order.

    A block whose two lengths agree but that is wrong inside is passed over. Where they do not agree, reading ends.
    """

    SECTION, INTERFACE, OBSOLETE, SIMPLE, ENHANCED = 0x0A0D0D0A, 1, 2, 3, 6
    # tshark numbers these as if they were frames: custom blocks, the journal of systemd, events of sysdig
    COUNTED = (0xBAD, 0x40000BAD, 9, 0x204, 0x216, 0x221)
    ORDER: ClassVar = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}  # of a section, by its byte-order magic
    CAUTION = 4_096  # bytes to walk after the byte order turned: a file that turns it often is no reason to wait

    def __init__(self, order: str) -> None:
        self._interfaces: list[_Interface] = []
        self._number = 0
        self.damage = ""
        self._order = order
        self._span = BLOCK  # bytes to walk at a time

    def whole(self, window: _Window) -> bool:
        while window.need(12):
            head = window.data[window.begin : window.begin + 12].tobytes()
            order = self.ORDER.get(head[8:], self._order)
            if head[:4] == b"\n\r\r\n" and order != self._order:  # the type of a section is the same both ways
                self._order, self._span = order, self.CAUTION
            kind, length = unpack_from(self._order + "II", head)
            if length < 12 or length % 4:  # "This value MUST be a multiple of 4"
                raise _Broken(f"a block of {length} bytes")
            if length <= BLOCK:
                return window.need(length)
            if kind in (self.SECTION, self.INTERFACE, self.OBSOLETE, self.SIMPLE, self.ENHANCED):
                raise _Broken(f"a block of type {kind} and {length} bytes")
            window.skip(length - 4)
            if not window.need(4) or unpack_from(self._order + "I", window.data.data, window.begin) != (length,):
                raise _Broken(f"a block of {length} bytes that does not end there")
            window.skip(4)
            self._number += kind in self.COUNTED
        return False

    def frames(self, window: _Window) -> _Frames:
        data, sign = window.data, (0, pack(self._order + "I", self.ENHANCED))
        until = min(window.end, window.begin + self._span)
        self._span = min(self._span * 2, BLOCK)
        offset = _walk_lanes(data, window.begin, until, _Chain(self._order, 4, 12, 0), sign)
        head = _numbers(data, offset, self._order, 7)
        kind, length = head[:2]
        ends = offset + length
        again = _everywhere(data, self._order + "u4")[np.clip(ends - 4, 0, window.end)]
        sound = (length >= 12) & (length % 4 == 0) & (again == length) & (ends <= window.end)
        count, first, known = self._describe(data, offset, kind, length, _bad(sound))
        if not count:
            raise _Broken(f"a block of type {kind[0]} and {length[0]} bytes, with {again[0]} behind it, that is none")
        window.begin = int(ends[count - 1])
        found = self._read(window, offset[:count], head[:, :count], first, known)
        self._interfaces = self._interfaces[int(first[-1]) :]
        return found

    def _describe(
        self, data: Bytes, offset: Numbers, kind: Numbers, length: Numbers, count: int
    ) -> tuple[int, Numbers, Numbers]:
        """Take in the sections and interfaces of `count` blocks: how many blocks are right; and for each of them, from
        where to where in `_interfaces` those of its section are, as far as they are described before it."""
        first, known, special = [0], [len(self._interfaces)], []
        kind = kind[:count]
        for index in np.flatnonzero((kind == self.SECTION) | (kind == self.INTERFACE)).tolist():
            block = data[offset[index] : offset[index] + length[index]].tobytes()
            if kind[index] == self.SECTION:
                # one in the other byte order is left to whole(), which turns to it; the major version is 1 (4.1)
                right = len(block) >= 28 and self.ORDER.get(block[8:12]) == self._order
                right = right and unpack_from(self._order + "H", block, 12) == (1,)
                first.append(len(self._interfaces))
            else:
                right = len(block) >= 20 and len(self._interfaces) - first[-1] < INTERFACES
                first.append(first[-1])
                if right:
                    self._interfaces.append(_Interface.of(block, self._order))
            if not right:
                count = index
                break
            special.append(index)
            known.append(len(self._interfaces))
        spans = np.diff([0, *special, count])
        return count, np.repeat(first[: spans.size], spans), np.repeat(known[: spans.size], spans)

    def _read(self, window: _Window, offset: Numbers, head: Numbers, first: Numbers, known: Numbers) -> _Frames:
        """The frames of whole blocks. A packet without its interface, or that does not fit its block, is damage."""
        counted = np.isin(head[0], self.COUNTED)
        here = np.flatnonzero((head[0] == self.ENHANCED) | (head[0] == self.SIMPLE) | (head[0] == self.OBSOLETE))
        offset, first, known = offset[here], first[here], known[here]
        kind, length, interface, high, low, captured, wire = head[:, here]
        start, room = np.full(here.size, 28), length - 32
        ticks = high.astype(np.uint64) << np.uint64(32) | low.astype(np.uint64)

        old = kind == self.OBSOLETE  # the interface has 16 bits, and a count of drops the other 16
        interface[old] = interface[old] >> 16 if self._order == ">" else interface[old] & 0xFFFF
        simple = kind == self.SIMPLE  # "Original Packet Length" and the packet; it came in by the first interface
        wire[simple], interface[simple], start[simple] = interface[simple], 0, 12
        room[simple] += 16

        interface += first
        there = (interface < known) & (room >= 0)
        interface[~there] = -1
        table = np.array([*self._interfaces, _Interface(0, 0, 6, 0)], np.int64)
        link, snaplen, resolution, late = (column[interface] for column in table.T)
        room = np.minimum(room, LARGEST)
        captured[simple] = np.minimum(np.minimum(wire, snaplen), room)[simple]
        right = there & (captured <= room)
        if not self.damage and not right.all():
            self.damage = f"byte {window.place(int(offset[_bad(right)]))}: a packet that contradicts its block"
        captured = np.minimum(captured, room)

        at = _times(ticks, resolution, late)
        at[simple] = 0
        counted[here[there]] = True
        number = (self._number + np.cumsum(counted))[here]
        self._number += int(counted.sum())
        frames = _Frames(offset + start, captured, np.maximum(wire, captured), at, number, link)
        return frames if there.all() else _Frames(*(column[there] for column in frames))


# ---- The capture ---------------------------------------------------------------------------------------------------

# What else people have, by its first bytes.
_COMPRESSED = {b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zX": "xz", b"BZh": "bzip2", b"\x04\x22\x4d\x18": "lz4", b"PK": "zip"}


def _format(window: _Window, name: str) -> _Format:
    window.need(28)
    start = window.data[window.begin : window.end][:28].tobytes()
    if not start:
        raise NoCapture(f"{name} cannot be read: {window.failure}" if window.failure else f"{name} is empty")
    for magic in _Pcap.MAGIC:
        for order in "<>":
            if start.startswith(pack(order + "I", magic)) and len(start) >= 24:
                return _Pcap(window, order)
    if start.startswith(b"\n\r\r\n") and len(start) == 28 and start[8:12] in _Pcapng.ORDER:
        return _Pcapng(_Pcapng.ORDER[start[8:12]])
    for magic_bytes, what in _COMPRESSED.items():
        if start.startswith(magic_bytes):
            raise NoCapture(f"{name} is compressed with {what}: decompress it first")
    if len(start) < 28:
        raise NoCapture(f"{name} ends after {len(start)} bytes, inside the header of a capture: get the whole file")
    raise NoCapture(
        f"{name} is no pcap or pcapng capture (it begins with {start[:4].hex(' ')}): "
        f"if it is another kind of capture, convert it: editcap -F pcapng {name} converted.pcapng"
    )


class Capture:
    """One reading of a capture, batch by batch. Raises NoCapture when made, and nothing for any bytes thereafter."""

    def __init__(
        self, stream: io.RawIOBase | io.BufferedIOBase, size: int | None = None, name: str = "the capture"
    ) -> None:
        self.size = size  # of the file, where it is known
        self.truncated = False  # cut short or broken: what could be read was. Known after the last batch
        self.why = ""  # what broke, and at which byte (of a compressed file: once it is decompressed)
        self.packets = 0
        self.bytes = 0  # that the packets had on the wire
        self._tape = _Tape(stream)
        packed = self._tape.begins(2) == b"\x1f\x8b"
        self._window = _Window(gzip.GzipFile(fileobj=cast(BinaryIO, self._tape), mode="rb") if packed else self._tape)
        self._format = _format(self._window, name)

    @property
    def read(self) -> int:
        """Bytes of the file that were read so far."""
        return self._tape.count

    def close(self) -> None:
        self._tape.close()

    def __iter__(self) -> Iterator[Batch]:
        window, why = self._window, ""
        try:
            while self._format.whole(window):
                yield from self._batches(self._format.frames(window))
            if window.failure or window.begin < window.end:
                why = window.failure or "the capture ends inside a record"
        except _Broken as broken:
            why = str(broken)
        finally:
            self.close()
        self.why = self._format.damage or (f"byte {window.place(window.begin)}: {why}" if why else "")
        self.truncated = bool(self.why)

    def _batches(self, frames: _Frames) -> Iterator[Batch]:
        cuts = [0, *(np.flatnonzero(np.diff(frames.link)) + 1).tolist(), frames.link.size]
        for begin, end in pairwise(cuts):
            for index in range(begin, end, MOST):
                part = _Frames(*(column[index : min(index + MOST, end)] for column in frames))
                self.packets += part.link.size
                self.bytes += int(part.wire.sum())
                yield Batch(self._window.data, *part[:5], int(part.link[0]))


def open_capture(path: str | Path) -> Capture:
    """A capture file; "-" is standard input. Raises NoCapture, and OSError if there is no such file."""
    if str(path) == "-":
        return Capture(open(0, "rb", buffering=0, closefd=False), None, "standard input")
    stream = open(path, "rb", buffering=0)  # noqa: SIM115 (the capture closes it)
    try:
        status = os.fstat(stream.fileno())
        return Capture(stream, status.st_size if stat.S_ISREG(status.st_mode) else None, str(path))
    except BaseException:
        stream.close()
        raise
