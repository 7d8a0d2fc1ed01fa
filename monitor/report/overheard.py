"""What the segments of a plant last said of their hosts, to be found by IP address and by MAC address. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from baselines.snapshot import Snapshot, parts_of
from monitor.adopting import Host, hosts

BASIC = ("tcp", "udp")  # what a conversation is called whose protocol nobody could tell


@dataclass(frozen=True, slots=True)
class Sighting:
    """One host as one segment heard it: what it speaks, served or asked for, and its ports, as "502/tcp modbus"."""

    segment: str
    host: Host
    ips: tuple[str, ...]  # the host's, sorted once
    protocols: tuple[str, ...]
    ports: tuple[str, ...]

    @property
    def source(self) -> str:
        return f"wire of {self.segment}"


class Overheard:
    """All hosts of some segments, each with its sightings in the order of the segments."""

    def __init__(self, segments: Mapping[str, Snapshot]) -> None:
        self.segments = tuple(segments)
        self.sightings = tuple(each for name, heard in segments.items() for each in _sightings(name, heard))
        self._by_ip: defaultdict[str, list[Sighting]] = defaultdict(list)
        self._by_mac: defaultdict[str, list[Sighting]] = defaultdict(list)
        for each in self.sightings:
            for ip in each.ips:
                self._by_ip[ip].append(each)
            if each.host.mac:
                self._by_mac[each.host.mac].append(each)

    def at(self, ip: str) -> Sequence[Sighting]:
        return self._by_ip.get(ip, ())

    def with_card(self, mac: str) -> Sequence[Sighting]:
        return self._by_mac.get(mac, ())


def _sightings(segment: str, heard: Snapshot) -> Iterable[Sighting]:
    spoken: defaultdict[str, set[str]] = defaultdict(set)  # by MAC or IP address
    ports: defaultdict[str, set[tuple[int, str]]] = defaultdict(set)
    for item in heard.items:
        match parts_of(item.key):
            case ("conversation", client, server, protocol):
                for end in (client, server):
                    spoken[end].add(protocol)
            case ("service", key, carrier, port):
                told = [part for part in item.value if isinstance(part, str)] if isinstance(item.value, tuple) else []
                spoken[key].update(told)
                ports[key].add((int(port), port_text(int(port), carrier, *told)))
    for host in hosts(heard):
        ips = host.ips
        protocols = {protocol for end in (host.key, *ips) for protocol in spoken.get(end, ())}
        served = sorted(ports.get(host.key, ()))
        yield Sighting(
            segment, host, ips, tuple(sorted(protocols.difference(BASIC))), tuple(text for _, text in served)
        )


def port_text(port: int, carrier: str, *protocols: str) -> str:
    """A port and what speaks there: "502/tcp modbus"."""
    return " ".join((f"{port}/{carrier}", *protocols))
