"""The engine: what it decodes is what matters, and so it hears the same as if it decoded everything."""

from __future__ import annotations

import dataclasses
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from struct import pack
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from baselines.wire import Operation, WireEvent
from collectors.passive import engine as engine_module
from collectors.passive.engine import Engine
from collectors.passive.heard import Heard
from collectors.passive.protocols.catalogue import PROTOCOLS
from collectors.passive.protocols.modbus import MODBUS
from collectors.passive.said import Asked, Said
from collectors.passive.source import Batch, NoCapture, open_capture
from tests.frames import (
    ACK,
    AT,
    CLIENT,
    CLIENT_MAC,
    PCAPS,
    RST,
    SERVER,
    SERVER_MAC,
    SYN,
    batch,
    ethernet,
    fragments4,
    fragments6,
    ipv4,
    ipv6,
    pieces,
    tagged,
    tcp,
    udp,
)  # fmt: skip
from tests.test_protocols import CASES

CIP = [case for case in CASES if case.protocol.name == "enip"]
REAL = sorted(PCAPS.glob("*/*.pcap*"))
needs_pcaps = pytest.mark.skipif(not REAL, reason=f"no real captures in {PCAPS} (ASBUILT_PCAPS names another folder)")


class Outcome(NamedTuple):
    heard: Heard
    events: list[WireEvent]


def listened(batches: Sequence[Batch], everything: bool = False) -> Outcome:
    events: list[WireEvent] = []
    engine = Engine(events.append, everything=everything)
    for one in batches:
        engine.take(one)
    engine.finish()
    assert not engine._flows.pending[: engine._flows.count].any()
    heard = engine.heard()
    assert heard.counts.packets == sum(len(one.offset) for one in batches)
    assert heard.counts.bytes == sum(int(one.wire.sum()) for one in batches)
    return Outcome(dataclasses.replace(heard, counts=dataclasses.replace(heard.counts, decoded=0)), events)


def same_however_heard(whole: Sequence[Batch], rng: random.Random, sizes: Sequence[int] = (1, 7, 1000)) -> Outcome:
    """What is heard of the batches; of everything decoded; and of the same frames in batches of other sizes."""
    outcome = listened(whole)
    same(listened(whole, everything=True), outcome)
    for size in sizes:
        parts = []
        for one in whole:
            cuts = [0]
            while cuts[-1] < len(one.offset):
                cuts.append(cuts[-1] + rng.randint(1, size))
            parts += pieces(one, cuts[:-1])
        same(listened(parts), outcome)
    return outcome


def same(one: Outcome, other: Outcome) -> None:
    assert one.events == other.events
    assert one.heard.conversations == other.heard.conversations
    assert one.heard.hosts == other.heard.hosts
    assert one.heard.counts == other.heard.counts


def captured(path: Path) -> list[Batch]:
    """Its frames, copied: a batch is valid only until the next."""
    try:
        return [dataclasses.replace(one, data=one.data.copy()) for one in open_capture(path)]
    except NoCapture:
        return []


# ---- Real captures


@needs_pcaps
@pytest.mark.parametrize("folder", sorted({path.parent.name for path in REAL}))
def test_real_captures_are_heard_the_same(folder: str) -> None:
    rng = random.Random(folder)
    for path in REAL:
        if path.parent.name == folder and path.stat().st_size < 1 << 20:
            same_however_heard(captured(path), rng, (7,) if path.stat().st_size < 100_000 else (1000,))


@needs_pcaps
def test_real_captures_at_the_same_time() -> None:
    """All frames of all captures, as if they had begun at once."""
    frames: list[tuple[int, bytes, int]] = []
    for path in REAL:
        begin = 0
        for one in captured(path):
            if one.link == 1:
                begin = begin or int(one.at[0])
                rows = zip(one.at.tolist(), one.offset.tolist(), one.captured.tolist(), one.wire.tolist(), strict=True)
                view = one.data.data
                frames += [(AT + at - begin, bytes(view[low : low + size]), wire) for at, low, size, wire in rows]
    frames.sort(key=lambda found: found[0])
    frames = frames[:40_000]
    times, contents, wires = zip(*frames, strict=True)
    whole = batch(contents, wire=wires, at=times)
    rng = random.Random(10)
    outcome = same_however_heard(pieces(whole, range(0, len(frames), 30_000)), rng, (5000,))
    assert outcome.events
    assert len(outcome.heard.hosts) > 100


