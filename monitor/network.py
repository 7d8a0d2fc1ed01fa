"""The network as the store holds it: hosts and conversations of all segments, held against what was approved.

A host is known by its MAC address, or by its IP address where it has none of its own (behind a router). One MAC
address on several segments is one host; an IP address without one is the host that has it, if only one does.
"""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from operator import is_
from threading import Lock
from typing import Any

from baselines.alert import Alert
from baselines.drift import Kind, Verdict, verdicts
from baselines.snapshot import Item, Snapshot, key_of, parse_snapshot, parts_of, utc_text
from collectors.passive.makers import maker
from monitor import store
from monitor.acting import acting
from monitor.config import Plant
from monitor.inventory import REPORTED_EVERY, unseen
from monitor.purdue import CYCLIC, Heard, Level, is_outside, level_of
from monitor.store import Transaction

MAC = re.compile("[0-9a-f]{2}(:[0-9a-f]{2}){5}")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CAPTURE = "capture"  # what a segment calls unread where not all of it was heard
NETWORKS_READY = 6
KEPT_READY = 24  # segments as they are now: an unchanged one is not read anew for each page


class State(StrEnum):
    """How a host or a conversation stands against what was approved, the most remarkable first.

    unseen: approved, and it cannot be heard now (encrypted, or nobody listens). unapproved: its segment has no
    approved baseline.
    """

    NEW = "new"
    CHANGED = "changed"
    UNSEEN = "unseen"
    SILENT = "silent"
    UNAPPROVED = "unapproved"
    APPROVED = "approved"


STATES = tuple(State)
VERDICTS = {
    Verdict.MATCH: State.APPROVED,
    Verdict.STALE: State.SILENT,
    Verdict.NO_BASELINE: State.UNAPPROVED,
    Verdict.NO_LONGER_OBSERVABLE: State.UNSEEN,
    Verdict.NEVER_SEEN: State.UNSEEN,
}


@dataclass(frozen=True, slots=True)
class Said:
    """One field that a host said of itself on a segment: what was heard, and what is approved (None: nothing)."""

    segment: str
    field: str
    heard: tuple[str, ...]
    approved: tuple[str, ...] | None
    state: State


@dataclass(frozen=True, slots=True)
class Service:
    """A port that a host answers on; `protocols` is empty where nobody could tell what is spoken there."""

    segment: str
    carrier: str
    port: int
    protocols: tuple[str, ...]
    state: State


@dataclass(frozen=True, slots=True)
class Talk:
    """What one host asks another in one protocol. `client` and `server` are hosts; `added` are the functions that
    nobody approved, `acts` those that change something; `is_outside` says that just one end had an address of the
    internet."""

    client: str
    server: str
    protocol: str
    functions: tuple[str, ...]
    added: tuple[str, ...]
    acts: tuple[str, ...]
    state: State
    segments: tuple[str, ...]
    is_outside: bool = False


