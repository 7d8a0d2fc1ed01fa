"""At which Purdue level a host stands, and why that is said. Pure; where nothing tells the level, it is not known."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

OUTSIDE = 6.0  # beyond the enterprise: an address that the whole internet can reach
MANY = -1.0  # no host: what is sent there is for many
DMZ = 3.5
TO_THE_INTERNET = "to the internet"
NAMES = {
    OUTSIDE: "Internet",
    5.0: "Level 5: enterprise",
    4.0: "Level 4: site business",
    DMZ: "Level 3.5: DMZ",
    3.0: "Level 3: site operations",
    2.0: "Level 2: supervision",
    1.0: "Level 1: control",
    0.0: "Level 0: process",
    None: "Level not known",
    MANY: "Sent to many",
}
SERVED_BY_CONTROLLERS = ("modbus", "s7comm", "enip", "enip-udp", "cip-io", "bacnet")
CONTROL = (*SERVED_BY_CONTROLLERS, "opcua")  # controllers and supervision both answer OPC UA
CYCLIC = "rt-cyclic"
NAMED_MOST = 3  # protocols in a sentence


@dataclass(frozen=True, slots=True)
class Level:
    """A level (None: not known), the reason in words, and whether people wrote it into plant.toml."""

    value: float | None
    why: str
    written: bool = False

    @property
    def name(self) -> str:
        return level_name(self.value)


@dataclass(frozen=True, slots=True)
class Heard:
    """What the wire says of a host: its addresses, the protocols that it answers in, those in which it asks others as
    was approved, those in which it asks and nobody approved it, whether it exchanges process data cyclically, and
    whether it has a card on a segment: then it is here, whatever its address."""

    addresses: Sequence[str]
    answers: Collection[str] = ()
    asks: Collection[str] = ()
    asks_unapproved: Collection[str] = ()
    is_cyclic: bool = False
    has_card: bool = False


def level_name(value: float | None) -> str:
    """What a band of the map is called."""
    return NAMES.get(value) or f"Level {value:g}"


def from_the_top(level: float | None) -> float:
    """Orders levels: the internet on top, what is not known below the process, what is no host at the end."""
    return 1.0 if level is None else 2.0 if level == MANY else -level


def level_of(written: Mapping[str, float | None], heard: Heard) -> Level:
    """The level of a host that the assets in `written` stand for; what plant.toml says of them goes before all else.

    What asks controllers is taken for supervision only where somebody approved it: an intruder asks them too.
    """
    said = {name: value for name, value in written.items() if value is not None}
    if said:
        lowest = min(said, key=lambda name: (said[name], name))
        more = "" if len(set(said.values())) == 1 else ", the lowest of those at its address"
        return Level(said[lowest], f"plant.toml says so of {lowest}{more}", written=True)
    if any(map(is_for_many, heard.addresses)):
        return Level(MANY, "a broadcast or multicast address, which is no host")
    if not heard.has_card and (outside := next(filter(is_outside, heard.addresses), None)):
        return Level(OUTSIDE, f"{outside} is an address of the internet, and no card here has it")
    if answered := [each for each in SERVED_BY_CONTROLLERS if each in heard.answers]:
        return Level(1.0, f"it answers {_together(answered)}, as controllers do")
    if heard.is_cyclic:
        return Level(1.0, "it exchanges process data cyclically, as controllers and their I/O do")
    if asked := [each for each in CONTROL if each in heard.asks]:
        return Level(2.0, f"it asks controllers in {_together(asked)}, and answers in no such protocol")
    if "opcua" in heard.answers:
        return Level(None, "it answers opcua, as controllers and supervision both do")
    if asked := [each for each in CONTROL if each in heard.asks_unapproved]:
        return Level(None, f"it asks in {_together(asked)}, but nobody approved that it does")
    return Level(None, "nothing that was heard of it tells its level: write purdue_level into plant.toml")


def skips(one: float | None, other: float | None) -> str | None:
    """Why a conversation between two levels stands out; None where it does not, or a level is not known."""
    if one is None or other is None or MANY in (one, other):
        return None
    low, high = sorted((one, other))
    if high == OUTSIDE:
        return TO_THE_INTERNET
    if low <= 3.0 and high >= 4.0:
        return f"between levels {low:g} and {high:g}, past a DMZ"
    if high - low >= 2.0:
        return f"between levels {low:g} and {high:g}"
    return None


@lru_cache(16384)
def is_outside(address: str) -> bool:
    """Whether the whole internet can reach an address."""
    found = _ip(address)
    return found is not None and found.is_global and not found.is_multicast


def is_for_many(address: str) -> bool:
    """Whether what is sent to an address is for many: broadcast, multicast."""
    found = _ip(address)
    if found is not None:
        return found.is_multicast or address == "255.255.255.255"
    head = address.partition(":")[0]
    return (
        len(head) == 2 and len(address) == 17 and all(c in "0123456789abcdef" for c in head) and bool(int(head, 16) & 1)
    )


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def _together(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED_MOST]) + ", …" * (len(names) > NAMED_MOST)
