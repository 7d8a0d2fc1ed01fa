"""Headers read a batch at a time, against a parser that reads one frame after the other and nothing clever."""

from __future__ import annotations

import random
from collections.abc import Iterator
from struct import pack, unpack_from
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collectors.passive.headers import CISCO, LLC, UNREADABLE, Headers, read_headers
from collectors.passive.source import Batch
from tests.frames import CLIENT_MAC, SERVER_MAC, batch, ethernet, fragments4, fragments6, ipv4, ipv6, tagged, tcp, udp

LINKS = (1, 0, 12, 101, 108, 113, 228, 229, 276)


class Read(NamedTuple):
    """What is said of a frame, its positions from its own beginning; of one that is unreadable, only that."""

    kind: int
    protocol: int = 0
    source_mac: int = 0
    destination_mac: int = 0
    network: int = 0
    transport: int = 0
    source_port: int = 0
    destination_port: int = 0
    sequence: int = 0
    flags: int = 0
    payload: int = 0
    length: int = 0
    whole: bool = True
    fragment: bool = False


class Short(Exception):
    """The frame claims more than there is."""


NONE = Read(UNREADABLE)


def need(frame: bytes, size: int) -> None:
    if len(frame) < size:
        raise Short


def number(frame: bytes, at: int, size: int) -> int:
    need(frame, at + size)
    return int.from_bytes(frame[at : at + size], "big")


def plainly(frame: bytes, wire: int, link: int) -> Read:
    try:
        return _link(frame, wire, link)
    except Short:
        return NONE


def _link(frame: bytes, wire: int, link: int) -> Read:
    source = destination = 0
    if link == 1:
        destination, source, kind, at = number(frame, 0, 6), number(frame, 6, 6), number(frame, 12, 2), 14
    elif link in (113, 276):
        size, named, typed, mac = (16, 4, 14, 6) if link == 113 else (20, 10, 0, 12)
        need(frame, size)
        kind, at = number(frame, typed, 2), size
        if (number(frame, named, 2) if link == 113 else frame[11]) == 6:
            source = number(frame, mac, 6)
    elif link in (0, 108):
        need(frame, 4)
        family = max(frame[0], frame[3])
        kind, at = {2: 0x0800, 24: 0x86DD, 28: 0x86DD, 30: 0x86DD}.get(family, UNREADABLE), 4
    elif link in (12, 101, 228, 229):
        need(frame, 1)
        kind, at = {4: 0x0800, 6: 0x86DD}.get(frame[0] >> 4, UNREADABLE), 0
    else:
        return NONE
    if link in (1, 113, 276):
        for _ in range(4):
            if kind in (0x8100, 0x88A8, 0x9100):
                kind, at = number(frame, at + 2, 2), at + 4
        if kind < 0x0600:
            need(frame, at + 3)
            kind, at = _llc(frame, at)
    if kind == UNREADABLE:
        return NONE
    read = Read(kind, 0, source, destination, at, at, payload=at, length=len(frame) - at, whole=len(frame) >= wire)
    if kind == 0x0800:
        return _ipv4(frame, wire, read)
    return _ipv6(frame, wire, read) if kind == 0x86DD else read


def _llc(frame: bytes, at: int) -> tuple[int, int]:
    if frame[at : at + 3] != b"\xaa\xaa\x03":
        return LLC | frame[at], at
    vendor, protocol = number(frame, at + 3, 3), number(frame, at + 6, 2)
    if vendor == 0:
        return protocol, at + 8
    return (protocol if vendor == CISCO else LLC | 0xAA), at


def _ipv4(frame: bytes, wire: int, read: Read) -> Read:
    at = read.network
    need(frame, at + 20)
    first, total, field = frame[at], number(frame, at + 2, 2), number(frame, at + 6, 2)
    begin, end = at + (first & 15) * 4, at + (total or wire - at)
    if first >> 4 != 4 or (first & 15) < 5 or end < begin:
        raise Short
    need(frame, begin)
    return _carried(frame, read, frame[at + 9], begin, end, bool(field & 0x3FFF))


