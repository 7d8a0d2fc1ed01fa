"""A plant with a history: everything that people decide, done by the real actions, so that there is evidence of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from baselines.baseline import Stage
from baselines.capture import Choice, Decision, sort_captures
from baselines.cause import Cause
from baselines.snapshot import Item, Snapshot
from collectors.address import parse_address
from collectors.collector import Poll, Target
from collectors.contract import Sent
from monitor import actions, evidence, keys, ordering, persons, store
from monitor.actions import Rules
from monitor.config import Plant, load_plant
from monitor.keys import Signer
from monitor.pipeline import take
from monitor.store import Actor, Database, Person, Transaction

PLANT = """
[plant]
name = "Test"
[store]
url = "sqlite:///asbuilt.db"
[approval]
four_eyes = ["high"]
sign_off = { fat = ["supplier", "customer"] }
[evidence]
checkpoints = ["asbuilt.checkpoints", "second.checkpoints"]
[asset.plc]
address = "modbus://10.0.0.1/1"
profile = "auto"
[asset.press]
address = "modbus://10.0.0.2/1"
profile = "auto"
criticality = "high"
[asset.oven]
address = "modbus://10.0.0.3/1"
profile = "auto"
"""
Tables = dict[str, list[dict[str, Any]]]

BEGIN = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
PASSWORD = "a long password"
KIM = Actor("kim", "kim@workstation")


def snapshot(asset: str, at: datetime, **values: float) -> Snapshot:
    return Snapshot.of(asset, at, [Item(f"item.{key}", value) for key, value in values.items()], profile="p" * 64)


@dataclass
class History:
    """A plant in which things happen, a minute after each other."""

    plant: Plant
    database: Database
    said: list[str] = field(default_factory=list)  # what was told to whoever decided
    minutes: int = 0
    signers: dict[str, Signer] = field(default_factory=dict)
    copies: list[Tables] = field(default_factory=list)  # the evidence after each decision

    def tables(self) -> Tables:
        """The evidence as it is stored now."""
        with self.database.read() as tx:
            return {table: [dict(row) for row in rows] for table, rows in store.evidence(tx).items()}

    def outside(self) -> str:
        """The checkpoints that were kept outside of the store."""
        return self.plant.evidence.files[0].read_text(encoding="utf-8")

    @property
    def now(self) -> datetime:
        return BEGIN + timedelta(minutes=self.minutes)

    @contextmanager
    def deciding(self, who: Actor = KIM, sound: bool = False) -> Iterator[Transaction]:
        self.minutes += 1
        with evidence.deciding(self.plant, self.database, who, self.said.append, sound) as tx:
            yield tx
        self.copies.append(self.tables())

    def rules(self, asset: str) -> Rules:
        return Rules(self.plant.approval, self.plant.criticality(asset))

    def actor(self, name: str, role: str = "") -> Actor:
        return Actor(name, f"{name}@workstation", role, self.signers.get(name))

    def register(self, name: str, *roles: str, by: str = "", sealed: bool = False) -> None:
        """Somebody gets a key: in a file, or sealed with a password, with which they open it."""
        signer = Signer.new()
        kept = keys.seal(signer, PASSWORD) if sealed else None
        who = self.actor(by or name)
        with self.deciding(who) as tx:
            persons.add_person(tx, Person(name, roles, signer.key, kept), who, self.now)
        opened = keys.unseal(kept, signer.key, PASSWORD) if kept else signer
        assert opened is not None
        self.signers[name] = opened

    def observe(self, asset: str, **values: float) -> None:
        self.minutes += 1
        seen = Poll(Target(asset, parse_address("modbus://plc/1")), snapshot(asset, self.now, **values), Sent(), 0.0)
        with self.database.write() as tx:
            take(tx, seen, self.now)

    def propose(self, asset: str, who: Actor = KIM, stage: Stage = Stage.SAT, **values: float) -> None:
        with self.deciding(who) as tx:
            seen = snapshot(asset, self.now, **values)
            actions.propose(tx, seen, stage, who, self.now, "as built", "T-1", rules=self.rules(asset))

    def approve(self, asset: str, who: Actor = KIM, keys: Sequence[str] | None = None) -> None:
        with self.deciding(who, sound=True) as tx:
            actions.approve(tx, asset, who, "seen", self.now, ticket="T-2", keys=keys, rules=self.rules(asset))

    def order(self, asset: str, expected: Sequence[str], until: int, then: Callable[[], object]) -> str:
        """An order with a window of some minutes, what happens meanwhile, and what came of it."""
        with self.deciding() as tx:
            window = self.now, self.now + timedelta(minutes=until)
            opened = ordering.open_order(tx, [asset], expected, *window, "T-3", "a – “change”", KIM, self.now)
        then()
        with self.deciding(sound=True) as tx:
            closed = ordering.close_order(tx, opened.id, KIM, self.now)
        excess = ["excess"] * len(closed.order.excess)
        return " ".join([*(str(each.outcome) for each in closed.order.expectations), *excess])

    def rotate(self) -> None:
        """The plant gets another key."""
        with self.database.write() as tx:
            evidence.assure_sound(tx, self.plant)
            made = evidence.rotate_key(tx, self.plant.evidence, KIM, self.now, "yearly")
        evidence.publish(self.plant, made, self.said.append)


def history(folder: Path, database: Database) -> History:
    """All that can happen has happened: every action, every outcome, persons, a rotation, another configuration."""
    (folder / "plant.toml").write_text(PLANT)
    made = History(load_plant(folder / "plant.toml"), database)
    _people(made)
    _baselines(made)
    _alarms(made)
    outcomes = _orders(made)
    assert outcomes == ["as-planned", "partial", "missing", "outside-window", "as-planned excess"]
    _changes(made)
    assert made.said == []
    return made


def _people(made: History) -> None:
    made.register("ada", "admin")
    made.register("bo", "supplier", by="ada", sealed=True)
    made.register("cem", "customer", "quality", by="ada")
    made.register("dan", "supplier", by="ada")


def _baselines(made: History) -> None:
    made.propose("plc", stage=Stage.FAT, a=1, b=2.5, c=3)
    made.approve("plc", made.actor("bo", "supplier"))
    made.approve("plc", made.actor("cem", "customer"))
    made.propose("press", made.actor("ada"), a=1, b=2)
    made.approve("press", made.actor("bo"))
    with made.deciding() as tx:
        seen = [snapshot("oven", made.now + timedelta(seconds=each), a=1, b=each, c=each) for each in range(3)]
        actions.propose_captured(tx, seen, sort_captures(seen), (), Stage.SAT, KIM, made.now)
        what = [Decision("item.b", Choice.DROP, "a counter", "kim"), Decision("item.c", Choice.KEEP, "it is", "kim")]
        actions.decide(tx, "oven", what, KIM, "it varies", made.now)
    made.approve("oven", keys=["item.a"])
    made.propose("oven", a=1, c=9)
    with made.deciding() as tx:
        actions.reject(tx, "oven", KIM, "not “ours”\n", made.now)
    made.propose("oven", a=2)
    made.propose("oven", a=3)


def _alarms(made: History) -> None:
    for asset, values in {"plc": {"a": 7, "b": 8, "c": 9}, "press": {"a": 5, "b": 5}}.items():
        made.observe(asset, **values)
    with made.database.read() as tx:
        numbers = [alert.id for alert in store.alerts(tx)]
    with made.deciding() as tx:
        actions.acknowledge_alerts(tx, numbers[:2], KIM, "seen \x1b[2J", made.now)
        actions.shelve_alert(tx, numbers[2], made.now + timedelta(days=9), KIM, "later", made.now)
    with made.deciding(made.actor("ada")) as tx:
        actions.acknowledge_alerts(tx, numbers[3:4], made.actor("ada"), "", made.now)
    made.observe("press", a=1, b=2)
    with made.deciding() as tx:
        actions.close_alerts(tx, numbers[3:], Cause.WRONG_VALUE, "asked", KIM, made.now, {})
    made.observe("plc", a=1, b=2.5, c=3)


def _orders(made: History) -> list[str]:
    seen = {"b": 2.5, "c": 3}

    def late() -> None:
        made.minutes += 60
        made.observe("plc", a=5, **seen)

    outcomes = [made.order("plc", ["item.a=2"], 30, lambda: made.observe("plc", a=2, **seen))]
    made.approve("plc")
    outcomes.append(made.order("plc", ["item.a=3"], 30, lambda: made.observe("plc", a=4, **seen)))
    made.observe("plc", a=2, **seen)
    outcomes.append(made.order("plc", ["item.a=3"], 30, lambda: made.observe("plc", a=2, **seen)))
    outcomes.append(made.order("plc", ["item.a=5"], 10, late))
    made.observe("plc", a=2, **seen)
    outcomes.append(made.order("plc", ["item.a=6"], 30, lambda: made.observe("plc", a=6, b=7, c=3)))
    return outcomes


def _changes(made: History) -> None:
    made.register("cem", "customer", by="cem")  # another key of their own, and a role less
    with made.deciding(made.actor("ada")) as tx:
        persons.remove_person(tx, "dan", made.actor("ada"), "left", made.now)
    made.rotate()
    made.plant = replace(made.plant, settings={**made.plant.settings, "plant.name": '"Other"'})
    made.propose("press", made.actor("ada"), a=1, b=3)
    made.approve("press", made.actor("bo"))
