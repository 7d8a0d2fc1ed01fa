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


@dataclass(slots=True)
class _Known:
    item: Item
    at: datetime


@dataclass(slots=True)
class Segment:
    """What is remembered of one segment. `restore` brings back what an earlier run of the daemon had heard."""

    name: str
    stale_after: timedelta
    _known: dict[str, _Known] = field(default_factory=dict)
    _hidden: dict[str, datetime] = field(default_factory=dict)

    def restore(self, snapshot: Snapshot) -> None:
        for item in snapshot.items:
            self._known.setdefault(item.key, _Known(item, snapshot.taken_at))

    def hear(self, heard: Heard) -> None:
        """Take in what the sensor has heard so far."""
        for key, parts, at, grows in _said(heard):
            known = self._known.get(key)
            if known is None or not known.item.value:
                self._known[key] = _Known(_item(key, parts), at)
                continue
            assert isinstance(known.item.value, tuple)
            known.at = max(known.at, at)
            if not parts <= set(known.item.value):
                known.item = _item(key, parts | set(known.item.value) if grows else parts)
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
        unread = [
            Unread(key, "it is encrypted now: what it does can no longer be seen")
            for key, at in self._hidden.items()
            if at >= oldest and key in pinned and HIDDEN not in _parts(pinned[key].value)
        ]
        missing = {gap.key for gap in unread}
        if lost:
            unread.append(Unread("capture", "frames were lost: what passed meanwhile was not seen"))
        items = (known.item for key, known in self._known.items() if known.at >= oldest and key not in missing)
        return Snapshot.of(self.name, now, items, unread)


def _said(heard: Heard) -> Iterator[tuple[str, set[str], datetime, bool]]:
    """Key, what was heard, when last, and whether it adds up over time (a new firmware replaces the old one)."""
    claims: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for host in heard.hosts:
        at = _moment(host.last_at)
        yield from _host(host, at)
        if host.mac:
            for ip in host.ips:
                claims[ip][host.mac] = host.last_at
    for ip, macs in claims.items():
        yield key_of("address", ip), set(macs), _moment(max(macs.values())), True
    talks: defaultdict[str, list[Conversation]] = defaultdict(list)
    for talk in heard.conversations:
        if _is_worth_it(talk):
            talks[_conversation_key(talk)].append(talk)
    for key, same in talks.items():
        said = {part for talk in same for part in _functions(talk)}
        yield key, said, _moment(max(talk.last_at for talk in same)), True


def _host(host: HeardHost, at: datetime) -> Iterator[tuple[str, set[str], datetime, bool]]:
    yield key_of("host", host.key, "ips"), set(host.ips), at, True
    for name in IDENTITY:
        said = {
            found.value for found in host.evidence if found.field == name and found.newest and found.protocol != CARD
        }
        if said:
            yield key_of("host", host.key, name), said, at, False
    if host.names:
        yield key_of("host", host.key, "names"), set(host.names), at, True
    for service in host.services:
        if service.protocol not in BASIC or service.port < KNOWN_PORTS_END:
            yield key_of("service", host.key, service.carrier, str(service.port)), {service.protocol}, at, False


def _is_worth_it(talk: Conversation) -> bool:
    """Whether a conversation is part of how the plant was built: one in a protocol that is known, or to a TCP service.

    Names called out to everybody, time servers, and ports that nobody answers come and go.
    """
    return (talk.protocol not in ("udp", "tcp", "arp", "dhcp") and not talk.protocol.startswith("ip-")) or (
        talk.protocol == "tcp" and talk.answered and talk.port < KNOWN_PORTS_END
    )


def _conversation_key(talk: Conversation) -> str:
    return key_of("conversation", talk.client, talk.server, talk.protocol)


def _functions(talk: Conversation) -> Iterable[str]:
    if talk.protocol == "tcp":
        return [f"port-{talk.port}"]
    return (*talk.functions, HIDDEN) if talk.hidden else talk.functions


def _item(key: str, parts: set[str] | set[Value]) -> Item:
    group, _, rest = key.partition(".")
    name = rest.rpartition(".")[2]
    category, severity = IDENTITY_FIELDS.get(name, (Category.NETWORK, Severity.HIGH)) if group == "host" else (
        Category.NETWORK, Severity.CRITICAL if group == "address" else Severity.HIGH
    )  # fmt: skip
    return Item(key, tuple(sorted(str(part) for part in parts)), category, severity)


def _parts(value: Value) -> tuple[Value, ...]:
    return value if isinstance(value, tuple) else ()


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at // 1_000_000_000, UTC)
