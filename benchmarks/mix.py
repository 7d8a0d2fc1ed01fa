"""A long capture for measuring: real captures, replicated with new addresses, an hour apart.

    python -m benchmarks.mix FOLDER OUT.pcap [FRAMES]

Every replica is a plant of its own: other MAC and IP addresses in Ethernet, ARP, IPv4 and IPv6 headers. What a message
says of itself (a serial number) stays, and so do checksums, which no dissector here verifies by default.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

from collectors.passive.headers import ETHERNET
from collectors.passive.source import NoCapture, open_capture

FRAMES = 1_000_000
APART = 3600 * 10**9  # nanoseconds between two replicas
TAGS = (b"\x81\x00", b"\x88\xa8", b"\x91\x00")


def captures() -> Path | None:
    """The folder of real captures: what ASBUILT_PCAPS names, or the one beside the project; None if there is none."""
    folder = Path(os.environ.get("ASBUILT_PCAPS", Path(__file__).parents[2] / "shared" / "pcaps"))
    return folder if folder.is_dir() else None


def frames_of(folder: Path) -> list[tuple[int, bytes, int]]:
    """Nanoseconds since the capture began, bytes and size on the wire of every Ethernet frame in the captures."""
    found: list[tuple[int, bytes, int]] = []
    for path in sorted(folder.rglob("*.pcap*")):
        try:
            begin = None
            for batch in open_capture(path):
                if batch.link != ETHERNET:
                    continue
                begin = int(batch.at[0]) if begin is None else begin
                view = batch.data.data
                rows = zip(
                    batch.at.tolist(), batch.offset.tolist(), batch.captured.tolist(), batch.wire.tolist(), strict=True
                )
                found += [(at - begin, bytes(view[start : start + size]), wire) for at, start, size, wire in rows]
        except NoCapture:
            continue
    return found


def replica(frame: bytes, number: int) -> bytes:
    """The frame as it would be in another plant."""
    if number == 0 or len(frame) < 14:
        return frame
    changed = bytearray(frame)
    for at in (0, 6):
        _change_mac(changed, at, number)
    at = 12
    while changed[at : at + 2] in TAGS:
        at += 4
    kind = bytes(changed[at : at + 2])
    at += 2
    if kind == b"\x08\x00" and len(frame) >= at + 20:
        _change_ip(changed, at + 12, number)
        _change_ip(changed, at + 16, number)
    elif kind == b"\x08\x06" and len(frame) >= at + 28:
        for place in (8, 18):
            _change_mac(changed, at + place, number)
            _change_ip(changed, at + place + 6, number)
    elif kind == b"\x86\xdd" and len(frame) >= at + 40:
        for place in (at + 8, at + 24):
            if changed[place] != 0xFF:
                changed[place + 6] ^= number & 0xFF
    return bytes(changed)


def _change_mac(frame: bytearray, at: int, number: int) -> None:
    if not frame[at] & 1 and any(frame[at : at + 6]):
        frame[at + 4] ^= number & 0xFF
        frame[at + 3] ^= number >> 8


def _change_ip(frame: bytearray, at: int, number: int) -> None:
    if 0 < frame[at] < 224:
        frame[at + 1] ^= number & 0xFF
        frame[at] ^= number >> 8 & 7


def write_mix(folder: Path, out: Path, frames: int = FRAMES) -> int:
    """Write replicas until there are `frames`; how many there are."""
    original = frames_of(folder)
    written = 0
    with out.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, ETHERNET))
        for number in range(-(-frames // len(original))):
            for at, frame, wire in original:
                seconds, nanoseconds = divmod(1_700_000_000 * 10**9 + number * APART + max(at, 0) % APART, 10**9)
                file.write(struct.pack("<IIII", seconds, nanoseconds, len(frame), wire))
                file.write(replica(frame, number))
            written += len(original)
    return written


if __name__ == "__main__":
    print(write_mix(Path(sys.argv[1]), Path(sys.argv[2]), *(int(word) for word in sys.argv[3:])))
