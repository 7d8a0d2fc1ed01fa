"""Streams: messages cut into segments in every way that TCP may, and come out as they were."""

from __future__ import annotations

import random
from collections import Counter
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.passive.protocols.protocol import Cut
from collectors.passive.streams import LARGEST, NEAR, PATIENCE, WRAP, Stream

MARK = 0xF5  # no message of the toy protocol has it but at its beginning


def toy(data: bytes) -> int:
    """A mark, a length of two bytes, and as many bytes."""
    if data and data[0] != MARK:
        return -1
    return 3 + int.from_bytes(data[1:3], "big") if len(data) >= 3 else 0


def mbap(data: bytes) -> int:
    if len(data) < 6:
        return -1 if any(data[2:4]) else 0
    length = int.from_bytes(data[4:6], "big")
    return 6 + length if data[2:4] == b"\0\0" and 2 <= length <= 254 else -1


def toys(count: int, rng: random.Random, largest: int = 40) -> list[bytes]:
    """Messages of which no two are alike."""
    return [
        pack(">BHH", MARK, 2 + size, n) + bytes(rng.randrange(MARK) for _ in range(size))
        for n, size in enumerate(rng.randrange(largest) for _ in range(count))
    ]


def adus(count: int, rng: random.Random) -> list[bytes]:
    return [
        pack(">HHHBB", n, 0, 2 + size, rng.randrange(3), rng.randrange(256)) + rng.randbytes(size)
        for n, size in enumerate(rng.randrange(2, 60) for _ in range(count))
    ]


Segment = tuple[int, bytes]


def segments(data: bytes, rng: random.Random, largest: int, begin: int = 0) -> list[Segment]:
    found, at = [], 0
    while at < len(data):
        size = rng.randint(1, largest)
        found.append(((begin + at) % WRAP, data[at : at + size]))
        at += size
    return found


def fed(stream: Stream, parts: list[Segment], cut: Cut) -> list[bytes]:
    return [message for sequence, payload in parts for message in stream.feed(sequence, payload, cut)]


def is_done(stream: Stream) -> bool:
    return not stream.pending and not stream.held_bytes and not stream.skipped


