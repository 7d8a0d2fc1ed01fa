"""A plant with alarms of every kind and in every state, and with gaps of every kind."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from baselines.alert import contradict
from baselines.baseline import Stage
from baselines.cause import Cause
from baselines.drift import Deviation, Kind
from baselines.rules import Finding, blind, contradiction, impersonation, occurrence
from baselines.snapshot import Category, Item, Severity, Snapshot
from baselines.wire import Operation, WireEvent, Written
from collectors.address import parse_address
from collectors.collector import Poll, Target
from collectors.contract import Sent
from monitor import actions, lives, ordering, pipeline, store
from monitor.config import ITSELF, Plant
from monitor.polling import utc_now
from monitor.store import Actor, Chore, Database, Gap, SelfTest, Token, Transaction
from monitor.web.access import digest_of
from tests.sites import Visitor, plant_with

KIM = Actor("kim", "kim@workstation")
HOSTILE = "<script>alert(1)</script>"
ASSETS = ("line1/filler", "line1/capper", "line2/oven", "line2/press", "line3/<b>wrapper</b>", "spare")
WHO = {"client": "10.0.9.9", "name": f"eng {HOSTILE}", "protocol": "modbus"}


def seen(asset: str, at: datetime, **values: Any) -> Snapshot:
    known: dict[str, Any] = {"limit": 12.5, "mode": "RUN", "crc": "cafe", "firmware": "2.4", "serial": "S1"} | values
    items = [
        Item("item.limit", known["limit"], tolerance=0.05, unit="l", severity=Severity.HIGH),
        Item("item.mode", known["mode"], Category.MODE, Severity.CRITICAL),
        Item("item.crc", known["crc"], Category.PROGRAM, Severity.MEDIUM),
        Item("identity.software_revision", known["firmware"], Category.FIRMWARE, Severity.HIGH),
        Item("identity.serial_number", known["serial"], Category.IDENTITY, Severity.HIGH),
    ]
    return Snapshot.of(asset, at, items, profile="p" * 64)


def observe(tx: Transaction, asset: str, at: datetime, **values: Any) -> None:
    """A poll has said so."""
    poll = Poll(Target(asset, parse_address("modbus://plc/1")), seen(asset, at, **values), Sent(), 0.0)
    pipeline.take(tx, poll, at)


def alarm(tx: Transaction, asset: str, item: str) -> int:
    """The number of an alarm, by what its item begins with."""
    return next(each.id for each in store.alerts(tx, [asset], closed=True)[::-1] if each.item.startswith(item))


def token(visitor: Visitor, *scopes: str) -> str:
    """What a program of Ada's uses the API with."""
    secret = token_urlsafe()
    with visitor.site.database.write() as tx:
        store.add_token(tx, Token(0, digest_of(secret), "ada", "a program", scopes, utc_now()))
    return secret


def lived(
    folder: Path, more: int = 0, more_of_plant: str = "", database: Database | None = None
) -> tuple[Plant, Database]:
    """A week in which everything happened, up to now; with `more` assets that are as they should be, and what else
    plant.toml is to say."""
    names = (*ASSETS, *(f"many/{number:05}" for number in range(more)))
    plant = plant_with(folder, more_of_plant, names)
    database = database or Database(plant.store_url)
    database.migrate()
    now = utc_now()
    with database.write() as tx:
        store.add_assets(tx, (*names, ITSELF))
        for name in ASSETS[:-1]:
            _approved(tx, name, now - timedelta(days=6))
        for name in names[len(ASSETS) :]:
            observe(tx, name, now)
    with database.write() as tx:
        _alarms(tx, plant, now)
    with database.write() as tx:
        _gaps(tx, names, now)
        store.add_self_test(tx, SelfTest(now - timedelta(days=2), True, LEGS, "from the change to the message"))
        failed = {"read": 0.2, "compared": 0.2}
        store.add_self_test(tx, SelfTest(now - timedelta(hours=5), False, failed, "within 60 s it came no further"))
        store.keep_chore(tx, Chore("verify", now - timedelta(hours=3), now + timedelta(hours=21), "4 entries verify"))
    return plant, database


LEGS = {"read": 0.21, "compared": 0.21, "committed": 0.34, "sent": 0.9}


def _approved(tx: Transaction, name: str, at: datetime) -> None:
    actions.propose(tx, seen(name, at), Stage.SAT, KIM, at, "as built")
    actions.approve(tx, name, Actor("lee", "lee@server"), "looked at", at)
    observe(tx, name, at)


