"""What is known of an asset, value by value, and where each comes from; or why nobody knows it. Pure.

What a device says of itself comes from polls, and where it was approved so, from the approved baseline; what polls do
not say may have been heard on the wire; and what nobody can read or hear is written by people, in plant.toml.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from baselines.snapshot import Item, Snapshot, canonical, key_of
from monitor.adopting import HEARD_AS, SPOKEN_MOST
from monitor.config import Plant, Polled
from monitor.report.overheard import Overheard, Sighting, port_text
from monitor.show import value_text

BASELINE, POLL, WIRE, WRITTEN = "approved baseline", "poll", "wire", "plant.toml"  # how a source begins
UNWRITTEN = "nobody wrote it into plant.toml"
UNSAID = "the device does not say it"
NEVER_READ = "it was never read"
UNHEARD_MOST = 3  # segments that a sentence names


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the inventory. `cisa`: one of the fourteen of high priority of CISA's OT asset inventory guidance
    (2025); `remedy` says how it comes to be known."""

    key: str
    title: str
    remedy: str
    cisa: bool = True


WRITE = "write {} into its table of plant.toml"
LISTEN = "listen to its segment ([segment.…])"
READ = "read by polls, if the device says it"
FIELDS = (
    Field("protocols", "Active protocols", f"poll it, or {LISTEN}"),
    Field("criticality", "Criticality", WRITE.format("criticality")),
    Field("asset_number", "Asset number", WRITE.format("asset_number")),
    Field("role", "Role", WRITE.format("role")),
    Field("hostname", "Host name", f"{LISTEN}, or {WRITE.format('hostname')}"),
    Field("ip", "IP address", "an address that is no name, or its mac in plant.toml and its segment heard"),
    Field("logging", "Logging", WRITE.format("logging")),
    Field("mac", "MAC address", f"{LISTEN}, or {WRITE.format('mac')}"),
    Field("manufacturer", "Manufacturer", READ),
    Field("model", "Model", READ),
    Field("operating_system", "Operating system", WRITE.format("operating_system")),
    Field("location", "Location", WRITE.format("location")),
    Field("ports", "Ports and services", f"{LISTEN}; a poll shows the one port that it uses"),
    Field("user_accounts", "User accounts", WRITE.format("user_accounts")),
    Field("product_code", "Product code", READ, cisa=False),
    Field("serial_number", "Serial number", READ, cisa=False),
    Field("firmware", "Firmware", READ, cisa=False),
    Field("hardware_revision", "Hardware revision", READ, cisa=False),
)
GUIDANCE = "CISA's OT asset inventory guidance (2025)"
CISA = tuple(field.key for field in FIELDS if field.cisa)
SAID = {  # what a device says of itself, by its name in a snapshot's identity
    "manufacturer": "manufacturer",
    "model": "model",
    "product_code": "product_code",
    "serial_number": "serial_number",
    "software_revision": "firmware",
    "hardware_revision": "hardware_revision",
}
PLAIN = ("asset_number", "role", "logging", "operating_system", "location", "user_accounts")  # that people alone know


@dataclass(frozen=True, slots=True)
class Known:
    """A value and its sources, the best first; or None, and why."""

    value: str | None
    sources: tuple[str, ...] = ()
    why: str = ""

    @property
    def origin(self) -> str:
        """Where it comes from, or why nobody knows it."""
        return ", ".join(self.sources) if self.value is not None else f"unknown: {self.why}"


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What is written of an asset, and what was read or heard instead."""

    field: str
    written: str
    found: str
    source: str


@dataclass(frozen=True, slots=True)
class Witnesses:
    """All that speaks of one asset: plant.toml, its last snapshot, its approved baseline, and who was heard at its
    address. `shared`: other assets are behind the same address, so that what was heard there may be any of them."""

    polled: Polled
    observed: Snapshot | None
    approved: Snapshot | None
    heard: Sequence[Sighting]
    shared: bool
    unheard: str  # why nobody was heard, if so


def heard_of(polled: Polled, overheard: Overheard) -> Sequence[Sighting]:
    """Who was heard at an asset's address, or else with the card that is written of it."""
    return overheard.at(polled.target.address.host) or overheard.with_card(polled.asset.mac)


