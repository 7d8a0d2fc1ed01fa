"""From what was heard on a segment to entries for plant.toml: data in, data out, and nothing is asked of a device."""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from itertools import chain, count
from typing import Any

from baselines.asset import Identity
from baselines.snapshot import Snapshot, Value, parts_of
from collectors.address import Address
from collectors.passive.makers import maker
from monitor.config import Plant
from monitor.entries import Entry

POLLED = {"modbus": "modbus", "opcua": "opc.tcp"}  # as it is heard, as an address has it
UNPOLLED = {  # what controllers speak besides, and the word for it
    "s7comm": "s7comm",
    "enip": "enip",
    "enip-udp": "enip",
    "cip-io": "enip",
    "bacnet": "bacnet",
}
PROFINET, CYCLIC = "profinet", "rt-cyclic"  # it has no port: who exchanges process data speaks it
UNIT = 1  # the unit of a Modbus message is no part of what is kept of a segment
ROLE = "controller"  # what the inventory calls who answers in a control protocol
SPOKEN_MOST = 3  # values of one field that are shown
MAC = re.compile("[0-9a-f]{2}(:[0-9a-f]{2}){5}")
WORDS = {
    "product_code": "product code",
    "hardware_revision": "hardware",
    "software_revision": "firmware",
    "serial_number": "serial number",
}


@dataclass(slots=True)
class Host:
    """What a segment's snapshot says of one host. `key` is its MAC address, or else its IP address.

    `said` holds what it said by field ("ips", "names", those of Identity), `ports` its services by protocol, `served`
    at which of its addresses clients asked for one.
    """

    key: str
    said: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ports: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    served: dict[str, set[str]] = field(default_factory=dict)
    cyclic: bool = False

    @property
    def ips(self) -> tuple[str, ...]:
        return tuple(sorted(self.said.get("ips", ()), key=_nearest))

    @property
    def names(self) -> tuple[str, ...]:
        return self.said.get("names", ())

    @property
    def mac(self) -> str | None:
        return self.key if MAC.fullmatch(self.key) else None

    @property
    def unpolled(self) -> tuple[str, ...]:
        """The protocols of controllers that it speaks and asbuilt does not."""
        spoken = {UNPOLLED[protocol] for protocol in self.ports if protocol in UNPOLLED}
        return tuple(sorted(spoken | ({PROFINET} if self.cyclic else set())))

    @property
    def devices(self) -> list[tuple[str, str, int]]:
        """Protocol, IP address and port of all that could be polled of it."""
        return [
            (protocol, next((ip for ip in self.ips if ip in self.served[protocol]), self.ips[0]), port)
            for protocol in POLLED
            for port in sorted(self.ports.get(protocol, ()))
            if self.ips
        ]


@dataclass(frozen=True, slots=True)
class Adoptable:
    """A host that was heard, and the entry that is proposed for it."""

    host: Host
    entry: Entry


@dataclass(frozen=True, slots=True)
class Known:
    """A host that was heard at an address and port that assets have already, or that another host claims as well."""

    host: Host
    ip: str
    port: int
    assets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What becomes of the controllers that were heard; `hosts` counts all that were, controllers or not."""

    hosts: int
    adoptable: tuple[Adoptable, ...]
    known: tuple[Known, ...]
    unpolled: tuple[Adoptable, ...]


def propose(heard: Snapshot, plant: Plant, zone: str = "") -> Proposal:
    """Entries for the controllers in a segment's snapshot that the plant does not have yet."""
    found = hosts(heard)
    taken = {*plant.assets, *plant.segments}
    at: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for asset, polled in plant.assets.items():
        at[polled.target.address.device].append(asset)
    adoptable: list[Adoptable] = []
    known: list[Known] = []
    unpolled: list[Adoptable] = []
    for host in found:
        devices = host.devices
        for protocol, ip, port in devices:
            if assets := [asset for own in host.ips for asset in at.get((own, port), ())]:
                known.append(Known(host, ip, port, tuple(assets)))
                continue
            name = _name(host, protocol, ip, taken, str(port) if len(devices) > 1 else "")
            at[ip, port].append(name)
            adoptable.append(Adoptable(host, _entry(host, name, _address(protocol, ip, port), zone)))
        if not devices and host.unpolled:
            protocol, where = host.unpolled[0], host.ips[0] if host.ips else host.key
            name = _name(host, protocol, where, taken)
            unpolled.append(Adoptable(host, _entry(host, name, f"{protocol}://{where}", zone)))
    return Proposal(len(found), tuple(adoptable), tuple(known), tuple(unpolled))


