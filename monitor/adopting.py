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

POLLED = {"modbus": "modbus", "opcua": "opc.tcp"}  # as it is heard, and as an address has it
HEARD_AS = {scheme: protocol for protocol, scheme in POLLED.items()}
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
    def kind(self) -> str:
        """What it says it is, in one word that can be part of a name; "" if it does not say."""
        said = (*self.said.get("model", ()), *self.said.get("product_code", ()))
        return next(filter(None, map(_speakable, said)), "")

    @property
    def devices(self) -> list[Address]:
        """All that could be polled of it."""
        return [
            Address(scheme, self.at(protocol), port, UNIT if scheme == "modbus" else 0)
            for protocol, scheme in POLLED.items()
            for port in sorted(self.ports.get(protocol, ()))
            if self.ips
        ]

    def at(self, protocol: str) -> str:
        """The IP address at which it is asked in a protocol."""
        return next((ip for ip in self.ips if ip in self.served[protocol]), self.ips[0])


@dataclass(frozen=True, slots=True)
class Adoptable:
    """A host that was heard, and the entry that is proposed for it."""

    host: Host
    entry: Entry


@dataclass(frozen=True, slots=True)
class Known:
    """A host that assets stand for already, each with its address; or whose address another host claims as well."""

    host: Host
    assets: Mapping[str, str]


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
    proposing = _Proposing(plant, zone)
    for host in found:
        proposing.take(host)
    return Proposal(len(found), tuple(proposing.adoptable), tuple(proposing.known), tuple(proposing.unpolled))


class _Proposing:
    """One proposal in the making: what is there already grows with what is proposed."""

    def __init__(self, plant: Plant, zone: str) -> None:
        self.zone = zone
        self.taken = {*plant.assets, *plant.segments}
        self.there: defaultdict[str, dict[str, Address]] = defaultdict(dict)  # by IP address, the assets by name
        for name, polled in plant.assets.items():
            self.there[polled.target.address.host][name] = polled.target.address
        self.adoptable: list[Adoptable] = []
        self.known: list[Known] = []
        self.unpolled: list[Adoptable] = []

    def take(self, host: Host) -> None:
        devices = host.devices
        if not (devices or host.unpolled):
            return
        ports = {device.port for device in devices}
        there = {name: at for ip in host.ips for name, at in self.there[ip].items() if not ports or at.port in ports}
        if there:
            self.known.append(Known(host, {name: str(at) for name, at in there.items()}))
        elif not devices:
            self.unpolled.append(self.unpolled_yet(host))
        polled = {at.port for at in there.values()}
        for device in devices:
            if device.port not in polled:
                self.adoptable.append(self.entry_of(host, device, str(device.port) if len(devices) > 1 else ""))

    def entry_of(self, host: Host, device: Address, more: str) -> Adoptable:
        name = self.name(host, HEARD_AS[device.protocol], device.host, more)
        self.there[device.host][name] = device
        return Adoptable(host, _entry(host, name, str(device), self.zone))

    def unpolled_yet(self, host: Host) -> Adoptable:
        protocol, where = host.unpolled[0], host.ips[0] if host.ips else host.key
        return Adoptable(host, _entry(host, self.name(host, protocol, where), f"{protocol}://{where}", self.zone))

    def name(self, host: Host, protocol: str, where: str, more: str = "") -> str:
        """A name that nobody has yet, and this host has then: its own, or else what it is and where."""
        last = re.split("[.:]", where)[-1] or "0"
        own = next(filter(None, map(_speakable, host.names)), "")
        base = own or "-".join([*(host.kind or protocol).split(), last])
        base = f"{base}-{more}" if more else base
        candidates = chain([base, f"{base}-{last}"] if own else [base], (f"{base}-{n}" for n in count(2)))
        name = next(name for name in candidates if name not in self.taken)
        self.taken.add(name)
        return name


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


def _speakable(text: str) -> str:
    """`text` as an asset may be called: printable, and no option of a command."""
    return "".join(letter if letter.isprintable() else " " for letter in text).lstrip("- ").rstrip()


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