def _ipv6(frame: bytes, wire: int, read: Read) -> Read:
    at = read.network
    need(frame, at + 40)
    if frame[at] >> 4 != 6:
        raise Short
    following, begin = frame[at + 6], at + 40
    end = begin + number(frame, at + 4, 2) if number(frame, at + 4, 2) else wire
    for _ in range(6):
        if following in (0, 43, 60, 135):
            need(frame, begin + 8)
            following, begin = frame[begin], begin + (frame[begin + 1] + 1) * 8
    need(frame, begin)
    if following in (0, 43, 60, 135, 44):
        need(frame, begin + 8)
    if end < begin:
        raise Short
    return _carried(frame, read, following, begin, end, following == 44)


def _carried(frame: bytes, read: Read, protocol: int, begin: int, end: int, fragment: bool) -> Read:
    length = min(end, len(frame)) - begin
    read = read._replace(
        protocol=protocol, transport=begin, payload=begin, length=length, whole=end <= len(frame), fragment=fragment
    )
    if fragment or protocol not in (6, 17):
        return read
    segment = frame[begin : begin + length]
    need(segment, 8)
    source, destination, sequence = unpack_from(">HHI", segment)
    if protocol == 17:
        said = sequence >> 16
        length = min(length, said or length)
        if length < 8:
            raise Short
        return read._replace(source_port=source, destination_port=destination, payload=begin + 8, length=length - 8)
    need(segment, 20)
    size = (segment[12] >> 4) * 4
    if size < 20:
        raise Short
    need(segment, size)
    return read._replace(
        source_port=source, destination_port=destination, sequence=sequence, flags=segment[13], payload=begin + size,
        length=length - size,
    )  # fmt: skip


def rows(found: Headers, of: Batch) -> Iterator[Read]:
    assert {len(getattr(found, name)) for name in Headers.__slots__} == {len(of.offset)}
    for row, begin in enumerate(of.offset.tolist()):
        values = {name: getattr(found, name)[row].item() for name in Read._fields}
        for name in ("network", "transport", "payload"):
            values[name] -= begin
        read = Read(**values)
        yield NONE if read.kind == UNREADABLE else read


def check(frames: list[bytes], link: int = 1, wire: list[int] | None = None, between: bytes = b"\xaa\x81\x06") -> None:
    """What lies between the frames would mislead whoever looks there."""
    of = batch(frames, link=link, wire=wire, between=between)
    expected = [plainly(frame, size, link) for frame, size in zip(frames, of.wire.tolist(), strict=True)]
    assert list(rows(read_headers(of), of)) == expected


