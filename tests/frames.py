"""Frames for the tests of what listens: put together plainly, byte by byte, and batches of them."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from struct import pack

import numpy as np

from collectors.passive.source import PAD, Batch

PCAPS = Path(os.environ.get("ASBUILT_PCAPS", Path(__file__).parents[2] / "shared" / "pcaps"))  # real captures, if any
CLIENT_MAC, SERVER_MAC = bytes.fromhex("00004e000001"), bytes.fromhex("000054000002")
CLIENT, SERVER = "10.0.0.1", "10.0.0.2"
AT = 1_700_000_000_000_000_000
SYN, ACK, RST = 2, 16, 4


def ethernet(payload: bytes, kind: int = 0x0800, source: bytes = CLIENT_MAC, to: bytes = SERVER_MAC) -> bytes:
    return to + source + pack(">H", kind) + payload


def tagged(frame: bytes, *tags: int) -> bytes:
    """The frame with VLAN tags, the outermost first."""
    return frame[:12] + b"".join(pack(">HH", tag, 7) for tag in tags) + frame[12:]


def ipv4(
    payload: bytes, protocol: int, source: str = CLIENT, to: str = SERVER, *, options: bytes = b"",
    total: int | None = None, fragment: int = 0, identification: int = 1,
) -> bytes:  # fmt: skip
    """`fragment`: flags and offset in one, as they stand in the header."""
    size = 20 + len(options)
    ends = ipaddress.ip_address(source).packed + ipaddress.ip_address(to).packed
    length = size + len(payload) if total is None else total
    head = pack(">BBHHHBBH", 0x40 | size // 4, 0, length, identification, fragment, 64, protocol, 0)
    return head + ends + options + payload


def ipv6(
    payload: bytes, following: int, source: str = "fd00::1", to: str = "fd00::2", length: int | None = None
) -> bytes:
    ends = ipaddress.ip_address(source).packed + ipaddress.ip_address(to).packed
    return pack(">IHBB", 6 << 28, len(payload) if length is None else length, following, 64) + ends + payload


def tcp(payload: bytes, source: int, to: int, sequence: int, flags: int = ACK, options: bytes = b"") -> bytes:
    size = 20 + len(options)
    return (
        pack(">HHIIBBHHH", source, to, sequence % (1 << 32), 0, size // 4 << 4, flags, 8192, 0, 0) + options + payload
    )


def udp(payload: bytes, source: int, to: int, length: int | None = None) -> bytes:
    return pack(">HHHH", source, to, 8 + len(payload) if length is None else length, 0) + payload


def batch(
    frames: Sequence[bytes], *, link: int = 1, wire: Sequence[int] | None = None, at: Sequence[int] | None = None,
    number: int = 1, between: bytes = b"",
) -> Batch:  # fmt: skip
    """A batch of frames, a millisecond apart. What lies `between` them and behind them is not theirs."""
    sizes = np.array([len(frame) for frame in frames], np.int64)
    offset = np.cumsum(sizes + len(between)) - sizes
    times = np.arange(len(frames), dtype=np.int64) * 1_000_000 + AT if at is None else np.array(at, np.int64)
    data = b"".join(between + frame for frame in frames) + (between * PAD)[:PAD].ljust(PAD, b"\0")
    return Batch(
        np.frombuffer(data, np.uint8), offset, sizes, sizes if wire is None else np.array(wire, np.int64), times,
        np.arange(number, number + len(frames)), link,
    )  # fmt: skip


def pieces(whole: Batch, cuts: Sequence[int]) -> list[Batch]:
    """The batch cut into several that begin at `cuts`."""
    ends = [*cuts[1:], len(whole.offset)]
    return [
        Batch(
            whole.data, whole.offset[low:high], whole.captured[low:high], whole.wire[low:high], whole.at[low:high],
            whole.number[low:high], whole.link,
        )
        for low, high in zip(cuts, ends, strict=True)
        if low < high
    ]  # fmt: skip


def fragments4(packet: bytes, size: int, identification: int = 1) -> list[bytes]:
    """An IPv4 packet (without options) in parts of `size` bytes, a multiple of 8."""
    head, payload = packet[:20], packet[20:]
    parts = []
    for at in range(0, len(payload), size):
        part, more = payload[at : at + size], at + size < len(payload)
        field = at // 8 | (0x2000 if more else 0)
        parts.append(head[:2] + pack(">HHH", 20 + len(part), identification, field) + head[8:] + part)
    return parts


def fragments6(packet: bytes, size: int, identification: int = 1, before: bytes = b"") -> list[bytes]:
    """An IPv6 packet in parts; `before`: a destination options header that stands before the fragment header."""
    following, payload = packet[6], packet[40:]
    parts = []
    for at in range(0, len(payload), size):
        part, more = payload[at : at + size], at + size < len(payload)
        body = before + pack(">BBHI", following, 0, at | more, identification) + part
        parts.append(packet[:4] + pack(">HB", len(body), 60 if before else 44) + packet[7:40] + body)
    return parts