# ---- A plant that talks Modbus


def request(transaction: int, function: int, *words: int, unit: int = 1) -> bytes:
    return pack(">HHHBB", transaction & 0xFFFF, 0, 2 + 2 * len(words), unit, function) + pack(f">{len(words)}H", *words)


def read(transaction: int) -> bytes:
    return request(transaction, 3, 100, 10)


def write(transaction: int, value: int = 7) -> bytes:
    return request(transaction, 6, 40, value)


def read_answer(transaction: int) -> bytes:
    return pack(">HHHBBB", transaction & 0xFFFF, 0, 23, 1, 3, 20) + bytes(20)


def identity_request(transaction: int) -> bytes:
    return pack(">HHHBBBBB", transaction & 0xFFFF, 0, 5, 1, 43, 14, 1, 0)


def identity(transaction: int, firmware: bytes = b"V2.1") -> bytes:
    objects = b"".join(pack("BB", n, len(value)) + value for n, value in enumerate((b"Acme", b"P-1", firmware)))
    body = b"\x01\x2b\x0e\x01\x01\x00\x00\x03" + objects
    return pack(">HHH", transaction & 0xFFFF, 0, len(body)) + body


class Connection:
    """One TCP connection as frames; each way counts its sequence numbers."""

    def __init__(
        self, port: int = 49152, server_port: int = 502, *, client: str = CLIENT, server: str = SERVER,
        begin: int = (1 << 32) - 300,
    ) -> None:  # fmt: skip
        self.ports, self.ends, self.next = (port, server_port), (client, server), [begin, begin + 777_777]

    def packet(self, way: int, payload: bytes, flags: int = ACK, sequence: int | None = None) -> bytes:
        """The client's way is 0, the server's 1."""
        number = self.next[way] if sequence is None else sequence
        if sequence is None:
            self.next[way] += len(payload) + bool(flags & SYN)
        ports, ends = (self.ports, self.ends) if not way else (self.ports[::-1], self.ends[::-1])
        segment = tcp(payload, *ports, number, flags)
        return ipv6(segment, 6, *ends) if ":" in ends[0] else ipv4(segment, 6, *ends)

    def frame(self, way: int, payload: bytes, flags: int = ACK, sequence: int | None = None) -> bytes:
        packet = self.packet(way, payload, flags, sequence)
        macs = (CLIENT_MAC, SERVER_MAC) if not way else (SERVER_MAC, CLIENT_MAC)
        return ethernet(packet, 0x0800 if packet[0] >> 4 == 4 else 0x86DD, *macs)

    def opened(self) -> list[bytes]:
        return [self.frame(0, b"", SYN), self.frame(1, b"", SYN | ACK), self.frame(0, b"")]

    def asked(self, *messages: bytes) -> list[bytes]:
        return [self.frame(0, message) for message in messages]


def polled(connection: Connection, count: int, begin: int = 0) -> list[bytes]:
    found = []
    for n in range(begin, begin + count):
        found += [connection.frame(0, read(n)), connection.frame(1, read_answer(n))]
    return found


def writes(outcome: Outcome) -> list[int]:
    """The values that were written, in order."""
    return [event.detail["values"][0] for event in outcome.events if event.operation is Operation.WRITE]


def heard(frames: Sequence[bytes], link: int = 1, wire: Sequence[int] | None = None) -> Outcome:
    """And it is the same however it is heard."""
    return same_however_heard([batch(frames, link=link, wire=wire, between=b"\x2a")], random.Random(11))


