"""What a poll says of an asset and what the wire says of it, held against each other (ATT&CK T0856, T0851, T0830)."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

from baselines.asset import Identity
from baselines.rules import CLAIMED, Finding, contradiction, impersonation
from baselines.snapshot import Snapshot, Value, key_of
from baselines.wire import Operation, WireEvent
from collectors.passive.heard import Evidence, Heard, HeardHost
from collectors.passive.inventory import CLAIMS
from collectors.passive.protocols.texts import LONGEST
from monitor.config import Plant, Polled

WIRE_NAMES = {"modbus": "modbus", "opc.tcp": "opcua"}  # how the wire calls what an address's scheme names
# What always raises an alarm when it is done to a device. A write does so unless it belongs to an approved
# conversation: that a client writes is how a plant works.
ALARMING = frozenset(Operation) - {Operation.WRITE, Operation.LOGIN, Operation.IDENTITY_READ}
AGAIN_AFTER = timedelta(minutes=1)
WRITTEN_AGAIN_AFTER = timedelta(days=1)  # who writes, writes by the hour
LATELY_MOST = 10_000
ESCAPED = re.compile(r"\\x([89a-f][0-9a-f])")  # how a poll shows a byte that is no UTF-8
WORDS = re.compile(r"[^\W\d_]+|\d+")


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What polls of an asset have said without a change: since when, until when for sure, and what.

    The last poll may have read one thing before and another after the device changed, so `until` is when it began.
    """

    since: datetime
    until: datetime
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Overheard:
    """What the wire of one segment says, what of it was said lately, and what is approved of it."""

    heard: Heard
    oldest: datetime
    approved: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class Weighed:
    """Where the witnesses of an asset contradict each other, and the keys in which they agree."""

    contradictions: tuple[Finding, ...] = ()
    agreed: frozenset[str] = frozenset()


class Hosts:
    """The assets of a plant by their IP address."""

    def __init__(self, plant: Plant) -> None:
        self._at: defaultdict[str, list[Polled]] = defaultdict(list)
        for polled in plant.assets.values():
            self._at[polled.target.address.host].append(polled)

    def all_at(self, host: str) -> Sequence[Polled]:
        return self._at.get(host, ())

    def asset_at(self, host: str) -> str | None:
        """The asset that has an IP address; None where none, or several behind one address, have it."""
        found = self.all_at(host)
        return found[0].asset.name if len(found) == 1 else None


def weigh(plant: Plant, overheard: Iterable[Overheard], polled: Mapping[str, Witnessed]) -> dict[str, Weighed]:
    """By asset what its witnesses came to, where the wire has said anything of it lately."""
    shared = Counter(found.target.address.host for found in plant.assets.values())
    lately: defaultdict[str, list[Evidence]] = defaultdict(list)
    claimed: dict[str, Weighed] = {}
    for each in overheard:
        here: defaultdict[str, list[HeardHost]] = defaultdict(list)
        for host in each.heard.hosts:
            for ip in host.ips:
                if ip in shared and _moment(host.last_at) >= each.oldest:
                    here[ip].append(host)
                    lately[ip] += [said for said in host.evidence if _moment(said.at) >= each.oldest]
        for ip, hosts in here.items():
            who, before = _claimed(ip, hosts, each.approved), claimed.get(ip, Weighed())
            if who.contradictions or not (before.contradictions or before.agreed):
                claimed[ip] = who
    found: dict[str, Weighed] = {}
    for name, asset in plant.assets.items():
        address = asset.target.address
        if address.host not in claimed:
            continue
        who = claimed.pop(address.host)  # of several assets with one address, the first
        known = polled.get(name) if shared[address.host] == 1 else None
        said = _identity(known, WIRE_NAMES.get(address.protocol, ""), lately[address.host]) if known else Weighed()
        found[name] = Weighed(who.contradictions + said.contradictions, who.agreed | said.agreed)
    return found


def _claimed(ip: str, hosts: Iterable[HeardHost], approved: Snapshot | None) -> Weighed:
    """Whether devices that were on one segment at the same time say that they have one address.

    Who only hands on what others sent, as a router does, does not say so; a card that took the place of another was
    not there with it. Where the baseline of the segment knows the address, another claim is a deviation of its own.
    """
    if approved and key_of("address", ip) in approved.by_key:
        return Weighed(agreed=frozenset([CLAIMED]))
    holder: HeardHost | None = None
    rivals: list[str] = []
    for host in sorted((host for host in hosts if _claims(host, ip)), key=lambda host: host.first_at):
        if holder is None or host.first_at >= holder.last_at:
            holder, rivals = host, []
        elif host.key != holder.key:
            rivals.append(host.key)
    if holder and rivals:
        return Weighed((impersonation(holder.key, rivals),))
    return Weighed(agreed=frozenset([CLAIMED] if holder else []))


