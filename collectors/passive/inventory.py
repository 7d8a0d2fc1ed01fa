"""Who was heard, while listening: addresses with their evidence, and conversations; bounded, whatever is on the wire.

An address is a MAC and an IP address as they were seen together in frames. Which of them make up a host is decided
when it is asked: one MAC address with many IP addresses behind it is a router, and their identities are not its own.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TypeVar

from baselines.asset import Identity
from collectors.passive.heard import Conversation, Evidence, HeardHost, Service
from collectors.passive.makers import maker

T = TypeVar("T")
NAMES_FROM = ("name",)
FIELDS = tuple(found.name for found in fields(Identity))
CARD = "mac"  # the witness that is only the prefix of a MAC address
EVIDENCE_MOST = 200  # values of one address
EVIDENCE_FEW = 8  # of one that may be made up, while there are too many
VALUES_MOST = 1 << 18  # of all addresses; and of functions of all conversations
FUNCTIONS_MOST = 200  # of one conversation
ADDRESSES_MOST = 1 << 15
TALKS_MOST = 1 << 16
UNSURE_MOST = 200  # hosts of one frame each that are told; more are a flood
SURE_AFTER = 10**9  # nanoseconds between the first and the last frame of a host
STANDING_MOST = 3600 * 10**9  # who was there for an hour gives way to nobody who was there for longer
MARKS = 1 << 25  # bits: of a million marks a minute, one in 5,000 is taken for another
MARKS_KEPT = 60 * 10**9  # nanoseconds
MAC = re.compile("[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
GROUP_BIT = 1 << 40  # of a MAC address: broadcast or multicast
CLAIMS = ("arp", "dhcp", "lldp", "cdp", "profinet-dcp")  # protocols by which a host itself says which addresses it has
# Where several witnesses name a field, whom to believe: those that speak for the device itself before its network card.
BEST_FIRST = ("s7comm", "modbus", "enip", "enip-udp", "opcua", "bacnet", "profinet-dcp", "lldp", "cdp", "dhcp", CARD)
CONTROL = frozenset({"modbus", "s7comm", "enip", "opcua", "bacnet", "cip-io"})
CAPABLE = (("Router", "router"), ("Bridge", "switch"), ("WLAN", "access point"), ("Telephone", "telephone"))


def mac_text(mac: int) -> str:
    return mac.to_bytes(6, "big").hex(":")


@dataclass(slots=True)
class Address:
    """A MAC address (0: none) and an IP address ("": below IP) that were seen together."""

    mac: int
    ip: str
    first_at: int
    frame: int
    last_at: int = 0
    sent: bool = False
    again: bool = False  # it was known before, and was let go
    protocols: set[str] = field(default_factory=set)
    # field, value, protocol → the frame in which it was first seen, and when it was seen last; the newest at the end
    evidence: dict[tuple[str, str, str], tuple[int, int]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.ip or mac_text(self.mac)

    @property
    def standing(self) -> int:
        """For how many nanoseconds it has been there."""
        return _standing(self.first_at, self.last_at)

    @property
    def sure(self) -> bool:
        """Whether there is more of it than one frame."""
        return self.again or self.standing >= SURE_AFTER

    def saw(self, name: str, value: str, protocol: str, frame: int, at: int) -> bool:
        """Keep a value; said again, it becomes the newest, but keeps the frame in which it was first seen. Whether it
        is new."""
        key = (name, value, protocol)
        known = self.evidence.pop(key, None)
        self.evidence[key] = known[0] if known else frame, at
        return known is None

    def trim(self, most: int) -> int:
        """Let the oldest values go until there are `most`; how many went."""
        before = len(self.evidence)
        while len(self.evidence) > most:
            del self.evidence[next(iter(self.evidence))]
        return before - len(self.evidence)


@dataclass(slots=True)
class Talk:
    """A conversation while it goes on."""

    client: Address
    server: Address
    carrier: str
    protocol: str
    port: int
    first_at: int = 0
    functions: set[str] = field(default_factory=set)
    hidden: str = ""
    answered: bool = False  # the server has sent something, not only refused
    packets: int = 0
    bytes: int = 0
    last_at: int = 0

    @property
    def standing(self) -> int:
        return _standing(self.first_at, self.last_at)

    @property
    def sure(self) -> bool:
        """Whether it is more than what one frame of a made-up sender begins, and another answers."""
        return self.standing >= SURE_AFTER or (self.client.sure and self.server.sure)


def _standing(first_at: int, last_at: int) -> int:
    return min(max(0, last_at - first_at), STANDING_MOST)


class Marks:
    """Which hashes were marked in the last minute or two, for good measure: four bits each, in two fields by turns."""

    def __init__(self) -> None:
        self._now: bytearray | None = None
        self._before = bytearray()
        self._turned_at = 0

    def __bool__(self) -> bool:
        return self._now is not None

    def turn(self, now: int) -> None:
        """Begin the next field when a minute is over."""
        if self._now is None or abs(now - self._turned_at) > MARKS_KEPT:  # a clock may be set back
            self._before = self._now or bytearray(MARKS // 8)
            self._now = bytearray(MARKS // 8)
            self._turned_at = now

    def mark(self, value: int) -> None:
        assert self._now is not None
        for place in self._places(value):
            self._now[place >> 3] |= 1 << (place & 7)

    def holds(self, value: int) -> bool:
        assert self._now is not None
        places = self._places(value)
        return any(all(field[place >> 3] >> (place & 7) & 1 for place in places) for field in (self._now, self._before))

    @staticmethod
    def _places(value: int) -> tuple[int, ...]:
        return tuple((value >> shift) % MARKS for shift in (0, 13, 26, 39))


class Inventory:
    """The addresses and conversations that an engine has heard.

    When they are too many, those go first of which only one frame was seen: a flood of made-up addresses is that. Of
    the others those stay that have been there for longest. Who comes again after that was there before, and stays.
    """

    def __init__(
        self, addresses_most: int = ADDRESSES_MOST, talks_most: int = TALKS_MOST, values_most: int = VALUES_MOST
    ) -> None:
        self.addresses: dict[tuple[int, str], Address] = {}
        self.talks: dict[tuple[str, str, str, int], Talk] = {}
        self._by_ip: dict[str, Address] = {}
        self._addresses_most, self._talks_most, self._values_most = addresses_most, talks_most, values_most
        self._values = self._functions = 0  # that are held
        self._forgotten = Marks()

    @property
    def full(self) -> bool:
        return (
            len(self.addresses) >= self._addresses_most
            or len(self.talks) >= self._talks_most
            or max(self._values, self._functions) >= self._values_most
        )

    def forget(self, now: int) -> int:
        """Make room; how many addresses and conversations were let go. `now` is in nanoseconds."""
        addresses, talks = len(self.addresses), len(self.talks)
        if not self.full:
            return 0
        spoken = [talk for talk in self.talks.values() if talk.answered or talk.functions or talk.sure]
        spoken.sort(key=lambda talk: (talk.sure, talk.standing, talk.last_at), reverse=True)
        best = spoken[: self._talks_most // 2]
        kept_talks, self._functions = _fitting(best, lambda talk: len(talk.functions), self._values_most // 2)
        known = {id(end) for talk in kept_talks for end in (talk.client, talk.server)}
        kept = self._best(known)
        staying = {id(found) for found in kept}
        self._forgotten.turn(now)
        for key, found in self.addresses.items():
            if id(found) not in staying:
                self._forgotten.mark(hash(key))
        self.addresses = {(found.mac, found.ip): found for found in kept}
        self._by_ip = {found.ip: found for found in kept if found.ip}
        self.talks = {
            (talk.client.text, talk.server.text, talk.carrier, talk.port): talk
            for talk in kept_talks
            if id(talk.client) in staying and id(talk.server) in staying
        }
        return addresses - len(self.addresses) + talks - len(self.talks)

    def _best(self, known: set[int]) -> list[Address]:
        """The addresses to keep, as far as they and what is known of them has room. `known`: ends of conversations."""
        worth = [
            (found.sure, id(found) in known, found.standing, found.last_at, found)
            for found in self.addresses.values()
            if id(found) in known or found.sure or found.evidence
        ]
        worth.sort(key=lambda one: one[:4], reverse=True)
        best = [found for *_, found in worth[: self._addresses_most // 2]]
        kept, self._values = _fitting(best, lambda found: len(found.evidence), self._values_most // 2)
        return kept

    def address(self, mac: int, ip: str, at: int, frame: int) -> Address:
        found = self.addresses.get((mac, ip))
        if found is None:
            found = self.addresses[mac, ip] = Address(mac, ip, at, frame)
            found.again = bool(self._forgotten) and self._forgotten.holds(hash((mac, ip)))
            if ip:
                self._by_ip.setdefault(ip, found)
        return found

    def saw(self, whom: Address, name: str, value: str, protocol: str, frame: int, at: int) -> bool:
        """Keep what was said of somebody; whether it is new."""
        if not whom.saw(name, value, protocol, frame, at):
            return False
        crowded = self._values >= self._values_most and not whom.sure
        self._values += 1 - whom.trim(EVIDENCE_FEW if crowded else EVIDENCE_MOST)
        return True

    def used(self, talk: Talk, functions: Iterable[str]) -> bool:
        """Keep which functions a conversation uses: the first, for so many nobody uses. Whether any is new."""
        before = len(talk.functions)
        if before < FUNCTIONS_MOST:
            talk.functions.update(functions)
        self._functions += len(talk.functions) - before
        return len(talk.functions) > before

    def talk(self, client: Address, server: Address, carrier: str, protocol: str, port: int, at: int = 0) -> Talk:
        """The conversation of a client with a port of a server; several connections are one conversation."""
        key = (client.text, server.text, carrier, port)
        found = self.talks.get(key)
        if found is None:
            found = self.talks[key] = Talk(client, server, carrier, protocol, port, at)
        return found

    def of(self, whom: str, at: int, frame: int) -> Address | None:
        """The address that a message speaks of by its MAC or IP address; None if it is neither."""
        if MAC.fullmatch(whom):
            return self.address(int(whom.replace(":", ""), 16), "", at, frame)
        ip = _ip(whom)
        return (self._by_ip.get(ip) or self.address(0, ip, at, frame)) if ip else None

    def conversations(self) -> tuple[Conversation, ...]:
        found = (
            Conversation(
                talk.client.text,
                talk.server.text,
                talk.protocol,
                talk.port,
                talk.packets,
                talk.bytes,
                tuple(sorted(talk.functions)),
                talk.hidden,
                talk.answered,
                talk.last_at,
            )
            for talk in self.talks.values()
        )
        return tuple(sorted(found, key=lambda talk: (talk.client, talk.server, talk.protocol, talk.port)))

    def hosts(self, sure: bool = False) -> tuple[HeardHost, ...]:
        """The hosts that the addresses make up, those that sent something or of which something was said.

        With `sure`, while there are more than `UNSURE_MOST` of which only one frame was seen, those are left out.
        """
        heard = [found for found in self.addresses.values() if found.sent or found.evidence]
        if sure and len(heard) > UNSURE_MOST:
            talking = {id(end) for talk in self.talks.values() if talk.sure for end in (talk.client, talk.server)}
            certain = [found for found in heard if found.sure or id(found) in talking]
            heard = heard if len(heard) - len(certain) <= UNSURE_MOST else certain
        groups = _grouped(heard)
        talks: defaultdict[str, list[Talk]] = defaultdict(list)
        for talk in self.talks.values():
            talks[talk.client.text].append(talk)
            talks[talk.server.text].append(talk)
        hosts = (_host(mac, group, [talk for found in group for talk in talks[found.text]]) for mac, group in groups)
        return tuple(sorted(hosts, key=lambda host: host.key))


def _fitting(best: Sequence[T], size: Callable[[T], int], most: int) -> tuple[list[T], int]:
    """The first of them whose sizes together are no more than that; and what they are."""
    kept, total = [], 0
    for one in best:
        if total + size(one) > most:
            break
        kept.append(one)
        total += size(one)
    return kept, total


def _grouped(addresses: Sequence[Address]) -> list[tuple[int, list[Address]]]:
    """The addresses of each host: those of one MAC, unless it is a router's; one for each IP address without a MAC."""
    of_mac: defaultdict[int, list[Address]] = defaultdict(list)
    for found in addresses:
        of_mac[found.mac].append(found)
    groups: list[tuple[int, list[Address]]] = []
    for mac, held in of_mac.items():
        own = held if mac and not mac & GROUP_BIT else []
        if own and (claimed := _claimed(own)) is not None:
            own = [found for found in held if not found.ip or found.ip in claimed or _link_local(found.ip)]
        if own:
            groups.append((mac, own))
        of_it = {id(found) for found in own}
        behind: defaultdict[str, list[Address]] = defaultdict(list)
        for found in held:
            if found.ip and id(found) not in of_it:
                behind[found.ip].append(found)
        groups += [(0, found) for found in behind.values()]
    return _merged(groups)


