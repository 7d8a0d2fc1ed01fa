"""A plant in which every figure of how things stand has something to count, made by the real actions and rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from baselines.baseline import Stage
from baselines.snapshot import Category, Item, Severity, Snapshot, Unread
from collectors.address import parse_address
from collectors.collector import CollectError, Poll, Target, Unreachable
from collectors.contract import Sent
from collectors.metering import Counts, Record
from monitor import actions, evidence, persons, store
from monitor.config import Plant, load_plant
from monitor.keys import Signer
from monitor.pipeline import take
from monitor.report.document import Cell, Kind, Report, Section, Table
from monitor.report.kinds import report
from monitor.report.scope import Scope
from monitor.store import Actor, Database, Gap, OutOfService, Person, SelfTest

PLANT = """
[plant]
name = "Test"
timezone = "Europe/Berlin"
[store]
url = "sqlite:///asbuilt.db"
[asset.plc]
address = "modbus://10.0.0.1/1"
profile = "generic-modbus"
zone = "line1"
criticality = "high"
[asset.press]
address = "modbus://10.0.0.2/1"
profile = "auto"
zone = "line1"
[asset.oven]
address = "opc.tcp://10.0.0.3:4841/"
profile = "generic-opcua"
zone = "line2"
[asset.old]
address = "modbus://10.0.0.4/1"
profile = "generic-modbus"
zone = "line2"
[asset.gone]
address = "modbus://10.0.0.5/1"
profile = "generic-modbus"
[asset.never]
address = "modbus://10.0.0.6/1"
profile = "generic-modbus"
[asset.safe]
address = "modbus://10.0.0.7/1"
profile = "generic-modbus"
criticality = "safety"
[segment.wire]
interface = "eth1"
zone = "line1"
"""
BEGIN = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
UNTIL = BEGIN + timedelta(days=60)
SINCE = UNTIL - timedelta(days=45)
KIM = Actor("kim", "kim@workstation")
ADA = Signer.new()
FIRMWARE = Item("identity.software_revision", "2.4.1", Category.FIRMWARE, Severity.HIGH)
CRC = Item("item.crc", b"\xde\xad", Category.PROGRAM, Severity.CRITICAL)
HEARD = (
    Item("host.00:11:22:33:44:55.ips", ("10.0.0.1",), Category.NETWORK),
    Item("service.00:11:22:33:44:55.tcp.502", ("modbus",), Category.NETWORK),
    Item("service.00:11:22:33:44:55.tcp.80", (), Category.NETWORK),
    Item("service.aa:bb:cc:dd:ee:ff.tcp.22", (), Category.NETWORK),
)


@dataclass
class Made:
    """The plant and its store, and the report of it."""

    plant: Plant
    database: Database

    def at(self, days: float) -> datetime:
        """A moment, in days after the beginning."""
        return BEGIN + timedelta(days=days)

    def polled(self, name: str, at: datetime, *outcome: Item | Unread | CollectError) -> None:
        """One poll, with what came of it."""
        items = [each for each in outcome if isinstance(each, Item)]
        unread = [each for each in outcome if isinstance(each, Unread)]
        failed = next((each for each in outcome if isinstance(each, CollectError)), None)
        found = failed or Snapshot.of(name, at, items, unread, profile="p" * 64)
        with self.database.write() as tx:
            take(tx, Poll(Target(name, parse_address("modbus://plc/1")), found, Sent(1, 2), 0.1), at)

    def approved(self, name: str, at: datetime, *items: Item | Unread, who: Actor = KIM) -> None:
        """A baseline, proposed and approved."""
        read = [each for each in items if isinstance(each, Item)]
        seen = Snapshot.of(name, at, read, [each for each in items if isinstance(each, Unread)], profile="p" * 64)
        with self.database.write() as tx:
            actions.propose(tx, seen, Stage.SAT, who, at, "as built", "T-1")
            actions.approve(tx, name, who, "seen", at, ticket="T-2", although_changed=True)

    def scope(self, *names: str, until: datetime = UNTIL) -> Scope:
        """All assets, or some."""
        every = (*self.plant.assets, *self.plant.segments)
        return Scope(self.plant, names or every, not names, SINCE, until, until + timedelta(hours=1))

    def report(self, *names: str, until: datetime = UNTIL, kind: Kind = Kind.AUDIT) -> Report:
        with self.database.read() as tx:
            return report(tx, kind, self.scope(*names, until=until))


def made(folder: Path, database: Database) -> Made:
    """At `UNTIL`: plc matches, press drifts, oven has no baseline and a proposal, old is stale, gone answers no more,
    never and safe were never seen; the segment is heard."""
    (folder / "plant.toml").write_text(PLANT)
    found = Made(load_plant(folder / "plant.toml"), database)
    with database.write() as tx:
        evidence.note_assets(tx, found.plant, store.ITSELF, BEGIN)
        evidence.plant_key(tx, found.plant.evidence, BEGIN)
        persons.add_person(tx, Person("ada", ("admin",), ADA.key), Actor("ada", "ada@w"), BEGIN)
    _devices(found)
    _segment(found)
    with database.write() as tx:
        store.add_gap(tx, Gap("plc", "poll", "unreachable", "no answer", found.at(30), found.at(31)))
        store.add_gap(tx, Gap("asbuilt", "self", "disk", "the disk is full", found.at(40), found.at(40.5)))
        store.add_self_test(tx, SelfTest(found.at(20), True, {"read": 0.1, "sent": 1.5}, "passed"))
        store.add_self_test(tx, SelfTest(found.at(21), False, {}, "the alarm did not arrive"))
        _lives(tx, found)
        record = Record(BEGIN, UNTIL, Counts(1, 1, 1, {"FC 3": 500}, busiest=3))
        broken = Record(BEGIN, UNTIL, Counts(1, 1, 1, {"FC 5": 1}, busiest=1))
        tried = Record(BEGIN, UNTIL, Counts(1, 1, 1, {}, forbidden={"FC 6": 2}))
        store.keep_records(tx, {"10.0.0.1:502": record, "10.0.0.2:502": broken, "10.0.0.4:502": tried})
    with database.write() as tx:
        evidence.publish(found.plant, evidence.checkpoint(tx, found.plant.evidence, found.at(59)), print)
    return found


def _devices(found: Made) -> None:
    limit, recipe = Item("item.limit", 12.5), Item("item.recipe", "A")
    signed = Actor("ada", "ada@w", "", ADA)
    now = UNTIL - timedelta(seconds=20)
    found.approved("plc", BEGIN, FIRMWARE, CRC, who=signed)
    found.polled("plc", found.at(1), FIRMWARE, CRC)
    found.polled("plc", found.at(30), FIRMWARE, CRC)
    found.polled("plc", now, FIRMWARE, CRC)
    found.approved("press", BEGIN, FIRMWARE, limit, Unread("item.recipe", "it was busy"))
    found.polled("press", found.at(1), FIRMWARE, limit)
    found.polled("press", found.at(41), FIRMWARE, limit, recipe)  # 40 days later
    found.polled("press", now, FIRMWARE, Item("item.limit", 14.0), recipe)
    endpoint = Item("endpoint.security_policies", ("None",), Category.SECURITY)
    found.polled("oven", now, endpoint, Unread("item.pressure", "BadTimeout"))
    with found.database.write() as tx:
        actions.propose(tx, Snapshot.of("oven", now, [endpoint]), Stage.SAT, KIM, now)
    found.approved("old", BEGIN, limit)
    found.polled("old", found.at(5), limit)
    found.approved("gone", found.at(50), limit)
    found.polled("gone", found.at(50.5), limit)
    found.polled("gone", now, Unreachable("gone", "no answer within 2 s"))
    found.approved("never", found.at(10), limit)


def _segment(found: Made) -> None:
    found.approved("wire", found.at(2), *HEARD)
    for at in (found.at(3), found.at(30), found.at(55), UNTIL - timedelta(seconds=10)):
        found.polled("wire", at, *HEARD)


def _lives(tx: Any, found: Made) -> None:
    """old is out of service, press was and is not, and what is called scrap was retired."""
    store.add_assets(tx, ["scrap"])
    store.retire_asset(tx, "scrap", found.at(12))
    store.audit(tx, found.at(12), KIM, "asset.retire", "scrap", {"alerts": "", "reason": "sold"})
    store.take_out(tx, "old", OutOfService(found.at(90), "kim", "rebuilt"))
    until = {"until": "2027-02-21T08:00:00.000Z", "reason": "rebuilt"}
    store.audit(tx, found.at(13), KIM, "asset.out-of-service", "press", until)
    store.audit(tx, found.at(14), KIM, "asset.in-service", "press", {})
    store.audit(tx, found.at(15), KIM, "asset.out-of-service", "old", until)


def section(found: Report, key: str) -> Section:
    return next(each for each in found.sections if each.key == key)


def table(found: Report, key: str) -> Table:
    return next(each for each in found.tables if each.key == key)


def rows(found: Report, key: str) -> list[dict[str, Cell]]:
    """The rows of a table, each by the keys of its columns."""
    held = table(found, key)
    return [dict(zip((column.key for column in held.columns), row, strict=True)) for row in held.rows]


def row(found: Report, key: str, **wanted: Cell) -> dict[str, Cell]:
    """The one row of a table that has these cells."""
    (only,) = [each for each in rows(found, key) if wanted.items() <= each.items()]
    return only


def texts(found: Report, key: str) -> list[str]:
    """The findings of a section as "weight: text"."""
    return [f"{each.weight}: {each.text}" for each in section(found, key).findings]
