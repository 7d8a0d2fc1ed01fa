"""Live capture at a veth pair, in a network namespace of its own: what is sent at one end is heard at the other."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from collectors.passive.live import CaptureLost, CaptureRefused, Live, open_live
from collectors.passive.source import PAD, Batch

if sys.platform != "linux":
    pytest.skip("packet sockets are of Linux", allow_module_level=True)

from collectors.passive.libpcap import Pcap, load_library
from collectors.passive.ring import MAC_AND_NET, Ring
from tests.wires import Wire


def lacks_libpcap() -> str:
    """Why libpcap cannot be tried here; "" where it can."""
    try:
        load_library()
    except CaptureRefused as refused:
        return str(refused)
    return ""


LIBPCAP = pytest.mark.skipif(bool(lacks_libpcap()), reason=lacks_libpcap())
ROOT = Path(__file__).parent.parent
MACS = bytes.fromhex("0a0000000001 0a0000000002")
IPV6 = MACS + b"\x86\xdd" + bytes.fromhex("6000000000083a40") + bytes(range(32)) + b"\x80\x00abcdef"
PLAIN = MACS + b"\x08\x00" + bytes(range(46))
TAGGED = MACS + bytes.fromhex("8100 2005 0800") + bytes(range(46))
PRIORITY = MACS + bytes.fromhex("8100 e000 8892") + bytes(range(46))  # VLAN 0: PROFINET's
QINQ = MACS + bytes.fromhex("88a8 0064 8100 2005 0800") + bytes(range(46))
TWICE = MACS + bytes.fromhex("8100 0064 8100 0005 0800") + bytes(range(46))
LLC = MACS + b"\x00\x07" + bytes.fromhex("424203000000000000") + bytes(40)
SHORTEST = MACS + b"\x08\x06"
JUMBO = MACS + b"\x08\x00" + random.Random(1).randbytes(8986)
JUMBO_TAGGED = MACS + bytes.fromhex("8100 0fff 0800") + random.Random(2).randbytes(8980)
KINDS = [PLAIN, TAGGED, PRIORITY, QINQ, TWICE, LLC, SHORTEST, IPV6, JUMBO, JUMBO_TAGGED]


def ring(interface: str) -> Live:
    return Ring(interface, ring_bytes=4 << 20)


def small(interface: str) -> Live:
    return Ring(interface, ring_bytes=128 << 10, block_bytes=16 << 10, block_ms=10)


def pcap(interface: str) -> Live:
    return Pcap(interface, ring_bytes=4 << 20)


def batches(live: Live, count: int, seconds: float = 5) -> Iterator[Batch]:
    """Until so many frames have come."""
    until = time.monotonic() + seconds
    for batch in live.batches():
        if batch is not None:
            yield batch
            count -= len(batch.offset)
        if count <= 0 or time.monotonic() > until:
            return


def contents(batch: Batch) -> list[bytes]:
    ends = batch.offset + batch.captured
    return [batch.data[at:end].tobytes() for at, end in zip(batch.offset, ends, strict=True)]


def heard(live: Live, count: int) -> list[bytes]:
    return [frame for batch in batches(live, count) for frame in contents(batch)]


def silent(live: Live) -> bool:
    return next(live.batches(0.15)) is None


@pytest.mark.parametrize("open_", [ring, small, pytest.param(pcap, marks=LIBPCAP)])
def test_frames_arrive_byte_for_byte(wire: Wire, open_: Callable[[str], Live]) -> None:
    with wire.listening(open_) as live:
        before = time.time_ns()
        wire.send(*KINDS)
        got: list[bytes] = []
        for batch in batches(live, len(KINDS)):
            assert batch.link == 1
            assert batch.number.tolist() == [*range(len(got) + 1, len(got) + 1 + len(batch.offset))]
            assert batch.wire.tolist() == batch.captured.tolist()
            assert ((before - 1_000_000 <= batch.at) & (batch.at <= time.time_ns())).all()
            got += contents(batch)
        assert got == KINDS


@LIBPCAP
def test_libpcap_hears_the_same_as_the_ring(wire: Wire) -> None:
    with wire.listening(ring) as one, wire.listening(pcap) as other:
        wire.send(*KINDS * 20)
        assert heard(one, 200) == heard(other, 200) == KINDS * 20
        assert one.statistics()[:2] == other.statistics()[:2] == (200, 0)


def test_many_rounds_of_the_ring(wire: Wire) -> None:
    """Frames of all sizes and tags, also such as hold the bytes by which frame headers are found."""
    chance = random.Random(3)
    sent, got, ends = [], [], set()
    with wire.listening(small) as live:
        for turn in range(40):
            frames = [chance.choice(KINDS[:8])[: chance.choice((20, 60))] + chance.randbytes(chance.randint(0, 1400))]
            frames += [MACS + b"\x88\xb5" + b"x" * chance.randint(0, 900) for _ in range(chance.randint(1, 20))]
            if turn % 4 == 0:  # as many as fill two blocks to the last, and one more
                frames += [PLAIN] * 300
            if turn % 3 == 0:
                frames.append(MACS + b"\x88\xb5" + b"\0\0" + np.array([82, 96], np.uint16).tobytes() * 200)
            wire.send(*frames)
            sent += frames
            for batch in batches(live, len(frames)):
                got += contents(batch)
                last = int(batch.offset[-1] + batch.captured[-1])
                assert last + PAD <= len(batch.data)
                assert batch.number[-1] == len(got)
                ends.add(batch.data.base is None)
        assert got == sent
        assert live.statistics() == (len(sent), 0, 0)
    assert ends == {False, True}, "the last frame of the mapping was among them, and was copied"


def test_headers_are_found_by_what_they_have_in_common_or_link_by_link(wire: Wire) -> None:
    with wire.listening(small) as live:
        assert isinstance(live, Ring)
        wire.send(PLAIN, PLAIN, PLAIN)
        for _ in batches(live, 3):
            fast = live._frames(0)
            live._words[int(fast[1]) // 4 + MAC_AND_NET] += 1
            assert live._frames(0).tolist() == fast.tolist()


def test_what_nobody_reads_is_counted_as_dropped(wire: Wire) -> None:
    with wire.listening(small) as live:
        wire.send(*[JUMBO] * 100)
        received, dropped, frozen = live.statistics()
        assert (received + dropped, received > 0, dropped > 0, frozen > 0) == (100, True, True, True)
        assert live.statistics() == (received, dropped, frozen), "reading them does not reset them"
        assert heard(live, received) == [JUMBO] * received
        wire.send(PLAIN)
        assert heard(live, 1) == [PLAIN]
        assert live.statistics()[:2] == (received + 1, dropped)


@pytest.mark.parametrize("open_", [ring, pytest.param(pcap, marks=LIBPCAP)])
def test_listening_transmits_nothing(wire: Wire, open_: Callable[[str], Live]) -> None:
    """Not even an answer to frames that ask for one."""
    asked = (
        bytes.fromhex("0806 0001 0800 0604 0001") + MACS[6:] + bytes([10, 0, 0, 2]) + bytes(6) + bytes([10, 0, 0, 1])
    )
    arp = b"\xff" * 6 + MACS[6:] + asked
    with wire.inside():
        outside = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3 << 8)
        outside.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING: what comes to this end was sent at the other
        outside.bind((wire.plant, 3))
    with outside, wire.listening(open_) as live:
        wire.send(arp, *KINDS)
        assert len(heard(live, 11)) == 11
        assert silent(live)
        outside.setblocking(False)
        with pytest.raises(BlockingIOError):
            outside.recv(1)
        assert wire.transmitted() == 0


@pytest.mark.parametrize("open_", [ring, pytest.param(pcap, marks=LIBPCAP)])
def test_a_frame_on_loopback_is_heard_once(wire: Wire, open_: Callable[[str], Live]) -> None:
    with wire.listening(open_, "lo") as live, wire.inside():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            sending.sendto(b"just once", ("127.0.0.1", 9))
        got = [frame for frame in heard(live, 1) if frame[14 + 9] == socket.IPPROTO_UDP]  # an ICMP error may follow
        late = next(live.batches(0.15))
        assert [frame[42:] for frame in got] == [b"just once"]
        assert late is None or not any(frame[14 + 9] == socket.IPPROTO_UDP for frame in contents(late))
        assert got[0][12:15] == b"\x08\x00\x45"  # Ethernet framing


def test_what_this_host_sends_is_heard_only_on_demand(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    def both_ways(interface: str) -> Live:
        return open_live(interface, ring_bytes=4 << 20, outgoing=True)

    with wire.listening(both_ways, wire.plant) as every, wire.listening(ring, wire.plant) as coming:
        monkeypatch.setattr(Ring, "_ignore_outgoing", lambda _: False)  # before Linux 4.20
        with wire.listening(ring, wire.plant) as sorted_out:
            wire.send(PLAIN)
            assert heard(every, 1) == [PLAIN]
            assert silent(coming)
            assert silent(sorted_out)


def test_an_interface_that_goes_down_and_comes_back(wire: Wire) -> None:
    with wire.listening(small) as live:
        assert silent(live)
        wire.link("set", wire.sensor, "down")
        try:
            with pytest.raises(CaptureLost, match="sensor0 went down") as lost:
                next(live.batches(2))
            assert not lost.value.final
            assert silent(live)
            with pytest.raises(CaptureLost, match="sensor0 is down"), wire.inside():
                Ring(wire.sensor)
        finally:
            wire.link("set", wire.sensor, "up")
        wire.send(TAGGED)
        assert heard(live, 1) == [TAGGED]


def test_an_interface_that_goes_away(wire: Wire) -> None:
    wire.link("add", "usb0", "type", "veth", "peer", "name", "usb1")
    wire.link("set", "usb0", "up")
    with wire.listening(small, "usb0") as live:
        wire.link("del", "usb0")
        for _ in range(2):
            with pytest.raises(CaptureLost, match="usb0 is gone; open it again") as lost:
                next(live.batches(2))
            assert lost.value.final


@pytest.mark.parametrize("open_", [Ring, pytest.param(Pcap, marks=LIBPCAP)])
def test_no_such_interface(wire: Wire, open_: Callable[[str], Live]) -> None:
    with pytest.raises(CaptureRefused, match="no interface eth99"), wire.inside():
        open_("eth99")


@pytest.mark.parametrize(
    ("open_", "remedy"),
    [("ring.Ring", "setcap cap_net_raw"), pytest.param("libpcap.Pcap", "CAP_NET_RAW", marks=LIBPCAP)],
)
def test_no_permission_names_the_remedy(wire: Wire, open_: str, remedy: str) -> None:
    module, name = open_.split(".")
    script = f"import os; from collectors.passive.{module} import {name}; os.setuid(65534); {name}('{wire.sensor}')"
    done = child(wire, script)
    assert remedy in done.stderr.splitlines()[-1]
    assert "CaptureRefused" in done.stderr


def test_a_batch_that_outlives_its_capture_stays_readable(wire: Wire) -> None:
    with wire.listening(small) as live:
        wire.send(PLAIN)
        batch = next(batches(live, 1))
    assert contents(batch) == [PLAIN]


def test_closed_standard_descriptors_are_not_taken_by_the_capture(wire: Wire) -> None:
    script = f"""