def unheard(plant: Plant, overheard: Overheard) -> str:
    """Why an asset that was not heard was not."""
    if not plant.segments:
        return "nobody listens to its segment"
    if not overheard.segments:
        return "nothing was heard yet on any segment"
    more = "" if len(overheard.segments) <= UNHEARD_MOST else f" and {len(overheard.segments) - UNHEARD_MOST} more"
    return f"it was not heard on {', '.join(overheard.segments[:UNHEARD_MOST])}{more}"


def known(plant: Plant, of: Witnesses) -> dict[str, Known]:
    """What is known of an asset, by the keys of FIELDS."""
    asset = of.polled.asset
    written = f"asset.{key_of(asset.name)}.criticality" in plant.settings
    found = {
        "protocols": _protocols(of),
        "criticality": _written(asset.criticality.value if written else "", f"{UNWRITTEN}, so it is taken for medium"),
        "hostname": _hostname(of),
        "ip": _ip(of),
        "mac": _mac(of),
        "ports": _ports(of),
        **{key: _written(getattr(asset, key)) for key in PLAIN},
        **{key: _said(name, of) for name, key in SAID.items()},
    }
    return {field.key: found[field.key] for field in FIELDS}


def contradictions(of: Witnesses) -> Iterator[Contradiction]:
    """Where what people wrote is not what was heard. What a device says otherwise than it was approved is a deviation,
    and no part of this; who claims an address that another one has is an alarm."""
    asset, host = of.polled.asset, of.polled.target.address.host
    cards, ips = _cards(of.heard), _unique(ip for each in of.heard for ip in each.ips)
    if asset.mac and cards and asset.mac not in cards:
        yield Contradiction("mac", asset.mac, _together(cards), _where(of.heard))
    if _is_ip(host) and ips and host not in ips:
        yield Contradiction("ip", host, _together(ips), _where(of.heard))
    names = _names(of)
    if asset.hostname and names and not any(_same_name(asset.hostname, name) for name in names):
        yield Contradiction("hostname", asset.hostname, _together(names), _where(of.heard))


def log_in(observed: Snapshot | None, key: str) -> str | None:
    """What an OPC UA server offers, as it said when it was read: its `user_tokens`, its `security_policies`."""
    item = observed.by_key.get(f"endpoint.{key}") if observed else None
    return ", ".join(map(str, item.value)) if item and isinstance(item.value, tuple) else None


def _written(value: str, why: str = UNWRITTEN) -> Known:
    return Known(value, (WRITTEN,)) if value.strip() else Known(None, why=why)


def _said(name: str, of: Witnesses) -> Known:
    """One field of what a device says that it is."""
    key = f"identity.{name}"
    read, approved = (each.by_key.get(key) if each else None for each in (of.observed, of.approved))
    for item in (read, approved):
        if item and (text := _text(item)):
            agreed = approved and canonical(item.value) == canonical(approved.value)
            return Known(text, (BASELINE,) if agreed else (POLL,))
    if not of.shared:
        for each in of.heard:
            if told := [text for text in each.host.said.get(name, ()) if text.strip()]:
                return Known(_together(told), (each.source,))
    return Known(None, why=_unsaid(key, of.observed))


def _unsaid(key: str, observed: Snapshot | None) -> str:
    if observed is None:
        return NEVER_READ
    gap = next((gap for gap in observed.unread if gap.covers(key)), None)
    return f"it could not be read ({gap.why})" if gap else UNSAID


def _text(item: Item) -> str:
    shown = item.shown
    text = shown if isinstance(shown, str) else value_text(shown)
    return text if text.strip(" \t\r\n\0") else ""