def test_the_thousandth_write_is_an_event() -> None:
    """A thousand reads of which nobody needs more than one; and every write among them, and no other."""
    connection = Connection()
    frames, expected = connection.opened(), []
    for n in range(1000):
        frames += polled(connection, 1, 2 * n)
        frames += [*connection.asked(write(2 * n + 1, n % 5)), connection.frame(1, write(2 * n + 1, n % 5))]
        expected.append(n % 5)
    outcome = heard(frames)
    assert writes(outcome) == expected
    (talk,) = outcome.heard.conversations
    assert (talk.client, talk.server, talk.protocol, talk.port) == (CLIENT, SERVER, "modbus", 502)
    assert talk.packets == len(frames)
    assert talk.functions == ("read-holding-registers", "write-single-register")
    assert talk.answered
    assert outcome.heard.counts.malformed == {}
    assert outcome.heard.counts.skipped == 0
    assert {host.role for host in outcome.heard.hosts} == {"controller", "client"}


def test_few_of_what_says_nothing_new_are_decoded() -> None:
    events: list[WireEvent] = []
    connection, listening = Connection(), Engine(events.append)
    listening.take(batch(connection.opened() + polled(connection, 5000)))
    assert listening.heard().counts.decoded < 10


def test_identity_is_heard_whenever_it_is_said() -> None:
    """A device says what it is in the middle of all the polling; later it says something else, and then again."""
    connection = Connection()
    frames = connection.opened()
    for n, firmware in enumerate((b"V2.1", b"V2.1", b"V2.2", b"V2.1")):
        frames += polled(connection, 300, 1000 * n)
        frames += [connection.frame(0, identity_request(n)), connection.frame(1, identity(n, firmware))]
    (device,) = [host for host in heard(frames).heard.hosts if host.role == "controller"]
    assert (device.identity.manufacturer, device.identity.software_revision) == ("Acme", "V2.1")
    said = {found.value: found for found in device.evidence if found.field == "software_revision"}
    assert (said["V2.1"].newest, said["V2.2"].newest) == (True, False)
    assert "software_revision" in device.contradicted


HIDING: dict[str, Callable[[Connection], list[bytes]]] = {
    "behind a read in the same segment": lambda c: c.asked(read(1) + write(2)),
    "before a read in the same segment": lambda c: c.asked(write(2) + read(1)),
    "in two segments": lambda c: c.asked(write(2)[:9], write(2)[9:]),
    "in twelve segments": lambda c: c.asked(*(write(2)[at : at + 1] for at in range(12))),
    "across a read's end": lambda c: c.asked(read(1) + write(2)[:5], write(2)[5:] + read(3)),
    "after an odd PDU": lambda c: c.asked(request(1, 99, 1, 2, 3), write(2)),
    "after an odd PDU in the same segment": lambda c: c.asked(request(1, 99, 1, 2, 3) + write(2)),
    "after what is no Modbus": lambda c: c.asked(b"GET / HTTP/1.1\r\n\r\n", write(2)),
    "after a message that claims too much": lambda c: c.asked(pack(">HHHBBHH", 1, 0, 200, 1, 3, 0, 1), write(2)),
    "after a segment of which only half is a message": lambda c: c.asked(read(1)[:7], read(2), read(3), write(4)),
    "and sent again": lambda c: [*c.asked(write(2)), c.frame(0, write(2), sequence=c.next[0] - 12)],
    "and sent again with more": lambda c: [
        *c.asked(write(2)), c.frame(0, write(2) + read(3), sequence=c.next[0] - 12)
    ],
    "overtaken by a read": lambda c: [
        c.frame(0, read(3), sequence=c.next[0] + 12), c.frame(0, write(2), sequence=c.next[0])
    ],
    "its second half first": lambda c: [
        c.frame(0, write(2)[5:], sequence=c.next[0] + 5), c.frame(0, write(2)[:5], sequence=c.next[0])
    ],
    "with the urgent flag": lambda c: [c.frame(0, write(2), 0x38)],
    "with the last segment of all": lambda c: [c.frame(0, write(2), 0x11)],
    "on a new connection from the same port": lambda c: [
        c.frame(0, b"", SYN, 5), c.frame(1, b"", SYN | ACK, 9), c.frame(0, write(2), sequence=6)
    ],
    "on a connection from the same port whose opening was lost": lambda c: [
        c.frame(0, write(2), sequence=c.next[0] + (1 << 30))
    ],
    "behind a segment that another made up": lambda c: [
        c.frame(0, read(1), sequence=c.next[0] + 50_000), *c.asked(read(2), write(3))
    ],
    "with the opening": lambda c: [c.frame(0, write(2), SYN, 5)],
}  # fmt: skip


