"""What a poll says of an asset and what the wire says of it, held against each other (ATT&CK T0856, T0851)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from baselines.asset import IDENTITY_FIELDS
from baselines.rules import Finding, contradiction
from baselines.snapshot import Snapshot
from baselines.wire import Operation, WireEvent
from collectors.passive.heard import Evidence, Heard
from monitor.config import Plant
from monitor.store import Run

WIRE_NAMES = {"modbus": "modbus", "opc.tcp": "opcua"}  # how the wire calls what an address's scheme names
# What always raises an alarm when it is done to a device. A write does so by the conversation that it belongs to: that
# an approved client writes is how a plant works.
ALARMING = frozenset(Operation) - {Operation.WRITE, Operation.LOGIN, Operation.IDENTITY_READ}
AGAIN_AFTER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What polls of an asset have said without a change: from when to when, and what."""

    run: Run
    snapshot: Snapshot


def asset_at(plant: Plant, ip: str) -> str | None:
    """The asset that has an IP address; None where none, or several behind one address, have it."""
    found = [name for name, polled in plant.assets.items() if polled.target.address.host == ip]
    return found[0] if len(found) == 1 else None


def contradictions(plant: Plant, heard: Iterable[Heard], polled: Mapping[str, Witnessed]) -> dict[str, list[Finding]]:
    """By asset: the identity fields of which poll and wire said different things at the same time, by one protocol.

    At the same time: the wire's word came while polls before and after it said otherwise.
    """
    shared = Counter(found.target.address.host for found in plant.assets.values())
    witnesses = {
        ip: [evidence for evidence in host.evidence if evidence.newest]
        for each in heard
        for host in each.hosts
        for ip in host.ips
    }
    found: dict[str, list[Finding]] = {}
    for name, known in polled.items():
        address = plant.assets[name].target.address
        if shared[address.host] == 1 and address.host in witnesses:
            protocol = WIRE_NAMES.get(address.protocol, "")
            found[name] = list(_contradictions(known, protocol, witnesses[address.host]))
    return found


def _contradictions(polled: Witnessed, protocol: str, witnesses: Iterable[Evidence]) -> Iterator[Finding]:
    for evidence in witnesses:
        if evidence.protocol != protocol or evidence.field not in IDENTITY_FIELDS:
            continue
        item = polled.snapshot.by_key.get(f"identity.{evidence.field}")
        at = datetime.fromtimestamp(evidence.at / 1e9, UTC)
        if item and polled.run.first_at < at < polled.run.last_at and str(item.value).strip() != evidence.value:
            yield contradiction(evidence.field, item.value, evidence.value)


class Doings:
    """What was done lately, so that one download in a thousand blocks is one alarm."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, Operation], datetime] = {}

    def is_new(self, event: WireEvent, now: datetime) -> bool:
        """Whether this raises an alarm that the same client's doing to the same server has not just raised."""
        if event.operation not in ALARMING:
            return False
        self._seen = {key: at for key, at in self._seen.items() if now - at < AGAIN_AFTER}
        key = (event.client, event.server, event.operation)
        if key in self._seen:
            self._seen[key] = now
            return False
        self._seen[key] = now
        return True
