"""What devices say on a wire, put together plainly: ARP, and whole Modbus conversations; and what is heard of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from struct import pack

from baselines.wire import WireEvent
from collectors.passive.engine import Engine
from collectors.passive.heard import Heard
from tests.frames import ACK, AT, SYN, batch, ethernet, ipv4, tcp

SECOND = 10**9
BROADCAST = b"\xff" * 6
Exchange = tuple[bytes, bytes]


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def arp(sender: str, ip: str, asked: str, operation: int = 1, to: bytes = BROADCAST) -> bytes:
    """A request (1) or a reply (2); a gratuitous one asks for its own address."""
    ends = [ipaddress.ip_address(each).packed for each in (ip, asked)]
    body = bytes.fromhex("0001080006040000")[:7] + bytes([operation]) + mac(sender) + ends[0] + bytes(6) + ends[1]
    return ethernet(body + bytes(18), 0x0806, mac(sender), to)


def modbus(pdu: bytes, unit: int = 1, transaction: int = 1) -> bytes:
    return pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def identity(unit: int = 1, **said: str | bytes) -> Exchange:
    """FC 43/14, with objects by the names that asbuilt has for them."""
    numbers = {"manufacturer": 0, "product_code": 1, "software_revision": 2, "product_name": 4, "model": 5}
    objects = b""
    for name, value in said.items():
        content = value.encode() if isinstance(value, str) else value
        objects += bytes([numbers[name], len(content)]) + content
    answer = bytes([43, 14, 3, 0x83, 0, 0, len(said)]) + objects
    return modbus(bytes([43, 14, 3, 0]), unit), modbus(answer, unit)


READ: Exchange = modbus(bytes.fromhex("0300640001")), modbus(bytes.fromhex("03020007"))
WRITE: Exchange = (modbus(bytes.fromhex("0600640007")),) * 2
WRITE_MANY: Exchange = modbus(bytes.fromhex("10006400010200ff")), modbus(bytes.fromhex("1000640001"))
RESTART: Exchange = (modbus(bytes.fromhex("0800010000")),) * 2


class Host:
    """A device by its card and address; `says` is a connection to another, opened and used."""

    def __init__(self, card: str, ip: str) -> None:
        self.mac, self.ip = card, ip
        self._port = 50_000

    def says(
        self, server: Host, *exchanges: Exchange, port: int = 502, opened: bool = True, through: str = ""
    ) -> list[bytes]:
        """The frames both ways; `through` is the card of a router, which hands on what the client sends."""
        self._port += 1
        ways = [(self, server, self._port, port), (server, self, port, self._port)]
        sequences = [1000, 5000]

        def frame(way: int, payload: bytes, flags: int = ACK) -> bytes:
            source, to, from_port, to_port = ways[way]
            segment = tcp(payload, from_port, to_port, sequences[way], flags)
            sequences[way] += len(payload) + (flags & SYN > 0)
            cards = [through or each.mac if each is self else each.mac for each in (source, to)]
            return ethernet(ipv4(segment, 6, source.ip, to.ip), source=mac(cards[0]), to=mac(cards[1]))

        frames = [frame(0, b"", SYN), frame(1, b"", SYN | ACK)] if opened else []
        for asked, answered in exchanges:
            frames += [frame(0, asked), frame(1, answered)]
        return frames


SCADA, PLC = Host("00:00:4e:00:00:01", "10.0.0.1"), Host("00:00:54:00:00:02", "10.0.0.2")
ROGUE = Host("02:00:00:00:66:06", "10.0.0.66")
CYCLE = [*SCADA.says(PLC, READ, READ), arp(PLC.mac, PLC.ip, SCADA.ip), arp(SCADA.mac, SCADA.ip, PLC.ip)]


class Listener:
    """An engine, told frames at times that a test says."""

    def __init__(self, begin: int = AT) -> None:
        self.events: list[WireEvent] = []
        self._begin = begin
        self._engine = Engine(self.events.append)

    def hear(self, frames: Sequence[bytes], at: float = 0.0) -> Heard:
        """Hear frames, a millisecond apart, from so many seconds after the beginning; all that was heard so far."""
        times = [self._begin + int(at * SECOND) + number * SECOND // 1000 for number in range(len(frames))]
        self._engine.take(batch(frames, at=times))
        return self._engine.heard()


def heard(frames: Sequence[bytes], at: float = 0.0) -> Heard:
    return Listener().hear(frames, at)


def pcap(frames: Iterable[bytes], at: int = AT) -> bytes:
    """A capture, a millisecond between two frames."""
    records = b""
    for number, frame in enumerate(frames):
        moment = at + number * 1_000_000
        head = pack("<IIII", moment // SECOND, moment % SECOND // 1000, len(frame), len(frame))
        records += head + frame
    return pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + records
