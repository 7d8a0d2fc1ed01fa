"""The long proofs of what listens: small in `make test`, in full in `make proof`."""

from __future__ import annotations

import dataclasses
import gc
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from collectors.passive.engine import Engine
from collectors.passive.inventory import Inventory
from collectors.passive.protocols.catalogue import PROTOCOLS as CATALOGUE
from collectors.passive.protocols.protocol import CONTINUES, Protocol
from collectors.passive.said import Asked, Malformed, Said
from collectors.passive.source import Capture, NoCapture
from tests.floods import FLOODS, flood
from tests.frames import batch, ethernet, fragments4, fragments6, ipv4, ipv6, tagged, tcp, udp
from tests.measured import NOTES, note, times
from tests.test_engine import HELLO, REAL, Outcome, captured, listened, same
from tests.test_proof import SLOWEST, mutated
from tests.test_protocols import CASES, OF_PROTOCOL, decoded, mended, signatures
from tests.test_source import header, pcap, pcapng, record

PROTOCOLS = {protocol.name: protocol for protocol in CATALOGUE}
ROOT = Path(__file__).resolve().parent.parent
GROWN_MOST = 24  # MB that a process may grow by while a decoder decodes: what Python keeps for later
FLOODED_MOST = 256  # MB that a flood may take
SIGNED = 64  # messages whose signatures are made and compared together