def hosts(heard: Snapshot) -> list[Host]:
    """The hosts of a segment's snapshot (monitor.segment has its keys), in the order of their addresses."""
    found: dict[str, Host] = {}
    served: defaultdict[str, set[str]] = defaultdict(set)
    cyclic: set[str] = set()
    for item in heard.items:
        values = _texts(item.value)
        match parts_of(item.key):
            case ("host", key, name):
                found.setdefault(key, Host(key)).said[name] = values
            case ("service", key, _, port):
                for protocol in values:
                    found.setdefault(key, Host(key)).ports[protocol].add(int(port))
            case ("conversation", client, server, protocol):
                served[protocol].add(server)
                if CYCLIC in values:
                    cyclic |= {client, server}
    for host in found.values():
        host.served = served
        host.cyclic = bool(cyclic & {host.key, *host.ips})
    return sorted(found.values(), key=lambda host: (not host.ips, [_nearest(ip) for ip in host.ips[:1]], host.key))


def _texts(value: Value) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, tuple) else ()


def _nearest(ip: str) -> tuple[bool, int, int]:
    """Orders IP addresses: those that can be reached from elsewhere first, and as people count."""
    address = ipaddress.ip_address(ip)
    return address.is_link_local, address.version, int(address)


def _address(protocol: str, ip: str, port: int) -> str:
    return str(Address(POLLED[protocol], ip, port, UNIT if protocol == "modbus" else 0))


def _name(host: Host, protocol: str, at: str, taken: set[str], more: str = "") -> str:
    """A name that nobody has yet, and `taken` has it then: the host's own, or else what it is and where."""
    last = re.split("[.:]", at)[-1] or "0"
    own = next((name for name in map(_speakable, host.names) if name), "")
    kind = next((word for word in (_speakable(_first(host, name)) for name in ("model", "product_code")) if word), "")
    base = own or "-".join([*(kind or protocol).split(), last])
    base = f"{base}-{more}" if more else base
    candidates = chain([base, f"{base}-{last}"] if own else [base], (f"{base}-{n}" for n in count(2)))
    name = next(name for name in candidates if name not in taken)
    taken.add(name)
    return name


def _speakable(text: str) -> str:
    """`text` as an asset may be called: printable, and no option of a command."""
    return "".join(letter if letter.isprintable() else " " for letter in text).lstrip("- ").rstrip()


def _first(host: Host, name: str) -> str:
    return next(iter(host.said.get(name, ())), "")


def _entry(host: Host, name: str, address: str, zone: str) -> Entry:
    keys = {"address": address, "profile": "auto", "zone": zone, "role": ROLE}
    return Entry(name, {key: value for key, value in keys.items() if value}, tuple(_about(host)))


def _about(host: Host) -> Iterator[str]:
    said = identity(host)
    told = [f"{WORDS.get(name, name)} {value}" for name, value in said.items() if value]
    yield ", ".join(told) or "it has not said what it is"
    card = maker(int(host.mac.replace(":", ""), 16)) if host.mac else None
    where = [f"MAC {host.mac}" + f" (a card by {card})" * bool(card)] if host.mac else []
    where += [f"IP {', '.join(host.ips)}"] if host.ips else []
    where += [f"calls itself {_together(host.names)}"] if host.names else []
    where += [f"speaks {', '.join(host.unpolled)}"] if host.unpolled else []
    yield "; ".join(where)


def identity(host: Host) -> Mapping[str, str | None]:
    """What it said of itself by field; where witnesses differ, all that they say."""
    return {found.name: _together(host.said.get(found.name, ())) or None for found in fields(Identity)}


def _together(values: Iterable[str]) -> str:
    spoken = list(values)
    return " / ".join(spoken[:SPOKEN_MOST]) + " / …" * (len(spoken) > SPOKEN_MOST)


def host_document(host: Host) -> dict[str, Any]:
    """A host as JSON has it."""
    spoken = sorted(host.ports.keys() & POLLED.keys()) + list(host.unpolled)
    return {
        "mac": host.mac,
        "ips": list(host.ips),
        "names": list(host.names),
        **identity(host),
        "protocols": spoken,
    }
