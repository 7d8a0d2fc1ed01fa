"""Networks for the tests of the map: from real captures, and made up, as many hosts as are asked for."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from baselines.baseline import Stage
from baselines.snapshot import Category, Item, Severity, Snapshot, Unread, key_of
from collectors.address import parse_address
from collectors.collector import Poll, Target
from collectors.contract import Sent
from collectors.passive.heard import Heard
from monitor import actions, store
from monitor.config import Plant
from monitor.evidence import note_assets
from monitor.pipeline import take
from monitor.segment import Segment
from monitor.store import Actor, Database
from tests.sites import plant_with

AT = datetime(2026, 11, 26, 8, 0, tzinfo=UTC)
KIM = Actor("kim", "kim@workstation")
MAKERS = ("00:1b:1b", "00:00:bc", "00:80:f4", "00:0e:8c", "00:30:de")
SEGMENT = '[segment."{}"]\ninterface = "eth1"\n'


def mac_of(number: int) -> str:
    return f"{MAKERS[number % len(MAKERS)]}:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"


def ip_of(subnet: int, number: int) -> str:
    return f"10.0.{subnet}.{number}"


def item(*parts: str, value: Iterable[str] = ()) -> Item:
    return Item(key_of(*parts), tuple(sorted(value)), Category.NETWORK, Severity.HIGH)


@dataclass
class Made:
    """Items of a segment in the making."""

    items: dict[str, Item] = field(default_factory=dict)

    def put(self, *parts: str, value: Iterable[str] = ()) -> None:
        found = item(*parts, value=value)
        self.items[found.key] = found

    def host(self, mac: str, *ips: str, **said: str) -> None:
        self.put("host", mac, "ips", value=ips)
        for ip in ips:
            self.put("address", ip, value=[mac])
        for name, text in said.items():
            self.put("host", mac, name, value=[text])

    def serves(self, mac: str, port: int, protocol: str) -> None:
        self.put("service", mac, "tcp", str(port), value=[protocol])

    def talk(self, client: str, server: str, protocol: str, *functions: str) -> None:
        self.put("conversation", client, server, protocol, value=functions)

    def snapshot(self, name: str, without: Iterable[str] = (), unread: Sequence[Unread] = ()) -> Snapshot:
        left = [each for key, each in self.items.items() if not any(part in key for part in without)]
        return Snapshot.of(name, AT, left, unread)


@dataclass(frozen=True)
class Floor:
    """A made-up plant: its plant.toml, and what was approved and what is heard of its segment."""

    toml: str
    approved: Snapshot
    heard: Snapshot


def floor(hosts: int, talks: int, name: str = "plantwide", seed: int = 7) -> Floor:
    """A floor with lines of PLCs and panels, supervision above them, a DMZ, an office, a router; some of it is new,
    changed or silent."""
    chance = random.Random(seed)
    made, toml = Made(), [SEGMENT.format(name)]
    lines = max(1, min(12, hosts // 12))
    top = [(ip_of(90, 10), "scada-a", 3.0), (ip_of(90, 11), "historian", 3.0), (ip_of(80, 5), "jump-host", 3.5)][
        : max(1, hosts // 8)
    ]
    plcs: list[str] = []
    panels: list[str] = []
    number = 0
    for ip, called, level in top:
        number += 1
        made.host(mac_of(number), ip, names=called)
        toml.append(_asset(f"site/{called}", ip, level, "site"))
    while number < hosts - max(2, hosts // 20):
        number += 1
        line = number % lines + 1
        ip = ip_of(line, 10 + number // lines)
        is_panel = number % 7 == 0
        protocol, port = (("modbus", 502), ("s7comm", 102), ("enip", 44818))[line % 3]
        said = (
            {}
            if number % 4
            else {"manufacturer": ("Siemens AG", "Rockwell Automation", "Schneider Electric")[line % 3]}
        )
        called = f"{'panel' if is_panel else 'plc'}-{number:03}"
        made.host(mac_of(number), ip, names=called, **said)
        if is_panel:
            panels.append(ip)
        else:
            plcs.append(ip)
            made.serves(mac_of(number), port, protocol)
        if number % 9:  # the others are in no plant.toml
            toml.append(
                _asset(f"line{line}/{called}", ip, None if number % 5 == 0 else 2.0 if is_panel else 1.0, f"line{line}")
            )
    clients = [*panels, *(ip for ip, *_ in top)] or plcs[:1]
    lined: dict[str, list[str]] = {}
    for ip in plcs:
        lined.setdefault(ip.split(".")[2], []).append(ip)
    ready = len(made.items)
    for _ in range(20 * talks):
        if len(made.items) - ready >= talks or not plcs:
            break
        client = chance.choice(panels if panels and chance.random() < 0.9 else clients)
        server = chance.choice(lined.get(client.split(".")[2], plcs))
        line = int(server.split(".")[2])
        protocol, read, write = (
            ("modbus", "read-holding-registers", "write-multiple-registers"),
            ("s7comm", "read-var", "write-var"),
            ("enip", "read-tag", "write-tag"),
        )[line % 3]
        made.talk(client, server, protocol, read, *([write] if chance.random() < 0.25 else []))
    made.talk(top[-1][0], "10.0.200.7", "tcp", "port-443")
    made.talk("10.0.200.7", ip_of(90, 11), "tcp", "port-1433")
    approved = made.snapshot(name)
    quiet = [mac_of(each) for each in range(7, hosts, 61)]
    for fresh in range(hosts - max(2, hosts // 20), hosts):
        made.host(mac_of(fresh), ip_of(77, fresh % 250))
        if fresh % 2 and plcs:
            made.talk(
                ip_of(77, fresh % 250),
                plcs[fresh % len(plcs)],
                "modbus",
                "read-holding-registers",
                "write-single-register",
            )
    made.host("02:00:00:00:66:06", "10.0.66.6", names="laptop-of-somebody")
    if plcs:
        made.talk("10.0.66.6", plcs[0], "s7comm", "plc-stop", "read-szl-0x0011")
        made.talk(plcs[-1], "93.184.216.34", "tls")
        made.talk(plcs[0], "224.0.1.129", "bacnet", "who-is")
    return Floor("\n".join(toml), approved, made.snapshot(name, quiet))


def _asset(name: str, ip: str, level: float | None, zone: str) -> str:
    said = "" if level is None else f"purdue_level = {level}\n"
    return f'[asset."{name}"]\naddress = "modbus://{ip}/1"\nprofile = "generic-modbus"\nzone = "{zone}"\n{said}'


def stored(
    folder: Path, toml: str, segments: Sequence[tuple[Snapshot | None, Snapshot | None]], at: datetime = AT
) -> tuple[Plant, Database]:
    """A plant whose segments were heard so, each with what is approved of it, if anything."""
    plant = plant_with(folder, toml, ())
    database = Database(plant.store_url)
    database.migrate()
    with database.write() as tx:
        note_assets(tx, plant, store.ITSELF, at - timedelta(days=2))
    for approved, heard in segments:
        if approved is not None:
            with database.write() as tx:
                actions.propose(tx, approved, Stage.SAT, KIM, at - timedelta(days=1), "as built")
                actions.approve(tx, approved.asset, KIM, "seen", at - timedelta(days=1), although_changed=True)
        if heard is not None:
            with database.write() as tx:
                seen = Snapshot(heard.asset, at, heard.items, heard.unread)
                take(tx, Poll(Target(heard.asset, parse_address("modbus://plc/1")), seen, Sent(), 0.0), at)
    return plant, database


def from_captures(name: str, heard: Iterable[Heard]) -> Snapshot:
    """What a segment would say of captures."""
    segment, last = Segment(name, timedelta(days=3650 * 3)), AT
    for each in heard:
        segment.hear(each)
    return Snapshot.of(name, AT, segment.snapshot(None, last).items)