@dataclass(frozen=True, slots=True)
class Host:
    """One host. `state` is that of all that is known of it; `rivals` claim one of its addresses too."""

    key: str
    mac: str | None
    ips: tuple[str, ...]
    names: tuple[str, ...]
    maker: str | None
    said: tuple[Said, ...]
    services: tuple[Service, ...]
    segments: tuple[str, ...]
    state: State
    assets: tuple[str, ...]
    zone: str
    level: Level
    protocols: tuple[str, ...]
    rivals: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What people call it: as plant.toml does, as it does itself, or by its address."""
        if len(self.assets) > 1:
            return f"{self.assets[0]} and {len(self.assets) - 1} more"
        return next(iter((*self.assets, *self.names)), self.address)

    @property
    def address(self) -> str:
        return next(iter(self.ips), self.key)

    @property
    def vendor(self) -> str:
        """Who made it, as it says; else who made its network card."""
        said = next((each.heard[0] for each in self.said if each.field == "manufacturer" and each.heard), "")
        return said or self.maker or ""


@dataclass(frozen=True, slots=True)
class Part:
    """One segment of the network: when it was heard last, whether it has a baseline, and why it is not heard now."""

    name: str
    heard_at: datetime | None
    has_baseline: bool
    unseen: Verdict | None
    why: str = ""  # or, while it is heard, why that is not all of it


@dataclass(frozen=True, slots=True)
class Network:
    """All hosts by key, all conversations, and the assets of plant.toml that were heard on no segment."""

    parts: tuple[Part, ...]
    hosts: Mapping[str, Host]
    talks: tuple[Talk, ...]
    unheard: tuple[str, ...]


def network(tx: Transaction, plant: Plant, now: datetime, segments: Sequence[str] = ()) -> Network:
    """The network of some segments, of all if none is named."""
    names = [name for name in plant.segments if not segments or name in segments]
    parts, heard = [], []
    for name in names:
        last, seen = store.last_run(tx, name), store.last_run(tx, name, observed=True)
        approved = store.current_baseline(tx, name)
        gap = unseen(seen, last, now, REPORTED_EVERY)
        digests = ((seen.digest or "") if seen else "", approved.digest if approved else "")
        found = _wire_of(tx, name, digests, gap is not None)
        why = (last.cause_text or "") if last and last.is_outage else found.lost
        parts.append(Part(name, seen.last_at if seen else None, approved is not None, gap, why))
        heard.append(found)
    return replace(_joined(plant, tuple(heard)), parts=tuple(parts))


def host_at(found: Network, address: str) -> Host | None:
    """The host that is known by a MAC or IP address; None if none is, or several are."""
    if host := found.hosts.get(address) or found.hosts.get(address.lower()):
        return host
    having = [host for host in found.hosts.values() if address in host.ips]
    return having[0] if len(having) == 1 else None


# ---- One segment


@dataclass(slots=True)
class _Seen:
    """What one segment says of one address that acts as a host."""

    key: str
    ips: set[str] = field(default_factory=set)
    state: State = State.APPROVED
    said: list[Said] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    rivals: set[str] = field(default_factory=set)
    is_told: bool = False  # the segment has an item of its own for it


@dataclass(frozen=True, slots=True)
class _Spoken:
    client: str
    server: str
    protocol: str
    functions: tuple[str, ...]
    added: tuple[str, ...]
    state: State


@dataclass(slots=True)
class _Wire:
    """One segment by itself."""

    name: str
    hosts: dict[str, _Seen] = field(default_factory=dict)
    spoken: list[_Spoken] = field(default_factory=list)
    claims: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lost: str = ""  # why not all of it was heard


_KEEPING = Lock()  # pages are made in threads
_READY: dict[tuple[str, str, str, bool], _Wire] = {}


def _wire_of(tx: Transaction, name: str, digests: tuple[str, str], deaf: bool) -> _Wire:
    """A segment by what a digest stands for, which never changes: so it is kept ready."""
    key = (name, *digests, deaf)
    if found := _READY.get(key):
        return found
    made = wire(name, *_snapshots(tx, name, *digests), deaf)
    with _KEEPING:
        while len(_READY) >= KEPT_READY:
            del _READY[next(iter(_READY))]
        _READY[key] = made
    return made


def _snapshots(tx: Transaction, name: str, observed: str, approved: str) -> tuple[Snapshot | None, Snapshot | None]:
    """What two digests stand for. Most lines of the two are the same, and become the same item: each is read once."""
    texts = dict(store.snapshot_texts(tx, {digest for digest in (observed, approved) if digest}))
    if approved not in texts or observed not in texts:
        one, other = (
            parse_snapshot(name, EPOCH, texts[each]) if each in texts else None for each in (observed, approved)
        )
        return one, other
    known = parse_snapshot(name, EPOCH, texts[approved])
    if observed == approved:
        return known, known
    items = dict(zip(texts[approved].splitlines(), known.items, strict=False))  # unread and dropped come behind them
    lines = texts[observed].splitlines()
    rest = parse_snapshot(name, EPOCH, "\n".join(line for line in lines if line not in items))
    both = [items[line] for line in lines if line in items]
    return Snapshot.of(name, EPOCH, [*both, *rest.items], rest.unread), known


def wire(name: str, observed: Snapshot | None, approved: Snapshot | None, deaf: bool = False) -> _Wire:
    """One segment: what was observed of it held against what was approved; `deaf`: nobody hears it now."""
    here, known = (each.by_key if each else {} for each in (observed, approved))
    same = {key for key, item in here.items() if item is known.get(key)}
    unread = observed.unread if observed else ()
    moved = Snapshot.of(name, EPOCH, (item for key, item in here.items() if key not in same), unread)
    found = dict(verdicts(approved, moved)) | dict.fromkeys(same, Verdict.MATCH)
    made = _Wire(name, lost=next((gap.why for gap in unread if gap.key == CAPTURE), ""))
    for key, verdict in found.items():
        if key in here or key in known:
            state = VERDICTS.get(verdict) or (State.CHANGED if key in known else State.NEW)
            state = State.UNSEEN if deaf and state is State.APPROVED else state
            _take(made, parts_of(key), here.get(key), known.get(key), state)
    for ip, macs in made.claims.items():
        _contested(made, ip, macs, known)
    return made


def _take(made: _Wire, parts: tuple[str, ...], seen: Item | None, known: Item | None, state: State) -> None:
    heard, approved = _texts(seen) or (), _texts(known)
    match parts:
        case ("host", key, "ips"):
            host = made.hosts.setdefault(key, _Seen(key))
            host.is_told, host.state = True, _worse(host.state, state)
            host.ips |= {*heard, *(approved or ())}
            host.said.append(Said(made.name, "ip", heard, approved, state))
        case ("host", key, name):
            host = made.hosts.setdefault(key, _Seen(key))
            host.said.append(Said(made.name, name, heard, approved, state))
            host.state = _worse(host.state, _of_a_part(state))
        case ("service", key, carrier, port) if port.isdecimal():
            host = made.hosts.setdefault(key, _Seen(key))
            host.services.append(Service(made.name, carrier, int(port), heard or approved or (), state))
            host.state = _worse(host.state, _of_a_part(state))
        case ("conversation", client, server, protocol):
            added = tuple(each for each in heard if each not in (approved or ())) if state is State.CHANGED else ()
            functions = tuple(sorted({*heard, *(approved or ())})) if seen is None else heard
            made.spoken.append(_Spoken(client, server, protocol, functions, added, state))
        case ("address", ip):
            made.claims[ip] = heard


def _of_a_part(state: State) -> State:
    """What the state of one field or service says of its host: that one of them is silent says nothing of it."""
    if state in (State.NEW, State.CHANGED):
        return State.CHANGED
    return State.APPROVED


def _contested(made: _Wire, ip: str, macs: tuple[str, ...], approved: Mapping[str, Item]) -> None:
    """Several cards that claim one address, but for those of which somebody has approved that they do."""
    known = _texts(approved.get(key_of("address", ip))) or ()
    for mac in macs if len(macs) > 1 else ():
        others = {other for other in macs if other != mac and not (mac in known and other in known)}
        if others and mac in made.hosts:
            made.hosts[mac].rivals |= others
            made.hosts[mac].state = _worse(made.hosts[mac].state, State.CHANGED)


def _worse(one: State, other: State) -> State:
    return min(one, other, key=STATES.index)


def _texts(item: Item | None) -> tuple[str, ...] | None:
    if item is None:
        return None
    return tuple(map(str, item.value)) if isinstance(item.value, tuple) else ()


# ---- All segments

_JOINED: list[tuple[Plant, tuple[_Wire, ...], Network]] = []  # made last, the newest first


def _joined(plant: Plant, wires: tuple[_Wire, ...]) -> Network:
    """What segments are together, kept ready for as long as neither they nor plant.toml change."""
    for known, parts, found in _JOINED:
        if known is plant and len(parts) == len(wires) and all(map(is_, parts, wires)):
            return found
    made = _Joining(plant, wires).network()
    with _KEEPING:
        _JOINED[:] = [(plant, wires, made), *_JOINED[: NETWORKS_READY - 1]]
    return made


class _Joining:
    """What the segments say of hosts put together, and what plant.toml says of them added."""

    def __init__(self, plant: Plant, wires: Iterable[_Wire]) -> None:
        self.plant, self.wires = plant, tuple(wires)
        self.seen: defaultdict[str, list[tuple[str, _Seen]]] = defaultdict(list)  # by host, with the segment
        self.at: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.by_address: defaultdict[str, list[str]] = defaultdict(list)  # the assets at an address
        self.by_mac: defaultdict[str, list[str]] = defaultdict(list)
        for name, polled in plant.assets.items():
            self.by_address[polled.target.address.host].append(name)
            if polled.asset.mac:
                self.by_mac[polled.asset.mac].append(name)
        for each in self.wires:
            for host in each.hosts.values():
                if MAC.fullmatch(host.key):
                    for ip in host.ips:
                        self.at[ip][each.name].add(host.key)

    def network(self) -> Network:
        for each in self.wires:
            for host in each.hosts.values():
                self.seen[self.key_of(each, host.key)].append((each.name, host))
        talks = self.talks()
        heard_of = self.heard_of(talks)
        keys = sorted({*self.seen, *heard_of}, key=_order)
        hosts = {key: self.host(key, heard_of.get(key, ())) for key in keys}
        known = {name for host in hosts.values() for name in host.assets}
        return Network((), hosts, talks, tuple(name for name in self.plant.assets if name not in known))

    def key_of(self, wire: _Wire, address: str) -> str:
        """The host that an address belongs to: where several cards have it, the one that was approved or claimed it
        first by the order of their addresses; on another segment only one may have it."""
        if address in wire.hosts and MAC.fullmatch(address):
            return address
        here: Mapping[str, set[str]] = self.at.get(address, {})
        if own := here.get(wire.name):
            return min(own, key=lambda mac: (STATES.index(wire.hosts[mac].state) * -1, mac))
        elsewhere = {mac for macs in here.values() for mac in macs}
        return next(iter(elsewhere)) if len(elsewhere) == 1 else address

    def talks(self) -> tuple[Talk, ...]:
        """Conversations by client, server and protocol; heard on several segments they are one."""
        found: dict[tuple[str, str, str], Talk] = {}
        for each in self.wires:
            for spoken in each.spoken:
                key = (self.key_of(each, spoken.client), self.key_of(each, spoken.server), spoken.protocol)
                found[key] = _together(found.get(key), spoken, each.name, key)
        return tuple(found[key] for key in sorted(found))

    def heard_of(self, talks: Iterable[Talk]) -> dict[str, list[Talk]]:
        found: defaultdict[str, list[Talk]] = defaultdict(list)
        for talk in talks:
            for end in {talk.client, talk.server}:
                found[end].append(talk)
        return dict(found)

    def host(self, key: str, talks: Sequence[Talk]) -> Host:
        seen = self.seen.get(key, [])
        mac = key if MAC.fullmatch(key) else None
        ips = {ip for _, each in seen for ip in each.ips}
        ips |= set() if mac else {key}
        state = _state(seen, talks)
        services = tuple(sorted((found for _, each in seen for found in each.services), key=_by_port))
        answers = {protocol for service in services for protocol in service.protocols}
        answers |= {talk.protocol for talk in talks if talk.server == key and talk.client != key}
        asks: dict[bool, set[str]] = {True: set(), False: set()}
        for talk in talks:
            if talk.client == key:
                asks[talk.state is State.NEW].add(talk.protocol)
        cyclic = any(CYCLIC in talk.functions for talk in talks)
        assets = self.assets(mac, ips)
        written = {name: self.plant.assets[name].asset.purdue_level for name in assets}
        zones = [zone for name in assets if (zone := self.plant.assets[name].asset.zone)]
        addresses = tuple(sorted(ips, key=_order)) or ((mac,) if mac else ())
        level = level_of(written, Heard(addresses, answers, asks[False], asks[True], cyclic, mac is not None))
        said = tuple(found for _, each in seen for found in each.said)
        return Host(
            key,
            mac,
            tuple(sorted(ips, key=_order)),
            tuple(
                sorted(
                    {text for found in said if found.field == "names" for text in found.heard or found.approved or ()}
                )
            ),
            maker(int(mac.replace(":", ""), 16)) if mac else None,
            said,
            services,
            tuple(dict.fromkeys([*(name for name, _ in seen), *(name for talk in talks for name in talk.segments)])),
            state,
            assets,
            zones[0] if zones else "",
            level,
            tuple(sorted({talk.protocol for talk in talks} | answers)),
            tuple(sorted({rival for _, each in seen for rival in each.rivals})),
        )

    def assets(self, mac: str | None, ips: Iterable[str]) -> tuple[str, ...]:
        found = dict.fromkeys(self.by_mac.get(mac or "", ()))
        for ip in sorted(ips):
            found |= dict.fromkeys(self.by_address.get(ip, ()))
        return tuple(found)


def _state(seen: Sequence[tuple[str, _Seen]], talks: Iterable[Talk]) -> State:
    """Of one that never sent anything, and so has no item of its own, its conversations tell: the most usual."""
    told = [each.state for _, each in seen if each.is_told]
    told = told or [said.state for _, each in seen for said in each.said]
    told = told or [service.state for _, each in seen for service in each.services]
    if told:
        return min(told, key=STATES.index)
    return max((talk.state for talk in talks), key=STATES.index, default=State.UNAPPROVED)


def _together(before: Talk | None, spoken: _Spoken, segment: str, key: tuple[str, str, str]) -> Talk:
    functions, added, state = spoken.functions, spoken.added, spoken.state
    segments: tuple[str, ...] = (segment,)
    if before:
        functions = tuple(sorted({*before.functions, *functions}))
        added = tuple(sorted({*before.added, *added}))
        state, segments = _worse(before.state, state), tuple(dict.fromkeys((*before.segments, segment)))
    outside = is_outside(spoken.client) != is_outside(spoken.server) or (before is not None and before.is_outside)
    return Talk(*key, functions, added, tuple(acting(functions)), state, segments, outside)


def _by_port(service: Service) -> tuple[int, str, str]:
    return service.port, service.carrier, service.segment


@lru_cache(16384)
def _order(address: str) -> tuple[int, int, str]:
    """Addresses as people count: IP before MAC addresses."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return 9, 0, address
    return found.version + found.is_link_local, int(found), address