RANDOM = st.integers(0, 2**32).map(random.Random)
BEGIN = st.sampled_from([0, 1, WRAP - 1, WRAP - 50, WRAP // 2 - 9, WRAP // 2])  # where signs and sizes turn over


@pytest.mark.parametrize(("cut", "make"), [(toy, toys), (mbap, adus)])
@settings(max_examples=150)
@given(rng=RANDOM, begin=BEGIN, largest=st.integers(1, 120), opened=st.booleans())
def test_whatever_the_segments(cut: Cut, make, rng: random.Random, begin: int, largest: int, opened: bool) -> None:  # type: ignore[no-untyped-def]
    """Some segments come twice, some again with more or less before or behind them: each message comes out once."""
    stream, messages = Stream(), make(30, rng)
    data = b"".join(messages)
    parts: list[Segment] = []
    for sequence, payload in segments(data, rng, largest, begin):
        parts.append((sequence, payload))
        if rng.random() < 0.3:  # what was sent already, and perhaps a little that was not
            high = (sequence - begin) % WRAP + len(payload)
            low = max(0, high - rng.randint(1, 2 * largest))
            high = min(len(data), high + rng.randint(0, 5))
            parts.append(((begin + low) % WRAP, data[low:high]))
    if opened:
        stream.begin((begin - 1) % WRAP)
    assert fed(stream, parts, cut) == messages
    assert is_done(stream)


@settings(max_examples=200)
@given(rng=RANDOM, begin=BEGIN, largest=st.integers(1, 120), window=st.integers(1, 8))
def test_segments_that_overtake_one_another(rng: random.Random, begin: int, largest: int, window: int) -> None:
    """A gap may be what the stream was spared, so a whole message does not wait for what is before it: no message is
    lost or doubled, but they may come in the order of the wire."""
    stream, messages = Stream(), toys(40, rng)
    stream.begin((begin - 1) % WRAP)
    parts = segments(b"".join(messages), rng, largest, begin)
    order = sorted(range(len(parts)), key=lambda place: place + rng.random() * window)
    parts = [parts[place] for place in order]
    parts += rng.sample(parts, min(5, len(parts)))  # and some once more, late
    found = fed(stream, parts, toy) + stream.flush(toy)
    assert Counter(found) == Counter(messages)
    assert is_done(stream)


@settings(max_examples=200)
@given(rng=RANDOM, begin=BEGIN, largest=st.integers(4, 60))
def test_it_takes_up_the_thread_where_a_segment_begins_a_message(rng: random.Random, begin: int, largest: int) -> None:
    """Joined inside a message; later some segments are lost. A few messages at a time are cut up together: of those
    that lost nothing, none is missing; and none comes twice, or comes out that never was."""
    stream, messages = Stream(), toys(60, rng, 30)
    sequence, at, kept, complete = begin, 0, list[Segment](), Counter[bytes]()
    while at < len(messages):
        together = messages[at : at + rng.randint(1, 3)]
        parts = segments(b"".join(together), rng, largest, sequence)
        lost = 0 if not at else rng.randrange(len(parts)) if rng.random() < 0.2 else None
        kept += [part for place, part in enumerate(parts) if place != lost]
        if lost is None:
            complete.update(together)
        at += len(together)
        sequence = (sequence + sum(map(len, together))) % WRAP
    found = Counter(fed(stream, kept, toy) + stream.flush(toy))
    assert complete <= found <= Counter(messages)
    assert not stream.pending


def test_a_spared_segment_is_no_gap() -> None:
    """Of many messages only some come here; those that do are taken at once, in order, and once."""
    rng = random.Random(3)
    messages, stream, sequence, expected, found = toys(400, rng), Stream(), WRAP - 2000, list[bytes](), list[bytes]()
    for message in messages:
        if rng.random() < 0.3:
            for _ in range(rng.randint(1, 2)):
                found += stream.feed(sequence % WRAP, message, toy)
            expected.append(message)
        sequence += len(message)
    assert found == expected
    assert is_done(stream)


@pytest.mark.parametrize("how", ["syn", "far away"])
def test_other_connections_on_the_same_ports(how: str) -> None:
    rng = random.Random(4)
    stream, begin = Stream(), 5000
    for round_ in range(20):
        messages = toys(5, rng)
        begin = (begin + (NEAR * 2 if how == "far away" else rng.randrange(300))) % WRAP
        if how == "syn":
            stream.begin((begin - 1) % WRAP)
        data = b"".join(messages) + bytes([MARK, 0, 50])  # and it ends inside a message
        found = fed(stream, segments(data, rng, 30, begin), toy)
        assert found == messages, round_
    assert stream.skipped == 19 * 3


READ, WRITE = pack(">HHHBBHH", 1, 0, 6, 1, 3, 0, 10), pack(">HHHBBHH", 2, 0, 6, 1, 6, 0, 10)
LIAR = pack(">HHHBBHH", 9, 0, 200, 1, 3, 0, 10)


@pytest.mark.parametrize("claims", [13, 20, 24, 30, 100, 200, 254])
@pytest.mark.parametrize("together", [1, 2])
def test_a_length_that_lies_swallows_nothing(claims: int, together: int) -> None:
    """Unless exactly that was the message: then nobody could tell."""
    liar = pack(">HHHBBHH", 9, 0, claims - 6, 1, 3, 0, 10)
    stream, sequence = Stream(), 100
    assert stream.feed(sequence, liar, mbap) == []
    sequence += len(liar)
    writes = [pack(">HHHBBHH", n, 0, 6, 1, 6, n, 10) * together for n in range(40)]
    found: list[bytes] = []
    for write in writes:
        found += stream.feed(sequence, write, mbap)
        sequence += len(write)
    missing = [write for write in writes if found.count(write[:12]) != together]
    assert missing == ([writes[0]] if claims == 24 else [])
    assert not stream.pending


def test_a_message_whose_parts_look_like_messages() -> None:
    """Somebody hides a write: its second half is a read that was seen a thousand times."""
    values = READ * 9
    write = pack(">HHHBBHHB", 7, 0, 7 + len(values), 1, 16, 0, len(values) // 2, len(values)) + values
    head = len(write) - len(values)
    two = Stream()
    assert fed(two, [(0, write[: head + 12 * 8]), (head + 96, write[head + 96 :])], mbap) == [write]
    many = Stream()
    found = fed(many, [(0, write[:head]), *((head + at, READ) for at in range(0, len(values), 12))], mbap)
    assert write in found
    assert not two.pending
    assert not many.pending


def test_what_is_lost_for_good_is_given_up_after_a_while() -> None:
    """An incomplete message makes every segment matter: it must not do so for ever."""
    stream, sequence = Stream(), 1000
    stream.feed(sequence, WRITE[:8], mbap)
    sequence += 500
    for n in range(PATIENCE + 1):
        assert stream.pending
        assert stream.feed(sequence, READ, mbap) == [READ], n
        sequence += 12
    assert not stream.pending
    stream.feed(sequence, b"\xff" * 30, mbap)  # and so does one that begins no message
    sequence += 30
    for _ in range(PATIENCE + 1):
        assert stream.pending
        sequence += 12
        assert stream.feed(sequence, READ, mbap) == [READ]
    assert not stream.pending
    assert stream.skipped == 8 + 30


def test_the_end_of_a_segment_that_was_not_captured() -> None:
    stream = Stream()
    assert stream.feed(0, READ + WRITE[:8], mbap, cut_short=True) == [READ]
    assert not stream.pending
    assert stream.feed(60, WRITE, mbap) == [WRITE]
    assert stream.feed(72, WRITE[:6], mbap, cut_short=True) == []
    assert not stream.pending
    assert stream.feed(500, WRITE + READ, mbap) == [WRITE, READ]


def test_a_malformed_message_ends_nothing() -> None:
    stream = Stream()
    found = fed(
        stream, [(0, READ), (12, b"GET / HTTP/1.1\r\n\r\n"), (30, WRITE), (42, READ + b"\xff" * 9), (63, WRITE)], mbap
    )
    assert found == [READ, WRITE, READ, WRITE]


@settings(max_examples=60)
@given(rng=RANDOM, nearby=st.booleans())
def test_junk_is_bounded(rng: random.Random, nearby: bool) -> None:
    """Whatever comes, little is kept, and a message behind it is found."""
    stream, sequence = Stream(), 0
    for _ in range(300):
        sequence = (sequence + rng.randrange(-3000, 3000)) % WRAP if nearby else rng.randrange(WRAP)
        begin = rng.choice([b"", bytes([MARK]), bytes([MARK, 255, 255]), bytes([MARK, 0])])
        stream.feed(sequence, begin + rng.randbytes(rng.randint(1, 1400)), toy)
        assert stream.held_bytes <= LARGEST + 65538
        assert len(stream._waiting) <= 64
        assert len(stream._taken) <= 32
    stream.flush(toy)
    assert not stream.pending
    message = bytes([MARK, 0, 1, 7])
    assert stream.feed((sequence + NEAR * 3) % WRAP, message, toy) == [message]


def test_a_great_message_in_many_small_segments_takes_no_longer_than_it_must() -> None:
    """Each segment is put behind the others, not all of them copied: 65,000 segments in well under a second."""
    stream = Stream()
    message = bytes([MARK, 255, 255]) + bytes(65535)
    found = [one for at in range(len(message)) for one in stream.feed(at, message[at : at + 1], toy)]
    assert found == [message]