def _claims(host: HeardHost, ip: str) -> bool:
    said = any(found.field == "ip" and found.value == ip and found.protocol in CLAIMS for found in host.evidence)
    return host.mac is not None and (said or host.ips == (ip,))


def _identity(polled: Witnessed, protocol: str, said: Iterable[Evidence]) -> Weighed:
    """The identity fields of which poll and wire said different things at the same time, by one protocol.

    At the same time: the wire's word came while polls before and after it said otherwise. What the wire said last may
    be what the device answered to us, so everything that it said meanwhile counts.
    """
    contradictions, agreed = [], set()
    for name, item, words in _of_fields(polled.snapshot, [each for each in said if each.protocol == protocol]):
        others = [word for word in words if not _alike(name, item, word.value)]
        meanwhile = [word for word in others if polled.since < _moment(word.at) < polled.until]
        if meanwhile:
            contradictions.append(contradiction(name, item, max(meanwhile, key=lambda word: word.at).value))
        elif max(words, key=lambda word: word.at) not in others:
            agreed.add(f"witness.{name}")
    return Weighed(tuple(contradictions), frozenset(agreed))


def _of_fields(polled: Snapshot, said: Iterable[Evidence]) -> Iterator[tuple[str, Value, list[Evidence]]]:
    """Field, what was polled, what was heard. Only of what identifies a device: for a product's name, say, OPC UA has
    several places, and we do not know which of them the wire quotes."""
    words: defaultdict[str, list[Evidence]] = defaultdict(list)
    for each in said:
        words[each.field].append(each)
    for field in fields(Identity):
        item = polled.by_key.get(f"identity.{field.name}")
        if item and words[field.name]:
            yield field.name, item.value, words[field.name]


def _alike(field: str, polled: Value, heard: str) -> bool:
    """Whether two values say the same, as polls and the wire spell it: "V02.10" and "2.10" are one revision."""
    shown = ESCAPED.sub(lambda found: chr(int(found[1], 16)), str(polled)).partition("\0")[0].strip()[:LONGEST]
    one, other = _words(shown), _words(heard)
    return shown == heard or one == other or (not field.endswith("_revision") and "".join(one) == "".join(other))


def _words(text: str) -> list[str]:
    words = [word.lstrip("0") if word.isdecimal() else word for word in WORDS.findall(text.casefold())]
    return words[1:] if words[:1] == ["v"] else words


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1e9, UTC)


def is_alarming(event: WireEvent, approved: Snapshot | None) -> bool:
    """Whether what was done raises an alarm; `approved` is the baseline of the segment where it was heard."""
    if event.operation is Operation.WRITE:
        return not _may_write(event, approved)
    return event.operation in ALARMING


class Lately:
    """What was told lately, and is not told again before a time has passed. Bounded: the oldest is forgotten first."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, datetime] = {}

    def is_new(self, what: Hashable, again_after: timedelta, now: datetime) -> bool:
        """Whether it was not told lately."""
        return what not in self._seen or now - self._seen[what] >= again_after

    def note(self, told: Iterable[Hashable], now: datetime) -> None:
        """These were told."""
        for what in told:
            self._seen.pop(what, None)
            self._seen[what] = now
        for what in list(self._seen)[:-LATELY_MOST]:
            del self._seen[what]


class Doings:
    """What raised an alarm lately, so that one download in a thousand blocks is one alarm."""

    def __init__(self) -> None:
        self._lately = Lately()

    def is_new(self, event: WireEvent, now: datetime) -> bool:
        """Whether the same client's doing to the same server has not just raised an alarm."""
        again_after = WRITTEN_AGAIN_AFTER if event.operation is Operation.WRITE else AGAIN_AFTER
        return self._lately.is_new(_doing(event), again_after, now)

    def note(self, events: Iterable[WireEvent], now: datetime) -> None:
        """Their alarms are raised, or were."""
        self._lately.note(map(_doing, events), now)


def _doing(event: WireEvent) -> Hashable:
    return event.client, event.server, event.operation


def _may_write(event: WireEvent, approved: Snapshot | None) -> bool:
    """Whether a write is a part of what was approved: this conversation, with this function where it names one."""
    known = approved.by_key if approved else {}
    item = known.get(key_of("conversation", event.client, event.server, event.protocol))
    if item is None or not isinstance(item.value, tuple):
        return False
    return "function" not in event.detail or event.detail["function"] in item.value