def held() -> float:
    """What this process holds now, in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / (1 << 20)


@pytest.fixture(autouse=True)
def nothing_to_collect() -> None:
    """What pytest holds is not looked through again for cycles: that would be measured too."""
    gc.freeze()


# ---- Decoders


def spoken(protocol: Protocol, chance: random.Random) -> Iterator[tuple[bool, bytes]]:
    """Recorded conversations without end, most of their messages changed, some gone the wrong way, and junk."""
    recorded = [[*case.before, (case.client, case.message)] for case in OF_PROTOCOL.get(protocol.name, [])]
    while True:
        for client, message in chance.choice(recorded or [[(True, HELLO)]]):
            changed = mutated(message, chance) if chance.random() < 0.8 else message
            yield client ^ (chance.random() < 0.1), mended(protocol, changed) if chance.random() < 0.5 else changed
        if chance.random() < 0.05:
            yield chance.random() < 0.5, chance.randbytes(chance.randrange(200))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_no_message_breaks_a_decoder(name: str) -> None:
    protocol, chance, inputs = PROTOCOLS[name], random.Random(name), times(3_000, 1_000_000)
    asked, slowest, malformed, early = Asked(), 0.0, 0, held()
    messages = spoken(protocol, chance)
    for number in range(inputs):
        client, message = next(messages)
        began = time.thread_time()
        try:
            protocol.decode(message, client, asked)
        except Malformed:
            malformed += 1
        if protocol.cut:
            assert protocol.cut(message) >= -1
        if protocol.begins:
            protocol.begins(message)
        slowest = max(slowest, time.thread_time() - began)
        if chance.random() < 0.005:
            asked = Asked()
        if number == inputs // 5:
            early = held()
    grown = held() - early
    note(
        f"whatever is said, a decoder says or calls it malformed: {name}",
        inputs=inputs, malformed=malformed, ms_for_the_slowest=round(1000 * slowest, 1), MB_more=round(grown, 1),
    )  # fmt: skip
    assert slowest < SLOWEST
    assert grown < GROWN_MOST


@pytest.mark.parametrize("name", [name for name, protocol in PROTOCOLS.items() if protocol.sign])
def test_a_signature_keeps_its_promise(name: str) -> None:
    """What has the same says the same, does nothing, leaves no note and takes none."""
    protocol, chance, signed = PROTOCOLS[name], random.Random(name), 0
    messages, rounds = spoken(protocol, chance), times(40, 1_000_000 // SIGNED)
    for _ in range(rounds):
        some = [next(messages) for _ in range(SIGNED)]
        senders, plain = [client for client, _ in some], [message for _, message in some]
        found = signatures(protocol, plain, senders)
        assert found == signatures(protocol, plain, senders), "a signature agrees with itself"
        said: dict[tuple[bool, int], Said | None] = {}
        for (client, message), signature in zip(some, found, strict=True):
            if not signature:
                continue
            signed += 1
            if protocol.cut:
                assert protocol.cut(message) == len(message), "signed, and not exactly one message"
            if signature >= CONTINUES:
                says = decoded(protocol, message, client, asked := Asked())
                assert not asked._notes
                assert says is None or not says.acts
                assert said.setdefault((client, signature), says) == says
    note(f"signatures keep their promise: {name}", inputs=rounds * SIGNED, signed=signed)


# ---- Frames


def carried(protocol: Protocol, message: bytes, client: bool, sequence: int, chance: random.Random) -> list[bytes]:
    """The frames that a message travels in: cut anywhere, doubled, out of order, tagged, over either IP."""
    port = min(protocol.ports)
    source, to = (49152, port) if client else (port, 49152)
    if protocol.carrier == "ethernet":
        return [ethernet(message, port)]
    if protocol.carrier == "udp":
        segments = [udp(message, source, to)]
    else:
        cuts = sorted({0, len(message), *(chance.randrange(len(message) + 1) for _ in range(chance.randrange(4)))})
        segments = [tcp(message[low:high], source, to, sequence + low) for low, high in pairwise(cuts)]
        if chance.random() < 0.2:
            chance.shuffle(segments)
        if chance.random() < 0.2 and segments:
            segments.append(chance.choice(segments))
    number, six = 17 if protocol.carrier == "udp" else 6, chance.random() < 0.3
    if six:
        ends = ("fd00::1", "fd00::2") if client else ("fd00::2", "fd00::1")
        packets = [ipv6(segment, number, *ends) for segment in segments]
    else:
        ends = ("10.0.0.1", "10.0.0.2") if client else ("10.0.0.2", "10.0.0.1")
        packets = [ipv4(segment, number, *ends) for segment in segments]
    if chance.random() < 0.1:
        split = fragments6 if six else fragments4
        packets = [part for packet in packets for part in split(packet, 24, chance.randrange(1 << 16))]
    frames = [ethernet(packet, 0x86DD if six else 0x0800) for packet in packets]
    tags = chance.choice([(), (), (0x8100,), (0x88A8, 0x8100)])
    return [tagged(frame, *tags) for frame in frames]


def traffic(chance: random.Random, count: int) -> list[bytes]:
    """Recorded conversations of every protocol in frames, here and there a byte of them changed."""
    frames: list[bytes] = []
    sequence = chance.randrange(1 << 32)
    while len(frames) < count:
        case = chance.choice(CASES)
        for client, message in [*case.before, (case.client, case.message)]:
            said = mutated(message, chance) if chance.random() < 0.2 else message
            frames += carried(case.protocol, said, client, sequence, chance)
            sequence += len(said)
    return [mutated(frame, chance) if chance.random() < 0.1 else frame for frame in frames]


def _as_kinds(outcome: Outcome) -> Outcome:
    """Of what is malformed in the same way again and again, the first is decoded: not how many, but which."""
    counts = outcome.heard.counts
    counts = dataclasses.replace(counts, malformed=dict.fromkeys(counts.malformed, 1))
    return outcome._replace(heard=dataclasses.replace(outcome.heard, counts=counts))


def test_whatever_frames_come_everything_decoded_hears_the_same() -> None:
    rounds, size, frames, events = times(8, 2000), 400, 0, 0
    early = held()
    for number in range(rounds):
        chance = random.Random(number)
        some = traffic(chance, size)
        cuts = sorted({0, *(chance.randrange(len(some)) for _ in range(chance.randrange(6)))})
        batches = [
            batch(some[low:high], number=low + 1) for low, high in zip(cuts, [*cuts[1:], len(some)], strict=True)
        ]
        outcome = listened(batches)
        same(_as_kinds(listened(batches, everything=True)), _as_kinds(outcome))
        frames, events = frames + len(some), events + len(outcome.events)
        if number == rounds // 5:
            early = held()
    assert events > rounds
    note(
        "of whatever frames, everything decoded hears the same", frames=frames, events=events,
        MB_more=round(held() - early, 1),
    )  # fmt: skip
    assert held() - early < GROWN_MOST


@pytest.mark.skipif(not REAL, reason="no real captures")
def test_real_frames_with_bytes_changed_break_nothing() -> None:
    """One engine for all of them, as if they came one after the other for ever."""
    chance, frames, early = random.Random(5), 0, held()
    engine = Engine(lambda event: None)
    small = [path for path in REAL if path.stat().st_size < 100_000]
    rounds = times(5, 2000)
    for number in range(rounds):
        for one in captured(chance.choice(small)):
            data = one.data.copy()
            where = np.array([chance.randrange(len(data)) for _ in range(len(data) // 200)], np.int64)
            data[where] = np.frombuffer(chance.randbytes(len(where)), np.uint8)
            engine.take(dataclasses.replace(one, data=data))
            frames += len(one.offset)
        if number == rounds // 5:
            early = held()
    engine.heard(sure=True)
    engine.finish()
    note("real frames with bytes changed break nothing", frames=frames, MB_more=round(held() - early, 1))
    assert held() - early < FLOODED_MOST


# ---- Captures


def lying(chance: random.Random) -> bytes:
    """A capture some of whose bytes are others, cut or doubled; its lengths too."""
    content = chance.choice([pcap(), pcap(">"), pcapng(), pcapng(">"), header() + record(b"x" * 1400) * 40])
    for _ in range(chance.randint(1, 3)):
        content = mutated(content, chance)
    data = bytearray(content)
    for _ in range(chance.randrange(3)):
        if len(data) > 40:
            at = chance.randrange(24, len(data) - 4) & ~3
            length = chance.choice(
                [0, 1, 12, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF0, chance.randrange(1 << 20)]
            )
            data[at : at + 4] = length.to_bytes(4, chance.choice(["big", "little"]))
    return bytes(data[: chance.randrange(len(data) + 1)] if chance.random() < 0.3 else data)


def test_no_capture_hangs_or_takes_memory() -> None:
    chance, inputs, slowest, none, packets = random.Random(3), times(1_000, 200_000), 0.0, 0, 0
    early = held()
    for number in range(inputs):
        content = lying(chance)
        began = time.thread_time()
        try:
            for one in Capture(BytesIO(content), len(content)):
                packets += len(one.offset)
                assert (one.offset + one.captured <= len(one.data)).all()
        except NoCapture:
            none += 1
        slowest = max(slowest, time.thread_time() - began)
        if number == inputs // 5:
            early = held()
    note(
        "no capture hangs or takes memory", inputs=inputs, no_captures=none, packets=packets,
        ms_for_the_slowest=round(1000 * slowest, 1), MB_more=round(held() - early, 1),
    )  # fmt: skip
    assert slowest < SLOWEST
    assert held() - early < GROWN_MOST


# ---- Floods


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_neither_fills_memory_nor_pushes_anybody_out(name: str) -> None:
    """Nobody who talks is lost, and somebody new amid it is told within the minute."""
    if not NOTES:
        flood(name, 1_800, Inventory(600, 1200, 2000))
        return
    command = [sys.executable, "-m", "tests.floods", name, "1000000"]
    measured = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    note(f"a minute's flood leaves everybody who talks: {name}", **measured)
    assert measured["MB_more"] <= FLOODED_MOST