SEGMENT, DATAGRAM = tcp(b"0123456789ab", 49152, 502, 77), udp(b"who is there", 47808, 47808)
OPTIONS = bytes([60, 0, 1, 4, 0, 0, 0, 0])  # an IPv6 header of 8 bytes that says: a header of kind 60 follows
PACKETS = {
    "tcp": ipv4(SEGMENT, 6),
    "udp": ipv4(DATAGRAM, 17),
    "icmp": ipv4(b"\x08\0\0\0\0\0\0\0", 1),
    "options of ip": ipv4(SEGMENT, 6, options=b"\x01" * 12),
    "options of tcp": ipv4(tcp(b"data", 1, 2, 3, 24, b"\x01" * 12), 6),
    "left to the card": ipv4(SEGMENT, 6, total=0),
    "a length that lies": ipv4(SEGMENT, 6, total=60_000),
    "a length of less than its header": ipv4(SEGMENT, 6, total=10),
    "more in the packet than in the datagram": ipv4(udp(b"data and more", 1, 2, length=12), 17),
    "a datagram of no length": ipv4(udp(b"data", 1, 2, length=0), 17),
    "a datagram of 7 bytes": ipv4(udp(b"data", 1, 2, length=7), 17),
    "a datagram that claims more": ipv4(udp(b"data", 1, 2, length=900), 17),
    "a short tcp header": ipv4(SEGMENT[:12] + b"\x40" + SEGMENT[13:], 6),
    "a header of four words": b"\x44" + ipv4(SEGMENT, 6)[1:],
    "the first fragment": fragments4(ipv4(SEGMENT, 6), 16)[0],
    "the last fragment": fragments4(ipv4(SEGMENT, 6), 16)[1],
    "another version": b"\x65" + ipv4(SEGMENT, 6)[1:],
}
PACKETS6 = {
    "tcp over ipv6": ipv6(SEGMENT, 6),
    "udp over ipv6": ipv6(DATAGRAM, 17),
    "options before tcp": ipv6(b"\x3c\0" + bytes(6) + b"\x06\x01" + bytes(14) + SEGMENT, 0),
    "too many options": ipv6(OPTIONS * 8 + SEGMENT, 60),
    "options that go on": ipv6(b"\x06\xff" + bytes(6) + SEGMENT, 60),
    "nothing behind options": ipv6(OPTIONS, 60),
    "a fragment of ipv6": fragments6(ipv6(SEGMENT, 6), 16)[0],
    "a jumbogram": ipv6(SEGMENT, 6, length=0),
    "less than it has": ipv6(DATAGRAM, 17, length=12),
    "icmp over ipv6": ipv6(b"\x80\0\0\0", 58),
    "a fragment behind options": fragments6(ipv6(SEGMENT, 6), 16, before=b"\x2c\0" + bytes(6))[1],
}
LLCS = {
    "cdp": b"\xaa\xaa\x03\0\0\x0c\x20\0" + b"\x02\xb4" + bytes(20),
    "ip in snap": b"\xaa\xaa\x03\0\0\0\x08\0" + ipv4(SEGMENT, 6),
    "another vendor's": b"\xaa\xaa\x03\0\x80\xc2\0\x0e" + bytes(20),
    "spanning tree": b"\x42\x42\x03" + bytes(35),
    "nothing at all": b"",
}
FRAMES = {
    **{name: ethernet(packet) for name, packet in PACKETS.items()},
    **{name: ethernet(packet, 0x86DD) for name, packet in PACKETS6.items()},
    **{name: ethernet(body, len(body)) for name, body in LLCS.items()},
    "arp": ethernet(bytes(28), 0x0806),
    "only tags": ethernet(bytes(30), 0x8100)[:14] + b"\0\1\x81\0" * 6,
}
LINK_HEADERS = {
    0: (b"\x02\0\0\0", b"\x1e\0\0\0"),
    108: (b"\0\0\0\x02", b"\0\0\0\x18"),
    113: (
        b"\0\0\0\1\0\6" + CLIENT_MAC + b"\0\0\x08\0",
        b"\0\4\0\1\0\6" + CLIENT_MAC + b"\0\0\x86\xdd",
    ),
    276: (
        b"\x08\0\0\0\0\0\0\2\0\1\0\6" + CLIENT_MAC + b"\0\0",
        b"\x86\xdd\0\0\0\0\0\2\0\1\0\6" + CLIENT_MAC + b"\0\0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_with_tags_and_padding_and_cut_at_every_byte(name: str) -> None:
    frame = FRAMES[name]
    variants = [frame, tagged(frame, 0x8100), tagged(frame, 0x88A8, 0x8100), tagged(frame, 0x9100, 0x88A8, 0x8100)]
    variants += [tagged(frame, *[0x8100] * 5), frame + b"\x2a" * 46]
    check(variants)
    for variant in variants[:3]:
        check([variant[:size] for size in range(len(variant) + 1)])  # the whole frame
        check([variant[:size] for size in range(len(variant) + 1)], wire=[len(variant)] * (len(variant) + 1))  # a snap


def test_every_link_type() -> None:
    for link in LINKS[1:]:
        headers = LINK_HEADERS.get(link, (b"", b""))
        frames = [headers[0] + packet for packet in PACKETS.values()]
        frames += [headers[1] + packet for packet in PACKETS6.values()]
        check(frames, link)
        check([frame[:size] for frame in frames for size in range(0, len(frame), 3)], link)
    check(list(FRAMES.values()), link=147)  # nothing that we know


def test_padding_is_no_payload() -> None:
    of = batch([ethernet(ipv4(tcp(b"ab", 1, 2, 3), 6)) + bytes(20)])
    assert read_headers(of).length.tolist() == [2]


@given(st.lists(st.binary(max_size=120), min_size=1, max_size=20), st.sampled_from(LINKS), st.binary(max_size=9))
def test_any_bytes(frames: list[bytes], link: int, between: bytes) -> None:
    check(frames, link, between=between)


@given(
    st.lists(st.tuples(st.sampled_from(sorted(FRAMES)), st.integers(12, 90), st.integers(0, 255)), min_size=1),
    st.integers(0, 20),
)
@example([("ip in snap", 12, 0)], 0)
def test_known_frames_with_a_byte_changed(edits: list[tuple[str, int, int]], cut: int) -> None:
    frames = []
    for name, at, byte in edits:
        frame = bytearray(FRAMES[name])
        frame[at % len(frame)] = byte
        frames.append(bytes(frame[: len(frame) - cut]))
    check(frames)


def test_a_flow_is_one_way_of_one_conversation() -> None:
    """Frames of one flow have one hash; whatever tells two conversations apart tells their hashes apart."""

    def hashes(frames: list[bytes], link: int = 1) -> list[int]:
        found: list[int] = read_headers(batch(frames, link=link)).flow.tolist()
        return found

    def frame(
        ends: tuple[str, str] = ("10.0.0.1", "10.0.0.2"), ports: tuple[int, int] = (49152, 502),
        macs: tuple[bytes, bytes] = (CLIENT_MAC, SERVER_MAC), protocol: int = 6,
    ) -> bytes:  # fmt: skip
        body = tcp(b"", *ports, 1) if protocol == 6 else udp(bytes(12), *ports)
        packet = ipv4(body, protocol, *ends) if ":" not in ends[0] else ipv6(body, protocol, *ends)
        return ethernet(packet, 0x86DD if ":" in ends[0] else 0x0800, *macs)

    six = ("fd00::1", "fd00::2")
    other = b"\0\0\x4e\0\0\x07"
    different = [
        frame(), frame(("10.0.0.1", "10.0.0.3")), frame(("10.0.0.3", "10.0.0.2")), frame(("10.0.0.2", "10.0.0.1")),
        frame(ports=(49153, 502)), frame(ports=(49152, 503)), frame(ports=(502, 49152)), frame(protocol=17),
        frame(macs=(other, SERVER_MAC)), frame(macs=(CLIENT_MAC, other)), frame(macs=(SERVER_MAC, CLIENT_MAC)),
        frame(six), frame(("fd00::2", "fd00::1")), frame(("fd01::1", "fd00::2")), frame(("fd00::1", "fd01::2")),
        frame(("fd00::1", "fd00::2:2")), frame(("fd00:0:0:1::1", "fd00::2")),
        ethernet(bytes(28), 0x0806), ethernet(bytes(28), 0x0806, other), ethernet(bytes(28), 0x88CC),
        ethernet(ipv4(b"\x08\0", 1)), ethernet(ipv4(b"\x08\0" + bytes(14), 1, fragment=0x2000)),
    ]  # fmt: skip
    found = hashes(different)
    assert len(set(found)) == len(different)
    assert 0 not in found
    assert hashes([tagged(one, 0x8100) for one in different]) == found
    same = [ethernet(ipv4(tcp(bytes(n), 49152, 502, n * 99), 6, identification=n)) for n in range(20)]
    assert set(hashes(same)) == {found[0]}
    assert len(set(hashes([ipv4(SEGMENT, 6), ipv4(SEGMENT, 6, to="10.0.0.9")], link=101))) == 2


def test_many_flows_that_are_alike_have_as_many_hashes() -> None:
    """Near one another, as addresses and ports in a plant are."""
    rng = random.Random(1)
    frames = []
    for n in range(1 << 14):
        ends = pack(">II", 0x0A000000 + n % 64, 0x0A000000 + (n >> 6) % 256)
        ports = pack(">HH", 1024 + n % 61, 502)
        head = b"\x45\0\0\x28\0\0\0\0\x40\x06\0\0" + ends
        mac = pack(">Q", n)[2:]
        frames.append(SERVER_MAC + mac + b"\x08\0" + head + ports + bytes(8) + b"\x50\x10" + bytes(6))
    rng.shuffle(frames)
    found = read_headers(batch(frames)).flow
    assert len(np.unique(found)) == len(frames)