def _alarms(tx: Transaction, plant: Plant, now: datetime) -> None:
    def ago(**before: float) -> datetime:
        return now - timedelta(**before)

    filler, capper, oven, press, wrapper, _ = ASSETS
    observe(tx, filler, ago(days=5), limit=13.0)
    actions.acknowledge_alerts(tx, [alarm(tx, filler, "item.limit")], KIM, "seen", ago(days=4.9))
    observe(tx, filler, ago(days=4.8))
    done = [alarm(tx, filler, "item.limit")]
    actions.close_alerts(tx, done, Cause.PROCESS_TUNING, f"locked {HOSTILE}", KIM, ago(days=4.7), {})
    pipeline.take_written(tx, filler, Written("item.limit", ago(hours=3, seconds=9), 14.0, WHO), ago(hours=3))
    observe(tx, filler, ago(hours=3), limit=14.0, crc="beef", mode="PROGRAM", firmware="2.1")
    actions.acknowledge_alerts(tx, [alarm(tx, filler, "item.crc")], KIM, "I ask Lee", ago(hours=2))
    observe(tx, capper, ago(hours=4), limit=HOSTILE)
    until = now + timedelta(hours=5)
    actions.shelve_alert(tx, alarm(tx, capper, "item.limit"), until, KIM, f"spare part {HOSTILE}", ago(hours=3))
    window = ago(hours=2), now + timedelta(hours=6)
    ordering.open_order(tx, [oven], ["item.limit=20"], *window, "T-1", "new recipe", KIM, ago(hours=2))
    observe(tx, oven, ago(hours=1), limit=20.0)
    reason = lives.Reason(KIM, ago(minutes=50), "new bearing", "T-9")
    lives.take_out(tx, press, now + timedelta(hours=9), reason)
    observe(tx, press, ago(minutes=40), mode="STOP")
    observe(tx, wrapper, ago(days=1), serial="S2")
    observe(tx, capper, ago(hours=1))
    event = WireEvent(ago(hours=1), 7, "10.0.9.66", "10.0.0.1", "s7", Operation.STOP)
    pipeline.occur(tx, filler, occurrence(event, f"host {HOSTILE}"), ago(hours=1))
    moves = [
        contradiction("software_revision", "2.4", "2.5"),
        impersonation("02:00:00:00:00:01", ["02:00:00:00:00:02"]),
    ]
    _contradict(tx, wrapper, moves, ago(minutes=30), Kind.CONFLICT)
    _contradict(tx, oven, [blind("poll", "no answer within 2 s", Severity.MEDIUM)], ago(minutes=20), Kind.BLIND)
    _contradict(tx, ITSELF, [blind("route", "a message waits", Severity.HIGH)], ago(minutes=10), Kind.BLIND)
    test = Item("selftest.canary", "self-test: it changed", Category.WATCH, Severity.LOW)
    pipeline.occur(
        tx, ITSELF, Finding(Deviation("selftest.canary", Kind.SELFTEST, None, test), Severity.LOW), ago(hours=9)
    )


def _contradict(tx: Transaction, asset: str, findings: list[Finding], at: datetime, kind: Kind) -> None:
    store.store_moves(tx, contradict(store.alerts(tx, [asset]), findings, (), asset, at, kind))


def _gaps(tx: Transaction, names: tuple[str, ...], now: datetime) -> None:
    def gap(asset: str, cause: str, text: str, begin: float, hours: float | None, witness: str = "poll") -> None:
        first = now - timedelta(hours=begin)
        store.add_gap(tx, Gap(asset, witness, cause, text, first, first + timedelta(hours=hours) if hours else None))

    gap(ASSETS[0], "unreachable", f"no answer {HOSTILE}", 80, 6)
    gap(ASSETS[0], "not-polled", "nobody has looked", 40, 0.2)
    gap(ASSETS[2], "refused", "it closes the connection", 0.4, None)
    gap(ASSETS[3], "deaf", "its sensor ended", 100, 30, "wire")
    gap(ASSETS[3], "malformed", "it answers with what was not asked", 30, 2)
    gap(ITSELF, "not-running", "asbuilt did not run", 60, 3, "self")
    for number, name in enumerate(names[len(ASSETS) :]):
        if number % 4 == 0:
            gap(name, "unreachable", "no answer within 2 s", 100 + number % 300, 1)