import os
for fd in (0, 1, 2): os.close(fd)
from collectors.passive.ring import Ring
ring = Ring({wire.sensor!r})
os.write(1, bytes(60))  # would be a frame
assert not ring.descriptors & {{0, 1, 2}} and len(ring.descriptors) == 2
"""
    assert child(wire, script).returncode == 0
    assert wire.transmitted() == 0


def test_nothing_is_lost_while_somebody_sends_as_fast_as_python_can(wire: Wire) -> None:
    numbered = [MACS + b"\x88\xb5" + number.to_bytes(4, "big") + bytes(60) for number in range(20_000)]
    with wire.listening(ring) as live:
        sending = threading.Thread(target=wire.send, args=numbered)
        sending.start()
        seen = [batch.data[batch.offset[:, None] + np.arange(14, 18)] for batch in batches(live, len(numbered), 20)]
        sending.join()
        assert live.statistics()[:2] == (len(numbered), 0)
    assert np.concatenate(seen).tobytes() == b"".join(frame[14:18] for frame in numbered)


def child(wire: Wire, script: str, *before: str) -> subprocess.CompletedProcess[str]:
    """Python in the namespace, in a process of its own."""
    command = ["ip", "netns", "exec", wire.namespace, *before, sys.executable, "-c", script]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=20)