# ---- Alarms


def alarms_of(found: Network, alerts: Iterable[Alert]) -> Mapping[str, Sequence[Alert]]:
    """By host the alarms about it: those of a segment that name it, and those of the assets that it is."""
    segments = {part.name for part in found.parts}
    by_asset: defaultdict[str, list[str]] = defaultdict(list)
    by_address: defaultdict[str, list[Host]] = defaultdict(list)
    for host in found.hosts.values():
        for name in host.assets:
            by_asset[name].append(host.key)
        for address in {host.key, *host.ips}:
            by_address[address].append(host)
    alarms: defaultdict[str, list[Alert]] = defaultdict(list)
    for alert in alerts:
        keys = dict.fromkeys(by_asset.get(alert.asset, ()))
        for part in parts_of(alert.item)[1:4] if alert.asset in segments or alert.kind is Kind.EVENT else ():
            here = by_address.get(part, ())
            keys |= {host.key: None for host in here if len(here) == 1 or alert.asset in host.segments}
        for key in keys:
            alarms[key].append(alert)
    return alarms


# ---- As JSON has it


def host_document(host: Host) -> dict[str, Any]:
    """One host (docs/json.md)."""
    return {
        "host": host.key,
        "mac": host.mac,
        "ips": list(host.ips),
        "names": list(host.names),
        "card_by": host.maker,
        "state": host.state,
        "assets": list(host.assets),
        "zone": host.zone,
        "level": host.level.value,
        "level_name": host.level.name,
        "level_why": host.level.why,
        "level_written": host.level.written,
        "protocols": list(host.protocols),
        "segments": list(host.segments),
        "rivals": list(host.rivals),
        "said": [_said_document(each) for each in host.said],
        "services": [_service_document(each) for each in host.services],
    }


def _said_document(said: Said) -> dict[str, Any]:
    return {
        "segment": said.segment,
        "field": said.field,
        "heard": list(said.heard),
        "approved": None if said.approved is None else list(said.approved),
        "state": said.state,
    }


def _service_document(service: Service) -> dict[str, Any]:
    return {
        "segment": service.segment,
        "carrier": service.carrier,
        "port": service.port,
        "protocols": list(service.protocols),
        "state": service.state,
    }


def talk_document(talk: Talk, crossing: str | None) -> dict[str, Any]:
    """One conversation."""
    return {
        "client": talk.client,
        "server": talk.server,
        "protocol": talk.protocol,
        "functions": list(talk.functions),
        "added": list(talk.added),
        "acts": list(talk.acts),
        "state": talk.state,
        "segments": list(talk.segments),
        "crossing": crossing,
    }


def part_document(part: Part) -> dict[str, Any]:
    """One segment."""
    return {
        "segment": part.name,
        "heard_at": utc_text(part.heard_at) if part.heard_at else None,
        "has_baseline": part.has_baseline,
        "unseen": part.unseen,
        "why": part.why,
    }
