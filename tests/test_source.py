"""Captures: every format by hand, cut at every byte, with any bytes changed; real ones as tshark reads them."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import random
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from struct import pack, pack_into, unpack_from
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.passive import source
from collectors.passive.source import BLOCK, LARGEST, LATEST, MOST, PAD, Batch, Capture, NoCapture, open_capture
from tests.frames import PCAPS
from tests.measured import times

REAL = list(csv.DictReader((PCAPS / "SOURCES.tsv").open(), delimiter="\t")) if (PCAPS / "SOURCES.tsv").exists() else []
# tshark and capinfos count 154 in it, not what the list says
MISCOUNTED = {"icsnpp-opcua-binary/open62541_client-server_mainloop.pcap": 154}
needs_pcaps = pytest.mark.skipif(not REAL, reason=f"no real captures in {PCAPS} (ASBUILT_PCAPS names another folder)")
needs_tshark = pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
needs_editcap = pytest.mark.skipif(not shutil.which("editcap"), reason="editcap is not installed")

ONE, TWO = bytes(range(61)), bytes(range(200, 242))  # two packets; neither length is a multiple of 4
AT = 1_700_000_000_123_456_000


class Frame(NamedTuple):
    number: int
    at: int
    wire: int
    captured: bytes
    link: int


class Drip(io.RawIOBase):
    """A pipe that gives a few bytes at a time."""

    def __init__(self, content: bytes, most: int) -> None:
        self._content, self._most = io.BytesIO(content), most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._content.readinto(buffer[: self._most])


def checked(capture: Capture) -> Iterator[Batch]:
    """The batches of a capture, each as Batch promises."""
    for batch in capture:
        columns = (batch.offset, batch.captured, batch.wire, batch.at, batch.number)
        assert {(column.size, column.dtype) for column in columns} == {(batch.offset.size, np.dtype(np.int64))}
        assert 1 <= batch.offset.size <= MOST
        assert batch.offset.min() >= 0
        assert 0 <= batch.captured.min() <= batch.captured.max() <= LARGEST
        assert (batch.captured <= batch.wire).all()
        assert batch.at.min() >= 0
        assert int((batch.offset + batch.captured).max()) + PAD <= batch.data.size <= BLOCK + PAD
        yield batch


def read(capture: Capture | bytes) -> list[Frame]:
    capture = capture if isinstance(capture, Capture) else Capture(io.BytesIO(capture))
    frames = []
    for batch in checked(capture):
        for offset, size, wire, at, number in zip(
            batch.offset.tolist(),
            batch.captured.tolist(),
            batch.wire.tolist(),
            batch.at.tolist(),
            batch.number.tolist(),
            strict=True,
        ):
            frames.append(Frame(number, at, wire, batch.data[offset : offset + size].tobytes(), batch.link))
    assert capture.packets == len(frames)
    assert capture.bytes == sum(frame.wire for frame in frames)
    assert capture.truncated == bool(capture.why)
    return frames


# ---- Captures by hand


def record(packet: bytes, at: int = AT, order: str = "<", magic: int = 0xA1B2C3D4, wire: int | None = None) -> bytes:
    unit = 1 if magic == 0xA1B23C4D else 1000
    wire = len(packet) if wire is None else wire
    head = pack(order + "IIII", at // 10**9, at % 10**9 // unit, len(packet), wire)
    return head + (b"\7" * 8 if magic == 0xA1B2CD34 else b"") + packet


def header(order: str = "<", magic: int = 0xA1B2C3D4, link: int = 1) -> bytes:
    return pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)


def pcap(order: str = "<", magic: int = 0xA1B2C3D4) -> bytes:
    packets = (record(ONE, AT, order, magic), record(TWO, AT + 1000, order, magic, 1500))
    return header(order, magic) + b"".join(packets)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += b"\0" * (-len(body) % 4)
    return pack(order + "II", kind, 12 + len(body)) + body + pack(order + "I", 12 + len(body))


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return pack(order + "HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


def section(order: str = "<", version: int = 1) -> bytes:
    body = pack(order + "IHHq", 0x1A2B3C4D, version, 0, -1)
    return block(0x0A0D0D0A, body + option(4, b"a test", order) + option(0, b"", order), order)


def interface(order: str = "<", link: int = 1, snaplen: int = 0, options: bytes = b"") -> bytes:
    return block(1, pack(order + "HHI", link, 0, snaplen) + options, order)


def enhanced(
    packet: bytes, ticks: int = AT // 1000, order: str = "<", via: int = 0, wire: int = 0, options: bytes = b""
) -> bytes:
    numbers = (via, ticks >> 32, ticks & 0xFFFFFFFF, len(packet), wire or len(packet))
    return block(6, pack(order + "IIIII", *numbers) + packet + b"\0" * (-len(packet) % 4) + options, order)


def simple(packet: bytes, order: str = "<", wire: int = 0) -> bytes:
    return block(3, pack(order + "I", wire or len(packet)) + packet, order)


def obsolete(packet: bytes, ticks: int = AT // 1000, order: str = "<", via: int = 0) -> bytes:
    numbers = (via, 9, ticks >> 32, ticks & 0xFFFFFFFF, len(packet), len(packet))
    return block(2, pack(order + "HHIIII", *numbers) + packet, order)


def pcapng(order: str = "<") -> bytes:
    comment = option(1, b"a comment", order) + option(0, b"", order)
    return b"".join(
        [
            section(order),
            interface(order, options=option(2, b"eth0", order) + option(9, b"\6", order) + option(0, b"", order)),
            block(4, b"\0" * 8, order),  # Name Resolution
            enhanced(ONE, order=order, options=comment),
            block(10, b"\0" * 16, order),  # Decryption Secrets
            block(0x77, b"of tomorrow", order),
            enhanced(TWO, AT // 1000 + 1, order, wire=1500),
            block(5, b"\0" * 12, order),  # Interface Statistics
        ]
    )


BOTH = [Frame(1, AT, 61, ONE, 1), Frame(2, AT + 1000, 1500, TWO, 1)]
FORMATS = {
    f"{name} {order}": (content, BOTH)
    for order in "<>"
    for name, content in {
        "pcap": pcap(order),
        "pcap, nanoseconds": pcap(order, 0xA1B23C4D),
        "pcap, modified": pcap(order, 0xA1B2CD34),
        "pcapng": pcapng(order),
    }.items()
}
FORMATS |= {
    f"pcapng, {name} {order}": (section(order) + interface(order) + content, frames)
    for order in "<>"
    for name, content, frames in [
        ("simple", simple(ONE, order) + enhanced(TWO, 1, order), [Frame(1, 0, 61, ONE, 1), Frame(2, 1000, 42, TWO, 1)]),
        ("obsolete", obsolete(ONE, AT // 1000, order), [Frame(1, AT, 61, ONE, 1)]),
        (
            "two interfaces",  # the second is described when the first was heard already
            enhanced(ONE, order=order) + interface(order, link=113) + obsolete(TWO, 7, order, 1) + simple(ONE, order),
            [Frame(1, AT, 61, ONE, 1), Frame(2, 7000, 42, TWO, 113), Frame(3, 0, 61, ONE, 1)],
        ),
        (
            "what tshark numbers too",
            block(0xBAD, pack(order + "I", 32473), order) + enhanced(ONE, order=order),
            [Frame(2, AT, 61, ONE, 1)],
        ),
        (
            "sections",
            b"".join(
                section(each) + interface(each, link) + enhanced(ONE, order=each) + simple(TWO, each)
                for each, link in (("<", 101), (">", 1), (">", 105), ("<", 1))
            ),
            [
                Frame(2 * index + part + 1, 0 if part else AT, len(packet), packet, link)
                for index, link in enumerate((101, 1, 105, 1))
                for part, packet in enumerate((ONE, TWO))
            ],
        ),
    ]
}


@pytest.mark.parametrize(("content", "frames"), FORMATS.values(), ids=FORMATS)
def test_a_format(content: bytes, frames: list[Frame]) -> None:
    capture = Capture(io.BytesIO(content))
    assert read(capture) == frames
    assert not capture.truncated
    assert capture.read == len(content)
    assert read(Capture(Drip(content, 1))) == frames
    assert read(gzip.compress(content)) == frames


@pytest.mark.parametrize(("content", "frames"), FORMATS.values(), ids=FORMATS)
def test_a_format_as_tshark_reads_it(content: bytes, frames: list[Frame], tmp_path: Path) -> None:
    if not shutil.which("tshark"):
        pytest.skip("tshark is not installed")
    (tmp_path / "capture").write_bytes(content)
    theirs = [line for line in tshark(tmp_path / "capture") if line[0] in {frame.number for frame in frames}]
    assert theirs == [(frame.number, frame.at, frame.wire, len(frame.captured)) for frame in frames]


@pytest.mark.parametrize(("content", "frames"), FORMATS.values(), ids=FORMATS)
def test_cut_at_every_byte(content: bytes, frames: list[Frame]) -> None:
    before: list[Frame] = []
    for size in range(len(content)):
        try:
            capture = Capture(io.BytesIO(content[:size]))
        except NoCapture:
            assert size < 28
            continue
        found = read(capture)
        assert found == frames[: len(found)]
        assert len(before) <= len(found) <= len(before) + 1
        before = found
        if size not in boundaries(content):
            assert capture.truncated
            assert capture.why.startswith("byte ")
            assert int(capture.why.split()[1][:-1]) <= size
        else:
            assert not capture.truncated, size
    assert len(before) >= len(frames) - 1


def boundaries(content: bytes) -> list[int]:
    """Where records of a sound capture end."""
    found, order = [], "<"
    if content[:4] == b"\n\r\r\n":
        at = 0
        while at < len(content):
            if content[at : at + 4] == b"\n\r\r\n":
                order = "<" if content[at + 8] == 0x4D else ">"
            at += unpack_from(order + "I", content, at + 4)[0]
            found.append(at)
        return found
    order = "<" if content[0] in b"\xd4\x4d\x34" else ">"
    size, at = 24 if 0xCD in content[:4] else 16, 24
    while at <= len(content):
        found.append(at)
        at += size + (unpack_from(order + "I", content, at + 8)[0] if at < len(content) else 0)
    return found


# ---- What lies


HEAD = section() + interface()
FIRST = HEAD + enhanced(ONE)
LIES = {  # the bytes, the packets that are read, what is said
    "pcap: a packet larger than any": (header() + record(ONE) + pack("<IIII", 1, 1, LARGEST + 1, 1) + ONE, 1, "262145"),
    "pcap: gigantic": (header() + record(ONE) + pack("<IIII", 1, 1, 2**32 - 1, 1) + ONE * 9000, 1, "4294967295"),
    "pcap: longer than what is left": (header() + record(ONE) + pack("<IIII", 1, 1, 100, 100) + ONE, 1, "ends inside"),
    "no room for its own lengths": (FIRST + pack("<III", 6, 8, 8), 1, "block of 8 bytes"),
    "no length": (FIRST + pack("<III", 6, 0, 0) + enhanced(ONE), 1, "block of 0 bytes"),
    "no multiple of 4": (FIRST + pack("<II5sI", 6, 17, b"", 17) + enhanced(ONE), 1, "block of 17 bytes"),
    "two lengths": (FIRST + pack("<II8sI", 77, 20, b"", 24) + enhanced(ONE), 1, "20 bytes, with 24 behind"),
    "a gigantic packet": (FIRST + pack("<II", 6, 2**32 - 4) + enhanced(ONE) * 9, 1, "4294967292"),
    "a gigantic unknown": (FIRST + pack("<II", 77, 2**32 - 4) + enhanced(ONE) * 9, 1, "4294967292"),
    "a packet longer than its block": (
        FIRST + block(6, pack("<IIIII", 0, 0, 0, 99, 99) + ONE) + FIRST,
        3,
        "byte 160: a pa",
    ),
    "a block too small for a packet": (FIRST + block(6, b"") + enhanced(ONE), 2, "byte 160: a packet"),
    "an interface that nobody described": (FIRST + enhanced(ONE, via=1) + enhanced(ONE), 2, "byte 160: a packet"),
    "an interface described later": (HEAD + enhanced(ONE, via=1) + interface() + enhanced(ONE, via=1), 1, "byte 64: a"),
    "an interface of the section before": (HEAD + section() + enhanced(ONE), 0, "byte 108: a packet"),
    "an interface too small to be one": (FIRST + block(1, b"") + enhanced(ONE), 1, "block of type 1 and 12"),
    "an unknown version": (FIRST + section(version=2) + interface() + enhanced(ONE), 1, "block of type 168627466"),
    "no byte order": (FIRST + block(0x0A0D0D0A, b"\0" * 16) + enhanced(ONE), 1, "block of type 168627466"),
    "a section too small to be one": (FIRST + block(0x0A0D0D0A, b"\x4d\x3c\x2b\x1a\1\0\0\0"), 1, "and 20 bytes"),
    "zeros": (FIRST + b"\0" * 5000, 1, "block of 0 bytes"),
    "options that lie": (HEAD + interface(options=pack("<HHI", 9, 60000, 7)) + enhanced(ONE, via=1), 1, ""),
    "a clock of no size": (section() + interface(options=option(9, b"") + option(14, b"\1")) + enhanced(ONE), 1, ""),
}


@pytest.mark.parametrize(("content", "count", "why"), LIES.values(), ids=LIES)
def test_what_comes_before_a_lie_is_kept(content: bytes, count: int, why: str) -> None:
    for stream in (io.BytesIO(content), Drip(content, 7)):
        capture = Capture(stream)
        assert len(read(capture)) == count
        assert why in capture.why
        assert capture.truncated == bool(why)


def test_a_packet_longer_than_its_block_is_what_the_block_holds() -> None:
    capture = Capture(io.BytesIO(HEAD + block(6, pack("<IIIII", 0, 0, 0, 99, 120) + ONE) + enhanced(TWO)))
    assert [(frame.captured, frame.wire) for frame in read(capture)] == [(ONE + b"\0" * 3, 120), (TWO, 42)]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b"\x1f\x8b\x08 and no gzip" * 9, "cannot be read"),
        (header()[:20], "ends after 20 bytes"),
        (gzip.compress(section()[:20], mtime=0), "ends after 20 bytes"),
        (b"\x7fELF" + b"\0" * 60, "begins with 7f 45 4c 46"),
        (b"\x28\xb5\x2f\xfd" + b"\0" * 60, "zstd: decompress it"),
        (b"\n\r\r\n" + b"\0" * 60, "no pcap or pcapng"),
    ],
)
def test_no_capture(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "some.pcap").write_bytes(content)
    with pytest.raises(NoCapture, match=says) as error:
        open_capture(tmp_path / "some.pcap")
    assert "some.pcap" in str(error.value)


@pytest.mark.parametrize("content", [header(), section(), HEAD, gzip.compress(header(">"), mtime=0)])
def test_a_header_alone_is_a_capture_of_nothing(content: bytes) -> None:
    capture = Capture(io.BytesIO(content))
    assert read(capture) == []
    assert not capture.truncated


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        open_capture("/nowhere/some.pcap")


EDITS = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=12)


@settings(max_examples=times(200, 600))
@given(
    name=st.sampled_from(list(FORMATS)),
    edits=EDITS,
    cut=st.integers(0, 60),
    more=st.binary(max_size=40),
    packed=st.booleans(),
)
def test_any_bytes_are_read_or_no_capture(
    name: str, edits: list[tuple[int, int]], cut: int, more: bytes, packed: bool
) -> None:
    content = bytearray(gzip.compress(FORMATS[name][0], 1) if packed else FORMATS[name][0])
    for at, byte in edits:
        content[at % len(content)] = byte
    began = time.thread_time()
    with contextlib.suppress(NoCapture):
        read(bytes(content[: len(content) - cut]) + more)
    assert time.thread_time() - began < 0.1


@pytest.mark.parametrize("name", ["a gigantic packet", "a gigantic unknown", "pcap: gigantic"])
def test_a_length_that_lies_takes_no_memory(name: str) -> None:
    tracemalloc.start()
    try:
        read(LIES[name][0])
        assert tracemalloc.get_traced_memory()[1] < 2 * BLOCK
    finally:
        tracemalloc.stop()


class Endless(io.RawIOBase):
    """A start, then the same over and over: so many bytes in all."""

    def __init__(self, start: bytes, again: bytes, size: int) -> None:
        self._start, self._again, self._size, self._at = start, again * (1 << 20), size, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        part = (self._start or self._again)[: min(len(buffer), self._size - self._at)]
        self._start = self._start[len(part) :]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


@pytest.mark.parametrize("kind", [10, 0xBAD])
def test_a_block_larger_than_memory_is_passed_over(kind: int) -> None:
    size = 80 << 20
    tracemalloc.start()
    try:
        lies = Capture(Endless(FIRST + pack("<II", kind, size), b"\0", size))
        assert len(read(lies)) == 1
        assert "does not end there" in lies.why
        assert tracemalloc.get_traced_memory()[1] < 3 * BLOCK
    finally:
        tracemalloc.stop()
    large = pack("<II", kind, 5 << 20) + bytes((5 << 20) - 12) + pack("<I", 5 << 20)
    capture = Capture(io.BytesIO(FIRST + large + enhanced(TWO)))
    assert [frame.number for frame in read(capture)] == [1, 2 if kind == 10 else 3]
    assert not capture.truncated
    cut = Capture(io.BytesIO((FIRST + large)[:-1]))
    assert len(read(cut)) == 1
    assert cut.truncated


# ---- Times, sizes, numbers


CLOCKS = st.one_of(st.none(), st.integers(0, 255))


@settings(max_examples=times(100, 300))
@given(
    ticks=st.integers(0, 2**64 - 1),
    resolution=CLOCKS,
    late=st.one_of(st.integers(-4, 4), st.integers(-(2**63), 2**63 - 1)),
)
def test_every_clock(ticks: int, resolution: int | None, late: int) -> None:
    options = option(14, pack("<q", late)) + (b"" if resolution is None else option(9, bytes([resolution])))
    (frame,) = read(section() + interface(options=options + option(0, b"")) + enhanced(ONE, ticks))
    unit = 10**6 if resolution is None else (2 if resolution & 0x80 else 10) ** (resolution & 0x7F)
    since = ticks * 10**9 // unit
    exact = min(max(0, min(since, LATEST) + late * 10**9), LATEST)
    assert abs(frame.at - exact) <= (1 if since < LATEST - 2 * 10**9 else 2 * 10**9)


def test_times_out_of_order_and_absurd() -> None:
    times = [(5, 0), (2**32 - 1, 2**32 - 1), (0, 0), (4, 1_500_000)]
    found = read(header() + b"".join(pack("<IIII", *each, 0, 0) for each in times))
    assert [frame.at for frame in found] == [seconds * 10**9 + micro * 1000 for seconds, micro in times]
    assert [frame.captured for frame in found] == [b""] * 4


def test_the_length_on_the_wire_is_never_less_than_what_was_captured() -> None:
    found = read(header() + record(ONE, wire=10) + record(ONE[:20], wire=61))
    assert [(len(frame.captured), frame.wire) for frame in found] == [(61, 61), (20, 61)]


def test_a_simple_packet_is_cut_to_the_snap_length() -> None:
    (frame,) = read(section() + interface(snaplen=20) + simple(ONE[:20], wire=61))
    assert (frame.captured, frame.wire) == (ONE[:20], 61)


@pytest.mark.parametrize("size", [65_536, 200_001, LARGEST])
def test_large_frames(size: int) -> None:
    packet = bytes(size % 251 for size in range(size))
    for content in (header() + record(packet) * 30, HEAD + enhanced(packet) * 30):
        assert [frame.captured for frame in read(content)] == [packet] * 30


def test_a_link_type_has_16_bits() -> None:
    assert read(header(link=0x24000001) + record(ONE))[0].link == 1  # with a frame check sequence of 4 bytes


@pytest.mark.parametrize("content", [header() + record(b"") * 400_000, HEAD + enhanced(b"") * 200_000])
def test_a_batch_is_bounded(content: bytes) -> None:
    capture = Capture(io.BytesIO(content))
    numbers = [batch.number.copy() for batch in checked(capture)]
    assert np.concatenate(numbers).tolist() == list(range(1, capture.packets + 1))
    assert capture.packets in (400_000, 200_000)


def test_many_sections_and_interfaces_take_no_time() -> None:
    turning = b"".join(section(order) + interface(order) + enhanced(ONE, order=order) for order in "<>")
    for content, frames in ((turning * 100, 200), (FIRST * 5000, 5000), (HEAD + interface() * 60_000, 0)):
        began = time.thread_time()
        assert len(read(content)) == frames
        assert time.thread_time() - began < 2


def test_more_interfaces_than_there_can_be() -> None:
    capture = Capture(io.BytesIO(FIRST + interface() * 65_536 + enhanced(ONE)))
    assert len(read(capture)) == 1
    assert capture.truncated


# ---- From a pipe, from gzip


def test_what_came_through_a_slow_pipe_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "PATIENCE", 0.0)
    packets = [record(ONE), record(TWO), record(ONE)]
    capture = Capture(Drip(header() + b"".join(packets), 24 + len(packets[0])))
    batches = [batch.offset.size for batch in checked(capture)]
    assert len(batches) > 1
    assert sum(batches) == 3


@pytest.mark.parametrize("most", [999, 65_536, 300_001])
@pytest.mark.parametrize("ng", [False, True])
def test_how_the_bytes_come_changes_nothing(most: int, ng: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    noise, parts = random.Random(most), [HEAD if ng else header()]
    for index in range(5000):
        packet, at = noise.randbytes(noise.randint(0, 250)), AT + index * 1000
        parts.append(enhanced(packet, at // 1000, via=index % 2 and index > 3000) if ng else record(packet, at))
        if ng and index % 1000 == 0:
            parts.append(interface(link=index))
        if ng and index == 1500:
            parts.append(section() + interface())
    content = b"".join(parts)
    at_once = read(content)
    assert len(at_once) == 5000
    monkeypatch.setattr(source, "PATIENCE", 0.0)
    assert read(Capture(Drip(content, most))) == at_once


def test_standard_input() -> None:
    program = (
        "from collectors.passive.source import open_capture\n"
        "capture = open_capture('-')\n"
        "print(sum(batch.offset.size for batch in capture), capture.truncated, capture.size)"
    )
    for content in (pcapng(), gzip.compress(pcapng())):
        done = subprocess.run([sys.executable, "-c", program], input=content, capture_output=True, check=True)
        assert done.stdout.split() == [b"2", b"False", b"None"]


def test_gzip_that_is_cut_short_or_broken() -> None:
    noise = random.Random(4).randbytes(200_000)
    content = header() + b"".join(record(noise[at : at + 100]) for at in range(0, 200_000, 100))
    packed = gzip.compress(content)
    assert len(read(packed)) == len(read(gzip.compress(content[:1000]) + gzip.compress(content[1000:]))) == 2000
    broken = bytearray(packed)
    broken[-8] ^= 1  # its check sum
    for bad in (packed[: len(packed) // 2], packed[:-1], bytes(broken), packed + b"junk"):
        capture = Capture(io.BytesIO(bad))
        count = len(read(capture))
        assert count == 2000 or (count > 900 and len(bad) < len(packed) - 1)
        assert capture.truncated


def test_a_disk_that_fails() -> None:
    class Failing(Drip):
        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            if not (size := super().readinto(buffer)):
                raise OSError("Input/output error")
            return size

    capture = Capture(Failing(pcap(), 50))
    assert read(capture) == BOTH
    assert capture.why == f"byte {len(pcap())}: Input/output error"


def test_progress(tmp_path: Path) -> None:
    (tmp_path / "some.pcap.gz").write_bytes(gzip.compress(pcap()))
    capture = open_capture(str(tmp_path / "some.pcap.gz"))
    assert read(capture) == BOTH
    assert capture.read == capture.size == (tmp_path / "some.pcap.gz").stat().st_size


# ---- The walk in lanes: it must find what the plain walk finds, and it must not be the plain walk


def chains(content: bytes) -> tuple[list[int], list[int], int]:
    """The records of a pcap or pcapng capture as both walks find them, and how many the lanes left to the plain one."""
    data = np.frombuffer(content + bytes(PAD), np.uint8)
    if content.startswith(b"\n\r\r\n"):
        chain, sign, begin = source._Chain("<", 4, 12, 0), (0, pack("<I", 6)), 0
    else:
        chain, sign, begin = source._Chain("<", 8, 0, 16), (2, content[26:28]), 24
    plain, _ = source._walk_plainly(data, begin, len(content), chain)
    left, walk = [0], source._walk_plainly

    def counting(*arguments: object) -> object:
        found = walk(*arguments)  # type: ignore[arg-type]
        left[0] += found[0].size
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "_walk_plainly", counting)
        lanes = source._walk_lanes(data, begin, len(content), chain, sign)
    return plain.tolist(), lanes.tolist(), left[0]


def test_the_lanes_are_walked() -> None:
    noise = random.Random(1)
    packets = [noise.randbytes(noise.choice((60, 66, 90, 200, 1500))) for _ in range(5000)]
    for content in (header() + b"".join(map(record, packets)), HEAD + b"".join(map(enhanced, packets))):
        plain, lanes, left = chains(content)
        assert lanes == plain
        assert left < len(plain) / 10


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), largest=st.sampled_from([0, 1, 60, 300, 1500, 60_000]), ng=st.booleans())
def test_the_lanes_find_what_the_plain_walk_finds(seed: int, largest: int, ng: bool) -> None:
    noise, parts, size = random.Random(seed), [HEAD if ng else header()], 0
    while size < 600_000:
        packet = (
            noise.randbytes(noise.randint(0, largest)) if noise.random() < 0.9 else bytes(noise.randint(0, largest))
        )
        at = AT + noise.randint(0, 10**14)
        odd = block(noise.choice((5, 10, 77)), bytes(noise.randint(0, 400))) if noise.random() < 0.01 else b""
        parts.append(odd + enhanced(packet, at // 1000) if ng else record(packet, at))
        size += len(parts[-1])
    content = bytearray(b"".join(parts))
    if noise.random() < 0.5:  # and a lie somewhere: both are led astray in the same way
        pack_into("<I", content, noise.randrange(100, len(content) - 4), noise.choice((0, 20, 2**20, 2**32 - 1)))
    plain, lanes, _ = chains(bytes(content))
    assert lanes == plain


@pytest.mark.parametrize("content", [header() + bytes(700_000), header() + random.Random(2).randbytes(700_000)])
def test_the_lanes_on_no_records_at_all(content: bytes) -> None:
    plain, lanes, _ = chains(content)
    assert lanes == plain


@pytest.mark.parametrize("inner_size", [300, 1400, 60_000, 200_000])
@pytest.mark.parametrize("ng", [False, True])
def test_a_capture_in_a_capture_fools_nobody(inner_size: int, ng: bool) -> None:
    """Packets that carry a capture, of which one record may begin wherever a guess is looked for."""
    inner = HEAD + enhanced(ONE) * 4000 if ng else header() + record(ONE) * 4000
    packets = [inner[at : at + inner_size] for at in range(0, len(inner), inner_size)] * 4
    content = HEAD + b"".join(map(enhanced, packets)) if ng else header() + b"".join(map(record, packets))
    plain, lanes, _ = chains(content)
    assert lanes == plain
    assert [frame.captured for frame in read(content)] == packets


# ---- Real captures


@needs_pcaps
def test_real_captures_have_their_packets() -> None:
    for row in REAL:
        capture = open_capture(PCAPS / row["file"])
        count = sum(batch.offset.size for batch in checked(capture))
        assert count == capture.packets == MISCOUNTED.get(row["file"], int(row["packets"])), row["file"]
        assert not capture.truncated
        assert capture.read == capture.size


@needs_pcaps
def test_the_lanes_on_real_captures() -> None:
    for row in REAL:
        content = (PCAPS / row["file"]).read_bytes()
        if len(content) > 300_000:
            plain, lanes, _ = chains(content)
            assert lanes == plain


def tshark(path: Path) -> list[tuple[int, int, int, int]]:
    """frame.number, frame.time_epoch (nanoseconds), frame.len and frame.cap_len of each frame."""
    fields = [word for name in ("number", "time_epoch", "len", "cap_len") for word in ("-e", f"frame.{name}")]
    done = subprocess.run(
        ["tshark", "-n", "-r", path, "-T", "fields", *fields], capture_output=True, text=True, check=False
    )
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    return [
        (int(number), int((seconds or "0.0").replace(".", "")), int(size), int(captured))
        for number, seconds, size, captured in lines
    ]


def ours(path: Path) -> list[tuple[int, int, int, int]]:
    return [(frame.number, frame.at, frame.wire, len(frame.captured)) for frame in read(open_capture(path))]


@needs_pcaps
@needs_tshark
@pytest.mark.parametrize(
    "name",
    [
        "ICS-Security-Tools/mb2.pcap",
        "ICS-Security-Tools/wrapup.pcapng",
        "lldpd",
        "icsnpp-s7comm",
        "icsnpp-profinet-io-cm",
    ],
)
def test_real_captures_as_tshark_reads_them(name: str) -> None:
    for row in [row for row in REAL if row["file"].startswith(name)][:3]:
        assert ours(PCAPS / row["file"]) == tshark(PCAPS / row["file"])


@needs_editcap
@pytest.mark.parametrize("kind", ["pcap", "nsecpcap", "modpcap", "pcapng"])
@pytest.mark.parametrize("seed", ["1", "2"])
def test_what_editcap_makes(kind: str, seed: str, tmp_path: Path) -> None:
    """Packets full of random errors, in each format that editcap writes, cut, and in gzip."""
    noise = random.Random(seed)
    (tmp_path / "in").write_bytes(
        header() + b"".join(record(noise.randbytes(noise.randint(60, 900))) for _ in range(800))
    )
    errors = ["-E", "0.05", "--seed", seed, "-s", "400"]
    subprocess.run(["editcap", "-F", kind, *errors, tmp_path / "in", tmp_path / "out"], check=True, capture_output=True)
    found = read(open_capture(tmp_path / "out"))
    assert [(frame.number, frame.at, frame.wire) for frame in found] == [
        (frame.number, frame.at, frame.wire) for frame in read(open_capture(tmp_path / "in"))
    ]
    assert max(len(frame.captured) for frame in found) == 400
    content = (tmp_path / "out").read_bytes()
    assert read(gzip.compress(content)) == found
    assert read(content[: len(content) // 2]) == found[: len(read(content[: len(content) // 2]))]