def _merged(groups: list[tuple[int, list[Address]]]) -> list[tuple[int, list[Address]]]:
    """What was said of a mere IP address belongs to the host that has it."""
    hosts = {found.ip: group for mac, group in groups if mac for found in group if found.ip}
    kept = []
    for mac, group in groups:
        if not mac and group[0].ip in hosts and not any(found.sent for found in group):
            hosts[group[0].ip] += group
        else:
            kept.append((mac, group))
    return kept


def _claimed(held: Iterable[Address]) -> set[str] | None:
    """The IP addresses that a MAC address has said are its own, where it sends for others too; None if it does not."""
    own = _said_own(evidence for found in held for evidence in found.evidence)
    routed = {found.ip for found in held if found.ip and not _link_local(found.ip)}
    by_version = Counter(":" in ip for ip in routed)
    if all(count <= 1 for count in by_version.values()):
        return None
    if not own and not any(count > 4 for count in by_version.values()):
        return None  # several addresses on one card
    return own


def _said_own(evidence: Iterable[tuple[str, str, str]]) -> set[str]:
    """The IP addresses that a host has said it has."""
    said = (_ip(value) for name, value, protocol in evidence if name == "ip" and protocol in CLAIMS)
    return {ip for ip in said if ip}


def _ip(text: str) -> str:
    """An IP address as everybody writes it; "" if it is none, or nobody's (0.0.0.0 is what a device has before it is
    given one)."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    return "" if address.is_unspecified else str(address)


def _link_local(ip: str) -> bool:
    return ip.startswith(("fe80:", "169.254."))


def _host(mac: int, group: list[Address], talks: list[Talk]) -> HeardHost:
    first = min(group, key=lambda found: (found.first_at, found.frame))
    seen: dict[tuple[str, str, str], tuple[int, int]] = {}
    for key, (frame, at) in sorted(
        (said for found in group for said in found.evidence.items()), key=lambda said: said[1][1]
    ):
        seen[key] = min(frame, seen.pop(key, (frame, at))[0]), at
    if mac and (made_by := maker(mac)):
        seen["manufacturer", made_by, CARD] = first.frame, first.first_at
    by_field: defaultdict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))  # the newest at the end
    for name, value, protocol in seen:
        by_field[name][protocol].append(value)
    ips = {found.ip for found in group if found.ip}
    ips |= _said_own(seen)
    own = {found.text for found in group}
    services: dict[tuple[str, int], str] = {}
    for talk in talks:
        if talk.answered and talk.server.text in own and talk.carrier in ("tcp", "udp"):
            known = services.get((talk.carrier, talk.port), talk.carrier)
            services[talk.carrier, talk.port] = talk.protocol if known == talk.carrier else known
    return HeardHost(
        mac_text(mac) if mac else None,
        tuple(sorted(ips, key=_ip_order)),
        tuple(sorted({value for name, value, _ in seen if name in NAMES_FROM})),
        Identity(**{name: _best(by_field.get(name, {})) for name in FIELDS}),
        _role(by_field, own, talks),
        tuple(sorted({talk.protocol for talk in talks}.union(*(found.protocols for found in group)))),
        tuple(Service(carrier, port, protocol) for (carrier, port), protocol in sorted(services.items())),
        first.first_at,
        max(found.last_at or found.first_at for found in group),
        tuple(
            Evidence(name, value, protocol, frame, at, newest=by_field[name][protocol][-1] == value)
            for (name, value, protocol), (frame, at) in sorted(
                seen.items(), key=lambda found: (found[0][0], found[1][0])
            )
        ),
        tuple(name for name in FIELDS if contradicted(by_field.get(name, {}))),
    )


def _ip_order(ip: str) -> tuple[int, int]:
    address = ipaddress.ip_address(ip)
    return address.version, int(address)


def _best(witnesses: Mapping[str, Sequence[str]]) -> str | None:
    """What the best witness said last."""
    if len(witnesses) < 2:
        return next((values[-1] for values in witnesses.values()), None)
    for protocol in BEST_FIRST:
        if values := witnesses.get(protocol):
            return values[-1]
    return next((values[-1] for values in witnesses.values()), None)


def contradicted(witnesses: Mapping[str, Sequence[str]]) -> bool:
    """Whether one witness said two things, or two say things of which neither holds the other.

    Protocols spell alike things differently ("V3.2.6" and "3.2.6"): letters and digits count, and one may say more than
    another.
    """
    spoken = {
        protocol: {_spelt(value) for value in values} for protocol, values in witnesses.items() if protocol != CARD
    }
    if any(len(values) > 1 for values in spoken.values()):
        return True
    said = sorted(value for values in spoken.values() for value in values)
    return any(one not in other and other not in one for one in said for other in said)


def _spelt(value: str) -> str:
    return "".join(letter for letter in value.casefold() if letter.isalnum()).removeprefix("v").lstrip("0")


def _role(by_field: Mapping[str, Mapping[str, Sequence[str]]], own: set[str], talks: Sequence[Talk]) -> str | None:
    """What it is in the plant: as it says itself; else by what it can do, and by who asks whom."""
    for name in ("role", "device_type"):
        if said := _best(by_field.get(name, {})):
            return said
    capable = _best(by_field.get("capabilities", {})) or ""
    for capability, role in CAPABLE:
        if capability in capable:
            return role
    control = [talk for talk in talks if talk.protocol in CONTROL]
    if any(talk.answered and talk.server.text in own for talk in control):
        return "controller"
    return "client" if control else None
