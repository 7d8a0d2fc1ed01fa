"""The five items of a baseline after NERC CIP-010-4 R1.1, of what an approved snapshot holds.

Which item is which is told by its category and its key. What a device does not say, and nobody wrote into a profile, is
not there: an empty part means "not recorded", never "none".
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from enum import StrEnum

from baselines.snapshot import Category, Item, Snapshot, parts_of


class Part(StrEnum):
    """One of the five, by its number."""

    SYSTEM = "1.1.1"  # operating system, or firmware
    SOFTWARE = "1.1.2"  # commercial or open-source application software
    CUSTOM = "1.1.3"  # custom software
    PORTS = "1.1.4"  # logical network accessible ports
    PATCHES = "1.1.5"  # security patches applied


# What an OPC UA server says of itself (BuildInfo) is of its software, and not of the device.
OPC_UA = "endpoint."
BUILD_INFO = ("identity.product_name", "identity.product_uri", "identity.software_revision", "identity.build_number")
SAID_BY_SERVERS = ("identity.", OPC_UA)
NAMESPACES = "server.namespaces"
PATCH_WORDS = frozenset(("patch", "patches", "hotfix", "hotfixes"))
SOFTWARE_WORDS = frozenset(("application", "runtime", "library", "libraries", "software"))
WORD = re.compile(r"[a-z0-9]+")
PORT_PARTS = 4  # service.<mac>.tcp.502


def five(approved: Snapshot) -> dict[Part, list[Item]]:
    """The items of a device's approved snapshot by the part that they are of. Ports are heard: see `ports_by_ip`."""
    speaks_opc_ua = any(item.key.startswith(OPC_UA) for item in approved.items)
    found: dict[Part, list[Item]] = {part: [] for part in Part}
    for item in approved.items:
        for part in _parts_of(item, speaks_opc_ua):
            found[part].append(item)
    return found


def _parts_of(item: Item, speaks_opc_ua: bool) -> Iterable[Part]:
    words = frozenset(WORD.findall(item.key.rpartition(".")[2].lower()))
    if words & PATCH_WORDS:
        yield Part.PATCHES
    elif item.category is Category.FIRMWARE:
        yield Part.SYSTEM
    elif item.category is Category.PROGRAM:
        if item.key != NAMESPACES:  # names of information models
            yield Part.CUSTOM
    elif words & SOFTWARE_WORDS and not item.key.startswith(SAID_BY_SERVERS):
        yield Part.SOFTWARE
    if speaks_opc_ua and item.key in BUILD_INFO:
        yield Part.SOFTWARE


def ports_by_ip(segment: Snapshot) -> Mapping[str, list[Item]]:
    """By IP address the services of a segment's approved snapshot: TCP and UDP ports that were heard to answer."""
    services: defaultdict[str, list[Item]] = defaultdict(list)
    addresses: dict[str, list[str]] = {}
    for item in segment.items:
        parts = parts_of(item.key)
        if parts[0] == "service" and len(parts) == PORT_PARTS:
            services[parts[1]].append(item)
        elif parts[0] == "host" and parts[-1] == "ips" and isinstance(item.value, tuple):
            addresses[parts[1]] = [str(each) for each in item.value]
    found: defaultdict[str, list[Item]] = defaultdict(list)
    for host, ips in addresses.items():
        for ip in ips:
            found[ip] += services.get(host, [])
    return found


def port_text(service: Item) -> str:
    """A service as people write it: "tcp/502 (modbus)"."""
    *_, carrier, port = parts_of(service.key)
    spoken = ", ".join(str(each) for each in service.value) if isinstance(service.value, tuple) else ""
    return f"{carrier}/{port}" + (f" ({spoken})" if spoken else "")