def _hostname(of: Witnesses) -> Known:
    names, host = _names(of), of.polled.target.address.host
    written = of.polled.asset.hostname or ("" if _is_ip(host) else host)
    if written:
        heard = [each.source for each in of.heard if any(_same_name(written, name) for name in each.host.names)]
        return Known(written, _unique([WRITTEN, *heard]))
    if names:
        return Known(_together(names), (_where(of.heard),))
    if of.heard and of.shared:
        return Known(None, why="several assets are behind its address")
    return Known(None, why="it was heard, and said no name" if of.heard else of.unheard)


def _ip(of: Witnesses) -> Known:
    host = of.polled.target.address.host
    heard = _unique(ip for each in of.heard for ip in each.ips if ip != host)
    if _is_ip(host):
        more = heard if any(host in each.ips for each in of.heard) else ()
        sources = [POLL if of.observed else WRITTEN, *(each.source for each in of.heard if more)]
        return Known(", ".join([host, *more]), _unique(sources))
    if heard:
        return Known(", ".join(heard), (_where(of.heard),))
    return Known(None, why="its address is a name, and nobody was heard with its MAC address")


def _mac(of: Witnesses) -> Known:
    cards, written = _cards(of.heard), of.polled.asset.mac
    if written:
        heard = [each.source for each in of.heard if each.host.mac == written]
        return Known(written, _unique([WRITTEN, *heard]))
    if cards:
        return Known(", ".join(cards), (_where(of.heard),))
    return Known(None, why="it is behind a router, whose cards alone are heard" if of.heard else of.unheard)


def _protocols(of: Witnesses) -> Known:
    spoken = _unique(protocol for each in of.heard for protocol in each.protocols)
    polled = HEARD_AS[of.polled.target.address.protocol]
    if not (of.observed or spoken):
        return Known(None, why=f"it never answered a poll ({polled}), and {of.unheard or 'said nothing when heard'}")
    seen = sorted({*spoken, *([polled] if of.observed else [])})
    return Known(", ".join(seen), _seen(of, bool(spoken)))


def _ports(of: Witnesses) -> Known:
    """Those that were heard to answer, and the one that is polled."""
    address = of.polled.target.address
    heard = _unique(text for each in of.heard for text in each.ports)
    polled = port_text(address.port, "tcp", HEARD_AS[address.protocol]) if of.observed else ""
    if not (heard or polled):
        return Known(None, why=f"it never answered a poll, and {of.unheard or 'no port of it was heard to answer'}")
    heard_there = any(text.split()[0] == f"{address.port}/tcp" for text in heard)
    texts = heard if heard_there or not polled else (polled, *heard)
    return Known(", ".join(sorted(texts, key=lambda text: int(text.partition("/")[0]))), _seen(of, bool(heard)))


def _seen(of: Witnesses, heard: bool) -> tuple[str, ...]:
    return _unique([*([POLL] if of.observed else []), *([each.source for each in of.heard] if heard else [])])


def _names(of: Witnesses) -> tuple[str, ...]:
    """What was heard that it calls itself; nothing where others are behind the same address."""
    return () if of.shared else _unique(name for each in of.heard for name in each.host.names)


def _same_name(one: str, other: str) -> bool:
    """Whether two names are one; "plc5" is "plc5.plant.example" too."""
    first, second = (name.casefold().removesuffix(".") for name in (one, other))
    return first == second or first.startswith(f"{second}.") or second.startswith(f"{first}.")


def _cards(heard: Iterable[Sighting]) -> tuple[str, ...]:
    return _unique(each.host.mac for each in heard if each.host.mac)


def _where(heard: Iterable[Sighting]) -> str:
    return ", ".join(_unique(each.source for each in heard))


def _unique(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _together(texts: Sequence[str]) -> str:
    return ", ".join(texts[:SPOKEN_MOST]) + ", …" * (len(texts) > SPOKEN_MOST)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
