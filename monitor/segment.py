"""A segment as an asset: what was heard on its wire becomes items, and its snapshot is compared like every other.

Items are lists of what was heard (`baselines.drift` takes less than approved for no deviation, more for one):

    host.<mac>.ips, host.<mac>.<identity field>    service.<mac>.tcp.502    conversation.<client>.<server>.<protocol>
    address.<ip>: the MAC addresses that claim it

What was not heard for `stale_after` is left out, so that its verdict is stale; what nobody approved is forgotten then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta

from baselines.asset import IDENTITY_FIELDS, Identity
from baselines.snapshot import Category, Item, Severity, Snapshot, Unread, Value, key_of
from collectors.passive.heard import Conversation, Heard, HeardHost

IDENTITY = tuple(found.name for found in fields(Identity))
KNOWN_PORTS_END = 32768  # above, a port is given out by a system for a while, and no service of its own
HIDDEN = "encrypted"
BASIC = ("tcp", "udp")
CARD = "mac"  # the witness that is only the prefix of a MAC address
TOLD_AFTER = 20  # packets
HAD_MOST = 300  # values that one identity field ever had
KEYS_MOST = 50_000


Parts = dict[str, datetime]  # what was heard, and when last


@dataclass(slots=True)
class _Known:
    """What is known of one key. `had` is what an identity was before, `returned` how often it has come back to that."""

    parts: Parts
    at: datetime
    had: set[str] = field(default_factory=set)
    returned: int = 0

    def add(self, parts: Parts) -> None:
        for part, at in parts.items():
            self.parts[part] = max(at, self.parts.get(part, at))

    def replace(self, parts: Parts, at: datetime) -> None:
        """A new identity, or an old one that is told less of: the old one holds until another is heard.

        What goes to and fro is no update: several devices behind one address say by turns what they are.
        """
        if parts.keys() <= self.parts.keys():
            self.parts = dict.fromkeys(self.parts, at)
            return
        self.returned += parts.keys() <= self.had
        self.had = {*self.had, *self.parts, *parts} if len(self.had) < HAD_MOST else {*parts}
        self.parts = dict.fromkeys(self.had if self.returned > 1 else parts, at)


@dataclass(slots=True)
class Segment:
    """What is remembered of one segment. `restore` brings back what an earlier run of the daemon had heard."""

    name: str
    stale_after: timedelta
    _known: dict[str, _Known] = field(default_factory=dict)
    _hidden: Parts = field(default_factory=dict)
    _beyond: datetime | None = None  # when something was heard for which there was no room

    def restore(self, snapshot: Snapshot) -> None:
        at = snapshot.taken_at
        for item in snapshot.items:
            self._known.setdefault(item.key, _Known({str(part): at for part in _parts(item.value)}, at))

    def hear(self, heard: Heard) -> None:
        """Take in what the sensor has heard so far."""
        for key, parts, at, grows in self._said(heard):
            if key not in self._known and len(self._known) >= KEYS_MOST:
                self._beyond = at
                continue
            known = self._known.setdefault(key, _Known(dict(parts), at))
            known.at = max(known.at, at)
            if grows:
                known.add(parts)
            else:
                known.replace(parts, at)
        for talk in heard.conversations:
            if talk.hidden:
                self._hidden[_conversation_key(talk)] = _moment(talk.last_at)

    def snapshot(self, approved: Snapshot | None, now: datetime, lost: bool = False) -> Snapshot:
        """What was heard lately. A conversation that was approved readable and is encrypted now is unread; so is what
        passed while frames were `lost`."""
        oldest = now - self.stale_after
        pinned = approved.by_key if approved else {}
        for key in [key for key, known in self._known.items() if known.at < oldest and key not in pinned]:
            del self._known[key]
        self._hidden = {key: at for key, at in self._hidden.items() if at >= oldest}
        unread = [
            Unread(key, "it is encrypted now: what it does can no longer be seen")
            for key in self._hidden
            if key in pinned and HIDDEN not in _parts(pinned[key].value)
        ]
        missing = {gap.key for gap in unread}
        if lost:
            unread.append(Unread("capture", "frames were lost: what passed meanwhile was not seen"))
        elif self._beyond and self._beyond >= oldest:
            unread.append(Unread("capture", f"there is more than the {KEYS_MOST:,} items that are kept of a segment"))
        items = [
            _item(key, [part for part, at in known.parts.items() if at >= oldest])
            for key, known in self._known.items()
            if known.at >= oldest and key not in missing
        ]
        return Snapshot.of(self.name, now, items, unread)

    def _said(self, heard: Heard) -> Iterator[tuple[str, Parts, datetime, bool]]:
        """Key, what was heard, when last, and whether it adds up over time (a new firmware replaces the old one)."""
        claims: defaultdict[str, Parts] = defaultdict(dict)
        for host in heard.hosts:
            at = _moment(host.last_at)
            ips = self._own(host)
            yield key_of("host", host.key, "ips"), dict.fromkeys(ips, at), at, True
            if len(ips) == len(host.ips):  # or else it is a router, and what it said may be of those behind it
                yield from _host(host, at)
            if host.mac:
                for ip in ips:
                    claims[ip][host.mac] = at
        for ip, macs in claims.items():
            yield key_of("address", ip), macs, max(macs.values()), True
        for talk in heard.conversations:
            if _is_worth_it(talk):
                at = _moment(talk.last_at)
                yield _conversation_key(talk), dict.fromkeys(_functions(talk), at), at, True

    def _own(self, host: HeardHost) -> list[str]:
        """The addresses of a host. A router looks as if it had those of the hosts behind it, until it has said which
        is its own: after a start, those that were known to be behind one still are."""
        if host.mac is None:
            return list(host.ips)
        known = self._known.get(key_of("host", host.mac, "ips"))
        own = {found.value for found in host.evidence if found.field == "ip"}.union(known.parts if known else ())
        return [ip for ip in host.ips if ip in own or key_of("host", ip, "ips") not in self._known]


def _host(host: HeardHost, at: datetime) -> Iterator[tuple[str, Parts, datetime, bool]]:
    for name in IDENTITY:
        said = [
            found.value for found in host.evidence if found.field == name and found.newest and found.protocol != CARD
        ]
        if said:
            yield key_of("host", host.key, name), dict.fromkeys(said, at), at, False
    if host.names:
        yield key_of("host", host.key, "names"), dict.fromkeys(host.names, at), at, True
    for service in host.services:
        if service.protocol not in BASIC or service.port < KNOWN_PORTS_END:
            said = [service.protocol] if service.protocol not in BASIC else []  # not told, which takes nothing back
            yield key_of("service", host.key, service.carrier, str(service.port)), dict.fromkeys(said, at), at, False


def _is_worth_it(talk: Conversation) -> bool:
    """Whether a conversation is part of how the plant was built: one in a protocol that is known, or to a TCP service.

    Names called out to everybody, time servers, and ports that nobody answers come and go. What a connection speaks is
    told by its first packets: one that has hardly begun is not yet of no protocol that is known.
    """
    if talk.protocol == "tcp":
        return talk.answered and talk.port < KNOWN_PORTS_END and talk.packets >= TOLD_AFTER
    return talk.protocol not in ("udp", "arp", "dhcp") and not talk.protocol.startswith("ip-")


def _conversation_key(talk: Conversation) -> str:
    return key_of("conversation", talk.client, talk.server, talk.protocol)


def _functions(talk: Conversation) -> Iterable[str]:
    if talk.protocol == "tcp":
        return [f"port-{talk.port}"]
    return (*talk.functions, HIDDEN) if talk.hidden else talk.functions


def _item(key: str, parts: Iterable[str]) -> Item:
    group, _, rest = key.partition(".")
    name = rest.rpartition(".")[2]
    category, severity = IDENTITY_FIELDS.get(name, (Category.NETWORK, Severity.HIGH)) if group == "host" else (
        Category.NETWORK, Severity.CRITICAL if group == "address" else Severity.HIGH
    )  # fmt: skip
    return Item(key, tuple(sorted(parts)), category, severity)


def _parts(value: Value) -> tuple[Value, ...]:
    return value if isinstance(value, tuple) else ()


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at // 1_000_000_000, UTC)
