"""A store with years of history, put in in bulk: what 10,000 assets went through, and the audit chain that says so."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Table, insert

from baselines.audit import GENESIS, AuditEntry
from baselines.snapshot import Category, Item, Severity, Snapshot, utc_text
from benchmarks.floor import toml
from monitor import store, tables
from monitor.show import change_text
from monitor.store import Database, Transaction

BEGIN = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)
DAYS = 90
ITEMS = 20  # of an asset: those of a real baseline that are no lists
CHANGED, TURN = 10, 45  # every tenth asset got another baseline, after so many days
ORDERS, OUTAGES = 1000, 5000
AT_ONCE = 5000  # rows
PROFILE = "p" * 64
CATEGORIES = (Category.PARAMETER, Category.PARAMETER, Category.PROGRAM, Category.MODE)
SEVERITIES = (Severity.HIGH, Severity.MEDIUM, Severity.CRITICAL, Severity.LOW)
CAUSES = ("unannounced-work", "wrong-value", "process-tuning", "remote-vendor")

Row = dict[str, Any]
Made = tuple[datetime, str, str, str, str | None]  # a move: when, what, from, to, by whom


@dataclass
class Chain:
    """The entries so far, in the order of their times when they are put in."""

    said: list[tuple[datetime, str, str, str, dict[str, str]]] = field(default_factory=list)

    def add(self, at: datetime, actor: str, action: str, subject: str, **detail: str) -> None:
        self.said.append((at, actor, action, subject, detail))

    def rows(self) -> Iterator[Row]:
        previous = GENESIS
        for number, (at, *words, detail) in enumerate(sorted(self.said, key=lambda each: each[0]), 1):
            actor, action, subject = words
            entry = AuditEntry(number, at, actor, "bench@host", action, subject, detail, previous)
            entry = replace(entry, hash=entry.computed_hash())
            previous = entry.hash
            yield {
                "id": number,
                "at": at,
                "actor": actor,
                "account": entry.account,
                "action": action,
                "subject": subject,
                "detail": json.dumps(detail, sort_keys=True),
                "previous": entry.previous,
                "hash": entry.hash,
            }


def name_of(asset: int) -> str:
    return f"line{asset // 100:03}/plc{asset % 100:02}"


def key_of(item: int) -> str:
    return f"item.parameter_{item:02}"


def build(folder: Path, assets: int, deviations: int, items: int = ITEMS) -> Path:
    """plant.toml, and the store beside it."""
    known = {
        name_of(number): {"address": f"modbus://10.{number >> 16}.{number >> 8 & 255}.{number & 255}/1"}
        for number in range(assets)
    }
    table = {name: {**each, "profile": "auto", "zone": name[:7], "every": "30s"} for name, each in known.items()}
    plant = {"plant": {"name": "benchmark", "timezone": "Europe/Berlin"}, "store": {"url": "sqlite:///asbuilt.db"}}
    (folder / "plant.toml").write_text(toml({**plant, "asset": table}), encoding="utf-8")
    database, chain = Database(f"sqlite:///{folder / 'asbuilt.db'}"), Chain()
    database.migrate()
    with database.write() as tx:
        store.add_assets(tx, known)
        _baselines(tx, chain, assets, items)
        _alarms(tx, chain, assets, deviations)
        _orders(tx, chain, assets)
        _gaps(tx, assets)
        _put(tx, tables.audit_entry, chain.rows())
    database.close()
    return folder / "plant.toml"


def _put(tx: Transaction, table: Table, rows: Iterable[Row]) -> None:
    rest = iter(rows)
    while part := list(islice(rest, AT_ONCE)):
        tx.execute(insert(table), part)


def _snapshot(asset: int, at: datetime, changed: bool = False, count: int = ITEMS) -> Snapshot:
    items = [
        Item(key_of(each), float(each + asset % 50), CATEGORIES[each % 4], SEVERITIES[each % 4], unit="l")
        for each in range(count - 2)
    ]
    items.append(Item("identity.serial_number", f"SN{asset:08}", Category.IDENTITY))
    items.append(Item("identity.software_revision", "2.4.2" if changed else "2.4.1", Category.FIRMWARE, Severity.HIGH))
    return Snapshot.of(name_of(asset), at, items, profile=PROFILE)


def _baselines(tx: Transaction, chain: Chain, assets: int, items: int) -> None:
    """Each asset has an approved baseline; some got another one later. Each was seen as it is approved."""
    texts: dict[str, str] = {}
    baselines: list[Row] = []
    runs: list[Row] = []
    words: list[Row] = []
    first = [(BEGIN + timedelta(seconds=asset), asset, False) for asset in range(assets)]
    later = [(at + timedelta(days=TURN), asset, True) for at, asset, _ in first if asset % CHANGED == 0]
    for at, asset, changed in (*first, *later):  # numbers go up with the time
        snapshot = _snapshot(asset, at, changed, items)
        texts[snapshot.digest] = snapshot.text
        superseded = not changed and asset % CHANGED == 0
        baselines.append(_baseline(chain, asset, snapshot, at, superseded))
        words.append({"baseline_id": len(baselines), "by": "lee", "role": "", "at": baselines[-1]["decided_at"]})
        runs.append(_run(asset, snapshot.digest, at, BEGIN + timedelta(days=TURN if superseded else DAYS)))
    _put(tx, tables.snapshot, ({"digest": digest, "text": text} for digest, text in texts.items()))
    _put(tx, tables.run, runs)
    _put(tx, tables.baseline, baselines)
    _put(tx, tables.sign_off, ({**word, "reason": "as built", "ticket": ""} for word in words))


def _baseline(chain: Chain, asset: int, snapshot: Snapshot, at: datetime, superseded: bool) -> Row:
    name, decided = name_of(asset), at + timedelta(hours=2)
    said = {"digest": snapshot.digest, "stage": "sat", "profile": PROFILE, "reason": "as built"}
    chain.add(at, "kim", "baseline.propose", name, **said)
    chain.add(decided, "lee", "baseline.approve", name, **said, role="", ticket="")
    return {
        "asset_id": asset + 1,
        "digest": snapshot.digest,
        "state": "superseded" if superseded else "approved",
        "stage": "sat",
        "profile": PROFILE,
        "proposed_by": "kim",
        "proposed_at": at,
        "decided_by": "lee",
        "decided_at": decided,
        "reason": "as built",
    }


def _run(asset: int, digest: str, first: datetime, last: datetime) -> Row:
    polls = int((last - first).total_seconds() / 30)
    known = {"asset_id": asset + 1, "digest": digest, "profile": PROFILE, "cause": None, "cause_text": None}
    return {**known, "first_at": first, "last_at": last, "polls": polls, "longest_gap": 31.0}


def _alarms(tx: Transaction, chain: Chain, assets: int, deviations: int) -> None:
    """Of ten alarms eight were acknowledged and mended, most of them closed with a cause; one is acknowledged and open,
    and one nobody has seen."""
    alarms: list[Row] = []
    moves: list[Row] = []
    step = timedelta(days=DAYS - 5) / max(deviations, 1)
    for number in range(1, deviations + 1):
        asset, item = number * 7919 % assets, number % (ITEMS - 2)
        raised = BEGIN + timedelta(days=1) + number * step
        made: list[Made] = [(raised, "deviates", "NORMAL", "UNACK", None)]
        if number % 10:
            made.append((raised + timedelta(minutes=1 + number % 300), "acknowledge", "UNACK", "ACKED", "kim"))
        if number % 10 > 1:
            made.append((raised + timedelta(hours=6 + number % 40), "conforms", "ACKED", "NORMAL", None))
        alarms.append(_alarm(number, asset, item, made))
        _tell(chain, alarms[-1], name_of(asset), made)
        reason = ""
        for at, event, before, after, by in made:
            reason = "called the line" if by else reason
            moves.append(_move(alarms[-1], at, event, before, after, by, reason))
    _put(tx, tables.alert, alarms)
    _put(tx, tables.alert_move, moves)


def _alarm(number: int, asset: int, item: int, made: list[Made]) -> Row:
    approved, is_over = float(item + asset % 50), made[-1][3] == "NORMAL"
    closed = is_over and number % 10 > 3
    who = {"client": "10.9.9.9", "name": "eng-laptop", "protocol": "modbus", "at": utc_text(made[0][0])}
    return {
        "id": number,
        "asset_id": asset + 1,
        "item": key_of(item),
        "kind": "changed",
        "approved": json.dumps(approved),
        "observed": json.dumps(approved + number % 17 + 1),
        "severity": SEVERITIES[item % 4].value,
        "category": CATEGORIES[item % 4].value,
        "techniques": "T0836",
        "direction": None,
        "state": made[-1][3],
        "raised_at": made[0][0],
        "changed_at": made[-1][0],
        "acknowledged_by": "kim" if len(made) > 1 else None,
        "reason": "called the line" if len(made) > 1 else "",
        "who": json.dumps(who) if number % 3 == 0 else None,
        "cause": CAUSES[number % len(CAUSES)] if closed else None,
        "prevention": "limits locked" if closed else None,
        "closed_by": "lee" if closed else None,
        "closed_at": made[-1][0] + timedelta(hours=1) if closed else None,
    }


def _tell(chain: Chain, alarm: Row, name: str, made: list[Made]) -> None:
    values = json.loads(alarm["approved"]), json.loads(alarm["observed"])
    told = {"alert": str(alarm["id"]), "deviation": change_text(alarm["item"], "changed", *values)}
    if len(made) > 1:
        chain.add(made[1][0], "kim", "alert.acknowledge", name, **told, reason="called the line")
    if alarm["cause"]:
        chain.add(
            alarm["closed_at"], "lee", "alert.close", name, **told, cause=alarm["cause"], prevention="limits locked"
        )


def _move(alarm: Row, at: datetime, event: str, before: str, after: str, by: str | None, reason: str) -> Row:
    known = {"alert_id": alarm["id"], "at": at, "event": event, "before": before, "after": after}
    observed = json.dumps(json.loads(alarm["approved"])) if event == "conforms" else alarm["observed"]
    return {**known, "observed": observed, "by": by, "reason": reason}


def _orders(tx: Transaction, chain: Chain, assets: int) -> None:
    orders: list[Row] = []
    lines: list[Row] = []
    for number in range(1, ORDERS + 1):
        asset, opened = number * 31 % assets, BEGIN + timedelta(days=2, hours=number * 2)
        closed = opened + timedelta(hours=7) if number % 20 else None
        window = {"starts_at": opened, "ends_at": opened + timedelta(hours=8)}
        orders.append(
            {"id": number, "ticket": f"CHG-{number}", "reason": "planned", **window}
            | {"state": "closed" if closed else "open", "opened_by": "kim", "opened_at": opened}
            | {"closed_by": "lee" if closed else None, "closed_at": closed}
        )
        here = [{"item": key_of(item), "expected": 99.5} for item in (0, 1)]
        outcome = "as-planned" if number % 5 else "partial"
        for each in here:
            observed = json.dumps(99.5 if number % 5 else 98.0) if closed else None
            line = {"order_id": number, "asset_id": asset + 1, "item": each["item"], "expected": "99.5"}
            lines.append({**line, "observed": observed, "outcome": outcome if closed else None})
        said = json.dumps([{"asset": name_of(asset), **each} for each in here])
        times = {"from": utc_text(opened), "until": utc_text(opened + timedelta(hours=8))}
        told = {"order": str(number), "ticket": f"CHG-{number}", "reason": "planned", "expectations": said}
        chain.add(opened, "kim", "change.open", name_of(asset), **told, **times)
        if closed:
            seen = [{"asset": name_of(asset), "item": each["item"]} for each in here]
            done = [{**each, "observed": 99.5 if number % 5 else 98.0, "outcome": outcome} for each in seen]
            came = {"order": str(number), "expectations": json.dumps(done), "excess": "[]"}
            chain.add(closed, "lee", "change.close", name_of(asset), **came)
    _put(tx, tables.change_order, orders)
    _put(tx, tables.expectation, lines)


def _gaps(tx: Transaction, assets: int) -> None:
    rows = [
        {"asset_id": number * 17 % assets + 1, "witness": "poll", "cause": "unreachable", "text": "no answer"}
        | {"first_at": BEGIN + timedelta(hours=number % 2000), "last_at": BEGIN + timedelta(hours=number % 2000 + 1)}
        for number in range(OUTAGES)
    ]
    _put(tx, tables.gap, rows)