@pytest.mark.parametrize("how", HIDING)
@pytest.mark.parametrize("opened", [True, False], ids=["opened", "joined"])
def test_a_write_that_hides(how: str, opened: bool) -> None:
    connection = Connection()
    frames = connection.opened() if opened else []
    frames += polled(connection, 40)
    frames += HIDING[how](connection)
    frames += polled(connection, 40, 100)
    assert writes(heard(frames)) == [7]


def test_a_write_whose_second_half_looks_like_a_known_read() -> None:
    connection = Connection()
    values = read(1) * 8
    hiding = pack(">HHHBBHHB", 7, 0, 7 + len(values), 1, 16, 0, len(values) // 2, len(values)) + values
    head = len(hiding) - 12
    frames = connection.opened() + polled(connection, 40)
    frames += connection.asked(hiding[:head], hiding[head:]) + polled(connection, 40, 50)
    outcome = heard(frames)
    assert len(outcome.events) == 1
    assert outcome.events[0].detail["count"] == len(values) // 2


@pytest.mark.parametrize("tags", [(0x8100,), (0x88A8, 0x8100), (0x9100, 0x88A8, 0x8100)])
def test_behind_tags(tags: tuple[int, ...]) -> None:
    connection = Connection()
    frames = connection.opened() + polled(connection, 20) + connection.asked(read(1) + write(2))
    assert writes(heard([tagged(frame, *tags) for frame in frames])) == [7]


def test_over_ipv6_and_without_ethernet() -> None:
    six = Connection(client="fd00::1", server="fd00::2")
    assert writes(heard(six.opened() + polled(six, 20) + six.asked(write(2)))) == [7]
    raw = Connection()
    packets = [raw.packet(0, b"", SYN), raw.packet(0, read(1)), raw.packet(0, write(2)), raw.packet(1, write(2))]
    outcome = heard(packets, link=101)
    assert writes(outcome) == [7]
    assert [host.key for host in outcome.heard.hosts] == [CLIENT, SERVER]
    cooked = [b"\0\0\0\1\0\6" + CLIENT_MAC + b"\0\0\x08\0" + packet for packet in packets]
    assert writes(heard(cooked, link=113)) == [7]


@pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1"])
def test_in_fragments(address: str) -> None:
    """Also mixed with whole frames of the same connection, the write half in one, half in the other."""
    server = SERVER if "." in address else "fd00::2"
    connection = Connection(client=address, server=server)
    frames = connection.opened() + polled(connection, 20)

    def parts(payload: bytes, identification: int) -> list[bytes]:
        packet = connection.packet(0, payload)
        split = fragments4 if "." in address else fragments6
        kind = 0x0800 if "." in address else 0x86DD
        return [ethernet(part, kind) for part in split(packet, 16, identification)]

    frames += parts(write(1, 1), 1) + parts(read(2), 2)
    frames += list(reversed(parts(write(3, 2), 3)))
    values = read(1) * 8
    hiding = pack(">HHHBBHHB", 7, 0, 7 + len(values), 1, 16, 0, len(values) // 2, len(values)) + values
    frames += parts(hiding[:-12], 4) + connection.asked(hiding[-12:])
    frames += parts(write(3, 3), 5) + polled(connection, 5)
    outcome = heard(frames)
    assert writes(outcome) == [1, 2, 1, 3]
    assert outcome.heard.counts.not_kept == 0


def test_a_packet_of_nothing_but_fragment_headers() -> None:
    """Each is a whole datagram in one part, and holds the next: nobody needs that, and it must not be followed."""
    frame = ethernet(ipv6(b"\x2c\0\0\0\0\0\0\1" * 1000 + bytes(8), 44), 0x86DD)
    outcome = heard([frame] * 3)
    assert outcome.heard.counts.packets == 3


@pytest.mark.parametrize("opened", [True, False], ids=["opened", "joined"])
def test_on_a_port_that_is_not_its_own(opened: bool) -> None:
    connection = Connection(49152, 10_502)
    frames = connection.opened() if opened else []
    frames += polled(connection, 20) + connection.asked(write(2), read(3) + write(4, 8))
    later = Connection(49153, 10_502)
    frames += later.opened() + later.asked(b"\xff", write(5, 9))  # told by the connection before
    outcome = heard(frames)
    assert writes(outcome) == [7, 8, 9]
    assert {talk.protocol for talk in outcome.heard.conversations} == {"modbus"}


def test_a_known_port_of_the_client_says_nothing() -> None:
    """Systems give out 44818 and 47808 for a while."""
    connection = Connection(44818, 8080)
    answered = Connection(44818, 502)
    frames = connection.opened() + connection.asked(b"GET / HTTP/1.1\r\n\r\n") + [connection.frame(1, b"HTTP/1.1 200")]
    frames += [answered.frame(1, b"", SYN | ACK), answered.frame(0, b""), *answered.asked(write(1))]
    outcome = heard(frames)
    assert {(talk.protocol, talk.port) for talk in outcome.heard.conversations} == {("tcp", 8080), ("modbus", 502)}
    assert writes(outcome) == [7]


def test_over_many_connections() -> None:
    rng = random.Random(12)
    connections = [Connection(40_000 + n, begin=rng.randrange(1 << 32)) for n in range(60)]
    frames = [frame for connection in connections for frame in connection.opened()]
    expected = []
    for n in range(900):
        connection = rng.choice(connections)
        if rng.random() < 0.1:
            frames += connection.asked(write(n, n))
            expected.append(n)
        else:
            frames += polled(connection, 1, n)
    assert writes(heard(frames)) == expected


def test_what_is_malformed_is_counted_and_ends_nothing() -> None:
    connection = Connection()
    bad = pack(">HHHBB", 1, 0, 2, 1, 6)  # a write of nothing
    frames = connection.opened() + connection.asked(read(1), bad, read(2), request(3, 200, 4), bad, write(4))
    outcome = heard(frames)
    assert writes(outcome) == [7]
    assert sum(outcome.heard.counts.malformed.values()) >= 2


HELLO = bytes.fromhex("16030100300100002c0303") + bytes(range(32)) + bytes.fromhex("000004130113020100")


@pytest.mark.parametrize("port", [502, 44818, 102, 4840])
@pytest.mark.parametrize("opened", [True, False], ids=["opened", "joined"])
def test_what_is_encrypted_is_said_to_be_hidden(port: int, opened: bool) -> None:
    connection = Connection(server_port=port)
    frames = connection.opened() if opened else []
    frames += [*connection.asked(HELLO), connection.frame(1, b"\x16\3\3\0\x20" + bytes(32))]
    frames += connection.asked(*[b"\x17\3\3\0\x10" + bytes(16)] * 5)
    outcome = heard(frames)
    (talk,) = outcome.heard.conversations
    assert talk.hidden == "encrypted"
    assert talk.functions == ("tls",)
    assert outcome.heard.counts.malformed == {}
    if port == 502:  # a plain one thereafter is heard
        frames += [connection.frame(0, b"", SYN, 99), connection.frame(1, b"", SYN | ACK, 99)]
        frames.append(connection.frame(0, write(1), sequence=100))
        assert writes(heard(frames)) == [7]


def test_one_segment_that_looks_encrypted_hides_nothing_behind_it() -> None:
    connection = Connection()
    frames = connection.opened() + polled(connection, 10) + connection.asked(HELLO, read(1), write(2))
    outcome = heard(frames)
    assert writes(outcome) == [7]
    assert not outcome.heard.conversations[0].hidden


@pytest.mark.parametrize("snap", [60, 64, 66, 70, 96])
def test_frames_that_were_cut_when_they_were_captured(snap: int) -> None:
    """A whole message is heard, one that is cut is not, and nothing is made of the half of it."""
    connection = Connection()
    frames = connection.opened() + polled(connection, 10)
    frames += connection.asked(write(1, 1), read(2) + write(3, 2), write(4, 3)) + polled(connection, 10)
    outcome = heard([frame[:snap] for frame in frames], wire=[len(frame) for frame in frames])
    assert writes(outcome) == ([] if snap < 66 else [1, 3] if snap < 78 else [1, 2, 3])
    assert outcome.heard.counts.unreadable == 0
    assert outcome.heard.counts.malformed == {}


def test_times_that_go_back() -> None:
    connection = Connection()
    frames = connection.opened() + polled(connection, 20) + connection.asked(write(1))
    times = [AT - n * 10**9 if n % 3 else 0 for n in range(len(frames))]
    counts = same_however_heard([batch(frames, at=times)], random.Random(13)).heard.counts
    assert (counts.first_at, counts.last_at) == (min(filter(None, times)), max(times))


def test_who_refuses_has_not_answered() -> None:
    connection = Connection()
    outcome = heard([connection.frame(0, b"", SYN), connection.frame(1, b"", RST | ACK)])
    (talk,) = outcome.heard.conversations
    assert not talk.answered
    assert all(not host.services for host in outcome.heard.hosts)


def test_services_also_of_protocols_that_nobody_decodes() -> None:
    connection = Connection(49152, 8443)
    outcome = heard([*connection.opened(), *connection.asked(b"hello"), connection.frame(1, b"hello to you")])
    (server,) = [host for host in outcome.heard.hosts if host.ips == (SERVER,)]
    assert [(found.carrier, found.port, found.protocol) for found in server.services] == [("tcp", 8443, "tcp")]


# ---- Floods


def flood(count: int, begin: int = 0) -> list[bytes]:
    """Segments that begin a message and never end it, each of its own connection."""
    head = SERVER_MAC + CLIENT_MAC + b"\x08\0" + b"\x45\0\0\x32\0\0\0\0\x40\x06\0\0"
    segment = b"\0" * 8 + b"\x50\x10" + bytes(6) + write(1)[:10]
    return [
        head + pack(">II", 0x0A010000 + n // 40_000, 0x0B000002) + pack(">HH", 20_000 + n % 40_000, 502) + segment
        for n in range(begin, begin + count)
    ]


def test_a_flood_of_flows_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """200,000 flows, while one real connection goes on: what it writes is heard."""
    monkeypatch.setattr(engine_module, "FLOWS_MOST", 10_000)
    events: list[WireEvent] = []
    listening, connection = Engine(events.append, protocols=(MODBUS,)), Connection()
    listening.take(batch(connection.opened()))
    for n in range(20):
        frames = flood(10_000, n * 10_000) + polled(connection, 1) + connection.asked(write(n, n))
        listening.take(batch(frames))
        assert listening._flows.count <= 20_100
        assert len(listening._flows.streams) <= 20_100
        assert len(listening._ends) <= 20_100
    assert [event.detail["values"] for event in events if event.client == CLIENT] == [[n] for n in range(20)]
    counts = listening.heard().counts
    assert counts.packets == 200_000 + 3 + 20 * 3


def test_streams_together_hold_no_more_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "HELD_MOST", 200_000)
    listening = Engine(lambda event: None)
    connections = [Connection(10_000 + n) for n in range(300)]
    for _ in range(3):
        listening.take(batch([frame for one in connections for frame in one.asked(b"\xff" * 1000)]))
        streams = listening._flows.streams
        assert sum(stream.held_bytes for stream in streams.values()) <= 200_000
        pending = np.flatnonzero(listening._flows.pending[: listening._flows.count])
        assert {number for number, stream in streams.items() if stream.pending} == set(pending.tolist())
    quiet = Connection(9_999)
    listening.take(batch(quiet.asked(b"\0")))
    assert listening.heard().counts.skipped > 0


def test_notes_together_hold_no_more_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of OPC UA messages that never end; who has sent little may go on."""
    monkeypatch.setattr(engine_module, "HELD_MOST", 200_000)
    events: list[WireEvent] = []
    listening = Engine(events.append)
    connections = [Connection(10_000 + n, 4840) for n in range(100)]
    small = Connection(9_999, 102)
    listening.take(batch(small.asked(bytes.fromhex("0300000b 02f000 32010000"))))
    for n in range(20):
        part = b"MSGC" + pack("<5I", 1024, 1, 1, n, n) + bytes(1000)
        listening.take(batch([frame for one in connections for frame in one.asked(part)]))
        sizes = {id(asked): asked.held_bytes for asked in listening._flows.asked.values()}
        assert sum(sizes.values()) <= 300_000
    assert any(0 < asked.held_bytes < 100 for asked in listening._flows.asked.values())
    assert listening.heard().counts.skipped > 1_000_000


# ---- Anything at all


def conversation(rng: random.Random) -> list[bytes]:
    """Some connections with everything that happens to connections."""
    connections = [
        Connection(50_000 + n, rng.choice([502, 502, 10_502, 44818]), begin=rng.randrange(1 << 32)) for n in range(4)
    ]
    frames: list[bytes] = []
    for n in range(60):
        connection = rng.choice(connections)
        message = rng.choice([read, read, read, write, identity_request])(n)
        match rng.randrange(12):
            case 0:
                frames += connection.opened()
            case 1:
                frames += connection.asked(message[:5], message[5:])
            case 2:
                frames += connection.asked(message + read(n), read(n) + write(n, n))
            case 3 if frames:
                frames.append(frames[-rng.randint(1, min(4, len(frames)))])
            case 4:
                frames += connection.asked(rng.randbytes(rng.randint(1, 30)))
            case 5:
                connection.next[0] += rng.randrange(100)  # lost
            case 6:
                packet = connection.packet(0, message)
                frames += [ethernet(part) for part in fragments4(packet, 24, n)]
            case 7:
                frames.append(connection.frame(1, identity(n)))
            case 8:
                frames.append(ethernet(ipv4(udp(rng.randbytes(20), 47808, 47808), 17)))
            case _:
                frames += [connection.frame(0, message), connection.frame(1, read_answer(n))]
    return frames


@settings(max_examples=25)
@given(st.integers(0, 2**32).map(random.Random))
def test_whatever_happens_to_connections_it_is_heard_the_same(rng: random.Random) -> None:
    same_however_heard([batch(conversation(rng))], rng, (1, 9))


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32).map(random.Random), st.integers(1, 8))
def test_bytes_changed_anywhere(rng: random.Random, edits: int) -> None:
    """Nothing escapes, and the counts add up."""
    frames = [bytearray(frame) for frame in conversation(rng)]
    for _ in range(edits * len(frames) // 4):
        frame = rng.choice(frames)
        frame[rng.randrange(len(frame))] = rng.randrange(256)
    cut = [bytes(frame[: rng.randrange(len(frame)) if rng.random() < 0.05 else None]) for frame in frames]
    outcome = listened([batch(cut)])
    assert outcome == listened([batch(cut)])
    assert sum(talk.packets for talk in outcome.heard.conversations) <= 2 * len(frames)


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=100), min_size=1, max_size=12), st.sampled_from([0, 1, 101, 108, 113, 147, 276]))
@example([b""], 1)
def test_any_bytes_as_frames(frames: list[bytes], link: int) -> None:
    outcome = listened([batch(frames, link=link, between=b"\x45")])
    assert outcome == listened([batch(frames, link=link, between=b"\x45")])
    assert outcome.heard.counts.unreadable <= len(frames)


@needs_pcaps
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([path for path in REAL if path.stat().st_size < 50_000] or [Path()]), st.integers(0, 2**32))
def test_real_captures_with_bytes_changed(path: Path, seed: int) -> None:
    rng = random.Random(seed)
    for one in captured(path):
        data = one.data.copy()
        for at in rng.sample(range(len(data)), min(200, len(data) // 8)):
            data[at] = rng.randrange(256)
        listened([dataclasses.replace(one, data=data)])


# ---- What said nothing is known again, until somebody waits for it

ASKS = bytes.fromhex("6f00160000010212000000008d3f0000489ae00000000000000000001400020000000000b2000600010220012401")
TELLS = bytes.fromhex(
    "6f002e0000010212000000008d3f0000489ae00000000000000000001400020000000000b2001e00"
    "8100000001000c003a0004033000c3ae51000b313735362d454e42542f41"
)


@pytest.mark.parametrize("again", [False, True], ids=["the same connection", "another on the same ports"])
def test_an_answer_that_nobody_asked_for_is_heard_when_somebody_does(again: bool) -> None:
    connection = Connection(50_000, 44818)
    frames = connection.opened() + [connection.frame(1, TELLS) for _ in range(3)]
    assert not any(host.identity.model for host in heard(frames).heard.hosts)
    frames += connection.opened() if again else []
    frames += [connection.frame(0, ASKS), connection.frame(1, TELLS)]
    assert [host.identity.serial_number for host in heard(frames).heard.hosts if host.identity.model] == ["0051AEC3"]


@settings(max_examples=25)
@given(st.integers(0, 2**32).map(random.Random))
def test_messages_that_come_again_are_heard_the_same(rng: random.Random) -> None:
    """Of CIP, whose requests and answers belong together by numbers that are no part of what they say."""
    connections = [Connection(50_000 + n, 44818) for n in range(2)]
    frames: list[bytes] = []
    for _ in range(40):
        connection, case = rng.choice(connections), rng.choice(CIP)
        said = [*case.before, (case.client, case.message)] if rng.random() < 0.5 else [(case.client, case.message)]
        for _ in range(rng.randint(1, 3)):
            frames += [connection.frame(int(not client), message) for client, message in said]
        if rng.random() < 0.1:
            frames += connection.opened()
    same_however_heard([batch(frames)], rng, (1, 9))


# ---- In a process that can open nothing any more

LOADS = """
import json, sys
from collectors.passive.engine import Engine
from collectors.passive.protocols.catalogue import prepare
from collectors.passive.report import Report, encode_report
from collectors.passive.said import Malformed
from tests.test_engine import REAL, captured
from tests.test_protocols import CASES

captures = [captured(path) for path in REAL if path.stat().st_size < 100_000]
prepare()
loaded = []
sys.addaudithook(lambda event, about: loaded.append(f"{event} {about[0]}") if event in ("import", "open") else None)
for case in CASES:
    try:
        case.protocol.decode(case.message, case.client, case.asked())
    except Malformed:
        pass
for batches in captures:
    engine = Engine(lambda event: None)
    for one in batches:
        engine.take(one)
    engine.finish()
    encode_report(Report(heard=engine.heard(sure=True)))
    assert not engine.bugs, engine.bugs
print(json.dumps(loaded))
"""


def test_hearing_loads_nothing_that_was_not_prepared() -> None:
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", LOADS], cwd=root, capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout) == ("", "[]\n")


def test_a_bug_of_ours_in_a_decoder_is_told_and_ends_nothing() -> None:
    def broken(message: bytes, client: bool, asked: Asked) -> Said:
        if message[7] == 6:
            raise ZeroDivisionError("ours")
        return MODBUS.decode(message, client, asked)

    events: list[WireEvent] = []
    protocols = tuple(dataclasses.replace(each, decode=broken) if each is MODBUS else each for each in PROTOCOLS)
    engine = Engine(events.append, protocols)
    wrong, right = (bytes.fromhex(f"0001 0000 0006 01 {function} 0001 ff00") for function in ("06", "05"))
    parts = (tcp(wrong, 40000, 502, 1), tcp(right, 40000, 502, 13))
    engine.take(batch([ethernet(ipv4(part, 6)) for part in parts]))
    assert [event.detail["function"] for event in events] == ["write-single-coil"]
    assert engine.heard().counts.malformed == {"modbus": 1}
    assert "ZeroDivisionError: ours" in engine.bugs["modbus"]
