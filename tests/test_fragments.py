"""Datagrams in parts: in any order, twice, overlapping, with parts missing, and made up."""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.passive import fragments
from collectors.passive.fragments import Fragments
from tests.frames import ethernet, fragments4, fragments6, ipv4, ipv6, tagged, udp

RANDOM = st.integers(0, 2**32).map(random.Random)
OPTIONS = b"\x2c\0" + bytes(6)  # destination options, behind which the fragment header stands


def packet(version: int, size: int, rng: random.Random) -> bytes:
    datagram = udp(rng.randbytes(size), 1000, 47808)
    return ipv4(datagram, 17) if version == 4 else ipv6(datagram, 17)


def parts(version: int, whole: bytes, size: int, identification: int = 1, before: bytes = b"") -> list[bytes]:
    return fragments4(whole, size, identification) if version == 4 else fragments6(whole, size, identification, before)


def framed(part: bytes) -> bytes:
    return ethernet(part, 0x0800 if part[0] >> 4 == 4 else 0x86DD)


def taken(under_way: Fragments, frames: list[bytes], network: int = 14) -> list[bytes]:
    return [whole for frame in frames if (whole := under_way.take(frame, network)) is not None]


def expected(whole: bytes) -> bytes:
    """As it was, but for the identification, which nobody reads."""
    return whole[:4] + b"\0\1" + whole[6:] if whole[0] >> 4 == 4 else whole


@given(RANDOM, st.sampled_from([4, 6]), st.integers(1, 40).map(lambda n: n * 8), st.booleans())
def test_in_any_order_with_some_twice(rng: random.Random, version: int, size: int, padded: bool) -> None:
    whole = packet(version, rng.randint(1, 1500), rng)
    frames = [framed(part) + bytes(46) * padded for part in parts(version, whole, size)]
    frames += rng.sample(frames, rng.randrange(len(frames)))
    rng.shuffle(frames)
    last = max(frames.index(frame) for frame in frames)
    under_way = Fragments()
    assert taken(under_way, frames[: last + 1]) == [framed(expected(whole))]


@given(RANDOM, st.sampled_from([4, 6]))
def test_many_at_once(rng: random.Random, version: int) -> None:
    wholes = [packet(version, rng.randint(100, 900), rng) for _ in range(40)]
    frames = [framed(part) for n, whole in enumerate(wholes) for part in parts(version, whole, 96, n)]
    rng.shuffle(frames)
    under_way = Fragments()
    found = taken(under_way, frames)
    kept = 18 if version == 4 else 14  # of IPv4 the identification differs
    strip = {frame[:kept] + frame[20:] if version == 4 else frame for frame in map(framed, wholes)}
    assert {frame[:kept] + frame[20:] if version == 4 else frame for frame in found} == strip
    assert len(found) == 40
    assert under_way.lost == 0


def test_behind_tags_and_behind_other_headers() -> None:
    rng = random.Random(5)
    whole = packet(4, 300, rng)
    frames = [tagged(framed(part), 0x88A8, 0x8100) for part in parts(4, whole, 104)]
    assert taken(Fragments(), frames, 22) == [tagged(framed(expected(whole)), 0x88A8, 0x8100)]
    whole = packet(6, 300, rng)
    frames = [framed(part) for part in parts(6, whole, 104, before=OPTIONS)]
    with_options = whole[:4] + (len(whole) - 40 + 8).to_bytes(2, "big") + b"\x3c" + whole[7:40]
    assert taken(Fragments(), frames) == [framed(with_options + b"\x11" + OPTIONS[1:] + whole[40:])]


@pytest.mark.parametrize("version", [4, 6])
def test_without_one_part_there_is_nothing(version: int) -> None:
    whole = packet(version, 800, random.Random(6))
    frames = [framed(part) for part in parts(version, whole, 160)]
    for missing in range(len(frames)):
        assert taken(Fragments(), frames[:missing] + frames[missing + 1 :]) == []


@given(RANDOM, st.sampled_from([4, 6]))
def test_overlaps(rng: random.Random, version: int) -> None:
    """Parts of any sizes that cover the datagram, each true: it comes out."""
    whole = packet(version, 400, rng)
    frames = [framed(part) for size in rng.sample([8, 16, 24, 56, 64, 80], 2) for part in parts(version, whole, size)]
    rng.shuffle(frames)
    assert taken(Fragments(), frames)[0] == framed(expected(whole))


def test_a_shorter_part_does_not_take_the_place_of_a_longer_one() -> None:
    whole = packet(4, 200, random.Random(7))
    frames = [framed(part) for part in parts(4, whole, 80)]
    short = framed(parts(4, whole, 8)[0])
    assert taken(Fragments(), [frames[0], short, *frames[1:]]) == [framed(expected(whole))]


def test_lies_take_little_and_are_counted() -> None:
    under_way, rng = Fragments(), random.Random(8)
    for n in range(200):  # overlapping parts of one datagram, each of them great
        frame = framed(ipv4(rng.randbytes(9000), 17, fragment=0x2000 | n + 1))
        assert under_way.take(frame, 14) is None
        assert under_way._under_way == {} or sum(held.bytes for held in under_way._under_way.values()) < 1 << 17
    assert under_way.lost > 20
    beyond = framed(ipv4(bytes(1000), 17, fragment=0x1FFF))
    assert Fragments().take(beyond, 14) is None
    end = framed(ipv4(bytes(16), 17, fragment=0))[:14] + ipv4(bytes(16), 17, fragment=1)
    begin = framed(ipv4(bytes(64), 17, fragment=0x2000))
    assert taken(Fragments(), [end, begin]) == [framed(ipv4(bytes(24), 17))], "no more than the last part says"
    for lying in (ipv4(bytes(64), 17, fragment=0x2000, total=500), ipv4(bytes(64), 17, fragment=0x2000, total=0)):
        assert Fragments().take(framed(lying), 14) is None


@pytest.mark.parametrize("version", [4, 6])
def test_a_flood_of_first_parts(version: int) -> None:
    """The newest are kept; a datagram whose parts come together is put together in the midst of it."""
    under_way, rng = Fragments(), random.Random(9)
    for n in range(3000):
        under_way.take(framed(parts(version, packet(version, 100, rng), 64, n + 100)[0]), 14)
    assert len(under_way._under_way) <= fragments.MOST
    assert under_way.lost == 3000 - fragments.MOST
    assert sum(map(sys.getsizeof, under_way._under_way.values())) < 100_000
    whole = packet(version, 500, rng)
    assert len(taken(under_way, [framed(part) for part in parts(version, whole, 64)])) == 1


@given(
    st.lists(
        st.tuples(st.sampled_from([4, 6]), st.lists(st.tuples(st.integers(14, 75), st.integers(0, 255)))), max_size=30
    )
)
def test_any_bytes_behind_a_header(edits: list[tuple[int, list[tuple[int, int]]]]) -> None:
    under_way = Fragments()
    for version, changes in edits:
        frame = bytearray(framed(parts(version, packet(version, 100, random.Random(1)), 40)[1]))
        for at, byte in changes:
            frame[at % len(frame)] = byte
        if frame[14] >> 4 == 4 and 14 + (frame[14] & 15) * 4 > len(frame):
            continue  # read_headers calls it unreadable
        under_way.take(bytes(frame), 14)
    assert len(under_way._under_way) <= 30
