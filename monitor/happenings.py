"""What was done on the wire: who did what to which device, when, and what it may be the trace of (ATT&CK for ICS).

Two witnesses: the alarms of kind event (one for each client, server and operation, with when it was done last), and the
writes to configured items, of which one to an approved value is no alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from baselines.alert import Alert, AlertState
from baselines.drift import Kind
from baselines.snapshot import Severity, key_of, parts_of, utc_text
from baselines.wire import Operation, Written
from monitor import store
from monitor.store import Transaction

MOST = 2000  # that are shown of a time


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that was done; `item` and `value` where the wire said them, `alert` where it raised an alarm, and its
    number, state and severity."""

    at: datetime
    first_at: datetime
    asset: str
    operation: str
    client: str
    name: str
    protocol: str
    item: str | None = None
    value: Any = None
    text: str = ""
    techniques: tuple[str, ...] = ()
    severity: Severity | None = None
    alert: int | None = None
    state: AlertState | None = None


def happenings(tx: Transaction, since: datetime, until: datetime, assets: Sequence[str] = ()) -> list[Happening]:
    """What was done between two times to some assets (to all, if none is named); the newest first."""
    raised = [
        alert
        for alert in store.alerts(tx, assets, closed=True, since=since, kind=Kind.EVENT)
        if since <= _done_at(alert) <= until
    ]
    by_doing = {(alert.asset, alert.item, _done_at(alert)): alert for alert in raised}
    found = []
    for asset, write in store.writes(tx, since, until, assets, MOST):
        found.append(_of_write(asset, write, by_doing.pop((asset, _alarmed_as(write), write.at), None)))
    found += map(_of_alert, by_doing.values())
    return sorted(found, key=lambda each: (each.at, each.alert or 0), reverse=True)[:MOST]


def _alarmed_as(write: Written) -> str:
    """The item of the alarm that a write raises, if it does (baselines.rules.tampering)."""
    return key_of("wire", "write", str(write.who.get("client")), *parts_of(write.item))


def done_at(alert: Alert) -> datetime | None:
    """When it was done last, where the wire has said so."""
    try:
        return datetime.fromisoformat(str((alert.who or {}).get("at")))
    except ValueError:
        return None


def _done_at(alert: Alert) -> datetime:
    return done_at(alert) or alert.changed_at


def _of_alert(alert: Alert) -> Happening:
    who, parts = alert.who or {}, parts_of(alert.item)
    operation = parts[1] if len(parts) > 1 and parts[1] in list(Operation) else "event"
    item = key_of(*parts[3:]) if operation == Operation.WRITE and len(parts) > 4 else None
    return Happening(
        _done_at(alert),
        min(alert.raised_at, _done_at(alert)),
        alert.asset,
        operation,
        str(who.get("client") or ""),
        str(who.get("name") or ""),
        str(who.get("protocol") or ""),
        item,
        None,
        str(alert.observed),
        alert.techniques,
        alert.severity,
        alert.id,
        alert.state,
    )


def _of_write(asset: str, write: Written, alert: Alert | None) -> Happening:
    """A write, and the alarm that it raised last: one client's writes to one item are one alarm."""
    who = write.who
    found = Happening(
        write.at,
        write.at,
        asset,
        Operation.WRITE,
        str(who.get("client") or ""),
        str(who.get("name") or ""),
        str(who.get("protocol") or ""),
        write.item,
        write.value,
    )
    return replace(_of_alert(alert), item=write.item, value=write.value) if alert else found


def happenings_document(found: Iterable[Happening], since: datetime, until: datetime) -> dict[str, Any]:
    """The JSON document (docs/json.md)."""
    return {
        "from": utc_text(since),
        "until": utc_text(until),
        "events": [
            {
                "at": utc_text(each.at),
                "first_at": utc_text(each.first_at),
                "asset": each.asset,
                "operation": each.operation,
                "client": each.client,
                "name": each.name or None,
                "protocol": each.protocol,
                "item": each.item,
                "value": each.value,
                "text": each.text or None,
                "techniques": list(each.techniques),
                "severity": each.severity,
                "alert": each.alert,
                "state": each.state,
            }
            for each in found
        ],
    }
